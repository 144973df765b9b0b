//! Stages with their hosts and their variables; groups with `for_each` become one instance an item.

use std::sync::Arc;

use serde_json::Value;

use super::check::title;
use super::environment::remember;
use super::loaded::{Loaded, pattern_error};
use super::scope::Place;
use crate::event::Event;
use crate::id::HostName;
use crate::playbook::{Body, Stage};
use crate::template::{Binding, Layer, Pending, Scope};
use crate::yaml::{Diagnostic, Diagnostics, Node};

/// A stage (or group) with the items of every `for_each` around it.
#[derive(Clone)]
pub(crate) struct Instance<'a> {
    /// From the outermost group to the stage itself.
    pub(crate) chain: Vec<&'a Stage>,
    /// `hop-to[0]/back-up`; `[?]` where the items are not known yet.
    pub(crate) path: String,
    /// `vars` and `as` of the chain, outer first.
    pub(crate) layers: Vec<Arc<Layer>>,
    /// Of the pattern, within the limit, without the excluded; in the pattern's order.
    pub(crate) hosts: Vec<HostName>,
    /// The pattern's hosts before limit and exclusions.
    pub(crate) matched: usize,
    /// Its item, where it has a `for_each` itself.
    pub(crate) item: Option<Value>,
    /// An enclosing `for_each` waits for these names.
    pub(crate) pending: Vec<String>,
}

impl<'a> Instance<'a> {
    pub(crate) fn stage(&self) -> &'a Stage {
        self.chain.last().expect("an instance has a stage")
    }
}

/// The hosts of a stage: (all that the pattern matches, those that limit and exclusions leave).
pub(crate) struct StageHosts {
    pub(crate) matched: usize,
    pub(crate) hosts: Vec<HostName>,
}

/// Where no host is at hand: what `hosts:` and `for_each:` are rendered with.
fn common_scope(loaded: &Arc<Loaded>, parent: Option<&Instance<'_>>) -> Scope {
    let host = parent
        .and_then(|p| p.hosts.first())
        .or_else(|| loaded.inventory.hosts().next())
        .expect("an inventory without hosts is refused at load")
        .clone();
    loaded.scope(Place {
        instance: parent,
        ..Place::host(&host)
    })
}

/// Hosts of a pattern node: text, or a list of texts.
pub(crate) fn stage_hosts(
    loaded: &Arc<Loaded>,
    node: &Node,
    parent: Option<&Instance<'_>>,
) -> Result<StageHosts, Diagnostics> {
    let matched = matching(loaded, node, parent)?;
    Ok(StageHosts {
        matched: matched.len(),
        hosts: matched.into_iter().filter(|host| loaded.takes(host)).collect(),
    })
}

/// The same before limit and exclusions.
pub(super) fn matching(
    loaded: &Arc<Loaded>,
    node: &Node,
    parent: Option<&Instance<'_>>,
) -> Result<Vec<HostName>, Diagnostics> {
    let rendered = loaded.templates.value(node, &common_scope(loaded, parent))?;
    if !rendered.pending.is_empty() {
        return Err(Diagnostic::error(
            &node.span,
            format!("the hosts of a stage cannot wait for {}", rendered.pending.join(", ")),
        )
        .into());
    }
    let patterns: Vec<String> = match &rendered.value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => {
            return Err(Diagnostic::error(&node.span, "`hosts` takes a pattern or a list of patterns").into());
        }
    };
    let pattern = patterns.join(",");
    let list: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let matched = loaded.inventory.select_list(&list).map_err(|(index, e)| {
        let mut diagnostic = pattern_error("hosts", list.get(index).unwrap_or(&pattern.as_str()), &e);
        let item = node.as_seq().and_then(|items| items.get(index)).unwrap_or(node);
        diagnostic.at = Some(item.span.clone());
        Diagnostics::from(diagnostic)
    })?;
    if matched.is_empty() {
        return Err(Diagnostic::error(&node.span, format!("`{pattern}` matches no host of the inventory")).into());
    }
    Ok(matched)
}

/// The path of a stage, without the index of its own `for_each`.
pub(crate) fn path(stage: &Stage, parent: Option<&Instance<'_>>) -> String {
    match parent {
        Some(parent) => format!("{}/{}", parent.path, stage.id),
        None => stage.id.clone(),
    }
}

