//! One step on one host, rendered: what it will do, or why it cannot be said yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use indexmap::IndexMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::environment::{Environment, boolean, elevation, environment, remember, text};
use super::loaded::Loaded;
use super::scope::Place;
use super::stages::type_name;
use crate::database::Database;
use crate::id::{HostName, hex};
use crate::kind::{Action, Context, Given, Kind, Params, Ty};
use crate::playbook::Step;
use crate::template::{Binding, Layer, Rendered, Scope};
use crate::yaml::{Diagnostic, Diagnostics, Node};

/// What can be said of a unit now.
pub(crate) enum Prepared {
    /// Its `when` is false, and why.
    Skip(String),
    /// It depends on these names, which are not known yet.
    Pending(Vec<String>),
    Ready(Box<Ready>),
}

/// A unit whose inputs are all known.
pub(crate) struct Ready {
    pub(crate) action: Action,
    /// sudo to this user; None: the login's account.
    pub(crate) user: Option<String>,
    /// The host that it runs on: its own, or `delegate_to`.
    pub(crate) on: HostName,
    /// No output and no diff: `no_log`, or a secret in the parameters.
    pub(crate) quiet: bool,
    /// Of kind and parameters, secrets by HMAC.
    pub(crate) digest: String,
    /// The parameters in one line, for a person; redacted.
    pub(crate) command: String,
    pub(crate) scope: Scope,
    pub(crate) environment: Environment,
}

/// The fields that a register of this kind will have.
pub(crate) fn fields(kind: &dyn Kind, looped: bool) -> &'static [&'static str] {
    type Lists = BTreeMap<(String, bool), &'static [&'static str]>;
    static KNOWN: OnceLock<Mutex<Lists>> = OnceLock::new();
    let mut known = KNOWN
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    known.entry((kind.name().to_owned(), looped)).or_insert_with(|| {
        let mut list = vec!["changed", "failed", "skipped", "msg"];
        if looped {
            list.push("results");
        } else {
            list.extend(kind.results());
            list.push("attempts");
        }
        // One list a kind and process: bounded by the number of kinds.
        Box::leak(list.into_boxed_slice())
    })
}

/// The scope of a unit: its place, and `item` of its loop.
pub(crate) fn unit_scope(loaded: &Arc<Loaded>, place: Place<'_>, item: Option<Binding>) -> Scope {
    let scope = loaded.scope(place);
    match item {
        Some(binding) => scope.with(Arc::new(Layer::from([("item".to_owned(), binding)]))),
        None => scope,
    }
}

/// `when` of the enclosing stages and of the step. Ok(None): it holds.
pub(crate) fn condition(
    loaded: &Arc<Loaded>,
    place: Place<'_>,
    step: &Step,
    scope: &Scope,
) -> Result<Option<Prepared>, Diagnostics> {
    let stages = place.instance.map(|i| i.chain.as_slice()).unwrap_or_default();
    let mut waits = Vec::new();
    for node in stages.iter().map(|stage| &stage.when).chain([&step.when]).flatten() {
        let rendered = loaded.templates.condition(node, scope)?;
        if !rendered.pending.is_empty() {
            waits.extend(rendered.pending);
        } else if rendered.value == Value::Bool(false) {
            return Ok(Some(Prepared::Skip(format!("when: {}", one_line(node)))));
        }
    }
    Ok((!waits.is_empty()).then_some(Prepared::Pending(waits)))
}

fn one_line(node: &Node) -> String {
    let source = &node.span.source.text;
    let text = source
        .get(node.span.start..node.span.end.min(source.len()))
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is given for each parameter, rendered.
pub(crate) fn given(
    loaded: &Arc<Loaded>,
    step: &Step,
    scope: &Scope,
) -> Result<(IndexMap<String, Given>, Vec<String>), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut list = IndexMap::new();
    let mut waits = Vec::new();
    for (key, node) in step.params.as_map().unwrap_or_default() {
        let Some(name) = key.text.clone() else { continue };
        let ty = step.kind.params().iter().find(|p| p.name == name).map(|p| p.ty);
        let rendered = if ty.is_some_and(Ty::stays_as_written) {
            Rendered {
                value: Value::Null,
                secret: false,
                pending: Vec::new(),
                omit: false,
            }
        } else {
            match loaded.templates.value(node, scope) {
                Ok(rendered) => rendered,
                Err(e) => {
                    errors.push(e);
                    continue;
                }
            }
        };
        if rendered.omit {
            continue;
        }
        remember(loaded, &rendered);
        waits.extend(rendered.pending.iter().cloned());
        let given = Given {
            key: key.span.clone(),
            node: node.clone(),
            rendered,
        };
        list.insert(name, given);
    }
    if errors.is_empty() {
        Ok((list, waits))
    } else {
        Err(errors)
    }
}

