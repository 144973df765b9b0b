//! What is decided by looking before anything is touched, and what later steps may count on: a step says what it will
//! leave, and the checks of the steps after it take that for what is there. In a run everything is looked at as it is.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream;
use indexmap::IndexMap;
use serde_json::Value;

use super::run::Run;
use super::steps::Walk;
use super::survey::Survey;
use crate::event::Outcome;
use crate::id::{HostName, Phase, Unit};
use crate::kind::{Action, Decision, Fact, Failure, ShellAction, Verdict};
use crate::plan::{Checked, Due, Look, PlannedUnit};
use crate::yaml::{Diagnostic, Diagnostics, Span};

/// Kinds that may make what a later step finds absent at the time of the plan.
const MAKERS: [&str; 4] = ["command", "shell", "script", "file"];

/// What steps said that they will leave. None as the host: it is the same from every host.
#[derive(Default)]
pub(crate) struct Foresight {
    facts: Mutex<HashMap<(Option<HostName>, String), Value>>,
}

fn key(host: &HostName, fact: Fact) -> (Option<HostName>, String) {
    match fact {
        Fact::Here(name) => (Some(host.clone()), name),
        Fact::Shared(name) => (None, name),
    }
}

impl Foresight {
    pub(crate) fn get(&self, host: &HostName, fact: Fact) -> Option<Value> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.get(&key(host, fact)).cloned()
    }

    pub(crate) fn set(&self, host: &HostName, fact: Fact, value: Value) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.insert(key(host, fact), value);
    }
}

impl Walk<'_> {
    /// What a check found on a host, as it will be when the steps before it have left what they said.
    pub(crate) fn foreseen(&self, on: &HostName, action: &dyn ShellAction, found: Verdict) -> Verdict {
        let run = self.run;
        if !run.foresees() {
            return found;
        }
        let left = |name: &str| run.foresight.get(on, Fact::Here(name.to_owned()));
        let found = action.after(found, &left);
        if matches!(found, Verdict::Differs { .. }) {
            for (name, value) in action.leaves(&found) {
                run.foresight.set(on, Fact::Here(name), value);
            }
        }
        found
    }

    /// What the plan took to be there when this step's turn comes was not: what to say of it.
    pub(crate) fn otherwise(&self, unit: &Unit, outcome: Outcome, result: &Value) -> Option<String> {
        let planned = self.run.decided.get(unit)?;
        let done = matches!(outcome, Outcome::Ok | Outcome::Changed) && !self.run.foresees();
        let from = result.get("from").filter(|_| done)?.as_str();
        // What nothing was planned for is adopted under a name that nobody could foresee.
        let foreseen = planned.from.as_deref()?;
        (from != Some(foreseen)).then(|| {
            format!(
                "the plan foresaw {} at {foreseen} before this step, and it was at {}",
                planned.about,
                from.unwrap_or("nothing")
            )
        })
    }

    /// Looks one after the other: each counts on what those before it will leave.
    async fn look_in_order(
        &self,
        units: &[PlannedUnit],
        indices: Vec<usize>,
        refused: &Refused,
    ) -> Vec<(usize, Result<Option<Decision>, Failure>)> {
        let mut answers = Vec::new();
        for index in indices {
            if let Look::Due(due) = &units[index].look
                && !refused.holds(due)
            {
                answers.push((index, self.decide(&units[index].unit, due).await));
            }
        }
        answers
    }

    async fn decide(&self, unit: &Unit, due: &Due) -> Result<Option<Decision>, Failure> {
        let ready = &due.ready;
        let on = self
            .run
            .host(&ready.on)
            .ok_or_else(|| Failure::new(format!("{} is no host of this run", ready.on)))?;
        let account = self.account(&on, ready);
        match &ready.action {
            Action::Answer(_) => Ok(None),
            Action::Drive(action) => {
                let driver = self.driver(&on, account, due.timeout, unit, ready, 0).await?;
                action.decide(&driver).await
            }
            Action::Shell(action) => {
                let found = self.look_at(ready, &on, &account).await?;
                Ok(action.decision(&found))
            }
        }
    }
}