/// One stage of the playbook as it will run: once, or once an item of its `for_each`.
pub(crate) fn instances<'a>(
    loaded: &Arc<Loaded>,
    stage: &'a Stage,
    parent: Option<&Instance<'a>>,
) -> Result<Vec<Instance<'a>>, Diagnostics> {
    let hosts = match (&stage.hosts, parent) {
        (Some(node), _) => stage_hosts(loaded, node, parent)?,
        (None, Some(parent)) => StageHosts {
            matched: parent.matched,
            hosts: parent.hosts.clone(),
        },
        (None, None) => stage_hosts(loaded, &loaded.playbook.hosts, None)?,
    };
    let mut one = Instance {
        chain: parent.map(|p| p.chain.clone()).unwrap_or_default(),
        path: path(stage, parent),
        item: None,
        layers: parent.map(|p| p.layers.clone()).unwrap_or_default(),
        hosts: hosts.hosts,
        matched: hosts.matched,
        pending: parent.map(|p| p.pending.clone()).unwrap_or_default(),
    };
    one.chain.push(stage);
    let Some(node) = &stage.for_each else {
        if !stage.vars.is_empty() {
            one.layers.push(Arc::clone(&stage.vars));
        }
        return Ok(vec![one]);
    };
    let name = stage.as_.as_ref().map_or("item", |name| &name.value).to_owned();
    let with = |binding: Binding, index: &str| {
        let mut instance = one.clone();
        instance.path = format!("{}[{index}]", one.path);
        instance.layers.push(Arc::new(Layer::from([(name.clone(), binding)])));
        if !stage.vars.is_empty() {
            instance.layers.push(Arc::clone(&stage.vars));
        }
        instance
    };
    let all = |items: &[Value]| {
        let one = |(index, item): (usize, &Value)| Instance {
            item: Some(item.clone()),
            ..with(Binding::Data(item.clone()), &index.to_string())
        };
        items.iter().enumerate().map(one).collect()
    };
    if let Some(items) = loaded.items.get(&one.path) {
        return Ok(all(items));
    }
    let rendered = loaded
        .templates
        .value(node, &common_scope(loaded, parent.or(Some(&one))))?;
    remember(loaded, &rendered);
    if !rendered.pending.is_empty() {
        let mut instance = with(
            Binding::Pending(Pending {
                name: name.clone(),
                fields: None,
                known: None,
            }),
            "?",
        );
        instance.pending.extend(rendered.pending);
        return Ok(vec![instance]);
    }
    match rendered.value {
        Value::Array(items) => Ok(all(&items)),
        other => Err(Diagnostic::error(
            &node.span,
            format!("`for_each` takes a list, this gives {}", type_name(&other)),
        )
        .into()),
    }
}

/// Why a stage without items is skipped.
pub(crate) const NOTHING: &str = "nothing to do: its `for_each` has no items";

/// What a `for_each` goes over, for the journal.
pub(crate) struct Items {
    items: Vec<Value>,
    /// Of a group, what each instance is called.
    titles: Vec<String>,
}

impl Items {
    pub(crate) fn of(loaded: &Arc<Loaded>, stage: &Stage, instances: &[Instance<'_>]) -> Items {
        let name = |instance: &Instance<'_>| match instance.hosts.first() {
            None => stage.name.text.clone().unwrap_or_default(),
            Some(host) => {
                let place = Place {
                    instance: Some(instance),
                    ..Place::host(host)
                };
                title(loaded, &stage.name, &loaded.scope(place))
            }
        };
        Items {
            items: instances.iter().filter_map(|instance| instance.item.clone()).collect(),
            titles: match stage.body {
                Body::Stages(_) => instances.iter().map(name).collect(),
                Body::Steps(_) => Vec::new(),
            },
        }
    }

    /// `path` is the stage's, without the index.
    pub(crate) fn event(&self, loaded: &Loaded, path: &str) -> Event {
        let items = self.items.iter().map(|item| loaded.redactor.clean_value(item));
        Event::Items {
            stage: path.to_owned(),
            items: items.collect(),
            titles: self.titles.clone(),
        }
    }
}

pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
