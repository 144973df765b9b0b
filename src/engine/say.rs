//! What a person tells a run from another terminal: hold, go, exclude a host. Recorded with the reason.

use std::time::Duration;

use super::course::exclusion;
use crate::event::{Event, Fate, RunEnd, RunPhase, RunState};
use crate::id::{HostName, RunId};
use crate::journal::{FindError, Journal, JournalError, Message, this_controller};

pub(crate) enum Saying {
    /// No further batch or stage begins.
    Hold,
    Go,
    /// This host takes no further stages; what it is in the middle of, it ends.
    Exclude(String),
}

/// Tells a run's controller, or its journal where no controller drives it. Gives what to say when it is recorded, or
/// why it is refused.
pub(crate) async fn say(
    journal: &Journal,
    prefix: &str,
    saying: &Saying,
    reason: &str,
) -> Result<Result<String, String>, JournalError> {
    let run = match journal.find(prefix).await {
        Ok(run) => run,
        Err(FindError::Journal(e)) => return Err(e),
        Err(e) => return Ok(Err(e.to_string())),
    };
    let mut posted = false;
    loop {
        let state = RunState::fold(run.clone(), &journal.records(&run).await?);
        if posted && let Some(done) = recorded(&state, saying) {
            return Ok(Ok(done));
        }
        let host = match legal(&state, saying) {
            Ok(host) => host,
            Err(why) => return Ok(Err(why)),
        };
        if driven(&state) {
            if !posted {
                journal.post(&run, message(saying, host, reason)).await?;
                posted = true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        if let Saying::Hold = saying {
            return Ok(Err(format!(
                "nobody drives run {run} now: nothing of it begins before `refit resume {run}`"
            )));
        }
        return write(journal, &run, message(saying, host, reason)).await;
    }
}

fn driven(state: &RunState) -> bool {
    state.phase == RunPhase::Running && state.controller.as_ref().is_some_and(crate::journal::lives)
}

/// The host that is named, or why this cannot be said to a run that stands there.
fn legal(state: &RunState, saying: &Saying) -> Result<Option<HostName>, String> {
    let run = &state.run;
    match state.phase {
        RunPhase::Closed => return Err(format!("run {run} is closed")),
        RunPhase::Ended(RunEnd::Done | RunEnd::Refused, _) => return Err(format!("run {run} is over")),
        RunPhase::Running | RunPhase::Ended(_, _) => {}
    }
    let name = match (saying, &state.held) {
        (Saying::Hold, Some((who, reason))) => return Err(format!("run {run} is held already, by {who}: {reason}")),
        (Saying::Go, None) => return Err(format!("run {run} is not held")),
        (Saying::Hold | Saying::Go, _) => return Ok(None),
        (Saying::Exclude(name), _) => name,
    };
    let known = state.hosts.iter().find(|(host, _)| host.as_str() == name);
    let Some((host, known)) = known else {
        let names: Vec<&str> = state.hosts.keys().map(HostName::as_str).collect();
        let near = crate::yaml::did_you_mean(name, names.iter().copied());
        let hint = near.map_or_else(
            || format!("it has {}", names.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(format!("run {run} has no host `{name}`; {hint}"));
    };
    match &known.fate {
        Some((_, Fate::Excluded, reason)) => Err(format!("{host} is excluded already: {reason}")),
        _ => Ok(Some(host.clone())),
    }
}

/// Some: the controller wrote down what it was told.
fn recorded(state: &RunState, saying: &Saying) -> Option<String> {
    let run = &state.run;
    match saying {
        Saying::Hold => state.held.as_ref().map(|_| {
            format!("run {run} is held: what runs goes on, no further batch or stage begins; `refit go {run}` lets it")
        }),
        Saying::Go => state.held.is_none().then(|| format!("run {run} goes on")),
        Saying::Exclude(name) => state.hosts.iter().find_map(|(host, known)| {
            let excluded = matches!(known.fate, Some((_, Fate::Excluded, _)));
            (host.as_str() == name && excluded)
                .then(|| format!("{host} ends the batch that it is in, if it is in one, and takes no further stages"))
        }),
    }
}

fn message(saying: &Saying, host: Option<HostName>, reason: &str) -> Message {
    let who = this_controller().user;
    let reason = reason.to_owned();
    match (saying, host) {
        (Saying::Exclude(_), Some(host)) => Message::Exclude { who, host, reason },
        (Saying::Go, _) => Message::Go { who, reason },
        (Saying::Hold | Saying::Exclude(_), _) => Message::Hold { who, reason },
    }
}

/// No controller reads messages: the journal itself is told.
async fn write(journal: &Journal, run: &RunId, message: Message) -> Result<Result<String, String>, JournalError> {
    let (event, done) = match message {
        Message::Exclude { who, host, reason } => (
            exclusion(&host, &who, &reason),
            format!("{host} is left out when `refit resume {run}` goes on"),
        ),
        Message::Go { who, reason } => (
            Event::Released { who, reason },
            format!("run {run} is not held any more; `refit resume {run}` goes on"),
        ),
        Message::Hold { .. } | Message::Abort { .. } => unreachable!("a hold is for a controller that lives"),
    };
    let epoch = journal.attach(run, &this_controller(), 0).await?;
    journal.append(run, epoch, vec![event]).await?;
    Ok(Ok(done))
}
