//! One unit alone: answers, probes, jobs with `until`, and kinds that drive from the controller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::after::Settled;
use super::frame::{ends, failure_of, looked, read};
use super::host::{Away, Host};
use super::job::{JobEnd, announced, intent};
use super::run::{Halt, Run};
use super::steps::{End, Reg, Walk, prepared, waits};
use crate::connection::Account;
use crate::event::{Event, Segment};
use crate::id::{HostName, JobId, Unit};
use crate::kind::{
    Action, BoxFuture, Changing, Done, DriveAction, Facts, Failure, Job, Output, Probe, Reading, Verdict,
};
use crate::plan::{self, Prepared, Ready};
use crate::playbook::Step;
use crate::secret::Secret;

/// How often a job of this unit was tried in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    /// Whether it is needed is looked at first; an open announcement is taken up.
    First,
    /// A new attempt.
    Again,
    /// A new attempt from inside a frame, which holds the uploads already.
    InFrame,
}

/// As in Ansible.
const RETRIES: u64 = 3;
const DELAY: u64 = 5;

impl Walk<'_> {
    /// Runs one unit. Err: the host's way ends here, and the unit is not through.
    pub(crate) async fn alone(
        &self,
        host: &HostName,
        step: &Step,
        unit: &Unit,
        item: Option<(Value, bool)>,
    ) -> Result<Result<Reg, End>, Halt> {
        let begun = Instant::now();
        let shown = item
            .as_ref()
            .filter(|(_, secret)| !secret)
            .map(|(value, _)| value.clone());
        let ready = match prepared(self, host, step, item.as_ref()) {
            Ok(Prepared::Ready(ready)) => ready,
            Ok(Prepared::Skip(why)) => return Ok(Ok(self.skip(step, unit, shown, why).await?)),
            Ok(Prepared::Pending(names)) if self.run.check_mode() => {
                let why = format!("decided when {} is known", names.join(", "));
                return Ok(Ok(self.skip(step, unit, shown, why).await?));
            }
            Ok(Prepared::Pending(names)) => {
                let raw = Err(Failure::new(waits(&names)));
                return Ok(Ok(self.end(step, unit, 0, shown, begun, raw, None).await?));
            }
            Err(failure) => return Ok(Ok(self.end(step, unit, 0, shown, begun, Err(failure), None).await?)),
        };
        self.began(step, unit, &ready);
        // Stopped between two attempts: the last one stands in the journal, and resume begins with what it gave.
        let Some(raw) = self.tries(step, unit, &ready).await? else {
            return Ok(Err(End::Stopped));
        };
        if let Err(failure) = &raw
            && failure.paused
        {
            if self.run.stopping() {
                return Ok(Err(End::Stopped));
            }
            return Ok(Err(End::Paused(failure.message.clone())));
        }
        let attempt = self.run.state().units.get(unit).map_or(0, |known| known.attempt);
        let reg = self.end(step, unit, attempt, shown, begun, raw, Some(&ready)).await?;
        if let Some(on) = self.run.host(&ready.on) {
            let known = self.run.state().units.get(unit).and_then(|u| u.intent.clone());
            if let (Some(intent), None | Some(End::Failed(_))) = (known, ends(&reg)) {
                on.acknowledge(&self.account(&on, &ready), intent.job);
            }
        }
        Ok(match ends(&reg) {
            Some(end @ (End::Unreachable(_) | End::Unknown(_))) => Err(end),
            _ => Ok(reg),
        })
    }

    /// `until`, `retries`, `delay` around one unit. None: asked to stop between two attempts.
    async fn tries(&self, step: &Step, unit: &Unit, ready: &Ready) -> Result<Option<Result<Done, Failure>>, Halt> {
        let number = |node: &Option<crate::yaml::Node>, default: u64| match node {
            Some(node) => plan::number(&self.run.loaded, node, &ready.scope)
                .ok()
                .flatten()
                .unwrap_or(default),
            None => default,
        };
        let retries = if step.until.is_some() || step.retries.is_some() {
            number(&step.retries, RETRIES)
        } else {
            0
        };
        let delay = Duration::from_secs(number(&step.delay, DELAY));
        let mut tried = 0;
        loop {
            tried += 1;
            let raw = self.once(step, unit, ready, tried > 1).await?;
            let raw = self.judged(step, ready, raw);
            if matches!(&raw, Err(f) if f.unknown || f.unreachable || f.paused) || self.run.check_mode() {
                return Ok(Some(raw));
            }
            let enough = match self.until(step, ready, &raw) {
                // `retries` without `until` repeats what failed.
                Ok(holds) => holds && (step.until.is_some() || raw.is_ok() || retries == 0),
                Err(failure) => return Ok(Some(Err(failure))),
            };
            if enough {
                return Ok(Some(with_attempts(raw, tried, step)));
            }
            if tried > retries {
                let raw = match raw {
                    Ok(done) => Err(Failure {
                        result: done.result,
                        ..Failure::new(format!("`until` did not hold after {tried} attempts"))
                    }),
                    Err(failure) => Err(failure),
                };
                return Ok(Some(with_attempts(raw, tried, step)));
            }
            if let Some(text) = self.deadline.and_then(|deadline| deadline.over(delay)) {
                let result = match raw {
                    Ok(done) => done.result,
                    Err(failure) => failure.result,
                };
                let failure = Failure {
                    result,
                    ..Failure::new(text)
                };
                return Ok(Some(with_attempts(Err(failure), tried, step)));
            }
            self.run.show(Event::Progress {
                unit: unit.clone(),
                text: format!("attempt {tried} of {}, next in {} s", retries + 1, delay.as_secs()),
                bytes: None,
            });
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.run.stop.cancelled() => return Ok(None),
            }
        }
    }

    async fn once(&self, step: &Step, unit: &Unit, ready: &Ready, again: bool) -> Result<Result<Done, Failure>, Halt> {
        let on = match &ready.action {
            Action::Answer(answer) => return Ok(answer.clone()),
            _ if step.reads || step.kind.reads_only() => return Ok(self.read_only(step, unit, ready).await),
            _ => match self.run.host(&ready.on) {
                Some(on) => on,
                None => return Ok(Err(Failure::new(format!("{} is no host of this run", ready.on)))),
            },
        };
        let account = self.account(&on, ready);
        match &ready.action {
            Action::Shell(_) if self.run.check_mode() => Ok(self.check_only(ready, &on, &account).await),
            Action::Shell(_) => {
                let how = if again { Try::Again } else { Try::First };
                self.job(&on, &account, step, unit, ready, how).await
            }
            Action::Drive(action) => self.drive(&on, &account, step, unit, ready, action.as_ref()).await,
            Action::Answer(answer) => Ok(answer.clone()),
        }
    }

    async fn check_only(&self, ready: &Ready, on: &Arc<Host>, account: &Account) -> Result<Done, Failure> {
        let Action::Shell(action) = &ready.action else {
            return Err(Failure::new("nothing to look at"));
        };
        let away = |text: String| Failure {
            unreachable: true,
            ..Failure::new(text)
        };
        let link = on.link(self.run).await.map_err(|Away(text)| away(text))?;
        let facts = on.facts(&link, account).await.map_err(|Away(text)| away(text))?;
        let verdict = match action.check(&facts) {
            None => Verdict::Differs {
                predicted: action.predicted(),
                diff: None,
            },
            Some(probe) => {
                let outputs = link.probes(account, &[probe]).await.map_err(|lost| away(lost.text))?;
                match outputs.into_iter().next() {
                    Some(Ok(output)) => action.judge(&output)?,
                    Some(Err(e)) => return Err(Failure::new(e.to_string())),
                    None => return Err(Failure::new("no answer")),
                }
            }
        };
        Ok(looked(verdict))
    }

    /// A shell kind as a job of its own: check, announce, start, wait; after a crash look first.
    pub(crate) async fn job(
        &self,
        on: &Arc<Host>,
        account: &Account,
        step: &Step,
        unit: &Unit,
        ready: &Ready,
        how: Try,
    ) -> Result<Result<Done, Failure>, Halt> {
        let mut again = how != Try::First;
        let mut diff = None;
        let Action::Shell(action) = &ready.action else {
            return Ok(Err(Failure::new("no shell action")));
        };
        loop {
            let facts = match self.facts(on, account).await {
                Ok(facts) => facts,
                Err(failure) => return Ok(Err(failure)),
            };
            let Some(mut job) = action.apply(&facts) else {
                return Ok(Err(Failure::new("nothing to apply")));
            };
            job.timeout = job.timeout.or(step.timeout);
            job.environment.extend(
                ready
                    .environment
                    .iter()
                    .map(|(name, (value, _))| (name.clone(), value.clone())),
            );
            // Another host's step that was delegated here may need the same file.
            let _uploads = if job.uploads.is_empty() || how == Try::InFrame {
                None
            } else {
                Some(on.uploads.lock().await)
            };
            let known = self.run.state().units.get(unit).cloned();
            let open = known.as_ref().and_then(|k| k.open().cloned()).filter(|_| !again);
            let end = match open {
                Some(open) => {
                    // The upload folder may have been emptied since: files are sent again where they are missing.
                    if let Err(end) = self.run.send(on, account, unit, &job.uploads).await {
                        return Ok(Err(failure_of(end)));
                    }
                    self.run
                        .finish(on, account, &open.job, Some(&job), announced(&open))
                        .await
                }
                None => {
                    if !again {
                        match self.as_it_should_be(on, account, action.as_ref(), &facts).await {
                            Some(Ok(Verdict::Same(result))) => return Ok(Ok(from_verdict(Verdict::Same(result)))),
                            Some(Ok(Verdict::Differs { diff: found, .. })) => diff = found,
                            Some(Err(failure)) => return Ok(Err(failure)),
                            None => {}
                        }
                    }
                    let attempt = known.map_or(0, |k| k.attempt) + 1;
                    let id = JobId::new(&self.run.id, unit, attempt);
                    if let Err(end) = self.run.send(on, account, unit, &job.uploads).await {
                        return Ok(Err(failure_of(end)));
                    }
                    self.run
                        .emit(vec![intent(on, unit, attempt, &id, &ready.digest, step.kind.name())])
                        .await?;
                    let (identity, boot) = on.held();
                    self.run.finish(on, account, &id, Some(&job), (&identity, &boot)).await
                }
            };
            match end {
                JobEnd::Done { output, late } => {
                    return Ok(read(action.as_ref(), &output, late, job.timeout).map(|mut done| {
                        if done.changed && done.diff.is_none() {
                            done.diff = diff;
                        }
                        done
                    }));
                }
                JobEnd::Unknown(text) => match self.settle(on, account, step, unit, ready, &text).await? {
                    Settled::Done(done) => return Ok(Ok(done)),
                    Settled::Again => again = true,
                    Settled::Unknown(text) => {
                        return Ok(Err(Failure {
                            unknown: true,
                            ..Failure::new(text)
                        }));
                    }
                },
                end => return Ok(Err(failure_of(end))),
            }
        }
    }

    async fn facts(&self, on: &Arc<Host>, account: &Account) -> Result<Facts, Failure> {
        let away = |Away(text): Away| Failure {
            unreachable: true,
            ..Failure::new(text)
        };
        let link = on.link(self.run).await.map_err(away)?;
        on.facts(&link, account).await.map_err(away)
    }

    async fn as_it_should_be(
        &self,
        on: &Arc<Host>,
        account: &Account,
        action: &dyn crate::kind::ShellAction,
        facts: &Facts,
    ) -> Option<Result<Verdict, Failure>> {
        let probe = action.check(facts)?;
        let link = on.link(self.run).await.ok()?;
        match link.probes(account, &[probe]).await.ok()?.into_iter().next()? {
            Ok(output) => Some(action.judge(&output)),
            Err(e) => Some(Err(Failure::new(e.to_string()))),
        }
    }

    pub(crate) async fn drive_reading(
        &self,
        step: &Step,
        unit: &Unit,
        ready: &Ready,
        action: &dyn DriveAction,
    ) -> Result<Done, Failure> {
        let Some(on) = self.run.host(&ready.on) else {
            return Err(Failure::new(format!("{} is no host of this run", ready.on)));
        };
        let account = self.account(&on, ready);
        let driver = self.driver(&on, account, step, unit, ready, 0).await?;
        if self.run.check_mode() {
            // What only reads and waits changes nothing, and is not waited for.
            return action.check(&driver).await.map(|verdict| {
                let waited = matches!(verdict, Verdict::Same(_));
                let done = from_verdict(verdict);
                Done {
                    changed: false,
                    message: if waited {
                        done.message
                    } else {
                        Some("not waited for in check mode".to_owned())
                    },
                    ..done
                }
            });
        }
        limited(step, action, &driver).await.0
    }

    async fn drive(
        &self,
        on: &Arc<Host>,
        account: &Account,
        step: &Step,
        unit: &Unit,
        ready: &Ready,
        action: &dyn DriveAction,
    ) -> Result<Result<Done, Failure>, Halt> {
        let known = self.run.state().units.get(unit).cloned();
        let attempt = known.as_ref().map_or(0, |k| k.attempt);
        let open = known.as_ref().and_then(|k| k.open().cloned());
        let driver = match self
            .driver(on, account.clone(), step, unit, ready, attempt.max(1))
            .await
        {
            Ok(driver) => driver,
            Err(failure) => return Ok(Err(failure)),
        };
        if self.run.check_mode() {
            return Ok(action.check(&driver).await.map(from_verdict));
        }
        if action.reads_only() {
            return Ok(limited(step, action, &driver).await.0);
        }
        if open.is_some() {
            match action.settle(&driver).await {
                Ok(Some(done)) => return Ok(Ok(done)),
                Ok(None) => return Ok(limited(step, action, &driver).await.0),
                Err(failure) if failure.unknown => {
                    match self.settle(on, account, step, unit, ready, &failure.message).await? {
                        Settled::Done(done) => return Ok(Ok(done)),
                        Settled::Again => {}
                        Settled::Unknown(text) => {
                            return Ok(Err(Failure {
                                unknown: true,
                                ..Failure::new(text)
                            }));
                        }
                    }
                }
                Err(failure) => return Ok(Err(failure)),
            }
        }
        match action.check(&driver).await {
            Ok(Verdict::Same(result)) => {
                return Ok(Ok(from_verdict(Verdict::Same(result))));
            }
            Ok(Verdict::Differs { .. }) => {}
            Err(failure) => return Ok(Err(failure)),
        }
        let attempt = attempt + 1;
        let id = JobId::new(&self.run.id, unit, attempt);
        self.run
            .emit(vec![intent(on, unit, attempt, &id, &ready.digest, step.kind.name())])
            .await?;
        let driver = match self.driver(on, account.clone(), step, unit, ready, attempt).await {
            Ok(driver) => driver,
            Err(failure) => return Ok(Err(failure)),
        };
        let (raw, late) = limited(step, action, &driver).await;
        if !late {
            return Ok(raw);
        }
        // Its time is over: what it came to is looked at as after a crash.
        match (action.settle(&driver).await, raw) {
            (Ok(Some(done)), _) => Ok(Ok(done)),
            (Ok(None), raw) => Ok(raw),
            (Err(failure), _) => Ok(Err(failure)),
        }
    }

    async fn driver<'w>(
        &'w self,
        on: &Arc<Host>,
        account: Account,
        step: &Step,
        unit: &Unit,
        ready: &Ready,
        attempt: u32,
    ) -> Result<Driver<'w>, Failure> {
        // The account is there, and its shell works: said now, not in the middle of a change.
        self.facts(on, &account).await?;
        Ok(Driver {
            run: self.run,
            on: Arc::clone(on),
            account,
            unit: unit.clone(),
            attempt,
            tag: JobId::new(&self.run.id, unit, attempt),
            timeout: step.timeout,
            environment: ready
                .environment
                .iter()
                .map(|(name, (value, _))| (name.clone(), value.clone()))
                .collect(),
        })
    }
}

