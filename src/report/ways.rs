//! How a run ended, in words, and how to go on: the one table.

use crate::event::RunEnd;
use crate::id::{RunId, Unit};

pub(super) struct Way {
    /// What the end means.
    pub(super) meaning: &'static str,
    /// Commands, `RUN` for the run's id, and what each does.
    commands: &'static [(&'static str, &'static str)],
}

const AGAIN: (&str, &str) = ("refit resume RUN", "tries the hosts that failed again");
const ON: (&str, &str) = ("refit resume RUN", "goes on");
const CLOSE: (&str, &str) = ("refit abort RUN --reason R", "closes it and frees its hosts");

pub(super) fn way(how: RunEnd, exit: u8) -> Way {
    let (meaning, commands): (&str, &[_]) = match (how, exit) {
        (RunEnd::Done, _) => ("done", &[]),
        (RunEnd::Failed, 3) => ("failed; every host that failed was rolled back and is healthy", &[AGAIN]),
        (RunEnd::Failed, _) => ("failed; hosts that failed are left as reported", &[AGAIN]),
        (RunEnd::Unknown, _) => (
            "unknown: what became of a step cannot be found out; look at the host, then decide",
            &[("refit resume RUN", "goes on once all are decided"), CLOSE],
        ),
        (RunEnd::Paused, _) => ("paused", &[ON, CLOSE]),
        (RunEnd::Interrupted, 143) => ("stopped by SIGTERM", &[ON, CLOSE]),
        (RunEnd::Interrupted, _) => ("stopped by Ctrl-C", &[ON, CLOSE]),
        (RunEnd::Refused, _) => ("refused; nothing was touched", &[]),
    };
    Way { meaning, commands }
}

impl Way {
    /// Command and what it does.
    pub(super) fn commands(&self, run: &RunId) -> impl Iterator<Item = (String, &'static str)> {
        self.commands.iter().map(|(command, does)| (command.replace("RUN", run.as_str()), *does))
    }
}

/// Both ways to decide an unknown unit.
pub(super) fn decide(run: &RunId, unit: &Unit) -> String {
    let name = unit.to_string();
    let name = shlex::try_quote(&name).map(|quoted| quoted.into_owned()).unwrap_or(name);
    format!("refit resolve {run} {name} --as done|not-done --reason R")
}
