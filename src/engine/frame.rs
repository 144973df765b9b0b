//! Several units of one host and account: one read-only frame with every check, then one frame of jobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::host::{Away, Host};
use super::job::{JobEnd, announced, ended, intent};
use super::run::Halt;
use super::steps::{End, FrameUnit, FrameWhat, Reg, Walk};
use crate::connection::{Account, Start};
use crate::event::{Event, Intent, Outcome};
use crate::id::{HostName, JobId, Unit};
use crate::job::JobState;
use crate::kind::{Action, Done, Facts, Failure, Job, Output, Probe, ShellAction, Verdict};
use crate::plan::Ready;

type Results = HashMap<Unit, Reg>;

/// A job of the frame.
struct Ordered<'f, 'a> {
    unit: &'f FrameUnit<'a>,
    ready: &'f Ready,
    job: Job,
    id: JobId,
    attempt: u32,
    /// What the check said will change.
    diff: Option<String>,
}

impl Walk<'_> {
    /// Gives what is through, and how the host's way ended if it ended here. Units that are in neither were not begun.
    pub(crate) async fn frame(
        &self,
        host: &HostName,
        frame: Vec<FrameUnit<'_>>,
    ) -> Result<(Results, Option<End>), Halt> {
        let mut results = Results::new();
        let Some((on, account)) = frame.iter().find_map(|unit| match &unit.what {
            FrameWhat::Do(ready) => {
                let on = self.run.host(&ready.on)?;
                let account = self.account(&on, ready);
                Some((on, account))
            }
            FrameWhat::Skip(_) => None,
        }) else {
            for unit in &frame {
                if let FrameWhat::Skip(why) = &unit.what {
                    let reg = self.skip(unit.step, &unit.unit, unit.item.clone(), why.clone()).await?;
                    results.insert(unit.unit.clone(), reg);
                } else {
                    return Ok((
                        results,
                        Some(End::Unreachable(format!("{host} is no host of this run"))),
                    ));
                }
            }
            return Ok((results, None));
        };
        let begun = Instant::now();
        let (facts, outputs) = match self.look(&on, &account, &frame).await {
            Ok(seen) => seen,
            Err(text) => return self.away(&frame, begun, text, results).await,
        };
        let mut jobs_from = None;
        let mut diffs: HashMap<Unit, String> = HashMap::new();
        for (index, unit) in frame.iter().enumerate() {
            let ready = match &unit.what {
                FrameWhat::Skip(why) => {
                    if jobs_from.is_none() || self.run.check_mode() {
                        let reg = self.skip(unit.step, &unit.unit, unit.item.clone(), why.clone()).await?;
                        results.insert(unit.unit.clone(), reg);
                    }
                    continue;
                }
                FrameWhat::Do(ready) => ready,
            };
            let action = shell(ready);
            let verdict = match outputs.get(&index) {
                None => Ok(Verdict::Differs {
                    predicted: action.predicted(),
                    diff: None,
                }),
                Some(Ok(output)) => action.judge(output),
                Some(Err(text)) => Err(Failure::new(text.clone())),
            };
            if let Ok(Verdict::Differs { diff: Some(diff), .. }) = &verdict {
                diffs.insert(unit.unit.clone(), diff.clone());
            }
            let raw = match verdict {
                // What an earlier step of this frame changes may change this, too: its job looks again.
                _ if jobs_from.is_some() && !self.run.check_mode() => continue,
                Ok(Verdict::Same(result)) => Ok(Done {
                    changed: false,
                    result,
                    diff: None,
                    message: None,
                }),
                Ok(Verdict::Differs { predicted, diff }) if self.run.check_mode() => Ok(Done {
                    changed: true,
                    result: predicted,
                    diff,
                    message: None,
                }),
                Ok(Verdict::Differs { .. }) => {
                    jobs_from = Some(index);
                    continue;
                }
                Err(failure) => Err(failure),
            };
            let reg = self
                .end(unit.step, &unit.unit, 0, unit.item.clone(), begun, raw, Some(ready))
                .await?;
            let end = ends(&reg);
            results.insert(unit.unit.clone(), reg);
            if end.is_some() {
                return Ok((results, None));
            }
        }
        match jobs_from {
            Some(from) => {
                self.jobs(&on, &account, &facts, &frame[from..], &mut diffs, results)
                    .await
            }
            None => Ok((results, None)),
        }
    }

    /// Runs every check of the frame in one round trip.
    async fn look(
        &self,
        on: &Arc<Host>,
        account: &Account,
        frame: &[FrameUnit<'_>],
    ) -> Result<(Facts, HashMap<usize, Result<Output, String>>), String> {
        let mut tries = 0;
        loop {
            tries += 1;
            let link = on.link(self.run).await.map_err(|Away(text)| text)?;
            let facts = match on.facts(&link, account).await {
                Ok(facts) => facts,
                Err(Away(text)) => {
                    on.drop_link(&link).await;
                    if tries > 2 || self.run.stopping() {
                        return Err(text);
                    }
                    continue;
                }
            };
            let checks: Vec<(usize, Probe)> = frame
                .iter()
                .enumerate()
                .filter_map(|(index, unit)| match &unit.what {
                    FrameWhat::Do(ready) => Some((index, shell(ready).check(&facts)?)),
                    FrameWhat::Skip(_) => None,
                })
                .collect();
            let (order, probes): (Vec<usize>, Vec<Probe>) = checks.into_iter().unzip();
            if probes.is_empty() {
                return Ok((facts, HashMap::new()));
            }
            match link.probes(account, &probes).await {
                Ok(outputs) => {
                    let outputs = outputs.into_iter().map(|output| output.map_err(|e| e.to_string()));
                    return Ok((facts, order.into_iter().zip(outputs).collect()));
                }
                Err(lost) => {
                    on.drop_link(&link).await;
                    if tries > 2 || self.run.stopping() {
                        return Err(lost.text);
                    }
                }
            }
        }
    }

    async fn away(
        &self,
        frame: &[FrameUnit<'_>],
        begun: Instant,
        text: String,
        results: Results,
    ) -> Result<(Results, Option<End>), Halt> {
        let first = frame.iter().find_map(|unit| match &unit.what {
            FrameWhat::Do(ready) => Some((unit, ready)),
            FrameWhat::Skip(_) => None,
        });
        if let Some((unit, ready)) = first {
            let raw = Err(Failure {
                unreachable: true,
                ..Failure::new(text.clone())
            });
            self.end(unit.step, &unit.unit, 0, unit.item.clone(), begun, raw, Some(ready))
                .await?;
        }
        Ok((results, Some(End::Unreachable(text))))
    }

    async fn jobs(
        &self,
        on: &Arc<Host>,
        account: &Account,
        facts: &Facts,
        frame: &[FrameUnit<'_>],
        diffs: &mut HashMap<Unit, String>,
        mut results: Results,
    ) -> Result<(Results, Option<End>), Halt> {
        let mut skips = Vec::new();
        let mut orders: Vec<Ordered<'_, '_>> = Vec::new();
        let mut sent = HashSet::new();
        for unit in frame {
            let ready = match &unit.what {
                FrameWhat::Skip(why) => {
                    skips.push((unit, why));
                    continue;
                }
                FrameWhat::Do(ready) => ready,
            };
            // A kind that only reads must see what the jobs before it did: the next frame.
            let Some(mut job) = shell(ready).apply(facts) else {
                break;
            };
            // A job takes its uploads away: two that need the same file cannot share a frame.
            if job.uploads.iter().any(|upload| !sent.insert(upload.sha256.clone())) {
                break;
            }
            job.timeout = job.timeout.or(unit.step.timeout);
            job.environment.extend(
                ready
                    .environment
                    .iter()
                    .map(|(name, (value, _))| (name.clone(), value.clone())),
            );
            let attempt = self.run.state().units.get(&unit.unit).map_or(0, |known| known.attempt) + 1;
            orders.push(Ordered {
                unit,
                ready,
                job,
                id: JobId::new(&self.run.id, &unit.unit, attempt),
                attempt,
                diff: diffs.remove(&unit.unit),
            });
        }
        // Another host's step that was delegated here may need the same file.
        let _uploads = if sent.is_empty() {
            None
        } else {
            Some(on.uploads.lock().await)
        };
        let begun = Instant::now();
        for order in &orders {
            self.began(order.unit.step, &order.unit.unit, order.ready);
            if let Err(end) = self.run.send(on, account, &order.unit.unit, &order.job.uploads).await {
                let failure = failure_of(end);
                let reg = self.record(order, begun, Err(failure), &mut results).await?;
                return Ok((results, away_of(&reg)));
            }
        }
        let intents: Vec<Event> = orders
            .iter()
            .map(|o| {
                intent(
                    on,
                    &o.unit.unit,
                    o.attempt,
                    &o.id,
                    &o.ready.digest,
                    o.unit.step.kind.name(),
                )
            })
            .collect();
        self.run.emit(intents).await?;
        let (last, end) = self.start(on, account, &orders, begun, &mut results).await?;
        // What came after a failure never began, and the host said so: it is announced no longer.
        let withdrawn: Vec<Unit> = orders[last..].iter().map(|o| o.unit.unit.clone()).collect();
        if !withdrawn.is_empty() && !matches!(end, Some(End::Unreachable(_) | End::Unknown(_))) {
            self.run.emit(vec![Event::Withdrawn { units: withdrawn }]).await?;
        }
        let done = |unit: &Unit, results: &Results| results.contains_key(unit);
        for (unit, why) in skips {
            let before = frame
                .iter()
                .take_while(|u| u.unit != unit.unit)
                .all(|u| done(&u.unit, &results));
            if before && end.is_none() {
                let reg = self.skip(unit.step, &unit.unit, unit.item.clone(), why.clone()).await?;
                results.insert(unit.unit.clone(), reg);
            }
        }
        Ok((results, end))
    }

    /// Sends the frame; gives how many orders came to an end.
    async fn start(
        &self,
        on: &Arc<Host>,
        account: &Account,
        orders: &[Ordered<'_, '_>],
        begun: Instant,
        results: &mut Results,
    ) -> Result<(usize, Option<End>), Halt> {
        let mut next = 0;
        let mut lost = None;
        if let Ok(link) = on.link(self.run).await {
            let starts: Vec<Start<'_>> = orders
                .iter()
                .map(|o| Start {
                    id: o.id.clone(),
                    job: &o.job,
                    go_on: &[0],
                })
                .collect();
            let (sender, mut states) = mpsc::unbounded_channel::<(usize, JobState)>();
            let sending = async {
                let sender = sender;
                link.jobs(account, &starts, |index, state| {
                    let _ = sender.send((index, state));
                })
                .await
            };
            let mut since = begun;
            let mut broken: Option<(Option<End>, Result<(), Halt>)> = None;
            let taking = async {
                while let Some((index, state)) = states.recv().await {
                    // The host stops a frame by exit codes. It may have gone on where we call a job failed: what it
                    // says of those after it is told, too.
                    let over = matches!(&broken, Some((end, _)) if !matches!(end, Some(End::Failed(_))));
                    if over || index != next {
                        continue;
                    }
                    let Some(end) = ended(state) else { continue };
                    let order = &orders[index];
                    match self.conclude(on, account, order, since, end, results).await {
                        Ok(None) => next += 1,
                        Ok(Some(end)) => {
                            next += 1;
                            broken = Some((Some(end), Ok(())));
                        }
                        Err(halt) => broken = Some((None, Err(halt))),
                    }
                    since = Instant::now();
                }
            };
            let (sent, ()) = tokio::join!(sending, taking);
            if let Some((end, result)) = broken {
                result?;
                return Ok((next, end.filter(|end| !matches!(end, End::Failed(_)))));
            }
            match sent {
                Ok(()) if next == orders.len() => return Ok((next, None)),
                Ok(()) => {}
                Err(e) => {
                    on.drop_link(&link).await;
                    lost = Some(e.text);
                }
            }
        }
        let _ = lost;
        // The rest one by one: each is found on the host, or started if it never was.
        for order in &orders[next..] {
            let since = Instant::now();
            let (identity, boot) = self.announcement(&order.unit.unit, on);
            let end = self
                .run
                .finish(on, account, &order.id, Some(&order.job), (&identity, &boot))
                .await;
            let ended = self.conclude(on, account, order, since, end, results).await?;
            next += 1;
            if let Some(end) = ended {
                return Ok((next, Some(end).filter(|end| !matches!(end, End::Failed(_)))));
            }
        }
        Ok((next, None))
    }

    pub(crate) fn announcement(&self, unit: &Unit, on: &Host) -> (String, String) {
        let known = self.run.state().units.get(unit).and_then(|u| u.intent.clone());
        match known {
            Some(known) => {
                let (identity, boot) = announced(&known);
                (identity.to_owned(), boot.to_owned())
            }
            None => on.held(),
        }
    }

    /// Reads a job's end and records it. Some: the host's way ends here.
    async fn conclude(
        &self,
        on: &Arc<Host>,
        account: &Account,
        order: &Ordered<'_, '_>,
        begun: Instant,
        end: JobEnd,
        results: &mut Results,
    ) -> Result<Option<End>, Halt> {
        let action = shell(order.ready);
        let raw = match end {
            JobEnd::Done { output, late } => read(action, &output, late, order.job.timeout),
            JobEnd::Unknown(text) => {
                let known = Intent {
                    job: order.id.clone(),
                    boot: String::new(),
                    identity: String::new(),
                    digest: order.ready.digest.clone(),
                };
                self.unknown(
                    on,
                    account,
                    order.unit.step,
                    &order.unit.unit,
                    order.ready,
                    &known,
                    text,
                )
                .await?
            }
            end => Err(failure_of(end)),
        };
        let raw = raw.map(|mut done| {
            if done.changed && done.diff.is_none() {
                done.diff.clone_from(&order.diff);
            }
            done
        });
        let finished = !matches!(&raw, Err(f) if f.unreachable || f.unknown);
        let reg = self.record(order, begun, raw, results).await?;
        if finished {
            on.acknowledge(account, order.id.clone());
        }
        Ok(ends(&reg))
    }

    async fn record(
        &self,
        order: &Ordered<'_, '_>,
        begun: Instant,
        raw: Result<Done, Failure>,
        results: &mut Results,
    ) -> Result<Reg, Halt> {
        let unit = order.unit;
        let attempt = self
            .run
            .state()
            .units
            .get(&unit.unit)
            .map_or(order.attempt, |u| u.attempt.max(order.attempt));
        let reg = self
            .end(
                unit.step,
                &unit.unit,
                attempt,
                unit.item.clone(),
                begun,
                raw,
                Some(order.ready),
            )
            .await?;
        if !matches!(reg.outcome, Outcome::Unreachable | Outcome::Unknown) {
            results.insert(unit.unit.clone(), reg.clone());
        }
        Ok(reg)
    }
}

fn shell(ready: &Ready) -> &dyn ShellAction {
    match &ready.action {
        Action::Shell(action) => action.as_ref(),
        Action::Answer(_) | Action::Drive(_) => unreachable!("a frame holds shell actions only"),
    }
}

/// What a finished job says.
pub(crate) fn read(
    action: &dyn ShellAction,
    output: &Output,
    late: bool,
    limit: Option<std::time::Duration>,
) -> Result<Done, Failure> {
    if late {
        let limit = limit.map(|l| format!(" after {} s", l.as_secs())).unwrap_or_default();
        return Err(Failure {
            result: serde_json::json!({"rc": 124, "stdout": output.stdout, "stderr": output.stderr}),
            ..Failure::new(format!("timed out{limit}"))
        });
    }
    action.parse(output)
}

pub(crate) fn failure_of(end: JobEnd) -> Failure {
    match end {
        JobEnd::Refused(text) => Failure::new(text),
        JobEnd::Away(text) => Failure {
            unreachable: true,
            ..Failure::new(text)
        },
        JobEnd::Unknown(text) => Failure {
            unknown: true,
            ..Failure::new(text)
        },
        JobEnd::Done { .. } => Failure::new("the job ended"),
    }
}

fn away_of(reg: &Reg) -> Option<End> {
    ends(reg).filter(|end| !matches!(end, End::Failed(_)))
}

/// Some: a host does not go past this.
pub(crate) fn ends(reg: &Reg) -> Option<End> {
    let message = || reg.message.clone().unwrap_or_default();
    match reg.outcome {
        Outcome::Ok | Outcome::Changed | Outcome::Skipped => None,
        Outcome::Failed if reg.ignored => None,
        Outcome::Failed => Some(End::Failed(message())),
        Outcome::Unreachable => Some(End::Unreachable(message())),
        Outcome::Unknown => Some(End::Unknown(message())),
    }
}
