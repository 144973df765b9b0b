//! The state of a run: a fold over its events.

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::{Controller, Event, Fate, Outcome, Record, RunBegan, RunEnd, Segment, StageEnd};
use crate::id::{HostName, JobId, Phase, RunId, Unit};

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
    /// The latest, from 1; 0 where no attempt was announced.
    pub(crate) attempt: u32,
    /// The announcement of the latest attempt, if it was one that changes the host.
    pub(crate) intent: Option<Intent>,
    pub(crate) status: UnitStatus,
    pub(crate) segments: Vec<Segment>,
}

/// What the journal held before the first byte of an attempt left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Intent {
    pub(crate) job: JobId,
    pub(crate) boot: String,
    pub(crate) identity: String,
    pub(crate) digest: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum UnitStatus {
    /// Announced; what became of it stands on the host.
    Open,
    Ended {
        outcome: Outcome,
        result: Value,
        message: Option<String>,
        ignored: bool,
    },
    /// A person said of an unknown unit: it was done (true), or not (false).
    Decided(bool),
    /// To be run again as a new attempt.
    Again,
}

impl UnitState {
    fn counted(&self) -> Option<Outcome> {
        match &self.status {
            UnitStatus::Ended { outcome, .. } => Some(*outcome),
            UnitStatus::Decided(true) => Some(Outcome::Changed),
            _ => None,
        }
    }

    /// Announced, and its end is not known: it must be looked for on the host before anything else.
    pub(crate) fn open(&self) -> Option<&Intent> {
        let open = match &self.status {
            UnitStatus::Open => true,
            UnitStatus::Ended { outcome, .. } => matches!(outcome, Outcome::Unknown | Outcome::Unreachable),
            UnitStatus::Decided(_) | UnitStatus::Again => false,
        };
        self.intent.as_ref().filter(|_| open)
    }
}

