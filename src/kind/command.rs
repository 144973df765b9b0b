//! Runs a program, without a shell: no pipes, no `$VARIABLE`, no `*`. Use `shell` for those.
//!
//!     - command: systemctl reset-failed temporal
//!     - command: { argv: [/opt/app/bin/migrate, --check], chdir: /opt/app, creates: /opt/app/migrated }
//!
//! The text is split into words as a POSIX shell does it, quotes included. The step is changed whenever the program was
//! run, and failed where it ended with another code than 0 (`changed_when` and `failed_when` say otherwise). With
//! `reads: true` it is a probe that may be repeated and changes nothing.
//!
//! A secret in the words is refused: every process on the host could read it. Use `environment:` or `stdin:`.

use super::process::{self, Process, line, no_secrets, one_of, words};
use super::{Action, Context, Kind, Param, Params, Ty, list};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Command;
pub(super) static KIND: Command = Command;

const PARAMS: &[Param] = &[
    Param::new("cmd", Ty::Text, "the command line"),
    Param::new("argv", Ty::TextList, "its words, one by one, instead of `cmd`"),
    process::CHDIR,
    process::CREATES,
    process::REMOVES,
    process::STDIN,
    process::STDIN_NEWLINE,
];

impl Command {
    fn argv(&self, params: &Params) -> Result<Option<Vec<String>>, Diagnostic> {
        if let Some(argv) = params.text_list("argv") {
            if argv.first().is_none_or(String::is_empty) {
                return Err(params.error("argv", "`argv` names no program"));
            }
            return Ok(Some(argv));
        }
        params.text("cmd").map(|text| words(params, "cmd", &text)).transpose()
    }
}

impl Kind for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn manual(&self) -> &'static str {
        list::manual!("command.rs")
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

    fn later(&self) -> &'static [&'static str] {
        &["expand_argument_vars", "strip_empty_ends"]
    }

    fn lint(&self, params: &Params, _context: &Context<'_>) -> Diagnostics {
        let mut found = one_of(params, "command", &["cmd", "argv"]);
        found.extend(no_secrets(params, &["cmd", "argv", "chdir", "creates", "removes"]));
        if let Err(diagnostic) = self.argv(params) {
            found.push(diagnostic);
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let argv = self.argv(params)?.unwrap_or_default();
        let name = if params.has("argv") { "argv" } else { "cmd" };
        let body = format!("exec {}", line(&argv, params, name)?);
        let shown = match params.text("cmd") {
            Some(text) => text.trim().to_owned(),
            None => line(&argv, params, name)?,
        };
        Ok(Action::Shell(Box::new(Process::new(
            params,
            context,
            body,
            shown,
            Vec::new(),
        )?)))
    }
}
