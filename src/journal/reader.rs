//! What can be asked of a journal.

use std::path::PathBuf;

use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::Message;
use super::{FindError, JournalError};
use crate::event::{Controller, Record};
use crate::id::{HostName, RunId};

/// A journal that is only read; an absent one has no runs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    pool: Option<SqlitePool>,
}

/// A run in the list of runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunSummary {
    pub(crate) run: RunId,
    pub(crate) playbook: PathBuf,
    /// The playbook's `name`.
    pub(crate) name: String,
    pub(crate) sources: Vec<String>,
    /// `running`, `done`, `failed`, `unknown`, `paused`, `interrupted`, `refused`, `closed`; a run that is `running`
    /// and whose controller is gone is `killed`.
    pub(crate) state: &'static str,
    pub(crate) exit: Option<u8>,
    pub(crate) started: jiff::Timestamp,
    pub(crate) ended: Option<jiff::Timestamp>,
    pub(crate) hosts: Vec<HostName>,
    /// Who drove it last.
    pub(crate) controller: Option<Controller>,
}

impl RunSummary {
    /// In the way of a new run on its hosts.
    pub(crate) fn unfinished(&self) -> bool {
        !matches!(self.state, "done" | "failed" | "refused" | "closed")
    }
}

const COLUMNS: &str = "SELECT run, playbook, name, sources, phase, exit, started, ended, hosts, controller FROM run";

impl Reader {
    pub(super) fn over(pool: SqlitePool) -> Reader {
        Reader { pool: Some(pool) }
    }

    pub(super) fn empty() -> Reader {
        Reader { pool: None }
    }

    /// The history of a run, oldest first; empty where there is no such run.
    pub(crate) async fn records(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        self.records_after(run, 0).await
    }

