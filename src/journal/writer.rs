//! The one task that writes.

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::JournalError;
use super::Message;
use crate::event::{Controller, Event, Record, RunEnd};
use crate::id::RunId;

pub(super) enum Request {
    Lease {
        run: RunId,
        controller: Controller,
        at_least: i64,
        takeover: bool,
        answer: oneshot::Sender<Result<i64, JournalError>>,
    },
    Append {
        run: RunId,
        epoch: i64,
        events: Vec<Event>,
        answer: oneshot::Sender<Result<Vec<Record>, JournalError>>,
    },
    Post {
        run: RunId,
        message: Message,
        answer: oneshot::Sender<Result<(), JournalError>>,
    },
}

/// An answer that waits for the commit.
enum Answer {
    Lease(oneshot::Sender<Result<i64, JournalError>>, Result<i64, JournalError>),
    Append(
        oneshot::Sender<Result<Vec<Record>, JournalError>>,
        Result<Vec<Record>, JournalError>,
    ),
    Post(oneshot::Sender<Result<(), JournalError>>),
}

impl Answer {
    fn give(self, failed: Option<&JournalError>) {
        // A caller that went away has no use for it.
        match (self, failed) {
            (Answer::Lease(to, result), None) => drop(to.send(result)),
            (Answer::Append(to, result), None) => drop(to.send(result)),
            (Answer::Post(to), None) => drop(to.send(Ok(()))),
            (Answer::Post(to), Some(e)) => drop(to.send(Err(e.clone()))),
            (Answer::Lease(to, _), Some(e)) => drop(to.send(Err(e.clone()))),
            (Answer::Append(to, _), Some(e)) => drop(to.send(Err(e.clone()))),
        }
    }
}

/// Requests that share one commit at most.
const GROUP: usize = 512;

pub(super) async fn write(mut db: SqliteConnection, mut inbox: mpsc::UnboundedReceiver<Request>) {
    let mut broken: Option<JournalError> = None;
    let mut group = Vec::new();
    while inbox.recv_many(&mut group, GROUP).await > 0 {
        let mut answers = Vec::with_capacity(group.len());
        if broken.is_none()
            && let Err(e) = commit(&mut db, &mut group, &mut answers).await
        {
            broken = Some(e);
        }
        for answer in answers {
            answer.give(broken.as_ref());
        }
        for request in group.drain(..) {
            let error = broken.clone().unwrap_or(JournalError::Gone);
            match request {
                Request::Lease { answer, .. } => drop(answer.send(Err(error))),
                Request::Append { answer, .. } => drop(answer.send(Err(error))),
                Request::Post { answer, .. } => drop(answer.send(Err(error))),
            }
        }
    }
    // Nobody is left to tell.
    let _ = db.close().await;
}

