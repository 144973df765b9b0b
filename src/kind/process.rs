//! What command, shell and script have in common: a process of the user's own, its guards and its result.

use std::fmt::Write as _;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::sh::{self, HostPath, quote};
use super::{Context, Done, Facts, Failure, Job, Output, Param, Params, Probe, ShellAction, Ty, Upload, Verdict};
use crate::yaml::{Diagnostic, Diagnostics, Node};

pub(super) const CHDIR: Param = Param::new("chdir", Ty::Path, "folder to run in; default /");
pub(super) const CREATES: Param = Param::new("creates", Ty::Path, "nothing is run where this is there");
pub(super) const REMOVES: Param = Param::new("removes", Ty::Path, "nothing is run where this is not there");
pub(super) const STDIN: Param = Param::new("stdin", Ty::Text, "text for its standard input; may be a secret");
pub(super) const STDIN_NEWLINE: Param =
    Param::new("stdin_add_newline", Ty::Bool, "a newline after that text; default yes");
pub(super) const RESULTS: &[&str] = &["cmd", "rc", "stdout", "stdout_lines", "stderr", "stderr_lines"];

/// Printed before the reason where a guard keeps the process from being run: no program's output begins so.
const MARK: char = '\u{1e}';

/// The variable that brings a secret standard input.
const STDIN_VARIABLE: &str = "REFIT_STDIN";

pub(super) struct Process {
    /// Shell text that becomes the process, or ends with its code.
    body: String,
    /// For people: what is run.
    shown: String,
    chdir: Option<HostPath>,
    creates: Option<HostPath>,
    removes: Option<HostPath>,
    /// A word of the shell that stands for the standard input.
    stdin: Option<String>,
    environment: IndexMap<String, String>,
    uploads: Vec<Upload>,
}

impl Process {
    /// Reads `chdir creates removes stdin stdin_add_newline`.
    pub(super) fn new(
        params: &Params,
        context: &Context<'_>,
        body: String,
        shown: String,
        uploads: Vec<Upload>,
    ) -> Result<Process, Diagnostic> {
        let path = |name: &str| -> Result<Option<HostPath>, Diagnostic> {
            params
                .path(name)
                .map(|path| HostPath::new(&path, params.span(name)))
                .transpose()
        };
        let mut environment = sh::environment(context);
        let stdin = match params.text("stdin") {
            None => None,
            Some(mut text) => {
                if params.bool("stdin_add_newline").unwrap_or(true) {
                    text.push('\n');
                }
                let word = quote(&text, params.span("stdin"))?;
                if params.secret("stdin") {
                    environment.insert(STDIN_VARIABLE.to_owned(), text);
                    Some(format!("\"${STDIN_VARIABLE}\""))
                } else {
                    Some(word)
                }
            }
        };
        Ok(Process {
            body,
            shown,
            chdir: path("chdir")?,
            creates: path("creates")?,
            removes: path("removes")?,
            stdin,
            environment,
            uploads,
        })
    }

    fn result(&self, rc: i32, stdout: &str, stderr: &str) -> Value {
        let (stdout, stderr) = (
            stdout.trim_end_matches(['\n', '\r']),
            stderr.trim_end_matches(['\n', '\r']),
        );
        let mut fields = Map::new();
        fields.insert("cmd".to_owned(), json!(self.shown));
        fields.insert("rc".to_owned(), json!(rc));
        fields.insert("stdout".to_owned(), json!(stdout));
        fields.insert("stdout_lines".to_owned(), json!(stdout.lines().collect::<Vec<_>>()));
        fields.insert("stderr".to_owned(), json!(stderr));
        fields.insert("stderr_lines".to_owned(), json!(stderr.lines().collect::<Vec<_>>()));
        Value::Object(fields)
    }

    fn skip(&self, reason: &str) -> (Value, String) {
        let text = format!("not run: {reason}");
        (self.result(0, &text, ""), text)
    }

    /// Lines that call `skip REASON` where a guard holds.
    fn guards(&self, facts: &Facts) -> String {
        let mut text = String::new();
        if let Some(path) = &self.creates {
            let word = path.word(facts);
            let _ = writeln!(
                text,
                "if [ -e {word} ] || [ -h {word} ]; then skip {word} 'is there'; fi"
            );
        }
        if let Some(path) = &self.removes {
            let word = path.word(facts);
            let _ = writeln!(text, "[ -e {word} ] || [ -h {word} ] || skip {word} 'is not there'");
        }
        if text.is_empty() {
            return text;
        }
        format!("skip() {{\n  printf '\\036%s %s\\n' \"$1\" \"$2\"\n  exit 0\n}}\n{text}")
    }
}

impl ShellAction for Process {
    fn check(&self, facts: &Facts) -> Option<Probe> {
        let guards = self.guards(facts);
        (!guards.is_empty()).then(|| Probe {
            environment: self.environment.clone(),
            ..Probe::new(guards)
        })
    }

