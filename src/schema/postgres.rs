//! PostgreSQL: what a database says of itself, and how a version is applied to it.

use std::time::Duration;

use super::executor::{Dialect, Earlier, Seen, Update, fields};
use super::layout::Layout;
use super::plan::{Part, Pending, State};
use super::record::{Record, tables, text};
use super::statement::{Look, Place};
use super::{Plan, SchemaError};
use crate::database::{Database, DatabaseError, Engine, Server, Session};
use crate::event::{Segment, SegmentState};

/// Refit's own advisory lock in each database: `RFIT`, 1.
const LOCK: (i32, i32) = (0x5246_4954, 1);

/// How long one try waits for a table's lock; everybody who comes after it waits behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(4);

pub(super) struct Postgres;

impl Dialect for Postgres {
    /// Lock not available, deadlock.
    const BUSY: &'static [&'static str] = &["55P03", "40P01"];

    fn fit(_: &Server, _: &Layout, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn read(session: &mut Session, database: &Database) -> Result<State, SchemaError> {
        let mut state = State::default();
        let tables = session
            .rows(
                "SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
                 AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)",
                &[],
            )
            .await?;
        for name in tables.into_iter().flatten().flatten() {
            match name.as_str() {
                "schema_version" => state.versioned = true,
                "schema_update_history" => {}
                _ => drop(state.tables.insert(name)),
            }
        }
        if !state.versioned {
            return Ok(state);
        }
        let rows = session
            .rows(
                "SELECT db_name::text, curr_version::text, to_char(creation_time, 'YYYY-MM-DD HH24:MI:SS.US')
                 FROM schema_version WHERE version_partition=0",
                &[],
            )
            .await?;
        for row in rows {
            let [name, version, mark] = fields(row);
            let (name, version) = (name.unwrap_or_default(), version.unwrap_or_default());
            if name == database.name {
                state.mark = mark;
            }
            state.rows.push((name, version));
        }
        let history = session
            .rows(
                "SELECT new_version::text, manifest_md5::text FROM schema_update_history WHERE version_partition=0
                 ORDER BY update_time",
                &[],
            )
            .await?;
        for row in history {
            let [version, md5] = fields(row);
            state
                .history
                .push((version.unwrap_or_default(), md5.unwrap_or_default()));
        }
        Ok(state)
    }

    async fn sizes(session: &mut Session, plan: &Plan, state: &State) -> Result<Vec<String>, SchemaError> {
        let mut notes = Vec::new();
        for table in plan.touched(state) {
            let rows = session
                .rows(
                    "SELECT CASE WHEN reltuples < 0 THEN 'an unknown number of' ELSE 'about ' || reltuples::bigint END,
                            pg_size_pretty(pg_total_relation_size(oid))
                     FROM pg_class WHERE relname=$1 AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)",
                    &[&table],
                )
                .await?;
            for row in rows {
                let [rows, size] = fields(row);
                notes.push(format!(
                    "{table}: {} rows, {}",
                    rows.unwrap_or_default(),
                    size.unwrap_or_default()
                ));
            }
        }
        Ok(notes)
    }

    /// The last transaction left its mark in the version's row.
    async fn standing(
        _: &mut Session,
        database: &Database,
        _: &Layout,
        pending: &Pending,
        state: &State,
        journal: &[Segment],
    ) -> Result<usize, SchemaError> {
        Ok(pending.marked(database, state, journal)?.unwrap_or(0))
    }

    async fn cancel(watch: &mut Session, tag: &str) -> Result<usize, SchemaError> {
        let told = watch
            .rows(
                "SELECT pg_cancel_backend(pid)::text FROM pg_stat_activity
                 WHERE application_name=$1 AND state='active' AND datname=current_database()",
                &[&format!("refit:{tag}")],
            )
            .await?;
        Ok(told.len())
    }

    async fn earlier(watch: &mut Session, unit: &str, own: &str) -> Result<Option<Earlier>, SchemaError> {
        let rows = watch
            .rows(
                "SELECT pid::text, state, extract(epoch FROM clock_timestamp()-state_change)::bigint::text,
                        left(query, 100)
                 FROM pg_stat_activity WHERE datname=current_database() AND pid::text<>$2
                 AND left(application_name, length($1))=$1",
                &[&format!("refit:{unit}."), own],
            )
            .await?;
        Ok(rows.into_iter().next().map(|row| {
            let [id, state, seconds, query] = fields(row);
            Earlier {
                id: id.unwrap_or_default(),
                idle: state.as_deref() == Some("idle"),
                seconds: seconds.unwrap_or_default(),
                query: query.unwrap_or_default(),
            }
        }))
    }

    async fn end(watch: &mut Session, id: &str) -> Result<(), SchemaError> {
        watch.rows("SELECT pg_terminate_backend($1::int)::text", &[id]).await?;
        Ok(())
    }

    async fn lock(work: &mut Session, _: &Database, _: &str) -> Result<bool, SchemaError> {
        let (class, object) = (LOCK.0.to_string(), LOCK.1.to_string());
        let got = work
            .value(
                "SELECT pg_try_advisory_lock($1::int, $2::int)::text",
                &[&class, &object],
            )
            .await?;
        Ok(got.as_deref() == Some("true"))
    }

    async fn holder(watch: &mut Session, _: &Database) -> Result<String, SchemaError> {
        let (class, object) = (LOCK.0.to_string(), LOCK.1.to_string());
        let holder = watch
            .rows(
                "SELECT a.pid::text, a.usename::text, a.application_name FROM pg_locks l
                 JOIN pg_stat_activity a USING (pid) WHERE l.locktype='advisory' AND l.granted AND l.objsubid=2
                 AND l.classid::bigint=$1::bigint AND l.objid::bigint=$2::bigint AND a.datname=current_database()",
                &[&class, &object],
            )
            .await?;
        let [pid, user, tag] = fields(holder.into_iter().next().unwrap_or_default());
        Ok(format!(
            "pid {}, {}, {}",
            pid.unwrap_or_default(),
            user.unwrap_or_default(),
            tag.unwrap_or_default()
        ))
    }

    fn settings() -> &'static str {
        "SET standard_conforming_strings=on; SET statement_timeout=0"
    }

    /// 0: a statement outside of transactions waits for others without keeping anybody out, and a timeout would leave half
    /// an index.
    fn patience(n: u32) -> String {
        match n {
            0 => "SET lock_timeout=0".into(),
            _ => format!("SET lock_timeout={}", LOCK_TIMEOUT.as_millis()),
        }
    }

    /// Who is in the way of a session, and how far an index is.
    async fn look_on(watch: &mut Session, pid: &str) -> Result<Seen, SchemaError> {
        let blockers = watch
            .rows(
                "SELECT pid::text, usename::text, coalesce(extract(epoch FROM clock_timestamp()-xact_start)::bigint::text, '?'),
                        left(regexp_replace(query, '\\s+', ' ', 'g'), 120)
                 FROM pg_stat_activity WHERE pid=ANY(pg_blocking_pids($1::int))",
                &[pid],
            )
            .await?;
        let who = blockers.into_iter().next().map(|row| {
            let [pid, user, seconds, query] = fields(row);
            format!(
                "behind pid {} ({}, {} s): {}",
                pid.unwrap_or_default(),
                user.unwrap_or_default(),
                seconds.unwrap_or_default(),
                query.unwrap_or_default()
            )
        });
        let index = watch
            .rows(
                "SELECT phase, blocks_done::text, blocks_total::text FROM pg_stat_progress_create_index WHERE pid=$1::int",
                &[pid],
            )
            .await?;
        let how_far = index.into_iter().next().map(|row| {
            let [phase, done, total] = fields(row);
            format!(
                "{}, {} of {} blocks",
                phase.unwrap_or_default(),
                done.unwrap_or_default(),
                total.unwrap_or_default()
            )
        });
        Ok(Seen {
            blocker: who,
            progress: how_far,
        })
    }

    /// A simple query is a transaction.
    fn whole(_: &str, sql: &str) -> String {
        sql.to_owned()
    }

    fn guard(db_name: &str, before: &str) -> String {
        format!(
            "DO $refit$ BEGIN IF (SELECT curr_version FROM schema_version WHERE version_partition=0 AND db_name={name} \
             FOR UPDATE) IS DISTINCT FROM {version} THEN RAISE 'the version is not {before} any more'; END IF; END $refit$;\n",
            name = text(db_name, Engine::Postgres),
            version = text(before, Engine::Postgres),
        )
    }

    async fn setup(update: &mut Update<'_, Postgres>, name: &str, record: &Record<'_>) -> Result<(), SchemaError> {
        let sql = tables(Engine::Postgres) + &record.sql(Engine::Postgres);
        update.whole(name, &sql).await
    }

    /// A statement outside of transactions whose effect the catalogue shows.
    async fn alone(update: &mut Update<'_, Postgres>, part: &Part) -> Result<(), SchemaError> {
        let Place::Alone(look @ (Look::Index(index) | Look::NoIndex(index))) = &part.place else {
            return Err(update.failed(format!("{} cannot be looked up", part.name)));
        };
        let sql = part.sql();
        let wanted = matches!(look, Look::Index(_));
        // Done by an earlier attempt, or allowed to be there by the statement itself.
        let may_be_there = update.announced(part) || tolerant(&part.statements[0].text);
        let found = valid(&mut update.watch, index).await?;
        let segment = match (&found, wanted) {
            (Some((_, true)), true) | (None, false) if may_be_there => Segment {
                name: part.name.clone(),
                digest: part.digest(),
                state: SegmentState::Intent,
                text: part.text(),
            },
            _ => {
                let segment = update.intent(&part.name, part.digest(), &part.text()).await?;
                if let (Some((regclass, false)), true) = (&found, wanted) {
                    update
                        .host
                        .progress(&format!("{}: drops {index}, which is invalid", update.database.label));
                    by_itself(update, &part.name, &format!("DROP INDEX CONCURRENTLY {regclass}")).await?;
                }
                by_itself(update, &part.name, &sql).await?;
                segment
            }
        };
        match (valid(&mut update.watch, index).await?, wanted) {
            (Some((_, true)), true) | (None, false) => update.done(segment).await,
            (Some((_, false)), true) => {
                Err(update.failed(format!("{}: index {index} is there and invalid", part.name)))
            }
            (None, true) => Err(update.failed(format!("{}: index {index} is not there", part.name))),
            (Some(_), false) => Err(update.failed(format!("{}: index {index} is still there", part.name))),
        }
    }
}

