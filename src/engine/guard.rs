//! `guard`: what must hold immediately before a batch. Unmet, it is asked again within its limit, then the run holds;
//! nothing is touched.

use std::time::{Duration, Instant};

use super::run::{Halt, Run};
use super::steps::Walk;
use crate::event::Event;
use crate::id::{HostName, Phase, Unit};
use crate::kind::{Done, Failure};
use crate::plan::{self, Instance, Prepared};
use crate::playbook::Step;

/// How long an unmet guard is asked again where its step has no `timeout`.
const LIMIT: Duration = Duration::from_secs(60);
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
    };
    for step in guard {
        let asked = if step.run_once { &hosts[..hosts.len().min(1)] } else { hosts };
        for host in asked {
            let unit = Unit {
                stage: instance.path.clone(),
                phase: Phase::Guard,
                step: step.id.clone(),
                host: host.clone(),
                item: None,
            };
            let limit = step.timeout.unwrap_or(LIMIT);
            let begun = Instant::now();
            let raw = loop {
                match ask(&walk, host, step, &unit).await {
                    None => break None,
                    Some(Ok(done)) => break Some(Ok(done)),
                    Some(Err(failure)) => {
                        let left = limit.saturating_sub(begun.elapsed());
                        if left.is_zero() || run.stopping() {
                            break Some(Err(failure));
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
                        tokio::time::sleep(BETWEEN.min(left)).await;
                    }
                }
            };
            let Some(raw) = raw else { continue };
            if let Err(failure) = &raw {
                return Ok(Guarded::Held(format!(
                    "guard `{}` does not hold on {host}: {}",
                    step.id,
                    run.loaded.redactor.clean(&failure.message)
                )));
            }
            let ready = match plan::prepare(&run.loaded, walk.place(host), step, None) {
                Ok(Prepared::Ready(ready)) => Some(ready),
                _ => None,
            };
            walk.end(step, &unit, 0, None, begun, raw, ready.as_deref()).await?;
        }
    }
    Ok(Guarded::Holds)
}

/// None: its `when` is false.
async fn ask(walk: &Walk<'_>, host: &HostName, step: &Step, unit: &Unit) -> Option<Result<Done, Failure>> {
    let ready = match super::steps::prepared(walk, host, step, None) {
        Ok(Prepared::Ready(ready)) => ready,
        Ok(Prepared::Skip(_)) => return None,
        Ok(Prepared::Pending(names)) => {
            return Some(Err(Failure::new(format!("waits for {}", names.join(", ")))));
        }
        Err(failure) => return Some(Err(failure)),
    };
    let raw = walk.read_only(step, unit, &ready).await;
    Some(walk.judged(step, &ready, raw))
}
