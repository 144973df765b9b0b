//! What a step that drives from the controller may reach, and how it ends. A check is given `Reading`, which has no
//! method that changes anything.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

use super::{Fact, Job, Output, Probe, Tunnel};
use crate::event::Segment;
use crate::id::HostName;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long something that is away is waited for; tests shorten it.
pub(crate) fn patience(usual: Duration) -> Duration {
    #[cfg(debug_assertions)]
    if let Some(seconds) = std::env::var("REFIT_TEST_PATIENCE")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        return usual.min(Duration::from_secs(seconds));
    }
    usual
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
    /// What the step works on is not there, and a step before it may be what makes it: no reason to refuse a plan.
    pub(crate) absent: bool,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            result: Value::Object(serde_json::Map::new()),
            unknown: false,
            unreachable: false,
            paused: false,
            absent: false,
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

/// What may be reached in a check.
pub(crate) trait Reading: Send + Sync {
    /// Runs a probe on the host as the step's account.
    fn probe<'a>(&'a self, probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>>;
    /// The same on another host of the run, by its inventory name.
    fn probe_on<'a>(&'a self, host: &'a str, _probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async move { Err(Failure::new(format!("{host} is no host of this run"))) })
    }
    /// Opens a tunnel to HOST:PORT as the step's host sees it, or as `via` does: another host of the inventory, which is
    /// connected where the run has not yet. A new one each time; a connection that was lost is made again.
    fn tunnel<'a>(
        &'a self,
        via: Option<&'a HostName>,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, Result<Tunnel, Failure>>;
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
    /// What an earlier step of this plan, or of this check run, will have left; None where no step said, and in a run,
    /// where everything is looked at as it is.
    fn foreseen(&self, _fact: &Fact) -> Option<Value> {
        None
    }
    /// Says what this step will leave, for the checks of later steps.
    fn foresee(&self, _fact: Fact, _value: Value) {}
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
