//! Hosts and groups while sources are read, and what follows from them once all are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::id::HostName;
use crate::template::{Binding, Layer};
use crate::yaml::{Diagnostic, Diagnostics, Node, Severity, Span, Value};

/// Index into [`Graph::groups`]; `all` is 0, `ungrouped` 1.
pub(super) type GroupId = usize;
/// Index into [`Graph::hosts`].
pub(super) type HostId = usize;

pub(super) const ALL: GroupId = 0;
pub(super) const UNGROUPED: GroupId = 1;

#[derive(Debug, Default)]
pub(super) struct Group {
    /// Its own, in order of declaration.
    pub(super) hosts: IndexSet<HostId>,
    pub(super) children: IndexSet<GroupId>,
    parents: IndexSet<GroupId>,
    pub(super) vars: Arc<Layer>,
    priority: i64,
    at: Option<Span>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: HostName,
    pub(super) vars: Arc<Layer>,
    pub(super) groups: Vec<GroupId>,
    pub(super) origin: Option<Arc<Origin>>,
    at: Option<Span>,
}

/// The source in which a host appeared first.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) file: String,
    /// None for a list of hosts.
    pub(super) dir: Option<String>,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Conflict {
    #[error("a group has no name")]
    EmptyGroup,
    #[error("a host has no name")]
    EmptyHost,
    #[error("{0}")]
    Name(String),
    #[error("host name `{0}` begins with `-`, as options of ssh do")]
    LikeOption(String),
    #[error("group `{child}` cannot be below `{parent}`: it is above it already")]
    Cycle { parent: String, child: String },
    #[error("group `{0}` cannot be its own child")]
    Itself(String),
    #[error("`ansible_group_priority` must be an integer, found {0}")]
    Priority(&'static str),
}

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) groups: IndexMap<String, Group>,
    pub(super) hosts: IndexMap<String, Host>,
    /// What is being read.
    pub(super) origin: Option<Arc<Origin>>,
    /// A host was named since this was last unset.
    pub(super) named: bool,
}

impl Graph {
    pub(super) fn new() -> Graph {
        let mut graph = Graph {
            groups: IndexMap::new(),
            hosts: IndexMap::new(),
            origin: None,
            named: false,
        };
        for name in ["all", "ungrouped"] {
            graph.insert_group(name, None);
        }
        graph.link(ALL, UNGROUPED);
        graph
    }

    fn insert_group(&mut self, name: &str, at: Option<&Span>) -> GroupId {
        let group = Group {
            priority: 1,
            at: at.cloned(),
            ..Group::default()
        };
        self.groups.insert_full(name.to_owned(), group).0
    }

    /// The group of that name, which is made if it is new.
    pub(super) fn add_group(&mut self, name: &str, at: &Span) -> Result<GroupId, Conflict> {
        if name.is_empty() {
            return Err(Conflict::EmptyGroup);
        }
        Ok(match self.groups.get_index_of(name) {
            Some(id) => id,
            None => self.insert_group(name, Some(at)),
        })
    }

    /// A port counts only for a host that is new.
    pub(super) fn add_host(
        &mut self,
        name: &str,
        group: GroupId,
        port: Option<&Arc<Node>>,
        at: &Span,
    ) -> Result<(), Conflict> {
        self.named = true;
        let id = match self.hosts.get_index_of(name) {
            Some(id) => id,
            None => {
                if name.is_empty() {
                    return Err(Conflict::EmptyHost);
                }
                if name.starts_with('-') {
                    return Err(Conflict::LikeOption(name.to_owned()));
                }
                let mut vars = Layer::new();
                if let Some(port) = port {
                    vars.insert("ansible_port".to_owned(), Binding::Template(Arc::clone(port)));
                }
                let host = Host {
                    name: HostName::new(name).map_err(|error| Conflict::Name(error.to_string()))?,
                    vars: Arc::new(vars),
                    groups: Vec::new(),
                    origin: self.origin.clone(),
                    at: Some(at.clone()),
                };
                self.hosts.insert_full(name.to_owned(), host).0
            }
        };
        self.put(group, id);
        Ok(())
    }

    fn put(&mut self, group: GroupId, host: HostId) {
        if self.groups[group].hosts.insert(host) {
            self.hosts[host].groups.push(group);
        }
    }

    /// A variable of a group, or, where no group has that name, of the host.
    pub(super) fn set_variable(&mut self, name: &str, key: &str, value: &Arc<Node>) -> Result<(), Conflict> {
        let vars = if let Some(group) = self.groups.get_mut(name) {
            if key == "ansible_group_priority" {
                group.priority = priority(value).ok_or(Conflict::Priority(value.kind_name()))?;
                return Ok(());
            }
            &mut group.vars
        } else {
            match self.hosts.get_mut(name) {
                Some(host) => &mut host.vars,
                None => return Ok(()),
            }
        };
        Arc::make_mut(vars).insert(key.to_owned(), Binding::Template(Arc::clone(value)));
        Ok(())
    }

