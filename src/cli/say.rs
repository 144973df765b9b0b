use clap::Args;

use super::common::Common;
use crate::engine::{self, Saying};

/// Let a run end what it does and begin nothing new: no batch, no stage
#[derive(Debug, Args)]
pub(super) struct Hold {
    /// The run, or the beginning of its id
    run: String,
    /// Why
    #[arg(long, value_name = "R")]
    reason: String,
}

/// Let a held run go on
#[derive(Debug, Args)]
pub(super) struct Go {
    /// The run, or the beginning of its id
    run: String,
    /// Why
    #[arg(long, value_name = "R", default_value = "no reason given")]
    reason: String,
}

/// Take a host out of a run: it ends the batch that it is in, and takes no further stages
#[derive(Debug, Args)]
pub(super) struct Exclude {
    /// The run, or the beginning of its id
    run: String,
    /// The host's name
    host: String,
    /// Why
    #[arg(long, value_name = "R")]
    reason: String,
}

pub(super) async fn hold(common: &Common, verb: Hold) -> u8 {
    say(common, &verb.run, &Saying::Hold, &verb.reason).await
}

pub(super) async fn go(common: &Common, verb: Go) -> u8 {
    say(common, &verb.run, &Saying::Go, &verb.reason).await
}

pub(super) async fn exclude(common: &Common, verb: Exclude) -> u8 {
    say(common, &verb.run, &Saying::Exclude(verb.host), &verb.reason).await
}

async fn say(common: &Common, run: &str, saying: &Saying, reason: &str) -> u8 {
    let journal = match super::resolve::existing(common).await {
        Ok(journal) => journal,
        Err(code) => return code,
    };
    super::resolve::answer(engine::say(&journal, run, saying, reason).await)
}
