//! Text for `/bin/sh`: words that are safe to put into it, and the lines that our scripts print.
//!
//! Scripts are POSIX: dash and busybox run them, with coreutils or with busybox's own programs. A value gets into a
//! script through `quote` or `HostPath`, and never through `eval`.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{Context, Facts, Failure, Output};
use crate::yaml::{Diagnostic, Span};

/// Functions for files: `die look show sum own attributes rename folder_of follow`.
pub(super) const PLACE: &str = include_str!("place.sh");

/// One word of the shell that stands for exactly this text. `at` is where the text comes from.
pub(super) fn quote(text: &str, at: &Span) -> Result<String, Diagnostic> {
    match shlex::try_quote(text) {
        Ok(word) => Ok(word.into_owned()),
        Err(_) => Err(Diagnostic::error(at, "a NUL character cannot be part of a command")),
    }
}

/// A path on the host, absolute or `~/…`.
#[derive(Clone, Debug)]
pub(super) struct HostPath {
    text: String,
    /// The whole path, or what follows `~/`, as one word.
    word: String,
    home: bool,
}

impl HostPath {
    pub(super) fn new(text: &str, at: &Span) -> Result<HostPath, Diagnostic> {
        let (home, rest) = match text.strip_prefix('~') {
            Some(rest) => (true, rest.trim_start_matches('/')),
            None => (false, text),
        };
        Ok(HostPath {
            text: text.to_owned(),
            word: quote(rest, at)?,
            home,
        })
    }

    /// As given.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// A word for scripts that are made without facts: `~` is the shell's own HOME.
    pub(super) fn plain(&self) -> String {
        self.word(&Facts::default())
    }

    /// A word that begins with `/`, and so is never taken for an option.
    pub(super) fn word(&self, facts: &Facts) -> String {
        if !self.home {
            return self.word.clone();
        }
        let home = match shlex::try_quote(facts.home.trim_end_matches('/')) {
            Ok(home) if !facts.home.is_empty() => home.into_owned(),
            _ => "\"$HOME\"".to_owned(),
        };
        if self.word == "''" {
            home
        } else {
            format!("{home}/{}", self.word)
        }
    }
}

/// The variables of the step's process, for a probe or a job.
pub(super) fn environment(context: &Context<'_>) -> IndexMap<String, String> {
    let pairs = context.environment.iter();
    pairs.map(|(name, (value, _))| (name.clone(), value.clone())).collect()
}

/// What a script of ours printed: `key=value` lines; a line `item=…` begins a new record; after a line `raw` everything
/// up to the end is text of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) records: Vec<HashMap<String, String>>,
    pub(super) raw: Option<String>,
}

impl Report {
    pub(super) fn parse(output: &Output) -> Result<Report, Failure> {
        if output.rc != 0 {
            return Err(broken(output));
        }
        let mut report = Report {
            records: vec![HashMap::new()],
            raw: None,
        };
        let mut rest = output.stdout.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            if line == "raw" {
                report.raw = Some(rest.to_owned());
                break;
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(Failure::new(format!(
                    "the script printed a line that is not ours: {line:?}"
                )));
            };
            if key == "item" {
                report.records.push(HashMap::new());
            }
            if let Some(record) = report.records.last_mut() {
                record.insert(key.to_owned(), value.to_owned());
            }
        }
        Ok(report)
    }

    /// A value of the first record; empty where there is none.
    pub(super) fn get(&self, key: &str) -> &str {
        self.records.first().map_or("", |record| get(record, key))
    }

    /// The records that begin with `item=`.
    pub(super) fn items(&self) -> &[HashMap<String, String>] {
        self.records.get(1..).unwrap_or_default()
    }
}

pub(super) fn get<'a>(record: &'a HashMap<String, String>, key: &str) -> &'a str {
    record.get(key).map_or("", String::as_str)
}

/// A script of ours ended with another code than 0: what it said last is why.
pub(super) fn broken(output: &Output) -> Failure {
    let said = output.stderr.lines().rev().find(|line| !line.trim().is_empty());
    let message = match (said, output.rc) {
        (Some(line), _) => line.trim().to_owned(),
        (None, rc) if rc > 128 => format!("the script was ended by signal {}", rc - 128),
        (None, rc) => format!("the script ended with {rc}"),
    };
    let mut fields = Map::new();
    fields.insert("rc".to_owned(), json!(output.rc));
    fields.insert("stderr".to_owned(), json!(output.stderr.trim_end_matches(['\n', '\r'])));
    Failure::new(message).with(Value::Object(fields))
}

/// `0644` from what `stat -c %a` prints.
pub(super) fn four_digits(mode: &str) -> String {
    format!("{mode:0>4}")
}
