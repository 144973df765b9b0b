//! Steps: one kind with its parameters, and what holds for any kind.

use std::collections::HashMap;
use std::sync::Arc;

use super::load::{Level, Loader, first_key};
use super::model::{Spanned, Step};
use super::slug::{Ids, slug};
use super::{check, words};
use crate::kind::{self, Kind, Params, Ty};
use crate::template::Layer;
use crate::yaml::decode::{self, Fields, has_template};
use crate::yaml::{Diagnostic, Node, Span, Style, Value, suggestion};

/// What a list of steps is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Step,
    Probe,
    Guard,
    Rollback,
    Undo,
    Finally,
    Verify,
}

impl Use {
    /// The key that holds it, where its steps may only read.
    fn reads_only(self) -> Option<&'static str> {
        match self {
            Use::Probe => Some("probes"),
            Use::Guard => Some("guard"),
            Use::Verify => Some("verify"),
            Use::Step | Use::Rollback | Use::Undo | Use::Finally => None,
        }
    }
}

/// Kinds that read where the step says so.
const MAY_READ: [&str; 3] = ["command", "shell", "http"];

/// A list of steps, with their ids.
pub(super) fn steps(loader: &mut Loader<'_>, node: &Node, purpose: Use) -> Vec<Step> {
    let items = match &node.value {
        Value::Seq(items) => items,
        Value::Null => return Vec::new(),
        Value::Map(_) => {
            loader.found.push(
                Diagnostic::error(&node.span, "expected a list of steps, found a mapping")
                    .help("write `- ` before each step"),
            );
            return Vec::new();
        }
        _ => {
            let message = format!("expected a list of steps, found {}", node.kind_name());
            loader.found.push(Diagnostic::error(&node.span, message));
            return Vec::new();
        }
    };
    let mut ids = Ids::default();
    let mut first: HashMap<String, Span> = HashMap::new();
    for item in items {
        let Some(id) = item.get("id") else { continue };
        let Some(text) = id.text.as_deref() else { continue };
        if ids.reserve(text) {
            first.insert(text.to_owned(), id.span.clone());
        } else if let Some(other) = first.get(text) {
            loader.found.push(
                Diagnostic::error(&id.span, format!("two steps have the id `{text}`"))
                    .label("here again")
                    .also(other, "first here"),
            );
        }
    }
    let mut steps = Vec::new();
    for item in items {
        if let Some(mut step) = one(loader, item, purpose) {
            if item.get("id").is_none() {
                step.id = ids.unique(&step.id);
            }
            // Two steps of a stage may put things back by steps of one name.
            for undo in &mut step.undo {
                undo.id = format!("{}.{}", step.id, undo.id);
            }
            steps.push(step);
        }
    }
    steps
}

