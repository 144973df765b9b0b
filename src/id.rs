//! Validated names: hosts, runs, units, jobs.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A host's name in the inventory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct HostName(Arc<str>);

impl HostName {
    /// Refuses what is empty or holds white space or control characters.
    pub(crate) fn new(name: &str) -> Result<HostName, InvalidName> {
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidName(name.to_owned()));
        }
        Ok(HostName(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{}` is not a name: white space and control characters are not allowed", .0.escape_debug())]
pub(crate) struct InvalidName(String);

/// A run: a UUIDv7, so that names sort by start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RunId(String);

impl RunId {
    pub(crate) fn fresh() -> RunId {
        RunId(uuid::Uuid::now_v7().to_string())
    }

    /// A run id that was stored; not checked further.
    pub(crate) fn stored(text: impl Into<String>) -> RunId {
        RunId(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What part of a stage a unit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Probe,
    Step,
    Guard,
    Rollback,
    Undo,
    Finally,
}

/// One step on one host (and loop item): the row of the journal, the recap and the report.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// Slugs of the enclosing stages joined by `/`, `[i]` after one with `for_each`: `hop-to[0]/back-up`.
    pub(crate) stage: String,
    pub(crate) phase: Phase,
    /// The step's id.
    pub(crate) step: String,
    pub(crate) host: HostName,
    /// The loop index, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<usize>,
}

/// `STAGE/STEP@HOST`, with `[i]` after a step for a loop and the phase before the step where it is not `step`.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stage)?;
        match self.phase {
            Phase::Step | Phase::Probe | Phase::Finally => f.write_str("/")?,
            Phase::Guard => f.write_str("/guard:")?,
            Phase::Rollback => f.write_str("/rollback:")?,
            Phase::Undo => f.write_str("/undo:")?,
        }
        f.write_str(&self.step)?;
        if let Some(item) = self.item {
            write!(f, "[{item}]")?;
        }
        write!(f, "@{}", self.host)
    }
}

/// The record of a unit on its host: `<run>.<16 hex digits>.<attempt>`; made of `[A-Za-z0-9.-]` only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct JobId(String);

impl JobId {
    /// `attempt` counts from 1.
    pub(crate) fn new(run: &RunId, unit: &Unit, attempt: u32) -> JobId {
        let mut hash = Sha256::new();
        for part in [
            run.as_str(),
            &unit.stage,
            &format!("{:?}", unit.phase),
            &unit.step,
            unit.host.as_str(),
            &unit.item.map(|i| i.to_string()).unwrap_or_default(),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        JobId(format!("{run}.{}.{attempt}", hex(&hash.finalize()[..8])))
    }

    /// A further job of the same unit and attempt; `suffix` is `[a-z0-9-]+`.
    pub(crate) fn part(&self, suffix: &str) -> JobId {
        JobId(format!("{}.{suffix}", self.0))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
