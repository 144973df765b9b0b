use std::io::IsTerminal;
use std::sync::{Arc, Mutex};

use clap::Args;

use super::common::{Common, Format, Here};
use crate::engine::{self, Course, Mode, Reopened, Request};
use crate::event::{Event, Outcome, Record, RunState, Watch};
use crate::id::Phase;
use crate::journal::{Journal, this_controller};

/// Take a run back: each stage that began, the last first, by its own `rollback`
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The run, or the beginning of its id
    run: String,
    /// Show what would be done, do nothing
    #[arg(long)]
    plan: bool,
    /// Why
    #[arg(long, value_name = "R", default_value = "no reason given")]
    reason: String,
    /// Go back although the playbook or its files changed
    #[arg(long)]
    accept: bool,
    /// The name of a protected environment, instead of typing it
    #[arg(long, value_name = "ENV")]
    yes: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// Steps that a look at the way back went through: what, how it ended, and why.
#[derive(Clone, Default)]
struct Look(Arc<Mutex<Vec<Seen>>>);

type Seen = (String, Outcome, Option<String>);

impl Watch for Look {
    fn see(&mut self, record: &Record, _state: &RunState) {
        let seen = match &record.event {
            Event::UnitEnded(ended) if ended.unit.phase == Phase::Rollback => {
                (ended.unit.to_string(), ended.outcome, ended.message.clone())
            }
            Event::Note { text } => (text.clone(), Outcome::Skipped, None),
            _ => return,
        };
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(seen);
    }
}

pub(super) async fn rollback(common: &Common, verb: Rollback) -> u8 {
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    let path = here.journal(common);
    let reader = match Journal::open_reader(&path).await {
        Ok(reader) => reader,
        Err(e) => {
            super::complain(&format!("error: {e}"));
            return 5;
        }
    };
    let (options, earlier) = match engine::to_take_back(&reader, &verb.run, verb.accept).await {
        Ok(Reopened::Run(run)) => *run,
        Ok(Reopened::Nothing(text)) => return super::resolve::answer(Ok(Ok(text))),
        Ok(Reopened::Refused(text)) => return super::resolve::answer(Ok(Err(text))),
        Err(e) => return super::resolve::answer(Err(e)),
    };
    drop(reader);
    let environment = earlier.state.began.as_ref().and_then(|began| began.environment.clone());
    let protected = here.environment(&options.sources).filter(|(_, protected)| *protected);
    if let (Some((name, _)), false) = (&protected, verb.plan)
        && let Err(code) = super::run::confirm(name, verb.yes.as_deref())
    {
        return code;
    }
    let course = Course::Back(this_controller().user, verb.reason);
    let look = Look::default();
    let mut checking = options.clone();
    checking.check = true;
    let request = |mode, options, watchers| Request {
        mode,
        options,
        journal: path.clone(),
        environment: environment.clone(),
        takeover: None,
        earlier: Some(earlier.clone()),
        course: course.clone(),
        watchers,
        terminal: std::io::stdin().is_terminal(),
    };
    let session = engine::run(request(Mode::Check, checking, vec![Box::new(look.clone())])).await;
    // A rollback that cannot go through to its end is not begun.
    let bad = session.exit != 0;
    if verb.plan || bad {
        let seen = look.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        for (what, outcome, message) in &seen {
            let word = match outcome {
                Outcome::Changed => "would change",
                Outcome::Skipped => "",
                other => other.word(),
            };
            let message = message.as_ref().map(|text| format!("  {text}")).unwrap_or_default();
            super::tell(&format!("{word:<13}{what}{message}"));
        }
        if seen.is_empty() && !bad {
            super::say("nothing to take back");
        }
        super::common::show(&session.diagnostics, session.redactor.as_ref());
        if bad {
            super::complain("error: the way back is not clear; nothing was touched");
            return 1;
        }
        return 0;
    }
    let watchers = super::run::watchers(verb.output, false);
    super::run::conclude(engine::run(request(Mode::Run, options, watchers)).await, verb.output)
}
