//! What a step will do on one host.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::database::Database;
use crate::id::{HostName, RunId};
use crate::template::{Rendered, Scope};
use crate::yaml::{Diagnostic, Node, Span};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a kind may know of its surroundings: never the playbook.
pub(crate) struct Context<'a> {
    pub(crate) host: &'a HostName,
    pub(crate) run: &'a RunId,
    /// The path of the stage as in `Unit`: what `back` of a swap undoes is what this stage did.
    pub(crate) stage: &'a str,
    /// The folder that relative controller paths of this step start from.
    pub(crate) folder: &'a Path,
    pub(crate) scope: &'a Scope,
    /// The playbook's databases, decoded for this host; an entry whose parameters are pending is absent.
    pub(crate) databases: &'a IndexMap<String, Arc<Database>>,
    /// Names of all databases of the playbook, for did-you-mean.
    pub(crate) database_names: &'a [String],
    /// Renders a node, an expression, or the text of a file with this host's variables.
    pub(crate) templates: &'a crate::template::Templates,
    /// Variables of the process (`environment`), rendered; a value is secret where the flag is set.
    pub(crate) environment: &'a IndexMap<String, (String, bool)>,
    /// `no_log`, or a secret in the parameters: no output, no diff.
    pub(crate) quiet: bool,
    /// `--diff`, or check mode: diffs are wanted.
    pub(crate) diff: bool,
}

/// What a host is, read in the first frame of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) uid: u32,
    pub(crate) user: String,
    pub(crate) home: String,
    /// `uname -s`, `uname -m`, `uname -r`.
    pub(crate) system: String,
    pub(crate) machine: String,
    pub(crate) kernel: String,
    /// ID and VERSION_ID of os-release; empty where there is none.
    pub(crate) os: String,
    pub(crate) os_version: String,
    /// PID 1 is systemd.
    pub(crate) systemd: bool,
    pub(crate) boot_id: String,
    /// Seconds since 1970 when the frame ran, and the controller's at the same moment.
    pub(crate) clock: i64,
    pub(crate) controller_clock: i64,
    /// Absolute; for the account that holds the lock.
    pub(crate) state_dir: String,
    /// Programs that were looked for and found.
    pub(crate) programs: Vec<String>,
}

/// A script that only reads. It runs in a subshell of the channel's `/bin/sh` with stdin closed.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) script: String,
    /// Exported to it and to nothing else; values may be secret.
    pub(crate) environment: IndexMap<String, String>,
    /// Default 30 s.
    pub(crate) timeout: Option<Duration>,
}

impl Probe {
    pub(crate) fn new(script: impl Into<String>) -> Probe {
        Probe {
            script: script.into(),
            environment: IndexMap::new(),
            timeout: None,
        }
    }
}

/// A script that changes the host: run once as a job, whatever breaks.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Runs under `/bin/sh` with cwd `/` unless it changes it. Kept on the host until its result is in the journal, so
    /// it must hold no secret: those go into `environment`. `$REFIT_STATE` is the account's state folder,
    /// `$REFIT_UPLOADS` the folder of uploads, `$REFIT_JOB` the job's id.
    pub(crate) script: String,
    pub(crate) environment: IndexMap<String, String>,
    /// Sent before the job starts, to `$REFIT_UPLOADS/<sha256>`; the script moves or copies them and removes them.
    pub(crate) uploads: Vec<Upload>,
    pub(crate) timeout: Option<Duration>,
}

impl Job {
    pub(crate) fn new(script: impl Into<String>) -> Job {
        Job {
            script: script.into(),
            environment: IndexMap::new(),
            uploads: Vec::new(),
            timeout: None,
        }
    }
}

/// A file that goes to the host.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// Lower-case hex; the file's name in `$REFIT_UPLOADS`.
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) from: UploadFrom,
}

#[derive(Clone, Debug)]
pub(crate) enum UploadFrom {
    File(PathBuf),
    /// May hold secrets.
    Bytes(Arc<Vec<u8>>),
}

/// What a script printed. Not redacted yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    /// Above 128: 128 + the signal.
    pub(crate) rc: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What a check found.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// As it should be; the step is done without a job.
    Same(Value),
    /// A job is needed. `predicted` is the result that it will probably give.
    Differs { predicted: Value, diff: Option<String> },
}

/// What was done. `result` is a mapping with the kind's result fields; the engine adds `changed failed skipped`.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) changed: bool,
    pub(crate) result: Value,
    pub(crate) diff: Option<String>,
    /// For a person: debug's text, "waited 12 s".
    pub(crate) message: Option<String>,
}

/// What went wrong, in the words that a person reads.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// Result fields as far as there are any (`rc`, `stderr` …).
    pub(crate) result: Value,
    /// The effect is not known: the unit becomes *unknown* and the run stops there.
    pub(crate) unknown: bool,
    /// The host did not answer.
    pub(crate) unreachable: bool,
    /// Nothing went wrong, but a person is needed and none is there (`pause` without a terminal): the run is paused
    /// with exit 6 and the unit stays as it was, to be taken up by `resume`.
    pub(crate) paused: bool,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            result: Value::Object(serde_json::Map::new()),
            unknown: false,
            unreachable: false,
            paused: false,
        }
    }

    pub(crate) fn with(self, result: Value) -> Failure {
        Failure { result, ..self }
    }

    /// A person is needed and none is there.
    pub(crate) fn paused(message: impl Into<String>) -> Failure {
        Failure {
            paused: true,
            ..Failure::new(message)
        }
    }
}

