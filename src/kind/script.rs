//! Sends a script from the controller to the host and runs it there.
//!
//!     - script: tools/repair.sh --dry-run
//!     - script: { cmd: tools/report.py weekly, executable: /usr/bin/python3, creates: /var/lib/report/weekly }
//!
//! The first word is the file, relative to the file that names it; the others are its arguments, split as a POSIX shell
//! does it. Without `executable` the script's own first line (`#!`) says what runs it, and without that `/bin/sh` does.
//! It is removed from the host when it has ended. The step is changed whenever the script was run, and failed where it
//! ended with another code than 0.
//!
//! A secret among the arguments is refused: every process on the host could read it. Use `environment:` or `stdin:`.

use std::path::PathBuf;

use super::process::{self, Process, line, no_secrets, words};
use super::sh::HostPath;
use super::{Action, Context, Kind, Param, Params, Ty, Upload, list, upload};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Script;
pub(super) static KIND: Script = Script;

const PARAMS: &[Param] = &[
    Param::required("cmd", Ty::Text, "the script on the controller, and its arguments"),
    Param::new("executable", Ty::Path, "what runs it"),
    process::CHDIR,
    process::CREATES,
    process::REMOVES,
    process::STDIN,
    process::STDIN_NEWLINE,
];

/// The upload and the arguments; None while `cmd` is not known.
fn read(params: &Params, context: &Context<'_>) -> Result<Option<(Upload, Vec<String>)>, Diagnostic> {
    let Some(text) = params.text("cmd") else {
        return Ok(None);
    };
    let mut words = words(params, "cmd", &text)?;
    let path = context.folder.join(words.remove(0));
    Ok(Some((upload::file(&path, params.span("cmd"))?, words)))
}

impl Kind for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn manual(&self) -> &'static str {
        list::manual!("script.rs")
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
        &["decrypt"]
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = no_secrets(params, &["cmd", "executable", "chdir", "creates", "removes"]);
        if !params.secret("cmd") {
            found.extend(read(params, context).err());
        }
        found
    }

    fn artefacts(&self, params: &Params, context: &Context<'_>) -> Vec<PathBuf> {
        let words = params.text("cmd").and_then(|text| shlex::split(&text));
        let file = words.and_then(|words| words.into_iter().next());
        file.map(|file| context.folder.join(file)).into_iter().collect()
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let Some((upload, arguments)) = read(params, context)? else {
            return Err(params.error("cmd", "`cmd` has no value").into());
        };
        let executable = match params.path("executable") {
            Some(path) => format!("{} ", HostPath::new(&path, params.span("executable"))?.plain()),
            None => "chmod -- 700 \"$sent\" && ".to_owned(),
        };
        let body = format!("{executable}\"$sent\" {}", line(&arguments, params, "cmd")?);
        let body = format!("{}\nexit", body.trim_end());
        let shown = params.required_text("cmd")?.trim().to_owned();
        Ok(Action::Shell(Box::new(Process::new(
            params,
            context,
            body,
            shown,
            vec![upload],
        )?)))
    }
}
