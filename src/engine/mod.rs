//! A run, stage by stage: survey, locks, batches, frames of jobs, rollback, finally, recap; and the same again from
//! the journal after whatever broke.

mod after;
mod ask;
mod course;
mod drive;
mod exit;
mod foresee;
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

pub(crate) use resume::{Reopened, abort, reopen, resolve};
pub(crate) use session::{Mode, Planned, Request, Session, run};
