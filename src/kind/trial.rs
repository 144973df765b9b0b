//! For tests: parameters without a file, and a host that is a folder.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{
    Action, Context, Done, Facts, Failure, Job, Kind, Output, Params, Probe, ShellAction, UploadFrom, Verdict,
};
use crate::database::Database;
use crate::id::RunId;
use crate::secret::Redactor;
use crate::template::{Rendered, Scope, Templates};
use crate::yaml::{Diagnostic, Diagnostics, Node, Source, Span, Style, Value};

/// A node as a YAML file would give it.
pub(crate) fn node(value: &Json) -> Node {
    let source = Source::new("play.yml", value.to_string());
    let span = Span::new(&source, 0, 1);
    let (value, text) = match value {
        Json::Null => (Value::Null, None),
        Json::Bool(known) => (Value::Bool(*known), Some(known.to_string())),
        Json::Number(number) => (
            number
                .as_i64()
                .map_or(Value::Float(number.as_f64().unwrap_or(0.0)), Value::Int),
            Some(number.to_string()),
        ),
        Json::String(text) => (Value::Str(text.clone()), Some(text.clone())),
        Json::Array(items) => (Value::Seq(items.iter().map(node).collect()), None),
        Json::Object(entries) => (
            Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| (node(&Json::String(key.clone())), node(value)))
                    .collect(),
            ),
            None,
        ),
    };
    Node {
        span,
        value,
        text,
        style: Style::Plain,
        tag: None,
    }
}

