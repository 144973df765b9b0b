//! Runs `tests/cases/KIND/*.yml`: what a step with these parameters does to a host, in every shell of this machine.
//!
//! Keys of a case: `before` and `after`, scripts on the host, of which `after` must end with 0; `files` on the controller;
//! `params` (`@` at the start of a path is the host's folder); `secret`, names of parameters that hold one; `environment`;
//! `check`: same, differs (default), none or fails; `diff`, exactly; `changed` (default true); `result`, fields of it; `fails`, a
//! part of the message; `refused`, the diagnostics before a host is asked; `again`: same (default), or changed;
//! `script`: the whole job; `root`: skipped for other users.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::trial::{Host, Place, node};
use super::{Action, Params, Verdict, all, find};
use crate::template::Rendered;
use crate::yaml::{Diagnostics, Node};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// `@/x` becomes the host's folder with `/x`, in every text.
fn placed(value: &Json, folder: &str) -> Json {
    match value {
        Json::String(text) => Json::String(text.replace("@/", &format!("{folder}/"))),
        Json::Array(items) => items.iter().map(|item| placed(item, folder)).collect(),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.clone(), placed(value, folder)));
            Json::Object(entries.collect())
        }
        other => other.clone(),
    }
}

fn includes(found: &Json, wanted: &Json) -> bool {
    match (found, wanted) {
        (Json::Object(found), Json::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| found.get(key).is_some_and(|found| includes(found, wanted))),
        _ => found == wanted,
    }
}

fn words(found: &Diagnostics) -> Vec<String> {
    found.iter().map(|one| one.message.clone()).collect()
}

struct Case<'a> {
    text: &'a Json,
    problems: String,
}

