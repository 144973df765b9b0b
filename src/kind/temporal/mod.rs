//! Looks at a Temporal cluster, or waits until it is well.
//!
//!     probes:
//!       - temporal: { databases: [main, visibility], to: "{{ to }}", config: /etc/temporal/config/production.yaml }
//!         run_once: true
//!         register: cluster
//!
//! …and later, as a wait:
//!
//!       - temporal: { rings: complete, shards: complete, version: "{{ hop.to }}", canary: default, stable_for: 30s, within: 5m }
//!
//! `hosts` is a pattern (default: the playbook's hosts, whatever `--limit` says). Every frontend is asked by gRPC, at `address`
//! and `port`, with `tls` as in `health`; the controller asks, or with `from: host` each host, through its ssh. `roles` says which hosts do what where roles are split; without it every host is taken to
//! do all four. `address`, `config`, `program` and `pid` are rendered for each host with its own variables.
//!
//! **A look** (none of `rings`, `shards`, `version`, `canary` is given) reads and changes nothing. On each host of the run
//! it reads, as the step's account, what the server processes run (found by the program's name, or by the command `pid`), which
//! version is on disk, and the server's configuration. It reads the schema versions of `databases` (the default store first,
//! then visibility) and who wrote a heartbeat in the last 20 s. The result: `version` (what the cluster counts as: of several
//! the lowest; where nothing runs, what is on disk), `versions` (host: frontend, running, disk, roles, processes), `rings` (host:
//! role: members, as that host's frontend sees them), `shards` (configured, owned, hosts, complete), `schema` (database:
//! version, needed), `stores`, `cluster`, `heartbeats` (role: addresses), `newer` (patch, newest, recommended, text: a newer
//! version is available), `warnings`, and with `to` the `path`: a list of hops, each with `from`, `to`, `schema` and `needs` by
//! the names in `databases`, and what else `refit temporal path --output json` shows.
//!
//! With `to` the step fails where there is no path, and names why: a skipped or unknown release, a store that the target
//! dropped, a second visibility store, a cluster that replicates, a server older than 1.0.0.
//!
//! **A wait** asks about twice a second, as `health` does (`stable_for`, `within`). Always every frontend must serve and
//! reach its database: SERVING and the version come from memory, also with the database down. `rings: complete`: every frontend
//! sees as many members of each role as there are hosts, and all see the same. `shards: complete`: the shards that the history
//! hosts own are the configured ones, each once. `version`: every frontend reports it (or what the binary of that tag says
//! of itself). `canary`: through each frontend in turn a workflow is started and finished in this namespace, without any worker:
//! it leaves closed workflows `refit-canary-…`, one for each frontend about every 10 s. A namespace that was just made needs
//! about 10 s until every frontend knows it.
//!
//! The result of a wait has `seen`, `waited` and `alone`: hosts whose frontend sees nobody but itself. A server that starts
//! right after the database was away may stay in a ring of its own. In a playbook, restart such a host once:
//!
//!     - temporal: { rings: complete, within: 1m }
//!       register: ring
//!       ignore_errors: true
//!     - service: { name: temporal, state: restarted }
//!       when: ring.failed
//!     - temporal: { rings: complete, shards: complete, within: 2m }

mod ask;
mod host;
mod look;
mod members;
mod report;
mod stores;
#[cfg(test)]
mod tests;
mod until;

use std::sync::Arc;

use self::look::Look;
use self::until::Until;
use super::wait::{self, Times, Wait};
use super::{Action, Context, Kind, Param, Params, Ty, list};
use crate::database::Database;
use crate::id::HostName;
use crate::temporal::catalog::{Catalog, Side};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Temporal;
pub(super) static KIND: Temporal = Temporal;

/// The same look for `refit temporal status`: its message is the whole table.
pub(super) struct Status;
pub(super) static STATUS: Status = Status;

