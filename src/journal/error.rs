//! What goes wrong with a journal, in the words that a person reads.

use std::path::{Path, PathBuf};

use crate::event::Controller;
use crate::id::RunId;

/// Why the journal cannot be used. Every one of them but `Alive` and `Superseded` ends the run with exit 5.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("journal {}: {what}", .path.display())]
    Open { path: PathBuf, what: String },
    #[error("journal {}: its folder lies on {kind}, where SQLite's log does not work; give a local path with --journal", .path.display())]
    Network { path: PathBuf, kind: &'static str },
    #[error("journal {}: format {found} was written by a newer refit (this one knows up to {known})", .path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("this refit was built with SQLite {0}, which can lose commits; 3.51.3 or newer is needed")]
    OldSqlite(String),
    #[error("run {run} is driven by pid {} ({} on {}), which is alive; take it over with --takeover REASON", .controller.pid, .controller.user, .controller.machine)]
    Alive { run: RunId, controller: Box<Controller> },
    #[error("run {run} was taken over by another controller (epoch {now}, ours is {ours}); this one stops")]
    Superseded { run: RunId, ours: i64, now: i64 },
    #[error("the journal's disk is full: {0}")]
    Full(String),
    #[error("the journal cannot be written: {0}")]
    ReadOnly(String),
    #[error("the journal is damaged: {0}; keep the file, and start a new one with --journal")]
    Corrupt(String),
    #[error("the journal is held by another process for too long: {0}")]
    Busy(String),
    #[error("journal: {0}")]
    Database(String),
    #[error("journal: an event cannot be read or written: {0}")]
    Encoding(String),
    #[error("journal: its writer has stopped")]
    Gone,
}

impl JournalError {
    /// Exit code of a verb that it ends.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            JournalError::Alive { .. } | JournalError::Superseded { .. } => 7,
            _ => 5,
        }
    }

    pub(super) fn open(path: &Path, what: impl std::fmt::Display) -> JournalError {
        JournalError::Open {
            path: path.to_owned(),
            what: what.to_string(),
        }
    }
}

impl From<sqlx::Error> for JournalError {
    fn from(error: sqlx::Error) -> JournalError {
        let text = match &error {
            sqlx::Error::Database(e) => e.message().to_owned(),
            other => other.to_string(),
        };
        let code = error
            .as_database_error()
            .and_then(|e| e.code())
            .and_then(|code| code.parse::<i64>().ok())
            .map(|code| code & 0xff);
        match code {
            Some(5 | 6) => JournalError::Busy(text),
            Some(8 | 14) => JournalError::ReadOnly(text),
            Some(11 | 26) => JournalError::Corrupt(text),
            Some(13) => JournalError::Full(text),
            _ => JournalError::Database(text),
        }
    }
}

impl From<serde_json::Error> for JournalError {
    fn from(error: serde_json::Error) -> JournalError {
        JournalError::Encoding(error.to_string())
    }
}

/// Why a prefix names no run.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error("no run begins with `{0}`; `refit runs` lists them")]
    None(String),
    #[error("several runs begin with `{prefix}`: {}", .runs.iter().map(RunId::as_str).collect::<Vec<_>>().join(", "))]
    Ambiguous { prefix: String, runs: Vec<RunId> },
    #[error(transparent)]
    Journal(#[from] JournalError),
}
