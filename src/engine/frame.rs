//! Several units of one host and account: one read-only frame with every check, then one frame of jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::host::{Away, Host};
use super::job::{JobEnd, announced, ended, intent};
use super::run::Halt;
use super::steps::{End, FrameUnit, FrameWhat, Reg, Walk};
use crate::connection::{Account, Part, Start, TOGETHER, in_frame};
use crate::event::{Event, Outcome};
use crate::id::{HostName, JobId, Unit};
use crate::job::JobState;
use crate::kind::{Action, Done, Facts, Failure, Job, Output, Probe, ShellAction, Verdict};
use crate::plan::Ready;

type Results = HashMap<Unit, Reg>;

/// What the frame of jobs holds for one unit.
struct Ordered<'f, 'a> {
    unit: &'f FrameUnit<'a>,
    ready: &'f Ready,
    order: Order,
    /// What the check said will change.
    diff: Option<String>,
    /// Units that need no job, between this one and the next.
    idle: Vec<&'f FrameUnit<'a>>,
}

enum Order {
    Job {
        job: Job,
        id: JobId,
        attempt: u32,
    },
    /// A kind that only reads, after jobs whose effects it must see.
    Look(Probe),
}

/// Units that ended and are not in the journal yet: what is known at one moment shares a commit.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    regs: Vec<(Unit, Reg)>,
    /// Jobs that the host may forget after that.
    through: Vec<JobId>,
}

impl Batch {
    fn push(&mut self, unit: &Unit, event: Event, reg: Reg) {
        self.events.push(event);
        self.regs.push((unit.clone(), reg));
    }
}

