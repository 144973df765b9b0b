//! What is there before anything is touched: every host connected and looked at, read-only.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use indexmap::IndexMap;

use super::host::{Host, identity_text};
use crate::connection::{Account, Hub, Link, Look, Target, Var};
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
    /// Hosts that could not be reached, with ssh's own words and what to do about it.
    pub(crate) lost: IndexMap<HostName, String>,
    pub(crate) notes: Vec<Diagnostic>,
}

/// Reads the connection variables of all hosts; all errors at once.
pub(crate) fn targets(
    loaded: &Arc<Loaded>,
    checked: &Checked,
) -> Result<(IndexMap<HostName, Target>, Vec<Diagnostic>), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut notes = Diagnostics::default();
    let mut targets = IndexMap::new();
    let delegates = checked.accounts.keys().filter(|host| !checked.hosts.contains(host));
    for host in checked.hosts.iter().chain(delegates) {
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
            async move {
                let seen = reach(&hub, &target, &users).await;
                (name, target, seen)
            }
        })
        .buffered(forks)
        .collect()
        .await;
    let mut survey = Survey {
        hosts: IndexMap::new(),
        looks: HashMap::new(),
        lost: IndexMap::new(),
        notes,
    };
    for (name, target, seen) in looked {
        match seen {
            Ok((link, look, holder, others)) => {
                let root = look.facts.uid == 0 && holder == Account::Login;
                let host = Host::new(target, holder, others, root, Some(Arc::new(link)));
                survey.hosts.insert(name.clone(), Arc::new(host));
                survey.looks.insert(name, look);
            }
            Err(text) => {
                let host = Host::new(target, Account::Login, Vec::new(), false, None);
                survey.hosts.insert(name.clone(), Arc::new(host));
                survey.lost.insert(name, loaded.redactor.clean(&text));
            }
        }
    }
    Ok(survey)
}

pub(crate) async fn reach(
    hub: &Hub,
    target: &Target,
    users: &BTreeSet<Option<String>>,
) -> Result<(Link, Look, Account, Vec<Account>), String> {
    let link = hub.connect(target).await.map_err(|e| {
        let hint = e.hint.as_ref().map(|h| format!("\n{h}")).unwrap_or_default();
        format!("{}{hint}", e.text)
    })?;
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
        let known = self
            .hosts
            .keys()
            .filter_map(|host| Some((host.clone(), line(self.looks.get(host)?))));
        known.collect()
    }

    /// What makes a host unfit, each with the host's name: for preflight, and for a run before it begins.
    pub(crate) fn problems(&self, checked: &Checked, resumed: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let mut identities: HashMap<String, &HostName> = HashMap::new();
        for (name, look) in &self.looks {
            if let Some(other) = identities.insert(identity_text(&look.identity), name) {
                let (a, b) = if other < name { (other, name) } else { (name, other) };
                problems.push(format!(
                    "{a} and {b} are one host (the same state folder on the same machine)"
                ));
            }
            problems.extend(look.state.problems.iter().map(|p| format!("{name}: {p}")));
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
        for (host, look) in &self.looks {
            // A run that goes on may have sent them already.
            if resumed {
                break;
            }
            let size: u64 = checked
                .artefacts
                .iter()
                .filter(|(_, hosts)| hosts.contains(host))
                .filter_map(|(path, _)| path.metadata().ok().filter(|m| m.is_file()))
                .map(|meta| meta.len())
                .sum();
            // A file is on the host twice for a moment: as it arrives, and in its place.
            if size > 0 && look.state.free < size * 2 {
                problems.push(format!(
                    "{host}: {} MiB are free at {}, the files of this run need {} MiB",
                    look.state.free >> 20,
                    look.state.path,
                    (size * 2) >> 20
                ));
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
