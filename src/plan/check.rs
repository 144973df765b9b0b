//! Every unit of every stage on every host, looked at before anything is touched. What cannot be known yet stands as
//! *pending*; what is wrong anywhere is an error now, rollback and finally included.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::environment::{elevation, environment};
use super::loaded::Loaded;
use super::scope::{Live, Place};
use super::stages::{Instance, Items, NOTHING, instances, path, stage_hosts};
use super::unit::{
    Prepared, Ready, condition, databases, delegate, fields, given, ignores, item_binding, items, number, prepare,
    unit_scope, wants_database,
};
use super::{limits, names, tags};
use crate::id::{HostName, Phase, Unit};
use crate::kind::{Context, Decision, Params};
use crate::playbook::{Body, Stage, Step};
use crate::template::{Binding, Pending, Scope};
use crate::yaml::{Diagnostic, Diagnostics, Node, Span};

/// What a look at every unit gave.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) stages: Vec<PlannedStage>,
    /// Files and folders on the controller that steps use, and for which hosts.
    pub(crate) artefacts: BTreeMap<PathBuf, BTreeSet<HostName>>,
    /// Hosts that a unit runs on, and as whom (None: the login); `delegate_to` hosts too.
    pub(crate) accounts: BTreeMap<HostName, BTreeSet<Option<String>>>,
    /// Hosts that units go through on their way elsewhere (`via`), and the hosts of these units.
    pub(crate) ways: BTreeMap<HostName, BTreeSet<HostName>>,
    /// What every `for_each` that is known goes over, by the stage's path without the index.
    pub(crate) items: BTreeMap<String, Items>,
    /// Hosts of any stage, in the order in which they appear.
    pub(crate) hosts: Vec<HostName>,
}

pub(crate) struct PlannedStage {
    pub(crate) path: String,
    pub(crate) title: String,
    pub(crate) hosts: Vec<HostName>,
    pub(crate) batches: Vec<usize>,
    pub(crate) max_fail: usize,
    /// Why it will not run.
    pub(crate) skipped: Option<String>,
    /// What its `for_each` waits for.
    pub(crate) waits: Vec<String>,
    pub(crate) units: Vec<PlannedUnit>,
}

pub(crate) struct PlannedUnit {
    pub(crate) unit: Unit,
    pub(crate) kind: &'static str,
    pub(crate) title: String,
    pub(crate) state: Planned,
    pub(crate) look: Look,
}

/// What a look at the world decides about a unit of the plan.
pub(crate) enum Look {
    /// Its kind decides nothing before its turn, or what it needs is not known yet.
    None,
    Due(Box<Due>),
    Decided(Decision),
    /// It could not be decided yet, and why.
    Open(String),
}

/// A look that is still to be made.
pub(crate) struct Due {
    pub(crate) ready: Ready,
    pub(crate) at: Span,
    pub(crate) timeout: Option<Duration>,
    /// One host does it for all (`run_once`).
    pub(crate) once: bool,
    /// The playbook says itself what a failure means.
    pub(crate) lenient: bool,
}

pub(crate) enum Planned {
    /// With the digest of its parameters and one line for a person.
    Known {
        digest: String,
        command: String,
    },
    Decided(Vec<String>),
    Skipped(String),
}

/// Looks at everything. Errors of all hosts and places come together; one that many hosts share is said once.
pub(crate) fn check(loaded: &Arc<Loaded>) -> Result<Checked, Diagnostics> {
    let before = loaded.live.snapshot();
    let mut pass = Pass {
        loaded,
        before: &before,
        found: Checked::default(),
        errors: Vec::new(),
    };
    pass.playbook();
    let Pass { found, errors, .. } = pass;
    loaded.live.restore(before);
    let mut all = loaded.errors.clone();
    for Found { mut diagnostic, hosts } in errors {
        if !hosts.is_empty() && hosts.len() < loaded.inventory.hosts().count() {
            let shown: Vec<&str> = hosts.iter().take(5).map(HostName::as_str).collect();
            let more = hosts.len().saturating_sub(shown.len());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            diagnostic = diagnostic.help(format!("on {}{more}", shown.join(", ")));
        }
        all.push(diagnostic);
    }
    all.extend(names::unread(loaded));
    if all.has_errors() {
        return Err(all);
    }
    Ok(found)
}