impl Case<'_> {
    fn wrong(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.problems, "    {what}");
    }

    fn get(&self, key: &str) -> &str {
        self.text[key].as_str().unwrap_or_default()
    }

    fn script(&mut self, host: &Host, key: &str) {
        let text = self
            .get(key)
            .replace("@/", &format!("{}/", host.folder.path().display()));
        if text.is_empty() {
            return;
        }
        let output = host.run(&format!("set -e\n{text}"), &indexmap::IndexMap::new());
        if output.rc != 0 {
            self.wrong(format_args!(
                "`{key}` ended with {}: {}{}",
                output.rc, output.stdout, output.stderr
            ));
        }
    }

    fn run(&mut self, kind: &str, host: &Host) {
        let folder = host.folder.path().display().to_string();
        let kind = find(kind).expect("a kind");
        let controller = tempfile::tempdir().expect("folder");
        for (name, content) in self.text["files"].as_object().into_iter().flatten() {
            let path = controller.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(&path, content.as_str().expect("text")).expect("write");
        }
        let mut place = Place::new("stage", controller.path());
        for (name, value) in self.text["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().expect("text").to_owned();
            place.environment.insert(name.clone(), (value, false));
        }
        self.script(host, "before");
        let root = node(&placed(&self.text["params"], &folder));
        let secrets: Vec<&str> = self.text["secret"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let is_secret = |given: &Node| {
            secrets
                .iter()
                .any(|name| root.get(name).is_some_and(|node| same(node, given)))
        };
        let params = Params::render(kind, &root.span, &root, |given| {
            let plain = super::trial::params(find("debug").expect("debug"), &json!({ "msg": json_of(given) }));
            let value = plain.map_err(|found| found.into_iter().next().expect("one"))?;
            Ok(Rendered {
                secret: is_secret(given),
                ..value.given["msg"].rendered.clone()
            })
        });
        let refused = match &params {
            Err(found) => words(found),
            Ok(params) => place.with(|context| words(&kind.lint(params, context))),
        };
        let wanted: Vec<&str> = self.text["refused"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        if refused
            .iter()
            .map(|text| {
                text.replace(&folder, "@")
                    .replace(&controller.path().display().to_string(), "FOLDER")
            })
            .collect::<Vec<_>>()
            != wanted
        {
            self.wrong(format_args!("refused: {refused:?}"));
        }
        let Ok(params) = params else { return };
        if !wanted.is_empty() {
            if place.with(|context| kind.action(&params, context)).is_ok() {
                self.wrong(format_args!("lint refuses what `action` takes"));
            }
            return;
        }
        let action = match place.with(|context| kind.action(&params, context)) {
            Ok(Action::Shell(action)) => action,
            Ok(_) => return self.wrong(format_args!("no shell action")),
            Err(found) => return self.wrong(format_args!("no action: {:?}", words(&found))),
        };
        if self.get("check") == "fails" {
            let probe = action.check(&host.facts).expect("a probe");
            match action.judge(&host.run(&probe.script, &probe.environment)) {
                Err(failure) if failure.message.replace(&folder, "@").contains(self.get("fails")) => {}
                Err(failure) => self.wrong(format_args!("the check failed: {}", failure.message)),
                Ok(_) => self.wrong(format_args!("the check did not fail")),
            }
            match host.apply(&*action) {
                Err(failure) if failure.message.replace(&folder, "@").contains(self.get("fails")) => {}
                _ => self.wrong(format_args!("the job did not fail as the check did")),
            }
            return self.script(host, "after");
        }
        let check = match action.check(&host.facts) {
            None => "none",
            Some(_) => match host.check(&*action) {
                Ok(Verdict::Same(result)) => {
                    if self.get("check") == "same"
                        && !includes(&result, &placed(&self.text["result"], &folder))
                        && self.text["result"].is_object()
                    {
                        self.wrong(format_args!("result of the check: {result}"));
                    }
                    "same"
                }
                Ok(Verdict::Differs { predicted, diff }) => {
                    if let Some(wanted) = self.text["diff"].as_str() {
                        let found = diff.unwrap_or_default().replace(&folder, "@");
                        if found != wanted {
                            self.wrong(format_args!("diff: {found}"));
                        }
                    }
                    let fields = predicted.as_object().into_iter().flatten();
                    for (name, _) in fields {
                        if !kind.results().contains(&name.as_str()) {
                            self.wrong(format_args!("`{name}` is predicted and is no result field"));
                        }
                    }
                    "differs"
                }
                Err(failure) => return self.wrong(format_args!("check: {}", failure.message)),
            },
        };
        let wanted = match self.get("check") {
            "" => "differs",
            other => other,
        };
        if check != wanted {
            self.wrong(format_args!("check: {check}"));
        }
        let Some(job) = action.apply(&host.facts) else {
            return self.script(host, "after");
        };
        for secret in &secrets {
            let text = params.text(secret).unwrap_or_default();
            if job.script.contains(text.trim()) {
                self.wrong(format_args!("the secret `{secret}` stands in the script"));
            }
        }
        if let Some(wanted) = self.text["script"].as_str() {
            let found = job.script.replace(&folder, "@");
            if found != wanted {
                self.wrong(format_args!("script:\n{found}"));
            }
        }
        let done = host.apply(&*action);
        if std::fs::read_dir(host.at("uploads")).expect("uploads").count() > 0 {
            self.wrong(format_args!("an upload stays on the host"));
        }
        if host.tree().iter().any(|line| line.contains("/.refit-")) {
            self.wrong(format_args!("a temporary file stays on the host"));
        }
        match (&done, self.text["fails"].as_str()) {
            (Err(failure), Some(part)) if failure.message.replace(&folder, "@").contains(part) => {
                if self.text["result"].is_object() && !includes(&failure.result, &placed(&self.text["result"], &folder))
                {
                    self.wrong(format_args!("result of the failure: {}", failure.result));
                }
            }
            (Err(failure), _) => self.wrong(format_args!("failed: {} {}", failure.message, failure.result)),
            (Ok(_), Some(_)) => self.wrong(format_args!("it did not fail")),
            (Ok(done), None) => {
                if done.changed != self.text["changed"].as_bool().unwrap_or(true) {
                    self.wrong(format_args!("changed: {}", done.changed));
                }
                if self.text["result"].is_object() && !includes(&done.result, &placed(&self.text["result"], &folder)) {
                    self.wrong(format_args!("result: {}", done.result));
                }
                for name in done.result.as_object().into_iter().flatten().map(|(name, _)| name) {
                    if !kind.results().contains(&name.as_str()) {
                        self.wrong(format_args!("`{name}` is no result field of the table"));
                    }
                }
            }
        }
        self.script(host, "after");
        if done.is_err() || self.get("again") == "changed" {
            return;
        }
        if action.check(&host.facts).is_some() && !super::trial::is_same(&host.check(&*action)) {
            self.wrong(format_args!("a second check finds a difference"));
        }
        match host.apply(&*action) {
            Ok(done) if !done.changed => {}
            Ok(_) => self.wrong(format_args!("the second job changed something")),
            Err(failure) => self.wrong(format_args!("the second job failed: {}", failure.message)),
        }
    }
}

fn same(one: &Node, other: &Node) -> bool {
    json_of(one) == json_of(other)
}

fn json_of(node: &Node) -> Json {
    use crate::yaml::Value;
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(known) => json!(known),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Str(text) => json!(text),
        Value::Seq(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(k, v)| (k.text.clone().unwrap_or_default(), json_of(v)));
            Json::Object(entries.collect())
        }
    }
}

fn cases_of(kind: &str) {
    let mut problems = String::new();
    let mut count = 0;
    let folder = root().join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("read");
        let cases: indexmap::IndexMap<String, Json> =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for (name, text) in cases {
            if text["root"] == json!(true) && !super::trial::root() {
                continue;
            }
            for host in Host::all() {
                let mut case = Case {
                    text: &text,
                    problems: String::new(),
                };
                case.run(kind, &host);
                count += 1;
                if !case.problems.is_empty() {
                    let _ = writeln!(
                        problems,
                        "{}: {name} ({}):\n{}",
                        file.display(),
                        host.shell[0],
                        case.problems
                    );
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{problems}");
    assert!(count > 0, "no case of {kind}");
}

macro_rules! kinds_with_cases {
    ($($kind:ident)*) => {
        $(#[test]
        fn $kind() {
            cases_of(stringify!($kind));
        })*

        #[test]
        fn every_folder_of_cases_is_run() {
            for entry in std::fs::read_dir(root()).expect("cases") {
                let name = entry.expect("entry").file_name().to_string_lossy().into_owned();
                assert!([$(stringify!($kind)),*].contains(&name.as_str()), "nobody runs tests/cases/{name}");
                assert!(all().iter().any(|kind| kind.name() == name));
            }
        }
    };
}

kinds_with_cases! { command shell script copy file stat }
