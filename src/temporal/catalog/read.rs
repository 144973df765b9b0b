//! From YAML into a catalog: what a file names is put over what is there.

use std::collections::BTreeMap;

use super::{Action, Bad, BadKind, Catalog, Does, Effect, Health, Leave, MinorFacts, Need, Needs, Side, Step, Store};
use crate::schema::Version;
use crate::temporal::release::{Minor, Release};
use crate::yaml::decode::{self, Fields};
use crate::yaml::{Diagnostic, Diagnostics, Node, Span, Style, Value, suggestion};

pub(super) fn read(catalog: &mut Catalog, root: &Node, found: &mut Diagnostics) {
    if matches!(root.value, Value::Null) {
        found.push(Diagnostic::error(&root.span, "an empty catalog").help("name what it adds, such as `minors:`"));
        return;
    }
    let Some(mut fields) = Fields::of(root, "a release catalog", found) else {
        return;
    };
    if let Some(text) = fields.get("as_of", decode::text, found) {
        catalog.as_of = text;
    }
    for (key, name, node) in entries(fields.node("stores"), "stores", found) {
        store(catalog, key, name, node, found);
    }
    for (_, name, node) in entries(fields.node("health"), "health", found) {
        health(catalog, name, node, found);
    }
    for (key, _, node) in entries(fields.node("bad"), "bad", found) {
        bad(catalog, key, node, found);
    }
    for (key, _, node) in entries(fields.node("reports"), "reports", found) {
        let Some(tag) = keep(release(key), found) else { continue };
        if let Some(says) = keep(release(node), found) {
            catalog.reports.insert(tag, says);
        }
    }
    for (key, _, node) in entries(fields.node("minors"), "minors", found) {
        if let Some(number) = keep(minor(key), found) {
            minor_facts(catalog, number, key, node, found);
        }
    }
    for (key, name, node) in entries(fields.node("steps"), "steps", found) {
        steps(catalog, key, name, node, found);
    }
    fields.finish(found);
}

fn keep<T>(result: Result<T, Diagnostic>, found: &mut Diagnostics) -> Option<T> {
    result.map_err(|wrong| found.push(wrong)).ok()
}

/// Key node, key text and value of a mapping that a key of the catalog holds.
fn entries<'n>(node: Option<&'n Node>, what: &str, found: &mut Diagnostics) -> Vec<(&'n Node, &'n str, &'n Node)> {
    match node.map(|node| (&node.value, node)) {
        None | Some((Value::Null, _)) => Vec::new(),
        Some((Value::Map(entries), _)) => entries
            .iter()
            .map(|(key, value)| (key, key.text.as_deref().unwrap_or_default(), value))
            .collect(),
        Some((_, node)) => {
            let message = format!("`{what}` is a mapping, found {}", node.kind_name());
            found.push(Diagnostic::error(&node.span, message));
            Vec::new()
        }
    }
}

/// A version's text. A plain `1.10` is the number 1.1 to every other reader of the file.
fn quoted(node: &Node) -> Result<&str, Diagnostic> {
    match (node.style, &node.text, &node.value) {
        (Style::Plain, Some(text), Value::Int(_) | Value::Float(_)) => {
            Err(Diagnostic::error(&node.span, "a version stands in quotes")
                .help(format!("write \"{text}\": YAML reads 1.10 as the number 1.1")))
        }
        (_, Some(text), Value::Str(_)) => Ok(text),
        _ => Err(Diagnostic::error(
            &node.span,
            format!("expected a version, found {}", node.kind_name()),
        )),
    }
}

fn release(node: &Node) -> Result<Release, Diagnostic> {
    let text = quoted(node)?;
    Release::parse(text).ok_or_else(|| {
        Diagnostic::error(&node.span, format!("`{text}` is no release"))
            .help("write its three numbers (\"1.29.7\"); a few old tags have four")
    })
}

fn minor(node: &Node) -> Result<Minor, Diagnostic> {
    let text = quoted(node)?;
    Minor::parse(text).ok_or_else(|| {
        Diagnostic::error(&node.span, format!("`{text}` is no minor")).help("write its two numbers (\"1.29\")")
    })
}

fn version(node: &Node) -> Result<Version, Diagnostic> {
    let text = quoted(node)?;
    Version::parse(text).ok_or_else(|| {
        Diagnostic::error(&node.span, format!("`{text}` is no schema version"))
            .help("write numbers between dots (\"1.19\"), or v14 of an index template")
    })
}

fn side(key: &Node) -> Result<Side, Diagnostic> {
    let text = key.text.as_deref().unwrap_or_default();
    Side::BOTH
        .into_iter()
        .find(|side| side.as_str() == text)
        .ok_or_else(|| {
            let unknown = Diagnostic::error(&key.span, format!("no database `{text}`: write default or visibility"));
            match suggestion(text, Side::BOTH.map(Side::as_str)) {
                Some(help) => unknown.help(help),
                None => unknown,
            }
        })
}

