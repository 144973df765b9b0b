//! Signatures.
use std::time::Duration;

use crate::id::{JobId, RunId};
use crate::job::JobState;
use crate::kind::{Facts, Job, Output, Probe, Upload};
use crate::secret::Redactor;

use super::Target;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Account {
    /// As whom ssh logs in.
    Login,
    /// Through `sudo -u`.
    Sudo(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Refused,
    Timeout,
    UnknownName,
    Unroutable,
    HostKeyChanged,
    HostKeyUnknown,
    Authentication,
    JumpHost,
    /// Closed before the banner: MaxStartups, a penalty, a dying sshd.
    ClosedBeforeBanner,
    SudoMissing,
    SudoRefused,
    SudoPassword,
    SudoTerminal,
    /// No shell answered; the text says what was printed instead.
    NoShell,
    StateDir,
    Controller,
    Other,
}

/// Why a host, or an account on it, cannot be reached.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct ConnectError {
    pub(crate) cause: Cause,
    /// One line or several; OpenSSH's or sudo's own words are always in it.
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
}

/// The connection, or the channel of one account, ended or did not answer. Says nothing about any effect.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Lost {
    pub(crate) text: String,
    /// Set where the connection stands and the account could not be had (sudo) or its shell is not usable.
    pub(crate) cause: Option<Cause>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("timed out after {} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("printed more than {} MiB", .0 >> 20)]
    TooMuch(usize),
    /// The script or its environment cannot be sent (NUL, a bad variable name).
    #[error("{0}")]
    Invalid(String),
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("{0}")]
    Failed(String),
}

/// What tells one host from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// The random id file.
    Id(String),
    /// No id file yet: machine-id, boot id, real path of the state folder, uid.
    Place(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) run: RunId,
    pub(crate) epoch: i64,
    pub(crate) controller: String,
    /// Seconds since 1970 on the host's clock.
    pub(crate) since: i64,
    /// Its connection is alive.
    pub(crate) live: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) identity: Identity,
    pub(crate) boot_id: String,
    /// Whom it was taken from.
    pub(crate) taken_from: Option<Holder>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("locked by run {} of {}", .0.run, .0.controller)]
    HeldBy(Holder),
    #[error("this controller is outdated: the host has fence {fence}")]
    Stale { fence: i64 },
    #[error("{0}")]
    StateDir(String),
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Facts about a state folder, read without touching it.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateDir {
    pub(crate) path: String,
    pub(crate) exists: bool,
    /// Bytes free for the account where the folder is or would be.
    pub(crate) free: u64,
    pub(crate) filesystem: String,
    /// What makes it unusable: noexec, read-only, tmpfs, nfs, a parent others may write to, a missing program.
    pub(crate) problems: Vec<String>,
}

/// What preflight sees.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) facts: Facts,
    pub(crate) identity: Identity,
    pub(crate) holder: Option<Holder>,
    /// 0 where there is none.
    pub(crate) fence: i64,
    pub(crate) state: StateDir,
}

/// What all connections of a run share: the folder of control sockets and the limits on handshakes.
pub(crate) struct Hub {}

impl Hub {
    pub(crate) fn new(_redactor: Redactor) -> Result<Hub, ConnectError> {
        todo!()
    }
    pub(crate) async fn connect(&self, _target: &Target) -> Result<Link, ConnectError> {
        todo!()
    }
    pub(crate) async fn close(self) {
        todo!()
    }
}

/// One host. All calls may come from several tasks; the shell of an account serialises its frames.
pub(crate) struct Link {}

impl Link {
    pub(crate) async fn facts(&self, _account: &Account) -> Result<Facts, Lost> {
        todo!()
    }

    /// All probes in one frame, one round trip; each in a subshell of its own.
    pub(crate) async fn probes(
        &self,
        _account: &Account,
        _probes: &[Probe],
    ) -> Result<Vec<Result<Output, ProbeError>>, Lost> {
        todo!()
    }

    /// One frame that starts the jobs in order. Each state is given to `on` as it comes; after the first job that is
    /// not Done with an rc that `go_on` holds (empty: any), or that was refused, no further one is started and `on` is not called for the rest.
    /// The lock must be held. Sending the same jobs again is safe: none starts twice.
    pub(crate) async fn jobs(
        &self,
        _account: &Account,
        _jobs: &[Start<'_>],
        _on: impl FnMut(usize, JobState) + Send,
    ) -> Result<(), Lost> {
        todo!()
    }

    pub(crate) async fn status(&self, _account: &Account, _ids: &[JobId]) -> Result<Vec<JobState>, Lost> {
        todo!()
    }

    /// Waits for the end of a job that runs; gives the state then, or Running or OrphanRunning when `limit` is over.
    pub(crate) async fn wait(
        &self,
        _account: &Account,
        _id: &JobId,
        _limit: Option<Duration>,
    ) -> Result<JobState, Lost> {
        todo!()
    }

    /// The results are in the journal: removes scripts and outputs, keeps the claims.
    pub(crate) async fn ack(&self, _account: &Account, _ids: &[JobId]) -> Result<(), Lost> {
        todo!()
    }

    /// Sends a file unless it is there; `progress` gets the bytes sent so far.
    pub(crate) async fn upload(
        &self,
        _account: &Account,
        _upload: &Upload,
        _progress: impl Fn(u64) + Send,
    ) -> Result<(), UploadError> {
        todo!()
    }

    /// Takes the host lock as `holder`, the most privileged account of the run, and makes the folders of `others`.
    /// The epoch fences; the same run enters again; `takeover` takes it from another run.
    pub(crate) async fn lock(
        &self,
        _holder: &Account,
        _others: &[Account],
        _run: &RunId,
        _epoch: i64,
        _controller: &str,
        _takeover: bool,
    ) -> Result<Held, LockError> {
        todo!()
    }

    /// Reads what preflight wants to know; changes nothing.
    pub(crate) async fn look(&self, _holder: &Account) -> Result<Look, Lost> {
        todo!()
    }

    /// The run ended: the lock is free for others; fence and id stay.
    pub(crate) async fn unlock(&self) -> Result<(), Lost> {
        todo!()
    }

    /// Resolves when the connection has ended.
    pub(crate) async fn ended(&self) -> Lost {
        todo!()
    }

    pub(crate) async fn close(self) {
        todo!()
    }
}

/// A job to start, and when the frame goes on to the next.
pub(crate) struct Start<'a> {
    pub(crate) id: JobId,
    pub(crate) job: &'a Job,
    /// The next job of the frame starts after one of these; empty: after any rc.
    pub(crate) go_on: &'a [i32],
}