/// The databases that this step may name, decoded for this host. Those that wait for something are left out.
pub(crate) fn databases(loaded: &Arc<Loaded>, scope: &Scope) -> Result<IndexMap<String, Arc<Database>>, Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut list = IndexMap::new();
    for (label, node) in &loaded.playbook.databases {
        let mut entries = serde_json::Map::new();
        let mut pending = false;
        let mut password = loaded.passwords.get(label).cloned();
        for (key, value) in node.as_map().unwrap_or_default() {
            let Some(name) = key.text.clone() else { continue };
            // A password that names its source was read at load; what is left is one whole template.
            if name == "password" && value.as_map().is_some() {
                continue;
            }
            match loaded.templates.value(value, scope) {
                Ok(rendered) if rendered.omit => {}
                Ok(rendered) => {
                    remember(loaded, &rendered);
                    pending |= !rendered.pending.is_empty();
                    if name == "password" {
                        password = rendered.value.as_str().map(crate::secret::Secret::new);
                        password.iter().for_each(|secret| loaded.redactor.add(secret));
                    } else {
                        entries.insert(name, rendered.value);
                    }
                }
                Err(e) => errors.push(e),
            }
        }
        if pending {
            continue;
        }
        match Database::decode(label, node, &Value::Object(entries), password, loaded.folder()) {
            Ok(mut database) => match way(loaded, node, database.via.take()) {
                Ok(via) => {
                    database.via = via;
                    list.insert(label.clone(), Arc::new(database));
                }
                Err(e) => errors.push(e),
            },
            Err(e) => errors.extend(e),
        }
    }
    if errors.is_empty() { Ok(list) } else { Err(errors) }
}

/// The host that `via` of a database names; a group stands for its first host.
fn way(loaded: &Arc<Loaded>, node: &Node, via: Option<HostName>) -> Result<Option<HostName>, Diagnostic> {
    let Some(name) = via else { return Ok(None) };
    let at = |error: Diagnostic| Diagnostic {
        at: Some(node.get("via").unwrap_or(node).span.clone()),
        ..error
    };
    // A pattern would leave it to the inventory's order which host is gone through.
    if name.as_str().contains(['*', '?', ',', '!', '&', '~', '[']) {
        let error = Diagnostic::general(format!("`via` takes a host or a group, and `{name}` is a pattern"));
        return Err(at(error));
    }
    match loaded.inventory.select(name.as_str()) {
        Ok(hosts) => match hosts.into_iter().next() {
            Some(host) => Ok(Some(host)),
            None => Err(at(Diagnostic::general(format!(
                "`via`: the group `{name}` has no host"
            )))),
        },
        Err(e) => Err(at(super::loaded::pattern_error("via", name.as_str(), &e))),
    }
}

/// Does this step name a database?
pub(crate) fn wants_database(step: &Step) -> bool {
    step.kind
        .params()
        .iter()
        .any(|p| p.name == "database" || p.name == "databases")
        && (step.params.get("database").is_some() || step.params.get("databases").is_some())
}

/// Renders one step for one host. Errors carry the place in the playbook; at load they are collected, in a run they
/// fail the unit.
pub(crate) fn prepare(
    loaded: &Arc<Loaded>,
    place: Place<'_>,
    step: &Step,
    item: Option<Binding>,
) -> Result<Prepared, Diagnostics> {
    let scope = unit_scope(loaded, place.with_step(step), item);
    if let Some(decided) = condition(loaded, place, step, &scope)? {
        return Ok(decided);
    }
    let (given, mut waits) = given(loaded, step, &scope)?;
    let (variables, more) = environment(loaded, place.instance, step, &scope)?;
    waits.extend(more);
    let (user, more) = elevation(loaded, place.instance, step, &scope)?;
    waits.extend(more);
    let (on, more) = delegate(loaded, place.host, step, &scope)?;
    waits.extend(more);
    if !waits.is_empty() {
        waits.sort();
        waits.dedup();
        return Ok(Prepared::Pending(waits));
    }
    let secret = given.values().any(|g| g.rendered.secret);
    let quiet = step.no_log || secret;
    let digest = digest(loaded, step, &given, &variables);
    let command = command(loaded, step, &given);
    let params = Params::decode(step.kind, &step.kind_span, given)?;
    let databases = if wants_database(step) {
        databases(loaded, &scope)?
    } else {
        IndexMap::new()
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
        quiet,
        diff: loaded.options.diff || loaded.options.check,
    };
    let waits = step.kind.waits(&params, &context);
    if !waits.is_empty() {
        return Ok(Prepared::Pending(waits));
    }
    let action = step.kind.action(&params, &context)?;
    Ok(Prepared::Ready(Box::new(Ready {
        action,
        user,
        on,
        quiet,
        digest,
        command,
        scope,
        environment: variables,
    })))
}

