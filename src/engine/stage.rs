//! Stages in order; inside one: batches, guards, the barrier after every stretch that hosts go through at their own
//! pace, rollback of a failed host at once.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::guard::Guarded;
use super::run::{Halt, Run};
use super::steps::{End, Walk, in_one_line, waits};
use crate::connection::Account;
use crate::event::{Event, Fate, Outcome, StageEnd, UnitStatus};
use crate::id::{HostName, Phase};
use crate::kind::{BoxFuture, Probe};
use crate::plan::{self, Instance, Limits, Place};
use crate::playbook::{Body, Stage, Step};

/// Whether the run goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Flow {
    On,
    /// More hosts failed than a stage allows.
    Failed,
    /// A unit is unknown.
    Unknown,
    /// Asked to stop.
    Stopped,
    Paused(String),
    /// The files do not give what was planned; nothing of this stage was begun.
    Broken(String),
}

/// When the time of a stage, or of a group around it, is over: no step of it begins after that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// A resume gives a stage its time anew. Of two, the earlier counts.
    fn of(stage: &Stage, around: Option<Deadline>) -> Option<Deadline> {
        let own = stage.timeout.map(|limit| Deadline {
            at: Instant::now() + limit,
            limit,
        });
        own.into_iter().chain(around).min_by_key(|deadline| deadline.at)
    }

    /// Will it be over after this time? Some: what to say of a host that is not through.
    pub(crate) fn over(self, after: Duration) -> Option<String> {
        (Instant::now() + after >= self.at)
            .then(|| format!("the stage's time of {} s is over", self.limit.as_secs_f64()))
    }
}

/// Walks through stages, groups inside out.
pub(crate) fn stages<'a>(
    run: &'a Run,
    list: &'a [Stage],
    parent: Option<&'a Instance<'a>>,
    around: Option<Deadline>,
) -> BoxFuture<'a, Result<Flow, Halt>> {
    Box::pin(async move {
        for stage in list {
            let instances = match plan::instances(&run.loaded, stage, parent) {
                Ok(instances) => instances,
                Err(e) => return Ok(Flow::Broken(in_one_line(&e))),
            };
            let path = plan::stage_path(stage, parent);
            let known = instances.iter().all(|instance| instance.pending.is_empty());
            if stage.for_each.is_some() && known && !run.state().items.contains_key(&path) {
                let items = plan::Items::of(&run.loaded, stage, &instances);
                run.emit(vec![items.event(&run.loaded, &path)]).await?;
            }
            if instances.is_empty() {
                end(run, &path, StageEnd::Skipped(plan::NOTHING.to_owned())).await?;
            }
            for instance in instances {
                let deadline = Deadline::of(stage, around);
                let flow = match &stage.body {
                    Body::Stages(inner) => group(run, inner, &instance, deadline).await?,
                    Body::Steps(steps) => leaf(run, &instance, steps, deadline).await?,
                };
                if flow != Flow::On {
                    return Ok(flow);
                }
            }
        }
        Ok(Flow::On)
    })
}

/// One item of a group. The instance lives as long as its stages run.
async fn group(run: &Run, inner: &[Stage], instance: &Instance<'_>, deadline: Option<Deadline>) -> Result<Flow, Halt> {
    let flow = stages(run, inner, Some(instance), deadline).await?;
    let ended = flow == Flow::On && instance.item.is_some();
    if ended && !run.state().complete.contains(&instance.path) {
        let stage = instance.path.clone();
        run.emit(vec![Event::GroupEnded { stage }]).await?;
    }
    Ok(flow)
}

