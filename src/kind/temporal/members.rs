//! The hosts of a cluster: where each is asked, and where its files are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::{Context, Params};
use crate::kind::health::tls;
use crate::template::Scope;
use crate::temporal::{Address, Role};
use crate::yaml::{Diagnostic, Diagnostics};

/// A host of the cluster.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// In the inventory.
    pub(super) name: String,
    /// Of its frontend's gRPC.
    pub(super) address: Address,
    /// What `roles` gives it; all four where there is no `roles`.
    pub(super) roles: BTreeSet<Role>,
    /// On the host.
    pub(super) config: Option<String>,
    pub(super) program: Option<String>,
    /// A command that prints process ids.
    pub(super) pid: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    pub(super) list: Vec<Member>,
    /// Hosts that each role should have.
    pub(super) expected: BTreeMap<Role, usize>,
    /// `roles` was given: only hosts with a frontend are asked.
    pub(super) by_role: bool,
    /// Each is asked through its own ssh, for frontends that the controller does not reach.
    pub(super) from_hosts: bool,
}

impl Members {
    pub(super) fn frontends(&self) -> impl Iterator<Item = &Member> {
        self.list.iter().filter(|member| member.roles.contains(&Role::Frontend))
    }
}

const PORT: u16 = 7233;

/// None while something is not known yet.
pub(super) fn read(params: &Params, context: &Context<'_>) -> Result<Option<Members>, Diagnostics> {
    if ["hosts", "roles", "port"].iter().any(|name| params.pending(name)) {
        return Ok(None);
    }
    let pattern = params.text("hosts");
    let wrong = |name: &str, message: String| Diagnostics::from(params.error(name, message));
    let hosts = context
        .hosts(pattern.as_deref())
        .map_err(|message| wrong("hosts", message))?;
    let roles = roles(params, context, &hosts)?;
    let port = match params.int("port") {
        None => PORT,
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| wrong("port", format!("{port} is no port")))?,
    };
    let Some((tls, server)) = tls(params, context)? else {
        return Ok(None);
    };
    let mut found = Diagnostics::default();
    let mut members = Members {
        by_role: roles.is_some(),
        from_hosts: params.choice("from").as_deref() == Some("host"),
        ..Members::default()
    };
    for (name, scope) in hosts {
        let of_role = |(role, hosts): (&Role, &BTreeSet<String>)| hosts.contains(&name).then_some(*role);
        let own: BTreeSet<Role> = match &roles {
            Some(roles) => roles.iter().filter_map(of_role).collect(),
            None => Role::default_for_a_process(),
        };
        let member = || -> Result<Option<Member>, Diagnostic> {
            let place = match params.given.contains_key("address") {
                true => theirs(params, context, "address", &scope)?,
                false => {
                    let default = context
                        .templates
                        .expression("ansible_host | default(inventory_hostname, true)", &scope)?;
                    Theirs::of(default.value, &default.pending)
                }
            };
            let (place, config) = (place, theirs(params, context, "config", &scope)?);
            let (program, pid) = (
                theirs(params, context, "program", &scope)?,
                theirs(params, context, "pid", &scope)?,
            );
            let all = [&place, &config, &program, &pid];
            if all.iter().any(|one| matches!(one, Theirs::Pending)) {
                return Ok(None);
            }
            for (name, one) in [("config", &config), ("program", &program)] {
                if let Theirs::Known(path) = one
                    && !path.starts_with('/')
                {
                    return Err(params.error(name, format!("`{name}` must be an absolute path, `{path}` is none")));
                }
            }
            let Some(place) = place.known() else {
                return Err(params.error("address", format!("`address` has no value on {name}")));
            };
            let address = with_port(&place, port).ok_or_else(|| {
                params.error(
                    "address",
                    format!("`{}` on {name} is no HOST and no HOST:PORT", place.escape_debug()),
                )
            })?;
            Ok(Some(Member {
                name: name.clone(),
                address: Address {
                    at: address,
                    tls: tls.clone(),
                    name: server.clone(),
                },
                roles: own.clone(),
                config: config.known(),
                program: program.known(),
                pid: pid.known(),
            }))
        };
        match member() {
            Ok(Some(member)) => members.list.push(member),
            Ok(None) => return Ok(None),
            Err(error) => found.push(error),
        }
    }
    if found.has_errors() {
        return Err(found);
    }
    for role in members.list.iter().flat_map(|member| &member.roles) {
        *members.expected.entry(*role).or_default() += 1;
    }
    if members.frontends().next().is_none() {
        return Err(wrong(
            "roles",
            "no host has the role `frontend`, so nobody can be asked".into(),
        ));
    }
    Ok(Some(members))
}

