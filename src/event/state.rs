//! The state of a run: a fold over its events.

use indexmap::IndexMap;
use serde_json::Value;

use super::{Controller, Event, Fate, Outcome, Record, RunBegan, RunEnd, StageEnd};
use crate::id::{HostName, JobId, RunId, Unit};
use crate::kind::Segment;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunPhase {
    /// Begun and not ended: its controller lives, or was killed.
    Running,
    Ended(RunEnd, u8),
    Closed,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnitState {
    pub(crate) attempt: u32,
    pub(crate) status: UnitStatus,
    pub(crate) segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum UnitStatus {
    /// Announced in the journal; what became of it stands on the host.
    Intent {
        job: JobId,
        boot: String,
        identity: String,
        digest: String,
    },
    Ended {
        outcome: Outcome,
        result: Value,
        message: Option<String>,
        ignored: bool,
    },
    /// A person said of an unknown unit: it was done (true), or not (false).
    Decided(bool),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HostState {
    pub(crate) identity: Option<String>,
    pub(crate) boot: Option<String>,
    pub(crate) lost: Option<String>,
    /// The stage in which it was decided, how, and why.
    pub(crate) fate: Option<(String, Fate, String)>,
    /// A job was announced for it.
    pub(crate) touched: bool,
    /// Units by outcome, in the order of `Outcome`.
    pub(crate) counts: [usize; 6],
}

/// Everything that recap, progress, exit code and resume read.
#[derive(Clone, Debug)]
pub(crate) struct RunState {
    pub(crate) run: RunId,
    pub(crate) began: Option<RunBegan>,
    pub(crate) started: Option<jiff::Timestamp>,
    pub(crate) last: Option<jiff::Timestamp>,
    pub(crate) controller: Option<Controller>,
    pub(crate) epoch: i64,
    pub(crate) phase: RunPhase,
    pub(crate) seq: i64,
    pub(crate) units: IndexMap<Unit, UnitState>,
    pub(crate) hosts: IndexMap<HostName, HostState>,
    /// None: begun and not ended.
    pub(crate) stages: IndexMap<String, Option<StageEnd>>,
    pub(crate) notes: Vec<String>,
}

impl RunState {
    pub(crate) fn new(run: RunId) -> RunState {
        RunState {
            run,
            began: None,
            started: None,
            last: None,
            controller: None,
            epoch: 0,
            phase: RunPhase::Running,
            seq: 0,
            units: IndexMap::new(),
            hosts: IndexMap::new(),
            stages: IndexMap::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn fold<'a>(run: RunId, records: impl IntoIterator<Item = &'a Record>) -> RunState {
        let mut state = RunState::new(run);
        for record in records {
            state.apply(record);
        }
        state
    }

    fn host(&mut self, host: &HostName) -> &mut HostState {
        self.hosts.entry(host.clone()).or_default()
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        self.seq = self.seq.max(record.seq);
        self.last = Some(record.at);
        match &record.event {
            Event::RunBegan(began) => {
                self.started = Some(record.at);
                for host in &began.hosts {
                    self.host(host);
                }
                for (host, reason) in &began.excluded {
                    self.host(host).fate = Some((String::new(), Fate::Excluded, reason.clone()));
                }
                self.began = Some((**began).clone());
            }
            Event::Attached { controller, epoch, .. } => {
                self.controller = Some(controller.clone());
                self.epoch = *epoch;
                self.phase = RunPhase::Running;
            }
            Event::Replanned { recipe } => {
                if let Some(began) = &mut self.began {
                    began.recipe = recipe.clone();
                }
            }
            Event::HostSurveyed { host, identity, boot } => {
                let host = self.host(host);
                host.identity = Some(identity.clone());
                host.boot = Some(boot.clone());
                host.lost = None;
            }
            Event::HostLost { host, cause } => self.host(host).lost = Some(cause.clone()),
            Event::StageBegan { stage, .. } => {
                self.stages.insert(stage.clone(), None);
            }
            Event::StageEnded { stage, end } => {
                self.stages.insert(stage.clone(), Some(end.clone()));
            }
            Event::Intent {
                unit,
                attempt,
                job,
                boot,
                identity,
                digest,
                ..
            } => {
                self.host(&unit.host).touched = true;
                let segments = self.units.get(unit).map(|u| u.segments.clone()).unwrap_or_default();
                self.units.insert(
                    unit.clone(),
                    UnitState {
                        attempt: *attempt,
                        status: UnitStatus::Intent {
                            job: job.clone(),
                            boot: boot.clone(),
                            identity: identity.clone(),
                            digest: digest.clone(),
                        },
                        segments,
                    },
                );
            }
            Event::Segment { unit, segment, .. } => {
                if let Some(state) = self.units.get_mut(unit) {
                    state.segments.push(segment.clone());
                }
            }
            Event::UnitEnded(ended) => {
                let before = self.units.get(&ended.unit);
                let segments = before.map(|u| u.segments.clone()).unwrap_or_default();
                let counted = before.and_then(|u| match &u.status {
                    UnitStatus::Ended { outcome, .. } => Some(*outcome),
                    _ => None,
                });
                let host = self.host(&ended.unit.host);
                if let Some(outcome) = counted {
                    host.counts[outcome as usize] = host.counts[outcome as usize].saturating_sub(1);
                }
                host.counts[ended.outcome as usize] += 1;
                self.units.insert(
                    ended.unit.clone(),
                    UnitState {
                        attempt: ended.attempt,
                        status: UnitStatus::Ended {
                            outcome: ended.outcome,
                            result: ended.result.clone(),
                            message: ended.message.clone(),
                            ignored: ended.ignored,
                        },
                        segments,
                    },
                );
            }
            Event::Decision { unit, done, .. } => {
                if let Some(state) = self.units.get_mut(unit) {
                    state.status = UnitStatus::Decided(*done);
                }
            }
            Event::HostDecided {
                host,
                stage,
                fate,
                reason,
            } => self.host(host).fate = Some((stage.clone(), *fate, reason.clone())),
            Event::HostRetried { host, .. } => self.host(host).fate = None,
            Event::Note { text } => self.notes.push(text.clone()),
            Event::RunEnded { how, exit } => self.phase = RunPhase::Ended(*how, *exit),
            Event::RunClosed { .. } => self.phase = RunPhase::Closed,
            Event::BatchBegan { .. } | Event::UnitBegan { .. } | Event::Progress { .. } => {}
        }
    }

    /// In the way of a new run on its hosts.
    pub(crate) fn unfinished(&self) -> bool {
        match self.phase {
            RunPhase::Running => true,
            RunPhase::Ended(RunEnd::Unknown | RunEnd::Paused | RunEnd::Interrupted, _) => true,
            RunPhase::Ended(RunEnd::Done | RunEnd::Failed | RunEnd::Refused, _) | RunPhase::Closed => false,
        }
    }
}