async fn leaf(run: &Run, instance: &Instance<'_>, steps: &[Step], deadline: Option<Deadline>) -> Result<Flow, Halt> {
    let stage = instance.stage();
    let path = &instance.path;
    let taken: Vec<&Step> = steps
        .iter()
        .filter(|step| run.loaded.tags.take(&plan::tags_of(&instance.chain, step)))
        .collect();
    if !instance.pending.is_empty() {
        return Ok(Flow::Broken(format!(
            "stage {path}: its `for_each`: {}",
            waits(&instance.pending)
        )));
    }
    let skip = if instance.hosts.is_empty() {
        Some("limit and exclusions leave no host")
    } else if taken.is_empty() {
        Some("no step has the tags asked for")
    } else {
        None
    };
    if let Some(why) = skip {
        end(run, path, StageEnd::Skipped(why.to_owned())).await?;
        return Ok(Flow::On);
    }
    let limits = match plan::limits(&run.loaded, instance) {
        Ok(limits) => limits,
        Err(e) => return Ok(Flow::Broken(in_one_line(&e))),
    };
    let began = run
        .state()
        .stages
        .get(path)
        .map(|known| known.hosts.clone())
        .unwrap_or_default();
    // A host that was decided when the stage began, and that a resume takes up again, comes after the others.
    let new: Vec<HostName> = match (stage.run_once, began.is_empty()) {
        (true, false) => Vec::new(),
        _ => undecided(run, &instance.hosts)
            .into_iter()
            .filter(|host| !began.contains(host))
            .collect(),
    };
    let hosts = if !began.is_empty() && new.is_empty() {
        began
    } else {
        if new.is_empty() {
            end(run, path, StageEnd::Skipped("every host of it is decided".into())).await?;
            return Ok(Flow::On);
        }
        if !released(run, path).await? {
            return Ok(Flow::Stopped);
        }
        let new = undecided(run, &new);
        let lost = unreachable(run, &new).await;
        if run.stopping() {
            return Ok(Flow::Stopped);
        }
        let over = !lost.is_empty() && failed(run, path) + lost.len() > limits.max_fail;
        for (host, cause) in lost {
            decide(run, &host, path, Fate::Unreachable, cause).await?;
        }
        if over {
            end(run, path, StageEnd::Failed).await?;
            return Ok(Flow::Failed);
        }
        let mut hosts = began;
        let new = undecided(run, &new);
        hosts.extend(new.into_iter().take(if stage.run_once { 1 } else { usize::MAX }));
        if let Some(first) = hosts.first() {
            let title = run.loaded.scope(Place {
                instance: Some(instance),
                ..Place::host(first)
            });
            run.emit(vec![Event::StageBegan {
                stage: path.clone(),
                title: plan::title(&run.loaded, &stage.name, &title),
                hosts: hosts.clone(),
            }])
            .await?;
        }
        hosts
    };
    let ended = run.state().stages.get(path).and_then(|known| known.end.clone());
    let replayed = ended == Some(StageEnd::Done);
    let flow = batches(run, instance, &taken, &hosts, &limits, replayed, deadline).await?;
    let how = match &flow {
        Flow::On => StageEnd::Done,
        Flow::Failed => StageEnd::Failed,
        _ => StageEnd::Open,
    };
    if ended.as_ref() != Some(&how) {
        end(run, path, how).await?;
    }
    Ok(flow)
}

async fn end(run: &Run, path: &str, how: StageEnd) -> Result<(), Halt> {
    run.emit(vec![Event::StageEnded {
        stage: path.to_owned(),
        end: how,
    }])
    .await
}

/// Waits while somebody holds the run. False: asked to stop.
async fn released(run: &Run, path: &str) -> Result<bool, Halt> {
    let holder = run.state().held.clone();
    if let (Some((who, reason)), false) = (holder, run.stopping()) {
        run.emit(vec![Event::Note {
            text: format!(
                "{path} does not go on: held by {who}: {reason}; `refit go {}` lets it",
                run.id
            ),
        }])
        .await?;
    }
    while run.state().held.is_some() {
        tokio::select! {
            () = tokio::time::sleep(HELD) => {}
            () = run.stopped() => break,
        }
    }
    Ok(!run.stopping())
}

/// Between two looks at whether a run is held.
const HELD: Duration = Duration::from_millis(200);

fn undecided(run: &Run, hosts: &[HostName]) -> Vec<HostName> {
    let state = run.state();
    hosts
        .iter()
        .filter(|host| state.hosts.get(*host).is_none_or(|h| h.fate.is_none()))
        .cloned()
        .collect()
}

