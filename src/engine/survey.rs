//! What is there before anything is touched: every host connected and looked at, read-only.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use indexmap::{IndexMap, IndexSet};

use super::host::{Host, identity_text};
use crate::connection::{Account, ConnectError, Hub, Link, Look, Target, Var};
use crate::id::HostName;
use crate::plan::{Checked, Loaded, Place};
use crate::secret::Secret;
use crate::template::Binding;
use crate::yaml::{Diagnostic, Diagnostics};

/// Clocks further apart than this are refused.
const CLOCK_SKEW: i64 = 30;

/// Variables whose value is a secret wherever it stands.
const SECRET_VARIABLES: [&str; 4] = [
    "ansible_become_password",
    "ansible_become_pass",
    "ansible_password",
    "ansible_ssh_pass",
];

pub(crate) struct Survey {
    pub(crate) hosts: IndexMap<HostName, Arc<Host>>,
    pub(crate) looks: HashMap<HostName, Look>,
    /// Hosts that could not be reached, with ssh's own words and what to do about it, or that are unfit, and why.
    pub(crate) lost: IndexMap<HostName, String>,
    /// Those of them that answered.
    pub(crate) unfit: HashSet<HostName>,
    pub(crate) notes: Vec<Diagnostic>,
}

/// The hosts that a run needs: those of its stages, those that steps are delegated to, those that tunnels lead through.
fn needed(checked: &Checked) -> IndexSet<&HostName> {
    let all = checked.hosts.iter().chain(checked.accounts.keys());
    all.chain(checked.ways.keys()).collect()
}

/// Reads the connection variables of all hosts of a run; all errors at once.
pub(crate) fn targets(
    loaded: &Arc<Loaded>,
    checked: &Checked,
) -> Result<(IndexMap<HostName, Target>, Vec<Diagnostic>), Diagnostics> {
    targets_of(loaded, needed(checked))
}

/// Reads the connection variables of these hosts.
pub(crate) fn targets_of<'h>(
    loaded: &Arc<Loaded>,
    hosts: impl IntoIterator<Item = &'h HostName>,
) -> Result<(IndexMap<HostName, Target>, Vec<Diagnostic>), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut notes = Diagnostics::default();
    let mut targets = IndexMap::new();
    for host in hosts {
        let scope = loaded.scope(Place::host(host));
        let failed = std::cell::RefCell::new(Vec::new());
        let get = |name: &str| -> Option<Var> {
            let var = match scope.find(name)? {
                Binding::Template(node) => match loaded.templates.value(node, &scope) {
                    Ok(rendered) => Var {
                        value: rendered.value,
                        secret: rendered.secret || SECRET_VARIABLES.contains(&name),
                        at: Some(node.span.clone()),
                    },
                    Err(e) => {
                        failed.borrow_mut().push(e);
                        return None;
                    }
                },
                Binding::Data(value) => Var {
                    value: value.clone(),
                    secret: SECRET_VARIABLES.contains(&name),
                    at: None,
                },
                Binding::Secret(secret) => Var {
                    value: serde_json::Value::String(secret.reveal().to_owned()),
                    secret: true,
                    at: None,
                },
                Binding::Pending(_) => return None,
            };
            if let (true, Some(text)) = (var.secret, var.value.as_str()) {
                loaded.redactor.add(&Secret::new(text));
            }
            Some(var)
        };
        match Target::from_vars(host, get) {
            Ok((target, more)) => {
                notes.extend(more);
                targets.insert(host.clone(), target);
            }
            Err(e) => errors.extend(e),
        }
        errors.extend(failed.into_inner());
    }
    if errors.has_errors() {
        Err(errors)
    } else {
        Ok((targets, notes.into_iter().collect()))
    }
}

