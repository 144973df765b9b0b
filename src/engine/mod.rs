//! A run, stage by stage: survey, locks, batches, frames of jobs, rollback, finally, recap; and the same again from
//! the journal after whatever broke.

mod after;
mod ask;
mod back;
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
mod say;
mod session;
mod stage;
mod steps;
mod survey;
mod undo;

pub(crate) use resume::{Aborted, Reopened, abort, reopen, resolve, to_take_back};
pub(crate) use say::{Saying, say};
pub(crate) use session::{Course, Mode, Planned, Request, Session, run};
