//! Writes lines from a thread of its own, so that whoever reads them slowly holds up nothing.

use std::io::{ErrorKind, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is said after each so long a time without a line; None: nothing.
pub(super) type Pulse = (Duration, Box<dyn Fn() -> Option<String> + Send>);

pub(super) struct Writer {
    lines: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn new(out: impl Write + Send + 'static) -> Writer {
        Writer::with_pulse(out, None)
    }

    pub(super) fn with_pulse(out: impl Write + Send + 'static, pulse: Option<Pulse>) -> Writer {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("report".into())
            .spawn(move || write(&receiver, out, pulse));
        Writer {
            lines: Some(sender),
            thread: thread.ok(),
        }
    }

    /// `text` and a line feed. A reader that went away is no trouble.
    pub(super) fn line(&self, text: String) {
        if let Some(lines) = &self.lines {
            let _ = lines.send(text);
        }
    }
}

impl Drop for Writer {
    /// Waits until all is written.
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(lines: &Receiver<String>, mut out: impl Write, pulse: Option<Pulse>) {
    while let Some(mut text) = next(lines, pulse.as_ref()) {
        text.push('\n');
        for more in lines.try_iter().take(1000) {
            text.push_str(&more);
            text.push('\n');
        }
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// None: nothing more will come.
fn next(lines: &Receiver<String>, pulse: Option<&Pulse>) -> Option<String> {
    let Some((every, say)) = pulse else {
        return lines.recv().ok();
    };
    loop {
        match lines.recv_timeout(*every) {
            Ok(line) => return Some(line),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(line) = say() {
                    return Some(line);
                }
            }
        }
    }
}