impl Walk<'_> {
    /// `changing`: this stage has changed the host already. Gives what is through, and how the host's way ended if it ended here. Units that are in neither were not begun.
    pub(crate) async fn frame(
        &self,
        host: &HostName,
        frame: Vec<FrameUnit<'_>>,
        changing: bool,
    ) -> Result<(Results, Option<End>), Halt> {
        let mut batch = Batch::default();
        let mut results = Results::new();
        let Some((on, account)) = frame.iter().find_map(|unit| match &unit.what {
            FrameWhat::Do(ready) => {
                let on = self.run.host(&ready.on)?;
                let account = self.account(&on, ready);
                Some((on, account))
            }
            FrameWhat::Skip(_) | FrameWhat::Answer(..) => None,
        }) else {
            for unit in &frame {
                if !self.idle(unit, &mut batch) {
                    self.record(batch, &mut results, None).await?;
                    return Ok((
                        results,
                        Some(End::Unreachable(format!("{host} is no host of this run"))),
                    ));
                }
            }
            self.record(batch, &mut results, None).await?;
            return Ok((results, None));
        };
        let begun = Instant::now();
        // Jobs look again by themselves. So only a host where nothing has to be done is asked about everything: what differs
        // first is found in a short frame, and where this stage has changed the host before, that is not asked either.
        let every = self.run.check_mode() || self.run.loaded.options.diff;
        let mut facts = match self.look(&on, &account, &[]).await {
            Ok((facts, _)) => facts,
            Err(text) => return self.away(&frame, begun, text, results).await,
        };
        let mut asked = match frame.iter().position(|unit| first_job(unit, &facts)) {
            Some(_) if every => frame.len(),
            Some(first) if changing && !sends_much(&frame[first], &facts) => 0,
            Some(first) => first + 1,
            None => frame.len(),
        };
        let mut outputs = HashMap::new();
        if asked > 0 {
            match self.look(&on, &account, &frame[..asked]).await {
                Ok((now, seen)) => (facts, outputs) = (now, seen),
                Err(text) => return self.away(&frame, begun, text, results).await,
            }
        }
        let mut jobs_from = None;
        let mut diffs: HashMap<Unit, String> = HashMap::new();
        for (index, unit) in frame.iter().enumerate() {
            if index == asked && asked > 0 && jobs_from.is_none() {
                self.record(std::mem::take(&mut batch), &mut results, None).await?;
                match self.look(&on, &account, &frame[asked..]).await {
                    Ok((now, seen)) => {
                        facts = now;
                        outputs.extend(seen.into_iter().map(|(at, output)| (at + index, output)));
                    }
                    Err(text) => return self.away(&frame[asked..], begun, text, results).await,
                }
                asked = frame.len();
            }
            let FrameWhat::Do(ready) = &unit.what else {
                if jobs_from.is_none() || self.run.check_mode() {
                    self.idle(unit, &mut batch);
                }
                continue;
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
            let verdict = verdict.map(|found| self.foreseen(&ready.on, action, found));
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
            let (event, reg) = self.ended(unit.step, &unit.unit, 0, unit.item.clone(), begun, raw, Some(ready));
            let end = ends(&reg);
            batch.push(&unit.unit, event, reg);
            if end.is_some() {
                self.record(batch, &mut results, None).await?;
                return Ok((results, None));
            }
        }
        self.record(batch, &mut results, None).await?;
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
                    FrameWhat::Skip(_) | FrameWhat::Answer(..) => None,
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
            FrameWhat::Skip(_) | FrameWhat::Answer(..) => None,
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
        let mut orders: Vec<Ordered<'_, '_>> = Vec::new();
        for unit in frame {
            let FrameWhat::Do(ready) = &unit.what else {
                if let Some(last) = orders.last_mut() {
                    last.idle.push(unit);
                }
                continue;
            };
            let order = match (shell(ready).apply(facts), shell(ready).check(facts)) {
                (Some(job), _) => match self.order(unit, ready, job, &orders) {
                    Some(order) => order,
                    None => break,
                },
                (None, Some(probe)) => Order::Look(probe),
                (None, None) => break,
            };
            orders.push(Ordered {
                unit,
                ready,
                order,
                diff: diffs.remove(&unit.unit),
                idle: Vec::new(),
            });
        }
        // Another host's step that was delegated here may need the same file.
        let sends = orders
            .iter()
            .any(|o| matches!(&o.order, Order::Job { job, .. } if !job.uploads.is_empty()));
        let _uploads = if sends { Some(on.uploads.lock().await) } else { None };
        let begun = Instant::now();
        for order in &orders {
            self.began(order.unit.step, &order.unit.unit, order.ready);
            let Order::Job { job, .. } = &order.order else {
                continue;
            };
            if let Err(end) = self.run.send(on, account, &order.unit.unit, &job.uploads).await {
                let (event, reg) = self.outcome(order, begun, Err(failure_of(end)));
                let mut batch = Batch::default();
                batch.push(&order.unit.unit, event, reg.clone());
                self.record(batch, &mut results, None).await?;
                return Ok((results, away_of(&reg)));
            }
        }
        let intents: Vec<Event> = orders
            .iter()
            .filter_map(|o| match &o.order {
                Order::Job { id, attempt, .. } => {
                    Some(intent(on, &o.unit.unit, *attempt, id, &o.ready.digest, o.unit.step))
                }
                Order::Look(_) => None,
            })
            .collect();
        self.run.emit(intents).await?;
        let (last, end) = self.start(on, account, &orders, begun, &mut results).await?;
        // What came after a failure never began, and the host said so: it is announced no longer.
        let withdrawn: Vec<Unit> = orders[last..]
            .iter()
            .filter(|o| matches!(o.order, Order::Job { .. }))
            .map(|o| o.unit.unit.clone())
            .collect();
        if !withdrawn.is_empty() && !matches!(end, Some(End::Unreachable(_) | End::Unknown(_))) {
            self.run.emit(vec![Event::Withdrawn { units: withdrawn }]).await?;
        }
        Ok((results, end))
    }

    /// A job with its files. None: it belongs to a frame of its own.
    fn order(&self, unit: &FrameUnit<'_>, ready: &Ready, mut job: Job, before: &[Ordered<'_, '_>]) -> Option<Order> {
        let size = |job: &Job| -> usize { in_frame(&job.uploads).0.iter().map(|(_, text)| text.len()).sum() };
        let together: usize = before
            .iter()
            .map(|o| match &o.order {
                Order::Job { job, .. } => size(job),
                Order::Look(_) => 0,
            })
            .sum();
        // Whether more than a few kilobytes must be sent is asked first.
        if !before.is_empty() && (together + size(&job) > TOGETHER || !in_frame(&job.uploads).1.is_empty()) {
            return None;
        }
        job.timeout = job.timeout.or(unit.step.timeout);
        job.environment.extend(
            ready
                .environment
                .iter()
                .map(|(name, (value, _))| (name.clone(), value.clone())),
        );
        let attempt = self.run.state().units.get(&unit.unit).map_or(0, |known| known.attempt) + 1;
        Some(Order::Job {
            id: JobId::new(&self.run.id, &unit.unit, attempt),
            job,
            attempt,
        })
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
        if let Ok(link) = on.link(self.run).await {
            let texts: Vec<Vec<(&str, String)>> = orders
                .iter()
                .map(|o| match &o.order {
                    Order::Job { job, .. } => in_frame(&job.uploads).0,
                    Order::Look(_) => Vec::new(),
                })
                .collect();
            let starts: Vec<Option<Start<'_>>> = orders
                .iter()
                .zip(&texts)
                .map(|(o, texts)| match &o.order {
                    Order::Job { id, job, .. } => Some(Start {
                        id: id.clone(),
                        job,
                        go_on: &[0],
                        files: texts.iter().map(|(sha, text)| (*sha, text.as_str())).collect(),
                    }),
                    Order::Look(_) => None,
                })
                .collect();
            let parts: Vec<Part<'_>> = orders
                .iter()
                .zip(&starts)
                .filter_map(|(o, start)| match &o.order {
                    Order::Look(probe) => Some(Part::Look(probe)),
                    Order::Job { .. } => start.as_ref().map(Part::Job),
                })
                .collect();
            let (sender, mut states) = mpsc::unbounded_channel::<(usize, JobState)>();
            let sending = async {
                let sender = sender;
                link.parts(account, &parts, |index, state| {
                    let _ = sender.send((index, state));
                })
                .await
            };
            let mut since = begun;
            let mut broken: Option<(Option<End>, Result<(), Halt>)> = None;
            let taking = async {
                let mut came = Vec::new();
                while states.recv_many(&mut came, orders.len()).await > 0 {
                    let mut batch = Batch::default();
                    for (index, state) in came.drain(..) {
                        // The host stops a frame by exit codes. It may have gone on where we call a job failed: what
                        // it says of those after it is told, too.
                        let over = matches!(&broken, Some((end, _)) if !matches!(end, Some(End::Failed(_))));
                        if over || index != next {
                            continue;
                        }
                        let Some(end) = ended(state) else { continue };
                        let order = &orders[index];
                        match self.conclude(on, account, order, since, end, &mut batch, results).await {
                            Ok(None) => next += 1,
                            Ok(Some(end)) => {
                                next += 1;
                                broken = Some((Some(end), Ok(())));
                            }
                            Err(halt) => broken = Some((None, Err(halt))),
                        }
                        since = Instant::now();
                    }
                    if let Err(halt) = self.record(batch, results, Some((on, account))).await {
                        broken = Some((None, Err(halt)));
                    }
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
                Err(_) => {
                    on.drop_link(&link).await;
                }
            }
        }
        // The rest one by one: each is found on the host, or started if it never was.
        for order in &orders[next..] {
            let since = Instant::now();
            let mut batch = Batch::default();
            let ended = match &order.order {
                Order::Job { job, id, .. } => {
                    let (identity, boot) = self.announcement(&order.unit.unit, on);
                    let end = self.run.finish(on, account, id, Some(job), (&identity, &boot)).await;
                    self.conclude(on, account, order, since, end, &mut batch, results)
                        .await?
                }
                Order::Look(_) => {
                    let raw = self.read_only(order.unit.step, &order.unit.unit, order.ready).await;
                    self.close_order(order, since, raw, &mut batch)
                }
            };
            self.record(batch, results, Some((on, account))).await?;
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

    /// Reads a job's end. Some: the host's way ends here.
    #[expect(clippy::too_many_arguments, reason = "one job, where it ran, and where its end goes")]
    async fn conclude(
        &self,
        on: &Arc<Host>,
        account: &Account,
        order: &Ordered<'_, '_>,
        begun: Instant,
        end: JobEnd,
        batch: &mut Batch,
        results: &mut Results,
    ) -> Result<Option<End>, Halt> {
        let action = shell(order.ready);
        let raw = match end {
            JobEnd::Done { output, late } => match &order.order {
                Order::Job { job, .. } => read(action, &output, late, job.timeout),
                Order::Look(_) => action.judge(&output).map(looked),
            },
            JobEnd::Unknown(text) => {
                // Settling it may run something.
                let before = std::mem::take(batch);
                self.record(before, results, Some((on, account))).await?;
                self.unknown(on, account, order.unit.step, &order.unit.unit, order.ready, text)
                    .await?
            }
            end => Err(failure_of(end)),
        };
        Ok(self.close_order(order, begun, raw, batch))
    }

    /// Puts the end of an order, and of the units after it that need no host, into the batch.
    fn close_order(
        &self,
        order: &Ordered<'_, '_>,
        begun: Instant,
        raw: Result<Done, Failure>,
        batch: &mut Batch,
    ) -> Option<End> {
        let raw = raw.map(|mut done| {
            if done.changed && done.diff.is_none() {
                done.diff.clone_from(&order.diff);
            }
            done
        });
        let finished = !matches!(&raw, Err(f) if f.unreachable || f.unknown);
        let (event, reg) = self.outcome(order, begun, raw);
        let end = ends(&reg);
        batch.push(&order.unit.unit, event, reg);
        if let (true, Order::Job { id, .. }) = (finished, &order.order) {
            batch.through.push(id.clone());
        }
        if end.is_none() {
            for unit in &order.idle {
                self.idle(unit, batch);
            }
        }
        end
    }

    /// A unit that needs no host. False: it needs one.
    fn idle(&self, unit: &FrameUnit<'_>, batch: &mut Batch) -> bool {
        let (event, reg) = match &unit.what {
            FrameWhat::Skip(why) => self.skipped(unit.step, &unit.unit, unit.item.clone(), why.clone()),
            FrameWhat::Answer(ready, done) => {
                self.began(unit.step, &unit.unit, ready);
                let raw = Ok(done.clone());
                self.ended(
                    unit.step,
                    &unit.unit,
                    0,
                    unit.item.clone(),
                    Instant::now(),
                    raw,
                    Some(ready),
                )
            }
            FrameWhat::Do(_) => return false,
        };
        batch.push(&unit.unit, event, reg);
        true
    }

    /// Commits what ended.
    async fn record(
        &self,
        batch: Batch,
        results: &mut Results,
        at: Option<(&Arc<Host>, &Account)>,
    ) -> Result<(), Halt> {
        self.run.emit(batch.events).await?;
        for (unit, reg) in batch.regs {
            if !matches!(reg.outcome, Outcome::Unreachable | Outcome::Unknown) {
                results.insert(unit, reg);
            }
        }
        if let Some((on, account)) = at {
            batch.through.into_iter().for_each(|id| on.acknowledge(account, id));
        }
        Ok(())
    }

    fn outcome(&self, order: &Ordered<'_, '_>, begun: Instant, raw: Result<Done, Failure>) -> (Event, Reg) {
        let unit = order.unit;
        let own = match &order.order {
            Order::Job { attempt, .. } => *attempt,
            Order::Look(_) => 0,
        };
        let known = self.run.state().units.get(&unit.unit).map_or(0, |u| u.attempt);
        let attempt = known.max(own);
        self.ended(
            unit.step,
            &unit.unit,
            attempt,
            unit.item.clone(),
            begun,
            raw,
            Some(order.ready),
        )
    }
}

/// Does it need a job, as far as one can tell without asking the host?
fn first_job(unit: &FrameUnit<'_>, facts: &Facts) -> bool {
    matches!(&unit.what, FrameWhat::Do(ready) if shell(ready).apply(facts).is_some())
}

/// Does its job need files that are too large to be sent without asking?
fn sends_much(unit: &FrameUnit<'_>, facts: &Facts) -> bool {
    let FrameWhat::Do(ready) = &unit.what else {
        return false;
    };
    let job = shell(ready).apply(facts);
    job.is_some_and(|job| !in_frame(&job.uploads).1.is_empty())
}

/// What a look says.
pub(crate) fn looked(verdict: Verdict) -> Done {
    match verdict {
        Verdict::Same(result) => Done {
            changed: false,
            result,
            diff: None,
            message: None,
        },
        Verdict::Differs { predicted, diff } => Done {
            changed: true,
            result: predicted,
            diff,
            message: None,
        },
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
