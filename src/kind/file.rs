//! Sees to it that a file, folder or link is there or is not, with its owner and mode.
//!
//!     - file: { path: /var/lib/app, state: directory, owner: app, group: app, mode: "0750" }
//!     - file: { path: /etc/app/current.conf, src: /etc/app/v2.conf, state: link }
//!     - file: { path: /run/app.old, state: absent }
//!
//! `state: file` (the default) makes nothing: the path must be there, and gets owner and mode. `directory` makes the
//! folders above it too, with the same owner and mode. `touch` makes an empty file, or sets the times of what is there, and
//! is changed every time. `link` is renamed to its place, and replaces a file or an empty folder only with `force`; `mode` does
//! not apply to it. `hard` is a hard link to `src`. `absent` removes a folder with everything below it.
//!
//! `recurse` sets owner and mode of everything below a folder, but not of what its links point at.

use std::fmt::Write as _;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::sh::{self, HostPath, PLACE, Report, quote};
use super::{
    Action, Context, Done, Facts, Failure, Job, Kind, Mode, Output, Param, Params, Probe, ShellAction, Ty, Verdict,
    list, place,
};
use crate::yaml::Diagnostics;

const FUNCTIONS: &str = include_str!("file.sh");

pub(super) struct File;
pub(super) static KIND: File = File;

const PARAMS: &[Param] = &[
    Param::required("path", Ty::Path, "what it is about"),
    Param::new(
        "state",
        Ty::Choice(&["file", "directory", "absent", "touch", "link", "hard"]),
        "what is to be there; default `file`, or `directory` with `recurse`",
    ),
    Param::new(
        "src",
        Ty::Text,
        "what a link points at; relative to the link's folder where it does not begin with /",
    ),
    place::OWNER,
    place::GROUP,
    place::MODE,
    Param::new("recurse", Ty::Bool, "owner and mode of everything below a folder, too"),
    Param::new(
        "force",
        Ty::Bool,
        "a link may replace a file, and point at what is not there; default no",
    ),
    Param::new(
        "follow",
        Ty::Bool,
        "owner and mode are those of what a link points at; default yes",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    File,
    Directory,
    Absent,
    Touch,
    Link,
    Hard,
}

impl State {
    fn of(params: &Params) -> State {
        match params.choice("state").as_deref() {
            Some("directory") => State::Directory,
            Some("absent") => State::Absent,
            Some("touch") => State::Touch,
            Some("link") => State::Link,
            Some("hard") => State::Hard,
            None if params.bool("recurse") == Some(true) => State::Directory,
            _ => State::File,
        }
    }

    fn word(self) -> &'static str {
        match self {
            State::File | State::Touch => "file",
            State::Directory => "directory",
            State::Absent => "absent",
            State::Link => "link",
            State::Hard => "hard",
        }
    }
}

struct Ensure {
    path: HostPath,
    state: State,
    src: Option<String>,
    /// `src`, quoted.
    target: String,
    mode: Option<Mode>,
    owner: String,
    group: String,
    recurse: bool,
    force: bool,
    follow: bool,
    environment: IndexMap<String, String>,
}

impl Ensure {
    fn attributes(&self) -> String {
        let mode = self.mode.map_or("''".to_owned(), |mode| format!("{:o}", mode.0));
        format!("{mode} {} {}", self.owner, self.group)
    }

    fn start(&self, facts: &Facts) -> String {
        format!("{PLACE}{FUNCTIONS}changed=0\npath={}\n", self.path.word(facts))
    }

    fn result(&self, report: &Report, there: bool) -> Value {
        let mut fields = Map::new();
        fields.insert("path".to_owned(), json!(self.path.as_str()));
        fields.insert("state".to_owned(), json!(self.state.word()));
        if let Some(src) = &self.src {
            fields.insert("src".to_owned(), json!(src));
            fields.insert("dest".to_owned(), json!(self.path.as_str()));
        }
        if there && self.state != State::Absent {
            let seen = report.records.first().cloned().unwrap_or_default();
            place::attributes(&mut fields, &seen);
        }
        Value::Object(fields)
    }

