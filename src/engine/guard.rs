//! `guard`: what must hold immediately before a batch. Unmet, it is asked again within its limit, then the run holds;
//! nothing is touched.

use std::time::{Duration, Instant};

use super::run::{Halt, Run};
use super::steps::{Walk, in_one_line, waits};
use serde_json::Value;

use crate::event::Event;
use crate::id::{HostName, Phase, Unit};
use crate::kind::{Done, Failure};
use crate::plan::{self, Instance, Prepared};
use crate::playbook::Step;

/// How long an unmet guard is asked again where its step has no `timeout`.
const LIMIT: Duration = Duration::from_secs(60);
/// How often all guards are asked from the first again because one of them had to be waited for.
const ROUNDS: usize = 5;
const BETWEEN: Duration = Duration::from_secs(2);

pub(crate) enum Guarded {
    Holds,
    /// Why not, in the words of the guard.
    Held(String),
}

/// Asks every guard on every host of the batch (a `run_once` guard on the first).
pub(crate) async fn hold(
    run: &Run,
    instance: &Instance<'_>,
    guard: &[Step],
    batch: &[HostName],
    hosts: &[HostName],
) -> Result<Guarded, Halt> {
    let walk = Walk {
        run,
        instance: Some(instance),
        path: &instance.path,
        phase: Phase::Guard,
        batch,
        outcome: "running",
        for_all: false,
        deadline: None,
    };
    // All must hold at one moment: after a wait for one, those before it are asked again.
    for _ in 0..ROUNDS {
        let mut waited = false;
        for step in guard {
            let asked = if step.run_once {
                &hosts[..hosts.len().min(1)]
            } else {
                hosts
            };
            for host in asked {
                let scope = plan::unit_scope(&run.loaded, walk.place(host).with_step(step), None);
                let items = match plan::items(&run.loaded, step, &scope) {
                    Ok(None) => vec![None],
                    Ok(Some(Ok(items))) => items.into_iter().map(Some).collect(),
                    Ok(Some(Err(names))) => return Ok(held(run, step, host, &waits(&names))),
                    Err(e) => return Ok(held(run, step, host, &in_one_line(&e))),
                };
                let looped = step.loop_.is_some();
                for (index, item) in items.into_iter().enumerate() {
                    let unit = walk.unit(host, step, looped.then_some(index));
                    match one(&walk, host, step, &unit, item).await? {
                        Ok(again) => waited |= again,
                        Err(text) => return Ok(held(run, step, host, &text)),
                    }
                }
            }
        }
        if !waited {
            return Ok(Guarded::Holds);
        }
    }
    Ok(Guarded::Held(
        "its guards hold one after the other, and not together".into(),
    ))
}

fn held(run: &Run, step: &Step, host: &HostName, why: &str) -> Guarded {
    Guarded::Held(format!(
        "guard `{}` does not hold on {host}: {}",
        step.id,
        run.loaded.redactor.clean(why)
    ))
}

/// One guard on one host (and item), asked again until it holds or its limit is over. True: it did not hold at first.
/// Err: why it does not hold.
async fn one(
    walk: &Walk<'_>,
    host: &HostName,
    step: &Step,
    unit: &Unit,
    item: Option<(Value, bool)>,
) -> Result<Result<bool, String>, Halt> {
    let run = walk.run;
    let limit = step.timeout.unwrap_or(LIMIT);
    let begun = Instant::now();
    let mut waited = false;
    let raw = loop {
        match ask(walk, host, step, unit, item.as_ref()).await {
            None => return Ok(Ok(waited)),
            Some(Ok(done)) => break done,
            Some(Err(failure)) => {
                waited = true;
                let left = limit.saturating_sub(begun.elapsed());
                if left.is_zero() || run.stopping() {
                    return Ok(Err(failure.message));
                }
                run.show(Event::Progress {
                    unit: unit.clone(),
                    text: format!(
                        "guard does not hold: {}; {} s left",
                        run.loaded.redactor.clean(&failure.message),
                        left.as_secs()
                    ),
                    bytes: None,
                });
                tokio::select! {
                    () = tokio::time::sleep(BETWEEN.min(left)) => {}
                    () = run.stopped() => return Ok(Err(failure.message)),
                }
            }
        }
    };
    let ready = match super::steps::prepared(walk, host, step, item.as_ref()) {
        Ok(Prepared::Ready(ready)) => Some(ready),
        _ => None,
    };
    let shown = item.filter(|(_, secret)| !secret).map(|(value, _)| value);
    walk.end(step, unit, 0, shown, begun, Ok(raw), ready.as_deref()).await?;
    Ok(Ok(waited))
}

/// None: its `when` is false.
async fn ask(
    walk: &Walk<'_>,
    host: &HostName,
    step: &Step,
    unit: &Unit,
    item: Option<&(Value, bool)>,
) -> Option<Result<Done, Failure>> {
    let ready = match super::steps::prepared(walk, host, step, item) {
        Ok(Prepared::Ready(ready)) => ready,
        Ok(Prepared::Skip(_)) => return None,
        Ok(Prepared::Pending(names)) => {
            return Some(Err(Failure::new(waits(&names))));
        }
        Err(failure) => return Some(Err(failure)),
    };
    let raw = walk.read_only(step, unit, &ready).await;
    Some(walk.judged(step, &ready, raw))
}
