//! Hosts, groups and variables: Ansible's INI and YAML forms, folders, host lists; group_vars and host_vars;
//! patterns. The same hosts, groups and values as ansible-core 2.19 gives, except that what Ansible only warns of
//! (a missing source, an unknown key, a pattern without a match) is an error with its place.

mod address;
mod beside;
mod graph;
mod ini;
mod json;
mod list;
mod literal;
mod pattern;
mod sources;
mod tree;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use pattern::PatternError;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::id::HostName;
use crate::template::{Binding, Layer};
use crate::yaml::{Diagnostics, Node, Source, Span};

use beside::{Beside, LOCALHOST};
use graph::{ALL, Graph, GroupId, HostId};
use sources::Sources;

/// What the sources of a run say. Layers are shared between the hosts that they hold for.
#[derive(Debug)]
pub(crate) struct Inventory {
    graph: Graph,
    /// Of each group, by id.
    members: Vec<Vec<HostId>>,
    /// The groups of each host without `all`, in the order in which their variables apply.
    chains: Vec<Arc<[GroupId]>>,
    /// Beside the sources, lowest precedence first.
    beside: Vec<Arc<Beside>>,
    playbook: Arc<Beside>,
    /// `groups` and `playbook_dir`: the same for all hosts.
    common: Arc<Layer>,
    /// What the implicit local host has of its own.
    local: Arc<Layer>,
    files: Vec<PathBuf>,
}

impl Inventory {
    /// Loads sources as given with `-i` (a path relative to `folder`, or a list of hosts `a,b,`), and the group_vars
    /// and host_vars beside them and in `playbook_dir` (where there is no playbook, in `folder`, as Ansible does).
    /// Gives warnings and notes besides. An inventory without any host is no error here.
    pub(crate) fn load(
        sources: &[String],
        folder: &Path,
        playbook_dir: Option<&Path>,
    ) -> Result<(Inventory, Diagnostics), Diagnostics> {
        let mut reader = Sources::new();
        for source in sources {
            reader.read(source, folder);
        }
        let Sources {
            mut graph,
            folders,
            mut files,
            mut found,
        } = reader;
        graph.origin = None;
        graph.finish(&mut found);

        let mut known: HashMap<PathBuf, Arc<Beside>> = HashMap::new();
        let mut read = |folder: &Path| -> Arc<Beside> {
            let path = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
            let beside = known
                .entry(path)
                .or_insert_with(|| Arc::new(Beside::read(folder, &graph, &mut files, &mut found)));
            Arc::clone(beside)
        };
        let mut beside: Vec<Arc<Beside>> = folders.iter().map(|folder| read(folder)).collect();
        let playbook = read(playbook_dir.unwrap_or(folder));
        // Applied at the higher level anyway.
        beside.retain(|b| !Arc::ptr_eq(b, &playbook));
        if found.has_errors() {
            return Err(found);
        }

        let members = graph.members();
        let chains = graph.chains();
        let mut common = Layer::new();
        common.insert("groups".to_owned(), Binding::Data(groups_value(&graph, &members)));
        if let Some(dir) = playbook_dir {
            let dir = sources::absolute(dir).to_string_lossy().into_owned();
            common.insert("playbook_dir".to_owned(), Binding::Data(dir.into()));
        }
        let inventory = Inventory {
            graph,
            members,
            chains,
            beside,
            playbook,
            common: Arc::new(common),
            local: Arc::new(local()),
            files,
        };
        Ok((inventory, found))
    }

    /// All hosts, in the order of the group `all`.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.members[ALL].iter().map(|id| &self.graph.hosts[*id].name)
    }

    /// The variables of a host, lowest precedence first (levels 1 to 9). A local host that no source names has those
    /// of `all` and `ansible_connection: local`; any other unknown host has none.
    pub(crate) fn layers(&self, host: &HostName) -> Vec<Arc<Layer>> {
        let name = host.as_str();
        let id = self.graph.hosts.get_index_of(name);
        let (chain, own) = match id {
            Some(id) => (&*self.chains[id], &self.graph.hosts[id].vars),
            None if LOCALHOST.contains(&name) => (&[][..], &self.local),
            None => return Vec::new(),
        };
        let group_name = |id: &GroupId| self.graph.groups.get_index(*id).map_or("", |(name, _)| name);
        let mut layers = vec![Arc::clone(&self.graph.groups[ALL].vars)];
        layers.extend(chain.iter().map(|id| Arc::clone(&self.graph.groups[*id].vars)));
        for beside in self.beside.iter().chain([&self.playbook]) {
            layers.extend_from_slice(beside.group("all"));
        }
        for beside in self.beside.iter().chain([&self.playbook]) {
            for id in chain {
                layers.extend_from_slice(beside.group(group_name(id)));
            }
        }
        layers.push(Arc::clone(own));
        for beside in self.beside.iter().chain([&self.playbook]) {
            layers.extend_from_slice(beside.host(name));
        }
        layers.retain(|layer| !layer.is_empty());
        layers
    }

    /// `inventory_hostname`, `group_names`, `groups` and the others that are always there; they win over [`layers`].
    /// The second layer is the same for all hosts.
    ///
    /// [`layers`]: Inventory::layers
    pub(crate) fn magic(&self, host: &HostName) -> [Arc<Layer>; 2] {
        let name = host.as_str();
        let short = match address::is_ip(name) {
            true => name,
            false => name.split('.').next().unwrap_or(name),
        };
        let mut values = vec![
            ("inventory_hostname", json!(name)),
            ("inventory_hostname_short", json!(short)),
        ];
        let id = self.graph.hosts.get_index_of(name);
        let mut groups: Vec<&str> = id
            .iter()
            .flat_map(|id| self.chains[*id].iter())
            .filter_map(|group| self.graph.groups.get_index(*group))
            .map(|(name, _)| name.as_str())
            .collect();
        groups.sort_unstable();
        values.push(("group_names", json!(groups)));
        if let Some(origin) = id.and_then(|id| self.graph.hosts[id].origin.as_ref()) {
            values.push(("inventory_file", json!(origin.file)));
            values.push(("inventory_dir", json!(origin.dir)));
        }
        let layer = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Binding::Data(value)))
            .collect();
        [Arc::new(layer), Arc::clone(&self.common)]
    }

    /// Every file that was read, in the order of reading.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

fn groups_value(graph: &Graph, members: &[Vec<HostId>]) -> serde_json::Value {
    let names = |hosts: &[HostId]| -> serde_json::Value {
        let names = hosts.iter().map(|id| graph.hosts[*id].name.as_str());
        names.collect()
    };
    let groups = graph.groups.keys().zip(members);
    groups.map(|(name, hosts)| (name.clone(), names(hosts))).collect()
}

fn local() -> Layer {
    let source = Source::new("implicit local host", "local");
    let node = Node::string(Span::new(&source, 0, source.text.len()), "local");
    let mut layer = Layer::new();
    layer.insert("ansible_connection".to_owned(), Binding::Template(Arc::new(node)));
    layer
}
