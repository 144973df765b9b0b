use std::io::IsTerminal;

use clap::Args;

use super::common::{Common, Format, Here};
use crate::engine::{self, Course, Mode, Reopened, Request};
use crate::journal::Journal;

/// Go on with a run that was killed, stopped, paused, or left hosts failed
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The run, or the beginning of its id; without it the one unfinished run
    run: Option<String>,
    /// Go on although the playbook or its files changed
    #[arg(long)]
    accept: bool,
    /// Take it over from a controller that may still live, and why
    #[arg(long, value_name = "REASON")]
    takeover: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn resume(common: &Common, verb: Resume) -> u8 {
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    let journal = here.journal(common);
    let reader = match Journal::open_reader(&journal).await {
        Ok(reader) => reader,
        Err(e) => {
            super::complain(&format!("error: {e}"));
            return 5;
        }
    };
    let (options, earlier) = match engine::reopen(&reader, verb.run.as_deref(), verb.accept).await {
        Ok(Reopened::Run(run)) => *run,
        Ok(Reopened::Nothing(text)) => {
            super::say(&text);
            return 0;
        }
        Ok(Reopened::Refused(text)) => {
            super::complain(&format!("error: {text}"));
            return 1;
        }
        Err(e) => {
            super::complain(&format!("error: {e}"));
            return 5;
        }
    };
    drop(reader);
    let environment = earlier.state.began.as_ref().and_then(|began| began.environment.clone());
    let request = Request {
        mode: Mode::Run,
        options,
        journal,
        environment,
        takeover: verb.takeover,
        earlier: Some(earlier),
        course: Course::On,
        watchers: super::run::watchers(verb.output, false),
        terminal: std::io::stdin().is_terminal(),
    };
    super::run::conclude(engine::run(request).await, verb.output)
}
