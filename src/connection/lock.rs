//! The host lock and the look before it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::RunId;
use crate::job;
use crate::job::Facts;

use super::error::{Cause, Holder, LockError, Lost};
use super::link::{Account, Lease, Link, SHORT, Slot};
use super::shell::{Section, Shell, nonce};

/// What tells one host from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// The random id file.
    Id(String),
    /// No id file yet: machine-id, boot id, real path of the state folder, uid.
    Place(String),
}

/// The lock, once it is ours.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) identity: Identity,
    pub(crate) boot_id: String,
    /// Whom it was taken from.
    pub(crate) taken_from: Option<Holder>,
}

/// Facts about a state folder, read without touching it.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateDir {
    pub(crate) path: String,
    pub(crate) exists: bool,
    pub(crate) filesystem: String,
    /// Bytes free for the account where the folder is or would be.
    pub(crate) free: u64,
    /// What makes it unusable: noexec, read-only, tmpfs, nfs, a parent others may write to, a missing program.
    pub(crate) problems: Vec<String>,
}

/// What preflight sees.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) facts: Facts,
    pub(crate) identity: Identity,
    pub(crate) holder: Option<Holder>,
    /// 0 where there is none.
    pub(crate) fence: i64,
    pub(crate) state: StateDir,
}

/// What a host answers to whoever wants the lock.
pub(super) enum Answer {
    Ok { id: String, was: Option<Holder> },
    Held(Option<Holder>),
    Stale(i64),
    Bad(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Ok { .. } => f.write_str("locked"),
            Answer::Held(Some(holder)) => write!(f, "locked by run {} of {}", holder.run, holder.controller),
            Answer::Held(None) => f.write_str("locked by another run"),
            Answer::Stale(fence) => write!(f, "this controller is outdated: the host has seen epoch {fence}"),
            Answer::Bad(text) => f.write_str(text),
        }
    }
}

fn text(section: &Section) -> String {
    String::from_utf8_lossy(&section.body).trim().to_owned()
}

fn holder(text: &str, live: bool) -> Option<Holder> {
    let owner = job::owner(text)?;
    Some(Holder {
        run: owner.run,
        epoch: owner.epoch,
        controller: owner.controller,
        since: owner.since,
        live,
    })
}

impl Link {
    /// Reads what preflight wants to know; changes nothing, not even a folder.
    pub(crate) async fn look(&self, account: &Account) -> Result<Look, Lost> {
        let mut facts = self.facts(account).await?;
        facts.state_dir = match &self.target.state_dir {
            Some(folder) => folder.clone(),
            None => self.slot(account).lock().await.own_state_dir(),
        };
        let look = self.look_at(account, facts).await?;
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some((account.clone(), look.clone()));
        Ok(look)
    }

