//! One host's way through the steps of a stage: what can go together goes in one frame, everything else alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::run::{Halt, Run};
use super::stage::Deadline;
use crate::connection::Account;
use crate::event::{Event, Outcome, UnitEnded, UnitStatus};
use crate::id::{HostName, Phase, Unit};
use crate::kind::{Action, Done, Failure};
use crate::plan::{self, Instance, Place, Prepared, Ready};
use crate::playbook::Step;
use crate::secret::{HIDDEN, Secret};
use crate::template::{Binding, Pending};
use crate::yaml::Diagnostics;

/// At most this many units share a frame, so that one frame stays a few hundred kilobytes.
const FRAME: usize = 64;

/// Where a walk takes place.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub(crate) run: &'a Run,
    pub(crate) instance: Option<&'a Instance<'a>>,
    pub(crate) path: &'a str,
    pub(crate) phase: Phase,
    pub(crate) batch: &'a [HostName],
    /// `run.outcome`.
    pub(crate) outcome: &'a str,
    /// Registers count for all hosts (`run_once`).
    pub(crate) for_all: bool,
    pub(crate) deadline: Option<Deadline>,
}

/// How a host's way ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Done,
    Failed(String),
    Unreachable(String),
    Unknown(String),
    /// Asked to stop before the next frame.
    Stopped,
    /// A pause or a guard holds the run.
    Paused(String),
}

/// What became of a unit.
#[derive(Clone, Debug)]
pub(crate) struct Reg {
    pub(crate) outcome: Outcome,
    /// What a register holds; not redacted.
    pub(crate) result: Value,
    pub(crate) message: Option<String>,
    pub(crate) ignored: bool,
    pub(crate) secret: bool,
    /// From the journal, which holds no secrets: fields may be missing that the step gave when it ran.
    pub(crate) restored: bool,
}

/// A unit of a frame.
pub(crate) struct FrameUnit<'a> {
    pub(crate) unit: Unit,
    pub(crate) step: &'a Step,
    pub(crate) item: Option<Value>,
    pub(crate) what: FrameWhat,
}

pub(crate) enum FrameWhat {
    Skip(String),
    /// Known without the host, and good.
    Answer(Box<Ready>, Done),
    Do(Box<Ready>),
}

/// One unit of a step before it is prepared.
type Planned = (Unit, Option<(Value, bool)>);

impl<'a> Walk<'a> {
    pub(crate) fn place<'p>(&'p self, host: &'p HostName) -> Place<'p>
    where
        'a: 'p,
    {
        Place {
            host,
            instance: self.instance,
            step: None,
            batch: self.batch,
            outcome: self.outcome,
        }
    }