/// Makes every look that is due. An error is what no step of the plan can mend: the run is refused.
pub(super) async fn decide(run: &Run, survey: &Survey, checked: &mut Checked) -> Result<(), Diagnostics> {
    let walk = Walk {
        run,
        instance: None,
        path: "",
        phase: Phase::Step,
        batch: &[],
        outcome: "running",
        for_all: false,
        deadline: None,
    };
    let forks = run.loaded.options.forks.unwrap_or(50).max(1);
    let mut refused = Refused::default();
    let mut made = false;
    for stage in &mut checked.stages {
        // What all hosts see alike is asked in the order of the plan, so that one plan gives one digest.
        let mut in_order = Vec::new();
        let mut by_host: IndexMap<HostName, Vec<usize>> = IndexMap::new();
        let mut asked = HashSet::new();
        for (index, unit) in stage.units.iter_mut().enumerate() {
            let Look::Due(due) = &unit.look else { continue };
            let host = &due.ready.on;
            if survey.lost.contains_key(host) {
                unit.look = Look::Open(format!("{host} cannot be reached"));
            } else if due.once && !asked.insert((unit.unit.step.clone(), unit.unit.item)) {
                unit.look = Look::None;
            } else if matches!(due.ready.action, Action::Drive(_)) {
                in_order.push(index);
            } else {
                by_host.entry(host.clone()).or_default().push(index);
            }
        }
        let mut answers = walk.look_in_order(&stage.units, in_order, &refused).await;
        let others: Vec<_> = stream::iter(by_host.into_values())
            .map(|indices| walk.look_in_order(&stage.units, indices, &refused))
            .buffered(forks)
            .collect()
            .await;
        answers.extend(others.into_iter().flatten());
        for (index, answer) in answers {
            let made = made || stage.units[..index].iter().any(makes);
            let unit = &mut stage.units[index];
            let Look::Due(due) = &unit.look else { continue };
            unit.look = match answer {
                Ok(None) => Look::None,
                Ok(Some(_)) if due.ready.quiet => Look::Open("hidden: no_log, or a secret in its parameters".into()),
                Ok(Some(decision)) => Look::Decided(decision),
                Err(failure) => {
                    let text = run.loaded.redactor.clean(&failure.message);
                    let mendable = failure.unreachable || (failure.absent && made);
                    // What a look at a host finds, any step before this one may change.
                    if !due.lenient && !mendable && matches!(due.ready.action, Action::Drive(_)) {
                        refused.add(due, text.clone());
                    }
                    Look::Open(text)
                }
            };
        }
        made = made || stage.units.iter().any(makes);
    }
    refused.into_result()
}

/// What was decided, by unit.
pub(super) fn decided(checked: &Checked) -> HashMap<Unit, Decision> {
    let units = checked.stages.iter().flat_map(|stage| &stage.units);
    units
        .filter_map(|unit| match &unit.look {
            Look::Decided(decision) => Some((unit.unit.clone(), decision.clone())),
            Look::None | Look::Due(_) | Look::Open(_) => None,
        })
        .collect()
}

fn makes(unit: &PlannedUnit) -> bool {
    unit.unit.phase == Phase::Step && MAKERS.contains(&unit.kind)
}

/// Why the plan is impossible; what many hosts share is said once.
#[derive(Default)]
struct Refused(Vec<Cause>);

struct Cause {
    at: Span,
    text: String,
    hosts: Vec<HostName>,
}

impl Cause {
    fn is_of(&self, due: &Due) -> bool {
        (self.at.start, self.at.end) == (due.at.start, due.at.end) && self.at.source.path == due.at.source.path
    }
}

impl Refused {
    fn add(&mut self, due: &Due, text: String) {
        let host = due.ready.on.clone();
        match self.0.iter_mut().find(|cause| cause.text == text && cause.is_of(due)) {
            Some(cause) => cause.hosts.push(host),
            None => self.0.push(Cause {
                at: due.at.clone(),
                text,
                hosts: vec![host],
            }),
        }
    }

    /// This step could not be looked at on this host; for a later hop it would be the same.
    fn holds(&self, due: &Due) -> bool {
        self.0
            .iter()
            .any(|cause| cause.is_of(due) && cause.hosts.contains(&due.ready.on))
    }

    fn into_result(self) -> Result<(), Diagnostics> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut all = Diagnostics::default();
        for Cause { at, text, hosts } in self.0 {
            let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
            all.push(
                Diagnostic::error(&at, text).help(format!("in the step of {}; nothing was touched", names.join(", "))),
            );
        }
        Err(all)
    }
}
