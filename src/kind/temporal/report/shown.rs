//! What was found out about a cluster, as the step's result and as a page for a person.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Report, host_of};
use crate::kind::temporal::stores::FRESH;
use crate::temporal::catalog::Side;
use crate::temporal::path::Path;
use crate::temporal::{Rings, Role, page};

impl Report<'_> {
    /// The result of the step, without `path`.
    pub(in crate::kind::temporal) fn json(&self) -> Map<String, Value> {
        let versions: Map<String, Value> = self
            .members
            .list
            .iter()
            .map(|member| self.json_of(&member.name))
            .collect();
        let words = |rings: &Rings| -> Map<String, Value> {
            rings
                .iter()
                .map(|(role, members)| (role.word().to_owned(), json!(members)))
                .collect()
        };
        let rings: Map<String, Value> = self
            .seen
            .iter()
            .filter_map(|one| {
                Some((
                    one.host.clone(),
                    words(one.view.as_ref().ok()?.rings.as_ref().ok()?).into(),
                ))
            })
            .collect();
        let shards = match &self.cluster {
            Ok((shards, _)) => {
                let hosts: Map<String, Value> = shards
                    .owned
                    .iter()
                    .map(|(host, owned)| {
                        (
                            host.clone(),
                            owned.as_ref().map_or(Value::Null, |owned| json!(owned.len())),
                        )
                    })
                    .collect();
                let judged = shards.judge();
                json!({"configured": shards.configured, "owned": shards.sum(), "hosts": hosts, "complete": judged.well, "text": judged.seen})
            }
            Err(_) => Value::Null,
        };
        let release = self.version();
        let schema: Map<String, Value> = self
            .databases
            .iter()
            .map(|database| {
                let store = database.store.as_ref();
                let value = json!({
                    "store": database.side.as_str(),
                    "version": store.ok().and_then(|store| store.version.as_ref()).map(ToString::to_string),
                    "needed": release.and_then(|release| self.needed(database, release)),
                    "server": store.ok().map(|store| store.server.as_str()),
                    "error": store.err(),
                });
                (database.label.clone(), value)
            })
            .collect();
        let heartbeats = match &self.heartbeats {
            Some(Ok(owners)) => words(owners).into(),
            _ => Value::Null,
        };
        let warnings = [self.refusals(), self.warnings()].concat();
        let info = self.info();
        let configured: Map<String, Value> = self
            .configs
            .iter()
            .filter_map(|(host, config)| Some((host.clone(), config.as_ref().ok()?.json())))
            .collect();
        let stores = json!({
            "default": self.plugin(Side::Default),
            "visibility": self.plugin(Side::Visibility),
            "configured": configured,
        });
        let fields = json!({
            "version": release.map(|release| release.to_string()),
            "versions": versions,
            "rings": rings,
            "shards": shards,
            "schema": schema,
            "stores": stores,
            "cluster": info.map(|info| json!({"id": info.cluster_id, "name": info.cluster_name, "others": self.others.as_ref().ok()})),
            "heartbeats": heartbeats,
            "newer": self.newer(),
            "warnings": warnings,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    fn json_of(&self, host: &str) -> (String, Value) {
        let running: Vec<&str> = self.running(host).into_iter().collect();
        let says = self.says(host);
        let processes: Vec<Value> = says
            .into_iter()
            .flat_map(|says| &says.processes)
            .map(|process| {
                let roles: Vec<&str> = process.roles.iter().map(|role| role.word()).collect();
                json!({"pid": process.pid, "exe": process.exe, "version": process.version, "roles": roles})
            })
            .collect();
        let value = json!({
            "frontend": self.frontend_version(host),
            "running": match running[..] { [one] => Some(one), _ => None },
            "disk": says.and_then(|says| says.disk.as_deref()),
            "program": says.and_then(|says| says.program.as_deref()),
            "roles": self.roles(host).into_iter().map(Role::word).collect::<Vec<_>>(),
            "processes": processes,
        });
        (host.to_owned(), value)
    }

    /// What a host does: as its processes say, else as the step says.
    fn roles(&self, host: &str) -> BTreeSet<Role> {
        let processes = self.says(host).into_iter().flat_map(|says| &says.processes);
        let running: BTreeSet<Role> = processes.flat_map(|process| process.roles.iter().copied()).collect();
        if !running.is_empty() {
            return running;
        }
        let member = self.members.list.iter().find(|member| member.name == host);
        member.map(|member| member.roles.clone()).unwrap_or_default()
    }

    /// A table for a person.
    pub(in crate::kind::temporal) fn page(&self, path: Option<&Path>) -> String {
        let mut text = String::new();
        let dash = || "-".to_owned();
        if let Some(info) = self.info() {
            text += &format!(
                "cluster {} ({}), {} history shards, stores {} and {}\n",
                info.cluster_name,
                info.cluster_id,
                info.history_shard_count,
                info.persistence_store,
                info.visibility_store
            );
        }
        let roles: BTreeSet<Role> = self.members.expected.keys().copied().collect();
        let mut rows = vec![
            [
                "host",
                "frontend at",
                "roles",
                "frontend",
                "running",
                "on disk",
                "shards",
                "sees",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
        if let Ok((shards, _)) = &self.cluster {
            owners.extend(
                shards
                    .owned
                    .iter()
                    .filter_map(|(host, owned)| Some((host.as_str(), owned.as_ref().ok()?.len()))),
            );
        }
        for member in &self.members.list {
            let name = member.name.as_str();
            let running = self.running(name).into_iter().collect::<Vec<_>>().join(" ");
            let disk = self.says(name).and_then(|says| says.disk.clone());
            let own: Vec<&str> = owners
                .keys()
                .copied()
                .filter(|owner| host_of(owner) == host_of(&member.address.at))
                .collect();
            let shards: Vec<String> = own
                .iter()
                .filter_map(|owner| owners.remove(owner))
                .map(|n| n.to_string())
                .collect();
            let sees = match self.view(name).map(|view| &view.rings) {
                Some(Ok(rings)) => roles
                    .iter()
                    .map(|role| format!("{} {}", role.word(), rings.get(role).map_or(0, BTreeSet::len)))
                    .collect::<Vec<_>>()
                    .join(", "),
                Some(Err(_)) => "no rings".to_owned(),
                None => dash(),
            };
            let or_dash = |text: String| if text.is_empty() { dash() } else { text };
            rows.push(vec![
                member.name.clone(),
                member.address.at.clone(),
                or_dash(
                    self.roles(name)
                        .into_iter()
                        .map(Role::word)
                        .collect::<Vec<_>>()
                        .join(" "),
                ),
                self.frontend_version(name).map_or_else(dash, str::to_owned),
                or_dash(running),
                disk.unwrap_or_else(dash),
                or_dash(shards.join(" ")),
                sees,
            ]);
        }
        for (owner, shards) in owners {
            let mut row = vec![dash(); 8];
            (row[1], row[2], row[6]) = (owner.to_owned(), "history".to_owned(), shards.to_string());
            rows.push(row);
        }
        text += &page::table(&rows);
        if let Ok((shards, _)) = &self.cluster {
            text += &format!("{}\n", shards.judge().seen);
        }
        if let Some(Ok(owners)) = &self.heartbeats {
            let counts: Vec<String> = owners
                .iter()
                .map(|(role, owners)| format!("{} {}", role.word(), owners.len()))
                .collect();
            let counts = if counts.is_empty() {
                "none".to_owned()
            } else {
                counts.join(", ")
            };
            text += &format!("heartbeats younger than {FRESH} s: {counts}\n");
        }
        if !self.databases.is_empty() {
            text += &page::table(&self.schema_rows());
        }
        text += &format!("newer: {}\n", self.newer()["text"].as_str().unwrap_or_default());
        if let Some(path) = path {
            let hops: Vec<&str> = path.hops.iter().map(|hop| hop.to.as_str()).collect();
            text += &match hops.is_empty() {
                true => format!("path: {} runs already\n", path.to),
                false => format!("path: {} → {}\n", path.from, hops.join(" → ")),
            };
        }
        for warning in self.refusals().iter().chain(&self.warnings()) {
            text += &page::wrap("note: ", warning);
        }
        text.trim_end().to_owned()
    }

    fn schema_rows(&self) -> Vec<Vec<String>> {
        let release = self.version();
        let head = match release {
            Some(release) => format!("needed by {release}"),
            None => "needed".to_owned(),
        };
        let mut rows = vec![vec![
            "database".to_owned(),
            "store".to_owned(),
            "schema".to_owned(),
            head,
            "server".to_owned(),
        ]];
        for database in &self.databases {
            let store = database.store.as_ref().ok();
            rows.push(vec![
                database.label.clone(),
                database.side.as_str().to_owned(),
                store
                    .and_then(|store| store.version.as_ref())
                    .map_or("-".to_owned(), ToString::to_string),
                release
                    .and_then(|release| self.needed(database, release))
                    .unwrap_or_else(|| "-".to_owned()),
                store.map_or("-".to_owned(), |store| store.server.clone()),
            ]);
        }
        rows
    }
}