const PARAMS: &[Param] = &[
    Param::new(
        "hosts",
        Ty::Text,
        "pattern of the cluster's hosts; default the playbook's hosts",
    ),
    Param::new("roles", Ty::Map, "where roles are split: role and pattern of its hosts"),
    Param::new(
        "address",
        Ty::Theirs,
        "HOST or HOST:PORT of a host's frontend; default its ansible_host, else its name",
    ),
    Param::new("port", Ty::Int, "of the frontends' gRPC; default 7233"),
    Param::new(
        "tls",
        Ty::Any,
        "true, or { verify, ca, cert, key, name }; default false",
    ),
    Param::new(
        "from",
        Ty::Choice(&["controller", "host"]),
        "who asks the frontends: the controller (default), or each host, through its ssh",
    ),
    Param::new(
        "databases",
        Ty::TextList,
        "names in `databases`: the default store, then visibility",
    ),
    Param::new("config", Ty::Theirs, "path of the server's own configuration on a host"),
    Param::new(
        "program",
        Ty::Theirs,
        "path of the server's program on a host; default the one that runs, else temporal-server in PATH",
    ),
    Param::new(
        "pid",
        Ty::Theirs,
        "command on a host that prints the ids of its server processes",
    ),
    Param::new("to", Ty::Version, "the release to go to: gives `path`"),
    Param::new(
        "catalog",
        Ty::File,
        "a release catalog of your own over the shipped one",
    ),
    Param::new("rings", Ty::Choice(&["complete"]), "wait until the rings are complete"),
    Param::new(
        "shards",
        Ty::Choice(&["complete"]),
        "wait until all shards are owned, each once",
    ),
    Param::new("version", Ty::Version, "wait until every frontend reports it"),
    Param::new("canary", Ty::Text, "wait until a workflow goes through this namespace"),
    wait::STABLE_FOR,
    wait::WITHIN,
];

/// What makes it a wait.
const WAITS: [&str; 4] = ["rings", "shards", "version", "canary"];
/// What goes with a look alone, and with a wait alone.
const LOOKS_ONLY: [&str; 5] = ["databases", "config", "program", "pid", "to"];
const WAITS_ONLY: [&str; 2] = ["stable_for", "within"];

const RESULTS: &[&str] = &[
    "version",
    "versions",
    "rings",
    "shards",
    "schema",
    "stores",
    "cluster",
    "heartbeats",
    "newer",
    "warnings",
    "path",
    "seen",
    "waited",
    "alone",
];

fn waits(params: &Params) -> bool {
    WAITS.iter().any(|name| params.has(name))
}

type Sides = Vec<(Side, Arc<Database>)>;

/// The databases of the step with their sides; None while one is not known yet.
fn databases(params: &Params, context: &Context<'_>) -> Result<Option<Sides>, Diagnostics> {
    if params.pending("databases") {
        return Ok(None);
    }
    let names = params.text_list("databases").unwrap_or_default();
    let mut found = Diagnostics::default();
    if names.len() > 2 {
        found.push(params.error(
            "databases",
            "a cluster has two databases: the default store, then visibility",
        ));
    }
    let mut all = Vec::new();
    let mut pending = false;
    for (name, side) in names.iter().zip(Side::BOTH) {
        match super::schema::named(params, "databases", name, context) {
            Ok(Some(database)) => all.push((side, database)),
            Ok(None) => pending = true,
            Err(error) => found.push(error),
        }
    }
    if let [(_, default), (_, visibility)] = &all[..]
        && default.place() == visibility.place()
        && default.name == visibility.name
    {
        let message = format!(
            "`{}` and `{}` are one database ({} at {}): default store and visibility each have their own",
            default.label,
            visibility.label,
            default.name,
            default.place()
        );
        found.push(params.error("databases", message));
    }
    if found.has_errors() {
        return Err(found);
    }
    Ok((!pending).then_some(all))
}

fn lint(params: &Params, context: &Context<'_>) -> Diagnostics {
    let mut found = Diagnostics::default();
    let waits = waits(params);
    let (wrong, what) = match waits {
        true => (&LOOKS_ONLY[..], "a wait (`rings`, `shards`, `version`, `canary`)"),
        false => (&WAITS_ONLY[..], "a look: give `rings`, `shards`, `version` or `canary`"),
    };
    for name in wrong.iter().filter(|name| params.has(name)) {
        found.push(params.error(name, format!("`{name}` does not go with {what}")));
    }
    found.extend(Times::read(params).lint(params));
    found.extend(members::read(params, context).err().into_iter().flatten());
    found.extend(databases(params, context).err().into_iter().flatten());
    if !params.pending("catalog") {
        found.extend(
            look::catalog(params.file("catalog", context.folder))
                .err()
                .into_iter()
                .flatten(),
        );
    }
    found
}

