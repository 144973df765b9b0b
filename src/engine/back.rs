//! `refit rollback`: the stages of a run that began are taken back, the last first, each by its own `rollback`.

use futures_util::future::join_all;

use super::run::{Halt, Run};
use super::stage::{Flow, decide, worse};
use super::steps::{End, Walk, in_one_line};
use crate::event::{Event, Fate, Outcome, RunState, UnitStatus};
use crate::id::{HostName, Phase};
use crate::kind::BoxFuture;
use crate::plan::{self, Instance};
use crate::playbook::{Body, Stage, Step};

/// Takes back everything that the run began. The first batch in which a host does not go back is the last one.
pub(super) async fn all(run: &Run) -> Result<Flow, Halt> {
    let stages = &run.loaded.playbook.stages;
    recall(run, stages, None);
    back(run, stages, None).await
}

/// Binds what the journal has of all registers: steps of a rollback may read them.
fn recall(run: &Run, stages: &[Stage], parent: Option<&Instance<'_>>) {
    for stage in stages {
        let Ok(instances) = plan::instances(&run.loaded, stage, parent) else {
            continue;
        };
        for instance in &instances {
            match &stage.body {
                Body::Stages(inner) => recall(run, inner, Some(instance)),
                Body::Steps(steps) => {
                    for step in steps {
                        for host in &instance.hosts {
                            let walk = walk(
                                run,
                                instance,
                                Phase::Step,
                                &instance.hosts,
                                stage.run_once || step.run_once,
                            );
                            walk.recall(host, step);
                        }
                    }
                }
            }
        }
    }
}

fn walk<'a>(run: &'a Run, instance: &'a Instance<'a>, phase: Phase, batch: &'a [HostName], for_all: bool) -> Walk<'a> {
    Walk {
        run,
        instance: Some(instance),
        path: &instance.path,
        phase,
        batch,
        outcome: "failed",
        for_all,
        deadline: None,
    }
}

fn back<'a>(run: &'a Run, stages: &'a [Stage], parent: Option<&'a Instance<'a>>) -> BoxFuture<'a, Result<Flow, Halt>> {
    Box::pin(async move {
        for stage in stages.iter().rev() {
            let instances = match plan::instances(&run.loaded, stage, parent) {
                Ok(instances) => instances,
                Err(e) => return Ok(Flow::Broken(in_one_line(&e))),
            };
            for instance in instances.iter().rev() {
                let flow = match &stage.body {
                    Body::Stages(inner) => back(run, inner, Some(instance)).await?,
                    Body::Steps(steps) => leaf(run, instance, steps).await?,
                };
                if flow != Flow::On {
                    return Ok(flow);
                }
            }
        }
        Ok(Flow::On)
    })
}

async fn leaf(run: &Run, instance: &Instance<'_>, steps: &[Step]) -> Result<Flow, Halt> {
    let path = &instance.path;
    let (hosts, stays) = {
        let state = run.state();
        let began = state
            .stages
            .get(path)
            .map(|known| known.hosts.clone())
            .unwrap_or_default();
        let hosts: Vec<HostName> = began.into_iter().filter(|host| touched(&state, path, host)).collect();
        let stays = hosts.iter().any(|host| changed(&state, path, host));
        (hosts, stays)
    };
    if hosts.is_empty() {
        return Ok(Flow::On);
    }
    if instance.stage().rollback.is_empty() {
        if stays {
            let text = format!("{path} has no rollback: what it changed stays");
            run.emit(vec![Event::Note { text }]).await?;
        }
        return Ok(Flow::On);
    }
    let limits = match plan::limits(
        &run.loaded,
        &Instance {
            hosts: hosts.clone(),
            ..instance.clone()
        },
    ) {
        Ok(limits) => limits,
        Err(e) => return Ok(Flow::Broken(in_one_line(&e))),
    };
    let mut batches = Vec::new();
    let mut rest = hosts.as_slice();
    for size in limits.batches {
        let (batch, more) = rest.split_at(size.min(rest.len()));
        batches.push(batch);
        rest = more;
    }
    for batch in batches.into_iter().rev() {
        if run.stopping() {
            return Ok(Flow::Stopped);
        }
        let flows = join_all(batch.iter().map(|host| one(run, instance, steps, batch, host))).await;
        let mut flow = Flow::On;
        for host in flows {
            flow = worse(flow, host?);
        }
        if flow != Flow::On {
            return Ok(flow);
        }
    }
    Ok(Flow::On)
}

/// Was something announced for this host here?
fn touched(state: &RunState, path: &str, host: &HostName) -> bool {
    state.units.iter().any(|(unit, known)| {
        unit.stage == path && unit.host == *host && unit.phase == Phase::Step && known.intent.is_some()
    })
}

fn changed(state: &RunState, path: &str, host: &HostName) -> bool {
    state.units.iter().any(|(unit, known)| {
        let ended = match &known.status {
            UnitStatus::Ended { outcome, .. } => *outcome != Outcome::Ok,
            _ => true,
        };
        unit.stage == path && unit.host == *host && unit.phase == Phase::Step && known.intent.is_some() && ended
    })
}

async fn one(
    run: &Run,
    instance: &Instance<'_>,
    steps: &[Step],
    batch: &[HostName],
    host: &HostName,
) -> Result<Flow, Halt> {
    let path = &instance.path;
    let steps: Vec<&Step> = steps.iter().collect();
    if !run.check_mode()
        && let Some(end) = super::undo::to_their_end(run, instance, &steps, batch, host).await?
    {
        return flow(run, host, path, end).await;
    }
    let rollback: Vec<&Step> = instance.stage().rollback.iter().collect();
    let end = walk(run, instance, Phase::Rollback, batch, false)
        .steps(host, &rollback)
        .await?;
    if end == End::Done {
        decide(
            run,
            host,
            path,
            Fate::RolledBack,
            "taken back by `refit rollback`".into(),
        )
        .await?;
        super::undo::stage(run, instance, &steps, batch, std::iter::once(host)).await?;
        return Ok(Flow::On);
    }
    flow(run, host, path, end).await
}

async fn flow(run: &Run, host: &HostName, path: &str, end: End) -> Result<Flow, Halt> {
    Ok(match end {
        End::Done => Flow::On,
        End::Failed(why) => {
            decide(run, host, path, Fate::Broken, format!("its rollback failed: {why}")).await?;
            Flow::Failed
        }
        End::Unreachable(why) => {
            decide(
                run,
                host,
                path,
                Fate::Unreachable,
                format!("its rollback is pending: {why}"),
            )
            .await?;
            Flow::Failed
        }
        End::Unknown(_) => Flow::Unknown,
        End::Stopped => Flow::Stopped,
        End::Paused(text) => Flow::Paused(text),
    })
}
