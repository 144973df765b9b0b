use clap::Args;

use super::common::Common;
use crate::engine;

/// Close a run: stop its controller after what is running, free its hosts
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
    let came_to = engine::abort(&journal, &verb.run, &verb.reason).await;
    super::resolve::answer(came_to.map(|result| result.map(|lines| lines.join("\n"))))
}