/// `apply` within the step's `timeout`; true: its time was over.
async fn limited(step: &Step, action: &dyn DriveAction, driver: &Driver<'_>) -> (Result<Done, Failure>, bool) {
    let Some(limit) = step.timeout else {
        return (action.apply(driver).await, false);
    };
    match tokio::time::timeout(limit, action.apply(driver)).await {
        Ok(raw) => (raw, false),
        Err(_) => {
            action.stop(driver).await;
            (
                Err(Failure::new(format!("timed out after {} s", limit.as_secs()))),
                true,
            )
        }
    }
}

fn from_verdict(verdict: Verdict) -> Done {
    match verdict {
        Verdict::Same(result) => Done {
            changed: false,
            message: result.get("msg").and_then(Value::as_str).map(str::to_owned),
            result,
            diff: None,
        },
        Verdict::Differs { predicted, diff } => Done {
            changed: true,
            result: predicted,
            diff,
            message: None,
        },
    }
}

fn with_attempts(raw: Result<Done, Failure>, tried: u64, step: &Step) -> Result<Done, Failure> {
    if step.until.is_none() && step.retries.is_none() {
        return raw;
    }
    let note = |result: &mut Value| {
        if let Value::Object(map) = result {
            map.insert("attempts".into(), json!(tried));
        }
    };
    match raw {
        Ok(mut done) => {
            note(&mut done.result);
            Ok(done)
        }
        Err(mut failure) => {
            note(&mut failure.result);
            Err(failure)
        }
    }
}

