//! What goes to a host and what comes back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What a host is, read in the first frame of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) uid: u32,
    pub(crate) user: String,
    pub(crate) home: String,
    /// `uname -s`, `uname -m`, `uname -r`.
    pub(crate) system: String,
    pub(crate) machine: String,
    pub(crate) kernel: String,
    /// ID and VERSION_ID of os-release; empty where there is none.
    pub(crate) os: String,
    pub(crate) os_version: String,
    /// PID 1 is systemd.
    pub(crate) systemd: bool,
    pub(crate) boot_id: String,
    /// Seconds since 1970 when the frame ran, and the controller's at the same moment.
    pub(crate) clock: i64,
    pub(crate) controller_clock: i64,
    /// Absolute; for the account that holds the lock.
    pub(crate) state_dir: String,
    /// Programs that were looked for and found.
    pub(crate) programs: Vec<String>,
}

/// A script that only reads. It runs in a subshell of the channel's `/bin/sh` with stdin closed.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) script: String,
    /// Exported to it and to nothing else; values may be secret.
    pub(crate) environment: IndexMap<String, String>,
    /// Default 30 s.
    pub(crate) timeout: Option<Duration>,
}

impl Probe {
    pub(crate) fn new(script: impl Into<String>) -> Probe {
        Probe {
            script: script.into(),
            environment: IndexMap::new(),
            timeout: None,
        }
    }
}

/// A script that changes the host: run once as a job, whatever breaks.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Runs under `/bin/sh` with cwd `/` unless it changes it. Kept on the host until its result is in the journal, so
    /// it must hold no secret: those go into `environment`. `$REFIT_STATE` is the account's state folder,
    /// `$REFIT_UPLOADS` the folder of uploads, `$REFIT_JOB` the job's id.
    pub(crate) script: String,
    pub(crate) environment: IndexMap<String, String>,
    /// Sent before the job starts, to `$REFIT_UPLOADS/<sha256>`; the script moves or copies them and removes them.
    pub(crate) uploads: Vec<Upload>,
    pub(crate) timeout: Option<Duration>,
    /// Our own text, which prints a few lines without NUL, leaves nothing running and does not ask for `$$`: it gets no
    /// shell of its own, and its output is read without a process.
    pub(crate) brief: bool,
}

impl Job {
    pub(crate) fn new(script: impl Into<String>) -> Job {
        Job {
            script: script.into(),
            environment: IndexMap::new(),
            uploads: Vec::new(),
            timeout: None,
            brief: false,
        }
    }
}

/// A file that goes to the host.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// Lower-case hex; the file's name in `$REFIT_UPLOADS`.
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) from: UploadFrom,
}

#[derive(Clone, Debug)]
pub(crate) enum UploadFrom {
    File(PathBuf),
    /// May hold secrets.
    Bytes(Arc<Vec<u8>>),
}

/// What a script printed. Not redacted yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    /// Above 128: 128 + the signal.
    pub(crate) rc: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}
