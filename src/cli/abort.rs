use std::io::IsTerminal;

use clap::Args;

use super::common::{Common, Format, Here};
use crate::engine::{self, Aborted, Course, Mode, Request};
use crate::journal::this_controller;

/// Close a run: stop its controller after what is running, put back what is left open, free its hosts
#[derive(Debug, Args)]
pub(super) struct Abort {
    /// The run, or the beginning of its id
    run: String,
    /// Why
    #[arg(long, value_name = "R")]
    reason: String,
}

pub(super) async fn abort(common: &Common, verb: Abort) -> u8 {
    let journal = match super::resolve::existing(common).await {
        Ok(journal) => journal,
        Err(code) => return code,
    };
    let (options, earlier) = match engine::abort(&journal, &verb.run, &verb.reason).await {
        Ok(Aborted::LeftOpen(left)) => *left,
        Ok(Aborted::Closed(lines)) => return super::resolve::answer(Ok(Ok(lines.join("\n")))),
        Ok(Aborted::Refused(text)) => return super::resolve::answer(Ok(Err(text))),
        Err(e) => return super::resolve::answer(Err(e)),
    };
    drop(journal);
    let journal = match Here::find() {
        Ok(here) => here.journal(common),
        Err(code) => return code,
    };
    let environment = earlier.state.began.as_ref().and_then(|began| began.environment.clone());
    let request = Request {
        mode: Mode::Run,
        options,
        journal,
        environment,
        takeover: None,
        earlier: Some(earlier),
        course: Course::Close(this_controller().user, verb.reason),
        watchers: super::run::watchers(Format::Text, false),
        terminal: std::io::stdin().is_terminal(),
    };
    let session = engine::run(request).await;
    let over = session.state.as_ref().is_some_and(|state| state.left_open.is_empty());
    match super::run::conclude(session, Format::Text) {
        143 if over => 0,
        143 => 2,
        code => code,
    }
}