/// The host that a step runs on.
pub(crate) fn delegate(
    loaded: &Arc<Loaded>,
    host: &HostName,
    step: &Step,
    scope: &Scope,
) -> Result<(HostName, Vec<String>), Diagnostics> {
    let Some(node) = &step.delegate_to else {
        return Ok((host.clone(), Vec::new()));
    };
    let rendered = loaded.templates.value(node, scope)?;
    if !rendered.pending.is_empty() {
        return Ok((host.clone(), rendered.pending));
    }
    let Value::String(name) = &rendered.value else {
        return Err(Diagnostic::error(
            &node.span,
            format!("`delegate_to` takes a host, this gives {}", type_name(&rendered.value)),
        )
        .into());
    };
    match loaded.inventory.select(name) {
        Ok(hosts) if hosts.len() == 1 => Ok((hosts[0].clone(), Vec::new())),
        Ok(hosts) => Err(Diagnostic::error(
            &node.span,
            format!("`delegate_to` takes one host; `{name}` is {}", hosts.len()),
        )
        .into()),
        Err(e) => {
            let mut error = super::loaded::pattern_error("delegate_to", name, &e);
            error.at = Some(node.span.clone());
            Err(error.into())
        }
    }
}

/// The items of a loop, each with whether it is secret; Err: the names that they wait for.
pub(crate) type Items = Result<Vec<(Value, bool)>, Vec<String>>;

/// Items of a step's loop; None without a loop.
pub(crate) fn items(loaded: &Arc<Loaded>, step: &Step, scope: &Scope) -> Result<Option<Items>, Diagnostics> {
    let Some(node) = &step.loop_ else { return Ok(None) };
    let rendered = loaded.templates.value(node, scope)?;
    if !rendered.pending.is_empty() {
        return Ok(Some(Err(rendered.pending)));
    }
    remember(loaded, &rendered);
    match rendered.value {
        Value::Array(list) => Ok(Some(Ok(list.into_iter().map(|v| (v, rendered.secret)).collect()))),
        other => Err(Diagnostic::error(
            &node.span,
            format!("`loop` takes a list, this gives {}", type_name(&other)),
        )
        .help("for a mapping write `loop: \"{{ d | dict2items }}\"`")
        .into()),
    }
}

/// `item` for a template: data, or a secret where the list was built from one.
pub(crate) fn item_binding(value: &Value, secret: bool) -> Binding {
    match value {
        Value::String(text) if secret => Binding::Secret(crate::secret::Secret::new(text.clone())),
        other => Binding::Data(other.clone()),
    }
}

/// A number of `retries`, seconds of `delay`: a non-negative number, or a template that gives one.
pub(crate) fn number(loaded: &Arc<Loaded>, node: &Node, scope: &Scope) -> Result<Option<u64>, Diagnostics> {
    let rendered = loaded.templates.value(node, scope)?;
    if !rendered.pending.is_empty() {
        return Ok(None);
    }
    let found = match &rendered.value {
        Value::Number(n) => n.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match found {
        Some(n) => Ok(Some(n)),
        None => Err(Diagnostic::error(
            &node.span,
            format!(
                "expected a whole number of at least 0, found {}",
                type_name(&rendered.value)
            ),
        )
        .into()),
    }
}

/// `ignore_errors` of a step.
pub(crate) fn ignores(loaded: &Arc<Loaded>, step: &Step, scope: &Scope) -> Result<bool, Diagnostics> {
    match &step.ignore_errors {
        None => Ok(false),
        Some(node) => {
            let rendered = loaded.templates.value(node, scope)?;
            boolean(&rendered.value, node, !rendered.pending.is_empty())
        }
    }
}

fn digest(loaded: &Loaded, step: &Step, given: &IndexMap<String, Given>, variables: &Environment) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(step.kind.name());
    for (name, given) in given {
        part(name);
        let value = given.rendered.value.to_string();
        part(&if given.rendered.secret {
            loaded.keyed(&value)
        } else {
            value
        });
    }
    for (name, (value, secret)) in variables {
        part(name);
        part(&if *secret { loaded.keyed(value) } else { value.clone() });
    }
    hex(&hash.finalize())
}

/// `command: systemctl restart x`, on one line and not endless.
fn command(loaded: &Loaded, step: &Step, given: &IndexMap<String, Given>) -> String {
    let show = |given: &Given| {
        if given.rendered.secret {
            crate::secret::HIDDEN.to_owned()
        } else {
            loaded.redactor.clean(&text(&given.rendered.value))
        }
    };
    let line = match step.kind.text_param().and_then(|name| given.get(name)) {
        Some(given) => show(given),
        None => given
            .iter()
            .filter(|(name, _)| *name != "content")
            .map(|(name, given)| format!("{name}={}", show(given)))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().take(300).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    format!("{}: {short}", step.kind.name())
}