async fn by_itself(update: &mut Update<'_, Postgres>, name: &str, sql: &str) -> Result<(), SchemaError> {
    update.work.simple(&Postgres::patience(0)).await?;
    match update.run(name, sql).await? {
        Ok(()) => Ok(()),
        Err((DatabaseError::Statement { words, .. }, _)) => Err(update.failed(format!("{name}: {words}"))),
        Err((e, _)) => Err(e.into()),
    }
}

/// An index: its name for a statement, and whether it is valid.
async fn valid(watch: &mut Session, name: &str) -> Result<Option<(String, bool)>, SchemaError> {
    let rows = watch
        .rows(
            "SELECT c.oid::regclass::text, (i.indisvalid AND i.indisready)::text FROM pg_class c
             JOIN pg_index i ON i.indexrelid=c.oid WHERE c.relname=$1 AND pg_table_is_visible(c.oid)",
            &[name],
        )
        .await?;
    Ok(rows.into_iter().next().map(|row| {
        let [regclass, valid] = fields(row);
        (regclass.unwrap_or_default(), valid.as_deref() == Some("true"))
    }))
}

fn tolerant(statement: &str) -> bool {
    let words: Vec<String> = statement.split_whitespace().take(8).map(str::to_uppercase).collect();
    words
        .windows(2)
        .any(|two| two[0] == "IF" && (two[1] == "NOT" || two[1] == "EXISTS"))
}

/// Indexes that a `CREATE INDEX CONCURRENTLY` left behind.
pub(super) async fn invalid_indexes(session: &mut Session) -> Result<Vec<String>, SchemaError> {
    let rows = session
        .rows(
            "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid=i.indexrelid
             WHERE NOT i.indisvalid AND pg_table_is_visible(c.oid) ORDER BY 1",
            &[],
        )
        .await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}
