//! One host: its shells, facts and probes. Jobs, lock and uploads are in files of their own.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::id::RunId;
use crate::job;
use crate::job::{Facts, Output, Probe};
use crate::secret::Redactor;

use super::error::{Cause, ConnectError, Lost, ProbeError};
use super::master::Master;
use super::shell::{Broken, Reach, SECTION_LIMIT, Section, Shell, nonce};
use super::{Look, Target};

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Account {
    /// As whom ssh logs in.
    Login,
    /// Through `sudo -u`.
    Sudo(String),
}

/// What a short exchange may take.
pub(super) const SHORT: Duration = Duration::from_secs(30);
/// The least that opening a shell may take, however short the limit for connecting.
pub(super) const LEAST: Duration = Duration::from_secs(5);
/// A probe without a limit of its own.
pub(super) const PROBE: Duration = Duration::from_secs(30);

/// One host. All calls may come from several tasks; the shell of an account takes one frame at a time. A call that is
/// dropped in the middle ends its shell, and with it the probe that ran; jobs live on.
pub(crate) struct Link {
    pub(super) target: Target,
    pub(super) reach: Reach,
    pub(super) master: Option<Master>,
    pub(super) instance: String,
    redactor: Redactor,
    slots: Mutex<HashMap<Account, Arc<tokio::sync::Mutex<Slot>>>>,
    pub(super) lease: Mutex<Option<Arc<Lease>>>,
    pub(super) leases: AtomicU64,
    /// How many tunnels were opened.
    pub(super) tunnels: AtomicU64,
    /// What the last look at the state folder found; the lock does not look again.
    pub(super) looked: Mutex<Option<(Account, Look)>>,
}

/// The shell of one account and what its first frame said.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) shell: Option<Shell>,
    facts: Option<Facts>,
    xdg: String,
}

impl Slot {
    pub(super) fn uid(&self) -> u32 {
        self.facts.as_ref().map_or(u32::MAX, |facts| facts.uid)
    }

    /// The default folder of the account, whatever folder the holder has.
    pub(super) fn own_state_dir(&self) -> String {
        self.facts
            .as_ref()
            .map_or(String::new(), |facts| job::default_state_dir(facts, &self.xdg))
    }
}

/// The host lock as this link holds it.
pub(super) struct Lease {
    pub(super) number: u64,
    pub(super) holder: Account,
    pub(super) holder_uid: u32,
    pub(super) state_dir: String,
    pub(super) run: RunId,
    pub(super) epoch: i64,
    pub(super) controller: String,
    /// Accounts that keep a folder and a lock of their own, since the holder could give them none.
    pub(super) apart: Mutex<Vec<Account>>,
}

impl Link {
    pub(super) fn new(
        target: Target,
        reach: Reach,
        master: Option<Master>,
        instance: String,
        redactor: Redactor,
    ) -> Link {
        Link {
            target,
            reach,
            master,
            instance,
            redactor,
            slots: Mutex::default(),
            lease: Mutex::default(),
            leases: AtomicU64::new(0),
            tunnels: AtomicU64::new(0),
            looked: Mutex::default(),
        }
    }

    /// Opens the login's shell: a connection without one is of no use.
    pub(super) async fn greet(&self) -> Result<(), ConnectError> {
        let slot = self.slot(&Account::Login);
        let mut slot = slot.lock().await;
        let shell = self.take(&mut slot, &Account::Login).await?;
        slot.shell = Some(shell);
        Ok(())
    }