pub(super) async fn decide(run: &Run, host: &HostName, path: &str, fate: Fate, reason: String) -> Result<(), Halt> {
    let reason = run.loaded.redactor.clean(&reason);
    // Whoever took the host out meanwhile does not want it counted, and wants to know.
    let event = if excluded(run, host) {
        Event::Note {
            text: format!("{host}, which is excluded, did not get through {path}: {reason}"),
        }
    } else {
        Event::HostDecided {
            host: host.clone(),
            stage: path.to_owned(),
            fate,
            reason,
        }
    };
    run.emit(vec![event]).await
}

fn excluded(run: &Run, host: &HostName) -> bool {
    let state = run.state();
    let fate = state.hosts.get(host).and_then(|known| known.fate.as_ref());
    matches!(fate, Some((_, Fate::Excluded, _)))
}

/// Hosts that do not answer now, so that a stage begins nowhere when it could not end.
async fn unreachable(run: &Run, hosts: &[HostName]) -> Vec<(HostName, String)> {
    let ping = |host: HostName| async move {
        let Some(on) = run.host(&host) else {
            return Some((host, "it was not reached".to_owned()));
        };
        for last in [false, true] {
            let link = match on.link(run).await {
                Ok(link) => link,
                Err(away) => return Some((host, away.0)),
            };
            match link.probes(&Account::Login, &[Probe::new(":")]).await {
                Ok(_) => return None,
                Err(lost) if last => return Some((host, lost.text)),
                Err(_) => on.drop_link(&link).await,
            }
        }
        None
    };
    join_all(hosts.iter().cloned().map(ping))
        .await
        .into_iter()
        .flatten()
        .collect()
}

/// Hosts that failed in this stage, or were lost before and first belong to it.
fn failed(run: &Run, path: &str) -> usize {
    let state = run.state();
    state
        .hosts
        .values()
        .filter(|host| {
            host.fate
                .as_ref()
                .is_some_and(|(stage, fate, _)| stage == path && !matches!(fate, Fate::Excluded | Fate::Unknown))
        })
        .count()
}

async fn batches(
    run: &Run,
    instance: &Instance<'_>,
    steps: &[&Step],
    hosts: &[HostName],
    limits: &Limits,
    replayed: bool,
    deadline: Option<Deadline>,
) -> Result<Flow, Halt> {
    let path = &instance.path;
    let sizes = match plan::limits(
        &run.loaded,
        &Instance {
            hosts: hosts.to_vec(),
            ..instance.clone()
        },
    ) {
        Ok(limits) => limits.batches,
        Err(e) => return Ok(Flow::Broken(in_one_line(&e))),
    };
    let forks = Arc::new(Semaphore::new(limits.forks));
    let mut rest = hosts;
    for (index, size) in sizes.iter().enumerate() {
        let (batch, more) = rest.split_at((*size).min(rest.len()));
        rest = more;
        let open = !replayed
            && undecided(run, batch)
                .iter()
                .any(|host| !through(run, path, host, steps));
        if open {
            // After a crash a host may stand between two steps: what was begun is not held.
            if run.stopping() || (!begun(run, path, batch) && !released(run, path).await?) {
                return Ok(Flow::Stopped);
            }
            if let Some(text) = deadline.and_then(|deadline| deadline.over(Duration::ZERO)) {
                // Nothing of it began on them: there is nothing to roll back.
                for host in undecided(run, batch) {
                    decide(run, &host, path, Fate::Failed, text.clone()).await?;
                }
                return Ok(Flow::Failed);
            }
            if let Guarded::Held(text) = guarded(run, instance, batch).await? {
                // Whoever asked to stop did not wait for the guard's limit.
                return Ok(if run.stopping() {
                    Flow::Stopped
                } else {
                    Flow::Paused(text)
                });
            }
            if sizes.len() > 1 {
                run.emit(vec![Event::BatchBegan {
                    stage: path.clone(),
                    batch: index,
                    batches: sizes.len(),
                    hosts: batch.to_vec(),
                }])
                .await?;
            }
        }
        match one_batch(run, instance, steps, batch, &forks, deadline).await? {
            Flow::On => {}
            flow => return Ok(flow),
        }
        if failed(run, path) > limits.max_fail {
            return Ok(Flow::Failed);
        }
    }
    Ok(Flow::On)
}