    fn judge(&self, output: &Output) -> Result<Verdict, Failure> {
        if output.rc != 0 {
            return Err(sh::broken(output));
        }
        match output.stdout.trim_end().strip_prefix(MARK) {
            Some(reason) => Ok(Verdict::Same(self.skip(reason).0)),
            None => Ok(Verdict::Differs {
                predicted: self.predicted(),
                diff: None,
            }),
        }
    }

    fn apply(&self, facts: &Facts) -> Option<Job> {
        let mut text = String::new();
        for upload in &self.uploads {
            let _ = writeln!(
                text,
                "sent=$REFIT_UPLOADS/{}\ntrap 'rm -f -- \"$sent\"' 0",
                upload.sha256
            );
        }
        text.push_str(&self.guards(facts));
        if let Some(path) = &self.chdir {
            let word = path.word(facts);
            let _ = writeln!(text, "cd -- {word} || exit");
        }
        match &self.stdin {
            Some(word) => {
                let _ = writeln!(text, "printf %s {word} | {{\nunset {STDIN_VARIABLE}\n{}\n}}", self.body);
            }
            None => {
                text.push_str(&self.body);
                text.push('\n');
            }
        }
        Some(Job {
            environment: self.environment.clone(),
            uploads: self.uploads.clone(),
            ..Job::new(text)
        })
    }

    fn parse(&self, output: &Output) -> Result<Done, Failure> {
        let guarded = self.creates.is_some() || self.removes.is_some();
        if let Some(reason) = output.stdout.strip_prefix(MARK).filter(|_| guarded && output.rc == 0) {
            let (result, message) = self.skip(reason.trim_end());
            return Ok(Done {
                changed: false,
                result,
                diff: None,
                message: Some(message),
            });
        }
        let result = self.result(output.rc, &output.stdout, &output.stderr);
        if output.rc == 0 {
            return Ok(Done {
                changed: true,
                result,
                diff: None,
                message: None,
            });
        }
        let mut shown: String = self.shown.chars().take(120).collect();
        if shown.len() < self.shown.len() {
            shown.push('…');
        }
        let end = match output.rc {
            rc if rc > 128 => format!("was ended by signal {}", rc - 128),
            126 => "ended with 126: it cannot be executed".to_owned(),
            127 => "ended with 127: it was not found".to_owned(),
            rc => format!("ended with {rc}"),
        };
        Err(Failure::new(format!("`{shown}` {end}")).with(result))
    }
}

/// A secret in the words of a process would stand in its argv, and in the script that the host keeps.
pub(super) fn no_secrets(params: &Params, names: &[&str]) -> Diagnostics {
    let mut found = Diagnostics::default();
    for name in names.iter().filter(|name| params.secret(name)) {
        found.push(
            params
                .error(
                    name,
                    format!("`{name}` holds a secret, which every process on the host could read"),
                )
                .help("hand it over in `environment:` (or `stdin:`) and use the variable"),
        );
    }
    found
}

/// Words of a command line, as POSIX splits them.
pub(super) fn words(params: &Params, name: &str, text: &str) -> Result<Vec<String>, Diagnostic> {
    let words = shlex::split(text).ok_or_else(|| params.error(name, format!("`{name}` has an open quote")))?;
    if words.is_empty() {
        return Err(params.error(name, format!("`{name}` is empty")));
    }
    for word in &words {
        let Some((key, _)) = word.split_once('=') else { continue };
        if ["chdir", "creates", "removes", "executable"].contains(&key) {
            return Err(params
                .error(
                    name,
                    format!("`{key}=` inside the text of a command is Ansible's old form"),
                )
                .help(format!("write a mapping: `{{ cmd: …, {key}: … }}`")));
        }
    }
    Ok(words)
}

/// Quoted words, one blank between them.
pub(super) fn line(words: &[String], params: &Params, name: &str) -> Result<String, Diagnostic> {
    let quoted: Result<Vec<String>, Diagnostic> = words.iter().map(|word| quote(word, params.span(name))).collect();
    Ok(quoted?.join(" "))
}

/// Exactly one of these must be given.
pub(super) fn one_of(params: &Params, kind: &str, names: &[&str]) -> Diagnostics {
    let given: Vec<&&str> = names.iter().filter(|name| params.has(name)).collect();
    let list = names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match given.as_slice() {
        [_] => Diagnostics::default(),
        [] => Diagnostic::error(&params.at, format!("`{kind}` needs one of {list}")).into(),
        [_, second, ..] => {
            let at = params.given.get(**second).map_or(&params.at, |given| &given.key);
            Diagnostic::error(at, format!("`{kind}` takes only one of {list}")).into()
        }
    }
}

/// The text of a node, for messages about expressions.
pub(super) fn written(node: &Node) -> String {
    node.text.clone().unwrap_or_default()
}
