//! A run, stage by stage: survey, locks, batches, frames of jobs, rollback, finally, recap; and the same again from
//! the journal after whatever broke.

mod after;
mod drive;
mod exit;
mod frame;
mod guard;
mod host;
mod job;
mod lookout;
mod resume;
mod run;
mod session;
mod stage;
mod steps;
mod survey;

pub(crate) use resume::{abort, resolve, reopen};
pub(crate) use run::{Halt, Run};
pub(crate) use session::{Mode, Request, Session, run};
pub(crate) use survey::{Survey, survey};