fn inside<'p>(instance: &'p Instance<'p>, host: &'p HostName) -> Place<'p> {
    Place {
        instance: Some(instance),
        ..Place::host(host)
    }
}

/// A result of another host that is missing because that host may not be so far yet is no typo.
fn other_hosts_register(diagnostic: &mut Diagnostic, steps: &[&Step]) {
    let missing = diagnostic
        .message
        .strip_prefix("`hostvars")
        .and_then(|rest| rest.strip_suffix('`'))
        .and_then(|rest| rest.rsplit_once("has no `"));
    let Some((_, name)) = missing else { return };
    let bound = |step: &&Step| step.register.as_ref().is_some_and(|register| register.value == name);
    if steps.iter().any(bound) {
        *diagnostic = Diagnostic {
            message: format!("`{name}` of another host is registered in this stage, and may not be there yet"),
            ..diagnostic.clone()
        }
        .help("write `lockstep: true` in the stage, so that every step is a barrier; or read it in a later stage");
    }
}

struct Found {
    diagnostic: Diagnostic,
    hosts: Vec<HostName>,
}

struct Pass<'a> {
    loaded: &'a Arc<Loaded>,
    /// What was known when the look began: registers of probes that have run.
    before: &'a Live,
    found: Checked,
    errors: Vec<Found>,
}

impl<'a> Pass<'a> {
    fn error(&mut self, host: Option<&HostName>, diagnostics: Diagnostics) {
        for diagnostic in diagnostics {
            let place = |d: &Diagnostic| d.at.as_ref().map(|s| (s.source.path.clone(), s.start, s.end));
            let known = self
                .errors
                .iter_mut()
                .find(|f| f.diagnostic.message == diagnostic.message && place(&f.diagnostic) == place(&diagnostic));
            match (known, host) {
                (Some(found), Some(host)) => {
                    if !found.hosts.contains(host) {
                        found.hosts.push(host.clone());
                    }
                }
                (Some(_), None) => {}
                (None, host) => self.errors.push(Found {
                    diagnostic,
                    hosts: host.into_iter().cloned().collect(),
                }),
            }
        }
    }