/// Connects to every host and looks at it.
pub(crate) async fn survey(loaded: &Arc<Loaded>, checked: &Checked, hub: &Arc<Hub>) -> Result<Survey, Diagnostics> {
    let (targets, notes) = targets(loaded, checked)?;
    let forks = loaded.options.forks.unwrap_or(50).max(1);
    let looked: Vec<_> = stream::iter(targets)
        .map(|(name, target)| {
            let hub = Arc::clone(hub);
            let users = checked.accounts.get(&name).cloned().unwrap_or_default();
            let only_way = !checked.hosts.contains(&name) && !checked.accounts.contains_key(&name);
            async move {
                let seen = match only_way {
                    true => hub
                        .connect_for_tunnels(&target)
                        .await
                        .map(|link| (link, None))
                        .map_err(in_words),
                    false => reach(&hub, &target, &users)
                        .await
                        .map(|(link, look, holder, others)| (link, Some((look, holder, others)))),
                };
                (name, target, only_way, seen)
            }
        })
        .buffered(forks)
        .collect()
        .await;
    let mut survey = Survey {
        hosts: IndexMap::new(),
        looks: HashMap::new(),
        lost: IndexMap::new(),
        unfit: HashSet::new(),
        notes,
    };
    for (name, target, only_way, seen) in looked {
        match seen {
            Ok((link, None)) => {
                let host = Host::way(target, Some(Arc::new(link)));
                survey.hosts.insert(name, Arc::new(host));
            }
            Ok((link, Some((look, holder, others)))) => {
                let root = look.facts.uid == 0 && holder == Account::Login;
                let host = Host::new(target, holder, others, root, Some(Arc::new(link)));
                survey.hosts.insert(name.clone(), Arc::new(host));
                survey.looks.insert(name, look);
            }
            Err(mut text) => {
                if let Some(users) = checked.ways.get(&name) {
                    let users: Vec<&str> = users.iter().map(HostName::as_str).collect();
                    text += &format!("\nsteps of {} go through it (`via`)", users.join(", "));
                }
                let host = match only_way {
                    true => Host::way(target, None),
                    false => Host::new(target, Account::Login, Vec::new(), false, None),
                };
                survey.hosts.insert(name.clone(), Arc::new(host));
                survey.lost.insert(name, loaded.redactor.clean(&text));
            }
        }
    }
    Ok(survey)
}

fn in_words(error: ConnectError) -> String {
    let hint = error.hint.as_ref().map(|h| format!("\n{h}")).unwrap_or_default();
    format!("{}{hint}", error.text)
}

pub(crate) async fn reach(
    hub: &Hub,
    target: &Target,
    users: &BTreeSet<Option<String>>,
) -> Result<(Link, Look, Account, Vec<Account>), String> {
    let link = hub.connect(target).await.map_err(in_words)?;
    let login = link.facts(&Account::Login).await.map_err(|e| e.text)?;
    let account = |user: &Option<String>| match user {
        // root needs no sudo to be root.
        Some(name) if name == "root" && login.uid == 0 => Account::Login,
        user => target.account(user.is_some(), user.as_deref()),
    };
    let mut accounts: BTreeSet<Account> = users.iter().map(account).collect();
    if accounts.is_empty() {
        accounts.insert(Account::Login);
    }
    let root = Account::Sudo("root".to_owned());
    let holder = if accounts.contains(&root) {
        root
    } else if accounts.len() == 1 && login.uid != 0 {
        accounts.iter().next().cloned().unwrap_or(Account::Login)
    } else {
        Account::Login
    };
    for user in &accounts {
        link.facts(user).await.map_err(|e| e.text)?;
    }
    let look = link.look(&holder).await.map_err(|e| e.text)?;
    let others = accounts.into_iter().filter(|a| *a != holder).collect();
    Ok((link, look, holder, others))
}

impl Survey {
    /// A line a host for preflight.
    pub(crate) fn states(&self) -> Vec<(HostName, String)> {
        let line = |look: &Look| {
            let there = if look.state.exists { "" } else { ", not there yet" };
            format!(
                "{} as {}, state in {} ({}, {} MiB free{there})",
                look.facts.machine,
                look.facts.user,
                look.state.path,
                look.state.filesystem,
                look.state.free >> 20
            )
        };
        let known = self.hosts.iter().filter_map(|(name, host)| {
            let line = match self.looks.get(name) {
                Some(look) => line(look),
                None if host.only_way && !self.lost.contains_key(name) => {
                    "a way only (`via`), nothing is done there".to_owned()
                }
                None => return None,
            };
            Some((name.clone(), line))
        });
        known.collect()
    }