    fn looked(&self, account: &Account) -> Option<Look> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        (looked.0 == *account).then_some(looked.1)
    }

    async fn look_at(&self, account: &Account, facts: Facts) -> Result<Look, Lost> {
        if !job::good_path(&facts.state_dir) {
            return Err(Lost {
                text: format!(
                    "`{}` cannot be a state folder: set refit_state_dir to a plain absolute path",
                    facts.state_dir.escape_debug()
                ),
                cause: Some(Cause::StateDir),
            });
        }
        let nonce = nonce();
        let mut sections = std::collections::HashMap::new();
        self.exchange(account, &nonce, &job::look(&nonce, &facts.state_dir), |section| {
            let body = String::from_utf8_lossy(&section.body).into_owned();
            sections.insert(section.words, body);
        })
        .await?;
        let get = |name: &str| sections.get(name).map_or("", String::as_str);
        let writable = get("writable") != "no";
        let place = job::place(
            facts.uid,
            get("place"),
            get("parents"),
            get("df"),
            get("mounts"),
            writable,
        );
        let mut problems = place.problems;
        for program in ["flock", "setsid", "sha256sum", "sync"] {
            if !facts.programs.iter().any(|have| have == program) {
                problems.push(format!("the host lacks {program}"));
            }
        }
        if facts.boot_id.is_empty() {
            problems.push("/proc/sys/kernel/random/boot_id cannot be read".to_owned());
        }
        let id = get("id").trim();
        let identity = if id.is_empty() {
            Identity::Place(format!(
                "{} {} {} {}",
                place.machine, facts.boot_id, place.real, facts.uid
            ))
        } else {
            Identity::Id(id.to_owned())
        };
        let fence = get("fence")
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0);
        Ok(Look {
            identity,
            holder: holder(get("owner"), get("live") == "yes"),
            fence,
            state: StateDir {
                path: facts.state_dir.clone(),
                exists: place.exists,
                filesystem: place.filesystem,
                free: place.free,
                problems,
            },
            facts,
        })
    }

    /// One short frame in the account's shell.
    pub(super) async fn exchange(
        &self,
        account: &Account,
        nonce: &str,
        text: impl AsRef<[u8]>,
        mut on: impl FnMut(Section),
    ) -> Result<(), Lost> {
        let slot = self.slot(account);
        let mut slot = slot.lock().await;
        let mut shell = self.take(&mut slot, account).await?;
        let ended = shell
            .frame(nonce, text, Some(SHORT), &mut Vec::new(), |section| {
                on(section);
                Some(SHORT)
            })
            .await;
        match ended {
            Ok(()) => {
                slot.shell = Some(shell);
                Ok(())
            }
            Err(broken) => Err(self.lost(broken).await),
        }
    }

    /// Takes the host lock as `holder`, the most privileged account of the run, and makes the folders of `others`.
    /// The same run enters again, with a higher epoch where another controller of it is still connected; `takeover`
    /// takes it from another run and needs an epoch that is at least the fence.
    pub(crate) async fn lock(
        &self,
        holder: &Account,
        others: &[Account],
        run: &RunId,
        epoch: i64,
        controller: &str,
        takeover: bool,
    ) -> Result<Held, LockError> {
        let look = match self.looked(holder) {
            Some(look) => look,
            None => self.look(holder).await.map_err(|lost| match lost.cause {
                Some(Cause::StateDir) => LockError::StateDir(lost.text),
                _ => LockError::Lost(lost),
            })?,
        };
        if !look.state.problems.is_empty() {
            return Err(LockError::StateDir(look.state.problems.join("; ")));
        }
        let mut uids = Vec::new();
        if look.facts.uid == 0 {
            for other in others {
                let uid = self.facts(other).await?.uid;
                if uid != 0 && !uids.contains(&uid) {
                    uids.push(uid);
                }
            }
        }
        let lease = Lease {
            number: self.leases.fetch_add(1, Ordering::Relaxed) + 1,
            holder: holder.clone(),
            holder_uid: look.facts.uid,
            state_dir: look.facts.state_dir.clone(),
            run: run.clone(),
            epoch,
            controller: controller.to_owned(),
            apart: Mutex::default(),
        };
        let slot = self.slot(holder);
        let mut slot = slot.lock().await;
        let mut shell = self.take(&mut slot, holder).await.map_err(Lost::from)?;
        let answer = self
            .take_lock(&mut shell, &lease, &lease.state_dir, takeover, &uids)
            .await?;
        match answer {
            Answer::Ok { id, was } => {
                shell.prepared = lease.number;
                slot.shell = Some(shell);
                *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(lease));
                Ok(Held {
                    identity: Identity::Id(id),
                    boot_id: look.facts.boot_id,
                    taken_from: was,
                })
            }
            refused => {
                slot.shell = Some(shell);
                drop(slot);
                Err(match refused {
                    Answer::Held(Some(mut found)) => {
                        let seen = self.look(holder).await?.holder;
                        found.live = seen.is_some_and(|seen| seen.live && seen.run == found.run);
                        LockError::HeldBy(found)
                    }
                    Answer::Stale(fence) => LockError::Stale { fence },
                    other => LockError::StateDir(other.to_string()),
                })
            }
        }
    }

    async fn take_lock(
        &self,
        shell: &mut Shell,
        lease: &Lease,
        state_dir: &str,
        takeover: bool,
        uids: &[u32],
    ) -> Result<Answer, Lost> {
        let nonce = nonce();
        let text = job::lock(
            &nonce,
            state_dir,
            &lease.run,
            lease.epoch,
            &self.instance,
            &lease.controller,
            takeover,
            &super::shell::nonce(),
            uids,
        );
        self.ask(shell, &nonce, &text).await
    }

    async fn ask(&self, shell: &mut Shell, nonce: &str, frame: &str) -> Result<Answer, Lost> {
        let mut was = None;
        let mut answer = None;
        let mut errors = Vec::new();
        let ended = shell
            .frame(nonce, frame, Some(SHORT), &mut errors, |section| {
                match section.words.as_str() {
                    "lock was" => was = holder(&text(&section), false),
                    "lock ok" => {
                        answer = Some(Answer::Ok {
                            id: text(&section),
                            was: was.take(),
                        })
                    }
                    "lock held" => answer = Some(Answer::Held(holder(&text(&section), false))),
                    "lock bad" => answer = Some(Answer::Bad(text(&section))),
                    words => {
                        if let Some(fence) = words.strip_prefix("lock stale ") {
                            answer = Some(Answer::Stale(fence.parse().unwrap_or(i64::MAX)));
                        }
                    }
                }
                Some(SHORT)
            })
            .await;
        if let Err(broken) = ended {
            return Err(self.lost(broken).await);
        }
        Ok(answer.unwrap_or_else(|| Answer::Bad(errors.iter().map(text).collect())))
    }

    /// What a shell needs before jobs: the lock again for the holder, its own folder for another account.
    pub(super) async fn prepare(
        &self,
        shell: &mut Shell,
        slot: &Slot,
        account: &Account,
        lease: &Lease,
    ) -> Result<Answer, Lost> {
        let (folder, apart) = self.folder(slot, account, lease);
        if *account == lease.holder {
            return self.take_lock(shell, lease, &lease.state_dir, false, &[]).await;
        }
        if !job::good_path(&folder) {
            return Ok(Answer::Bad(format!(
                "`{}` cannot be a state folder",
                folder.escape_debug()
            )));
        }
        if apart {
            let answer = self.take_lock(shell, lease, &folder, false, &[]).await?;
            let mut all = lease.apart.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(answer, Answer::Ok { .. }) && !all.contains(account) {
                all.push(account.clone());
            }
            return Ok(answer);
        }
        let fence = if folder == lease.state_dir {
            format!("{folder}/fence")
        } else {
            format!("{}/fence-{}", lease.state_dir, slot.uid())
        };
        let nonce = nonce();
        let text = job::join(&nonce, &folder, &fence, lease.epoch);
        self.ask(shell, &nonce, &text).await
    }

    /// The account's folder under a lease, and whether it stands apart from the holder's.
    pub(super) fn folder(&self, slot: &Slot, account: &Account, lease: &Lease) -> (String, bool) {
        let uid = slot.uid();
        if *account == lease.holder || uid == lease.holder_uid {
            (lease.state_dir.clone(), false)
        } else if lease.holder_uid == 0 {
            (format!("{}/u-{uid}", lease.state_dir), false)
        } else {
            (slot.own_state_dir(), true)
        }
    }

    /// The run ended: the lock is free for others; fence and id stay.
    pub(crate) async fn unlock(&self) -> Result<(), Lost> {
        let Some(lease) = self.lease() else {
            return Ok(());
        };
        let mut accounts = lease.apart.lock().unwrap_or_else(PoisonError::into_inner).clone();
        accounts.push(lease.holder.clone());
        for account in accounts {
            let slot = self.slot(&account);
            let mut slot = slot.lock().await;
            let mut shell = self.take(&mut slot, &account).await?;
            if shell.prepared != lease.number {
                match self.prepare(&mut shell, &slot, &account, &lease).await? {
                    Answer::Ok { .. } => {}
                    refused => {
                        return Err(Lost {
                            text: refused.to_string(),
                            cause: Some(Cause::Fenced),
                        });
                    }
                }
            }
            let nonce = nonce();
            let mut errors = Vec::new();
            let ended = shell
                .frame(&nonce, &job::unlock(&nonce), Some(SHORT), &mut errors, |_| Some(SHORT))
                .await;
            if let Err(broken) = ended {
                return Err(self.lost(broken).await);
            }
            shell.prepared = 0;
            slot.shell = Some(shell);
        }
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Prepares the login's shell as if it were the account of another lock holder.
    #[cfg(test)]
    pub(super) async fn join_for_test(&self) {
        let Some(lease) = self.lease() else {
            return;
        };
        let slot = self.slot(&Account::Login);
        let mut slot = slot.lock().await;
        let Ok(mut shell) = self.take(&mut slot, &Account::Login).await else {
            return;
        };
        let nonce = nonce();
        let text = job::join(
            &nonce,
            &lease.state_dir,
            &format!("{}/fence", lease.state_dir),
            lease.epoch,
        );
        let _ = self.ask(&mut shell, &nonce, &text).await;
        shell.prepared = lease.number;
        slot.shell = Some(shell);
    }
}