/// What a kind that drives from the controller may reach.
struct Driver<'a> {
    run: &'a Run,
    on: Arc<Host>,
    account: Account,
    unit: Unit,
    attempt: u32,
    tag: JobId,
    timeout: Option<Duration>,
    environment: indexmap::IndexMap<String, String>,
}

impl Reading for Driver<'_> {
    fn probe<'a>(&'a self, probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async move {
            let away = |text: String| Failure {
                unreachable: true,
                ..Failure::new(text)
            };
            let link = self.on.link(self.run).await.map_err(|Away(text)| away(text))?;
            match link.probes(&self.account, std::slice::from_ref(probe)).await {
                Ok(outputs) => match outputs.into_iter().next() {
                    Some(Ok(output)) => Ok(output),
                    Some(Err(e)) => Err(Failure::new(e.to_string())),
                    None => Err(Failure::new("no answer")),
                },
                Err(lost) => {
                    self.on.drop_link(&link).await;
                    Err(away(lost.text))
                }
            }
        })
    }

    fn progress(&self, text: &str) {
        self.run.show(Event::Progress {
            unit: self.unit.clone(),
            text: self.run.loaded.redactor.clean(text),
            bytes: None,
        });
    }

    fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.run.detach.cancelled())
    }

    fn terminal(&self) -> bool {
        self.run.terminal
    }

    fn ask<'a>(&'a self, prompt: &'a str, hidden: bool) -> BoxFuture<'a, Result<String, Failure>> {
        Box::pin(async move {
            let clean = |text: &str| self.run.loaded.redactor.clean(text);
            let waiting = || Failure::paused(format!("waiting for a person: {}", clean(prompt)));
            if !self.run.terminal {
                return Err(waiting());
            }
            self.run.show(Event::Asked {
                unit: self.unit.clone(),
                prompt: clean(prompt),
            });
            let answer = tokio::select! {
                answer = super::ask::line(hidden) => answer,
                () = self.run.stop.cancelled() => Ok(None),
            };
            self.run.show(Event::Answered {
                unit: self.unit.clone(),
            });
            let answer = answer
                .map_err(|e| Failure::new(format!("cannot read from the terminal: {e}")))?
                .ok_or_else(waiting)?;
            if hidden && !answer.is_empty() {
                self.run.loaded.redactor.add(&Secret::new(answer.clone()));
            }
            Ok(answer)
        })
    }
}