/// What a step does on a host.
pub(crate) enum Action {
    /// Known without asking anybody: set, debug, assert, fail. Made when the step's turn comes: `Kind::action` is
    /// called then, with the variables of that moment.
    Answer(Result<Done, Failure>),
    Shell(Box<dyn ShellAction>),
    Drive(Box<dyn DriveAction>),
}

/// A kind that works through the shell.
pub(crate) trait ShellAction: Send + Sync {
    /// What looks at the host; None where there is nothing to look at and the job always runs (`command`).
    fn check(&self, facts: &Facts) -> Option<Probe>;
    /// What the check's output says. Not called where `check` gave None.
    fn judge(&self, output: &Output) -> Result<Verdict, Failure>;
    /// What the check would predict where there is no check.
    fn predicted(&self) -> Value {
        Value::Object(serde_json::Map::new())
    }
    /// The job. It looks again by itself and changes only what differs ("ensure"), since an earlier step of the same
    /// frame may have changed what the check saw. None for kinds that only read: `judge` gave the result.
    fn apply(&self, facts: &Facts) -> Option<Job>;
    /// What the job's output says.
    fn parse(&self, output: &Output) -> Result<Done, Failure>;
}

/// A kind that drives from the controller: schema, health, http, pause.
pub(crate) trait DriveAction: Send + Sync {
    fn check<'a>(&'a self, host: &'a dyn Reading) -> BoxFuture<'a, Result<Verdict, Failure>>;
    fn apply<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Done, Failure>>;
    /// After a crash: what became of an `apply` whose intent is in the journal and whose result is not.
    /// `Ok(None)`: nothing was done, or it is safe to apply again. Default: unknown.
    fn settle<'a>(&'a self, _host: &'a dyn Changing) -> BoxFuture<'a, Result<Option<Done>, Failure>> {
        Box::pin(async {
            Err(Failure {
                unknown: true,
                ..Failure::new("the controller died in the middle of it")
            })
        })
    }
    /// Nothing is changed by `apply` (health, http GET, pause): no intent, repeated freely.
    fn reads_only(&self) -> bool {
        false
    }
    /// The longest that `apply` may take by its own limits, for the plan.
    fn limit(&self) -> Option<Duration> {
        None
    }
}

/// What may be reached in a check.
pub(crate) trait Reading: Send + Sync {
    fn facts(&self) -> &Facts;
    /// Runs a probe on the host as the step's account.
    fn probe<'a>(&'a self, probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>>;
    /// Shows what is waited for, the value seen last and the time left. Not journalled.
    fn progress(&self, text: &str);
    /// Resolves when no more waiting is wanted (the second Ctrl-C).
    fn cancelled(&self) -> BoxFuture<'_, ()>;
    /// Can a person be asked?
    fn terminal(&self) -> bool;
    /// Asks the person at the terminal for one line; `hidden`: what is typed is not shown. Where there is no terminal
    /// the failure is `paused`.
    fn ask<'a>(&'a self, prompt: &'a str, _hidden: bool) -> BoxFuture<'a, Result<String, Failure>> {
        Box::pin(async move { Err(Failure::paused(format!("waiting for a person: {prompt}"))) })
    }
}

/// What a step that changes something may reach as well.
pub(crate) trait Changing: Reading {
    /// Runs a job of its own under the unit's id and this suffix (`[a-z0-9-]+`), at most once over all restarts: a job
    /// that ran before is adopted and its output given again.
    fn job<'a>(&'a self, suffix: &'a str, job: &'a Job) -> BoxFuture<'a, Result<Output, Failure>>;
    /// Commits the intent or the end of a segment to the journal before it returns.
    fn record<'a>(&'a self, segment: Segment) -> BoxFuture<'a, Result<(), Failure>>;
    /// Segments of this unit, of earlier attempts too, in the order of the journal.
    fn segments(&self) -> Vec<Segment>;
    /// The job id of the unit, for tags such as `application_name=refit:<job>`.
    fn tag(&self) -> &str;
    fn reading(&self) -> &dyn Reading;
}

/// A part of a step that takes effect as a whole, or not at all: a schema version's transaction or single statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// `1.13/2`: version and index.
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) state: SegmentState,
    /// For a person.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SegmentState {
    Intent,
    Done,
}

impl Context<'_> {
    pub(crate) fn render(&self, node: &Node) -> Result<Rendered, Diagnostic> {
        self.templates.value(node, self.scope)
    }

    /// Renders a file's text (the template kind). `at` is where the file is named.
    pub(crate) fn render_file(&self, path: &Path, at: &Span) -> Result<Rendered, Diagnostic> {
        self.templates.file(path, at, self.scope)
    }
}