pub(crate) fn params(kind: &dyn Kind, given: &Json) -> Result<Params, Diagnostics> {
    let root = node(given);
    let plain = |node: &Node| -> Result<Rendered, Diagnostic> {
        Ok(Rendered {
            value: json(node),
            secret: false,
            pending: Vec::new(),
            omit: false,
        })
    };
    Params::render(kind, &root.span, &root, plain)
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(known) => Json::Bool(*known),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Str(text) => Json::String(text.clone()),
        Value::Seq(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.text.clone().unwrap_or_default(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// Where a step stands.
pub(crate) struct Place {
    pub(crate) run: RunId,
    pub(crate) stage: String,
    pub(crate) folder: PathBuf,
    pub(crate) environment: IndexMap<String, (String, bool)>,
    pub(crate) quiet: bool,
    pub(crate) scope: Scope,
    pub(crate) databases: IndexMap<String, Arc<Database>>,
}

impl Place {
    pub(crate) fn new(stage: &str, folder: &Path) -> Place {
        Place {
            run: RunId::stored("run-1"),
            stage: stage.to_owned(),
            folder: folder.to_owned(),
            environment: IndexMap::new(),
            quiet: false,
            scope: Scope::default(),
            databases: IndexMap::new(),
        }
    }

    pub(crate) fn with<T>(&self, ask: impl FnOnce(&Context<'_>) -> T) -> T {
        let database_names: Vec<String> = self.databases.keys().cloned().collect();
        ask(&Context {
            run: &self.run,
            stage: &self.stage,
            folder: &self.folder,
            scope: &self.scope,
            databases: &self.databases,
            database_names: &database_names,
            templates: &Templates::new(&self.folder, Redactor::default()),
            environment: &self.environment,
            quiet: self.quiet,
            diff: true,
        })
    }

    pub(crate) fn lint(&self, kind: &dyn Kind, given: &Json) -> Vec<String> {
        let messages = |found: Diagnostics| {
            found
                .into_iter()
                .map(|one| [vec![one.message], one.help].concat().join(": "))
                .collect()
        };
        match params(kind, given) {
            Ok(params) => messages(self.with(|context| kind.lint(&params, context))),
            Err(found) => messages(found),
        }
    }

    pub(crate) fn action(&self, kind: &dyn Kind, given: &Json) -> Action {
        let params = params(kind, given).expect("parameters");
        self.with(|context| kind.action(&params, context)).expect("action")
    }

    pub(crate) fn shell(&self, kind: &dyn Kind, given: &Json) -> Box<dyn ShellAction> {
        match self.action(kind, given) {
            Action::Shell(action) => action,
            _ => panic!("no shell action"),
        }
    }
}

/// A folder that stands for a host, and a shell to run scripts with.
pub(crate) struct Host {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) facts: Facts,
    /// What stands before the script's file: `sh`, or `busybox sh`.
    pub(crate) shell: Vec<String>,
    /// Before everything else in the script.
    pub(crate) before: String,
    pub(crate) path: String,
}

impl Host {
    pub(crate) fn new() -> Host {
        let folder = tempfile::Builder::new()
            .prefix("refit-host-")
            .tempdir()
            .expect("folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("mode");
        let state = folder.path().join("state");
        std::fs::create_dir(&state).expect("folder");
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o711)).expect("mode");
        let facts = Facts {
            state_dir: state.display().to_string(),
            ..Facts::default()
        };
        Host {
            facts,
            folder,
            shell: vec!["/bin/sh".into()],
            before: String::new(),
            path: std::env::var("PATH").unwrap_or_default(),
        }
    }

    /// The shells of this machine: `/bin/sh`, and busybox with its own programs where it is installed.
    pub(crate) fn all() -> Vec<Host> {
        let mut hosts = vec![Host::new()];
        let host = Host::new();
        let programs = host.folder.path().join("programs");
        std::fs::create_dir(&programs).expect("folder");
        let installed = Command::new("busybox")
            .args(["--install", "-s"])
            .arg(&programs)
            .output()
            .is_ok_and(|output| output.status.success());
        if installed {
            let shell = programs.join("sh").display().to_string();
            hosts.push(Host {
                shell: vec![shell],
                path: programs.display().to_string(),
                ..host
            });
        } else {
            eprintln!("skipped: busybox is not installed");
        }
        hosts
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn text(&self, path: &str) -> String {
        self.at(path).display().to_string()
    }

    pub(crate) fn write(&self, path: &str, content: &str, mode: u32) -> String {
        let file = self.at(path);
        std::fs::create_dir_all(file.parent().expect("parent")).expect("folder");
        std::fs::write(&file, content).expect("write");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("mode");
        file.display().to_string()
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap_or_else(|error| format!("<{error}>"))
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        std::fs::metadata(self.at(path)).expect("metadata").permissions().mode() & 0o7777
    }

    pub(crate) fn run(&self, script: &str, environment: &IndexMap<String, String>) -> Output {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), format!("{}{script}", self.before)).expect("write");
        let output = Command::new(&self.shell[0])
            .args(&self.shell[1..])
            .arg(file.path())
            .env_clear()
            .env("PATH", &self.path)
            .env("REFIT_STATE", &self.facts.state_dir)
            .env("REFIT_UPLOADS", self.at("uploads"))
            .env("REFIT_JOB", "run-1.0123456789abcdef.1")
            .envs(environment)
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .expect("sh");
        Output {
            rc: output
                .status
                .code()
                .or_else(|| output.status.signal().map(|signal| 128 + signal))
                .unwrap_or(255),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn check(&self, action: &dyn ShellAction) -> Result<Verdict, Failure> {
        let Probe {
            script, environment, ..
        } = action.check(&self.facts).expect("a probe");
        let before = self.tree();
        let output = self.run(&script, &environment);
        assert_eq!(self.tree(), before, "a check changed the host");
        assert_eq!(output.stderr, "", "a check complains: {}", output.stdout);
        action.judge(&output)
    }

    pub(crate) fn apply(&self, action: &dyn ShellAction) -> Result<Done, Failure> {
        let job = action.apply(&self.facts).expect("a job");
        self.upload(&job);
        action.parse(&self.run(&job.script, &job.environment))
    }

    pub(crate) fn upload(&self, job: &Job) {
        std::fs::create_dir_all(self.at("uploads")).expect("folder");
        for upload in &job.uploads {
            let to = self.at("uploads").join(&upload.sha256);
            match &upload.from {
                UploadFrom::File(from) => std::fs::write(&to, std::fs::read(from).expect("read")).expect("write"),
                UploadFrom::Bytes(bytes) => std::fs::write(&to, bytes.as_slice()).expect("write"),
            }
        }
    }

    /// Every name below the folder with what is behind it.
    pub(crate) fn tree(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("folder") {
                let path = entry.expect("entry").path();
                let meta = std::fs::symlink_metadata(&path).expect("metadata");
                let what = if meta.is_symlink() {
                    format!("{:?}", std::fs::read_link(&path))
                } else {
                    format!(
                        "{:o} {} {:?}",
                        meta.permissions().mode(),
                        meta.len(),
                        meta.modified().ok()
                    )
                };
                all.push(format!("{} {what}", path.display()));
                if meta.is_dir() {
                    folders.push(path);
                }
            }
        }
        all.sort();
        all
    }
}

pub(crate) fn is_same(verdict: &Result<Verdict, Failure>) -> bool {
    matches!(verdict, Ok(Verdict::Same(_)))
}

/// The diff of a check that says that something differs.
pub(crate) fn diff(verdict: Result<Verdict, Failure>) -> String {
    match verdict {
        Ok(Verdict::Differs { diff, .. }) => diff.unwrap_or_default(),
        Ok(Verdict::Same(result)) => panic!("the same: {result}"),
        Err(failure) => panic!("{}", failure.message),
    }
}

pub(crate) fn root() -> bool {
    rustix::process::geteuid().is_root()
}
