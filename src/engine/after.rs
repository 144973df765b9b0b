//! What the controller decides about a unit that ran: `until`, `changed_when`, `failed_when`, and what an unknown end
//! comes to.

use std::sync::Arc;

use serde_json::{Value, json};

use super::drive::Try;
use super::frame::looked;
use super::host::{Away, Host};
use super::run::Halt;
use super::steps::{Walk, in_one_line, predicted, waits};
use crate::connection::Account;
use crate::id::{Phase, Unit};
use crate::kind::{Action, Done, Failure, Probe, ShellAction, Verdict};
use crate::plan::{self, Prepared, Ready};
use crate::playbook::Step;
use crate::template::{Binding, Layer, Scope};

/// What an unknown end comes to.
pub(crate) enum Settled {
    Done(Done),
    /// It was not done, or may be done twice.
    Again,
    Unknown(String),
}

impl Walk<'_> {
    /// The scope in which the step's own conditions about its result are read.
    pub(crate) fn own_scope(&self, step: &Step, ready: &Ready, raw: &Result<Done, Failure>) -> Scope {
        let Some(register) = &step.register else {
            return ready.scope.clone();
        };
        let (mut result, changed, failed, message) = match raw {
            Ok(done) => (done.result.clone(), done.changed, false, done.message.clone()),
            Err(failure) => (failure.result.clone(), false, true, Some(failure.message.clone())),
        };
        if !result.is_object() {
            result = json!({});
        }
        if let Value::Object(map) = &mut result {
            map.insert("changed".into(), json!(changed));
            map.insert("failed".into(), json!(failed));
            map.insert("skipped".into(), json!(false));
            if let Some(message) = message {
                map.entry("msg").or_insert_with(|| json!(message));
            }
        }
        let binding = match raw {
            Ok(_) if self.run.check_mode() => predicted(step, &register.value, result),
            _ => Binding::Data(result),
        };
        let layer = Layer::from([(register.value.clone(), binding)]);
        ready.scope.with(Arc::new(layer))
    }

    /// Applies `changed_when` and `failed_when`.
    pub(crate) fn judged(&self, step: &Step, ready: &Ready, raw: Result<Done, Failure>) -> Result<Done, Failure> {
        if matches!(&raw, Err(f) if f.unknown || f.unreachable || f.paused) {
            return raw;
        }
        let scope = self.own_scope(step, ready, &raw);
        // None: in check mode only a run could say.
        let holds = |node: &crate::yaml::Node| -> Result<Option<bool>, Failure> {
            match self.run.loaded.templates.condition(node, &scope) {
                Ok(rendered) if !rendered.pending.is_empty() && self.run.check_mode() => Ok(None),
                Ok(rendered) if !rendered.pending.is_empty() => Err(Failure::new(waits(&rendered.pending))),
                Ok(rendered) => Ok(Some(rendered.value == Value::Bool(true))),
                Err(e) => Err(Failure::new(in_one_line(&e.into()))),
            }
        };
        let mut raw = raw;
        if let Some(node) = &step.failed_when {
            raw = match (holds(node)?, raw) {
                (Some(true), Ok(done)) => Err(Failure {
                    result: done.result,
                    ..Failure::new("failed_when holds")
                }),
                (Some(false), Err(failure)) => Ok(Done {
                    changed: true,
                    result: failure.result,
                    diff: None,
                    message: None,
                }),
                (_, raw) => raw,
            };
        }
        if let (Some(node), Ok(done)) = (&step.changed_when, &mut raw) {
            done.changed = holds(node)?.unwrap_or(done.changed);
        }
        raw
    }

    /// `until` of a step; true without one.
    pub(crate) fn until(&self, step: &Step, ready: &Ready, raw: &Result<Done, Failure>) -> Result<bool, Failure> {
        let Some(node) = &step.until else { return Ok(true) };
        let scope = self.own_scope(step, ready, raw);
        match self.run.loaded.templates.condition(node, &scope) {
            Ok(rendered) if !rendered.pending.is_empty() && !self.run.check_mode() => {
                Err(Failure::new(waits(&rendered.pending)))
            }
            Ok(rendered) => Ok(rendered.value == Value::Bool(true)),
            Err(_) if raw.is_err() => Ok(false),
            Err(e) => Err(Failure::new(in_one_line(&e.into()))),
        }
    }

    /// What became of a job whose end is not known: `verify`, else `idempotent`, else the kind's own check, else
    /// nobody can say.
    pub(crate) async fn settle(
        &self,
        on: &Arc<Host>,
        account: &Account,
        step: &Step,
        unit: &Unit,
        ready: &Ready,
        text: &str,
    ) -> Result<Settled, Halt> {
        if let Some(verify) = &step.verify {
            return Ok(self.verify(unit, verify, text).await);
        }
        if step.idempotent {
            return Ok(Settled::Again);
        }
        let Action::Shell(action) = &ready.action else {
            return Ok(Settled::Unknown(text.to_owned()));
        };
        Ok(match self.look_again(on, account, action.as_ref()).await {
            Some(Ok(Verdict::Same(result))) => Settled::Done(Done {
                changed: true,
                result,
                diff: None,
                message: Some(format!("found done after: {text}")),
            }),
            Some(Ok(Verdict::Differs { .. })) => Settled::Again,
            Some(Err(failure)) => Settled::Unknown(format!("{text}; looking again: {}", failure.message)),
            None => Settled::Unknown(text.to_owned()),
        })
    }

    async fn look_again(
        &self,
        on: &Arc<Host>,
        account: &Account,
        action: &dyn ShellAction,
    ) -> Option<Result<Verdict, Failure>> {
        let away = |text: String| Failure {
            unreachable: true,
            ..Failure::new(text)
        };
        let link = match on.link(self.run).await {
            Ok(link) => link,
            Err(Away(text)) => return Some(Err(away(text))),
        };
        let facts = match on.facts(&link, account).await {
            Ok(facts) => facts,
            Err(Away(text)) => return Some(Err(away(text))),
        };
        let probe = action.check(&facts)?;
        Some(match link.probes(account, &[probe]).await {
            Ok(outputs) => match outputs.into_iter().next() {
                Some(Ok(output)) => action.judge(&output),
                Some(Err(e)) => Err(Failure::new(e.to_string())),
                None => Err(Failure::new("no answer")),
            },
            Err(lost) => Err(away(lost.text)),
        })
    }

    /// ok: done; failed: not done; rc 2 of a command, or no answer: it stops.
    async fn verify(&self, unit: &Unit, verify: &Step, text: &str) -> Settled {
        let unit = Unit {
            phase: Phase::Probe,
            step: verify.id.clone(),
            ..unit.clone()
        };
        let ready = match plan::prepare(&self.run.loaded, self.place(&unit.host), verify, None) {
            Ok(Prepared::Ready(ready)) => ready,
            Ok(_) => return Settled::Unknown(format!("{text}; its `verify` cannot be decided")),
            Err(e) => return Settled::Unknown(format!("{text}; its `verify`: {}", in_one_line(&e))),
        };
        let raw = self.read_only(verify, &unit, &ready).await;
        match self.judged(verify, &ready, raw) {
            Ok(done) => Settled::Done(Done {
                changed: true,
                result: json!({}),
                diff: None,
                message: Some(format!(
                    "`verify` found it done after: {text}{}",
                    done.message.map(|m| format!(" ({m})")).unwrap_or_default()
                )),
            }),
            Err(failure) if failure.unreachable => Settled::Unknown(format!("{text}; `verify` got no answer")),
            Err(failure) if failure.result.get("rc").and_then(Value::as_i64) == Some(2) => {
                Settled::Unknown(format!("{text}; `verify` says that it is partly done"))
            }
            Err(_) => Settled::Again,
        }
    }

    /// As `settle`, for a job inside a frame: a new attempt is run here and now.
    pub(crate) async fn unknown(
        &self,
        on: &Arc<Host>,
        account: &Account,
        step: &Step,
        unit: &Unit,
        ready: &Ready,
        text: String,
    ) -> Result<Result<Done, Failure>, Halt> {
        match self.settle(on, account, step, unit, ready, &text).await? {
            Settled::Done(done) => Ok(Ok(done)),
            Settled::Unknown(text) => Ok(Err(Failure {
                unknown: true,
                ..Failure::new(text)
            })),
            Settled::Again => self.job(on, account, step, unit, ready, Try::InFrame).await,
        }
    }

    /// Runs a step that only reads, as a probe: nothing is announced, nothing is left.
    pub(crate) async fn read_only(&self, step: &Step, unit: &Unit, ready: &Ready) -> Result<Done, Failure> {
        let away = |Away(text): Away| Failure {
            unreachable: true,
            ..Failure::new(text)
        };
        let action = match &ready.action {
            Action::Answer(answer) => return answer.clone(),
            Action::Shell(action) => action,
            Action::Drive(action) => return self.drive_reading(step, unit, ready, action.as_ref()).await,
        };
        let on = self
            .run
            .host(&ready.on)
            .ok_or_else(|| away(Away(format!("{} is no host of this run", ready.on))))?;
        let account = self.account(&on, ready);
        let mut tries = 0;
        loop {
            tries += 1;
            let link = on.link(self.run).await.map_err(away)?;
            let facts = on.facts(&link, &account).await.map_err(away)?;
            let job = action.apply(&facts);
            let from_job = step.reads;
            let mut probe = match (from_job, job, action.check(&facts)) {
                (true, Some(job), _) => Probe {
                    script: job.script,
                    environment: job.environment,
                    timeout: job.timeout,
                },
                (_, _, Some(probe)) => probe,
                (_, Some(_), None) | (_, None, None) => {
                    return Err(Failure::new(
                        "this step changes something; `reads: true` says that it does not",
                    ));
                }
            };
            probe.timeout = probe.timeout.or(step.timeout);
            probe.environment.extend(
                ready
                    .environment
                    .iter()
                    .map(|(name, (value, _))| (name.clone(), value.clone())),
            );
            match link.probes(&account, &[probe]).await {
                Ok(outputs) => {
                    let output = match outputs.into_iter().next() {
                        Some(Ok(output)) => output,
                        Some(Err(e)) => return Err(Failure::new(e.to_string())),
                        None => return Err(Failure::new("no answer")),
                    };
                    if from_job {
                        let mut done = action.parse(&output)?;
                        done.changed = false;
                        return Ok(done);
                    }
                    return action.judge(&output).map(looked);
                }
                Err(lost) => {
                    on.drop_link(&link).await;
                    if tries > 2 || self.run.stopping() {
                        return Err(away(Away(lost.text)));
                    }
                }
            }
        }
    }
}