    /// Shell text that is true where nothing has to be done; `look` has been at the path.
    fn same(&self) -> String {
        let attributes = self.attributes();
        let wanted = match self.state {
            State::Absent => return "[ \"$kind\" = absent ]".to_owned(),
            State::Touch => return "false".to_owned(),
            State::Link => {
                let (owner, group) = (&self.owner, &self.group);
                return format!(
                    "points \"$path\"\n[ \"$kind\" = link ] && [ \"$target\" = {} ] && has '' {owner} {group}",
                    self.target
                );
            }
            State::File => "[ \"$kind\" != absent ]".to_owned(),
            State::Directory => "[ \"$kind\" = directory ]".to_owned(),
            State::Hard => format!("hard_is {} \"$path\"", self.target),
        };
        let mut text = format!("{wanted} && has {attributes}");
        if self.recurse {
            let _ = write!(text, " && ! differing \"$path\" {attributes}");
        }
        text
    }
}

/// `has MODE OWNER GROUP`, after `look`; `hard_is TARGET PATH`.
const HAS: &str = r#"has() {
  [ -z "$1" ] || [ "$mode" = "$1" ] || return 1
  [ -z "$2" ] || [ "$user" = "$2" ] || [ "$uid" = "$2" ] || return 1
  [ -z "$3" ] || [ "$group" = "$3" ] || [ "$gid" = "$3" ]
}
hard_is() {
  [ -f "$1" ] && [ -f "$2" ] && [ "$(stat -L -c '%d:%i' -- "$1")" = "$(stat -c '%d:%i' -- "$2")" ]
}
"#;

impl ShellAction for Ensure {
    fn check(&self, facts: &Facts) -> Option<Probe> {
        let mut text = self.start(facts);
        text.push_str(HAS);
        let look = match self.state {
            State::File | State::Directory if self.follow => "look \"$path\" -L",
            _ => "look \"$path\"",
        };
        let _ = writeln!(text, "{look}\nshow\nif");
        let _ = writeln!(text, "{}\nthen echo same=1; else echo same=0; fi", self.same());
        Some(Probe {
            environment: self.environment.clone(),
            timeout: self.recurse.then(|| std::time::Duration::from_secs(300)),
            ..Probe::new(text)
        })
    }

    fn judge(&self, output: &Output) -> Result<Verdict, Failure> {
        let report = Report::parse(output)?;
        match report.get("same") {
            "1" => Ok(Verdict::Same(self.result(&report, true))),
            "0" => {
                let before = match report.get("kind") {
                    "absent" => "absent".to_owned(),
                    kind => {
                        let mode = sh::four_digits(report.get("mode"));
                        format!("{kind} {mode} {}:{}", report.get("user"), report.get("group"))
                    }
                };
                let mut after = self.state.word().to_owned();
                if let Some(src) = &self.src {
                    let _ = write!(after, " → {src}");
                }
                if self.state != State::Absent {
                    let mode = self.mode.map(|mode| format!(" mode {mode}")).unwrap_or_default();
                    let named = |what: &str, word: &str| match word {
                        "''" => String::new(),
                        word => format!(" {what} {word}"),
                    };
                    let _ = write!(
                        after,
                        "{mode}{}{}",
                        named("owner", &self.owner),
                        named("group", &self.group)
                    );
                }
                let mut predicted = self.result(&report, false);
                if let (Some(mode), Value::Object(fields)) = (self.mode, &mut predicted) {
                    fields.insert("mode".to_owned(), json!(mode.to_string()));
                }
                Ok(Verdict::Differs {
                    predicted,
                    diff: Some(format!("{}: {before} → {after}\n", self.path.as_str())),
                })
            }
            _ => Err(Failure::new(
                "the script that looks at the file did not come to its end",
            )),
        }
    }

