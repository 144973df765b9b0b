//! What all parts of a run share: its journal, its state, its hosts, its watchers, and whether it is asked to stop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::foresee::Foresight;
use super::host::Host;
use super::survey::targets_of;
use crate::connection::Hub;
use crate::event::{Event, Record, RunState, Watch};
use crate::id::{HostName, RunId, Unit};
use crate::journal::{Journal, JournalError};
use crate::kind::Decision;
use crate::plan::Loaded;
use crate::yaml::{Diagnostic, Diagnostics};

/// Why the whole run stops at once.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another run, or another controller of this one, has a host: this controller does nothing more, anywhere.
    #[error("{0}")]
    PutOut(String),
}

pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) loaded: Arc<Loaded>,
    /// None in check mode, which leaves no trace.
    pub(crate) journal: Option<Journal>,
    pub(crate) epoch: i64,
    pub(crate) hub: Arc<Hub>,
    pub(crate) hosts: HashMap<HostName, Arc<Host>>,
    /// Hosts that tunnels lead through and that nobody knew of at the survey.
    ways: AsyncMutex<HashMap<HostName, Arc<Host>>>,
    pub(crate) forks: Semaphore,
    /// The first Ctrl-C: nothing new starts.
    pub(crate) stop: CancellationToken,
    /// The second: nothing is waited for any more.
    pub(crate) detach: CancellationToken,
    /// Can a person be asked?
    pub(crate) terminal: bool,
    /// What steps of this plan or check run will leave.
    pub(crate) foresight: Foresight,
    /// What the plan decided by looking.
    pub(crate) decided: HashMap<Unit, Decision>,
    /// Somebody closed the run from another terminal: who, and why.
    pub(crate) aborted: OnceLock<(String, String)>,
    /// A run that somebody closes begins nothing but what puts back what it left open.
    pub(crate) putting_back: AtomicBool,
    /// Cancelled when this controller was put out; the text says by whom.
    out: (CancellationToken, Mutex<String>),
    state: Mutex<RunState>,
    watchers: Mutex<Vec<Box<dyn Watch>>>,
}

impl Run {
    #[expect(
        clippy::too_many_arguments,
        reason = "one place makes it, with everything that a run consists of"
    )]
    pub(crate) fn new(
        loaded: Arc<Loaded>,
        journal: Option<Journal>,
        epoch: i64,
        hub: Arc<Hub>,
        hosts: HashMap<HostName, Arc<Host>>,
        state: RunState,
        watchers: Vec<Box<dyn Watch>>,
        terminal: bool,
        stop: CancellationToken,
        detach: CancellationToken,
    ) -> Run {
        Run {
            id: loaded.run.clone(),
            forks: Semaphore::new(loaded.options.forks.unwrap_or(50).max(1)),
            loaded,
            journal,
            epoch,
            hub,
            hosts,
            ways: AsyncMutex::default(),
            stop,
            detach,
            terminal,
            foresight: Foresight::default(),
            decided: HashMap::new(),
            aborted: OnceLock::new(),
            putting_back: AtomicBool::new(false),
            out: Default::default(),
            state: Mutex::new(state),
            watchers: Mutex::new(watchers),
        }
    }

    /// Its watchers, for the run that takes over from it.
    pub(crate) fn take_watchers(&mut self) -> Vec<Box<dyn Watch>> {
        std::mem::take(self.watchers.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Nothing is changed, so that a step's check has to count on what the steps before it will leave.
    pub(crate) fn foresees(&self) -> bool {
        self.journal.is_none()
    }

    pub(crate) fn check_mode(&self) -> bool {
        self.loaded.options.check
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.is_cancelled() && !self.putting_back.load(Ordering::SeqCst)
    }

    /// Waits until nothing new may begin.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
        if self.putting_back.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    /// A host belongs to somebody else now. Nothing that this controller believes of it is written any more: what
    /// was announced stays open, for whoever takes the run up.
    pub(crate) fn put_out(&self, why: String) {
        let mut text = self.out.1.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !self.out.0.is_cancelled() {
            *text = why;
            self.out.0.cancel();
        }
    }

    fn is_out(&self) -> Halt {
        let text = self.out.1.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Halt::PutOut(text.clone())
    }

    /// Waits for `put_out`.
    pub(crate) async fn outed(&self) -> Halt {
        self.out.0.cancelled().await;
        self.is_out()
    }

    pub(crate) fn host(&self, name: &HostName) -> Option<Arc<Host>> {
        self.hosts.get(name).cloned()
    }

    /// A host that a tunnel leads through, of this run or not.
    pub(crate) async fn way(&self, name: &HostName) -> Result<Arc<Host>, Diagnostics> {
        if let Some(host) = self.host(name) {
            return Ok(host);
        }
        let mut ways = self.ways.lock().await;
        if let Some(host) = ways.get(name) {
            return Ok(Arc::clone(host));
        }
        let (mut targets, _) = targets_of(&self.loaded, [name])?;
        let target = targets
            .swap_remove(name)
            .ok_or_else(|| Diagnostic::general(format!("{name} is no host of the inventory")))?;
        let host = Arc::new(Host::way(target, None));
        ways.insert(name.clone(), Arc::clone(&host));
        Ok(host)
    }

    pub(crate) async fn close_ways(&self) {
        for (_, host) in self.ways.lock().await.drain() {
            host.close().await;
        }
    }

    /// Commits events to the journal, then folds and shows them: when this returns, they are facts.
    pub(crate) async fn emit(&self, events: Vec<Event>) -> Result<(), Halt> {
        if events.is_empty() {
            return Ok(());
        }
        if self.out.0.is_cancelled() {
            return Err(self.is_out());
        }
        debug_assert!(
            !events.iter().any(Event::passing),
            "what passes is shown, not journalled"
        );
        let records = match &self.journal {
            Some(journal) => journal.append(&self.id, self.epoch, events).await?,
            None => {
                let first = self.state().seq + 1;
                (first..)
                    .zip(events)
                    .map(|(seq, event)| Record {
                        seq,
                        run: self.id.clone(),
                        at: jiff::Timestamp::now(),
                        event,
                    })
                    .collect()
            }
        };
        for record in &records {
            self.see(record);
        }
        Ok(())
    }

    /// Shows an event that is no part of the history.
    pub(crate) fn show(&self, event: Event) {
        debug_assert!(event.passing(), "what happened is journalled before it is shown");
        self.see(&Record {
            seq: 0,
            run: self.id.clone(),
            at: jiff::Timestamp::now(),
            event,
        });
    }

    fn see(&self, record: &Record) {
        let mut state = self.state();
        state.apply(record);
        let mut watchers = self.watchers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for watcher in watchers.iter_mut() {
            watcher.see(record, &state);
        }
    }
}
