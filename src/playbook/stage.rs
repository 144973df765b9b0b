//! Stages, and groups of stages.

use std::sync::Arc;

use super::load::{Level, Loader, first_key, is_body_word};
use super::model::{Body, Spanned, Stage};
use super::slug::{Ids, slug};
use super::{check, step, words};
use crate::template::Layer;
use crate::yaml::decode::{self, Fields};
use crate::yaml::{Diagnostic, Node, Span, Value};

/// Keys whose meaning is that of one barrier: a group has none.
const NOT_OF_A_GROUP: [&str; 10] = [
    "serial",
    "forks",
    "max_fail",
    "run_once",
    "lockstep",
    "prepares",
    "timeout",
    "guard",
    "rollback",
    "rollback_scope",
];

/// A list of stages, with their ids.
pub(super) fn stages(loader: &mut Loader<'_>, node: &Node) -> Vec<Stage> {
    let items = match &node.value {
        Value::Seq(items) => items,
        Value::Null => return Vec::new(),
        Value::Map(_) => {
            loader.found.push(
                Diagnostic::error(&node.span, "expected a list of stages, found a mapping")
                    .help("write `- ` before each stage"),
            );
            return Vec::new();
        }
        _ => {
            let message = format!("expected a list of stages, found {}", node.kind_name());
            loader.found.push(Diagnostic::error(&node.span, message));
            return Vec::new();
        }
    };
    let mut ids = Ids::default();
    let mut stages = Vec::new();
    for item in items {
        if let Some(mut stage) = one(loader, item) {
            stage.id = ids.unique(&stage.id);
            stages.push(stage);
        }
    }
    stages
}

fn one(loader: &mut Loader<'_>, node: &Node) -> Option<Stage> {
    let mut fields = Fields::of(node, Level::Stage.name(), &mut loader.found)?;
    let name = name(loader, node, &mut fields);
    let hosts = fields.node("hosts").and_then(|node| loader.hosts(node));
    let mut vars = Layer::new();
    if let Some(node) = fields.node("vars") {
        loader.vars(node, &mut vars);
    }
    let when = fields
        .entry("when")
        .and_then(|(key, node)| check::condition(loader, key, node));
    let serial = fields.node("serial").and_then(|node| serial(loader, node));
    let forks = fields.node("forks").and_then(|node| {
        let what = check::Count {
            key: "forks",
            least: 1,
            percent: false,
        };
        check::count(loader, node, &what)
    });
    let max_fail = fields.node("max_fail").and_then(|node| {
        let what = check::Count {
            key: "max_fail",
            least: 0,
            percent: true,
        };
        check::count(loader, node, &what)
    });
    let elevation = check::elevation(loader, &mut fields);
    let tags = fields
        .node("tags")
        .map_or_else(Vec::new, |node| check::tags(loader, node));
    let run_once = fields
        .get("run_once", decode::boolean, &mut loader.found)
        .unwrap_or(false);
    let for_each = fields.entry("for_each");
    let has_items = for_each.is_some();
    let for_each = for_each.and_then(|(key, node)| check::items(loader, key, node));
    let as_ = fields
        .entry("as")
        .and_then(|(key, node)| as_name(loader, key, node, has_items));
    let timeout = fields.get("timeout", decode::duration, &mut loader.found);
    let lockstep = fields
        .get("lockstep", decode::boolean, &mut loader.found)
        .unwrap_or(false);
    // Accepted and checked; what may run before a window is decided when windows are built.
    let _prepares = fields
        .get("prepares", decode::boolean, &mut loader.found)
        .unwrap_or(false);
    let environment = fields
        .node("environment")
        .and_then(|node| check::environment(loader, node));
    let guard = fields
        .node("guard")
        .map_or_else(Vec::new, |node| step::steps(loader, node, step::Use::Guard));
    let rollback = fields
        .node("rollback")
        .map_or_else(Vec::new, |node| step::steps(loader, node, step::Use::Rollback));
    if let Some(node) = fields.node("rollback_scope") {
        rollback_scope(loader, node);
    }
    let body = body(loader, node, &mut fields);
    loader.unknown_keys(&fields, Level::Stage);
    let id = match name.text.as_deref().map(slug) {
        Some(id) if !id.is_empty() => id,
        _ => "stage".to_owned(),
    };
    Some(Stage {
        id,
        name,
        hosts,
        vars: Arc::new(vars),
        when,
        serial,
        forks,
        max_fail,
        elevation,
        tags,
        run_once,
        for_each,
        as_,
        timeout,
        lockstep,
        environment,
        guard,
        rollback,
        body,
    })
}

