//! Waits until something is well, and stays so.
//!
//!     - health: { tcp: "{{ ansible_host }}:5432", within: 30s }
//!     - health: { http: "http://{{ ansible_host }}:8080/health", json: { status: ok, version: "1.1" }, stable_for: 10s }
//!     - health: { grpc: "{{ ansible_host }}:7233", service: temporal.api.workflowservice.v1.WorkflowService, version: "1.30.6" }
//!     - health: { command: "/usr/local/bin/widget --version", version: "1.1", from: host }
//!
//! Exactly one of `tcp` (it accepts a connection), `http` (a GET gives `status`, default 200, a body that matches `body`,
//! and JSON with these values), `grpc` (grpc.health.v1 says SERVING for `service`; without it, for the server as a whole,
//! which says little) and `command` (it ends with 0). `version` with `grpc` is what Temporal's GetSystemInfo must say, with
//! `command` the first word of its output that looks like a version.
//!
//! A path in `json` is `a.b[0].c`; a value is equal as JSON, or as text: "8080" and 8080 are the same.
//!
//! It is asked about twice a second until it is well, and on for `stable_for`, all that time without a bad answer; a bad or
//! lost answer begins that time anew and ends nothing. After `within` (default 1m) the step fails and says what it waited
//! for and what was seen last.
//!
//! `from: controller` (default) asks from here, `from: host` with the host's `curl` or `wget`, `bash` or `nc`, and gRPC
//! through a tunnel of the host's ssh: HOST:PORT is what that host sees. A `command` runs where `from` says: on the
//! controller in the folder of the file that names it. Nothing is changed; in check mode it is not waited for.
//!
//! `tls: true` speaks gRPC over TLS, and `tls: { verify: full | ca | none, ca: FILE, cert: FILE, key: FILE, name: NAME }`
//! says more: `full` (default) looks at who signed the certificate (`ca`, else whom this machine trusts) and whether it is
//! for `name` (default the host of `grpc`), `ca` not at the name, `none` is no TLS; `cert` and `key` are the client's own.

mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::target::Target;
pub(super) use self::target::{address, tls};
use super::wait::{self, Looks, Seen, Times, Wait};
use super::{Action, BoxFuture, Context, Kind, Param, Params, Reading, Ty, list};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Health;
pub(super) static KIND: Health = Health;

const PARAMS: &[Param] = &[
    Param::new("tcp", Ty::Text, "HOST:PORT that must accept a connection"),
    Param::new("http", Ty::Text, "URL that must answer"),
    Param::new("grpc", Ty::Text, "HOST:PORT whose gRPC health must be SERVING"),
    Param::new("command", Ty::Text, "command for /bin/sh that must end with 0"),
    Param::new(
        "status",
        Ty::Any,
        "with http: the status that is wanted, or a list of these; default 200",
    ),
    Param::new("body", Ty::Regex, "with http: what the body must match"),
    Param::new("json", Ty::Map, "with http: path and value of fields of the body"),
    Param::new("service", Ty::Text, "with grpc: the name of the service"),
    Param::new(
        "tls",
        Ty::Any,
        "with grpc: true, or { verify, ca, cert, key, name }; default false",
    ),
    Param::new(
        "version",
        Ty::Version,
        "with grpc or command: the version that must answer",
    ),
    Param::new(
        "from",
        Ty::Choice(&["controller", "host"]),
        "who asks; default controller",
    ),
    wait::STABLE_FOR,
    wait::WITHIN,
];

/// Which parameters go with which target.
const GOES_WITH: &[(&str, &[&str])] = &[
    ("status", &["http"]),
    ("body", &["http"]),
    ("json", &["http"]),
    ("service", &["grpc"]),
    ("tls", &["grpc"]),
    ("version", &["grpc", "command"]),
];

impl Kind for Health {
    fn name(&self) -> &'static str {
        "health"
    }

    fn manual(&self) -> &'static str {
        list::manual!("mod.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["seen", "waited"]
    }

    fn reads_only(&self) -> bool {
        true
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        let all = ["tcp", "http", "grpc", "command"];
        let targets: Vec<&str> = all.into_iter().filter(|name| params.has(name)).collect();
        let [target] = targets[..] else {
            let message = match targets.first() {
                None => "`health` needs one of `tcp`, `http`, `grpc` and `command`".to_owned(),
                Some(_) => format!("`health` takes only one of `{}`", targets.join("`, `")),
            };
            return Diagnostic::error(&params.at, message).into();
        };
        for (name, with) in GOES_WITH {
            if params.has(name) && !with.contains(&target) {
                let with = with.join("` or `");
                found.push(params.error(name, format!("`{name}` goes with `{with}`, not with `{target}`")));
            }
        }
        found.extend(Times::read(params).lint(params));
        if let Err(more) = Target::read(target, params, context) {
            found.extend(more);
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let all = ["tcp", "http", "grpc", "command"];
        let name = all.into_iter().find(|name| params.has(name)).unwrap_or("command");
        let Some(target) = Target::read(name, params, context)? else {
            return Err(params.error(name, format!("`{name}` has no value")).into());
        };
        Ok(Action::Drive(Box::new(Wait {
            what: if context.quiet {
                format!("{name} (no_log)")
            } else {
                target.to_string()
            },
            target: Asked {
                target,
                host: params.choice("from").as_deref() == Some("host"),
            },
            times: Times::read(params),
            quiet: context.quiet,
        })))
    }
}

struct Asked {
    target: Target,
    /// By the host; else from here.
    host: bool,
}

impl Looks for Asked {
    fn look<'a>(&'a self, host: &'a dyn Reading, limit: Duration) -> BoxFuture<'a, Seen> {
        Box::pin(self.target.look(self.host, host, limit))
    }
}
