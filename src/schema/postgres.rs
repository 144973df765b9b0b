//! PostgreSQL: what a database says of itself, and how a version is applied to it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::layout::Layout;
use super::plan::{Part, Pending, State};
use super::statement::{Look, Place};
use super::{Plan, SchemaError};
use crate::database::{Database, DatabaseError, Session};
use crate::event::{Segment, SegmentState};
use crate::job::{Changing, Reading, patience};

/// Refit's own advisory lock in each database: `RFIT`, 1.
const LOCK: (i32, i32) = (0x5246_4954, 1);

/// How long one try waits for a table's lock; everybody who comes after it waits behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(4);

/// How long locks of others are waited for, with tries in between.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a server that went away is waited for.
const AWAY: Duration = Duration::from_secs(300);

/// An idle session of a dead controller is ended after this.
const IDLE: Duration = Duration::from_secs(5);

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

pub(super) async fn read(session: &mut Session, database: &Database) -> Result<State, SchemaError> {
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

fn fields<const N: usize>(row: Vec<Option<String>>) -> [Option<String>; N] {
    let mut fields = row.into_iter();
    std::array::from_fn(|_| fields.next().flatten())
}

/// How large the tables are that the plan works on.
pub(super) async fn sizes(session: &mut Session, tables: &BTreeSet<String>) -> Result<Vec<String>, SchemaError> {
    let mut notes = Vec::new();
    for table in tables {
        let rows = session
            .rows(
                "SELECT CASE WHEN reltuples < 0 THEN 'an unknown number of' ELSE 'about ' || reltuples::bigint END,
                        pg_size_pretty(pg_total_relation_size(oid))
                 FROM pg_class WHERE relname=$1 AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)",
                &[table],
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

/// Waits for sessions of this unit that still run, then reads.
pub(super) async fn settled(database: &Database, host: &dyn Changing) -> Result<State, SchemaError> {
    let mut watch = patiently(database, "refit: watch", host).await?;
    wait_for_ours(&mut watch, database, host, 0).await?;
    let state = read(&mut watch, database).await?;
    watch.close().await;
    Ok(state)
}

/// Ends what runs in the database for a unit; the number of sessions that were told.
pub(crate) async fn cancel(database: &Database, tag: &str, host: &dyn Reading) -> Result<usize, SchemaError> {
    let mut watch = Session::open(&database.reached(host).await?, "refit: cancel").await?;
    let told = watch
        .rows(
            "SELECT pg_cancel_backend(pid)::text FROM pg_stat_activity
             WHERE application_name=$1 AND state='active' AND datname=current_database()",
            &[&format!("refit:{tag}")],
        )
        .await?;
    watch.close().await;
    Ok(told.len())
}

/// Opens a session, and waits for a server, or the way to it, that is away for a while.
pub(super) async fn patiently(database: &Database, tag: &str, host: &dyn Changing) -> Result<Session, SchemaError> {
    let began = Instant::now();
    let away = patience(AWAY);
    loop {
        let opened = match database.reached(host.reading()).await {
            Ok(database) => Session::open(&database, tag).await,
            Err(e) => Err(e),
        };
        match opened {
            Ok(session) => return Ok(session),
            Err(
                e @ (DatabaseError::Unreachable { .. } | DatabaseError::Timeout { .. } | DatabaseError::Lost { .. }),
            ) if began.elapsed() < away => {
                let left = away.saturating_sub(began.elapsed()).as_secs();
                rest(
                    host,
                    &format!("waits for the database, {left} s left: {e}"),
                    Duration::from_secs(1),
                )
                .await?;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Shows why nothing goes on, and rests. An error when no more waiting is wanted.
async fn rest(host: &dyn Changing, why: &str, how_long: Duration) -> Result<(), SchemaError> {
    host.progress(why);
    tokio::select! {
        () = tokio::time::sleep(how_long) => Ok(()),
        () = host.cancelled() => Err(crate::job::Failure::new(format!("stopped while it waited: {why}")).into()),
    }
}

/// A session of an earlier attempt, or of this one before its connection broke, may still be at work: it is waited
/// for. One that is idle has lost its client and is ended.
async fn wait_for_ours(
    watch: &mut Session,
    database: &Database,
    host: &dyn Changing,
    own: i32,
) -> Result<(), SchemaError> {
    let unit = host.tag().rsplit_once('.').map_or(host.tag(), |(unit, _)| unit);
    loop {
        let rows = watch
            .rows(
                "SELECT pid::text, state, extract(epoch FROM clock_timestamp()-state_change)::bigint::text,
                        left(query, 100)
                 FROM pg_stat_activity WHERE datname=current_database() AND pid<>$2::int
                 AND left(application_name, length($1))=$1",
                &[&format!("refit:{unit}."), &own.to_string()],
            )
            .await?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(());
        };
        let [pid, state, seconds, query] = fields(row);
        let (pid, seconds) = (pid.unwrap_or_default(), seconds.unwrap_or_default());
        let idle = state.as_deref() == Some("idle");
        if idle && seconds.parse().is_ok_and(|s: u64| s >= IDLE.as_secs()) {
            watch
                .rows("SELECT pg_terminate_backend($1::int)::text", &[&pid])
                .await?;
        }
        let why = format!(
            "{}: an earlier session of this step is still there (pid {pid}, {}, {seconds} s): {}",
            database.label,
            state.unwrap_or_default(),
            query
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        );
        rest(host, &why, Duration::from_millis(500)).await?;
    }
}

/// A session that holds the lock under which nobody else updates the schema. It is idle and in no transaction, so that
/// `CREATE INDEX CONCURRENTLY` of whoever does the work does not wait for it.
pub(super) async fn hold(database: &Database, host: &dyn Changing) -> Result<Session, SchemaError> {
    let mut work = patiently(database, "refit: holds the schema", host).await?;
    let mut watch = patiently(database, "refit: watch", host).await?;
    let locked = lock(&mut work, &mut watch, database, host).await;
    watch.close().await;
    locked.map(|()| work)
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

/// Never a blocking wait: `CREATE INDEX CONCURRENTLY` waits for every older snapshot, and so for whoever waits.
async fn lock(
    work: &mut Session,
    watch: &mut Session,
    database: &Database,
    host: &dyn Changing,
) -> Result<(), SchemaError> {
    let (class, object) = (LOCK.0.to_string(), LOCK.1.to_string());
    let began = Instant::now();
    loop {
        let got = work
            .value(
                "SELECT pg_try_advisory_lock($1::int, $2::int)::text",
                &[&class, &object],
            )
            .await?;
        if got.as_deref() == Some("true") {
            return Ok(());
        }
        let holder = watch
            .rows(
                "SELECT a.pid::text, a.usename::text, a.application_name FROM pg_locks l
                 JOIN pg_stat_activity a USING (pid) WHERE l.locktype='advisory' AND l.granted AND l.objsubid=2
                 AND l.classid::bigint=$1::bigint AND l.objid::bigint=$2::bigint AND a.datname=current_database()",
                &[&class, &object],
            )
            .await?;
        let [pid, user, tag] = fields(holder.into_iter().next().unwrap_or_default());
        let who = format!(
            "another schema update is at work (pid {}, {}, {})",
            pid.unwrap_or_default(),
            user.unwrap_or_default(),
            tag.unwrap_or_default()
        );
        let Some(left) = PATIENCE.checked_sub(began.elapsed()) else {
            return Err(SchemaError::Failed {
                label: database.label.clone(),
                what: format!("{who}; waited {} s", PATIENCE.as_secs()),
            });
        };
        let why = format!("{}: {who}; {} s left", database.label, left.as_secs());
        rest(host, &why, Duration::from_millis(500)).await?;
    }
}

/// Applies what is pending. A broken connection is made again, and the database is asked what became of the segment.
pub(super) async fn apply(
    database: &Database,
    layout: &Layout,
    to: Option<&str>,
    host: &dyn Changing,
    journal: &mut Vec<Segment>,
) -> Result<(), SchemaError> {
    let mut breaks = 0;
    loop {
        let outcome = attempt(database, layout, to, host, journal).await;
        match outcome {
            Err(SchemaError::Database(e @ DatabaseError::Lost { .. })) if breaks < 10 => {
                breaks += 1;
                rest(host, &e.to_string(), Duration::from_secs(1)).await?;
            }
            other => return other,
        }
    }
}

async fn attempt(
    database: &Database,
    layout: &Layout,
    to: Option<&str>,
    host: &dyn Changing,
    journal: &mut Vec<Segment>,
) -> Result<(), SchemaError> {
    let work = patiently(database, &format!("refit:{}", host.tag()), host).await?;
    let watch = patiently(database, "refit: watch", host).await?;
    let mut update = Update {
        database,
        host,
        journal,
        work,
        watch,
    };
    let outcome = update.all(layout, to).await;
    update.work.close().await;
    update.watch.close().await;
    outcome
}

struct Update<'a> {
    database: &'a Database,
    host: &'a dyn Changing,
    /// What the journal holds of this unit, kept up to date.
    journal: &'a mut Vec<Segment>,
    /// Tagged; holds the lock and carries out.
    work: Session,
    /// Looks on.
    watch: Session,
}

impl Update<'_> {
    async fn all(&mut self, layout: &Layout, to: Option<&str>) -> Result<(), SchemaError> {
        self.work.refuse_unfit().await?;
        wait_for_ours(&mut self.watch, self.database, self.host, self.work.pid()).await?;
        lock(&mut self.work, &mut self.watch, self.database, self.host).await?;
        self.work
            .simple("SET standard_conforming_strings=on; SET statement_timeout=0")
            .await?;
        let state = read(&mut self.watch, self.database).await?;
        let plan = Plan::compute(self.database, layout, &state, to)?;
        if plan.setup {
            let segment = self.intent("0.0/1", String::new(), "makes the version tables").await?;
            let sql = format!(
                "{TABLES}{}",
                record(&plan.db_name, "0", "0.0", "0.0", "", "initial version")
            );
            self.transaction(&segment.name, &sql).await?;
            self.done(segment).await?;
        }
        for (i, pending) in plan.pending.iter().enumerate() {
            let first = if i == 0 { self.standing(pending, &state)? } else { 0 };
            for part in &pending.parts[first..] {
                match &part.place {
                    Place::Transaction | Place::EndsTransaction => self.group(&plan, pending, part).await?,
                    Place::Alone(look) => self.alone(part, look).await?,
                    Place::Blind => self.blind(part).await?,
                }
            }
        }
        Ok(())
    }

    /// How many parts of a version are done already: the last transaction left its mark in the version's row.
    fn standing(&self, pending: &Pending, state: &State) -> Result<usize, SchemaError> {
        let Some(mark) = &state.mark else { return Ok(0) };
        for (i, part) in pending.parts.iter().enumerate().rev() {
            let announced = self.journal.iter().filter(|segment| segment.name == part.name);
            for segment in announced {
                let Some((digest, marked)) = segment.digest.split_once('@') else {
                    continue;
                };
                if marked != mark {
                    continue;
                }
                if digest != part.digest() {
                    return Err(SchemaError::Unfit {
                        label: self.database.label.clone(),
                        what: format!(
                            "{} was applied from a text that is not in its file any more; put the file back",
                            part.name
                        ),
                    });
                }
                return Ok(i + 1);
            }
        }
        Ok(0)
    }

    fn announced(&self, part: &Part) -> bool {
        self.journal
            .iter()
            .any(|segment| segment.name == part.name && segment.state == SegmentState::Intent)
    }

    async fn intent(&mut self, name: &str, digest: String, text: &str) -> Result<Segment, SchemaError> {
        let segment = Segment {
            name: name.to_owned(),
            digest,
            state: SegmentState::Intent,
            text: text.to_owned(),
        };
        self.host.record(segment.clone()).await?;
        self.journal.push(segment.clone());
        self.host.progress(&format!("{}: {name} {text}", self.database.label));
        Ok(segment)
    }

    async fn done(&mut self, segment: Segment) -> Result<(), SchemaError> {
        let segment = Segment {
            state: SegmentState::Done,
            ..segment
        };
        self.host.record(segment.clone()).await?;
        self.journal.push(segment);
        Ok(())
    }

    fn failed(&self, what: String) -> SchemaError {
        SchemaError::Failed {
            label: self.database.label.clone(),
            what,
        }
    }

    /// A group of statements in one transaction, with the version's record or, before its last group, with a mark.
    async fn group(&mut self, plan: &Plan, pending: &Pending, part: &Part) -> Result<(), SchemaError> {
        let mut digest = part.digest();
        let name = text(&plan.db_name);
        let mut sql = format!(
            "DO $refit$ BEGIN IF (SELECT curr_version FROM schema_version WHERE version_partition=0 AND db_name={name} \
             FOR UPDATE) IS DISTINCT FROM {before} THEN RAISE 'the version is not {before_text} any more'; END IF; END $refit$;\n",
            before = text(pending.before.as_str()),
            before_text = pending.before,
        );
        for statement in &part.statements {
            sql += &statement.text;
            sql += ";\n";
        }
        if part.records {
            sql += &record(
                &plan.db_name,
                pending.before.as_str(),
                pending.version.as_str(),
                &pending.min_compatible,
                &pending.md5,
                &pending.description,
            );
        } else {
            let mark = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
            sql += &format!(
                "UPDATE schema_version SET creation_time={} WHERE version_partition=0 AND db_name={name};\n",
                text(&mark)
            );
            digest = format!("{digest}@{mark}");
        }
        let segment = self.intent(&part.name, digest, &part.text()).await?;
        self.transaction(&part.name, &sql).await?;
        self.done(segment).await
    }

    /// Sends one string, again where a lock could not be had: then nothing of it was done.
    async fn transaction(&mut self, name: &str, sql: &str) -> Result<(), SchemaError> {
        let set = format!("SET lock_timeout={}", LOCK_TIMEOUT.as_millis());
        self.work.simple(&set).await?;
        let began = Instant::now();
        loop {
            let blockers = match self.run(name, sql).await? {
                Ok(()) => return Ok(()),
                Err((e, blockers)) if ["55P03", "40P01"].contains(&e.code()) => {
                    match PATIENCE.checked_sub(began.elapsed()) {
                        Some(left) => format!("waits for a lock, {} s left; {blockers}", left.as_secs()),
                        None => {
                            return Err(self.failed(format!(
                                "{name} did not get its lock for {} s; {blockers}",
                                PATIENCE.as_secs()
                            )));
                        }
                    }
                }
                Err((DatabaseError::Statement { words, .. }, _)) => {
                    return Err(self.failed(format!("{name} was rolled back: {words}")));
                }
                Err((e, _)) => return Err(e.into()),
            };
            let why = format!("{}: {name}: {blockers}", self.database.label);
            rest(self.host, &why, Duration::from_secs(2)).await?;
        }
    }

    /// Runs a string and looks on. The inner error comes with who was in the way.
    async fn run(&mut self, name: &str, sql: &str) -> Result<Result<(), (DatabaseError, String)>, SchemaError> {
        let pid = self.work.pid().to_string();
        let mut blockers = String::from("nobody seen in the way");
        let running = self.work.simple(sql);
        tokio::pin!(running);
        let began = Instant::now();
        loop {
            tokio::select! {
                outcome = &mut running => return Ok(outcome.map_err(|e| (e, blockers))),
                () = tokio::time::sleep(Duration::from_millis(700)) => {}
                () = self.host.cancelled() => {
                    let failure = crate::job::Failure {
                        unknown: true,
                        ..crate::job::Failure::new(format!("{name} goes on in the database (pid {pid}), and is not waited for any more"))
                    };
                    return Err(failure.into());
                }
            }
            // Who looks on may fail without harm to what runs.
            let seen = look_on(&mut self.watch, &pid).await.unwrap_or_default();
            if let Some(who) = seen.0 {
                blockers = who;
            }
            let text = [
                Some(blockers.as_str()).filter(|b| b.starts_with("behind")),
                seen.1.as_deref(),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ");
            self.host.progress(&format!(
                "{}: {name}, {} s{}{text}",
                self.database.label,
                began.elapsed().as_secs(),
                if text.is_empty() { "" } else { ": " }
            ));
        }
    }

    /// A statement outside of transactions whose effect the catalogue shows.
    async fn alone(&mut self, part: &Part, look: &Look) -> Result<(), SchemaError> {
        let sql = part
            .statements
            .iter()
            .map(|s| s.text.as_str())
            .collect::<Vec<_>>()
            .join(";");
        let (Look::Index(index) | Look::NoIndex(index)) = look;
        let wanted = matches!(look, Look::Index(_));
        // Done by an earlier attempt, or allowed to be there by the statement itself.
        let may_be_there = self.announced(part) || tolerant(&part.statements[0].text);
        let found = self.index(index).await?;
        let segment = match (&found, wanted) {
            (Some((_, true)), true) | (None, false) if may_be_there => Segment {
                name: part.name.clone(),
                digest: part.digest(),
                state: SegmentState::Intent,
                text: part.text(),
            },
            _ => {
                let segment = self.intent(&part.name, part.digest(), &part.text()).await?;
                if let (Some((regclass, false)), true) = (&found, wanted) {
                    self.host
                        .progress(&format!("{}: drops {index}, which is invalid", self.database.label));
                    self.by_itself(&part.name, &format!("DROP INDEX CONCURRENTLY {regclass}"))
                        .await?;
                }
                self.by_itself(&part.name, &sql).await?;
                segment
            }
        };
        match (self.index(index).await?, wanted) {
            (Some((_, true)), true) | (None, false) => self.done(segment).await,
            (Some((_, false)), true) => Err(self.failed(format!("{}: index {index} is there and invalid", part.name))),
            (None, true) => Err(self.failed(format!("{}: index {index} is not there", part.name))),
            (Some(_), false) => Err(self.failed(format!("{}: index {index} is still there", part.name))),
        }
    }

    async fn by_itself(&mut self, name: &str, sql: &str) -> Result<(), SchemaError> {
        // It waits for others without keeping anybody out; a timeout would leave half an index.
        self.work.simple("SET lock_timeout=0").await?;
        match self.run(name, sql).await? {
            Ok(()) => Ok(()),
            Err((DatabaseError::Statement { words, .. }, _)) => Err(self.failed(format!("{name}: {words}"))),
            Err((e, _)) => Err(e.into()),
        }
    }

    /// A statement outside of transactions that nothing can look up.
    async fn blind(&mut self, part: &Part) -> Result<(), SchemaError> {
        let ended = self
            .journal
            .iter()
            .any(|segment| segment.name == part.name && segment.state == SegmentState::Done);
        if ended {
            return Ok(());
        }
        let unknown = |why: &str| SchemaError::Unknown {
            label: self.database.label.clone(),
            what: format!(
                "{} was {why}, and nothing in the database says whether it is done: {}",
                part.name,
                part.text()
            ),
        };
        if self.announced(part) {
            return Err(unknown("interrupted"));
        }
        let lost = unknown("cut off");
        let segment = self.intent(&part.name, part.digest(), &part.text()).await?;
        let sql = part
            .statements
            .iter()
            .map(|s| s.text.as_str())
            .collect::<Vec<_>>()
            .join(";");
        match self.by_itself(&part.name, &sql).await {
            Ok(()) => self.done(segment).await,
            Err(SchemaError::Database(DatabaseError::Lost { .. })) => Err(lost),
            Err(e) => Err(e),
        }
    }

    /// An index: its name for a statement, and whether it is valid.
    async fn index(&mut self, name: &str) -> Result<Option<(String, bool)>, SchemaError> {
        let rows = self
            .watch
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
}

fn tolerant(statement: &str) -> bool {
    let words: Vec<String> = statement.split_whitespace().take(8).map(str::to_uppercase).collect();
    words
        .windows(2)
        .any(|two| two[0] == "IF" && (two[1] == "NOT" || two[1] == "EXISTS"))
}

/// Who is in the way of a session, and how far an index is.
async fn look_on(watch: &mut Session, pid: &str) -> Result<(Option<String>, Option<String>), SchemaError> {
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
    Ok((who, how_far))
}

/// The tables as Temporal's PostgreSQL plugin makes them.
const TABLES: &str = "CREATE TABLE IF NOT EXISTS schema_version(version_partition INT not null, \
db_name VARCHAR(255) not null, creation_time TIMESTAMP, curr_version VARCHAR(64), \
min_compatible_version VARCHAR(64), PRIMARY KEY (version_partition, db_name));
CREATE TABLE IF NOT EXISTS schema_update_history(version_partition INT not null, year int not null, \
month int not null, update_time TIMESTAMP not null, description VARCHAR(255), manifest_md5 VARCHAR(64), \
new_version VARCHAR(64), old_version VARCHAR(64), PRIMARY KEY (version_partition, year, month, update_time));
";

fn record(db_name: &str, old: &str, new: &str, min: &str, md5: &str, description: &str) -> String {
    let now = "clock_timestamp() AT TIME ZONE 'UTC'";
    format!(
        "INSERT INTO schema_version(version_partition, db_name, creation_time, curr_version, min_compatible_version)
VALUES (0, {name}, {now}, {new}, {min}) ON CONFLICT (version_partition, db_name) DO UPDATE
SET creation_time=excluded.creation_time, curr_version=excluded.curr_version,
    min_compatible_version=excluded.min_compatible_version;
INSERT INTO schema_update_history(version_partition, year, month, update_time, old_version, new_version, manifest_md5, description)
SELECT 0, extract(year FROM t)::int, extract(month FROM t)::int, t, {old}, {new}, {md5}, {description}
FROM (SELECT {now} AS t) AS moment;
",
        name = text(db_name),
        old = text(old),
        new = text(new),
        min = text(min),
        md5 = text(md5),
        description = text(description),
    )
}
