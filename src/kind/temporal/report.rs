//! What was found out about a cluster, and what is wrong with it. Pure.

mod shown;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::host::HostSays;
use super::members::Members;
use super::stores::Store;
use crate::temporal::catalog::{Catalog, Side};
use crate::temporal::config::{Change, ServerConfig, lint};
use crate::temporal::path::{self, Path, Stores, path};
use crate::temporal::release::{Minor, Release};
use crate::temporal::{ClusterInfo, Rings, Role, Seen, Shards, View};

/// A database of the playbook, and which of the two it is.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) label: String,
    pub(super) side: Side,
    /// As `pluginName` says it, as far as the playbook's engine tells.
    pub(super) plugin: &'static str,
    /// The database's own name.
    pub(super) name: String,
    pub(super) store: Result<Store, String>,
}

/// Everything that was asked, as it was answered.
pub(super) struct Report<'a> {
    pub(super) members: &'a Members,
    pub(super) catalog: &'a Catalog,
    pub(super) seen: Vec<Seen>,
    pub(super) cluster: Result<(Shards, ClusterInfo), String>,
    /// Names of other clusters that this one is told of; Err: not to be had.
    pub(super) others: Result<Vec<String>, String>,
    pub(super) hosts: IndexMap<String, Result<HostSays, String>>,
    pub(super) databases: Vec<Named>,
    pub(super) heartbeats: Option<Result<BTreeMap<Role, BTreeSet<String>>, String>>,
    /// The servers' own configuration by host; Err: why it cannot be read.
    pub(super) configs: IndexMap<String, Result<ServerConfig, String>>,
    /// The release to go to.
    pub(super) to: Option<&'a str>,
}

/// A version, and the hosts of which it is true.
type Versions = BTreeMap<Release, Vec<String>>;