    /// What is wrong with a host alone: no other is concerned.
    pub(crate) fn unfit(&self, checked: &Checked, resumed: bool) -> IndexMap<HostName, String> {
        let mut unfit = IndexMap::new();
        for host in self.hosts.keys() {
            let Some(look) = self.looks.get(host) else { continue };
            let mut problems = look.state.problems.clone();
            // A run that goes on may have sent its files already.
            let size: u64 = checked
                .artefacts
                .iter()
                .filter(|(_, hosts)| !resumed && hosts.contains(host))
                .filter_map(|(path, _)| path.metadata().ok().filter(|m| m.is_file()))
                .map(|meta| meta.len())
                .sum();
            // A file is on the host twice for a moment: as it arrives, and in its place.
            if size > 0 && look.state.free < size * 2 {
                problems.push(format!(
                    "{} MiB are free at {}, the files of this run need {} MiB",
                    look.state.free >> 20,
                    look.state.path,
                    (size * 2) >> 20
                ));
            }
            if !problems.is_empty() {
                unfit.insert(host.clone(), problems.join("\n"));
            }
        }
        unfit
    }

    /// From here on the host counts as one that was not reached.
    pub(crate) async fn give_up(&mut self, host: HostName, why: String) {
        if let Some(on) = self.hosts.get(&host)
            && let Some(link) = on.current().await
        {
            on.drop_link(&link).await;
        }
        self.looks.remove(&host);
        self.unfit.insert(host.clone());
        self.lost.insert(host, why);
    }

    /// What makes a run on these hosts impossible: what concerns several of them, or the files that are sent.
    pub(crate) fn problems(&self, checked: &Checked) -> Vec<String> {
        let mut problems = Vec::new();
        let mut identities: HashMap<String, &HostName> = HashMap::new();
        for (name, look) in &self.looks {
            if let Some(other) = identities.insert(identity_text(&look.identity), name) {
                let (a, b) = if other < name { (other, name) } else { (name, other) };
                problems.push(format!(
                    "{a} and {b} are one host (the same state folder on the same machine)"
                ));
            }
        }
        let offset = |look: &Look| look.facts.clock - look.facts.controller_clock;
        let mut clocks: Vec<(i64, &HostName)> = self.looks.iter().map(|(n, l)| (offset(l), n)).collect();
        clocks.sort();
        if let Some((middle, _)) = clocks.get(clocks.len() / 2) {
            for (clock, name) in &clocks {
                if (clock - middle).abs() > CLOCK_SKEW {
                    problems.push(format!(
                        "{name}: its clock is {} s from the others'; set the time before the run",
                        clock - middle
                    ));
                }
            }
        }
        for (path, hosts) in &checked.artefacts {
            let Some(machine) = elf_machine(path) else { continue };
            for host in hosts {
                if let Some(look) = self.looks.get(host)
                    && !machine.contains(&look.facts.machine.as_str())
                {
                    problems.push(format!(
                        "{host}: {} is built for {}, the host is {}",
                        path.display(),
                        machine[0],
                        look.facts.machine
                    ));
                }
            }
        }
        problems.sort();
        problems
    }
}

/// What `uname -m` may say where this ELF file runs; None for what is no ELF file.
fn elf_machine(path: &std::path::Path) -> Option<&'static [&'static str]> {
    use std::io::Read;
    let mut header = [0_u8; 20];
    std::fs::File::open(path).ok()?.read_exact(&mut header).ok()?;
    if header[..4] != *b"\x7fELF" {
        return None;
    }
    match u16::from_le_bytes([header[18], header[19]]) {
        62 => Some(&["x86_64"]),
        183 => Some(&["aarch64", "arm64"]),
        3 => Some(&["i686", "i386", "i586", "x86_64"]),
        40 => Some(&["armv7l", "armv6l", "aarch64"]),
        243 => Some(&["riscv64"]),
        21 => Some(&["ppc64le", "ppc64"]),
        22 => Some(&["s390x"]),
        _ => None,
    }
}
