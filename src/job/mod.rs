//! What lives on a host: the job protocol, fence and lock, facts. The shell text is here, and the reading of what it prints.

use crate::kind::Output;

/// What a host says of a job.
#[derive(Clone, Debug)]
pub(crate) enum JobState {
    /// Never claimed in this state folder.
    None,
    /// The supervisor is alive.
    Running,
    /// It ran to its end. `late`: its own time limit ended it (rc 124).
    Done { output: Output, late: bool },
    /// The supervisor is dead, the payload is not: the exit code is lost.
    OrphanRunning,
    /// Claimed, and neither a result nor a living process: it ran in part, wholly or not at all.
    Interrupted { reboot: bool },
    /// What is there cannot be read, or is unfinished: unknown. The text says what was found.
    Corrupt(String),
    /// The host refused before anything ran (no space, read-only, stale fence, too old a channel): nothing happened.
    Refused(String),
}