impl Changing for Driver<'_> {
    fn job<'a>(&'a self, suffix: &'a str, job: &'a Job) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async move {
            let mut job = job.clone();
            job.timeout = job.timeout.or(self.timeout);
            job.environment.extend(self.environment.clone());
            let id = self.tag.part(suffix);
            self.run
                .send(&self.on, &self.account, &self.unit, &job.uploads)
                .await
                .map_err(failure_of)?;
            let known = self.run.state().units.get(&self.unit).and_then(|u| u.intent.clone());
            let (identity, boot) = known.map(|k| (k.identity, k.boot)).unwrap_or_else(|| self.on.held());
            match self
                .run
                .finish(&self.on, &self.account, &id, Some(&job), (&identity, &boot))
                .await
            {
                JobEnd::Done { late: true, .. } => Err(Failure::new("timed out")),
                JobEnd::Done { output, .. } => {
                    self.on.acknowledge(&self.account, id);
                    Ok(output)
                }
                end => Err(failure_of(end)),
            }
        })
    }

    fn record<'a>(&'a self, segment: Segment) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.run
                .emit(vec![Event::Segment {
                    unit: self.unit.clone(),
                    attempt: self.attempt,
                    segment,
                }])
                .await
                .map_err(|e| Failure::new(e.to_string()))
        })
    }

    fn segments(&self) -> Vec<Segment> {
        self.run
            .state()
            .units
            .get(&self.unit)
            .map(|u| u.segments.clone())
            .unwrap_or_default()
    }

    fn tag(&self) -> &str {
        self.tag.as_str()
    }

    fn reading(&self) -> &dyn Reading {
        self
    }
}
