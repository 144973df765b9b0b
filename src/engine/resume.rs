//! A run taken up again from its journal, an unknown unit decided by a person, a run closed.

use std::sync::Arc;

use crate::connection::{Hub, Target};
use crate::event::{Digests, Event, Fate, Outcome, RunBegan, RunEnd, RunPhase, RunState, UnitStatus};
use crate::id::{RunId, Unit};
use crate::journal::{FindError, Journal, JournalError, Message, Reader, this_controller};
use crate::plan::{self, Options, SecretUse};

/// The history of a run that is taken up again.
#[derive(Clone)]
pub(crate) struct Earlier {
    pub(crate) state: RunState,
    /// A changed recipe is fine (`--accept`).
    pub(crate) accept: bool,
}

impl Earlier {
    fn before(&self) -> Digests {
        self.state.began.as_ref().map(|b| b.recipe.clone()).unwrap_or_default()
    }

    pub(crate) fn changed(&self, now: &Digests) -> bool {
        self.before().parts != now.parts
    }

    /// Why it cannot go on as it is.
    pub(crate) fn refusal(&self, now: &Digests) -> Option<String> {
        if self.accept || !self.changed(now) {
            return None;
        }
        let lines = plan::difference(&self.before(), now);
        Some(format!("the recipe of this run changed: {}", lines.join("; ")))
    }

    /// Hosts that failed are tried again from the stage in which they failed.
    pub(crate) fn retries(&self) -> Vec<Event> {
        let RunPhase::Ended(RunEnd::Failed, _) = self.state.phase else {
            return Vec::new();
        };
        self.state
            .hosts
            .iter()
            .filter_map(|(host, known)| {
                let (stage, fate, _) = known.fate.as_ref()?;
                (*fate != Fate::Excluded).then(|| Event::HostRetried {
                    host: host.clone(),
                    stage: stage.clone(),
                })
            })
            .collect()
    }
}

/// What `refit resume` finds.
pub(crate) enum Reopened {
    Nothing(String),
    Refused(String),
    Run(Box<(Options, Earlier)>),
}

/// Finds the run to take up: by prefix, or the one unfinished run.
pub(crate) async fn reopen(journal: &Reader, prefix: Option<&str>, accept: bool) -> Result<Reopened, JournalError> {
    let run = match prefix {
        Some(prefix) => match journal.find(prefix).await {
            Ok(run) => run,
            Err(FindError::Journal(e)) => return Err(e),
            Err(e) => return Ok(Reopened::Refused(e.to_string())),
        },
        None => {
            let unfinished = journal.unfinished().await?;
            match unfinished.as_slice() {
                [] => return Ok(Reopened::Nothing("no unfinished run".into())),
                [one] => one.run.clone(),
                several => {
                    let lines: Vec<String> = several
                        .iter()
                        .map(|run| format!("  {}  {}  {}", run.run, run.state, run.name))
                        .collect();
                    return Ok(Reopened::Refused(format!(
                        "several runs are unfinished; name one:\n{}",
                        lines.join("\n")
                    )));
                }
            }
        }
    };
    let records = journal.records(&run).await?;
    let state = RunState::fold(run.clone(), &records);
    let Some(began) = state.began.clone() else {
        return Ok(Reopened::Refused(format!(
            "the journal holds no beginning of run {run}"
        )));
    };
    if state.rolling_back.is_some() && state.phase != RunPhase::Closed {
        return Ok(Reopened::Refused(format!(
            "run {run} is being taken back; go on with `refit rollback {run}`"
        )));
    }
    match state.phase {
        RunPhase::Ended(RunEnd::Done, _) => return Ok(Reopened::Nothing(format!("run {run} is done: nothing to do"))),
        RunPhase::Ended(RunEnd::Refused, _) => {
            return Ok(Reopened::Refused(format!(
                "run {run} was refused before anything was touched; start a new one"
            )));
        }
        RunPhase::Closed => return Ok(Reopened::Refused(format!("run {run} is closed; start a new one"))),
        RunPhase::Running | RunPhase::Ended(_, _) => {}
    }
    let options = options(began);
    Ok(Reopened::Run(Box::new((options, Earlier { state, accept }))))
}

