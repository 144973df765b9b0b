//! Which variables a template sees, by where it stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::{Value, json};

use super::loaded::Loaded;
use super::stages::{self, Instance};
use crate::id::HostName;
use crate::inventory::Inventory;
use crate::playbook::Step;
use crate::template::{Binding, Layer, Peers, Pending, Scope};

/// What the run has learned: results registered and variables set, per host and for all hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    hosts: HashMap<HostName, Arc<Layer>>,
    /// Registers of `run_once` probes and steps: the same for all hosts.
    all: Layer,
}

impl Live {
    pub(crate) fn layer(&self, host: &HostName) -> Arc<Layer> {
        self.hosts
            .get(host)
            .cloned()
            .unwrap_or_else(|| Arc::new(self.all.clone()))
    }
}

/// Shared by everything that renders.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLive(Arc<RwLock<Live>>);

impl SharedLive {
    fn read<T>(&self, f: impl FnOnce(&Live) -> T) -> T {
        f(&self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn write(&self, f: impl FnOnce(&mut Live)) {
        f(&mut self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    pub(crate) fn layer(&self, host: &HostName) -> Arc<Layer> {
        self.read(|live| live.layer(host))
    }

    pub(crate) fn bind(&self, host: &HostName, name: &str, binding: Binding) {
        self.write(|live| {
            let layer = live
                .hosts
                .entry(host.clone())
                .or_insert_with(|| Arc::new(live.all.clone()));
            Arc::make_mut(layer).insert(name.to_owned(), binding);
        });
    }

    pub(crate) fn bind_all(&self, name: &str, binding: &Binding) {
        self.write(|live| {
            live.all.insert(name.to_owned(), binding.clone());
            for layer in live.hosts.values_mut() {
                Arc::make_mut(layer).insert(name.to_owned(), binding.clone());
            }
        });
    }

    pub(crate) fn set(&self, host: &HostName, layer: Arc<Layer>) {
        self.write(|live| {
            live.hosts.insert(host.clone(), layer);
        });
    }

    pub(crate) fn snapshot(&self) -> Live {
        self.read(Live::clone)
    }

    pub(crate) fn restore(&self, before: Live) {
        self.write(|live| *live = before);
    }
}

/// The names that all hosts of a batch share: kept from one scope to the next, since each of a thousand hosts would
/// list the thousand again.
#[derive(Default)]
pub(crate) struct Shared(Mutex<Option<Kept>>);

struct Kept {
    hosts: Option<Vec<HostName>>,
    batch: Vec<HostName>,
    layer: Arc<Layer>,
}

/// Where a template stands.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) host: &'a HostName,
    pub(crate) instance: Option<&'a Instance<'a>>,
    pub(crate) step: Option<&'a Step>,
    /// The batch, for `ansible_play_batch`; empty outside a stage.
    pub(crate) batch: &'a [HostName],
    /// `run.outcome`; empty where it is not known yet.
    pub(crate) outcome: &'a str,
}

impl<'a> Place<'a> {
    pub(crate) fn host(host: &'a HostName) -> Place<'a> {
        Place {
            host,
            instance: None,
            step: None,
            batch: &[],
            outcome: "running",
        }
    }

    pub(crate) fn with_step(self, step: &'a Step) -> Place<'a> {
        Place {
            step: Some(step),
            ..self
        }
    }
}

impl Loaded {
    /// The scope of a place, lowest precedence first: inventory (Ansible's nine levels), playbook `vars` and
    /// `secrets`, stage `vars` from outer to inner with each `as`, step `vars`, `set` and `register`, `-e`, and the
    /// names that Refit itself gives.
    pub(crate) fn scope(self: &Arc<Self>, place: Place<'_>) -> Scope {
        let mut layers = vec![Arc::clone(&self.unknown)];
        layers.extend(self.inventory.layers(place.host));
        layers.push(Arc::clone(&self.playbook.vars));
        layers.push(Arc::clone(&self.secrets));
        if let Some(instance) = place.instance {
            layers.extend(instance.layers.iter().cloned());
        }
        if let Some(step) = place.step
            && !step.vars.is_empty()
        {
            layers.push(Arc::clone(&step.vars));
        }
        layers.push(self.live.layer(place.host));
        layers.push(Arc::clone(&self.extra));
        layers.extend(self.inventory.magic(place.host));
        layers.push(self.shared_names(place));
        let run = self.about_run(place.outcome);
        layers.push(Arc::new(Layer::from([("run".to_owned(), run)])));
        Scope {
            layers,
            peers: Some(Arc::new(OtherHosts {
                loaded: Arc::clone(self),
            })),
        }
    }

    /// `run`: its id, whether it only checks, and how it came out, where that is known.
    fn about_run(&self, outcome: &str) -> Binding {
        let mut about = json!({"id": self.run.as_str(), "check": self.options.check});
        if outcome.is_empty() {
            return Binding::Pending(Pending {
                name: "run.outcome".into(),
                fields: Some(&["id", "check", "outcome"]),
                known: Some(Arc::new(about)),
            });
        }
        about["outcome"] = json!(outcome);
        Binding::Data(about)
    }

    fn shared_names(&self, place: Place<'_>) -> Arc<Layer> {
        let hosts = place.instance.map(|instance| instance.hosts.as_slice());
        let mut slot = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(kept) if kept.hosts.as_deref() == hosts && kept.batch == place.batch => Arc::clone(&kept.layer),
            _ => {
                let layer = Arc::new(self.list_names(place));
                *slot = Some(Kept {
                    hosts: hosts.map(<[HostName]>::to_vec),
                    batch: place.batch.to_vec(),
                    layer: Arc::clone(&layer),
                });
                layer
            }
        }
    }

    fn list_names(&self, place: Place<'_>) -> Layer {
        let names = |hosts: &[HostName]| -> Value { hosts.iter().map(HostName::as_str).collect() };
        let mut layer = Layer::new();
        if let Some(instance) = place.instance {
            layer.insert("ansible_play_hosts".into(), Binding::Data(names(&instance.hosts)));
            layer.insert("ansible_play_hosts_all".into(), Binding::Data(names(&instance.hosts)));
            let batch = if place.batch.is_empty() {
                &instance.hosts
            } else {
                place.batch
            };
            layer.insert("ansible_play_batch".into(), Binding::Data(names(batch)));
        }
        layer.insert(
            "ansible_check_mode".into(),
            Binding::Data(Value::Bool(self.options.check)),
        );
        layer.insert(
            "playbook_dir".into(),
            Binding::Data(Value::String(
                std::path::absolute(self.folder())
                    .unwrap_or_else(|_| self.folder().to_path_buf())
                    .display()
                    .to_string(),
            )),
        );
        layer
    }
}

/// `hostvars`.
struct OtherHosts {
    loaded: Arc<Loaded>,
}

impl Peers for OtherHosts {
    fn names(&self) -> Vec<String> {
        self.loaded.inventory.hosts().map(|h| h.as_str().to_owned()).collect()
    }

    fn scope(&self, host: &str) -> Option<Scope> {
        let host = self.loaded.inventory.hosts().find(|h| h.as_str() == host)?.clone();
        Some(self.loaded.scope(Place::host(&host)))
    }

    fn select(&self, pattern: Option<&str>) -> Result<Vec<String>, String> {
        let loaded = &self.loaded;
        let hosts = match pattern {
            Some(pattern) => selected(&loaded.inventory, pattern)?,
            None => stages::matching(loaded, &loaded.playbook.hosts, None)
                .map_err(|found| found.into_iter().map(|one| one.message).collect::<Vec<_>>().join("; "))?,
        };
        let taken = hosts.iter().filter(|host| !loaded.excluded.contains_key(*host));
        Ok(taken.map(|host| host.as_str().to_owned()).collect())
    }
}

/// What a template sees where there is no playbook: the inventory's variables of one host, and of the others.
pub(crate) fn inventory_scope(inventory: &Arc<Inventory>, host: &HostName) -> Scope {
    let mut layers = inventory.layers(host);
    layers.extend(inventory.magic(host));
    Scope {
        layers,
        peers: Some(Arc::new(InventoryHosts(Arc::clone(inventory)))),
    }
}

struct InventoryHosts(Arc<Inventory>);

impl Peers for InventoryHosts {
    fn names(&self) -> Vec<String> {
        self.0.hosts().map(|h| h.as_str().to_owned()).collect()
    }

    fn scope(&self, host: &str) -> Option<Scope> {
        let host = self.0.hosts().find(|h| h.as_str() == host)?.clone();
        Some(inventory_scope(&self.0, &host))
    }

    fn select(&self, pattern: Option<&str>) -> Result<Vec<String>, String> {
        let hosts = selected(&self.0, pattern.unwrap_or("all"))?;
        Ok(hosts.iter().map(|host| host.as_str().to_owned()).collect())
    }
}

fn selected(inventory: &Inventory, pattern: &str) -> Result<Vec<HostName>, String> {
    match inventory.select(pattern) {
        Ok(hosts) if hosts.is_empty() => Err(format!("`{pattern}` matches no host of the inventory")),
        Ok(hosts) => Ok(hosts),
        Err(error) => Err([Some(error.message), error.help]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(": ")),
    }
}