/// One step; its id is not unique yet.
fn one(loader: &mut Loader<'_>, node: &Node, purpose: Use) -> Option<Step> {
    let mut fields = Fields::of(node, Level::Step.name(), &mut loader.found)?;
    let found = &mut loader.found;
    let id = fields.get("id", decode::literal, found);
    if let Some(id) = &id
        && (id.is_empty() || !id.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
        && let Some(at) = node.get("id")
    {
        found.push(
            Diagnostic::error(&at.span, format!("`{id}` cannot be an id"))
                .help("an id has letters, digits, `-`, `_` and `.`"),
        );
    }
    let name = fields.get("name", check::text_node, found);
    let when = fields
        .entry("when")
        .and_then(|(key, node)| check::condition(loader, key, node));
    let register = fields.node("register").and_then(|node| register(loader, node));
    let loop_ = fields
        .entry("loop")
        .and_then(|(key, node)| check::items(loader, key, node));
    let until = fields
        .entry("until")
        .and_then(|(key, node)| check::condition(loader, key, node));
    let has_until = node.get("until").is_some();
    let retries = fields.entry("retries").and_then(|(key, node)| {
        needs_until(loader, key, has_until);
        let what = check::Count {
            key: "retries",
            least: 1,
            percent: false,
        };
        check::count(loader, node, &what)
    });
    let delay = fields.entry("delay").and_then(|(key, node)| {
        needs_until(loader, key, has_until);
        if node.as_str().is_some_and(has_template) {
            return Some(node.clone());
        }
        match decode::duration(node) {
            Ok(_) => Some(node.clone()),
            Err(wrong) => {
                loader.found.push(decode::named("delay", wrong));
                None
            }
        }
    });
    let timeout = fields.get("timeout", decode::duration, &mut loader.found);
    let elevation = check::elevation(loader, &mut fields);
    let delegate_to = fields.get("delegate_to", check::text_node, &mut loader.found);
    let run_once = fields
        .get("run_once", decode::boolean, &mut loader.found)
        .unwrap_or(false);
    let tags = fields
        .node("tags")
        .map_or_else(Vec::new, |node| check::tags(loader, node));
    let reads_key = fields.entry("reads");
    let reads = fields.get("reads", decode::boolean, &mut loader.found).unwrap_or(false);
    let changed_when = fields
        .entry("changed_when")
        .and_then(|(key, node)| check::condition(loader, key, node));
    let failed_when = fields
        .entry("failed_when")
        .and_then(|(key, node)| check::condition(loader, key, node));
    let ignore_errors = fields
        .entry("ignore_errors")
        .and_then(|(key, node)| check::flag(loader, key, node));
    let environment = fields
        .node("environment")
        .and_then(|node| check::environment(loader, node));
    let no_log = fields
        .get("no_log", decode::boolean, &mut loader.found)
        .unwrap_or(false);
    let mut vars = Layer::new();
    if let Some(node) = fields.node("vars") {
        loader.vars(node, &mut vars);
    }
    let verify = match fields.entry("verify") {
        Some((key, _)) if purpose == Use::Verify => {
            let message = "a step of `verify` has no `verify` of its own";
            loader.found.push(Diagnostic::error(&key.span, message));
            None
        }
        Some((_, node)) if node.as_seq().is_some() => {
            loader
                .found
                .push(Diagnostic::error(&node.span, "`verify` is one step, found a list").help("remove the `- `"));
            None
        }
        Some((_, node)) => one(loader, node, Use::Verify).map(Box::new),
        None => None,
    };
    let idempotent = fields
        .get("idempotent", decode::boolean, &mut loader.found)
        .unwrap_or(false);

    let undo_entry = fields.entry("undo");

    let (kind, key, value) = kind(loader, node, &fields)?;
    let params = params(loader, kind, key, value)?;
    let undo = undo_entry.map_or_else(Vec::new, |(key, list)| undo(loader, key, list, node, kind, purpose));
    if let Some((key, _)) = reads_key
        && !MAY_READ.contains(&kind.name())
    {
        loader.found.push(
            Diagnostic::error(&key.span, format!("`reads` does not go with `{}`", kind.name()))
                .help("it goes with command, shell and http"),
        );
    }
    if let Some(home) = purpose.reads_only()
        && !kind.reads_only()
        && !reads
    {
        let mut wrong = Diagnostic::error(
            &key.span,
            format!(
                "a step of `{home}` may only read, and `{}` may change something",
                kind.name()
            ),
        );
        if MAY_READ.contains(&kind.name()) {
            wrong = wrong.help("add `reads: true` if it only reads");
        }
        loader.found.push(wrong);
    }
    let slug = name
        .as_ref()
        .and_then(|name| name.text.as_deref())
        .map(slug)
        .filter(|slug| !slug.is_empty())
        .unwrap_or_else(|| kind.name().to_owned());
    Some(Step {
        id: id.unwrap_or(slug),
        name: name.unwrap_or_else(|| Node::string(key.span.clone(), kind.name())),
        span: node.span.clone(),
        kind,
        kind_span: key.span.clone(),
        params,
        when,
        register,
        loop_,
        until,
        retries,
        delay,
        timeout,
        elevation,
        delegate_to,
        run_once,
        tags,
        reads,
        changed_when,
        failed_when,
        ignore_errors,
        environment,
        no_log,
        vars: Arc::new(vars),
        verify,
        idempotent,
        undo,
    })
}

/// `undo` of a step that may have one.
fn undo(loader: &mut Loader<'_>, key: &Node, node: &Node, step: &Node, kind: &dyn Kind, purpose: Use) -> Vec<Step> {
    let wrong = if purpose != Use::Step {
        Some((
            "`undo` goes with a step of a stage",
            "what is put back in the end belongs to the step that brings it about",
        ))
    } else if kind.reads_only() {
        Some(("this step only reads: there is nothing to put back", "remove `undo`"))
    } else if step.get("loop").is_some() {
        Some((
            "`undo` does not go with `loop`",
            "write the `loop` into the steps of `undo`",
        ))
    } else {
        None
    };
    match wrong {
        Some((message, help)) => {
            loader.found.push(Diagnostic::error(&key.span, message).help(help));
            Vec::new()
        }
        None => steps(loader, node, Use::Undo),
    }
}

fn needs_until(loader: &mut Loader<'_>, key: &Node, has_until: bool) {
    if !has_until {
        let name = key.text.as_deref().unwrap_or_default();
        loader.found.push(
            Diagnostic::error(&key.span, format!("`{name}` needs `until`"))
                .help("write what is waited for: `until: r.rc == 0`, with `register: r`"),
        );
    }
}

fn register(loader: &mut Loader<'_>, node: &Node) -> Option<Spanned<String>> {
    let name = match decode::literal(node) {
        Ok(name) => name,
        Err(wrong) => {
            loader.found.push(decode::named("register", wrong));
            return None;
        }
    };
    let why = words::bad_name(&name).or_else(|| (name == "item").then(|| "`item` is the item of a loop".to_owned()));
    match why {
        Some(why) => {
            loader
                .found
                .push(Diagnostic::error(&node.span, format!("`{name}` cannot be a register")).help(why));
            None
        }
        None => Some(Spanned {
            value: name,
            span: node.span.clone(),
        }),
    }
}

/// The step's kind, its key and its parameters as written; None, and what is wrong, where there is not one kind.
fn kind<'n>(
    loader: &mut Loader<'_>,
    node: &Node,
    fields: &Fields<'n>,
) -> Option<(&'static dyn Kind, &'n Node, &'n Node)> {
    let mut kinds: Vec<(&'static dyn Kind, &Node, &Node)> = Vec::new();
    let mut strange = Vec::new();
    for (key, value) in fields.rest() {
        match (loader.kinds.find)(key.text.as_deref().unwrap_or_default()) {
            Some(kind) => kinds.push((kind, key, value)),
            None => strange.push(key),
        }
    }
    let explained = !strange.is_empty();
    for key in strange {
        let wrong = strange_key(loader, key, kinds.is_empty());
        loader.found.push(wrong);
    }
    match kinds.as_slice() {
        [] => {
            if !explained {
                loader.found.push(
                    Diagnostic::error(&first_key(node), "the step has no kind")
                        .help("name what it does: `- command: …`; `refit kinds` lists the kinds"),
                );
            }
            None
        }
        [one] => Some(*one),
        [(first, first_key, _), (second, second_key, _), ..] => {
            loader.found.push(
                Diagnostic::error(
                    &second_key.span,
                    format!("two kinds in one step: `{}` and `{}`", first.name(), second.name()),
                )
                .label("a second kind")
                .also(&first_key.span, "the first")
                .help("make it two steps: write `- ` before the second"),
            );
            None
        }
    }
}

/// What is wrong with a key that is neither the step's nor a kind; `is_kind`: the step has no other that could be it.
fn strange_key(loader: &Loader<'_>, key: &Node, is_kind: bool) -> Diagnostic {
    let name = key.text.as_deref().unwrap_or_default();
    let error = |message: String| Diagnostic::error(&key.span, message);
    if kind::known_later(name) {
        return error(format!("the kind `{name}` is known, not built yet"));
    }
    if let Some(ours) = kind::spelled(name) {
        let later = match kind::known_later(ours) {
            true => ", which is known, not built yet",
            false => "",
        };
        return error(format!("`{name}` is a module of Ansible's")).help(format!("in Refit it is `{ours}`{later}"));
    }
    let general = loader.unknown_key(key, Level::Step);
    if !general.message.starts_with("unknown key") {
        return general;
    }
    let kinds = (loader.kinds.all)().iter().map(|kind| kind.name());
    let is_key = suggestion(name, words::STEP.iter().copied()).is_some();
    match suggestion(name, kinds) {
        Some(help) if is_kind => error(format!("unknown kind `{name}`")).help(help),
        _ if is_key || !is_kind => general,
        _ if name.contains('.') => error(format!("unknown kind `{name}`"))
            .help("modules of collections are not there: `refit kinds` lists the kinds"),
        _ => error(format!("unknown kind `{name}`")).help("`refit kinds` lists the kinds"),
    }
}

/// A mapping of parameters; what plain text stands for is put into one.
fn params(loader: &mut Loader<'_>, kind: &'static dyn Kind, key: &Node, value: &Node) -> Option<Node> {
    let params = match (&value.value, kind.text_param()) {
        (Value::Map(_), _) => value.clone(),
        (Value::Null, _) => Node {
            value: Value::Map(Vec::new()),
            text: None,
            style: Style::None,
            ..value.clone()
        },
        (Value::Str(_) | Value::Int(_) | Value::Float(_), Some(name)) => Node {
            span: value.span.clone(),
            value: Value::Map(vec![(Node::string(key.span.clone(), name), value.clone())]),
            text: None,
            style: Style::None,
            tag: None,
        },
        _ => {
            let mut wrong = Diagnostic::error(&value.span, kind::expected(kind, value));
            if value.as_str().is_some_and(|text| text.contains('=')) {
                wrong = wrong.help(format!("write `{}: {{ name: value }}`, not `name=value`", kind.name()));
            }
            loader.found.push(wrong);
            return None;
        }
    };
    loader.found.extend(Params::check_names(kind, &key.span, &params));
    for param in kind.params().iter().filter(|param| param.ty == Ty::Mode) {
        if let Some(wrong) = params.get(param.name).and_then(|node| bare_mode(param.name, node)) {
            loader.found.push(wrong);
        }
    }
    Some(params)
}

/// `mode: 0644` without quotes is 644 here and 420 in Ansible.
fn bare_mode(name: &str, node: &Node) -> Option<Diagnostic> {
    let Value::Int(number) = node.value else { return None };
    let written = node.text.clone().unwrap_or_else(|| number.to_string());
    let digits = written.trim_start_matches("0o").trim_start_matches('0');
    let mut wrong = Diagnostic::error(
        &node.span,
        format!("`{name}: {written}` is an integer, and its base is not clear"),
    );
    if u32::from_str_radix(digits, 8).is_ok_and(|bits| bits <= 0o7777) {
        wrong = wrong.help(format!("write `\"{digits:0>4}\"` if these are the octal digits"));
    }
    if (0..=0o7777).contains(&number) && !written.starts_with('0') {
        wrong = wrong.help(format!("write `\"{number:04o}\"` if it is the number {number}"));
    }
    Some(wrong)
}
