use clap::Args;
use serde_json::json;

use super::common::{Common, Format, Here};
use crate::event::{RunState, UnitStatus};
use crate::journal::{FindError, Journal, JournalError, Reader};

/// List runs, or the units of one
#[derive(Debug, Args)]
pub(super) struct Runs {
    /// The run, or the beginning of its id
    run: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn runs(common: &Common, verb: Runs) -> u8 {
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    let result = match Journal::open_reader(&here.journal(common)).await {
        Ok(reader) => match &verb.run {
            None => list(&reader, verb.output).await.map(|()| 0),
            Some(prefix) => one(&reader, prefix, verb.output).await,
        },
        Err(e) => Err(e),
    };
    match result {
        Ok(code) => code,
        Err(e) => {
            super::complain(&format!("error: {e}"));
            5
        }
    }
}

async fn list(reader: &Reader, output: Format) -> Result<(), JournalError> {
    let runs = reader.runs().await?;
    if output == Format::Json {
        let list: Vec<_> = runs
            .iter()
            .map(|run| {
                json!({"run": run.run, "playbook": run.playbook, "state": run.state, "exit": run.exit,
                       "started": run.started, "ended": run.ended})
            })
            .collect();
        super::say(&serde_json::Value::Array(list).to_string());
        return Ok(());
    }
    if runs.is_empty() {
        super::say("no runs");
    }
    for run in runs {
        let exit = run.exit.map(|exit| format!(" ({exit})")).unwrap_or_default();
        super::tell(&format!(
            "{}  {}  {}{exit}  {}  on {} host{}",
            run.run,
            run.started.strftime("%Y-%m-%d %H:%M:%S"),
            run.state,
            run.name,
            run.hosts.len(),
            if run.hosts.len() == 1 { "" } else { "s" },
        ));
    }
    Ok(())
}

async fn one(reader: &Reader, prefix: &str, output: Format) -> Result<u8, JournalError> {
    let run = match reader.find(prefix).await {
        Ok(run) => run,
        Err(FindError::Journal(e)) => return Err(e),
        Err(e) => {
            super::complain(&format!("error: {e}"));
            return Ok(1);
        }
    };
    let summary = reader.summary(&run).await?;
    let state = RunState::fold(run.clone(), &reader.records(&run).await?);
    let word = |status: &UnitStatus| match status {
        UnitStatus::Open => "open".to_owned(),
        UnitStatus::Ended { outcome, .. } => outcome.word().to_owned(),
        UnitStatus::Decided(true) => "resolved done".to_owned(),
        UnitStatus::Decided(false) => "resolved not done".to_owned(),
        UnitStatus::Again => "to be run".to_owned(),
    };
    if output == Format::Json {
        let units: Vec<_> = state
            .units
            .iter()
            .map(|(unit, known)| {
                let (outcome, message) = match &known.status {
                    UnitStatus::Ended { message, .. } => (word(&known.status), message.clone()),
                    status => (word(status), None),
                };
                json!({"unit": unit.to_string(), "stage": unit.stage, "phase": unit.phase, "step": unit.step,
                       "host": unit.host, "item": unit.item, "attempt": known.attempt, "outcome": outcome,
                       "message": message})
            })
            .collect();
        let summary = summary.map(|run| {
            json!({"run": run.run, "playbook": run.playbook, "state": run.state, "exit": run.exit,
                   "started": run.started, "ended": run.ended})
        });
        let mut object = summary.unwrap_or_else(|| json!({"run": run}));
        object["units"] = serde_json::Value::Array(units);
        object["left_open"] = state.left_open.iter().map(ToString::to_string).collect();
        super::say(&object.to_string());
        return Ok(0);
    }
    if let Some(summary) = summary {
        super::tell(&format!("{run}  {}  {}", summary.state, summary.name));
    }
    for (unit, known) in &state.units {
        let message = match &known.status {
            UnitStatus::Ended {
                message: Some(message), ..
            } => format!("  {}", message.lines().next().unwrap_or_default()),
            _ => String::new(),
        };
        super::tell(&format!("  {:<12} {unit}{message}", word(&known.status)));
    }
    for unit in &state.left_open {
        super::tell(&format!("  left open    {unit}: its undo has not run"));
    }
    for (host, known) in &state.hosts {
        if let Some((stage, fate, reason)) = &known.fate {
            super::tell(&format!("  {host} is out since {stage}: {fate:?}: {reason}"));
        }
    }
    Ok(0)
}
