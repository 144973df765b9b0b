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

use std::time::{Duration, Instant};

use serde_json::json;

use self::target::{Seen, Target};
use super::{
    Action, BoxFuture, Changing, Context, Done, DriveAction, Failure, Kind, Param, Params, Reading, Ty, Verdict, list,
};
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
    Param::new("stable_for", Ty::Duration, "how long it must stay well; default 0s"),
    Param::new("within", Ty::Duration, "how long to wait at most; default 1m"),
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
        let (stable, within) = times(params);
        if stable > within && !params.pending("within") {
            let message = format!("it cannot stay well for {} within {}", show(stable), show(within));
            found.push(params.error("stable_for", message));
        }
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
        let (stable_for, within) = times(params);
        Ok(Action::Drive(Box::new(Wait {
            what: if context.quiet {
                format!("{name} (no_log)")
            } else {
                target.to_string()
            },
            target,
            host: params.choice("from").as_deref() == Some("host"),
            stable_for,
            within,
            quiet: context.quiet,
        })))
    }
}

fn times(params: &Params) -> (Duration, Duration) {
    (
        params.duration("stable_for").unwrap_or_default(),
        params.duration("within").unwrap_or(Duration::from_secs(60)),
    )
}

struct Wait {
    target: Target,
    /// For a person.
    what: String,
    host: bool,
    stable_for: Duration,
    within: Duration,
    quiet: bool,
}

/// Between two questions.
const REST: Duration = Duration::from_millis(500);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Time passes unseen no longer than this.
const SHOW: Duration = Duration::from_secs(10);

impl Wait {
    fn shown(&self, seen: &str) -> String {
        if self.quiet {
            "hidden (no_log)".to_owned()
        } else {
            seen.to_owned()
        }
    }

    async fn wait(&self, host: &dyn Reading) -> Result<Done, Failure> {
        let start = Instant::now();
        let mut well_since: Option<Instant> = None;
        let mut shown = (String::new(), start);
        loop {
            let asked = Instant::now();
            let left = self.within.saturating_sub(start.elapsed());
            let limit = left.clamp(Duration::from_secs(1), ANSWER);
            let seen = tokio::select! {
                biased;
                () = host.cancelled() => return Err(self.broken_off(&shown.0, left)),
                seen = self.target.look(self.host, host, limit) => seen,
            };
            let (well, seen) = match seen {
                Seen::Well(seen) => (true, self.shown(&seen)),
                Seen::Bad(seen) => (false, self.shown(&seen)),
                Seen::Never(failure) => return Err(failure),
            };
            let stable = match (well, well_since) {
                (false, _) => {
                    well_since = None;
                    Duration::ZERO
                }
                (true, Some(since)) => asked.saturating_duration_since(since),
                (true, None) => {
                    well_since = Some(Instant::now());
                    Duration::ZERO
                }
            };
            let left = self.within.saturating_sub(start.elapsed());
            if well && stable >= self.stable_for {
                let waited = start.elapsed().as_secs();
                return Ok(Done {
                    changed: false,
                    result: json!({"seen": seen, "waited": waited}),
                    diff: None,
                    message: Some(format!("{}: {seen}, after {waited} s", self.what)),
                });
            }
            if left.is_zero() {
                return Err(self.late(&seen, well.then_some(stable), start.elapsed()));
            }
            let state = if well { format!("{seen}, well") } else { seen.clone() };
            if shown.0 != state || shown.1.elapsed() >= SHOW {
                let so_far = match well {
                    true => format!(" for {} of {}", show(stable), show(self.stable_for)),
                    false => String::new(),
                };
                host.progress(&format!(
                    "waiting for {}: {state}{so_far}, {} left",
                    self.what,
                    show(left)
                ));
                shown = (state, Instant::now());
            }
            tokio::select! {
                biased;
                () = host.cancelled() => return Err(self.broken_off(&seen, left)),
                () = tokio::time::sleep(REST.min(left)) => {}
            }
        }
    }

    fn late(&self, seen: &str, stable: Option<Duration>, waited: Duration) -> Failure {
        let stable = match stable {
            Some(stable) => format!(", and stayed well for {} of {}", show(stable), show(self.stable_for)),
            None => String::new(),
        };
        Failure::new(format!(
            "waited for {}: the last answer was {seen}{stable}; no time left of {}",
            self.what,
            show(self.within)
        ))
        .with(json!({"seen": seen, "waited": waited.as_secs()}))
    }

    fn broken_off(&self, seen: &str, left: Duration) -> Failure {
        let seen = if seen.is_empty() { "none" } else { seen };
        Failure::new(format!(
            "the wait for {} was broken off: the last answer was {seen}, {} left",
            self.what,
            show(left)
        ))
    }
}

impl DriveAction for Wait {
    /// It can only be known by waiting, and a check does not wait.
    fn check<'a>(&'a self, _host: &'a dyn Reading) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(async {
            Ok(Verdict::Differs {
                predicted: json!({}),
                diff: None,
            })
        })
    }

    fn apply<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(self.wait(host.reading()))
    }

    fn reads_only(&self) -> bool {
        true
    }
}

/// `1m30s`; below a second `0s`.
fn show(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, 0, 0) => format!("{h}h"),
        (h, m, _) => format!("{h}h{m}m"),
    }
}
