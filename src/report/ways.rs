//! How a run ended, in words, and how to go on: the one table.

use crate::event::RunEnd;
use crate::id::{RunId, Unit};

pub(super) struct Way {
    /// What the end means.
    pub(super) meaning: &'static str,
    /// What can be done, and its command with `RUN` for the run's id.
    commands: &'static [(&'static str, &'static str)],
}

const AGAIN: (&str, &str) = ("try failed hosts again", "refit resume RUN");
const ON: (&str, &str) = ("go on", "refit resume RUN");
const CLOSE: (&str, &str) = ("or close it", "refit abort RUN --reason R");

pub(super) fn way(how: RunEnd, exit: u8) -> Way {
    let (meaning, commands): (&str, &[_]) = match (how, exit) {
        (RunEnd::Done, _) => ("done", &[]),
        (RunEnd::Failed, 3) => (
            "failed; every host that failed was rolled back and is healthy",
            &[AGAIN],
        ),
        (RunEnd::Failed, _) => ("failed; hosts that failed are left as reported", &[AGAIN]),
        (RunEnd::Unknown, _) => (
            "unknown: what became of a step cannot be found out; look at the host, then decide",
            &[("then go on", "refit resume RUN"), CLOSE],
        ),
        (RunEnd::Paused, _) => ("paused", &[ON, CLOSE]),
        (RunEnd::Interrupted, 143) => ("stopped from outside", &[ON, CLOSE]),
        (RunEnd::Interrupted, _) => ("stopped by Ctrl-C", &[ON, CLOSE]),
        (RunEnd::Closed, _) => ("closed: nothing of it goes on", &[]),
        (RunEnd::Refused, _) => ("refused; nothing was touched", &[]),
    };
    Way { meaning, commands }
}

impl Way {
    /// What can be done, and the command.
    pub(super) fn commands(&self, run: &RunId) -> impl Iterator<Item = (&'static str, String)> {
        self.commands
            .iter()
            .map(|(what, command)| (*what, command.replace("RUN", run.as_str())))
    }
}

/// Both ways to decide an unknown unit.
pub(super) fn decide(run: &RunId, unit: &Unit) -> String {
    let name = unit.to_string();
    let name = shlex::try_quote(&name)
        .map(|quoted| quoted.into_owned())
        .unwrap_or(name);
    format!("refit resolve {run} {name} --as done|not-done --reason R")
}