fn name(loader: &mut Loader<'_>, node: &Node, fields: &mut Fields<'_>) -> Node {
    let wrong = match fields.node("name") {
        Some(name) => match decode::text(name) {
            Ok(_) => return name.clone(),
            Err(wrong) => decode::named("name", wrong),
        },
        None => Diagnostic::error(&first_key(node), "the stage has no `name`")
            .help("write `name: …`: reports, `--tags` and resume go by it"),
    };
    loader.found.push(wrong);
    Node::string(node.span.clone(), "stage")
}

fn body(loader: &mut Loader<'_>, node: &Node, fields: &mut Fields<'_>) -> Body {
    match (fields.entry("steps"), fields.entry("stages")) {
        (Some((steps, _)), Some((stages, _))) => {
            loader.found.push(
                Diagnostic::error(&stages.span, "a stage has `steps` or `stages`, not both")
                    .also(&steps.span, "the steps")
                    .help("move the steps into a stage of their own"),
            );
            Body::Steps(Vec::new())
        }
        (Some((key, value)), None) => {
            let steps = step::steps(loader, value, step::Use::Step);
            loader.not_empty(key, value, "steps");
            Body::Steps(steps)
        }
        (None, Some((key, value))) => {
            for name in NOT_OF_A_GROUP {
                if let Some((wrong, _)) = fields.entry(name) {
                    loader.found.push(
                        Diagnostic::error(
                            &wrong.span,
                            format!("`{name}` belongs to the stages of a group, not to the group"),
                        )
                        .also(&key.span, "this makes it a group"),
                    );
                }
            }
            let stages = stages(loader, value);
            loader.not_empty(key, value, "stages");
            Body::Stages(stages)
        }
        (None, None) => {
            // `tasks:` says so already, and better.
            if !fields
                .rest()
                .any(|(key, _)| key.text.as_deref().is_some_and(is_body_word))
            {
                loader.found.push(
                    Diagnostic::error(&first_key(node), "the stage has no `steps`")
                        .help("write `steps:`, or `stages:` for a group"),
                );
            }
            Body::Steps(Vec::new())
        }
    }
}

fn serial(loader: &mut Loader<'_>, node: &Node) -> Option<Node> {
    let what = check::Count {
        key: "serial",
        least: 1,
        percent: true,
    };
    let Some(items) = node.as_seq() else {
        return check::count(loader, node, &what);
    };
    if items.is_empty() {
        loader
            .found
            .push(Diagnostic::error(&node.span, "`serial` is empty").help("write `serial: [1, 50%]`"));
        return None;
    }
    let mut fine = true;
    for item in items {
        fine &= check::count(loader, item, &what).is_some();
    }
    fine.then(|| node.clone())
}

fn as_name(loader: &mut Loader<'_>, key: &Node, node: &Node, has_items: bool) -> Option<Spanned<String>> {
    if !has_items {
        loader.found.push(
            Diagnostic::error(&key.span, "`as` needs `for_each`")
                .help("`as` names the item of `for_each`; without it there is no item"),
        );
    }
    let name = match decode::literal(node) {
        Ok(name) => name,
        Err(wrong) => {
            loader.found.push(decode::named("as", wrong));
            return None;
        }
    };
    let span: Span = node.span.clone();
    if let Some(why) = words::bad_name(&name) {
        loader
            .found
            .push(Diagnostic::error(&span, format!("`{name}` cannot be the name of an item")).help(why));
        return None;
    }
    Some(Spanned { value: name, span })
}

fn rollback_scope(loader: &mut Loader<'_>, node: &Node) {
    let wrong = match node.text.as_deref() {
        Some("host") => return,
        Some(word @ ("batch" | "stage")) => {
            Diagnostic::error(&node.span, format!("`rollback_scope: {word}` is known, not built yet"))
        }
        Some(word) => Diagnostic::error(&node.span, format!("`rollback_scope` cannot be `{word}`"))
            .help("it is `host`: what a failed host runs at once"),
        None => Diagnostic::error(
            &node.span,
            format!("`rollback_scope` is `host`, found {}", node.kind_name()),
        ),
    };
    loader.found.push(wrong);
}
