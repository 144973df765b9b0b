//! Starts, stops, restarts or reloads a service.
//!
//!     - service: { name: widget, state: restarted }
//!     - service:
//!         name: widget
//!         state: started
//!         manager: commands
//!         commands:
//!           start: /opt/widget/bin/widget --daemon --pidfile /run/widget.pid
//!           stop: kill "$(cat /run/widget.pid)"
//!           status: kill -0 "$(cat /run/widget.pid)"
//!           pid: cat /run/widget.pid
//!
//! With `manager: systemd` the step is done when systemd says so: after a restart another invocation must be active, and
//! still the same a second later. Where it is not, the failure shows the unit's status and its last 20 lines of journal.
//!
//! A unit file that changed, or that is a link, is read again (`systemctl daemon-reload`) before systemd acts on it.
//!
//! With `manager: commands` four texts for `/bin/sh` stand in for systemd. `status` ends with 0 if and only if the
//! service runs; it must only read. `start` should return; what it prints, and what a service that it leaves behind
//! prints, goes to `services/NAME.log` in the account's state folder, anew at every start (redirect the output of a
//! service that prints a lot). `stop` may return before the service has ended. `pid` prints the main process, and is
//! optional; with it a restart must give another process. `restarted` is `stop`, then `start`. There is no `reloaded`
//! and no `enabled`.
//!
//! `started` and `stopped` change nothing where it is so already. `restarted` always restarts, and `reloaded` always
//! reloads, or starts what does not run. Every wait ends after 90 seconds.
//!
//! After a start or restart the executable of the main process is compared: one that was replaced on disk, or that lies
//! in a release of a `swap` other than the current one, is a failure. (A service that is a script runs its interpreter,
//! and cannot be told apart so.)
//!
//! `pid` of the result is the main process, or null.

#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{Action, Context, Done, Facts, Failure, Job, Kind, Output, Param, Params, Probe, ShellAction, Ty, Verdict};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct ServiceKind;
pub(super) static KIND: ServiceKind = ServiceKind;

const LIBRARY: &str = include_str!("service.sh");

/// Seconds that a start or a stop may take.
const LIMIT: u32 = 90;

const PARAMS: &[Param] = &[
    Param::required(
        "name",
        Ty::Text,
        "the unit (`.service` may be left out), or a name of your own for `commands`",
    ),
    Param::new(
        "state",
        Ty::Choice(&["started", "stopped", "restarted", "reloaded"]),
        "what it should be; needed unless `enabled` is given",
    ),
    Param::new("enabled", Ty::Bool, "whether systemd starts it at boot"),
    Param::new(
        "manager",
        Ty::Choice(&["systemd", "commands"]),
        "what starts and stops it; `systemd` is the default",
    ),
    Param::new(
        "commands",
        Ty::Map,
        "for `manager: commands`: {start, stop, status, pid}",
    ),
];

const COMMANDS: &[Param] = &[
    Param::required("start", Ty::Text, "starts it"),
    Param::required("stop", Ty::Text, "stops it"),
    Param::required("status", Ty::Text, "ends with 0 if it runs"),
    Param::new("pid", Ty::Text, "prints its main process"),
];

impl Kind for ServiceKind {
    fn name(&self) -> &'static str {
        "service"
    }

    fn manual(&self) -> &'static str {
        super::list::manual!("mod.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["name", "state", "pid"]
    }

    fn later(&self) -> &'static [&'static str] {
        &[
            "daemon_reload",
            "daemon_reexec",
            "scope",
            "no_block",
            "sleep",
            "pattern",
        ]
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        match decode(params, context) {
            Ok(_) => Diagnostics::default(),
            Err(found) => found,
        }
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        Ok(Action::Shell(Box::new(decode(params, context)?)))
    }
}

fn decode(params: &Params, context: &Context<'_>) -> Result<Service, Diagnostics> {
    let mut found = Diagnostics::default();
    if let Some(name) = params.text("name") {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._@:\\+-".contains(c);
        if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(plain) {
            found.push(params.error("name", "`name` can hold only letters, digits and `. _ @ : \\ + -`"));
        }
    }
    let by_commands = params.choice("manager").as_deref() == Some("commands");
    let state = params.choice("state");
    if by_commands && !params.has("commands") {
        found.push(
            Diagnostic::error(params.span("manager"), "`manager: commands` needs `commands`")
                .help("commands: { start: …, stop: …, status: …, pid: … }"),
        );
    }
    if !by_commands && params.has("commands") && !params.pending("manager") {
        found.push(params.error("commands", "`commands` needs `manager: commands`"));
    }
    if by_commands && params.has("enabled") {
        found.push(params.error("enabled", "`enabled` needs `manager: systemd`"));
    }
    if by_commands && state.as_deref() == Some("reloaded") {
        found.push(params.error("state", "`state: reloaded` needs `manager: systemd`"));
    }
    if !params.has("state") && (by_commands || !params.has("enabled")) {
        found.push(Diagnostic::error(&params.at, "`service` needs `state`"));
    }
    let mut texts = IndexMap::new();
    match params.nested("commands", "`commands` of `service`", COMMANDS) {
        Ok(all) => {
            for (name, variable) in [
                ("start", "REFIT_START"),
                ("stop", "REFIT_STOP"),
                ("status", "REFIT_STATUS"),
                ("pid", "REFIT_PID"),
            ] {
                let text = all.first().and_then(|commands| commands.text(name)).unwrap_or_default();
                if text.contains('\0') {
                    found.push(params.error("commands", format!("`{name}` holds a NUL character")));
                }
                texts.insert(variable, text);
            }
        }
        Err(more) => found.extend(more),
    }
    if found.has_errors() {
        return Err(found);
    }
    Ok(Service {
        name: params.text("name").unwrap_or_default(),
        state,
        enabled: params.bool("enabled"),
        texts: by_commands.then_some(texts),
        environment: context
            .environment
            .iter()
            .map(|(name, (value, _))| (name.clone(), value.clone()))
            .collect(),
        limit: LIMIT,
    })
}