/// Finds the run that `refit rollback` takes back.
pub(crate) async fn to_take_back(journal: &Reader, prefix: &str, accept: bool) -> Result<Reopened, JournalError> {
    let run = match journal.find(prefix).await {
        Ok(run) => run,
        Err(FindError::Journal(e)) => return Err(e),
        Err(e) => return Ok(Reopened::Refused(e.to_string())),
    };
    let state = RunState::fold(run.clone(), &journal.records(&run).await?);
    let refused = |text: String| Ok(Reopened::Refused(text));
    let Some(began) = state.began.clone() else {
        return refused(format!("the journal holds no beginning of run {run}"));
    };
    match state.phase {
        RunPhase::Closed if state.rolling_back.is_some() => {
            return Ok(Reopened::Nothing(format!("run {run} was taken back: nothing to do")));
        }
        RunPhase::Closed => return refused(format!("run {run} is closed; what it did stays")),
        RunPhase::Ended(RunEnd::Refused, _) => return refused(format!("run {run} touched nothing")),
        RunPhase::Running if state.controller.as_ref().is_some_and(crate::journal::lives) => {
            return refused(format!(
                "run {run} is going on; stop it first: Ctrl-C in its terminal, or SIGTERM to its controller"
            ));
        }
        RunPhase::Running | RunPhase::Ended(_, _) => {}
    }
    let unknown = state.units.iter().find(|(_, known)| {
        let outcome = match &known.status {
            UnitStatus::Ended { outcome, .. } => Some(*outcome),
            _ => None,
        };
        outcome == Some(Outcome::Unknown)
    });
    if let Some((unit, _)) = unknown {
        return refused(format!(
            "{unit} is unknown; decide it first: refit resolve {run} {unit} --as done|not-done --reason R"
        ));
    }
    // Taking back a run below another one would put back what the later one replaced, and not what stands there.
    for later in journal.runs().await? {
        let here = later.hosts.iter().any(|host| state.hosts.contains_key(host));
        if !here || later.run == run || later.started <= state.started.unwrap_or_default() {
            continue;
        }
        let other = RunState::fold(later.run.clone(), &journal.records(&later.run).await?);
        let touched = other.hosts.values().any(|host| host.touched);
        let taken_back = other.rolling_back.is_some() && other.phase == RunPhase::Closed;
        if touched && !taken_back {
            return refused(format!(
                "run {} ({}) was on these hosts later; take that back first",
                later.run, later.name
            ));
        }
    }
    Ok(Reopened::Run(Box::new((options(began), Earlier { state, accept }))))
}

/// What the run was started with.
fn options(began: RunBegan) -> Options {
    Options {
        playbook: began.playbook,
        sources: began.sources,
        extra: began.extra,
        limit: began.limit,
        tags: began.tags,
        skip_tags: began.skip_tags,
        folder: began.folder,
        forks: began.forks,
        exclude: began
            .excluded
            .iter()
            .map(|(h, r)| (h.as_str().to_owned(), r.clone()))
            .collect(),
        schema: began.schema,
        temporal: false,
        ..Options::default()
    }
}

/// A unit by the name that the recap prints.
fn unit_named<'s>(state: &'s RunState, name: &str) -> Result<&'s Unit, String> {
    let wanted = state.units.keys().find(|unit| unit.to_string() == name);
    wanted.ok_or_else(|| {
        let names: Vec<String> = state.units.keys().map(Unit::to_string).collect();
        match crate::yaml::did_you_mean(name, names.iter().map(String::as_str)) {
            Some(near) => format!("run {} has no unit `{name}`; did you mean `{near}`?", state.run),
            None => format!(
                "run {} has no unit `{name}`; `refit runs {}` lists them",
                state.run, state.run
            ),
        }
    })
}

/// Records a person's decision about an unknown unit. Gives what to say, or why it is refused.
pub(crate) async fn resolve(
    journal: &Journal,
    prefix: &str,
    unit: &str,
    done: bool,
    reason: &str,
) -> Result<Result<String, String>, JournalError> {
    let run = match journal.find(prefix).await {
        Ok(run) => run,
        Err(FindError::Journal(e)) => return Err(e),
        Err(e) => return Ok(Err(e.to_string())),
    };
    let state = RunState::fold(run.clone(), &journal.records(&run).await?);
    let unit = match unit_named(&state, unit) {
        Ok(unit) => unit.clone(),
        Err(text) => return Ok(Err(text)),
    };
    if !matches!(state.phase, RunPhase::Ended(_, _)) && state.phase != RunPhase::Running {
        return Ok(Err(format!("run {run} is closed")));
    }
    let status = state.units.get(&unit).map(|known| known.status.clone());
    let unknown = matches!(
        status,
        Some(UnitStatus::Ended {
            outcome: Outcome::Unknown,
            ..
        })
    );
    if !unknown {
        let is = match status {
            Some(UnitStatus::Ended { outcome, .. }) => outcome.word().to_owned(),
            Some(UnitStatus::Decided(_)) => "decided already".to_owned(),
            _ => "not ended; `refit resume` looks for it on its host first".to_owned(),
        };
        return Ok(Err(format!("{unit} is not unknown: it is {is}")));
    }
    let controller = this_controller();
    let epoch = journal.attach(&run, &controller, 0).await?;
    journal
        .append(
            &run,
            epoch,
            vec![Event::Decision {
                unit: unit.clone(),
                done,
                who: controller.user,
                reason: reason.to_owned(),
            }],
        )
        .await?;
    let word = if done { "done" } else { "not done" };
    Ok(Ok(format!("{unit} is {word}; go on with `refit resume {run}`")))
}

/// What `refit abort` comes to.
pub(crate) enum Aborted {
    /// What to say, a line each.
    Closed(Vec<String>),
    Refused(String),
    /// Hosts are left open: a session puts back what its steps brought about, then closes the run.
    LeftOpen(Box<(Options, Earlier)>),
}

