use std::io::IsTerminal;

use clap::Args;

use super::common::{Common, Format, Here, Selection, show};
use crate::engine::{self, Course, Mode, Request};
use crate::event::Watch;
use crate::report;

/// Run a playbook
#[derive(Debug, Args)]
pub(super) struct RunVerb {
    #[command(flatten)]
    selection: Selection,
    /// Only steps and stages with one of these tags
    #[arg(short = 't', long, value_name = "TAGS")]
    tags: Vec<String>,
    /// No step or stage with one of these tags
    #[arg(long, value_name = "TAGS")]
    skip_tags: Vec<String>,
    /// Look at every step, change nothing
    #[arg(long)]
    check: bool,
    /// Show what changes in files
    #[arg(long)]
    diff: bool,
    /// With --check: exit 8 if something would change
    #[arg(long, requires = "check")]
    exit_changed: bool,
    /// How many hosts at once
    #[arg(short = 'f', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    forks: Option<u16>,
    /// Leave out hosts of this pattern; needs --reason
    #[arg(long, value_name = "HOST", requires = "reason")]
    exclude: Vec<String>,
    /// Why they are left out
    #[arg(long, value_name = "R")]
    reason: Option<String>,
    /// The name of a protected environment, instead of typing it
    #[arg(long, value_name = "ENV")]
    yes: Option<String>,
    /// Take hosts over from another controller, and why
    #[arg(long, value_name = "REASON")]
    takeover: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn run(common: &Common, verb: RunVerb) -> u8 {
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    let mut options = match here.options(&verb.selection) {
        Ok(options) => options,
        Err(code) => return code,
    };
    options.tags = verb.tags;
    options.skip_tags = verb.skip_tags;
    options.check = verb.check;
    options.diff = verb.diff || verb.check;
    options.forks = verb.forks.map(usize::from);
    let reason = verb.reason.unwrap_or_default();
    options.exclude = verb.exclude.into_iter().map(|host| (host, reason.clone())).collect();
    let environment = here.environment(&options.sources);
    if let (Some((name, true)), false) = (&environment, verb.check)
        && let Err(code) = confirm(name, verb.yes.as_deref())
    {
        return code;
    }
    let request = Request {
        mode: if verb.check { Mode::Check } else { Mode::Run },
        options,
        journal: here.journal(common),
        environment: environment.map(|(name, _)| name),
        takeover: verb.takeover,
        earlier: None,
        course: Course::On,
        watchers: watchers(verb.output, verb.diff || verb.check),
        terminal: std::io::stdin().is_terminal(),
    };
    let session = engine::run(request).await;
    let changed = session.state.as_ref().is_some_and(|state| {
        state
            .hosts
            .values()
            .any(|h| h.counts[crate::event::Outcome::Changed as usize] > 0)
    });
    let code = conclude(session, verb.output);
    if verb.exit_changed && code == 0 && changed {
        8
    } else {
        code
    }
}

/// Who shows the run.
pub(super) fn watchers(output: Format, diff: bool) -> Vec<Box<dyn Watch>> {
    vec![match output {
        Format::Json => report::json(),
        Format::Text => report::text(diff),
    }]
}

/// Shows what is left to show, and gives the exit code.
pub(super) fn conclude(session: engine::Session, output: Format) -> u8 {
    show(&session.diagnostics, session.redactor.as_ref());
    if output == Format::Json && session.state.is_none() {
        super::say(&serde_json::json!({"event": "recap", "exit": session.exit, "hosts": {}}).to_string());
    }
    session.exit
}

/// A protected environment is named by whoever runs something in it.
pub(super) fn confirm(name: &str, yes: Option<&str>) -> Result<(), u8> {
    match yes {
        Some(given) if given == name => return Ok(()),
        Some(given) => {
            super::complain(&format!(
                "error: --yes `{given}`, but this inventory belongs to `{name}`"
            ));
            return Err(1);
        }
        None => {}
    }
    if !std::io::stdin().is_terminal() {
        super::complain(&format!(
            "error: `{name}` is protected\nhelp: say so with `--yes {name}`"
        ));
        return Err(1);
    }
    super::complain(&format!("`{name}` is protected. Type its name to go on:"));
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_ok() && line.trim() == name {
        return Ok(());
    }
    super::complain("error: that is not its name; nothing was touched");
    Err(1)
}