    /// Takes one host through these steps. What the journal has already is not done again.
    pub(crate) async fn steps(&self, host: &HostName, steps: &[&'a Step]) -> Result<End, Halt> {
        let mut done = self.replay(host, steps);
        let mut at = 0;
        while at < steps.len() {
            let step = steps[at];
            let units = match self.units(host, step) {
                Ok(units) => units,
                Err(failure) => {
                    let unit = self.unit(host, step, None);
                    let reg = self
                        .end(step, &unit, 0, None, Instant::now(), Err(failure), None)
                        .await?;
                    return Ok(End::Failed(reg.message.unwrap_or_default()));
                }
            };
            let open: Vec<&Planned> = units.iter().filter(|(unit, _)| !done.contains_key(unit)).collect();
            if open.is_empty() {
                if let Some(end) = self.close(host, step, &units, &done) {
                    return Ok(end);
                }
                at += 1;
                continue;
            }
            if self.run.stopping() {
                return Ok(End::Stopped);
            }
            if let Some(text) = self.deadline.and_then(|deadline| deadline.over(Duration::ZERO)) {
                return Ok(End::Failed(text));
            }
            let mut frame = if alone(step) {
                Vec::new()
            } else {
                self.gather(host, &steps[at..], &done)
            };
            if self.deadline.is_some() {
                // The host goes through a frame without asking what time it is.
                frame.truncate(1);
            }
            if frame.is_empty() {
                let (unit, item) = open[0].clone();
                match self.alone(host, step, &unit, item).await? {
                    Ok(reg) => {
                        done.insert(unit, reg);
                    }
                    Err(end) => return Ok(end),
                }
            } else {
                let changing = done
                    .values()
                    .any(|reg| reg.outcome == Outcome::Changed && !reg.restored);
                let (results, end) = self.frame(host, frame, changing).await?;
                done.extend(results);
                if let Some(end) = end {
                    return Ok(end);
                }
            }
        }
        Ok(End::Done)
    }

    pub(crate) fn unit(&self, host: &HostName, step: &Step, item: Option<usize>) -> Unit {
        Unit {
            stage: self.path.to_owned(),
            phase: self.phase,
            step: step.id.clone(),
            host: host.clone(),
            item,
        }
    }

    /// What the journal says of this host's units here. `set` is evaluated again: its values may be secret, and the
    /// journal does not hold those.
    fn replay(&self, host: &HostName, steps: &[&Step]) -> HashMap<Unit, Reg> {
        let state = self.run.state();
        let mut done = HashMap::new();
        for (unit, known) in &state.units {
            if unit.host != *host || unit.stage != self.path || unit.phase != self.phase {
                continue;
            }
            let Some(step) = steps.iter().find(|step| step.id == unit.step) else {
                continue;
            };
            let reg = match &known.status {
                _ if step.kind.free_names() => continue,
                UnitStatus::Ended { outcome, result, .. }
                    if (step.reads || step.kind.reads_only()) && *outcome != Outcome::Failed && redacted(result) =>
                {
                    continue;
                }
                UnitStatus::Ended {
                    outcome: outcome @ (Outcome::Ok | Outcome::Changed | Outcome::Skipped | Outcome::Failed),
                    result,
                    message,
                    ignored,
                } => Reg {
                    outcome: *outcome,
                    result: result.clone(),
                    message: message.clone(),
                    ignored: *ignored,
                    secret: false,
                    restored: true,
                },
                UnitStatus::Decided(true) => Reg {
                    outcome: Outcome::Changed,
                    result: json!({"changed": true, "failed": false, "skipped": false}),
                    message: None,
                    ignored: false,
                    secret: false,
                    restored: true,
                },
                _ => continue,
            };
            done.insert(unit.clone(), reg);
        }
        done
    }

    /// Binds the register of a step that the journal has whole; begins nothing.
    pub(super) fn recall(&self, host: &HostName, step: &Step) {
        let done = self.replay(host, &[step]);
        if let Ok(units) = self.units(host, step)
            && units.iter().all(|(unit, _)| done.contains_key(unit))
        {
            self.close(host, step, &units, &done);
        }
    }

    /// The units of a step: one, or one an item of its loop.
    fn units(&self, host: &HostName, step: &Step) -> Result<Vec<Planned>, Failure> {
        let loaded = &self.run.loaded;
        let scope = plan::unit_scope(loaded, self.place(host).with_step(step), None);
        match plan::items(loaded, step, &scope) {
            Ok(None) => Ok(vec![(self.unit(host, step, None), None)]),
            Ok(Some(Ok(items))) => Ok(items
                .into_iter()
                .enumerate()
                .map(|(index, item)| (self.unit(host, step, Some(index)), Some(item)))
                .collect()),
            Ok(Some(Err(_))) if self.run.check_mode() => Ok(vec![(self.unit(host, step, None), None)]),
            Ok(Some(Err(names))) => Err(Failure::new(format!("its loop: {}", waits(&names)))),
            Err(e) => match plan::prepare(loaded, self.place(host), step, None) {
                Ok(Prepared::Skip(_)) => Ok(vec![(self.unit(host, step, None), None)]),
                _ => Err(Failure::new(in_one_line(&e))),
            },
        }
    }

    /// Units from here on that can share one frame: shell kinds of one account on one host, whose inputs are all known.
    fn gather(&self, host: &HostName, steps: &[&'a Step], done: &HashMap<Unit, Reg>) -> Vec<FrameUnit<'a>> {
        let loaded = &self.run.loaded;
        let mut frame: Vec<FrameUnit<'a>> = Vec::new();
        let mut account: Option<(HostName, Option<String>)> = None;
        let before = loaded.live.layer(host);
        'steps: for (index, step) in steps.iter().enumerate() {
            if index > 0 && alone(step) {
                break;
            }
            let Ok(units) = self.units(host, step) else { break };
            // Its other units are run, as Ansible runs the rest of a loop; nothing after it is.
            let failed = units.iter().any(|(unit, _)| {
                done.get(unit)
                    .is_some_and(|reg| reg.outcome == Outcome::Failed && !reg.ignored)
            });
            for (unit, item) in units.into_iter().filter(|(unit, _)| !done.contains_key(unit)) {
                if frame.len() >= FRAME || self.run.state().units.get(&unit).is_some_and(|u| u.open().is_some()) {
                    break 'steps;
                }
                let binding = item.as_ref().map(|(value, secret)| plan::item_binding(value, *secret));
                let what = match plan::prepare(loaded, self.place(host), step, binding) {
                    Ok(Prepared::Skip(why)) => FrameWhat::Skip(why),
                    Ok(Prepared::Ready(ready)) if matches!(ready.action, Action::Shell(_)) => {
                        let key = (ready.on.clone(), ready.user.clone());
                        if account.get_or_insert_with(|| key.clone()) != &key {
                            break 'steps;
                        }
                        FrameWhat::Do(ready)
                    }
                    // A bad answer ends the frame before it; what `set` binds is for the steps after it.
                    Ok(Prepared::Ready(ready)) if !step.kind.free_names() => match &ready.action {
                        Action::Answer(Ok(done)) => {
                            let done = done.clone();
                            FrameWhat::Answer(ready, done)
                        }
                        _ => break 'steps,
                    },
                    _ => break 'steps,
                };
                let item = item.filter(|(_, secret)| !secret).map(|(value, _)| value);
                frame.push(FrameUnit { unit, step, item, what });
            }
            if failed {
                break;
            }
            if let Some(register) = &step.register {
                // Until the frame is through, later steps that name it wait for it.
                let pending = Binding::Pending(Pending {
                    name: register.value.clone(),
                    fields: None,
                    known: None,
                });
                loaded.live.bind(host, &register.value, pending);
            }
        }
        // A step that is not reached after all leaves no register.
        loaded.live.set(host, before);
        frame
    }

    /// All units of a step are through: its register is bound, and its failure ends the host's way.
    fn close(&self, host: &HostName, step: &Step, units: &[Planned], done: &HashMap<Unit, Reg>) -> Option<End> {
        let live = &self.run.loaded.live;
        let regs: Vec<&Reg> = units.iter().filter_map(|(unit, _)| done.get(unit)).collect();
        let bind = |name: &str, binding: Binding| {
            if self.for_all || step.run_once {
                live.bind_all(name, &binding);
            } else {
                live.bind(host, name, binding);
            }
        };
        if let Some(register) = &step.register {
            let missing = regs.iter().any(|reg| reg.restored && redacted(&reg.result));
            let binding = match register_binding(step, &regs, units) {
                Binding::Data(result) if missing => without_secrets(step, &register.value, result),
                Binding::Data(result) if self.run.check_mode() => predicted(step, &register.value, result),
                binding => binding,
            };
            bind(&register.value, binding);
        }
        if step.kind.free_names() {
            for reg in &regs {
                if reg.outcome == Outcome::Skipped {
                    continue;
                }
                let named = step.params.as_map().unwrap_or_default().iter();
                for name in named.filter_map(|(key, _)| key.text.as_deref()) {
                    let Some(value) = reg.result.get(name) else { continue };
                    let binding = match value {
                        Value::String(text) if reg.secret => Binding::Secret(Secret::new(text.clone())),
                        value => Binding::Data(value.clone()),
                    };
                    bind(name, binding);
                }
            }
        }
        let failed = regs.iter().find(|reg| reg.outcome == Outcome::Failed && !reg.ignored)?;
        let message = failed.message.clone().unwrap_or_else(|| "failed".into());
        Some(End::Failed(message))
    }

    pub(crate) fn account(&self, host: &super::host::Host, ready: &Ready) -> Account {
        host.account(ready.user.as_deref())
    }

    /// Records what became of a unit.
    #[expect(clippy::too_many_arguments, reason = "all of it stands in the one event")]
    pub(crate) async fn end(
        &self,
        step: &Step,
        unit: &Unit,
        attempt: u32,
        item: Option<Value>,
        begun: Instant,
        raw: Result<Done, Failure>,
        ready: Option<&Ready>,
    ) -> Result<Reg, Halt> {
        let (event, reg) = self.ended(step, unit, attempt, item, begun, raw, ready);
        self.run.emit(vec![event]).await?;
        Ok(reg)
    }

    /// What became of a unit, to be recorded.
    #[expect(clippy::too_many_arguments, reason = "all of it stands in the one event")]
    pub(crate) fn ended(
        &self,
        step: &Step,
        unit: &Unit,
        attempt: u32,
        item: Option<Value>,
        begun: Instant,
        raw: Result<Done, Failure>,
        ready: Option<&Ready>,
    ) -> (Event, Reg) {
        let quiet = ready.is_some_and(|r| r.quiet) || step.no_log;
        let (outcome, mut result, message, diff) = match raw {
            Ok(done) => {
                let outcome = if done.changed { Outcome::Changed } else { Outcome::Ok };
                (outcome, done.result, done.message, done.diff)
            }
            Err(failure) => {
                let outcome = if failure.unknown {
                    Outcome::Unknown
                } else if failure.unreachable {
                    Outcome::Unreachable
                } else {
                    Outcome::Failed
                };
                (outcome, failure.result, Some(failure.message), None)
            }
        };
        let message = match self.otherwise(unit, outcome, &result) {
            None => message,
            Some(text) => Some(message.map_or(text.clone(), |message| format!("{message}; {text}"))),
        };
        complete(&mut result, outcome, message.as_deref());
        let ignored = outcome == Outcome::Failed
            && match ready {
                Some(ready) => plan::ignores(&self.run.loaded, step, &ready.scope).unwrap_or(false),
                None => false,
            };
        let redactor = &self.run.loaded.redactor;
        let shown = if quiet && step.no_log {
            json!({"changed": outcome == Outcome::Changed, "failed": outcome == Outcome::Failed, "censored": "no_log"})
        } else {
            redactor.clean_value(&result)
        };
        let message = message.map(|text| {
            if step.no_log && outcome != Outcome::Unreachable {
                "hidden: no_log".to_owned()
            } else {
                redactor.clean(&text)
            }
        });
        let scope = match ready {
            Some(ready) => ready.scope.clone(),
            None => plan::unit_scope(&self.run.loaded, self.place(&unit.host).with_step(step), None),
        };
        let event = Event::UnitEnded(Box::new(UnitEnded {
            unit: unit.clone(),
            attempt,
            kind: step.kind.name().to_owned(),
            title: plan::title(&self.run.loaded, &step.name, &scope),
            outcome,
            result: shown,
            message: message.clone(),
            diff: diff.filter(|_| !quiet).map(|text| redactor.clean(&text)),
            command: ready.filter(|_| !step.no_log).map(|r| r.command.clone()),
            seconds: begun.elapsed().as_secs_f64(),
            ignored,
            item: item.filter(|_| !quiet).map(|item| redactor.clean_value(&item)),
        }));
        let reg = Reg {
            outcome,
            result,
            message,
            ignored,
            secret: quiet && !step.no_log,
            restored: false,
        };
        (event, reg)
    }

    /// Records a unit whose `when` is false, or that cannot be decided in check mode.
    pub(crate) async fn skip(&self, step: &Step, unit: &Unit, item: Option<Value>, why: String) -> Result<Reg, Halt> {
        let (event, reg) = self.skipped(step, unit, item, why);
        self.run.emit(vec![event]).await?;
        Ok(reg)
    }

    pub(crate) fn skipped(&self, step: &Step, unit: &Unit, item: Option<Value>, why: String) -> (Event, Reg) {
        let result = json!({"changed": false, "failed": false, "skipped": true, "skip_reason": why});
        let scope = plan::unit_scope(&self.run.loaded, self.place(&unit.host).with_step(step), None);
        let event = Event::UnitEnded(Box::new(UnitEnded {
            unit: unit.clone(),
            attempt: 0,
            kind: step.kind.name().to_owned(),
            title: plan::title(&self.run.loaded, &step.name, &scope),
            outcome: Outcome::Skipped,
            result: result.clone(),
            message: Some(self.run.loaded.redactor.clean(&why)),
            diff: None,
            command: None,
            seconds: 0.0,
            ignored: false,
            item: item.map(|item| self.run.loaded.redactor.clean_value(&item)),
        }));
        let reg = Reg {
            outcome: Outcome::Skipped,
            result,
            message: Some(why),
            ignored: false,
            secret: false,
            restored: false,
        };
        (event, reg)
    }

    pub(crate) fn began(&self, step: &Step, unit: &Unit, ready: &Ready) {
        self.run.show(Event::UnitBegan {
            unit: unit.clone(),
            kind: step.kind.name().to_owned(),
            title: plan::title(&self.run.loaded, &step.name, &ready.scope),
        });
    }
}

/// Steps whose end the controller decides, or that are not journalled as a job.
fn alone(step: &Step) -> bool {
    step.until.is_some()
        || step.changed_when.is_some()
        || step.failed_when.is_some()
        || step.ignore_errors.is_some()
        || step.reads
}

/// In check mode the result of a step that would change something: what it would leave is known, what only its run
/// can say (`stdout`) is not.
pub(super) fn predicted(step: &Step, name: &str, result: Value) -> Binding {
    let not_run = |field: &str| result.get(field) == Some(&Value::Bool(true));
    let all = step.kind.results().iter().all(|field| result.get(field).is_some());
    if all || not_run("skipped") || not_run("failed") {
        return Binding::Data(result);
    }
    let mut known = result;
    if let Value::Object(map) = &mut known {
        map.remove("results");
    }
    Binding::Pending(Pending {
        name: name.to_owned(),
        fields: Some(step.kind.results()),
        known: Some(Arc::new(known)),
    })
}

/// Is something of it missing in the journal?
fn redacted(result: &Value) -> bool {
    result.get("censored").is_some() || result.to_string().contains(HIDDEN)
}

const MISSING: &str = "held a secret and is not in the journal; run the step that makes it again";

/// A register from the journal: a field that held a secret is never known again, and what uses it fails.
fn without_secrets(step: &Step, name: &str, mut result: Value) -> Binding {
    if let Value::Object(map) = &mut result {
        map.retain(|_, value| !redacted(value));
        map.remove("censored");
    }
    Binding::Pending(Pending {
        name: format!("`{name}` {MISSING}"),
        fields: Some(step.kind.results()),
        known: Some(Arc::new(result)),
    })
}

/// Why a unit whose turn has come cannot be rendered.
pub(crate) fn waits(names: &[String]) -> String {
    match names.iter().find(|name| name.ends_with(MISSING)) {
        Some(text) => text.clone(),
        None => format!("still waits for {}", names.join(", ")),
    }
}

fn register_binding(step: &Step, regs: &[&Reg], units: &[Planned]) -> Binding {
    if step.loop_.is_none() {
        return match regs.first() {
            Some(reg) => Binding::Data(reg.result.clone()),
            None => Binding::Data(json!({"changed": false, "failed": false, "skipped": true})),
        };
    }
    let results: Vec<Value> = regs
        .iter()
        .zip(units)
        .map(|(reg, (_, item))| {
            let mut result = reg.result.clone();
            if let (Value::Object(map), Some((item, _))) = (&mut result, item) {
                map.insert("item".into(), item.clone());
                map.insert("ansible_loop_var".into(), json!("item"));
            }
            result
        })
        .collect();
    Binding::Data(json!({
        "results": results,
        "changed": regs.iter().any(|reg| reg.outcome == Outcome::Changed),
        "failed": regs.iter().any(|reg| reg.outcome == Outcome::Failed),
        "skipped": regs.iter().all(|reg| reg.outcome == Outcome::Skipped),
        "msg": "all items completed",
    }))
}

/// `changed`, `failed`, `skipped` and `msg`, which every result has.
fn complete(result: &mut Value, outcome: Outcome, message: Option<&str>) {
    if !result.is_object() {
        *result = json!({});
    }
    if let Value::Object(map) = result {
        map.insert("changed".into(), json!(outcome == Outcome::Changed));
        map.insert("failed".into(), json!(outcome == Outcome::Failed));
        map.insert("skipped".into(), json!(false));
        if let Some(message) = message {
            map.entry("msg").or_insert_with(|| json!(message));
        }
    }
}

pub(crate) fn in_one_line(diagnostics: &Diagnostics) -> String {
    diagnostics
        .iter()
        .map(|d| match &d.at {
            Some(at) => format!("{} ({at})", d.message),
            None => d.message.clone(),
        })
        .collect::<Vec<_>>()
        .join("; ")
}

pub(crate) fn prepared(
    walk: &Walk<'_>,
    host: &HostName,
    step: &Step,
    item: Option<&(Value, bool)>,
) -> Result<Prepared, Failure> {
    let binding = item.map(|(value, secret)| plan::item_binding(value, *secret));
    plan::prepare(&walk.run.loaded, walk.place(host), step, binding).map_err(|e| Failure::new(in_one_line(&e)))
}