/// The hosts of each role; None where `roles` was not given.
fn roles(
    params: &Params,
    context: &Context<'_>,
    hosts: &[(String, Scope)],
) -> Result<Option<BTreeMap<Role, BTreeSet<String>>>, Diagnostics> {
    let Some(given) = params.map("roles") else {
        return Ok(None);
    };
    let mut found = Diagnostics::default();
    let mut roles = BTreeMap::new();
    for (word, pattern) in given {
        let Some(role) = Role::parse(word) else {
            let known: Vec<&str> = Role::ALL.into_iter().map(Role::word).collect();
            let error = params.error("roles", format!("`{}` is no role", word.escape_debug()));
            found.push(error.help(known.join(", ")));
            continue;
        };
        let Value::String(pattern) = pattern else {
            found.push(params.error("roles", format!("`{word}` takes a pattern of hosts")));
            continue;
        };
        match context.hosts(Some(pattern)) {
            Ok(list) => {
                let strange = list
                    .iter()
                    .find(|(name, _)| !hosts.iter().any(|(known, _)| known == name));
                if let Some((name, _)) = strange {
                    let message = format!("{name} has the role `{word}` and is not among `hosts`");
                    found.push(params.error("roles", message));
                }
                roles.insert(role, list.into_iter().map(|(name, _)| name).collect());
            }
            Err(message) => found.push(params.error("roles", message)),
        }
    }
    if found.has_errors() {
        Err(found)
    } else {
        Ok(Some(roles))
    }
}

enum Theirs {
    Absent,
    Pending,
    Known(String),
}

impl Theirs {
    fn of(value: Value, pending: &[String]) -> Theirs {
        match value {
            _ if !pending.is_empty() => Theirs::Pending,
            Value::String(text) => Theirs::Known(text),
            Value::Null => Theirs::Absent,
            other => Theirs::Known(other.to_string()),
        }
    }

    fn known(self) -> Option<String> {
        match self {
            Theirs::Known(text) => Some(text),
            Theirs::Absent | Theirs::Pending => None,
        }
    }
}

/// A parameter with the variables of that host.
fn theirs(params: &Params, context: &Context<'_>, name: &str, scope: &Scope) -> Result<Theirs, Diagnostic> {
    let Some(given) = params.given.get(name) else {
        return Ok(Theirs::Absent);
    };
    let rendered = context.templates.value(&given.node, scope)?;
    if rendered.omit {
        return Ok(Theirs::Absent);
    }
    if rendered.secret {
        return Err(params.error(name, format!("`{name}` holds a secret, and would be seen on the host")));
    }
    Ok(Theirs::of(rendered.value, &rendered.pending))
}

/// HOST, HOST:PORT, an IPv6 address with or without brackets.
fn with_port(place: &str, port: u16) -> Option<String> {
    let plain = |host: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
        !host.is_empty() && !host.starts_with('-') && host.chars().all(good)
    };
    if place.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some(format!("[{place}]:{port}"));
    }
    if let Some(inside) = place.strip_prefix('[') {
        let (host, rest) = inside.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return match rest.strip_prefix(':') {
            Some(port) => Some(format!("[{host}]:{}", port.parse::<u16>().ok()?)),
            None if rest.is_empty() => Some(format!("[{host}]:{port}")),
            None => None,
        };
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port != 0)?),
        None => (place, port),
    };
    (plain(host) && !host.contains(':')).then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        for (place, wanted) in [
            ("10.0.0.1", Some("10.0.0.1:7233")),
            ("node-1.internal:7777", Some("node-1.internal:7777")),
            ("fd00::1", Some("[fd00::1]:7233")),
            ("[fd00::1]:7236", Some("[fd00::1]:7236")),
            ("[fd00::1]", Some("[fd00::1]:7233")),
            ("", None),
            ("a b", None),
            ("a:b", None),
            ("a:0", None),
            ("http://a", None),
            ("-oX", None),
        ] {
            assert_eq!(with_port(place, 7233).as_deref(), wanted, "{place}");
        }
    }
}
