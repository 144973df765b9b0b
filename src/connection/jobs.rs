//! Jobs over a link: start, status, adoption, acknowledgement.

use std::time::{Duration, Instant};

use crate::id::JobId;
use crate::job::{self, JobState, OUTPUT_LIMIT, Part, Start};

use super::error::{Cause, Lost};
use super::link::{Account, Lease, Link, PROBE, SHORT, Slot};
use super::lock::Answer;
use super::shell::{Section, Shell, nonce};

impl Link {
    /// `parts` without anything to look at.
    pub(crate) async fn jobs(
        &self,
        account: &Account,
        jobs: &[Start<'_>],
        on: impl FnMut(usize, JobState) + Send,
    ) -> Result<(), Lost> {
        let parts: Vec<Part<'_>> = jobs.iter().map(Part::Job).collect();
        self.parts(account, &parts, on).await
    }

    /// One frame that starts jobs, and looks at things, in order. Each state is given to `on` as it comes; after the first that is not
    /// Done with an exit code its `go_on` holds, no further one is started and `on` is not called for the rest. The
    /// lock must be held, and the jobs' uploads must have been sent. Sending the same jobs again is safe: none starts twice. An error says nothing about any
    /// effect; `Cause::Fenced` means that another run or controller has the host.
    pub(crate) async fn parts(
        &self,
        account: &Account,
        parts: &[Part<'_>],
        on: impl FnMut(usize, JobState) + Send,
    ) -> Result<(), Lost> {
        let nonce = nonce();
        let text = match job::jobs(&nonce, parts) {
            Ok(text) => text,
            Err(_) => return self.one_by_one(account, parts, on).await,
        };
        self.part_states(account, parts, &nonce, &text, on).await
    }

    async fn part_states(
        &self,
        account: &Account,
        parts: &[Part<'_>],
        nonce: &str,
        text: &str,
        on: impl FnMut(usize, JobState) + Send,
    ) -> Result<(), Lost> {
        let ids: Vec<Option<&JobId>> = parts
            .iter()
            .map(|part| match part {
                Part::Job(start) => Some(&start.id),
                Part::Look(_) => None,
            })
            .collect();
        let limit = |next: usize| match parts.get(next) {
            Some(Part::Look(probe)) => Some(probe.timeout.unwrap_or(PROBE)),
            _ => None,
        };
        self.states(account, &ids, nonce, text, limit, on).await
    }

    /// One of the parts cannot be sent: those before it are, and it is refused.
    async fn one_by_one(
        &self,
        account: &Account,
        parts: &[Part<'_>],
        mut on: impl FnMut(usize, JobState) + Send,
    ) -> Result<(), Lost> {
        for (index, part) in parts.iter().enumerate() {
            let nonce = nonce();
            let one = std::slice::from_ref(part);
            let text = match job::jobs(&nonce, one) {
                Ok(text) => text,
                Err(why) => {
                    on(index, JobState::Refused(why));
                    return Ok(());
                }
            };
            let mut go_on = false;
            self.part_states(account, one, &nonce, &text, |_, state| {
                go_on = match (&state, part) {
                    (JobState::Done { output, .. }, Part::Job(start)) => {
                        start.go_on.is_empty() || start.go_on.contains(&output.rc)
                    }
                    (JobState::Done { output, .. }, Part::Look(_)) => output.rc == 0,
                    _ => false,
                };
                on(index, state);
            })
            .await?;
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    /// What became of jobs, after a reconnect.
    pub(crate) async fn status(&self, account: &Account, ids: &[JobId]) -> Result<Vec<JobState>, Lost> {
        let nonce = nonce();
        let mut states: Vec<Option<JobState>> = ids.iter().map(|_| None).collect();
        let named: Vec<Option<&JobId>> = ids.iter().map(Some).collect();
        self.states(
            account,
            &named,
            &nonce,
            &job::status(&nonce, ids),
            |_| Some(SHORT),
            |index, state| {
                states[index] = Some(state);
            },
        )
        .await?;
        states
            .into_iter()
            .map(|state| state.ok_or_else(|| Lost::new("the host did not speak of every job")))
            .collect()
    }

    /// Waits for the end of a job that runs; gives its state then, or Running or OrphanRunning when `limit` is over.
    pub(crate) async fn wait(&self, account: &Account, id: &JobId, limit: Option<Duration>) -> Result<JobState, Lost> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            // The wait is on the host and short, so that other frames of the account get their turn.
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs());
            let seconds = left.unwrap_or(10).clamp(1, 10);
            let nonce = nonce();
            let mut last = None;
            self.states(
                account,
                &[Some(id)],
                &nonce,
                &job::wait(&nonce, id, seconds),
                |_| Some(SHORT * 2),
                |_, state| {
                    last = Some(state);
                },
            )
            .await?;
            match last {
                Some(JobState::Running | JobState::OrphanRunning) if deadline.is_none_or(|at| Instant::now() < at) => {}
                Some(state) => return Ok(state),
                None => return Err(Lost::new("the host did not speak of the job")),
            }
        }
    }

    /// The results are in the journal: removes scripts and outputs, keeps the claims, so that nothing runs again.
    pub(crate) async fn ack(&self, account: &Account, ids: &[JobId]) -> Result<(), Lost> {
        if ids.is_empty() {
            return Ok(());
        }
        let nonce = nonce();
        let named: Vec<Option<&JobId>> = ids.iter().map(Some).collect();
        let text = job::ack(&nonce, ids);
        self.states(account, &named, &nonce, &text, |_| Some(SHORT), |_, _| {})
            .await
    }

    /// Runs a frame of the account's prepared shell and reads the sections `out`, `err`, `job INDEX STATE`. `ids` has None
    /// for what is no job; `limit` says how long the part with this index may be silent.
    async fn states(
        &self,
        account: &Account,
        ids: &[Option<&JobId>],
        nonce: &str,
        text: &str,
        limit: impl Fn(usize) -> Option<Duration> + Send,
        mut on: impl FnMut(usize, JobState) + Send,
    ) -> Result<(), Lost> {
        let lease = self.lease().ok_or_else(|| Lost {
            text: "the host lock is not held".to_owned(),
            cause: Some(Cause::Fenced),
        })?;
        if let Some(bad) = ids.iter().flatten().find(|id| !job::good_id(id)) {
            return Err(Lost::new(format!("`{}` is no job id", bad.as_str().escape_debug())));
        }
        let slot = self.slot(account);
        let mut slot = slot.lock().await;
        let mut shell = self.prepared(&mut slot, account, &lease).await?;
        let mut errors = Vec::new();
        let (mut out, mut err) = (Section::default(), Section::default());
        let mut fenced = false;
        let mut long = Vec::new();
        let mut next = 0;
        let ended = shell
            .frame(nonce, text, limit(next), &mut errors, |section| {
                match section.words.split_once(' ') {
                    None if section.words == "out" => out = section,
                    None if section.words == "err" => err = section,
                    Some(("job", rest)) => {
                        let (index, words) = rest.split_once(' ').unwrap_or((rest, ""));
                        let index: usize = index.parse().unwrap_or(usize::MAX);
                        let (out, err) = (std::mem::take(&mut out), std::mem::take(&mut err));
                        let Some(id) = ids.get(index) else {
                            return limit(next);
                        };
                        next = index + 1;
                        if let Some(id) = id
                            && (out.body.len() > OUTPUT_LIMIT || err.body.len() > OUTPUT_LIMIT)
                        {
                            long.push((index, *id, words.to_owned(), out.body, err.body));
                            return limit(next);
                        }
                        match job::state(words, out.body, err.body) {
                            Some(state) => on(index, state),
                            None => fenced = true,
                        }
                    }
                    _ => {}
                }
                limit(next)
            })
            .await;
        if let Err(broken) = ended {
            return Err(self.lost(broken).await);
        }
        for (index, id, words, mut out, mut err) in long {
            for (name, body) in [("out", &mut out), ("err", &mut err)] {
                if body.len() > OUTPUT_LIMIT {
                    self.shorten(&mut shell, id, name, body).await?;
                }
            }
            if let Some(state) = job::state(&words, out, err) {
                on(index, state);
            }
        }
        slot.shell = Some(shell);
        if fenced {
            return Err(Lost {
                text: "the host has seen a newer controller; nothing more is started".to_owned(),
                cause: Some(Cause::Fenced),
            });
        }
        Ok(())
    }

    /// Leaves the first half and the last of a long output, and says how much is missing between them.
    async fn shorten(&self, shell: &mut Shell, id: &JobId, name: &str, body: &mut Vec<u8>) -> Result<(), Lost> {
        let nonce = nonce();
        let (mut size, mut tail) = (String::new(), Vec::new());
        let ended = shell
            .frame(
                &nonce,
                &job::tail(&nonce, id, name),
                Some(SHORT),
                &mut Vec::new(),
                |section| {
                    match section.words.as_str() {
                        "size" => size = String::from_utf8_lossy(&section.body).trim().to_owned(),
                        _ => tail = section.body,
                    }
                    Some(SHORT)
                },
            )
            .await;
        if let Err(broken) = ended {
            return Err(self.lost(broken).await);
        }
        let total: usize = size.parse().unwrap_or(0);
        let half = OUTPUT_LIMIT / 2;
        body.truncate(half);
        let left_out = total.saturating_sub(half + tail.len());
        body.extend_from_slice(format!("\n[… {left_out} bytes left out …]\n").as_bytes());
        body.extend_from_slice(&tail);
        Ok(())
    }

    /// The account's shell, with lock or fence looked at under this lease.
    async fn prepared(&self, slot: &mut Slot, account: &Account, lease: &Lease) -> Result<Shell, Lost> {
        let mut shell = self.take(slot, account).await?;
        if shell.prepared == lease.number {
            return Ok(shell);
        }
        match self.prepare(&mut shell, slot, account, lease).await? {
            Answer::Ok { .. } => {
                shell.prepared = lease.number;
                Ok(shell)
            }
            refused => Err(Lost {
                text: refused.to_string(),
                cause: Some(if matches!(refused, Answer::Bad(_)) {
                    Cause::StateDir
                } else {
                    Cause::Fenced
                }),
            }),
        }
    }
}
