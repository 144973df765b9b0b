//! The YAML form of an inventory (and the same in JSON).

use std::sync::Arc;

use super::graph::{Conflict, Graph, GroupId};
use super::ini::port_node;
use super::{address, json};
use crate::yaml::{self, Diagnostic, Diagnostics, Node, Rules, Source, Value};

const KEYS: [&str; 3] = ["hosts", "vars", "children"];

/// A file's tree by Ansible's rules: JSON if it is JSON, else YAML 1.1.
pub(super) fn parse(source: &Arc<Source>) -> Result<Node, Diagnostics> {
    if source.text.starts_with("$ANSIBLE_VAULT;") {
        let end = source.text.find('\n').unwrap_or(source.text.len());
        let at = yaml::Span::new(source, 0, end);
        return Err(Diagnostic::error(&at, "files encrypted by ansible-vault are known, not built yet").into());
    }
    match json::parse(source) {
        Some(parsed) => parsed,
        None => yaml::parse(source, Rules::Yaml11),
    }
}

/// Refuses encrypted values anywhere in a tree.
pub(super) fn refuse_vaults(node: &Node, found: &mut Diagnostics) {
    if matches!(node.tag.as_deref(), Some("!vault" | "!vault-encrypted")) {
        found.push(Diagnostic::error(&node.span, "`!vault` is known, not built yet"));
    }
    match &node.value {
        Value::Seq(items) => items.iter().for_each(|item| refuse_vaults(item, found)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| refuse_vaults(value, found)),
        _ => {}
    }
}

/// Why a tree is not an inventory in this form, so that the next reader may try.
pub(super) fn declined(node: &Node) -> Option<String> {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => None,
        Value::Map(_) | Value::Null => Some("the file is empty".to_owned()),
        _ => Some(format!("expected a mapping of groups, found {}", node.kind_name())),
    }
}

/// Python's truth.
pub(super) fn truthy(node: &Node) -> bool {
    match &node.value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Int(i) => *i != 0,
        Value::Float(f) => *f != 0.0,
        Value::Str(text) => !text.is_empty(),
        Value::Seq(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
    }
}

/// Reads a tree that was not declined into the graph.
pub(super) fn read(node: &Node, graph: &mut Graph) -> Diagnostics {
    let mut reader = Reader {
        graph,
        found: Diagnostics::default(),
    };
    if let Some(plugin) = node.get("plugin").filter(|p| truthy(p)) {
        reader.found.push(
            Diagnostic::error(
                &plugin.span,
                "this configures an inventory plugin of Ansible, which Refit does not run",
            )
            .help("print what it gives to a file: ansible-inventory -i THIS --list --yaml > hosts.yml"),
        );
        return reader.found;
    }
    refuse_vaults(node, &mut reader.found);
    for (name, body) in node.as_map().unwrap_or_default() {
        reader.group(name, body);
    }
    reader.found
}

struct Reader<'a> {
    graph: &'a mut Graph,
    found: Diagnostics,
}

impl Reader<'_> {
    fn conflict(&mut self, at: &Node, conflict: &Conflict) {
        self.found.push(Diagnostic::error(&at.span, conflict.to_string()));
    }

    fn group(&mut self, name: &Node, body: &Node) -> Option<GroupId> {
        let Some(text) = name.as_str() else {
            self.found.push(
                Diagnostic::error(
                    &name.span,
                    format!("a group's name must be text, found {}", name.kind_name()),
                )
                .help("quote it"),
            );
            return None;
        };
        let entries = match &body.value {
            Value::Null => &[],
            Value::Map(entries) => entries.as_slice(),
            _ => {
                self.found.push(
                    Diagnostic::error(
                        &body.span,
                        format!("group `{text}` must be a mapping, found {}", body.kind_name()),
                    )
                    .help("a group holds `hosts`, `vars` and `children`"),
                );
                return None;
            }
        };
        let group = match self.graph.add_group(text, &name.span) {
            Ok(group) => group,
            Err(conflict) => {
                self.conflict(name, &conflict);
                return None;
            }
        };
        for (key, value) in entries {
            let Some(section) = KEYS.into_iter().find(|k| key.as_str() == Some(*k)) else {
                self.unknown(text, key);
                continue;
            };
            self.section(text, group, section, value);
        }
        Some(group)
    }

    fn unknown(&mut self, group: &str, key: &Node) {
        let name = key.text.as_deref().unwrap_or_default();
        let error = Diagnostic::error(&key.span, format!("unknown key `{name}` in group `{group}`"));
        self.found.push(error.help(match yaml::suggestion(name, KEYS) {
            Some(help) => help,
            None => "a group holds `hosts`, `vars` and `children`; its groups go below `children`".to_owned(),
        }));
    }

    fn section(&mut self, name: &str, group: GroupId, section: &str, value: &Node) {
        let nothing;
        let single;
        let entries: &[(Node, Node)] = match &value.value {
            Value::Null => &[],
            Value::Map(entries) => entries,
            // A bare word stands for a mapping with that key alone.
            Value::Str(_) => {
                nothing = Node {
                    value: Value::Null,
                    text: None,
                    ..value.clone()
                };
                single = [(value.clone(), nothing)];
                &single
            }
            _ => {
                self.found.push(
                    Diagnostic::error(
                        &value.span,
                        format!("`{section}` must be a mapping, found {}", value.kind_name()),
                    )
                    .help("one entry a line, each with a `:` behind it"),
                );
                return;
            }
        };
        for (key, value) in entries {
            match section {
                "vars" => {
                    let variable = key.text.as_deref().unwrap_or_default();
                    let value = Arc::new(value.clone());
                    if let Err(conflict) = self.graph.set_variable(name, variable, &value) {
                        self.conflict(&value, &conflict);
                    }
                }
                "children" => {
                    if let Some(child) = self.group(key, value)
                        && let Err(conflict) = self.graph.add_child(group, child)
                    {
                        self.conflict(key, &conflict);
                    }
                }
                _ => self.host(group, key, value),
            }
        }
    }

    fn host(&mut self, group: GroupId, key: &Node, body: &Node) {
        let Some(pattern) = key.as_str() else {
            self.found.push(
                Diagnostic::error(
                    &key.span,
                    format!("a host's name must be text, found {}", key.kind_name()),
                )
                .help("quote it"),
            );
            return;
        };
        let variables = match &body.value {
            Value::Map(entries) => entries.as_slice(),
            _ if !truthy(body) => &[],
            _ => {
                self.found.push(Diagnostic::error(
                    &body.span,
                    format!(
                        "the variables of host `{pattern}` must be a mapping, found {}",
                        body.kind_name()
                    ),
                ));
                return;
            }
        };
        let (names, port) = match address::expand(pattern) {
            Ok(expanded) => expanded,
            Err(bad) => {
                self.found.push(Diagnostic::error(&key.span, bad.to_string()));
                return;
            }
        };
        let port = port.map(|port| port_node(port, &key.span));
        let variables: Vec<(&str, Arc<Node>)> = variables
            .iter()
            .map(|(key, value)| (key.text.as_deref().unwrap_or_default(), Arc::new(value.clone())))
            .collect();
        for name in names {
            if let Err(conflict) = self.graph.add_host(&name, group, port.as_ref(), &key.span) {
                self.conflict(key, &conflict);
                return;
            }
            for (variable, value) in &variables {
                if let Err(conflict) = self.graph.set_variable(&name, variable, value) {
                    self.conflict(value, &conflict);
                }
            }
        }
    }
}