    /// The history of a run after the record `seq`.
    pub(crate) async fn records_after(&self, run: &RunId, seq: i64) -> Result<Vec<Record>, JournalError> {
        let Some(pool) = &self.pool else { return Ok(Vec::new()) };
        let rows = sqlx::query("SELECT seq, at, body FROM event WHERE run=? AND seq>? ORDER BY seq")
            .bind(run.as_str())
            .bind(seq)
            .fetch_all(pool)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Record {
                    seq: row.try_get(0)?,
                    run: run.clone(),
                    at: time(row.try_get(1)?)?,
                    event: serde_json::from_str(row.try_get(2)?)?,
                })
            })
            .collect()
    }

    /// All runs, newest first.
    pub(crate) async fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        self.summaries(&format!("{COLUMNS} ORDER BY run DESC"), &[]).await
    }

    pub(crate) async fn summary(&self, run: &RunId) -> Result<Option<RunSummary>, JournalError> {
        let found = self
            .summaries(&format!("{COLUMNS} WHERE run=?"), &[run.as_str()])
            .await?;
        Ok(found.into_iter().next())
    }

    /// The run whose id begins with `prefix`.
    pub(crate) async fn find(&self, prefix: &str) -> Result<RunId, FindError> {
        let all = self.summaries(&format!("{COLUMNS} ORDER BY run"), &[]).await?;
        let mut runs: Vec<RunId> = all
            .into_iter()
            .map(|summary| summary.run)
            .filter(|run| run.as_str().starts_with(prefix))
            .collect();
        match runs.len() {
            0 => Err(FindError::None(prefix.to_owned())),
            1 => Ok(runs.remove(0)),
            _ => Err(FindError::Ambiguous {
                prefix: prefix.to_owned(),
                runs,
            }),
        }
    }

    /// Runs that are in the way of a new one, newest first: running, killed, or ended with 4, 6, 130 or 143.
    pub(crate) async fn unfinished(&self) -> Result<Vec<RunSummary>, JournalError> {
        let mut runs = self
            .summaries(
                &format!(
                    "{COLUMNS} WHERE phase <> 'done' AND phase <> 'closed' AND phase <> 'refused' ORDER BY run DESC"
                ),
                &[],
            )
            .await?;
        runs.retain(RunSummary::unfinished);
        Ok(runs)
    }

    /// Runs on any of these hosts that are in the way of a new one, or ended with 2 or 3 and will be closed by it,
    /// newest first. A host is the same where its identity is; where either side has none yet, where its name is.
    pub(crate) async fn on_hosts(&self, hosts: &[(HostName, Option<String>)]) -> Result<Vec<RunSummary>, JournalError> {
        let Some(pool) = &self.pool else { return Ok(Vec::new()) };
        let mut open = self
            .summaries(
                &format!(
                    "{COLUMNS} WHERE phase <> 'done' AND phase <> 'closed' AND phase <> 'refused' ORDER BY run DESC"
                ),
                &[],
            )
            .await?;
        let rows = sqlx::query(
            "SELECT run, host, identity FROM run_host WHERE run IN
             (SELECT run FROM run WHERE phase <> 'done' AND phase <> 'closed' AND phase <> 'refused')",
        )
        .fetch_all(pool)
        .await?;
        let mut met = Vec::new();
        for row in &rows {
            let (run, name, identity): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let same = hosts.iter().any(|(host, now)| match now {
                Some(now) if !identity.is_empty() => *now == identity,
                _ => host.as_str() == name,
            });
            if same {
                met.push(run);
            }
        }
        open.retain(|summary| met.iter().any(|run| run == summary.run.as_str()));
        Ok(open)
    }

    /// Messages to the controller of a run after this one, oldest first, each with its place.
    pub(crate) async fn inbox(&self, run: &RunId, after: i64) -> Result<Vec<(i64, Message)>, JournalError> {
        let Some(pool) = &self.pool else { return Ok(Vec::new()) };
        let rows = sqlx::query("SELECT id, body FROM inbox WHERE run=? AND id>? ORDER BY id")
            .bind(run.as_str())
            .bind(after)
            .fetch_all(pool)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("id")?, serde_json::from_str(row.try_get("body")?)?)))
            .collect()
    }

    /// The key under which secrets stand in digests: 32 random bytes, made with the journal. Zeros where there is no
    /// journal.
    pub(crate) async fn key(&self) -> Result<[u8; 32], JournalError> {
        let Some(pool) = &self.pool else { return Ok([0; 32]) };
        let text: String = sqlx::query_scalar("SELECT value FROM about WHERE name='key'")
            .fetch_one(pool)
            .await?;
        let mut key = [0; 32];
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .ok_or_else(|| JournalError::Corrupt("its key is not hexadecimal".into()))?;
        }
        Ok(key)
    }

    async fn summaries(&self, query: &str, binds: &[&str]) -> Result<Vec<RunSummary>, JournalError> {
        let Some(pool) = &self.pool else { return Ok(Vec::new()) };
        let mut query = sqlx::query(sqlx::AssertSqlSafe(query.to_owned()));
        for bind in binds {
            query = query.bind((*bind).to_owned());
        }
        query.fetch_all(pool).await?.iter().map(summary).collect()
    }
}

fn time(text: &str) -> Result<jiff::Timestamp, JournalError> {
    text.parse()
        .map_err(|e| JournalError::Corrupt(format!("`{text}` is no time: {e}")))
}

fn summary(row: &SqliteRow) -> Result<RunSummary, JournalError> {
    let controller: Option<Controller> = row
        .try_get::<Option<&str>, _>("controller")?
        .map(serde_json::from_str)
        .transpose()?;
    let state = match row.try_get::<&str, _>("phase")? {
        "running" if controller.as_ref().is_some_and(super::lives) => "running",
        "running" => "killed",
        "done" => "done",
        "failed" => "failed",
        "unknown" => "unknown",
        "paused" => "paused",
        "interrupted" => "interrupted",
        "refused" => "refused",
        "closed" => "closed",
        other => return Err(JournalError::Corrupt(format!("`{other}` is no state of a run"))),
    };
    Ok(RunSummary {
        run: RunId::stored(row.try_get::<String, _>("run")?),
        playbook: row.try_get::<String, _>("playbook")?.into(),
        name: row.try_get("name")?,
        sources: serde_json::from_str(row.try_get("sources")?)?,
        state,
        exit: row.try_get::<Option<i64>, _>("exit")?.map(|exit| exit as u8),
        started: time(row.try_get("started")?)?,
        ended: row.try_get::<Option<&str>, _>("ended")?.map(time).transpose()?,
        hosts: serde_json::from_str(row.try_get("hosts")?)?,
        controller,
    })
}