/// A stage that began.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StageState {
    pub(crate) title: String,
    /// Its hosts when it began: batches are cut from these, after a resume too.
    pub(crate) hosts: Vec<HostName>,
    /// None: not ended.
    pub(crate) end: Option<StageEnd>,
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
    pub(crate) stages: IndexMap<String, StageState>,
    /// What each `for_each` that was begun goes over, by its path without the index.
    pub(crate) items: IndexMap<String, Vec<Value>>,
    /// Titles of the instances of each group with `for_each`, by the same path.
    pub(crate) groups: IndexMap<String, Vec<String>>,
    /// Instances of groups that are through, by their path with the index.
    pub(crate) complete: Vec<String>,
    /// Units that brought about what their `undo` has not put back.
    pub(crate) left_open: IndexSet<Unit>,
    /// Who takes the run back, and why.
    pub(crate) rolling_back: Option<(String, String)>,
    /// Who holds the run, and why.
    pub(crate) held: Option<(String, String)>,
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
            items: IndexMap::new(),
            groups: IndexMap::new(),
            complete: Vec::new(),
            left_open: IndexSet::new(),
            rolling_back: None,
            held: None,
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

    fn unit(&mut self, unit: &Unit) -> &mut UnitState {
        self.units.entry(unit.clone()).or_insert_with(|| UnitState {
            attempt: 0,
            intent: None,
            status: UnitStatus::Again,
            segments: Vec::new(),
        })
    }

    /// Units of a phase that failed, or whose host did not answer.
    pub(crate) fn failed(&self, phase: Phase) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter_map(move |(unit, known)| {
            let failed = matches!(
                known.status,
                UnitStatus::Ended {
                    outcome: Outcome::Failed | Outcome::Unreachable,
                    ignored: false,
                    ..
                }
            );
            (failed && unit.phase == phase).then_some(unit)
        })
    }

    /// Takes back what ended, and its place in the counts; attempts and announcements stay.
    fn again(&mut self, which: impl Fn(&Unit) -> bool) {
        for (unit, state) in &mut self.units {
            if !which(unit) || state.open().is_some() {
                continue;
            }
            if let (Some(outcome), Some(host)) = (state.counted(), self.hosts.get_mut(&unit.host)) {
                host.counts[outcome as usize] = host.counts[outcome as usize].saturating_sub(1);
            }
            state.status = UnitStatus::Again;
        }
    }

    /// A unit brought nothing about: there is nothing to put back, unless an earlier attempt left something.
    fn nothing_of_ours(&mut self, unit: &Unit) {
        if self.units.get(unit).is_none_or(|known| known.attempt <= 1) {
            self.left_open.shift_remove(unit);
        }
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
                // `finally` belongs to the end of a session: it runs again at the next.
                self.again(|unit| unit.phase == Phase::Finally || unit.phase == Phase::Probe);
                let failed: Vec<Unit> = self.failed(Phase::Undo).cloned().collect();
                self.again(|unit| failed.contains(unit));
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
            Event::StageBegan { stage, title, hosts } => {
                // Again after a resume, with hosts that were decided when it began.
                let state = StageState {
                    title: title.clone(),
                    hosts: hosts.clone(),
                    end: None,
                };
                self.stages.insert(stage.clone(), state);
            }
            Event::StageEnded { stage, end } => {
                self.stages
                    .entry(stage.clone())
                    .or_insert_with(|| StageState {
                        title: stage.clone(),
                        hosts: Vec::new(),
                        end: None,
                    })
                    .end = Some(end.clone());
            }
            Event::Intent {
                unit,
                attempt,
                job,
                boot,
                identity,
                digest,
                undo,
                ..
            } => {
                self.host(&unit.host).touched = true;
                if *undo {
                    self.left_open.insert(unit.clone());
                }
                let state = self.unit(unit);
                state.attempt = *attempt;
                state.status = UnitStatus::Open;
                state.intent = Some(Intent {
                    job: job.clone(),
                    boot: boot.clone(),
                    identity: identity.clone(),
                    digest: digest.clone(),
                });
            }
            Event::Withdrawn { units } => {
                for unit in units {
                    self.nothing_of_ours(unit);
                    let state = self.unit(unit);
                    state.status = UnitStatus::Again;
                    state.intent = None;
                }
            }
            Event::Segment { unit, segment, .. } => self.unit(unit).segments.push(segment.clone()),
            Event::UnitEnded(ended) => {
                let counted = self.units.get(&ended.unit).and_then(|u| u.counted());
                let host = self.host(&ended.unit.host);
                if let Some(outcome) = counted {
                    host.counts[outcome as usize] = host.counts[outcome as usize].saturating_sub(1);
                }
                host.counts[ended.outcome as usize] += 1;
                if matches!(ended.outcome, Outcome::Ok | Outcome::Skipped) {
                    self.nothing_of_ours(&ended.unit);
                }
                let state = self.unit(&ended.unit);
                state.attempt = state.attempt.max(ended.attempt);
                state.status = UnitStatus::Ended {
                    outcome: ended.outcome,
                    result: ended.result.clone(),
                    message: ended.message.clone(),
                    ignored: ended.ignored,
                };
            }
            Event::Decision { unit, done, .. } => {
                let counted = self.units.get(unit).and_then(|u| u.counted());
                if let Some(outcome) = counted {
                    let counts = &mut self.host(&unit.host).counts;
                    counts[outcome as usize] = counts[outcome as usize].saturating_sub(1);
                }
                if !*done {
                    self.nothing_of_ours(unit);
                }
                if *done {
                    self.host(&unit.host).counts[Outcome::Changed as usize] += 1;
                }
                self.unit(unit).status = UnitStatus::Decided(*done);
            }
            Event::HostDecided {
                host,
                stage,
                fate,
                reason,
            } => self.host(host).fate = Some((stage.clone(), *fate, reason.clone())),
            Event::HostRetried { host, stage } => {
                let fate = self.host(host).fate.take().map(|(_, fate, _)| fate);
                let whole = matches!(fate, Some(Fate::RolledBack | Fate::Broken));
                // A rollback that the host did not answer to is still to be done: nothing before it is tried again.
                let pending = self.units.iter().any(|(unit, state)| {
                    unit.host == *host
                        && unit.stage == *stage
                        && unit.phase == Phase::Rollback
                        && matches!(
                            &state.status,
                            UnitStatus::Ended {
                                outcome: Outcome::Unreachable,
                                ..
                            }
                        )
                });
                let failed = |state: &UnitState| {
                    !pending
                        && matches!(
                            &state.status,
                            UnitStatus::Ended {
                                outcome: Outcome::Failed,
                                ignored: false,
                                ..
                            }
                        )
                };
                let units: Vec<Unit> = self
                    .units
                    .iter()
                    .filter(|(unit, state)| unit.host == *host && unit.stage == *stage && (whole || failed(state)))
                    .map(|(unit, _)| unit.clone())
                    .collect();
                self.again(|unit| units.contains(unit));
                if let Some(state) = self.stages.get_mut(stage) {
                    state.end = None;
                }
                self.complete.retain(|group| !stage.starts_with(&format!("{group}/")));
            }
            Event::Items { stage, items, titles } => {
                self.items.entry(stage.clone()).or_insert_with(|| items.clone());
                if !titles.is_empty() {
                    self.groups.entry(stage.clone()).or_insert_with(|| titles.clone());
                }
            }
            Event::GroupEnded { stage } => self.complete.push(stage.clone()),
            Event::Undone { unit } => {
                self.left_open.shift_remove(unit);
            }
            Event::RollbackBegan { who, reason } => {
                self.rolling_back = Some((who.clone(), reason.clone()));
                self.held = None;
                let failed: Vec<Unit> = self.failed(Phase::Rollback).cloned().collect();
                self.again(|unit| failed.contains(unit));
            }
            Event::Held { who, reason } => self.held = Some((who.clone(), reason.clone())),
            Event::Released { .. } => self.held = None,
            Event::Note { text } => self.notes.push(text.clone()),
            Event::RunEnded { how, exit } => self.phase = RunPhase::Ended(*how, *exit),
            Event::RunClosed { .. } => self.phase = RunPhase::Closed,
            Event::BatchBegan { .. }
            | Event::UnitBegan { .. }
            | Event::Progress { .. }
            | Event::Asked { .. }
            | Event::Answered { .. } => {}
        }
    }
}