fn action(params: &Params, context: &Context<'_>, table: bool) -> Result<Action, Diagnostics> {
    let found = lint(params, context);
    if found.has_errors() {
        return Err(found);
    }
    let unknown = || Diagnostic::error(&params.at, "the hosts of the cluster are not known yet");
    let members = members::read(params, context)?.ok_or_else(unknown)?;
    let catalog = look::catalog(params.file("catalog", context.folder))?;
    if waits(params) {
        return Ok(wait(params, context, members, &catalog));
    }
    let unknown = || params.error("databases", "the databases' settings are not known yet");
    let databases = databases(params, context)?.ok_or_else(unknown)?;
    Ok(Action::Drive(Box::new(Look {
        members,
        databases,
        catalog,
        to: params.version("to"),
        table,
    })))
}

fn wait(params: &Params, context: &Context<'_>, members: members::Members, catalog: &Catalog) -> Action {
    let version = params.version("version");
    let target = Until {
        members,
        rings: params.has("rings"),
        shards: params.has("shards"),
        version: version.map(|wanted| {
            let says = until::reported(catalog, &wanted);
            (wanted, says)
        }),
        canary: params.text("canary"),
        alone: Default::default(),
        sang: Default::default(),
    };
    Action::Drive(Box::new(Wait {
        what: if context.quiet {
            "temporal (no_log)".to_owned()
        } else {
            target.to_string()
        },
        target,
        times: Times::read(params),
        quiet: context.quiet,
    }))
}

/// Names that a value of another host waits for are not known by name: the whole step waits.
fn pending(params: &Params, context: &Context<'_>) -> Vec<String> {
    match members::read(params, context) {
        Ok(None) => vec!["the addresses of the cluster's hosts".to_owned()],
        _ => Vec::new(),
    }
}

fn reaches(params: &Params, context: &Context<'_>) -> Vec<String> {
    if waits(params) {
        return Vec::new();
    }
    let members = members::read(params, context).ok().flatten();
    members
        .into_iter()
        .flat_map(|members| members.list)
        .map(|member| member.name)
        .collect()
}

/// Hosts that tunnels lead through: to databases, and to frontends that only their own host reaches.
fn ways(params: &Params, context: &Context<'_>) -> Vec<HostName> {
    let databases = databases(params, context).ok().flatten().into_iter().flatten();
    let mut ways: Vec<HostName> = databases.filter_map(|(_, database)| database.via.clone()).collect();
    if let Ok(Some(members)) = members::read(params, context)
        && members.from_hosts
    {
        ways.extend(
            members
                .frontends()
                .filter_map(|member| HostName::new(&member.name).ok()),
        );
    }
    ways
}

macro_rules! kind {
    ($name:ident, $table:literal) => {
        impl Kind for $name {
            fn name(&self) -> &'static str {
                "temporal"
            }

            fn manual(&self) -> &'static str {
                list::manual!("mod.rs")
            }

            fn params(&self) -> &'static [Param] {
                PARAMS
            }

            fn results(&self) -> &'static [&'static str] {
                RESULTS
            }

            fn reads_only(&self) -> bool {
                true
            }

            fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
                lint(params, context)
            }

            fn waits(&self, params: &Params, context: &Context<'_>) -> Vec<String> {
                pending(params, context)
            }

            fn ways(&self, params: &Params, context: &Context<'_>) -> Vec<HostName> {
                ways(params, context)
            }

            fn reaches(&self, params: &Params, context: &Context<'_>) -> Vec<String> {
                reaches(params, context)
            }

            fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
                action(params, context, $table)
            }
        }
    };
}

kind!(Temporal, false);
kind!(Status, true);
