use clap::Args;
use serde_json::json;

use super::common::{Common, Format, Here, Selection, show};
use crate::engine::{self, Course, Mode, Request};
use crate::plan::{Look, Planned as PlannedState};

/// Load, connect, probe; say what is wrong, and change nothing
#[derive(Debug, Args)]
pub(super) struct Preflight {
    #[command(flatten)]
    selection: Selection,
}

/// Say what a run would do, and change nothing
#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    selection: Selection,
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

async fn session(common: &Common, selection: &Selection, mode: Mode) -> Result<engine::Session, u8> {
    let here = Here::find()?;
    let options = here.options(selection)?;
    let request = Request {
        mode,
        journal: here.journal(common),
        environment: here.environment(&options.sources).map(|(name, _)| name),
        options,
        takeover: None,
        earlier: None,
        course: Course::On,
        watchers: Vec::new(),
        terminal: false,
    };
    Ok(engine::run(request).await)
}

pub(super) async fn preflight(common: &Common, verb: Preflight) -> u8 {
    let session = match session(common, &verb.selection, Mode::Preflight).await {
        Ok(session) => session,
        Err(code) => return code,
    };
    show(&session.diagnostics, session.redactor.as_ref());
    let Some(plan) = session.plan else { return session.exit };
    for (host, cause) in &plan.lost {
        let cause: Vec<String> = cause.lines().map(crate::report::one_line).collect();
        super::complain(&format!("{host}: cannot be reached: {}", cause.join("\n")));
    }
    for (host, state) in &plan.states {
        super::say(&format!("{host}: {state}"));
    }
    let reached = plan.checked.hosts.len().saturating_sub(plan.lost.len());
    super::say(&format!(
        "preflight of {}: {reached} of {} hosts are fit; nothing was changed",
        plan.name,
        plan.checked.hosts.len()
    ));
    session.exit
}

pub(super) async fn plan(common: &Common, verb: Plan) -> u8 {
    let session = match session(common, &verb.selection, Mode::Plan).await {
        Ok(session) => session,
        Err(code) => return code,
    };
    show(&session.diagnostics, session.redactor.as_ref());
    let Some(plan) = session.plan else { return session.exit };
    for (host, cause) in &plan.lost {
        let cause: Vec<String> = cause.lines().map(crate::report::one_line).collect();
        super::complain(&format!("{host}: cannot be reached: {}", cause.join("\n")));
    }
    match verb.output {
        Format::Json => json(&plan),
        Format::Text => text(&plan),
    }
    session.exit
}

fn json(plan: &engine::Planned) {
    for stage in &plan.checked.stages {
        let units: Vec<_> = stage
            .units
            .iter()
            .map(|unit| {
                let (state, detail) = match &unit.state {
                    PlannedState::Known { command, .. } => ("known", command.clone()),
                    PlannedState::Decided(names) => ("pending", names.join(", ")),
                    PlannedState::Skipped(why) => ("skipped", why.clone()),
                };
                let (decision, open) = match &unit.look {
                    Look::Decided(decision) => (json!(decision), json!(null)),
                    Look::Open(why) => (json!(null), json!(why)),
                    Look::None | Look::Due(_) => (json!(null), json!(null)),
                };
                json!({
                    "unit": unit.unit.to_string(), "step": unit.unit.step, "host": unit.unit.host, "item": unit.unit.item,
                    "phase": unit.unit.phase, "kind": unit.kind, "title": unit.title, "state": state, "detail": detail,
                    "decision": decision, "not_decided": open,
                })
            })
            .collect();
        super::say(
            &json!({
                "event": "stage", "stage": stage.path, "title": stage.title, "hosts": stage.hosts,
                "batches": stage.batches, "skipped": stage.skipped, "waits": stage.waits, "units": units,
            })
            .to_string(),
        );
    }
    super::say(
        &json!({
            "event": "plan", "playbook": plan.name, "recipe": plan.recipe.whole, "plan": plan.digest,
            "hosts": plan.checked.hosts,
            "unreachable": plan.lost.iter().map(|(host, _)| host).collect::<Vec<_>>(),
        })
        .to_string(),
    );
}

/// Units that differ in nothing but their host share a line.
fn text(plan: &engine::Planned) {
    super::tell(&format!("Plan: {}", plan.name));
    for stage in &plan.checked.stages {
        let hosts = match stage.hosts.len() {
            1 => format!("{}", stage.hosts[0]),
            n => format!("{n} hosts"),
        };
        let batches = if stage.batches.len() > 1 {
            let sizes: Vec<String> = stage.batches.iter().map(usize::to_string).collect();
            format!(", batches of {}", sizes.join(" "))
        } else {
            String::new()
        };
        super::tell(&format!("\n{}  [{}]  {hosts}{batches}", stage.title, stage.path));
        if let Some(why) = &stage.skipped {
            super::tell(&format!("  skipped: {why}"));
            continue;
        }
        if !stage.waits.is_empty() {
            super::tell(&format!(
                "  one for each item, decided when {} is known",
                stage.waits.join(", ")
            ));
        }
        let mut lines: indexmap::IndexMap<(String, String), Vec<String>> = indexmap::IndexMap::new();
        for unit in &stage.units {
            let phase = match unit.unit.phase {
                crate::id::Phase::Guard => "guard: ",
                crate::id::Phase::Rollback => "if it fails: ",
                crate::id::Phase::Undo => "in the end: ",
                _ => "",
            };
            let what = match &unit.state {
                PlannedState::Known { command, .. } => command.clone(),
                PlannedState::Decided(names) if names.is_empty() => format!("{}: decided when it runs", unit.kind),
                PlannedState::Decided(names) => format!("{}: decided when {} is known", unit.kind, names.join(", ")),
                PlannedState::Skipped(why) => format!("{}: skipped ({why})", unit.kind),
            };
            let item = unit.unit.item.map(|i| format!("[{i}]")).unwrap_or_default();
            let found = match &unit.look {
                Look::Decided(decision) => {
                    let cautions = decision.cautions.iter().map(|caution| format!("\n      ! {caution}"));
                    format!("\n    {decision}{}", cautions.collect::<String>())
                }
                Look::Open(why) => format!("\n    decided when it runs: {}", crate::report::one_line(why)),
                Look::None | Look::Due(_) => String::new(),
            };
            lines
                .entry((format!("  {phase}{}{item}  {what}", unit.title), found))
                .or_default()
                .push(unit.unit.host.to_string());
        }
        for ((line, found), hosts) in lines {
            if hosts.len() == stage.hosts.len() {
                super::tell(&format!("{line}{found}"));
            } else {
                super::tell(&format!("{line}  on {}{found}", hosts.join(", ")));
            }
        }
    }
    super::tell(&format!("\nrecipe {}\nplan   {}", plan.recipe.whole, plan.digest));
}