    fn take<T>(&mut self, host: Option<&HostName>, result: Result<T, impl Into<Diagnostics>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(e) => {
                self.error(host, e.into());
                None
            }
        }
    }

    fn hosts(&mut self, hosts: &[HostName]) {
        for host in hosts {
            if !self.found.hosts.contains(host) {
                self.found.hosts.push(host.clone());
            }
        }
    }

    fn playbook(&mut self) {
        let loaded = self.loaded;
        let playbook = &loaded.playbook;
        let everyone = stage_hosts(loaded, &playbook.hosts, None);
        // A wrong `hosts` hides no mistake of a stage that has its own.
        let everyone = self.take(None, everyone);
        if let (false, Some(everyone)) = (playbook.probes.is_empty(), everyone) {
            let mut units = Vec::new();
            for step in &playbook.probes {
                for (index, host) in everyone.hosts.iter().enumerate() {
                    if step.run_once && index > 0 {
                        break;
                    }
                    self.step(Place::host(host), step, Phase::Probe, "probes", &mut units);
                }
            }
            self.hosts(&everyone.hosts);
            self.found.stages.push(PlannedStage {
                path: "probes".into(),
                title: "Probes".into(),
                batches: vec![everyone.hosts.len()],
                max_fail: 0,
                hosts: everyone.hosts.clone(),
                skipped: None,
                waits: Vec::new(),
                units,
            });
        }
        for stage in &playbook.stages {
            self.stage(stage, None);
        }
        let hosts = self.found.hosts.clone();
        let mut units = Vec::new();
        for step in &playbook.finally {
            for host in &hosts {
                let place = Place {
                    outcome: "",
                    ..Place::host(host)
                };
                self.step(place, step, Phase::Finally, "finally", &mut units);
            }
        }
        if !units.is_empty() {
            self.found.stages.push(PlannedStage {
                path: "finally".into(),
                title: "Finally".into(),
                batches: vec![hosts.len()],
                max_fail: 0,
                hosts,
                skipped: None,
                waits: Vec::new(),
                units,
            });
        }
        let idle = self
            .found
            .stages
            .iter()
            .any(|stage| stage.skipped.as_deref() == Some(NOTHING));
        if self.found.hosts.is_empty() && !idle && self.errors.is_empty() && !loaded.errors.has_errors() {
            let what = match (&loaded.options.limit, loaded.options.exclude.is_empty()) {
                (Some(limit), _) => format!("--limit `{limit}` leaves no host of this playbook"),
                (None, false) => "--exclude leaves no host of this playbook".into(),
                (None, true) => "this playbook has no host".into(),
            };
            self.error(None, Diagnostic::general(what).into());
        }
    }

    fn stage(&mut self, stage: &'a Stage, parent: Option<&Instance<'a>>) {
        let Some(list) = ({
            let result = instances(self.loaded, stage, parent);
            self.take(None, result)
        }) else {
            return;
        };
        let place = path(stage, parent);
        if list.is_empty() {
            self.found.stages.push(PlannedStage {
                path: place.clone(),
                title: stage.name.text.clone().unwrap_or_default(),
                hosts: Vec::new(),
                batches: Vec::new(),
                max_fail: 0,
                skipped: Some(NOTHING.to_owned()),
                waits: Vec::new(),
                units: Vec::new(),
            });
        }
        if stage.for_each.is_some() && list.iter().all(|instance| instance.pending.is_empty()) {
            let items = Items::of(self.loaded, stage, &list);
            self.found.items.insert(place, items);
        }
        for instance in list {
            match &stage.body {
                Body::Stages(inner) => inner.iter().for_each(|stage| self.stage(stage, Some(&instance))),
                Body::Steps(steps) => self.leaf(&instance, steps),
            }
        }
    }

    fn leaf(&mut self, instance: &Instance<'a>, steps: &'a [Step]) {
        let stage = instance.stage();
        let loaded = self.loaded;
        let taken: Vec<&Step> = steps
            .iter()
            .filter(|step| loaded.tags.take(&tags::of(&instance.chain, step)))
            .collect();
        let first = instance.hosts.first().cloned();
        let title = first
            .as_ref()
            .map(|host| {
                let scope = loaded.scope(Place {
                    instance: Some(instance),
                    ..Place::host(host)
                });
                title(loaded, &stage.name, &scope)
            })
            .unwrap_or_else(|| stage.name.text.clone().unwrap_or_default());
        let skipped = if instance.hosts.is_empty() {
            Some("limit and exclusions leave no host".to_owned())
        } else if taken.is_empty() {
            Some("no step has the tags asked for".to_owned())
        } else {
            None
        };
        let mut planned = PlannedStage {
            path: instance.path.clone(),
            title,
            hosts: instance.hosts.clone(),
            batches: Vec::new(),
            max_fail: 0,
            skipped,
            waits: instance.pending.clone(),
            units: Vec::new(),
        };
        if planned.skipped.is_none() {
            self.hosts(&instance.hosts);
            let result = limits::limits(self.loaded, instance);
            if let Some(limits) = self.take(None, result) {
                planned.batches = limits.batches;
                planned.max_fail = limits.max_fail;
            }
            self.units(instance, &taken, &mut planned.units);
        }
        self.found.stages.push(planned);
    }

    fn units(&mut self, instance: &Instance<'a>, steps: &[&'a Step], units: &mut Vec<PlannedUnit>) {
        let stage = instance.stage();
        let loaded = self.loaded;
        // Registers of one host are not there for another of the same stage unless every step is a barrier.
        let hosts = &instance.hosts;
        let mut later = Vec::new();
        if stage.lockstep {
            for step in steps {
                for host in hosts {
                    self.step(inside(instance, host), step, Phase::Step, &instance.path, units);
                }
            }
        } else {
            for host in hosts {
                let before = loaded.live.layer(host);
                let known = self.errors.len();
                for step in steps {
                    self.step(inside(instance, host), step, Phase::Step, &instance.path, units);
                }
                for found in self.errors.iter_mut().skip(known) {
                    other_hosts_register(&mut found.diagnostic, steps);
                }
                later.push((host, loaded.live.layer(host)));
                loaded.live.set(host, before);
            }
        }
        for (host, layer) in later {
            loaded.live.set(host, layer);
        }
        for host in hosts {
            for step in &stage.guard {
                self.step(inside(instance, host), step, Phase::Guard, &instance.path, units);
            }
            for step in &stage.rollback {
                self.step(inside(instance, host), step, Phase::Rollback, &instance.path, units);
            }
        }
    }

    fn step(&mut self, place: Place<'_>, step: &Step, phase: Phase, path: &str, units: &mut Vec<PlannedUnit>) {
        let loaded = self.loaded;
        let host = place.host;
        let scope = unit_scope(loaded, place.with_step(step), None);
        let mut looped = false;
        let bindings: Vec<Option<Binding>> = match items(loaded, step, &scope) {
            Ok(None) => vec![None],
            Ok(Some(Err(names))) => {
                looped = true;
                let name = names.first().cloned().unwrap_or_default();
                vec![Some(Binding::Pending(Pending {
                    name,
                    fields: None,
                    known: None,
                }))]
            }
            Ok(Some(Ok(list))) => {
                looped = true;
                list.iter()
                    .map(|(value, secret)| Some(item_binding(value, *secret)))
                    .collect()
            }
            Err(e) => {
                // As in Ansible, a loop is no error where the step's `when` rules it out anyway.
                if !matches!(condition(loaded, place, step, &scope), Ok(Some(Prepared::Skip(_)))) {
                    self.error(Some(host), e);
                }
                return;
            }
        };
        let single = bindings.len() == 1 && !looped;
        let mut skipped_all = true;
        for (index, binding) in bindings.into_iter().enumerate() {
            let unit = Unit {
                stage: path.to_owned(),
                phase,
                step: step.id.clone(),
                host: host.clone(),
                item: (!single).then_some(index),
            };
            let looked = self.unit(place, step, binding);
            if let Some((state, ready)) = looked {
                skipped_all &= matches!(state, Planned::Skipped(_));
                let look = match ready.filter(|ready| phase == Phase::Step && ready.action.decides()) {
                    None => Look::None,
                    Some(ready) => Look::Due(Box::new(Due {
                        ready: *ready,
                        at: step.kind_span.clone(),
                        timeout: step.timeout,
                        once: step.run_once || place.instance.is_some_and(|instance| instance.stage().run_once),
                        lenient: step.ignore_errors.is_some() || step.failed_when.is_some() || step.until.is_some(),
                    })),
                };
                units.push(PlannedUnit {
                    unit,
                    kind: step.kind.name(),
                    title: title(loaded, &step.name, &scope),
                    state,
                    look,
                });
            } else {
                skipped_all = false;
            }
        }
        // A probe that has run gave its register, which what follows is planned with.
        let given = |name: &str| phase == Phase::Probe && self.before.layer(host).contains_key(name);
        if let Some(register) = step.register.as_ref().filter(|register| !given(&register.value)) {
            let binding = if skipped_all && !looped {
                Binding::Data(json!({"changed": false, "failed": false, "skipped": true}))
            } else {
                Binding::Pending(Pending {
                    name: register.value.clone(),
                    fields: Some(fields(step.kind, looped)),
                    known: None,
                })
            };
            if step.run_once {
                loaded.live.bind_all(&register.value, &binding);
            } else {
                loaded.live.bind(host, &register.value, binding);
            }
        }
        if skipped_all {
            return;
        }
        self.after(place, step, looped);
        if let Some(verify) = &step.verify {
            let mut ignored = Vec::new();
            self.step(place, verify, phase, path, &mut ignored);
        }
        for undo in &step.undo {
            self.step(place, undo, Phase::Undo, path, units);
        }
        if step.kind.free_names() {
            self.set(place, step);
        }
    }

    /// Names that `set` binds: known where its values are.
    fn set(&mut self, place: Place<'_>, step: &Step) {
        let loaded = self.loaded;
        let scope = unit_scope(loaded, place.with_step(step), None);
        let certain = matches!(condition(loaded, place, step, &scope), Ok(None)) && step.loop_.is_none();
        for (key, node) in step.params.as_map().unwrap_or_default() {
            let Some(name) = &key.text else { continue };
            let value = loaded.templates.value(node, &scope);
            let binding = match value {
                Ok(rendered) if certain && rendered.pending.is_empty() => match (rendered.value, rendered.secret) {
                    (Value::String(text), true) => Binding::Secret(crate::secret::Secret::new(text)),
                    (value, _) => Binding::Data(value),
                },
                _ => Binding::Pending(Pending {
                    name: name.clone(),
                    fields: None,
                    known: None,
                }),
            };
            loaded.live.bind(place.host, name, binding);
        }
    }

    /// What can be said of it, and what it would do where all of that is known.
    fn unit(&mut self, place: Place<'_>, step: &Step, item: Option<Binding>) -> Option<(Planned, Option<Box<Ready>>)> {
        let loaded = self.loaded;
        let host = place.host;
        let scope = unit_scope(loaded, place.with_step(step), item.clone());
        match condition(loaded, place, step, &scope) {
            Ok(Some(Prepared::Skip(why))) => return Some((Planned::Skipped(why), None)),
            Ok(_) => {}
            Err(e) => {
                self.error(Some(host), e);
                return None;
            }
        }
        let (given, waits) = {
            let result = given(loaded, step, &scope);
            self.take(Some(host), result)?
        };
        let (variables, _) = {
            let result = environment(loaded, place.instance, step, &scope);
            self.take(Some(host), result)?
        };
        let databases = if wants_database(step) {
            let result = databases(loaded, &scope);
            self.take(Some(host), result)?
        } else {
            Default::default()
        };
        let (user, _) = {
            let result = elevation(loaded, place.instance, step, &scope);
            self.take(Some(host), result)?
        };
        let (on, _) = {
            let result = delegate(loaded, host, step, &scope);
            self.take(Some(host), result)?
        };
        self.found.accounts.entry(on.clone()).or_default().insert(user.clone());
        let params = {
            let result = Params::decode(step.kind, &step.kind_span, given);
            self.take(Some(host), result)?
        };
        let names: Vec<String> = loaded.playbook.databases.keys().cloned().collect();
        let context = Context {
            run: &loaded.run,
            stage: place.instance.map_or("", |instance| &instance.path),
            folder: step.span.source.folder(),
            scope: &scope,
            databases: &databases,
            database_names: &names,
            templates: &loaded.templates,
            environment: &variables,
            quiet: step.no_log,
            diff: false,
        };
        for other in step.kind.reaches(&params, &context) {
            if let Some(other) = loaded.inventory.hosts().find(|known| known.as_str() == other)
                && loaded.takes(other)
            {
                self.found
                    .accounts
                    .entry(other.clone())
                    .or_default()
                    .insert(user.clone());
            }
        }
        let mut problems = step.kind.lint(&params, &context);
        let several = |instance: &Instance<'_>| instance.hosts.len() > 1 && !instance.stage().run_once;
        if step.kind.one_writer(&params) && !step.run_once && place.instance.is_some_and(several) {
            let message = format!(
                "this `{}` must run on one host only, and the stage has several",
                step.kind.name()
            );
            problems.push(Diagnostic::error(&step.kind_span, message).help("write `run_once: true` on the step"));
        }
        for path in step.kind.artefacts(&params, &context) {
            self.found.artefacts.entry(path).or_default().insert(host.clone());
        }
        for way in step.kind.ways(&params, &context) {
            self.found.ways.entry(way).or_default().insert(on.clone());
        }
        if !problems.has_errors() && waits.is_empty() {
            match prepare(loaded, place, step, item) {
                Ok(Prepared::Ready(ready)) => {
                    self.error(Some(host), problems);
                    let known = Planned::Known {
                        digest: ready.digest.clone(),
                        command: if step.no_log {
                            format!("{}: hidden: no_log", step.kind.name())
                        } else {
                            ready.command.clone()
                        },
                    };
                    return Some((known, Some(ready)));
                }
                Ok(Prepared::Pending(names)) => {
                    self.error(Some(host), problems);
                    return Some((Planned::Decided(names), None));
                }
                Ok(Prepared::Skip(why)) => return Some((Planned::Skipped(why), None)),
                Err(e) => problems.extend(e),
            }
        }
        let failed = problems.has_errors();
        self.error(Some(host), problems);
        (!failed).then_some((Planned::Decided(waits), None))
    }

    /// What is evaluated when the unit has run: only names can be looked at now.
    fn after(&mut self, place: Place<'_>, step: &Step, looped: bool) {
        let loaded = self.loaded;
        let host = place.host;
        let own = |scope: Scope| match &step.register {
            Some(name) => scope.with(Arc::new(
                [(
                    name.value.clone(),
                    Binding::Pending(Pending {
                        name: name.value.clone(),
                        fields: Some(fields(step.kind, false)),
                        known: None,
                    }),
                )]
                .into_iter()
                .collect(),
            )),
            None => scope,
        };
        let item = looped.then(|| {
            Binding::Pending(Pending {
                name: "item".into(),
                fields: None,
                known: None,
            })
        });
        let scope = own(unit_scope(loaded, place.with_step(step), item));
        for node in [&step.until, &step.changed_when, &step.failed_when]
            .into_iter()
            .flatten()
        {
            let result = loaded.templates.condition(node, &scope);
            self.take(Some(host), result);
        }
        for node in [&step.retries, &step.delay].into_iter().flatten() {
            let result = number(loaded, node, &scope);
            self.take(Some(host), result);
        }
        let result = ignores(loaded, step, &scope);
        self.take(Some(host), result);
    }
}

/// The playbook's name with its templates rendered.
pub(crate) fn playbook_name(loaded: &Arc<Loaded>) -> String {
    let playbook = &loaded.playbook;
    let Some(host) = loaded.inventory.hosts().next() else {
        return playbook.name.clone();
    };
    let at = crate::yaml::Span::new(&playbook.source, 0, 0);
    title(
        loaded,
        &Node::string(at, playbook.name.clone()),
        &loaded.scope(Place::host(host)),
    )
}

/// A name with its templates rendered; as written where that is not possible yet.
pub(crate) fn title(loaded: &Arc<Loaded>, name: &Node, scope: &Scope) -> String {
    let written = name.text.clone().unwrap_or_default();
    match loaded.templates.value(name, scope) {
        Ok(rendered) if rendered.pending.is_empty() && !rendered.secret => {
            loaded.redactor.clean(&super::environment::text(&rendered.value))
        }
        _ => written,
    }
}