/// Closes a run and frees its hosts.
pub(crate) async fn abort(journal: &Journal, prefix: &str, reason: &str) -> Result<Aborted, JournalError> {
    let run = match journal.find(prefix).await {
        Ok(run) => run,
        Err(FindError::Journal(e)) => return Err(e),
        Err(e) => return Ok(Aborted::Refused(e.to_string())),
    };
    let state = RunState::fold(run.clone(), &journal.records(&run).await?);
    match state.phase {
        RunPhase::Closed => return Ok(Aborted::Refused(format!("run {run} is closed already"))),
        RunPhase::Ended(RunEnd::Done | RunEnd::Refused, _) => {
            return Ok(Aborted::Refused(format!(
                "run {run} has ended; there is nothing to abort"
            )));
        }
        RunPhase::Running | RunPhase::Ended(_, _) => {}
    }
    if state.phase == RunPhase::Running && state.controller.as_ref().is_some_and(crate::journal::lives) {
        return stop_living(journal, &run, &state, reason).await;
    }
    close(journal, &run, state, reason).await
}

/// Nobody drives the run: it is closed from here.
async fn close(journal: &Journal, run: &RunId, state: RunState, reason: &str) -> Result<Aborted, JournalError> {
    if let (false, Some(began)) = (state.left_open.is_empty(), state.began.clone()) {
        let earlier = Earlier { state, accept: true };
        return Ok(Aborted::LeftOpen(Box::new((options(began), earlier))));
    }
    let controller = this_controller();
    let epoch = journal.attach(run, &controller, 0).await?;
    let mut lines = free(run, epoch, &state).await;
    let closed = Event::RunClosed {
        who: controller.user,
        reason: reason.to_owned(),
    };
    journal.append(run, epoch, vec![closed]).await?;
    lines.push(format!("run {run} is closed"));
    Ok(Aborted::Closed(lines))
}

/// Asks a living controller to stop after what is running, and closes the run when it has.
async fn stop_living(journal: &Journal, run: &RunId, state: &RunState, reason: &str) -> Result<Aborted, JournalError> {
    let message = Message::Abort {
        who: this_controller().user,
        reason: reason.to_owned(),
    };
    journal.post(run, message).await?;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let now = RunState::fold(run.clone(), &journal.records(run).await?);
        if now.phase == RunPhase::Closed {
            return Ok(Aborted::Closed(vec![
                "its controller stopped after what was running".to_owned(),
                format!("run {run} is closed"),
            ]));
        }
        if state.controller.as_ref().is_some_and(crate::journal::lives) {
            continue;
        }
        // It was killed, or ended by itself, before it read the message.
        if matches!(now.phase, RunPhase::Ended(RunEnd::Done | RunEnd::Refused, _)) {
            let text = format!("run {run} has ended by itself; there is nothing to abort");
            return Ok(Aborted::Refused(text));
        }
        return close(journal, run, now, reason).await;
    }
}

/// Takes the run's lock off every host that answers; names those that do not.
async fn free(run: &RunId, epoch: i64, state: &RunState) -> Vec<String> {
    let Some(began) = &state.began else { return Vec::new() };
    let options = Options {
        playbook: began.playbook.clone(),
        sources: began.sources.clone(),
        extra: began.extra.clone(),
        folder: began.folder.clone(),
        ..Options::default()
    };
    let failed = |text: String| vec![format!("the locks on its hosts stay: {text}")];
    let loaded = match plan::load(options, run.clone(), [0; 32], SecretUse::Read) {
        Ok(loaded) => Arc::new(loaded),
        Err(e) => return failed(super::steps::in_one_line(&e)),
    };
    let hub = match Hub::new(loaded.redactor.clone()) {
        Ok(hub) => hub,
        Err(e) => return failed(e.text),
    };
    let checked = match plan::check(&loaded) {
        Ok(checked) => checked,
        Err(e) => return failed(super::steps::in_one_line(&e)),
    };
    let targets = match super::survey::targets(&loaded, &checked) {
        Ok((targets, _)) => targets,
        Err(e) => return failed(super::steps::in_one_line(&e)),
    };
    let mut lines = Vec::new();
    for (host, target) in targets {
        if state.hosts.get(&host).is_none_or(|known| known.identity.is_none()) {
            continue;
        }
        let users = checked.accounts.get(&host).cloned().unwrap_or_default();
        if let Err(text) = unlock(&hub, &target, &users, run, epoch).await {
            lines.push(format!("{host}: its lock stays: {text}"));
        }
    }
    hub.close().await;
    lines
}

async fn unlock(
    hub: &Hub,
    target: &Target,
    users: &std::collections::BTreeSet<Option<String>>,
    run: &RunId,
    epoch: i64,
) -> Result<(), String> {
    let (link, look, holder, others) = super::survey::reach(hub, target, users).await?;
    if look.holder.as_ref().is_some_and(|holder| holder.run == *run) {
        let epoch = epoch.max(look.fence);
        link.lock(&holder, &others, run, epoch, &super::host::controller_name(), false)
            .await
            .map_err(|e| e.to_string())?;
        link.unlock().await.map_err(|e| e.text)?;
    }
    link.close().await;
    Ok(())
}
