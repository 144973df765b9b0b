//! What a step will do on one host.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use crate::database::Database;
use crate::id::RunId;
use crate::job::{BoxFuture, Changing, Decision, Done, Facts, Failure, Job, Output, Probe, Reading};
use crate::template::{Rendered, Scope};
use crate::yaml::{Diagnostic, Node, Span};

/// What a kind may know of its surroundings: never the playbook.
pub(crate) struct Context<'a> {
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

/// What a check found.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// As it should be; the step is done without a job.
    Same(Value),
    /// A job is needed. `predicted` is the result that it will probably give.
    Differs { predicted: Value, diff: Option<String> },
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
    /// The plan looks, and `decision` says what that decides.
    fn decides(&self) -> bool {
        false
    }
    /// What the check decides for the plan; None where nothing is decided.
    fn decision(&self, _found: &Verdict) -> Option<Decision> {
        None
    }
    /// What was found, had the steps before this one left what `left` gives for a name on this host.
    fn after(&self, found: Verdict, _left: &dyn Fn(&str) -> Option<Value>) -> Verdict {
        found
    }
    /// Names on this host, and what this step will leave there.
    fn leaves(&self, _found: &Verdict) -> Vec<(String, Value)> {
        Vec::new()
    }
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
    /// The step's time is over and `apply` was dropped: ends what it left running elsewhere (a statement in a database).
    fn stop<'a>(&'a self, _host: &'a dyn Changing) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
    /// Nothing is changed by `apply` (health, http GET, pause): no intent, repeated freely.
    fn reads_only(&self) -> bool {
        false
    }
    /// The plan looks, by `decide`.
    fn decides(&self) -> bool {
        false
    }
    /// A look for the plan. What makes the step impossible is an error: the run is refused before it begins.
    fn decide<'a>(&'a self, _host: &'a dyn Reading) -> BoxFuture<'a, Result<Option<Decision>, Failure>> {
        Box::pin(async { Ok(None) })
    }
}

impl Action {
    /// The plan looks at what is there, and what it finds stands in its digest.
    pub(crate) fn decides(&self) -> bool {
        match self {
            Action::Answer(_) => false,
            Action::Shell(action) => action.decides(),
            Action::Drive(action) => action.decides(),
        }
    }
}

impl Context<'_> {
    pub(crate) fn render(&self, node: &Node) -> Result<Rendered, Diagnostic> {
        self.templates.value(node, self.scope)
    }

    /// The hosts of a pattern with their variables, `--limit` aside; None: those of the playbook's `hosts`.
    pub(crate) fn hosts(&self, pattern: Option<&str>) -> Result<Vec<(String, Scope)>, String> {
        let peers = self.scope.peers.as_ref().ok_or("no other host is known here")?;
        let names = peers.select(pattern)?;
        Ok(names
            .into_iter()
            .filter_map(|name| peers.scope(&name).map(|scope| (name, scope)))
            .collect())
    }

    /// Renders a file's text (the template kind). `at` is where the file is named.
    pub(crate) fn render_file(&self, path: &Path, at: &Span) -> Result<Rendered, Diagnostic> {
        self.templates.file(path, at, self.scope)
    }
}
