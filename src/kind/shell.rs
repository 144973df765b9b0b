//! Runs text in a shell on the host: pipes, variables, patterns.
//!
//!     - shell: ls /srv/app/releases | sort -V | tail -n 1
//!     - shell: { cmd: "set -o pipefail; pg_dump app | gzip > app.gz", executable: /bin/bash, chdir: /var/backups }
//!
//! The shell is `/bin/sh`, or `executable`. The step is changed whenever the text was run, and failed where it ended with
//! another code than 0. With `reads: true` it is a probe that may be repeated and changes nothing. Use `| quote` for values
//! in the text.
//!
//! A secret in the text is refused: every process on the host could read it. Use `environment:` or `stdin:`.

use super::process::{self, Process, no_secrets};
use super::sh::{HostPath, quote};
use super::{Action, Context, Kind, Param, Params, Ty, list};
use crate::yaml::Diagnostics;

pub(super) struct Shell;
pub(super) static KIND: Shell = Shell;

const PARAMS: &[Param] = &[
    Param::required("cmd", Ty::Text, "the text for the shell"),
    Param::new("executable", Ty::Path, "another shell; it is given `-c` and the text"),
    process::CHDIR,
    process::CREATES,
    process::REMOVES,
    process::STDIN,
    process::STDIN_NEWLINE,
];

impl Kind for Shell {
    fn name(&self) -> &'static str {
        "shell"
    }

    fn manual(&self) -> &'static str {
        list::manual!("shell.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        process::RESULTS
    }

    fn text_param(&self) -> Option<&'static str> {
        Some("cmd")
    }

    fn lint(&self, params: &Params, _context: &Context<'_>) -> Diagnostics {
        let mut found = no_secrets(params, &["cmd", "executable", "chdir", "creates", "removes"]);
        if params.text("cmd").is_some_and(|text| text.trim().is_empty()) {
            found.push(params.error("cmd", "`cmd` is empty"));
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let text = params.required_text("cmd")?;
        let executable = params.path("executable").unwrap_or_else(|| "/bin/sh".to_owned());
        let executable = HostPath::new(&executable, params.span("executable"))?.plain();
        let body = format!("exec {executable} -c {}", quote(&text, params.span("cmd"))?);
        let shown = text.trim().to_owned();
        Ok(Action::Shell(Box::new(Process::new(
            params,
            context,
            body,
            shown,
            Vec::new(),
        )?)))
    }
}