    fn apply(&self, facts: &Facts) -> Option<Job> {
        let attributes = self.attributes();
        let mut text = self.start(facts);
        let force = if self.force { "yes" } else { "no" };
        let through = if self.follow { "follow \"$path\"\n" } else { "" };
        match self.state {
            State::Absent => text.push_str(concat!(
                "if [ -e \"$path\" ] || [ -h \"$path\" ]; then\n",
                "  rm -rf -- \"$path\" || die \"cannot remove $path\"\n  changed=1\nfi\n"
            )),
            State::File => {
                let _ = writeln!(
                    text,
                    "{through}look \"$path\"\n[ \"$kind\" != absent ] || die \"$path is not there\"\nattributes \"$path\" {attributes}"
                );
            }
            State::Directory => {
                let _ = writeln!(text, "{through}ensure_folder \"$path\" {attributes}\nlook \"$path\"");
                let _ = writeln!(text, "attributes \"$path\" {attributes}");
                if self.recurse {
                    let _ = writeln!(text, "deep \"$path\" {attributes}");
                }
            }
            State::Touch => {
                let _ = writeln!(
                    text,
                    "{through}touch -- \"$path\" || die \"cannot touch $path\"\nchanged=1\nlook \"$path\"\nattributes \"$path\" {attributes}"
                );
            }
            State::Link => {
                let _ = writeln!(text, "link {} \"$path\" {force}\nlook \"$path\"", self.target);
                let _ = writeln!(text, "attributes \"$path\" '' {} {}", self.owner, self.group);
            }
            State::Hard => {
                let _ = writeln!(text, "hard {} \"$path\" {force}\nlook \"$path\"", self.target);
                let _ = writeln!(text, "attributes \"$path\" {attributes}");
            }
        }
        text.push_str("look \"$path\"\nshow\nprintf 'changed=%s\\n' \"$changed\"\n");
        Some(Job {
            brief: true,
            environment: self.environment.clone(),
            ..Job::new(text)
        })
    }

    fn parse(&self, output: &Output) -> Result<Done, Failure> {
        let report = Report::parse(output)?;
        if report.get("changed").is_empty() {
            return Err(Failure::new("the script did not come to its end"));
        }
        Ok(Done {
            changed: report.get("changed") == "1",
            result: self.result(&report, true),
            diff: None,
            message: None,
        })
    }
}

impl Kind for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn manual(&self) -> &'static str {
        list::manual!("file.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &[
            "path", "state", "src", "dest", "mode", "owner", "group", "uid", "gid", "size",
        ]
    }

    fn later(&self) -> &'static [&'static str] {
        &[
            "access_time",
            "access_time_format",
            "attributes",
            "modification_time",
            "modification_time_format",
            "selevel",
            "serole",
            "setype",
            "seuser",
            "unsafe_writes",
        ]
    }

    fn lint(&self, params: &Params, _context: &Context<'_>) -> Diagnostics {
        let mut found = params.refuse_secrets(&["path", "src", "owner", "group"]);
        found.extend(place::account_names(params));
        if params.pending("state") {
            return found;
        }
        let state = State::of(params);
        let links = matches!(state, State::Link | State::Hard);
        if links && !params.has("src") {
            found.push(params.error("state", format!("`state: {}` needs `src`", state.word())));
        }
        if !links && params.has("src") {
            found.push(
                params
                    .error("src", "`src` is for `state: link` and `state: hard`")
                    .help("to send a file from the controller use `copy`"),
            );
        }
        if params.text("src").is_some_and(|src| src.is_empty()) {
            found.push(params.error("src", "`src` is empty"));
        }
        if state == State::Hard && params.text("src").is_some_and(|src| !src.starts_with('/')) {
            found.push(params.error("src", "`src` of a hard link must be an absolute path"));
        }
        if state == State::Link && params.has("mode") {
            found.push(params.error("mode", "a link has no mode"));
        }
        if params.bool("recurse") == Some(true) && state != State::Directory {
            found.push(params.error("recurse", "`recurse` is for `state: directory`"));
        }
        if let Some(path) = params.path("path") {
            let inner = path
                .trim_start_matches('~')
                .split('/')
                .filter(|part| !part.is_empty() && *part != ".");
            if state == State::Absent && inner.clone().count() == 0 {
                found.push(params.error("path", format!("{path} is never removed")));
            }
            if inner.clone().any(|part| part == "..") {
                found.push(params.error("path", "`path` must not hold `..`"));
            }
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let path = params.required_text("path")?;
        let trimmed = match path.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        let src = params.text("src");
        Ok(Action::Shell(Box::new(Ensure {
            path: HostPath::new(trimmed, params.span("path"))?,
            state: State::of(params),
            target: quote(src.as_deref().unwrap_or_default(), params.span("src"))?,
            src,
            mode: params.mode("mode"),
            owner: quote(&params.text("owner").unwrap_or_default(), params.span("owner"))?,
            group: quote(&params.text("group").unwrap_or_default(), params.span("group"))?,
            recurse: params.bool("recurse").unwrap_or(false),
            force: params.bool("force").unwrap_or(false),
            follow: params.bool("follow").unwrap_or(true),
            environment: sh::environment(context),
        })))
    }
}
