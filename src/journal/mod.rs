//! The write-ahead log of runs: SQLite through sqlx. What is to be done on a host is committed here before the first
//! byte leaves; the state of a run is a fold over what is read back.
//!
//! One task writes. Callers that append at the same moment share one commit (group commit), and each is answered after
//! that commit only. Every append names the lease's epoch, which is looked at in the same transaction: a controller
//! that was superseded writes nothing more. Any other error of a write is final for this process: what comes after
//! gets the same error, and the run stops (exit 5).
//!
//! For crash tests, builds with debug assertions read `REFIT_TEST_KILL_AT_COMMIT=n`: the process kills itself with
//! SIGKILL right after its n-th commit of events. Release builds do not hold that code.

mod controller;
mod error;
mod inbox;
mod open;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use controller::{lives, this_controller};
pub(crate) use error::{FindError, JournalError};
pub(crate) use inbox::Message;
pub(crate) use reader::Reader;

use std::ops::Deref;
use std::path::Path;

use tokio::sync::{mpsc, oneshot};

use crate::event::{Controller, Event, Record};
use crate::id::RunId;
use writer::Request;

/// A journal that can be written. Clones share one writer, which ends with the last of them. All that [`Reader`]
/// answers, this answers too.
#[derive(Clone)]
pub(crate) struct Journal {
    reader: Reader,
    requests: mpsc::UnboundedSender<Request>,
}

impl Deref for Journal {
    type Target = Reader;
    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Journal {
    /// Opens the journal, and makes it where there is none: folder 0700, file 0600. Refuses a network file system, a
    /// file that is no journal, and one that a newer Refit wrote.
    pub(crate) async fn open(path: &Path) -> Result<Journal, JournalError> {
        let (writer, pool) = open::open(path).await?;
        let (requests, inbox) = mpsc::unbounded_channel();
        tokio::spawn(writer::write(writer, inbox));
        Ok(Journal {
            reader: Reader::over(pool),
            requests,
        })
    }

    /// An existing journal, to read only. Where there is none it has no runs, and nothing is created.
    pub(crate) async fn open_reader(path: &Path) -> Result<Reader, JournalError> {
        open::open_reader(path).await
    }

    /// Takes the lease of a run (there need be no such run yet) and returns its new epoch: above every epoch that this
    /// journal gave out before, and at least `at_least`. Committed before it returns. Refused with
    /// [`JournalError::Alive`] while the controller that holds it lives on this machine. The caller appends
    /// `Event::Attached`.
    pub(crate) async fn attach(
        &self,
        run: &RunId,
        controller: &Controller,
        at_least: i64,
    ) -> Result<i64, JournalError> {
        self.lease(run, controller, at_least, false).await
    }

    /// As [`Journal::attach`], from a controller that may still live: it is superseded.
    pub(crate) async fn take_over(
        &self,
        run: &RunId,
        controller: &Controller,
        at_least: i64,
    ) -> Result<i64, JournalError> {
        self.lease(run, controller, at_least, true).await
    }

    async fn lease(
        &self,
        run: &RunId,
        controller: &Controller,
        at_least: i64,
        takeover: bool,
    ) -> Result<i64, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Lease {
            run: run.clone(),
            controller: controller.clone(),
            at_least,
            takeover,
            answer,
        })?;
        answered.await.map_err(|_| JournalError::Gone)?
    }

    /// Adds events to a run's history, all or none, and returns them with their place. It resolves after the commit;
    /// a caller that is dropped before may find them committed or not.
    pub(crate) async fn append(
        &self,
        run: &RunId,
        epoch: i64,
        events: Vec<Event>,
    ) -> Result<Vec<Record>, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Append {
            run: run.clone(),
            epoch,
            events,
            answer,
        })?;
        answered.await.map_err(|_| JournalError::Gone)?
    }

    /// Leaves a message for the controller of a run, which looks a few times a second. Resolves after the commit.
    pub(crate) async fn post(&self, run: &RunId, message: Message) -> Result<(), JournalError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Post {
            run: run.clone(),
            message,
            answer,
        })?;
        answered.await.map_err(|_| JournalError::Gone)?
    }

    fn send(&self, request: Request) -> Result<(), JournalError> {
        self.requests.send(request).map_err(|_| JournalError::Gone)
    }
}
