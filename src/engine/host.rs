//! One host in a run: its connection, made again when it is lost; who it is; jobs whose results wait to be acknowledged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;

use super::run::Run;
use crate::connection::{Account, Held, Hub, Identity, Link, LockError, Target};
use crate::id::{JobId, RunId};
use crate::job::patience;
use crate::kind::Facts;

/// How long a lost connection is tried again before the host counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Host {
    pub(crate) target: Target,
    /// The most privileged account that the run uses here: it holds the lock.
    pub(crate) holder: Account,
    pub(crate) others: Vec<Account>,
    /// The login is root: becoming root needs no sudo.
    root: bool,
    /// Nothing is done here: other hosts' tunnels lead through it. It is not locked, and needs no shell.
    pub(crate) only_way: bool,
    link: AsyncMutex<Option<Arc<Link>>>,
    /// Held from the first upload of a job to its end: the folder of uploads is one for all who work here.
    pub(crate) uploads: AsyncMutex<()>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    held: Option<(String, String)>,
    locked: bool,
    facts: HashMap<Account, Facts>,
    unacknowledged: HashMap<Account, Vec<JobId>>,
}

/// Why a host cannot be worked on.
#[derive(Clone, Debug)]
pub(crate) struct Away(pub(crate) String);

impl Host {
    pub(crate) fn new(
        target: Target,
        holder: Account,
        others: Vec<Account>,
        root: bool,
        link: Option<Arc<Link>>,
    ) -> Host {
        Host {
            target,
            holder,
            others,
            root,
            only_way: false,
            link: AsyncMutex::new(link),
            uploads: AsyncMutex::new(()),
            seen: Mutex::default(),
        }
    }

    /// A host that tunnels lead through, and where nothing is done.
    pub(crate) fn way(target: Target, link: Option<Arc<Link>>) -> Host {
        Host {
            only_way: true,
            ..Host::new(target, Account::Login, Vec::new(), false, link)
        }
    }

    /// The account of a step that becomes `user` (None: does not become anybody).
    pub(crate) fn account(&self, user: Option<&str>) -> Account {
        match user {
            Some("root") if self.root => Account::Login,
            user => self.target.account(user.is_some(), user),
        }
    }

    fn seen<T>(&self, f: impl FnOnce(&mut Seen) -> T) -> T {
        f(&mut self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// (identity, boot id) as of the last time that the lock was taken.
    pub(crate) fn held(&self) -> (String, String) {
        self.seen(|seen| seen.held.clone()).unwrap_or_default()
    }

    pub(crate) async fn lock(
        &self,
        link: &Link,
        run: &RunId,
        epoch: i64,
        controller: &str,
        takeover: bool,
    ) -> Result<Held, LockError> {
        let held = link
            .lock(&self.holder, &self.others, run, epoch, controller, takeover)
            .await?;
        self.seen(|seen| {
            seen.held = Some((identity_text(&held.identity), held.boot_id.clone()));
            seen.locked = true;
        });
        Ok(held)
    }

    pub(crate) fn locked(&self) -> bool {
        self.seen(|seen| seen.locked)
    }

    /// The connection as it is now, if there is one.
    pub(crate) async fn current(&self) -> Option<Arc<Link>> {
        self.link.lock().await.clone()
    }

    /// Forgets a connection that was lost.
    pub(crate) async fn drop_link(&self, lost: &Arc<Link>) {
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|now| Arc::ptr_eq(now, lost)) {
            *link = None;
            self.seen(|seen| seen.facts.clear());
        }
    }

    /// The connection, made again (with the lock of this run) if it was lost.
    pub(crate) async fn link(&self, run: &Run) -> Result<Arc<Link>, Away> {
        let mut slot = self.link.lock().await;
        if let Some(link) = &*slot {
            return Ok(Arc::clone(link));
        }
        // A host that never answered in this session is asked once; one that did is waited for.
        let patience = if self.locked() || self.only_way || run.check_mode() {
            patience(PATIENCE)
        } else {
            Duration::ZERO
        };
        let link = self.connect(&run.hub, patience, || run.stopping()).await?;
        if !self.only_way && !run.check_mode() && run.journal.is_some() {
            let who = controller_name();
            self.lock(&link, &run.id, run.epoch, &who, false).await.map_err(|e| {
                if matches!(e, LockError::HeldBy(_) | LockError::Stale { .. }) {
                    let own = run.hosts.iter().find(|(_, host)| std::ptr::eq(host.as_ref(), self));
                    let name = own.map_or("a host", |(name, _)| name.as_str());
                    run.put_out(format!("{name}: {e}"));
                }
                Away(format!("reconnected, but {e}"))
            })?;
        }
        let link = Arc::new(link);
        *slot = Some(Arc::clone(&link));
        Ok(link)
    }

    async fn connect(&self, hub: &Hub, patience: Duration, give_up: impl Fn() -> bool) -> Result<Link, Away> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(500);
        loop {
            let connected = match self.only_way {
                true => hub.connect_for_tunnels(&self.target).await,
                false => hub.connect(&self.target).await,
            };
            match connected {
                Ok(link) => return Ok(link),
                Err(e) if begun.elapsed() + pause > patience || give_up() => {
                    let hint = e.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
                    return Err(Away(format!("{e}{hint}")));
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_secs(8));
        }
    }

    pub(crate) async fn facts(&self, link: &Arc<Link>, account: &Account) -> Result<Facts, Away> {
        if let Some(facts) = self.seen(|seen| seen.facts.get(account).cloned()) {
            return Ok(facts);
        }
        let facts = link.facts(account).await.map_err(|e| Away(e.text))?;
        self.seen(|seen| seen.facts.insert(account.clone(), facts.clone()));
        Ok(facts)
    }

    /// A job whose result is in the journal: its script and output may go.
    pub(crate) fn acknowledge(&self, account: &Account, job: JobId) {
        self.seen(|seen| seen.unacknowledged.entry(account.clone()).or_default().push(job));
    }

    /// Ends the connection.
    pub(crate) async fn close(&self) {
        let link = self.link.lock().await.take();
        if let Some(Ok(link)) = link.map(Arc::try_unwrap) {
            link.close().await;
        }
    }

    /// Sends what `acknowledge` gathered. A failure costs nothing but room on the host.
    pub(crate) async fn flush(&self) {
        let waiting = self.seen(|seen| std::mem::take(&mut seen.unacknowledged));
        let Some(link) = self.current().await else { return };
        for (account, jobs) in waiting {
            let _ = link.ack(&account, &jobs).await;
        }
    }
}

pub(crate) fn identity_text(identity: &Identity) -> String {
    match identity {
        Identity::Id(id) => id.clone(),
        Identity::Place(place) => format!("({place})"),
    }
}

/// Who holds a lock, for the refusal that another controller shows.
pub(crate) fn controller_name() -> String {
    let controller = crate::journal::this_controller();
    format!("{}@{} (pid {})", controller.user, controller.machine, controller.pid)
}
