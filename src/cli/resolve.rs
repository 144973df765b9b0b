use clap::{Args, ValueEnum};

use super::common::{Common, Here};
use crate::engine;
use crate::journal::{Journal, JournalError};

/// Decide an unknown unit: it was done, or it was not
#[derive(Debug, Args)]
pub(super) struct Resolve {
    /// The run, or the beginning of its id
    run: String,
    /// The unit as the recap prints it: STAGE/STEP@HOST
    unit: String,
    /// What you found
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    as_: As,
    /// How you know
    #[arg(long, value_name = "R")]
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum As {
    Done,
    NotDone,
}

pub(super) async fn resolve(common: &Common, verb: Resolve) -> u8 {
    let journal = match existing(common).await {
        Ok(journal) => journal,
        Err(code) => return code,
    };
    answer(engine::resolve(&journal, &verb.run, &verb.unit, verb.as_ == As::Done, &verb.reason).await)
}

/// Prints what a verb came to: what to say, or why it is refused.
pub(super) fn answer(came_to: Result<Result<String, String>, JournalError>) -> u8 {
    match came_to {
        Ok(Ok(text)) => {
            super::say(&text);
            0
        }
        Ok(Err(text)) => {
            super::complain(&format!("error: {text}"));
            1
        }
        Err(e) => {
            super::complain(&format!("error: {e}"));
            e.exit()
        }
    }
}

/// The journal, which must be there already.
pub(super) async fn existing(common: &Common) -> Result<Journal, u8> {
    let path = Here::find()?.journal(common);
    if !path.exists() {
        super::complain(&format!("error: there is no journal at {}", path.display()));
        return Err(1);
    }
    Journal::open(&path).await.map_err(|e| {
        super::complain(&format!("error: {e}"));
        5
    })
}