    pub(super) fn slot(&self, account: &Account) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(account.clone()).or_default().clone()
    }

    /// The account's shell out of its slot, opened where there is none. Who is done with it puts it back; who is
    /// dropped in the middle has closed it.
    pub(super) async fn take(&self, slot: &mut Slot, account: &Account) -> Result<Shell, ConnectError> {
        if let Some(shell) = slot.shell.take() {
            return Ok(shell);
        }
        if let Account::Sudo(user) = account
            && !super::good_become_user(user)
        {
            let text = format!("`{}` cannot be the name of an account", user.escape_debug());
            return Err(ConnectError::new(Cause::SudoRefused, text));
        }
        let limit = self.target.timeout.max(LEAST);
        let mut shell = match Shell::open(&self.reach, account, &self.target.sudo, &self.target.shell, limit).await {
            Ok(shell) => shell,
            Err(error) => return Err(self.explain(error).await),
        };
        let nonce = nonce();
        let text = format!("N={nonce}\n{}printf '\\n\\036%s facts\\n' $N\n", job::facts());
        let mut printed = String::new();
        let mut errors = Vec::new();
        let read = shell
            .frame(&nonce, &text, Some(limit), &mut errors, |section| {
                printed = String::from_utf8_lossy(&section.body).into_owned();
                Some(limit)
            })
            .await;
        let trouble = |text: String| ConnectError::new(Cause::NoShell, text);
        if let Err(broken) = read {
            return Err(self.explain(trouble(Lost::from(broken).text)).await);
        }
        let Some((mut facts, xdg)) = Facts::read(&printed) else {
            let said: String = errors
                .iter()
                .map(|section| String::from_utf8_lossy(&section.body))
                .collect();
            return Err(trouble(format!(
                "the shell does not behave as /bin/sh: {}",
                said.trim()
            )));
        };
        facts.state_dir = match &self.target.state_dir {
            Some(folder) => folder.clone(),
            None => job::default_state_dir(&facts, &xdg),
        };
        slot.facts = Some(facts);
        slot.xdg = xdg;
        Ok(shell)
    }

    /// An error of a channel, or the reason why the whole connection went.
    async fn explain(&self, error: ConnectError) -> ConnectError {
        match self.gone().await {
            Some(lost) => ConnectError {
                cause: Cause::Other,
                text: format!("{} ({})", lost.text, self.redactor.clean(&error.text)),
                hint: None,
            },
            None => {
                let said = self.master.as_ref().map_or(String::new(), Master::said);
                let text = if said.is_empty() {
                    error.text
                } else {
                    format!("{} (ssh: {said})", error.text)
                };
                ConnectError {
                    text: self.redactor.clean(&text),
                    cause: error.cause,
                    hint: error.hint,
                }
            }
        }
    }

    /// Why the connection ended, if it did; its end may be seen a moment after that of its channels.
    pub(crate) async fn gone(&self) -> Option<Lost> {
        let master = self.master.as_ref()?;
        tokio::time::timeout(Duration::from_millis(300), master.ended())
            .await
            .ok()
    }

    pub(super) async fn lost(&self, broken: Broken) -> Lost {
        match self.gone().await {
            Some(lost) => lost,
            None => Lost::from(broken),
        }
    }

    /// What the host is, for this account. `state_dir` is the lock holder's once the lock was taken.
    pub(crate) async fn facts(&self, account: &Account) -> Result<Facts, Lost> {
        let slot = self.slot(account);
        let mut slot = slot.lock().await;
        if slot.facts.is_none() || slot.shell.is_none() {
            let shell = self.take(&mut slot, account).await?;
            slot.shell = Some(shell);
        }
        let mut facts = slot.facts.clone().unwrap_or_default();
        if let Some(lease) = self.lease() {
            facts.state_dir.clone_from(&lease.state_dir);
        }
        Ok(facts)
    }

    pub(super) fn lease(&self) -> Option<Arc<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All probes in one frame, one round trip; each in a subshell of its own. One that is over its limit, or ends the
    /// shell, is ended with it, and the others run in a new one.
    pub(crate) async fn probes(
        &self,
        account: &Account,
        probes: &[Probe],
    ) -> Result<Vec<Result<Output, ProbeError>>, Lost> {
        let mut results: Vec<Option<Result<Output, ProbeError>>> = probes.iter().map(|_| None).collect();
        let limit = |index: usize| probes.get(index).and_then(|probe| probe.timeout).unwrap_or(PROBE);
        loop {
            let nonce = nonce();
            let mut text = String::new();
            let mut todo = Vec::new();
            for (index, probe) in probes.iter().enumerate() {
                if results[index].is_some() {
                    continue;
                }
                match job::probe(&nonce, index, probe) {
                    Ok(part) => {
                        text.push_str(&part);
                        todo.push(index);
                    }
                    Err(why) => results[index] = Some(Err(ProbeError::Invalid(why))),
                }
            }
            let Some(first) = todo.first() else {
                break;
            };
            let slot = self.slot(account);
            let mut slot = slot.lock().await;
            let mut shell = self.take(&mut slot, account).await?;
            let mut outs = Vec::new();
            let mut errors = Vec::new();
            let ended = shell
                .frame(&nonce, &text, Some(limit(*first)), &mut errors, |section| {
                    outs.push(section);
                    Some(todo.get(outs.len()).map_or(SHORT, |next| limit(*next)))
                })
                .await;
            let running = todo.get(outs.len()).copied();
            pair(outs, errors, &mut results);
            match (ended, running) {
                (Ok(()), _) => {
                    slot.shell = Some(shell);
                    break;
                }
                (Err(Broken::Silent(limit)), Some(running)) => {
                    results[running] = Some(Err(ProbeError::Timeout(limit)));
                }
                (Err(Broken::Ended(printed)), Some(running)) => match self.gone().await {
                    Some(lost) => return Err(lost),
                    None => results[running] = Some(Err(ProbeError::Ended(printed))),
                },
                (Err(broken), None) => return Err(self.lost(broken).await),
            }
        }
        Ok(results
            .into_iter()
            .map(|result| result.unwrap_or_else(|| Err(ProbeError::Ended(String::new()))))
            .collect())
    }

    /// Ends the shells and the connection. Jobs live on.
    pub(crate) async fn close(self) {
        let slots: Vec<_> = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.drain().collect()
        };
        for (_, slot) in slots {
            slot.lock().await.shell = None;
        }
        drop(self.reach);
        if let Some(master) = self.master {
            master.close().await;
        }
    }
}

/// Puts together what probes printed on both streams, by the index in the markers.
fn pair(outs: Vec<Section>, errors: Vec<Section>, results: &mut [Option<Result<Output, ProbeError>>]) {
    let mut stderr: HashMap<usize, Section> = HashMap::new();
    for section in errors {
        if let Some(index) = section.words.strip_prefix("err ").and_then(|index| index.parse().ok()) {
            stderr.insert(index, section);
        }
    }
    for out in outs {
        let mut words = out.words.split(' ').skip(1);
        let (Some(Ok(index)), Some(Ok(rc))) = (words.next().map(str::parse::<usize>), words.next().map(str::parse))
        else {
            continue;
        };
        let error = stderr.remove(&index).unwrap_or_default();
        let too_much = out.dropped > 0 || error.dropped > 0;
        if let Some(result) = results.get_mut(index) {
            *result = Some(if too_much {
                Err(ProbeError::TooMuch(SECTION_LIMIT))
            } else {
                Ok(Output {
                    rc,
                    stdout: String::from_utf8_lossy(&out.body).into_owned(),
                    stderr: String::from_utf8_lossy(&error.body).into_owned(),
                })
            });
        }
    }
}