/// One of a few words.
fn word<T: Copy>(node: &Node, words: &[(&'static str, T)]) -> Result<T, Diagnostic> {
    let text = decode::literal(node)?;
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let unknown = Diagnostic::error(
                &node.span,
                format!("expected one of {}, found `{text}`", all.join(", ")),
            );
            match suggestion(&text, all) {
                Some(help) => unknown.help(help),
                None => unknown,
            }
        })
}

fn texts(node: &Node) -> Result<Vec<String>, Diagnostic> {
    decode::list(node)?.into_iter().map(decode::text).collect()
}

fn releases(node: &Node) -> Result<Vec<Release>, Diagnostic> {
    decode::list(node)?.into_iter().map(release).collect()
}

fn store(catalog: &mut Catalog, key: &Node, name: &str, node: &Node, found: &mut Diagnostics) {
    let Some(mut fields) = Fields::of(node, "a store", found) else {
        return;
    };
    let mut store = catalog.stores.get(name).cloned().unwrap_or_else(|| Store {
        engine: String::new(),
        plugins: Vec::new(),
        directories: BTreeMap::new(),
        minimum: None,
        documented: None,
        refused: Default::default(),
        since: None,
        dropped: BTreeMap::new(),
        leave: None,
        unsupported: None,
        by_hand: None,
        at: key.span.clone(),
    });
    let engines = ["postgres", "mysql", "cassandra", "elasticsearch", "sqlite"].map(|engine| (engine, engine));
    match fields.node("engine") {
        Some(node) => store.engine = keep(word(node, &engines), found).unwrap_or_default().to_owned(),
        None if store.engine.is_empty() => {
            found.push(Diagnostic::error(
                &key.span,
                format!("the store `{name}` has no `engine`"),
            ));
        }
        None => {}
    }
    if let Some(plugins) = fields.get("plugins", texts, found) {
        store.plugins = plugins;
    }
    for (key, _, node) in entries(fields.node("directories"), "directories", found) {
        if let (Some(side), Some(path)) = (keep(side(key), found), keep(decode::literal(node), found)) {
            store.directories.insert(side, path);
        }
    }
    if let Some(text) = fields.get("minimum", |node| quoted(node).map(str::to_owned), found) {
        store.minimum = Some(text);
    }
    store.documented = fields.get("documented", decode::text, found).or(store.documented);
    for (_, series, node) in entries(fields.node("refused"), "refused", found) {
        if let Some(from) = keep(quoted(node), found) {
            store.refused.insert(series.to_owned(), from.to_owned());
        }
    }
    store.since = fields.get("since", minor, found).or(store.since);
    for (key, _, node) in entries(fields.node("dropped"), "dropped", found) {
        if let (Some(side), Some(minor)) = (keep(side(key), found), keep(minor(node), found)) {
            store.dropped.insert(side, minor);
        }
    }
    if let Some(node) = fields.node("move")
        && let Some(mut fields) = Fields::of(node, "a move", found)
    {
        store.leave = Some(Leave {
            to: fields.get("to", decode::literal, found),
            text: fields.get("text", decode::text, found).unwrap_or_default(),
            steps: fields.get("steps", texts, found).unwrap_or_default(),
        });
        fields.finish(found);
    }
    store.unsupported = fields.get("unsupported", decode::text, found).or(store.unsupported);
    store.by_hand = fields.get("by_hand", decode::text, found).or(store.by_hand);
    fields.finish(found);
    catalog.stores.insert(name.to_owned(), store);
}

fn health(catalog: &mut Catalog, role: &str, node: &Node, found: &mut Diagnostics) {
    let Some(mut fields) = Fields::of(node, "a role's health", found) else {
        return;
    };
    let before = catalog.health.get(role).cloned();
    let service = fields.get("service", decode::literal, found);
    let since = fields.get("since", minor, found);
    let ready = fields.get("ready", minor, found);
    fields.finish(found);
    let Some(service) = service.or_else(|| before.as_ref().map(|h| h.service.clone())) else {
        found.push(Diagnostic::error(
            &node.span,
            format!("the role `{role}` has no `service`"),
        ));
        return;
    };
    let health = Health {
        service,
        since: since.or_else(|| before.as_ref()?.since),
        ready: ready.or_else(|| before.as_ref()?.ready),
    };
    catalog.health.insert(role.to_owned(), health);
}

fn bad(catalog: &mut Catalog, key: &Node, node: &Node, found: &mut Diagnostics) {
    let Some(tag) = keep(release(key), found) else {
        return;
    };
    let Some(mut fields) = Fields::of(node, "a bad tag", found) else {
        return;
    };
    let kind = fields.node("kind").map(|node| word(node, &BadKind::WORDS));
    let why = fields.get("why", decode::text, found);
    fields.finish(found);
    match kind {
        Some(kind) => {
            if let Some(kind) = keep(kind, found) {
                let (why, at) = (why.unwrap_or_default(), key.span.clone());
                catalog.bad.insert(tag, Bad { kind, why, at });
            }
        }
        None => found.push(
            Diagnostic::error(&key.span, format!("the bad tag {tag} has no `kind`"))
                .help("write retracted, known_bad or banned"),
        ),
    }
}