    pub(super) fn add_child(&mut self, parent: GroupId, child: GroupId) -> Result<(), Conflict> {
        let name = |id: GroupId| self.groups.get_index(id).map_or("", |(name, _)| name).to_owned();
        if parent == child {
            return Err(Conflict::Itself(name(parent)));
        }
        if self.ancestors([parent]).contains(&child) {
            return Err(Conflict::Cycle {
                parent: name(parent),
                child: name(child),
            });
        }
        self.link(parent, child);
        Ok(())
    }

    fn link(&mut self, parent: GroupId, child: GroupId) {
        self.groups[parent].children.insert(child);
        self.groups[child].parents.insert(parent);
    }

    /// The groups themselves and all above them.
    fn ancestors(&self, groups: impl IntoIterator<Item = GroupId>) -> BTreeSet<GroupId> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<GroupId> = groups.into_iter().collect();
        while let Some(group) = open.pop() {
            if seen.insert(group) {
                open.extend(&self.groups[group].parents);
            }
        }
        seen
    }

    /// Once all sources are read: puts every group below `all`, and hosts without a group into `ungrouped`.
    pub(super) fn finish(&mut self, found: &mut Diagnostics) {
        for group in UNGROUPED..self.groups.len() {
            if self.groups[group].parents.is_empty()
                && let Err(conflict) = self.add_child(ALL, group)
            {
                let at = self.groups[group].at.clone();
                found.push(Diagnostic {
                    at,
                    ..Diagnostic::general(conflict.to_string())
                });
            }
        }
        let above_ungrouped = self.ancestors([UNGROUPED]);
        let below: HashSet<GroupId> = (0..self.groups.len())
            .filter(|g| self.ancestors([*g]).contains(&UNGROUPED))
            .collect();
        let mut leaves = HashSet::new();
        for id in 0..self.hosts.len() {
            let groups = &self.hosts[id].groups;
            let is_ungrouped = groups.iter().any(|g| below.contains(g));
            if is_ungrouped {
                let named = groups.iter().any(|g| *g > UNGROUPED) || above_ungrouped.iter().any(|g| *g > UNGROUPED);
                if named {
                    leaves.insert(id);
                }
            } else if groups.iter().all(|g| *g == ALL) {
                self.put(UNGROUPED, id);
            }
        }
        self.groups[UNGROUPED].hosts.retain(|id| !leaves.contains(id));
        for id in leaves {
            self.hosts[id].groups.retain(|group| *group != UNGROUPED);
        }
        for (name, group) in &self.groups {
            if let Some(host) = self.hosts.get(name) {
                let warning = Diagnostic {
                    at: group.at.clone(),
                    ..Diagnostic::general(format!("`{name}` names a host and a group"))
                };
                let warning = match &host.at {
                    Some(at) => warning.also(at, "the host"),
                    None => warning,
                };
                found.push(warning.severity(Severity::Warning));
            }
        }
    }

    /// The longest way from `all` to each group.
    fn depths(&self) -> Vec<usize> {
        fn depth(graph: &Graph, group: GroupId, known: &mut Vec<Option<usize>>) -> usize {
            if let Some(depth) = known[group] {
                return depth;
            }
            let parents: Vec<GroupId> = graph.groups[group].parents.iter().copied().collect();
            let deepest = parents.iter().map(|p| depth(graph, *p, known) + 1).max().unwrap_or(0);
            known[group] = Some(deepest);
            deepest
        }
        let mut known = vec![None; self.groups.len()];
        (0..self.groups.len()).map(|g| depth(self, g, &mut known)).collect()
    }

    /// The hosts of each group: its own, then those of its children level by level.
    pub(super) fn members(&self) -> Vec<Vec<HostId>> {
        let of = |group: GroupId| -> Vec<HostId> {
            let mut order: IndexSet<GroupId> = IndexSet::from([group]);
            let mut at = 0;
            while at < order.len() {
                order.extend(self.groups[order[at]].children.iter().copied());
                at += 1;
            }
            let hosts: IndexSet<HostId> = order
                .iter()
                .flat_map(|g| self.groups[*g].hosts.iter().copied())
                .collect();
            hosts.into_iter().collect()
        };
        (0..self.groups.len()).map(of).collect()
    }

    /// The groups of each host, without `all`, in the order in which their variables apply; shared by hosts alike.
    pub(super) fn chains(&self) -> Vec<Arc<[GroupId]>> {
        let depths = self.depths();
        let mut known: HashMap<&[GroupId], Arc<[GroupId]>> = HashMap::new();
        let mut chains = Vec::with_capacity(self.hosts.len());
        for host in self.hosts.values() {
            let chain = known.entry(&host.groups).or_insert_with(|| {
                let mut groups: Vec<GroupId> = self.ancestors(host.groups.iter().copied()).into_iter().collect();
                groups.retain(|g| *g != ALL);
                groups.sort_by_key(|g| {
                    let (name, group) = self.groups.get_index(*g).expect("an index of the graph's own");
                    (depths[*g], group.priority, name)
                });
                groups.into()
            });
            chains.push(Arc::clone(chain));
        }
        chains
    }
}

/// As Python's `int()` takes it.
fn priority(node: &Node) -> Option<i64> {
    match &node.value {
        Value::Int(i) => Some(*i),
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Float(f) if f.is_finite() => Some(*f as i64),
        Value::Str(text) => text.trim().parse().ok(),
        _ => None,
    }
}