struct Service {
    name: String,
    state: Option<String>,
    enabled: Option<bool>,
    /// By variable, for `manager: commands`.
    texts: Option<IndexMap<&'static str, String>>,
    environment: IndexMap<String, String>,
    /// Seconds.
    limit: u32,
}

impl Service {
    fn script(&self, facts: &Facts, body: &str) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let enabled = match self.enabled {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        format!(
            "releases={}/releases name={} enabled={enabled} limit={}\n{LIBRARY}{body}\nexit 0\n",
            quote(&facts.state_dir),
            quote(&self.name),
            self.limit
        )
    }

    /// The texts go by the environment: they may hold secrets.
    fn environment(&self, variables: &[&str]) -> IndexMap<String, String> {
        let mut environment = self.environment.clone();
        for (variable, text) in self.texts.iter().flatten() {
            if variables.contains(variable) {
                environment.insert((*variable).to_owned(), text.clone());
            }
        }
        environment
    }

    fn result(&self, pid: Option<&str>) -> Value {
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok()).filter(|pid| *pid != 0);
        json!({"name": self.name, "state": self.state, "pid": pid})
    }
}

impl ShellAction for Service {
    fn check(&self, facts: &Facts) -> Option<Probe> {
        let body = match self.texts {
            Some(_) => "look_commands",
            None => "look_systemd",
        };
        Some(Probe {
            environment: self.environment(&["REFIT_STATUS", "REFIT_PID"]),
            ..Probe::new(self.script(facts, body))
        })
    }

    fn judge(&self, output: &Output) -> Result<Verdict, Failure> {
        if output.rc != 0 {
            return Err(failure(output));
        }
        let field = |name| field(&output.stdout, name);
        if output.stdout.trim() == "nosystemd" {
            return Err(Failure::new(
                "there is no systemctl on this host; give `manager: commands`",
            ));
        }
        let active = field("active").unwrap_or_default();
        let mut diff = Vec::new();
        let same = match self.state.as_deref() {
            None => true,
            Some("started") => matches!(active, "active" | "reloading" | "refreshing"),
            Some("stopped") => matches!(active, "inactive" | "failed") && field("load") != Some("not-found"),
            Some(_) => false,
        };
        if let Some(state) = self.state.as_deref().filter(|_| !same) {
            // The unit may come with an earlier step of the run, so that its absence is no failure yet.
            let now = match field("load") {
                Some("not-found") => "no such unit yet",
                _ => active,
            };
            diff.push(format!("{}: {now} -> {state}", self.name));
        }
        let unit = field("unit").unwrap_or_default();
        let enabled = match self.enabled {
            None => true,
            Some(true) => matches!(
                unit,
                "enabled" | "static" | "alias" | "indirect" | "generated" | "transient"
            ),
            Some(false) => !matches!(unit, "enabled" | "enabled-runtime"),
        };
        if !enabled {
            let word = if self.enabled == Some(true) {
                "enabled"
            } else {
                "disabled"
            };
            let now = if unit.is_empty() { "unknown" } else { unit };
            diff.push(format!("{}: {now} -> {word}", self.name));
        }
        if field("stale") == Some("1") {
            diff.push(format!("{}: its unit file changed -> daemon-reload", self.name));
        }
        let result = self.result(field("pid"));
        if diff.is_empty() {
            return Ok(Verdict::Same(result));
        }
        Ok(Verdict::Differs {
            predicted: result,
            diff: Some(diff.join("\n") + "\n"),
        })
    }

    fn predicted(&self) -> Value {
        self.result(None)
    }

    fn apply(&self, facts: &Facts) -> Option<Job> {
        let by = match self.texts {
            Some(_) => "commands",
            None => "systemd",
        };
        let body = format!("apply_{by} {}", self.state.as_deref().unwrap_or("enabled"));
        Some(Job {
            environment: self.environment(&["REFIT_START", "REFIT_STOP", "REFIT_STATUS", "REFIT_PID"]),
            ..Job::new(self.script(facts, &body))
        })
    }

    fn parse(&self, output: &Output) -> Result<Done, Failure> {
        if output.rc != 0 {
            return Err(failure(output));
        }
        let Some(did) = field(&output.stdout, "did") else {
            return Err(Failure::new("the host's answer is not complete").with(json!({"stdout": output.stdout})));
        };
        Ok(Done {
            changed: did == "1",
            result: self.result(field(&output.stdout, "pid")),
            diff: None,
            message: field(&output.stdout, "note")
                .filter(|note| !note.is_empty())
                .map(str::to_owned),
        })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

/// The last line says it, what stands before it is the service's.
fn failure(output: &Output) -> Failure {
    let text = output.stderr.trim_end();
    let message = match text.rsplit_once('\n') {
        _ if text.is_empty() => format!("exit status {}", output.rc),
        Some((before, last)) => format!("{last}\n{before}"),
        None => text.to_owned(),
    };
    Failure::new(message).with(json!({"rc": output.rc, "stdout": output.stdout, "stderr": output.stderr}))
}
