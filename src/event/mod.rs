//! What happened in a run, as owned, serialisable events; the state of a run is a pure fold over them. No IO, no async.

mod segment;
mod state;

pub(crate) use segment::{Segment, SegmentState};
pub(crate) use state::{HostState, Intent, RunPhase, RunState, UnitStatus};

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{HostName, JobId, RunId, Unit};

/// What became of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Ok,
    Changed,
    Skipped,
    Failed,
    Unreachable,
    Unknown,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Changed => "changed",
            Outcome::Skipped => "skipped",
            Outcome::Failed => "failed",
            Outcome::Unreachable => "unreachable",
            Outcome::Unknown => "unknown",
        }
    }
}

/// An event with its place in the run's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// From 1, without gaps inside a run; 0 for events that are shown and not journalled.
    pub(crate) seq: i64,
    pub(crate) run: RunId,
    pub(crate) at: jiff::Timestamp,
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// All text in it was redacted before it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    RunBegan(Box<RunBegan>),
    /// A controller takes the run up (first start, resume, takeover).
    Attached {
        controller: Controller,
        epoch: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        takeover: Option<String>,
    },
    /// A changed recipe was accepted with `--accept`: what is planned from here on.
    Replanned {
        recipe: Digests,
    },
    HostSurveyed {
        host: HostName,
        /// The host's id file, or what stands in for it before the first run.
        identity: String,
        boot: String,
    },
    /// Not reached at a survey or lost later; `cause` holds ssh's own words.
    HostLost {
        host: HostName,
        cause: String,
    },
    StageBegan {
        stage: String,
        title: String,
        hosts: Vec<HostName>,
    },
    /// What a `for_each` goes over, before the first unit of it, or before the first of the run where a probe gave it: a
    /// probe may say something else after a resume.
    Items {
        stage: String,
        items: Vec<Value>,
        /// Of a group, what each instance is called.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        titles: Vec<String>,
    },
    /// An instance of a group with `for_each` is through: a safe place to stop.
    GroupEnded {
        /// The group's path, with the index.
        stage: String,
    },
    BatchBegan {
        stage: String,
        batch: usize,
        batches: usize,
        hosts: Vec<HostName>,
    },
    StageEnded {
        stage: String,
        end: StageEnd,
    },
    /// Shown, not journalled: work on a unit begins.
    UnitBegan {
        unit: Unit,
        kind: String,
        title: String,
    },
    /// Shown, not journalled: what a unit waits for, or how far an upload is.
    Progress {
        unit: Unit,
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<(u64, u64)>,
    },
    /// Shown, not journalled: a person at the terminal is asked for a line, and nothing else may be drawn meanwhile.
    Asked {
        unit: Unit,
        prompt: String,
    },
    /// Shown, not journalled: the line was read, or is not waited for any more.
    Answered {
        unit: Unit,
    },
    /// Committed before the first byte of an attempt leaves.
    Intent {
        unit: Unit,
        attempt: u32,
        job: JobId,
        boot: String,
        identity: String,
        /// Of the script or of the parameters.
        digest: String,
        kind: String,
        /// The step says how to put back what it brings about: from here on the host is left open.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        undo: bool,
    },
    /// What a step brought about was put back.
    Undone {
        unit: Unit,
    },
    /// Announced in a frame that ended before them: they never began, and the host said so.
    Withdrawn {
        units: Vec<Unit>,
    },
    Segment {
        unit: Unit,
        attempt: u32,
        segment: Segment,
    },
    UnitEnded(Box<UnitEnded>),
    /// What a person decided about an unknown unit.
    Decision {
        unit: Unit,
        done: bool,
        who: String,
        reason: String,
    },
    /// The host takes no further stages.
    HostDecided {
        host: HostName,
        stage: String,
        fate: Fate,
        reason: String,
    },
    /// Somebody takes the run back: from here on it goes no other way.
    RollbackBegan {
        who: String,
        reason: String,
    },
    /// Somebody wants nothing new to begin: no batch and no stage, in this session or a later one.
    Held {
        who: String,
        reason: String,
    },
    /// Somebody lets a held run go on.
    Released {
        who: String,
        reason: String,
    },
    /// Resume takes a decided host up again, from this stage on.
    HostRetried {
        host: HostName,
        stage: String,
    },
    Note {
        text: String,
    },
    /// The controller stops here; `how` says whether the run is over.
    RunEnded {
        how: RunEnd,
        exit: u8,
    },
    /// A run that nobody will take up again: abort, or a later run on its hosts.
    RunClosed {
        who: String,
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunBegan {
    pub(crate) playbook: PathBuf,
    pub(crate) name: String,
    /// As given with `-i` (or from refit.yml).
    pub(crate) sources: Vec<String>,
    /// As given with `-e`.
    pub(crate) extra: Vec<String>,
    pub(crate) limit: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) skip_tags: Vec<String>,
    /// The folder that all of these are relative to.
    pub(crate) folder: PathBuf,
    pub(crate) forks: Option<usize>,
    pub(crate) environment: Option<String>,
    pub(crate) excluded: Vec<(HostName, String)>,
    /// Every host of the run, the excluded ones too.
    pub(crate) hosts: Vec<HostName>,
    pub(crate) recipe: Digests,
    pub(crate) plan: String,
    pub(crate) version: String,
    /// A run of `refit schema update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<OneSchema>,
    /// Check mode: nothing is changed, and nothing is journalled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) check: bool,
}