fn minor_facts(catalog: &mut Catalog, number: Minor, key: &Node, node: &Node, found: &mut Diagnostics) {
    let Some(mut fields) = Fields::of(node, "a minor", found) else {
        return;
    };
    let mut facts = catalog.minors.remove(&number).unwrap_or_else(|| MinorFacts {
        newest: None,
        schema: Needs::new(),
        before: BTreeMap::new(),
        actions: Default::default(),
        at: key.span.clone(),
    });
    if let Some(node) = fields.node("newest")
        && let Some(newest) = keep(release(node), found)
    {
        facts.newest = Some((newest, node.span.clone()));
    }
    needs(&mut facts.schema, fields.node("schema"), "schema", found);
    for (key, _, node) in entries(fields.node("before"), "before", found) {
        if let Some(below) = keep(release(key), found) {
            needs(facts.before.entry(below).or_default(), Some(node), "before", found);
        }
    }
    for (_, id, node) in entries(fields.node("actions"), "actions", found) {
        if let Some(action) = action(node, found) {
            facts.actions.insert(id.to_owned(), action);
        }
    }
    fields.finish(found);
    catalog.minors.insert(number, facts);
}

fn needs(needs: &mut Needs, node: Option<&Node>, what: &str, found: &mut Diagnostics) {
    for (_, store, node) in entries(node, what, found) {
        let sides = needs.entry(store.to_owned()).or_default();
        for (key, _, node) in entries(Some(node), store, found) {
            let (Some(side), Some(version)) = (keep(side(key), found), keep(version(node), found)) else {
                continue;
            };
            let (text, at) = (node.text.clone().unwrap_or_default(), node.span.clone());
            sides.insert(side, Need { text, version, at });
        }
    }
}

fn action(node: &Node, found: &mut Diagnostics) -> Option<Action> {
    let mut fields = Fields::of(node, "an action", found)?;
    let stores_at = fields
        .node("stores")
        .map_or_else(|| node.span.clone(), |node| node.span.clone());
    let text = fields.get("text", decode::text, found);
    let stores = fields.get("stores", texts, found).unwrap_or_default();
    let keys = fields.get("keys", texts, found).unwrap_or_default();
    let gone = fields.get("gone", texts, found).unwrap_or_default();
    fields.finish(found);
    if text.is_none() {
        found.push(Diagnostic::error(&node.span, "an action needs a `text`"));
    }
    Some(Action {
        text: text?,
        stores,
        keys,
        gone,
        stores_at,
    })
}

fn steps(catalog: &mut Catalog, key: &Node, store: &str, node: &Node, found: &mut Diagnostics) {
    if !catalog.stores.contains_key(store) {
        found.push(no_store(&key.span, store, catalog));
    }
    for (key, _, node) in entries(Some(node), "steps", found) {
        let Some(side) = keep(side(key), found) else { continue };
        let known = catalog.steps.entry(store.to_owned()).or_default();
        let known = known.entry(side).or_default();
        for (key, _, node) in entries(Some(node), side.as_str(), found) {
            if let (Some(version), Some(step)) = (keep(version(key), found), step(node, found)) {
                known.insert(version, step);
            }
        }
    }
}

pub(super) fn no_store(at: &Span, name: &str, catalog: &Catalog) -> Diagnostic {
    let unknown = Diagnostic::error(at, format!("no store `{name}`"));
    match suggestion(name, catalog.stores.keys().map(String::as_str)) {
        Some(help) => unknown.help(help),
        None => unknown,
    }
}

fn step(node: &Node, found: &mut Diagnostics) -> Option<Step> {
    let mut fields = Fields::of(node, "a schema version", found)?;
    let mut step = Step {
        replay: fields.get("replay", decode::text, found),
        tool: fields.get("tool", release, found),
        does: Vec::new(),
    };
    let does = match fields.node("does").map(decode::list) {
        Some(Ok(items)) => items,
        Some(Err(wrong)) => {
            found.push(wrong);
            Vec::new()
        }
        None => Vec::new(),
    };
    fields.finish(found);
    step.does = does.into_iter().filter_map(|node| effect(node, found)).collect();
    Some(step)
}

fn effect(node: &Node, found: &mut Diagnostics) -> Option<Does> {
    let mut fields = Fields::of(node, "an effect", found)?;
    let table = fields.get("table", decode::literal, found);
    let kind = fields.node("kind").map(|node| word(node, &Effect::WORDS));
    let times = fields.get("times", decode::int, found).unwrap_or(1);
    let does = (
        fields.get("text", decode::text, found),
        fields.get("made", version, found),
        fields.get("since", releases, found).unwrap_or_default(),
        fields.get("until", releases, found).unwrap_or_default(),
    );
    fields.finish(found);
    if table.is_none() || kind.is_none() {
        found.push(Diagnostic::error(&node.span, "an effect needs `table` and `kind`"));
    }
    let times = u32::try_from(times).ok().filter(|times| *times > 0);
    if times.is_none() {
        found.push(Diagnostic::error(&node.span, "`times` is 1 or more"));
    }
    let (text, made, since, until) = does;
    Some(Does {
        table: table?,
        kind: keep(kind?, found)?,
        times: times?,
        text,
        made,
        since,
        until,
    })
}