impl Report<'_> {
    fn view(&self, host: &str) -> Option<&View> {
        self.seen.iter().find(|one| one.host == host)?.view.as_ref().ok()
    }

    fn says(&self, host: &str) -> Option<&HostSays> {
        self.hosts.get(host)?.as_ref().ok()
    }

    fn frontend_version(&self, host: &str) -> Option<&str> {
        self.view(host)?.version.as_ref().ok().map(String::as_str)
    }

    /// Versions of the processes of a host, each once.
    fn running(&self, host: &str) -> BTreeSet<&str> {
        let processes = self.says(host).into_iter().flat_map(|says| &says.processes);
        processes.filter_map(|process| process.version.as_deref()).collect()
    }

    /// What runs, frontends and processes together; where nothing runs, what would be started.
    fn versions(&self) -> Versions {
        let mut versions = Versions::new();
        let mut add = |host: &str, text: &str| {
            if let Some(release) = Release::parse(text) {
                let hosts = versions.entry(release).or_default();
                if !hosts.iter().any(|known| known == host) {
                    hosts.push(host.to_owned());
                }
            }
        };
        for member in &self.members.list {
            let name = member.name.as_str();
            self.running(name).into_iter().for_each(|text| add(name, text));
            self.frontend_version(name).into_iter().for_each(|text| add(name, text));
        }
        if versions.is_empty() {
            for member in &self.members.list {
                let disk = self.says(&member.name).and_then(|says| says.disk.as_deref());
                disk.into_iter().for_each(|text| {
                    if let Some(release) = Release::parse(text) {
                        versions.entry(release).or_default().push(member.name.clone());
                    }
                });
            }
        }
        versions
    }

    /// The version that the cluster counts as: of several the lowest, since that is where an upgrade goes on.
    pub(super) fn version(&self) -> Option<Release> {
        self.versions().into_keys().next()
    }

    /// Does any server answer, or stand in the list of processes?
    fn runs(&self) -> bool {
        let mut names = self.members.list.iter().map(|member| member.name.as_str());
        names.any(|name| self.frontend_version(name).is_some() || !self.running(name).is_empty())
    }

    fn info(&self) -> Option<&ClusterInfo> {
        self.cluster.as_ref().ok().map(|(_, info)| info)
    }

    /// `pluginName` of a side: what the cluster says, else a configuration, else what the playbook's engine tells.
    fn plugin(&self, side: Side) -> Option<String> {
        let said = self.info().map(|info| match side {
            Side::Default => info.persistence_store.clone(),
            Side::Visibility => info.visibility_store.clone(),
        });
        let named = || {
            let database = self.databases.iter().find(|database| database.side == side)?;
            Some(database.plugin.to_owned())
        };
        let configured = || {
            let mut configs = self.configs.values().filter_map(|config| config.as_ref().ok());
            configs.find_map(|config| match side {
                Side::Default => config.default.as_ref(),
                Side::Visibility => config.visibility.as_ref(),
            })
        };
        said.filter(|text| !text.is_empty())
            .or_else(|| configured().map(|store| store.store.value.clone()))
            .or_else(named)
    }

    fn label(&self, side: Side) -> &str {
        let named = self.databases.iter().find(|database| database.side == side);
        named.map_or(side.as_str(), |database| &database.label)
    }

    /// What the database says of its own version.
    fn server(&self, side: Side) -> Option<&str> {
        let named = self.databases.iter().find(|database| database.side == side)?;
        named.store.as_ref().ok()?.server.split_whitespace().nth(1)
    }

    fn needed(&self, database: &Named, release: Release) -> Option<String> {
        let plugin = self.plugin(database.side)?;
        let (store, _) = self.catalog.store(&plugin)?;
        Some(self.catalog.need(store, database.side, release)?.text.clone())
    }

    /// Why Refit does not upgrade this cluster, each with what to do.
    pub(super) fn refusals(&self) -> Vec<String> {
        let mut found = Vec::new();
        let first = Release::parse("1.0.0");
        for (release, hosts) in self.versions() {
            if Some(release) < first {
                found.push(format!(
                    "{} runs {release}, older than 1.0.0: no guide leads from there; ask at the community forum (community.temporal.io)",
                    hosts.join(", ")
                ));
            }
        }
        if let Some(info) = self.info()
            && info.visibility_store.contains(',')
        {
            found.push(format!(
                "there are two visibility stores ({}): Refit upgrades one; take `secondaryVisibilityStore` out of the configuration first, or bring up the second by hand",
                info.visibility_store
            ));
        }
        let configured = |wrong: &dyn Fn(&ServerConfig) -> bool| -> Vec<&str> {
            let all = self.configs.iter();
            all.filter(|(_, config)| config.as_ref().is_ok_and(wrong))
                .map(|(host, _)| host.as_str())
                .collect()
        };
        let second = configured(&|config| config.secondary_visibility.is_some());
        if !second.is_empty() && found.is_empty() {
            found.push(format!(
                "{} has a `secondaryVisibilityStore`: Refit upgrades one visibility store; take it out of the configuration first, or bring up the second by hand",
                second.join(", ")
            ));
        }
        let several = configured(&|config| config.clusters.names.len() > 1);
        if !several.is_empty() && self.others.as_ref().is_ok_and(Vec::is_empty) {
            found.push(format!(
                "{} names several clusters in `clusterMetadata`: Refit does not upgrade clusters that replicate; leave the current one alone in it, or upgrade each by hand",
                several.join(", ")
            ));
        }
        if let Ok(others) = &self.others
            && !others.is_empty()
        {
            found.push(format!(
                "this cluster is connected with {}: Refit does not upgrade clusters that replicate; disconnect them first (temporal operator cluster remove), or upgrade each by hand as upstream's guide to multi-cluster replication says",
                others.join(", ")
            ));
        }
        found
    }

    /// What a person should know, and what does not stop an upgrade.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        let versions = self.versions();
        if versions.len() > 1 {
            let texts: Vec<String> = versions
                .iter()
                .map(|(release, hosts)| format!("{release} on {}", hosts.join(", ")))
                .collect();
            all.push(format!("mixed versions: {}", texts.join("; ")));
        }
        if !self.runs() {
            all.push("no server runs".to_owned());
        }
        for one in &self.seen {
            match &one.view {
                Err(why) if self.members.by_role || self.expects_frontend(&one.host) => {
                    all.push(format!("{}: its frontend does not answer: {why}", one.host));
                }
                Err(_) => {}
                Ok(view) => {
                    if let Err(why) = &view.rings {
                        all.push(format!("{}: no rings: {why}", one.host));
                    }
                    match &view.serving {
                        Ok(status) if *status != crate::temporal::Status::Serving => {
                            all.push(format!("{}: its frontend is {}", one.host, status.word()));
                        }
                        Ok(_) => {}
                        Err(why) => all.push(format!("{}: no health: {why}", one.host)),
                    }
                }
            }
        }
        for (host, says) in &self.hosts {
            match says {
                Err(why) => all.push(format!("{host}: not looked at: {why}")),
                Ok(says) => {
                    all.extend(says.warnings.iter().map(|text| format!("{host}: {text}")));
                    let running = self.running(host);
                    if let Some(disk) = &says.disk
                        && !running.is_empty()
                        && !running.contains(disk.as_str())
                    {
                        let running: Vec<&str> = running.into_iter().collect();
                        all.push(format!(
                            "{host}: {disk} is on disk and {} runs: not restarted yet",
                            running.join(", ")
                        ));
                    }
                }
            }
        }
        match &self.cluster {
            Ok((shards, info)) => {
                let judged = shards.judge();
                if !judged.well {
                    all.push(judged.seen);
                }
                if info.visibility_store.contains("elasticsearch") || info.visibility_store.contains("opensearch") {
                    all.push(format!(
                        "visibility is in {}: its templates and mappings are brought up by hand (the path says to what); no server checks them",
                        info.visibility_store
                    ));
                }
                all.extend(
                    info.version_info
                        .iter()
                        .flat_map(|info| &info.alerts)
                        .map(|alert| format!("upstream: {}", alert.message)),
                );
            }
            Err(why) => all.push(format!("shards and stores are not known: {why}")),
        }
        if let Err(why) = &self.others {
            all.push(format!("whether it replicates is not known: {why}"));
        }
        let rings: BTreeSet<&Rings> = self
            .seen
            .iter()
            .filter_map(|one| one.view.as_ref().ok()?.rings.as_ref().ok())
            .collect();
        if rings.len() > 1 {
            all.push("the frontends see different rings".to_owned());
        }
        self.database_warnings(&mut all);
        self.heartbeat_warnings(&mut all);
        all.extend(self.configuration());
        all
    }

    /// A host of a cluster that does not say who does what is asked for a frontend only as far as its processes have one.
    fn expects_frontend(&self, host: &str) -> bool {
        let processes = self
            .says(host)
            .map(|says| says.processes.as_slice())
            .unwrap_or_default();
        processes.is_empty() || processes.iter().any(|process| process.roles.contains(&Role::Frontend))
    }

    fn database_warnings(&self, all: &mut Vec<String>) {
        let release = self.version();
        for database in &self.databases {
            let label = &database.label;
            let store = match &database.store {
                Ok(store) => store,
                Err(why) => {
                    all.push(format!("{label}: {why}"));
                    continue;
                }
            };
            let Some(version) = &store.version else {
                all.push(format!("{label}: there is no schema version in it"));
                continue;
            };
            let plugin = self.plugin(database.side);
            let known = plugin.as_deref().and_then(|plugin| self.catalog.store(plugin));
            let need = known.and_then(|(store, _)| self.catalog.need(store, database.side, release?));
            if let (Some(need), Some(release)) = (need, release)
                && *version < need.version
            {
                all.push(format!(
                    "{label}: its schema is {version}, {release} needs {}",
                    need.text
                ));
            }
            if let (Some((name, _)), Some(number)) = (known, self.server(database.side))
                && let Err(why) = self.catalog.serves(name, number)
            {
                all.push(format!("{label}: {why}"));
            }
        }
    }

    /// The servers' own configuration against the cluster, the playbook's databases and the release to go to. What several
    /// hosts have in common is said once.
    fn configuration(&self) -> Vec<String> {
        let mut found: IndexMap<String, Vec<&str>> = IndexMap::new();
        let to = self
            .to
            .and_then(|to| Release::parse(to).or_else(|| self.catalog.newest_of(Minor::parse(to)?)));
        for (host, config) in &self.configs {
            let mut say = |text: String| found.entry(text).or_default().push(host);
            let config = match config {
                Ok(config) => config,
                Err(why) => {
                    say(format!("configuration: {why}"));
                    continue;
                }
            };
            let shards = self.info().map(|info| i64::from(info.history_shard_count));
            if let (Some(shards), Some(own)) = (shards, &config.shards)
                && own.value != shards
            {
                say(format!(
                    "numHistoryShards is {} in the configuration, the cluster has {shards}",
                    own.value
                ));
            }
            for (side, store) in [(Side::Default, &config.default), (Side::Visibility, &config.visibility)] {
                let database = self.databases.iter().find(|database| database.side == side);
                if let (Some(database), Some(store)) = (database, store)
                    && let Some(name) = &store.database
                    && name.value != database.name
                {
                    say(format!(
                        "the configuration keeps {} in the database {}, `{}` is {}",
                        side.as_str(),
                        name.value,
                        database.label,
                        database.name
                    ));
                }
            }
            if let Some(to) = to {
                let launch = self.says(host).and_then(|says| says.processes.first()?.launch());
                let change = Change {
                    catalog: self.catalog,
                    to,
                    from: self.version(),
                    new: config,
                    old: None,
                    launch: launch.as_ref(),
                };
                for finding in lint(&change) {
                    let help = finding.diagnostic.help.join("; ");
                    let message = finding.diagnostic.message;
                    say(match help.is_empty() {
                        true => message,
                        false => format!("{message} ({help})"),
                    });
                }
            }
        }
        let hosts = |hosts: &[&str]| hosts.join(", ");
        found
            .into_iter()
            .map(|(text, on)| format!("{}: {text}", hosts(&on)))
            .collect()
    }

    /// Who wrote a heartbeat and is in no ring, or the other way round: by address, since the ports differ.
    fn heartbeat_warnings(&self, all: &mut Vec<String>) {
        let owners = match &self.heartbeats {
            Some(Ok(owners)) => owners,
            Some(Err(why)) => {
                all.push(format!("heartbeats are not known: {why}"));
                return;
            }
            None => return,
        };
        let mut rings: BTreeMap<Role, BTreeSet<&str>> = BTreeMap::new();
        for view in self.seen.iter().filter_map(|one| one.view.as_ref().ok()) {
            for (role, members) in view.rings.iter().flatten() {
                rings
                    .entry(*role)
                    .or_default()
                    .extend(members.iter().map(|member| host_of(member)));
            }
        }
        if rings.is_empty() {
            return;
        }
        for role in Role::ALL {
            let heart: BTreeSet<&str> = owners.get(&role).into_iter().flatten().map(String::as_str).collect();
            let ring = rings.remove(&role).unwrap_or_default();
            let only = |one: &BTreeSet<&str>, other: &BTreeSet<&str>| -> Vec<String> {
                one.difference(other).map(|address| (*address).to_owned()).collect()
            };
            let (no_ring, no_heart) = (only(&heart, &ring), only(&ring, &heart));
            if !no_ring.is_empty() {
                all.push(format!(
                    "{} has a fresh heartbeat as {} and is in no ring",
                    no_ring.join(", "),
                    role.word()
                ));
            }
            if !no_heart.is_empty() {
                all.push(format!(
                    "{} is in the {} ring and has no fresh heartbeat",
                    no_heart.join(", "),
                    role.word()
                ));
            }
        }
    }

    /// The hops to a release.
    pub(super) fn path(&self, to: &str) -> Result<Path, String> {
        let refusals = self.refusals();
        if !refusals.is_empty() {
            return Err(refusals.join("; "));
        }
        let Some(from) = self.version() else {
            return Err(
                "which version runs is not known: no frontend answers, and no host has a program that says it".into(),
            );
        };
        let missing = |side: Side| {
            format!(
                "which store holds {} is not known: no frontend tells, and no database of the step is it",
                side.as_str()
            )
        };
        let plugin = |side| self.plugin(side).ok_or_else(|| missing(side));
        let (default, visibility) = (plugin(Side::Default)?, plugin(Side::Visibility)?);
        let stores = Stores {
            default: path::Database {
                name: self.label(Side::Default),
                store: &default,
                version: self.server(Side::Default),
            },
            visibility: path::Database {
                name: self.label(Side::Visibility),
                store: &visibility,
                version: self.server(Side::Visibility),
            },
        };
        path(self.catalog, &from.to_string(), to, stores).map_err(|error| {
            let help = error.help();
            [vec![error.to_string()], help].concat().join("; ")
        })
    }

    /// What upstream told the cluster, and what the catalog knows.
    fn newer(&self) -> Value {
        let Some(running) = self.version() else {
            return json!({"patch": null, "newest": null, "recommended": null, "text": "which version runs is not known"});
        };
        let (patch, newest) = self.catalog.newer(running);
        let info = self.info().and_then(|info| info.version_info.as_ref());
        let recommended = info.and_then(|info| info.recommended.as_ref());
        // It stays as it was for a day after an upgrade.
        let recommended = recommended
            .map(|release| release.version.as_str())
            .filter(|text| Release::parse(text).is_some_and(|release| release > running));
        let mut texts = Vec::new();
        texts.extend(patch.map(|release| format!("{release} is the newest of {}", running.minor)));
        texts.extend(
            newest.map(|release| format!("{release} is the newest of all (catalog of {})", self.catalog.as_of)),
        );
        texts.extend(recommended.map(|text| format!("upstream recommends {text}")));
        let text = match texts.is_empty() {
            true => format!("none (catalog of {})", self.catalog.as_of),
            false => texts.join("; "),
        };
        json!({
            "patch": patch.map(|release| release.to_string()),
            "newest": newest.or(patch).map(|release| release.to_string()),
            "recommended": recommended,
            "text": text,
        })
    }
}

/// `10.0.0.1` of `10.0.0.1:7234`, and of `[fd00::1]:7234` what stands between the brackets.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}
