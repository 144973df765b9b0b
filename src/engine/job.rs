//! A job to its end, whatever happens to the connection: started at most once, found again, waited for.

use std::sync::Arc;
use std::time::Duration;

use super::host::{Away, Host};
use super::run::Run;
use crate::connection::{Account, Link, Start, UploadError, in_frame};
use crate::event::{Event, Intent};
use crate::id::{JobId, Unit};
use crate::job::JobState;
use crate::kind::{Job, Output, Upload, UploadFrom};
use crate::playbook::Step;

/// How a job ended, as far as it can be known.
#[derive(Clone, Debug)]
pub(crate) enum JobEnd {
    Done {
        output: Output,
        late: bool,
    },
    /// Nothing ran, and the host says why.
    Refused(String),
    /// It ran in part, wholly or not at all.
    Unknown(String),
    /// The host does not answer; what became of the job stands there.
    Away(String),
}

/// Uploads below this are not shown as progress.
const SHOWN_UPLOAD: u64 = 1 << 20;

impl Run {
    /// Sends those of a job's files that do not go in its frame. Nothing that runs or is read changes by it.
    pub(crate) async fn send(
        &self,
        host: &Arc<Host>,
        account: &Account,
        unit: &Unit,
        uploads: &[Upload],
    ) -> Result<(), JobEnd> {
        let (_, files) = in_frame(uploads);
        for upload in files {
            let mut tries = 0;
            loop {
                tries += 1;
                let link = host.link(self).await.map_err(|Away(text)| JobEnd::Away(text))?;
                let name = match &upload.from {
                    UploadFrom::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    UploadFrom::Bytes(_) => "content".to_owned(),
                };
                let shown = |sent: u64| {
                    if upload.size >= SHOWN_UPLOAD {
                        self.show(Event::Progress {
                            unit: unit.clone(),
                            text: format!("sending {name}"),
                            bytes: Some((sent, upload.size)),
                        });
                    }
                };
                match link.upload(account, upload, shown).await {
                    Ok(()) => break,
                    Err(UploadError::Failed(text)) => return Err(JobEnd::Refused(text)),
                    Err(UploadError::Lost(lost)) => {
                        host.drop_link(&link).await;
                        if tries >= 5 || self.stopping() {
                            return Err(JobEnd::Away(lost.text));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Brings one announced job to its end. `job` is None where its text is not known any more: it is then only
    /// looked for.
    pub(crate) async fn finish(
        &self,
        host: &Arc<Host>,
        account: &Account,
        id: &JobId,
        job: Option<&Job>,
        intent: (&str, &str),
    ) -> JobEnd {
        let (identity, boot) = intent;
        let mut losses = 0;
        loop {
            let link = match host.link(self).await {
                Ok(link) => link,
                Err(Away(text)) => return JobEnd::Away(text),
            };
            match self.step_towards(host, &link, account, id, job, (identity, boot)).await {
                Ok(Some(end)) => return end,
                Ok(None) => {}
                Err(text) => {
                    host.drop_link(&link).await;
                    losses += 1;
                    if losses > 20 {
                        return JobEnd::Away(text);
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    /// One look, and one move. Ok(None): look again. Err: the connection was lost.
    async fn step_towards(
        &self,
        host: &Arc<Host>,
        link: &Arc<Link>,
        account: &Account,
        id: &JobId,
        job: Option<&Job>,
        (identity, boot): (&str, &str),
    ) -> Result<Option<JobEnd>, String> {
        let states = link
            .status(account, std::slice::from_ref(id))
            .await
            .map_err(|e| e.text)?;
        let Some(state) = states.into_iter().next() else {
            return Ok(Some(JobEnd::Unknown("the host gave no answer about the job".into())));
        };
        match state {
            JobState::Running | JobState::OrphanRunning => {
                let state = link.wait(account, id, None).await.map_err(|e| e.text)?;
                Ok(ended(state))
            }
            JobState::None => {
                let (identity_now, boot_now) = host.held();
                if identity_now != identity {
                    return Ok(Some(JobEnd::Unknown(
                        "the host's state folder is another one than when the step was announced".into(),
                    )));
                }
                if boot_now != boot {
                    return Ok(Some(JobEnd::Unknown(
                        "the host was rebooted after the step was announced".into(),
                    )));
                }
                let Some(job) = job else {
                    return Ok(Some(JobEnd::Refused("announced, and never started".into())));
                };
                let (texts, _) = in_frame(&job.uploads);
                let start = Start {
                    id: id.clone(),
                    job,
                    go_on: &[],
                    files: texts.iter().map(|(sha, text)| (*sha, text.as_str())).collect(),
                };
                let mut state = None;
                link.jobs(account, &[start], |_, now| state = Some(now))
                    .await
                    .map_err(|e| e.text)?;
                Ok(state.and_then(ended))
            }
            state => Ok(ended(state)),
        }
    }
}

/// None: it still runs, or is not there.
pub(crate) fn ended(state: JobState) -> Option<JobEnd> {
    match state {
        JobState::Done { output, late } => Some(JobEnd::Done { output, late }),
        JobState::Interrupted { reboot: true } => {
            Some(JobEnd::Unknown("the host was rebooted while the step ran".into()))
        }
        JobState::Interrupted { reboot: false } => Some(JobEnd::Unknown(
            "the step's process was killed before it could report".into(),
        )),
        JobState::Corrupt(text) => Some(JobEnd::Unknown(text)),
        JobState::Refused(text) => Some(JobEnd::Refused(text)),
        JobState::None | JobState::Running | JobState::OrphanRunning => None,
    }
}

/// The intent event of an attempt.
pub(crate) fn intent(host: &Host, unit: &Unit, attempt: u32, job: &JobId, digest: &str, step: &Step) -> Event {
    let (identity, boot) = host.held();
    Event::Intent {
        unit: unit.clone(),
        attempt,
        job: job.clone(),
        boot,
        identity,
        digest: digest.to_owned(),
        kind: step.kind.name().to_owned(),
        undo: !step.undo.is_empty(),
    }
}

pub(crate) fn announced(intent: &Intent) -> (&str, &str) {
    (&intent.identity, &intent.boot)
}