/// Carries a group out in one transaction. A refusal is the answer to its own request; an error concerns all.
async fn commit(
    db: &mut SqliteConnection,
    group: &mut Vec<Request>,
    answers: &mut Vec<Answer>,
) -> Result<(), JournalError> {
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
    let mut appended = false;
    for request in group.drain(..) {
        match request {
            Request::Lease {
                run,
                controller,
                at_least,
                takeover,
                answer,
            } => {
                let result = lease(&mut transaction, &run, &controller, at_least, takeover).await;
                let (own, fatal) = sort(result);
                answers.push(Answer::Lease(answer, own));
                fatal?;
            }
            Request::Append {
                run,
                epoch,
                events,
                answer,
            } => {
                let result = append(&mut transaction, &run, epoch, events).await;
                let (own, fatal) = sort(result);
                appended |= own.is_ok();
                answers.push(Answer::Append(answer, own));
                fatal?;
            }
            Request::Post { run, message, answer } => {
                answers.push(Answer::Post(answer));
                sqlx::query("INSERT INTO inbox(run, at, body) VALUES(?,?,?)")
                    .bind(run.as_str().to_owned())
                    .bind(jiff::Timestamp::now().to_string())
                    .bind(serde_json::to_string(&message)?)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
    }
    transaction.commit().await?;
    #[cfg(debug_assertions)]
    if appended {
        crash_test();
    }
    #[cfg(not(debug_assertions))]
    let _ = appended;
    Ok(())
}

/// What only its own caller must hear, and what ends everything.
fn sort<T>(result: Result<T, JournalError>) -> (Result<T, JournalError>, Result<(), JournalError>) {
    match result {
        Err(e @ (JournalError::Alive { .. } | JournalError::Superseded { .. })) => (Err(e), Ok(())),
        Err(e) => (Err(e.clone()), Err(e)),
        Ok(value) => (Ok(value), Ok(())),
    }
}

async fn lease(
    db: &mut SqliteConnection,
    run: &RunId,
    controller: &Controller,
    at_least: i64,
    takeover: bool,
) -> Result<i64, JournalError> {
    let holder: Option<String> = sqlx::query_scalar("SELECT holder FROM lease WHERE run=?")
        .bind(run.as_str())
        .fetch_optional(&mut *db)
        .await?;
    if let (false, Some(holder)) = (takeover, holder) {
        let holder: Controller = serde_json::from_str(&holder)?;
        if holder != *controller && super::lives(&holder) {
            return Err(JournalError::Alive {
                run: run.clone(),
                controller: Box::new(holder),
            });
        }
    }
    // One sequence for all runs of the journal, since a host's fence outlives a run.
    let epoch = sqlx::query_scalar(
        "INSERT INTO lease(run, epoch, holder, since)
         VALUES(?, (SELECT max(coalesce(max(epoch), 0) + 1, ?) FROM lease), ?, ?)
         ON CONFLICT(run) DO UPDATE SET epoch=excluded.epoch, holder=excluded.holder, since=excluded.since
         RETURNING epoch",
    )
    .bind(run.as_str())
    .bind(at_least)
    .bind(serde_json::to_string(controller)?)
    .bind(jiff::Timestamp::now().to_string())
    .fetch_one(&mut *db)
    .await?;
    Ok(epoch)
}

async fn append(
    db: &mut SqliteConnection,
    run: &RunId,
    epoch: i64,
    events: Vec<Event>,
) -> Result<Vec<Record>, JournalError> {
    let now: i64 = sqlx::query_scalar("SELECT coalesce((SELECT epoch FROM lease WHERE run=?), 0)")
        .bind(run.as_str())
        .fetch_one(&mut *db)
        .await?;
    if now != epoch {
        return Err(JournalError::Superseded {
            run: run.clone(),
            ours: epoch,
            now,
        });
    }
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM event WHERE run=?")
        .bind(run.as_str())
        .fetch_one(&mut *db)
        .await?;
    let at = jiff::Timestamp::now();
    let mut records = Vec::with_capacity(events.len());
    for (seq, event) in (last + 1..).zip(events) {
        sqlx::query("INSERT INTO event(run, seq, at, epoch, body) VALUES(?, ?, ?, ?, ?)")
            .bind(run.as_str())
            .bind(seq)
            .bind(at.to_string())
            .bind(epoch)
            .bind(serde_json::to_string(&event)?)
            .execute(&mut *db)
            .await?;
        summarise(db, run, &at, &event).await?;
        records.push(Record {
            seq,
            run: run.clone(),
            at,
            event,
        });
    }
    Ok(records)
}

/// Keeps the columns of the list of runs up to date.
async fn summarise(
    db: &mut SqliteConnection,
    run: &RunId,
    at: &jiff::Timestamp,
    event: &Event,
) -> Result<(), JournalError> {
    match event {
        Event::RunBegan(began) => {
            sqlx::query(
                "INSERT INTO run(run, playbook, name, sources, phase, started, hosts) VALUES(?, ?, ?, ?, 'running', ?, ?)
                 ON CONFLICT(run) DO NOTHING",
            )
            .bind(run.as_str())
            .bind(began.playbook.to_string_lossy().into_owned())
            .bind(&began.name)
            .bind(serde_json::to_string(&began.sources)?)
            .bind(at.to_string())
            .bind(serde_json::to_string(&began.hosts)?)
            .execute(&mut *db)
            .await?;
            for host in &began.hosts {
                sqlx::query("INSERT INTO run_host(run, host) VALUES(?, ?) ON CONFLICT(run, host) DO NOTHING")
                    .bind(run.as_str())
                    .bind(host.as_str())
                    .execute(&mut *db)
                    .await?;
            }
        }
        Event::Attached { controller, .. } => {
            sqlx::query("UPDATE run SET phase='running', exit=NULL, ended=NULL, controller=? WHERE run=?")
                .bind(serde_json::to_string(controller)?)
                .bind(run.as_str())
                .execute(&mut *db)
                .await?;
        }
        Event::HostSurveyed { host, identity, .. } => {
            sqlx::query(
                "INSERT INTO run_host(run, host, identity) SELECT run, ?2, ?3 FROM run WHERE run=?1
                 ON CONFLICT(run, host) DO UPDATE SET identity=excluded.identity",
            )
            .bind(run.as_str())
            .bind(host.as_str())
            .bind(identity)
            .execute(&mut *db)
            .await?;
        }
        Event::RunEnded { how, exit } => {
            sqlx::query("UPDATE run SET phase=?, exit=?, ended=? WHERE run=?")
                .bind(phase(*how))
                .bind(i64::from(*exit))
                .bind(at.to_string())
                .bind(run.as_str())
                .execute(&mut *db)
                .await?;
        }
        Event::RunClosed { .. } => {
            sqlx::query("UPDATE run SET phase='closed', ended=coalesce(ended, ?) WHERE run=?")
                .bind(at.to_string())
                .bind(run.as_str())
                .execute(&mut *db)
                .await?;
        }
        _ => {}
    }
    Ok(())
}

/// The word of a state, as the journal keeps it and `refit runs` prints it.
fn phase(how: RunEnd) -> &'static str {
    match how {
        RunEnd::Done => "done",
        RunEnd::Failed => "failed",
        RunEnd::Unknown => "unknown",
        RunEnd::Paused => "paused",
        RunEnd::Interrupted => "interrupted",
        RunEnd::Closed => "closed",
        RunEnd::Refused => "refused",
    }
}

#[cfg(debug_assertions)]
fn crash_test() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var("REFIT_TEST_KILL_AT_COMMIT").ok()?.parse().ok());
    static COMMITS: AtomicU64 = AtomicU64::new(0);
    let n = COMMITS.fetch_add(1, Ordering::SeqCst) + 1;
    if *LAST == Some(n) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