/// Was a step of this stage begun on a host of this batch?
fn begun(run: &Run, path: &str, batch: &[HostName]) -> bool {
    let state = run.state();
    state.units.iter().any(|(unit, known)| {
        unit.stage == path
            && unit.phase == Phase::Step
            && batch.contains(&unit.host)
            && known.status != UnitStatus::Again
    })
}

/// Has this host been through its last step here?
fn through(run: &Run, path: &str, host: &HostName, steps: &[&Step]) -> bool {
    let Some(last) = steps.last() else { return true };
    let state = run.state();
    state.units.iter().any(|(unit, known)| {
        unit.stage == path
            && unit.phase == Phase::Step
            && unit.step == last.id
            && unit.host == *host
            && matches!(known.status, UnitStatus::Ended { .. } | UnitStatus::Decided(true))
    })
}

async fn guarded(run: &Run, instance: &Instance<'_>, batch: &[HostName]) -> Result<Guarded, Halt> {
    let stage = instance.stage();
    if stage.guard.is_empty() || run.check_mode() {
        return Ok(Guarded::Holds);
    }
    let hosts = undecided(run, batch);
    super::guard::hold(run, instance, &stage.guard, batch, &hosts).await
}

/// Stretches of steps that hosts go through at their own pace; a barrier stands between two of them.
pub(super) fn stretches(steps: &[&Step], lockstep: bool) -> Vec<Range<usize>> {
    let mut list: Vec<Range<usize>> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let barrier = |step: &Step| lockstep || step.run_once || step.kind.name() == "pause";
        match list.last_mut() {
            Some(last) if !barrier(step) && !barrier(steps[index - 1]) => last.end = index + 1,
            _ => list.push(index..index + 1),
        }
    }
    list
}

async fn one_batch(
    run: &Run,
    instance: &Instance<'_>,
    steps: &[&Step],
    batch: &[HostName],
    forks: &Arc<Semaphore>,
    deadline: Option<Deadline>,
) -> Result<Flow, Halt> {
    let stage = instance.stage();
    let mut flow = Flow::On;
    // Hosts that a failed `run_once` leaves where they are: not failed, and not to go on.
    let mut held: HashSet<HostName> = HashSet::new();
    // Whom somebody excludes from here on is not left between two steps: it ends the batch, and begins nothing more.
    let begun = undecided(run, batch);
    for stretch in stretches(steps, stage.lockstep) {
        let part = &steps[stretch];
        let open = undecided(run, &begun);
        let hosts: Vec<HostName> = begun
            .iter()
            .filter(|host| !held.contains(*host) && (open.contains(host) || excluded(run, host)))
            .cloned()
            .collect();
        if hosts.is_empty() {
            break;
        }
        let once = part.len() == 1 && (part[0].run_once || part[0].kind.name() == "pause");
        let runners: Vec<HostName> = if once {
            runner(run, instance, part[0], &hosts)
        } else {
            hosts.clone()
        };
        let walk = Walk {
            run,
            instance: Some(instance),
            path: &instance.path,
            phase: Phase::Step,
            batch,
            outcome: "running",
            for_all: once || stage.run_once,
            deadline,
        };
        let walk = &walk;
        let ends = join_all(runners.iter().map(|host| async move {
            let _slot = (forks.acquire().await, run.forks.acquire().await);
            let end = match rolling_back(run, &instance.path, host) {
                Some(why) => End::Failed(why),
                None => walk.steps(host, part).await?,
            };
            let end = settle(run, instance, batch, host, end).await?;
            Ok::<End, Halt>(end)
        }))
        .await;
        for (host, end) in runners.iter().zip(ends) {
            match end? {
                End::Done => {}
                End::Failed(_) | End::Unreachable(_) => {
                    held.insert(host.clone());
                    if once {
                        held.extend(hosts.iter().filter(|other| *other != host).cloned());
                        flow = worse(flow, Flow::Failed);
                    }
                }
                End::Unknown(_) => {
                    if once {
                        held.extend(hosts.iter().cloned());
                    }
                    held.insert(host.clone());
                    flow = worse(flow, Flow::Unknown);
                }
                End::Stopped => {
                    held.insert(host.clone());
                    flow = worse(flow, Flow::Stopped);
                }
                End::Paused(text) => {
                    held.extend(hosts.iter().cloned());
                    flow = worse(flow, Flow::Paused(text));
                }
            }
        }
        if matches!(flow, Flow::Stopped | Flow::Paused(_)) {
            break;
        }
    }
    if !matches!(flow, Flow::Stopped | Flow::Paused(_)) {
        super::undo::stage(run, instance, steps, batch, batch.iter()).await?;
    }
    if !run.check_mode() {
        join_all(
            batch
                .iter()
                .filter_map(|host| run.host(host))
                .map(|on| async move { on.flush().await }),
        )
        .await;
    }
    Ok(flow)
}

