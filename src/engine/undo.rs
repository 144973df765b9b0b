//! `undo` of steps: what puts a temporary state back, the last first. It runs when a host's way through the stage is
//! over, however it ended, and at the end of a run for what an earlier session left open.

use std::collections::HashSet;

use super::run::{Halt, Run};
use super::steps::{End, Walk};
use crate::event::{Event, Outcome, UnitStatus};
use crate::id::{HostName, Phase, Unit};
use crate::kind::BoxFuture;
use crate::plan::{self, Instance};
use crate::playbook::{Body, Stage, Step};

/// Puts back what the steps of a stage left open on these hosts.
pub(super) async fn stage(
    run: &Run,
    instance: &Instance<'_>,
    steps: &[&Step],
    batch: &[HostName],
    hosts: impl Iterator<Item = &HostName>,
) -> Result<(), Halt> {
    futures_util::future::try_join_all(hosts.map(|host| one(run, instance, steps, batch, host))).await?;
    Ok(())
}

async fn one(
    run: &Run,
    instance: &Instance<'_>,
    steps: &[&Step],
    batch: &[HostName],
    host: &HostName,
) -> Result<(), Halt> {
    let open: Vec<Unit> = {
        let state = run.state();
        let here = |unit: &&Unit| unit.stage == instance.path && unit.host == *host;
        if state
            .units
            .iter()
            .any(|(unit, known)| here(&unit) && unknown(&known.status))
        {
            // Whether it stands is what a person has to find out first.
            return Ok(());
        }
        state.left_open.iter().filter(here).cloned().collect()
    };
    let walk = Walk {
        run,
        instance: Some(instance),
        path: &instance.path,
        phase: Phase::Undo,
        batch,
        outcome: "running",
        for_all: false,
        deadline: None,
    };
    if !open.is_empty() && to_their_end(run, instance, steps, batch, host).await?.is_some() {
        return Ok(());
    }
    for unit in open.into_iter().rev() {
        let Some(step) = steps.iter().find(|step| step.id == unit.step) else {
            continue;
        };
        let undo: Vec<&Step> = step.undo.iter().collect();
        if walk.steps(host, &undo).await? == End::Done {
            run.emit(vec![Event::Undone { unit }]).await?;
        }
    }
    Ok(())
}

/// Steps of this stage that a host is in the middle of come to their end before anything below them is taken back. Some:
/// how the host's way ended instead.
pub(super) async fn to_their_end(
    run: &Run,
    instance: &Instance<'_>,
    steps: &[&Step],
    batch: &[HostName],
    host: &HostName,
) -> Result<Option<End>, Halt> {
    let open: Vec<Unit> = {
        let state = run.state();
        let here = |unit: &Unit| unit.stage == instance.path && unit.host == *host && unit.phase == Phase::Step;
        let open = state.units.iter();
        open.filter(|(unit, known)| here(unit) && known.open().is_some())
            .map(|(unit, _)| unit.clone())
            .collect()
    };
    let walk = Walk {
        run,
        instance: Some(instance),
        path: &instance.path,
        phase: Phase::Step,
        batch,
        outcome: "running",
        for_all: false,
        deadline: None,
    };
    for unit in open {
        let Some(step) = steps.iter().find(|step| step.id == unit.step) else {
            continue;
        };
        match walk.steps(host, &[*step]).await? {
            End::Done | End::Failed(_) => {}
            end => return Ok(Some(end)),
        }
    }
    Ok(None)
}

fn unknown(status: &UnitStatus) -> bool {
    matches!(
        status,
        UnitStatus::Ended {
            outcome: Outcome::Unknown,
            ..
        }
    )
}

/// Puts back everything that is still open.
pub(super) async fn rest(run: &Run) -> Result<(), Halt> {
    let open = run.state().left_open.clone();
    if open.is_empty() {
        return Ok(());
    }
    let paths: HashSet<String> = open.iter().map(|unit| unit.stage.clone()).collect();
    below(run, &run.loaded.playbook.stages, None, &paths).await?;
    let left: Vec<String> = run.state().left_open.iter().map(Unit::to_string).collect();
    if left.is_empty() {
        return Ok(());
    }
    let text = format!(
        "left open, since what puts it back did not go through: {}",
        left.join(", ")
    );
    run.emit(vec![Event::Note { text }]).await
}

fn below<'a>(
    run: &'a Run,
    stages: &'a [Stage],
    parent: Option<&'a Instance<'a>>,
    paths: &'a HashSet<String>,
) -> BoxFuture<'a, Result<(), Halt>> {
    Box::pin(async move {
        // The last first, as inside a stage.
        for stage in stages.iter().rev() {
            let Ok(instances) = plan::instances(&run.loaded, stage, parent) else {
                continue;
            };
            for instance in instances.iter().rev() {
                match &stage.body {
                    Body::Stages(inner) => below(run, inner, Some(instance), paths).await?,
                    Body::Steps(steps) if paths.contains(&instance.path) => {
                        let hosts: HashSet<HostName> =
                            run.state().left_open.iter().map(|unit| unit.host.clone()).collect();
                        let hosts: Vec<HostName> = hosts.into_iter().collect();
                        let steps: Vec<&Step> = steps.iter().collect();
                        self::stage(run, instance, &steps, &hosts, hosts.iter()).await?;
                    }
                    Body::Steps(_) => {}
                }
            }
        }
        Ok(())
    })
}