/// `refit schema update … --database NAME [--dir DIR] [--to V]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OneSchema {
    pub(crate) database: String,
    /// Absolute.
    pub(crate) dir: Option<String>,
    pub(crate) to: Option<String>,
    /// Only look at what is there.
    #[serde(default)]
    pub(crate) status: bool,
}

/// What the recipe consists of: the whole's digest, and each part's, to name what changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digests {
    pub(crate) whole: String,
    /// Path or name to digest.
    pub(crate) parts: BTreeMap<String, String>,
}

/// Who drives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Controller {
    pub(crate) user: String,
    pub(crate) machine: String,
    pub(crate) pid: u32,
    /// Of the controller's machine: with the pid and its start time it tells whether that process still lives.
    pub(crate) boot: String,
    pub(crate) start_time: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnitEnded {
    pub(crate) unit: Unit,
    pub(crate) attempt: u32,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) outcome: Outcome,
    /// What a register holds; redacted.
    pub(crate) result: Value,
    /// Why it failed, was skipped or is unknown; debug's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) diff: Option<String>,
    /// The command as a person would know it, for the report of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
    pub(crate) seconds: f64,
    /// Failed under `ignore_errors`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ignored: bool,
    /// Its loop item, for the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StageEnd {
    /// Done, or failed within `max_fail`.
    Done,
    /// More hosts failed than `max_fail` allows.
    Failed,
    /// Not run, and why: its `when`, the limit, an exclusion, tags.
    Skipped(String),
    /// Stopped before it was decided: Ctrl-C, a pause, an unknown unit.
    Open,
}

/// Why a host takes no further stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    Failed,
    Unreachable,
    Excluded,
    /// Failed, and its rollback went through to the end.
    RolledBack,
    /// Failed, and its rollback failed too.
    Broken,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunEnd {
    /// Exit 0.
    Done,
    /// Exit 2 or 3: in nobody's way; resume takes it up.
    Failed,
    /// Exit 4.
    Unknown,
    /// Exit 6.
    Paused,
    /// Exit 130 or 143: stopped after what was running, or left with jobs alive.
    Interrupted,
    /// Somebody closed it: nothing goes on.
    Closed,
    /// Exit 1, 7: nothing was touched.
    Refused,
}

/// Who is shown every event, with the state after it; a reporter only watches.
pub(crate) trait Watch: Send {
    fn see(&mut self, record: &Record, state: &RunState);
}

impl Event {
    /// Shown, and not kept in the journal.
    pub(crate) fn passing(&self) -> bool {
        matches!(
            self,
            Event::UnitBegan { .. } | Event::Progress { .. } | Event::Asked { .. } | Event::Answered { .. }
        )
    }
}