/// Who runs a step for all: whoever ran it before (in an earlier batch, before a crash), else the first host.
fn runner(run: &Run, instance: &Instance<'_>, step: &Step, hosts: &[HostName]) -> Vec<HostName> {
    let state = run.state();
    let before = state
        .units
        .iter()
        .find(|(unit, known)| {
            unit.stage == instance.path
                && unit.phase == Phase::Step
                && unit.step == step.id
                && known.status != UnitStatus::Again
        })
        .map(|(unit, _)| unit.host.clone());
    match before {
        Some(host) => vec![host],
        None => hosts.iter().take(1).cloned().collect(),
    }
}

/// A host whose rollback began goes only back, whatever this session would think of what led to it.
fn rolling_back(run: &Run, path: &str, host: &HostName) -> Option<String> {
    let state = run.state();
    let here = |phase: Phase| {
        state
            .units
            .iter()
            .filter(move |(unit, _)| unit.stage == path && unit.phase == phase && unit.host == *host)
    };
    if !here(Phase::Rollback).any(|(_, known)| known.status != UnitStatus::Again) {
        return None;
    }
    let why = here(Phase::Step).find_map(|(_, known)| match &known.status {
        UnitStatus::Ended {
            outcome: Outcome::Failed,
            message,
            ignored: false,
            ..
        } => message.clone(),
        _ => None,
    });
    Some(why.unwrap_or_else(|| "its rollback had begun".to_owned()))
}

pub(super) fn worse(a: Flow, b: Flow) -> Flow {
    let rank = |flow: &Flow| match flow {
        Flow::On => 0,
        Flow::Failed => 1,
        Flow::Paused(_) => 2,
        Flow::Stopped => 3,
        Flow::Unknown => 4,
        Flow::Broken(_) => 5,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

/// Decides a host whose way ended: rollback at once where it failed and the stage has one.
async fn settle(
    run: &Run,
    instance: &Instance<'_>,
    batch: &[HostName],
    host: &HostName,
    end: End,
) -> Result<End, Halt> {
    let stage = instance.stage();
    let path = &instance.path;
    match &end {
        End::Failed(reason) => {
            if stage.rollback.is_empty() || run.check_mode() {
                decide(run, host, path, Fate::Failed, reason.clone()).await?;
                return Ok(end);
            }
            let walk = Walk {
                run,
                instance: Some(instance),
                path,
                phase: Phase::Rollback,
                batch,
                outcome: "failed",
                for_all: false,
                deadline: None,
            };
            let steps: Vec<&Step> = stage.rollback.iter().collect();
            match walk.steps(host, &steps).await? {
                End::Done => decide(run, host, path, Fate::RolledBack, reason.clone()).await?,
                End::Failed(why) => {
                    let text = format!("{reason}; its rollback failed: {why}");
                    decide(run, host, path, Fate::Broken, text).await?;
                }
                End::Unreachable(why) => {
                    let text = format!("{reason}; its rollback is pending: {why}");
                    decide(run, host, path, Fate::Unreachable, text).await?;
                }
                other => return Ok(other),
            }
            Ok(end)
        }
        End::Unreachable(reason) => {
            decide(run, host, path, Fate::Unreachable, reason.clone()).await?;
            Ok(end)
        }
        _ => Ok(end),
    }
}
