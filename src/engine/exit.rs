//! How a run ended, as an exit code and as a word.

use super::stage::Flow;
use crate::event::{Fate, Outcome, RunEnd, RunState, UnitStatus};
use crate::id::Phase;

/// What the whole run came to. `signal` is 130 or 143 when a person stopped it.
pub(crate) fn verdict(state: &RunState, flow: &Flow, signal: Option<u8>) -> (RunEnd, u8) {
    let fates = || {
        state
            .hosts
            .values()
            .filter_map(|host| host.fate.as_ref())
            .map(|(_, fate, _)| *fate)
    };
    let unknown = state.units.values().any(|unit| {
        matches!(
            &unit.status,
            UnitStatus::Ended {
                outcome: Outcome::Unknown,
                ..
            }
        )
    });
    if unknown {
        return (RunEnd::Unknown, 4);
    }
    match flow {
        Flow::Stopped => return (RunEnd::Interrupted, signal.unwrap_or(130)),
        Flow::Paused(_) => return (RunEnd::Paused, 6),
        Flow::Unknown => return (RunEnd::Unknown, 4),
        Flow::On | Flow::Failed | Flow::Broken(_) => {}
    }
    // Cleaning up is a part of the run: what failed there is not called done.
    let unclean = state.failed(Phase::Finally).next().is_some() || !state.left_open.is_empty();
    if unclean {
        return (RunEnd::Failed, 2);
    }
    let failed = fates().filter(|fate| *fate != Fate::Excluded).count();
    let back = fates().filter(|fate| *fate == Fate::RolledBack).count();
    let ended_badly = matches!(flow, Flow::Failed | Flow::Broken(_));
    match (failed, back) {
        (0, _) if !ended_badly => (RunEnd::Done, 0),
        (failed, back) if failed > 0 && failed == back => (RunEnd::Failed, 3),
        _ => (RunEnd::Failed, 2),
    }
}

/// `run.outcome` for `finally`.
pub(crate) fn word(exit: u8) -> &'static str {
    match exit {
        0 => "success",
        3 => "rolled_back",
        4 => "unknown",
        6 => "paused",
        130 | 143 => "interrupted",
        _ => "failed",
    }
}
