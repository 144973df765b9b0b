//! One line from the person at the terminal.

use std::io::{self, BufRead as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

/// Puts the terminal back, however the question ends.
struct Hidden(Option<rustix::termios::Termios>);

impl Hidden {
    fn new(hidden: bool) -> Hidden {
        let stdin = io::stdin();
        let before = hidden.then(|| tcgetattr(&stdin).ok()).flatten();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            quiet.local_modes.insert(LocalModes::ECHONL);
            let _ = tcsetattr(&stdin, OptionalActions::Flush, &quiet);
        }
        Hidden(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// The line without its end; None at the end of the input. `hidden`: what is typed is not shown.
pub(super) async fn line(hidden: bool) -> io::Result<Option<String>> {
    let _hidden = Hidden::new(hidden);
    let (sender, answer) = oneshot::channel();
    // A thread of its own: nothing may wait for it when the run is told to stop and nobody types.
    std::thread::Builder::new().name("ask".into()).spawn(move || {
        let mut text = String::new();
        let read = io::stdin().lock().read_line(&mut text);
        let _ = sender.send(read.map(|count| (count > 0).then_some(text)));
    })?;
    let text = answer.await.map_err(io::Error::other)??;
    Ok(text.map(|text| text.trim_end_matches(['\n', '\r']).to_owned()))
}
