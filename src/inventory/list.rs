//! An inventory as `ansible-inventory` prints it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Inventory;
use super::graph::{ALL, GroupId};
use crate::id::HostName;
use crate::template::{Binding, Layer};
use crate::yaml::{self, Node};

/// Variables that Ansible makes itself and does not list.
const INTERNAL: [&str; 33] = [
    "ansible_async_path",
    "ansible_collection_name",
    "ansible_config_file",
    "ansible_dependent_role_names",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_role_names",
    "ansible_playbook_python",
    "ansible_role_name",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "groups",
    "group_names",
    "hostvars",
    "playbook_dir",
    "play_hosts",
    "role_name",
    "role_names",
    "role_path",
    "role_uuid",
];

impl Inventory {
    /// As `ansible-inventory --list` prints it, keys sorted.
    pub(crate) fn list_json(&self) -> Value {
        let mut groups = BTreeMap::new();
        self.list_group(ALL, &mut groups, &mut BTreeSet::new());
        let mut variables = Map::new();
        let mut names: Vec<&HostName> = self.hosts().collect();
        names.sort();
        for host in names {
            match self.host_json(host) {
                Value::Object(own) if own.is_empty() => {}
                own => {
                    variables.insert(host.to_string(), own);
                }
            }
        }
        groups.insert("_meta", json!({"hostvars": variables, "profile": "inventory_legacy"}));
        groups.into_iter().collect()
    }

    fn list_group<'a>(&'a self, id: GroupId, into: &mut BTreeMap<&'a str, Value>, seen: &mut BTreeSet<GroupId>) {
        let Some((name, group)) = self.graph.groups.get_index(id) else {
            return;
        };
        let mut object = Map::new();
        let mut children = Vec::new();
        for child in &group.children {
            children.extend(self.graph.groups.get_index(*child).map(|(name, _)| name.as_str()));
            if seen.insert(*child) {
                self.list_group(*child, into, seen);
            }
        }
        if !children.is_empty() {
            object.insert("children".to_owned(), json!(children));
        }
        let listed: Vec<&HostName> = match id {
            ALL => Vec::new(),
            _ => group.hosts.iter().map(|host| &self.graph.hosts[*host].name).collect(),
        };
        if !listed.is_empty() {
            object.insert("hosts".to_owned(), json!(listed));
        }
        if !object.is_empty() {
            into.insert(name, Value::Object(object));
        }
    }

    /// The variables of a host, merged and untemplated, as `ansible-inventory --host` prints them; keys sorted.
    /// Infinity and NaN, which JSON has not, are text.
    pub(crate) fn host_json(&self, host: &HostName) -> Value {
        let layers = self.layers(host);
        let mut merged: BTreeMap<&str, &Binding> = BTreeMap::new();
        for layer in &layers {
            let layer: &Layer = layer;
            merged.extend(layer.iter().map(|(name, binding)| (name.as_str(), binding)));
        }
        let listed = merged.into_iter().filter(|(name, _)| !INTERNAL.contains(name));
        listed
            .map(|(name, binding)| {
                let value = match binding {
                    Binding::Template(node) => value(node, false),
                    Binding::Data(data) => data.clone(),
                    Binding::Secret(_) | Binding::Pending(_) => Value::Null,
                };
                (name.to_owned(), value)
            })
            .collect()
    }
}

/// `literal`: below an `!unsafe`, where no text is a template.
fn value(node: &Node, literal: bool) -> Value {
    let literal = literal || node.tag.as_deref() == Some("!unsafe");
    match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Bool(b) => json!(b),
        yaml::Value::Int(i) => json!(i),
        yaml::Value::Float(f) if f.is_nan() => json!("NaN"),
        yaml::Value::Float(f) if f.is_infinite() => json!(if *f > 0.0 { "Infinity" } else { "-Infinity" }),
        yaml::Value::Float(f) => json!(f),
        yaml::Value::Str(text) if literal => json!({"__ansible_unsafe": text}),
        yaml::Value::Str(text) => json!(text),
        yaml::Value::Seq(items) => items.iter().map(|item| value(item, literal)).collect(),
        yaml::Value::Map(entries) => {
            let sorted: BTreeMap<&str, &Node> = entries
                .iter()
                .map(|(key, value)| (key.text.as_deref().unwrap_or_default(), value))
                .collect();
            let values = sorted
                .into_iter()
                .map(|(key, node)| (key.to_owned(), value(node, literal)));
            values.collect()
        }
    }
}
