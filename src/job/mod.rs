//! What lives on a host: the job protocol, fence and lock, facts. The shell text and the reading of what it prints.
//!
//! A state folder holds `id owner fence run.lock jobs/ uploads/`, and per job `jobs/<id>.started .result .out .err
//! .lock .script-*`. `started` is the claim; `result` is believed only when it ends in `end`.

mod decision;
mod facts;
mod frame;
mod place;
mod reach;
mod script;
mod text;
mod tunnel;

pub(crate) use decision::{Decision, Fact};
pub(crate) use facts::facts;
pub(crate) use frame::{OUTPUT_LIMIT, ack, good_id, jobs, join, lock, probe, state, status, tail, unlock, wait};
pub(crate) use place::{default_state_dir, good_path, look, owner, place};
pub(crate) use reach::{BoxFuture, Changing, Done, Failure, Reading, patience};
pub(crate) use script::{Facts, Job, Output, Probe, Upload, UploadFrom};
pub(crate) use tunnel::{Passage, Tunnel};

use crate::id::JobId;

/// What a host says of a job.
#[derive(Clone, Debug)]
pub(crate) enum JobState {
    /// Never claimed in this state folder. Whether it never ran follows only if boot id and identity are still those
    /// of the intent.
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
    /// The host refused before anything ran (no space, read-only): nothing happened.
    Refused(String),
}

/// A job to start, and when the frame goes on to the next.
pub(crate) struct Start<'a> {
    pub(crate) id: JobId,
    pub(crate) job: &'a Job,
    /// The next job of the frame starts after one of these exit codes; empty: after any.
    pub(crate) go_on: &'a [i32],
    /// Uploads that go in the frame, by their sha256.
    pub(crate) files: Vec<(&'a str, &'a str)>,
}

/// A part of a frame.
pub(crate) enum Part<'a> {
    Job(&'a Start<'a>),
    /// Something to look at between jobs; the frame goes on after exit code 0. It is reported as a job that is done.
    Look(&'a Probe),
}
