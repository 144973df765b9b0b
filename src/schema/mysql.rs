//! MySQL and MariaDB: what a database says of itself, and how a version is applied to it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::effects::{shown_expression, shown_kind};
use super::executor::{Dialect, Earlier, Seen, Update, fields, unit};
use super::image::{Column, Def, Effect, Found, Image, Index, IndexPart, Key, keys, shows, standings};
use super::layout::Layout;
use super::plan::{Part, Pending, State};
use super::record::{Record, tables, text};
use super::statement::Statement;
use super::{Plan, SchemaError, Version};
use crate::database::{Database, Engine, Product, Server, Session};
use crate::event::{Segment, SegmentState};

pub(super) struct Mysql;

/// Locks belong to a session and to the whole server; `IS_USED_LOCK` finds the session again after a crash.
fn tag_lock(unit: &str) -> String {
    format!("refit:{unit}")
}

/// The lock of whoever updates this database. Names of locks have 64 characters at most, as names of databases do.
fn database_lock(database: &Database) -> String {
    let digest = Sha256::digest(database.name.as_bytes());
    format!("refit.schema.{}", crate::id::hex(&digest[..16]))
}

impl Dialect for Mysql {
    /// Lock wait timeout, deadlock.
    const BUSY: &'static [&'static str] = &["1205", "1213"];

    fn fit(server: &Server, layout: &Layout, to: &str) -> Result<(), String> {
        let oldest = match server.product {
            Product::Mariadb => [10, 6, 0],
            _ => [8, 0, 0],
        };
        if server.numbers() < oldest {
            let [major, minor, _] = oldest;
            return Err(format!(
                "does not do a statement of DDL as a whole or not at all, so an update that is cut off could not be \
                 taken up; {major}.{minor} and later do"
            ));
        }
        if server.product == Product::Mysql && server.numbers() >= [8, 0, 19] {
            return Ok(());
        }
        let to = Version::parse(to);
        let needed = layout
            .versions
            .iter()
            .filter(|step| to.as_ref().is_none_or(|to| step.version <= *to));
        for step in needed {
            let Some(what) = step.statements.iter().find_map(|s| s.modern) else {
                continue;
            };
            let version = &step.version;
            return Err(match server.product {
                Product::Mariadb => format!(
                    "cannot hold this schema: version {version} has {what}, which only MySQL knows (8.0.19 and later). \
                     MariaDB serves Temporal's default store; visibility needs MySQL, PostgreSQL or Elasticsearch"
                ),
                _ => format!(
                    "is too old for this schema: version {version} has {what}; Temporal asks for 8.0.19 or later"
                ),
            });
        }
        Ok(())
    }

    async fn read(session: &mut Session, database: &Database) -> Result<State, SchemaError> {
        let mut state = State::default();
        let names = session
            .rows(
                "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES
                 WHERE TABLE_SCHEMA=DATABASE() AND TABLE_TYPE='BASE TABLE'",
                &[],
            )
            .await?;
        for name in names.into_iter().flatten().flatten() {
            match name.as_str() {
                "schema_version" => state.versioned = true,
                "schema_update_history" => {}
                // As the statements spell it.
                _ => {
                    state.tables.insert(name.to_lowercase());
                    state.tables.insert(name);
                }
            }
        }
        if !state.versioned {
            return Ok(state);
        }
        let rows = session
            .rows(
                "SELECT CAST(db_name AS CHAR), CAST(curr_version AS CHAR), CAST(creation_time AS CHAR)
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
                "SELECT CAST(new_version AS CHAR), CAST(manifest_md5 AS CHAR) FROM schema_update_history
                 WHERE version_partition=0 ORDER BY update_time",
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
                    "SELECT CAST(TABLE_ROWS AS CHAR), CAST(DATA_LENGTH+INDEX_LENGTH AS CHAR)
                     FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND LOWER(TABLE_NAME)=?",
                    &[&table],
                )
                .await?;
            for row in rows {
                let [rows, bytes] = fields(row);
                let megabytes = bytes
                    .and_then(|b| b.parse::<u64>().ok())
                    .unwrap_or(0)
                    .div_ceil(1_000_000);
                notes.push(format!(
                    "{table}: about {} rows, {megabytes} MB",
                    rows.unwrap_or_default()
                ));
            }
        }
        if !notes.is_empty() {
            notes.push(
                "a table that is copied needs as much free disk again; how much there is, SQL does not tell: look at \
                 the server's data folder"
                    .into(),
            );
        }
        Ok(notes)
    }

    async fn standing(
        session: &mut Session,
        database: &Database,
        layout: &Layout,
        pending: &Pending,
        state: &State,
        journal: &[Segment],
    ) -> Result<usize, SchemaError> {
        let statements: Vec<&Statement> = pending.parts.iter().flat_map(|part| &part.statements).collect();
        let before = layout.versions.iter().filter(|step| step.version <= pending.before);
        let before = Image::after(before.flat_map(|step| &step.statements));
        let found = catalogue(session, &statements).await?;
        let fitting = standings(&before, &statements, &found);
        let marked = pending.marked(database, state, journal)?;
        let done = match choose(pending, &statements, &fitting, marked, journal) {
            Some(done) => done,
            None => {
                return Err(SchemaError::Unknown {
                    label: database.label.clone(),
                    what: half_way(pending, &fitting, &shows(&before, &statements, &found)),
                });
            }
        };
        pending.unchanged(database, &pending.parts[..done], journal)?;
        Ok(done)
    }

    async fn cancel(watch: &mut Session, tag: &str) -> Result<usize, SchemaError> {
        match Self::earlier(watch, unit(tag), "").await? {
            Some(earlier) if !earlier.idle => {
                watch.simple(&format!("KILL QUERY {}", earlier.id)).await?;
                Ok(1)
            }
            _ => Ok(0),
        }
    }

    async fn earlier(watch: &mut Session, unit: &str, own: &str) -> Result<Option<Earlier>, SchemaError> {
        let id = watch
            .value("SELECT CAST(IS_USED_LOCK(?) AS CHAR)", &[&tag_lock(unit)])
            .await?;
        let Some(id) = id.filter(|id| id != own) else {
            return Ok(None);
        };
        let rows = watch
            .rows(
                "SELECT CAST(COMMAND AS CHAR), CAST(TIME AS CHAR), CAST(LEFT(INFO, 100) AS CHAR)
                 FROM information_schema.PROCESSLIST WHERE ID=?",
                &[&id],
            )
            .await?;
        Ok(rows.into_iter().next().map(|row| {
            let [command, seconds, query] = fields(row);
            Earlier {
                id,
                idle: command.as_deref() == Some("Sleep"),
                seconds: seconds.unwrap_or_default(),
                query: query.unwrap_or_default(),
            }
        }))
    }

    async fn end(watch: &mut Session, id: &str) -> Result<(), SchemaError> {
        match watch.simple(&format!("KILL {id}")).await {
            // It went by itself.
            Err(e) if e.code() == "1094" => Ok(()),
            other => Ok(other?),
        }
    }

    async fn lock(work: &mut Session, database: &Database, unit: &str) -> Result<bool, SchemaError> {
        for name in [tag_lock(unit), database_lock(database)] {
            let got = work.value("SELECT CAST(GET_LOCK(?, 1) AS CHAR)", &[&name]).await?;
            if got.as_deref() != Some("1") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn holder(watch: &mut Session, database: &Database) -> Result<String, SchemaError> {
        let rows = watch
            .rows(
                "SELECT CAST(ID AS CHAR), CAST(USER AS CHAR), CAST(HOST AS CHAR)
                 FROM information_schema.PROCESSLIST WHERE ID=IS_USED_LOCK(?)",
                &[&database_lock(database)],
            )
            .await?;
        Ok(match rows.into_iter().next() {
            Some(row) => {
                let [id, user, host] = fields(row);
                format!(
                    "pid {}, {}, from {}",
                    id.unwrap_or_default(),
                    user.unwrap_or_default(),
                    host.unwrap_or_default()
                )
            }
            None => "a session that this account does not see".into(),
        })
    }

    async fn stranger(watch: &mut Session, own: &str) -> Result<Option<String>, SchemaError> {
        let rows = watch
            .rows(
                "SELECT CAST(ID AS CHAR), CAST(USER AS CHAR), CAST(TIME AS CHAR), CAST(LEFT(INFO, 100) AS CHAR)
                 FROM information_schema.PROCESSLIST WHERE DB=DATABASE() AND COMMAND<>'Sleep' AND ID<>CONNECTION_ID()
                 AND ID<>? AND INFO REGEXP '^[[:space:]]*(/[*][^*]*[*]/)?[[:space:]]*(ALTER|CREATE|DROP)[[:space:]]'",
                &[own],
            )
            .await?;
        Ok(rows.into_iter().next().map(|row| {
            let [id, user, seconds, query] = fields(row);
            format!(
                "pid {}, {}, {} s: {}",
                id.unwrap_or_default(),
                user.unwrap_or_default(),
                seconds.unwrap_or_default(),
                query
                    .unwrap_or_default()
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }))
    }

    fn settings() -> &'static str {
        "SET SESSION wait_timeout=28800"
    }

    /// More from try to try: an index that was built waits for its table at its end, and is lost where it gives up.
    fn patience(n: u32) -> String {
        let seconds = match n {
            0 => 600,
            n => 4 << (n - 1).min(4),
        };
        format!("SET SESSION lock_wait_timeout={seconds}, SESSION innodb_lock_wait_timeout={seconds}")
    }

    async fn look_on(watch: &mut Session, id: &str) -> Result<Seen, SchemaError> {
        let state = watch
            .value(
                "SELECT CAST(STATE AS CHAR) FROM information_schema.PROCESSLIST WHERE ID=?",
                &[id],
            )
            .await?
            .unwrap_or_default();
        if !state.contains("lock") {
            return Ok(Seen {
                blocker: None,
                progress: Some(state).filter(|state| !state.is_empty()),
            });
        }
        // MariaDB, performance_schema=OFF and a user without the right to look show nothing.
        let blockers = watch
            .rows(
                "SELECT CAST(t.PROCESSLIST_ID AS CHAR), CAST(t.PROCESSLIST_USER AS CHAR),
                        CAST(t.PROCESSLIST_TIME AS CHAR), CAST(LEFT(COALESCE(t.PROCESSLIST_INFO, e.SQL_TEXT, ''), 120) AS CHAR)
                 FROM performance_schema.threads me
                 JOIN performance_schema.metadata_locks w ON w.OWNER_THREAD_ID=me.THREAD_ID AND w.LOCK_STATUS='PENDING'
                 JOIN performance_schema.metadata_locks g ON g.OBJECT_TYPE=w.OBJECT_TYPE
                      AND g.OBJECT_SCHEMA=w.OBJECT_SCHEMA AND g.OBJECT_NAME=w.OBJECT_NAME
                      AND g.LOCK_STATUS='GRANTED' AND g.OWNER_THREAD_ID<>w.OWNER_THREAD_ID
                 JOIN performance_schema.threads t ON t.THREAD_ID=g.OWNER_THREAD_ID
                 LEFT JOIN performance_schema.events_statements_current e ON e.THREAD_ID=t.THREAD_ID
                 WHERE me.PROCESSLIST_ID=?",
                &[id],
            )
            .await
            .unwrap_or_default();
        let blocker = match blockers.into_iter().next() {
            Some(row) => {
                let [id, user, seconds, query] = fields(row);
                format!(
                    "behind pid {} ({}, {} s): {}",
                    id.unwrap_or_default(),
                    user.unwrap_or_default(),
                    seconds.unwrap_or_default(),
                    query
                        .unwrap_or_default()
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" ")
                )
            }
            None => format!(
                "{}; behind whom, performance_schema.metadata_locks would tell: it is off, or this account may not \
                 read it",
                state.to_lowercase()
            ),
        };
        Ok(Seen {
            blocker: Some(blocker),
            progress: None,
        })
    }

    fn whole(tag: &str, sql: &str) -> String {
        // A try that met a lock half-way left its transaction open.
        format!("ROLLBACK;\nSTART TRANSACTION /* refit:{tag} */;\n{sql}COMMIT")
    }

    fn guard(db_name: &str, before: &str) -> String {
        // Nothing outside of procedures raises an error in words of one's own.
        format!(
            "DO IF((SELECT curr_version FROM schema_version WHERE version_partition=0 AND db_name={name} FOR UPDATE) \
             <=> {version}, 1, (SELECT 1 UNION SELECT 2));\n",
            name = text(db_name, Engine::Mysql),
            version = text(before, Engine::Mysql),
        )
    }

    fn explain(code: &str, words: String) -> String {
        match code {
            "1242" => format!("the version is not what it was any more ({words})"),
            _ => words,
        }
    }

    async fn setup(update: &mut Update<'_, Mysql>, name: &str, record: &Record<'_>) -> Result<(), SchemaError> {
        update.tries(name, &tables(Engine::Mysql), "failed").await?;
        update.whole(name, &record.sql(Engine::Mysql)).await
    }

    async fn alone(update: &mut Update<'_, Mysql>, part: &Part) -> Result<(), SchemaError> {
        let segment = update.intent(&part.name, part.digest(), &part.text()).await?;
        let text = format!("/* refit:{} */ {}", update.host.tag(), part.sql());
        update.tries(&part.name, &text, "failed").await?;
        update.done(segment).await
    }
}

/// How many statements of a version are done. `fitting` is what the catalogue allows, `marked` what the last transaction
/// says; where they leave several, the journal of this step decides.
fn choose(
    pending: &Pending,
    statements: &[&Statement],
    fitting: &[usize],
    marked: Option<usize>,
    journal: &[Segment],
) -> Option<usize> {
    let harmless = |fitting: &[usize]| match fitting {
        [] => None,
        [least, .., most] => statements[*least..*most].iter().all(|s| s.repeatable).then_some(*least),
        [only] => Some(*only),
    };
    let parts = pending.parts.iter().enumerate().take(statements.len());
    let last = parts
        .filter_map(|(i, part)| {
            let segment = journal.iter().rev().find(|segment| segment.name == part.name)?;
            Some((i, segment))
        })
        .next_back();
    let Some((i, segment)) = last else {
        let untold = |s: &&Statement| s.effects.as_ref().is_none_or(Vec::is_empty);
        return harmless(fitting).or_else(|| {
            // No attempt of ours, and nothing shows one of somebody else.
            let most = *fitting.last()?;
            (fitting[0] == 0 && statements[..most].iter().all(|s| untold(s) || s.repeatable)).then_some(0)
        });
    };
    let ended = segment.state == SegmentState::Done;
    let transaction = segment.digest.contains('@');
    let near: Vec<usize> = fitting
        .iter()
        .copied()
        .filter(|done| match (ended, transaction) {
            (true, _) => *done == i + 1,
            (false, true) => *done == if marked == Some(i + 1) { i + 1 } else { i },
            (false, false) => *done == i || *done == i + 1,
        })
        .collect();
    match near.is_empty() {
        false => harmless(&near),
        // Somebody else went on, or put an older state back.
        true => harmless(fitting),
    }
}

/// For a person: which statements are done and which are not.
fn half_way(pending: &Pending, fitting: &[usize], shows: &[Option<bool>]) -> String {
    let mut lines = vec![match fitting {
        [] => format!(
            "version {} is half-way in a form that none of its statements leaves behind",
            pending.version
        ),
        [least, ..] => format!(
            "version {} is half-way: {least} or up to {} of its statements are done, and nothing in the database says \
             how many",
            pending.version,
            fitting[fitting.len() - 1]
        ),
    }];
    for (part, shown) in pending.parts.iter().zip(shows) {
        let word = match shown {
            Some(true) => "done",
            Some(false) => "not done",
            None => "cannot be told",
        };
        lines.push(format!("{} {word}: {}", part.name, part.text()));
    }
    lines.push(format!(
        "finish what is not done by hand, or undo what is done, then write the version into schema_version or leave it \
         at {}",
        pending.before
    ));
    lines.join("\n  ")
}

/// Looks up all that the statements work on.
async fn catalogue(session: &mut Session, statements: &[&Statement]) -> Result<Found, SchemaError> {
    let wanted = keys(statements);
    let tables: BTreeSet<&str> = wanted.iter().map(Key::table).collect();
    let mut found = Found::default();
    if tables.is_empty() {
        return Ok(found);
    }
    let mariadb = session.server().await?.product == Product::Mariadb;
    let names = session
        .rows(
            "SELECT CAST(LOWER(TABLE_NAME) AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE()",
            &[],
        )
        .await?;
    for name in names.into_iter().flatten().flatten() {
        if tables.contains(name.as_str()) {
            found.there.insert(Key::Table(name), Def::Any);
        }
    }
    let columns = session
        .rows(
            "SELECT CAST(LOWER(TABLE_NAME) AS CHAR), CAST(LOWER(COLUMN_NAME) AS CHAR), CAST(COLUMN_TYPE AS CHAR),
                    CAST(IS_NULLABLE AS CHAR), CAST(COLUMN_DEFAULT AS CHAR), CAST(EXTRA AS CHAR),
                    CAST(GENERATION_EXPRESSION AS CHAR)
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=DATABASE()",
            &[],
        )
        .await?;
    for row in columns {
        let [table, name, kind, nullable, default, extra, expression] = fields(row);
        let (table, name) = (table.unwrap_or_default(), name.unwrap_or_default());
        if !tables.contains(table.as_str()) {
            continue;
        }
        let expression = expression.filter(|text| !text.is_empty());
        let column = Column {
            kind: shown_kind(&kind.unwrap_or_default()),
            nullable: Some(nullable.as_deref() == Some("YES")),
            default: Some(match (mariadb, default) {
                (true, Some(text)) if text == "NULL" => None,
                (true, Some(text)) => {
                    let inner = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
                    Some(inner.unwrap_or(&text).to_owned())
                }
                (_, default) => default,
            }),
            expression: expression.as_deref().map(shown_expression),
            stored: extra.is_some_and(|extra| extra.to_uppercase().contains("STORED GENERATED")),
        };
        found.there.insert(Key::Column(table, name), Def::Column(column));
    }
    let expression = if mariadb { "NULL" } else { "EXPRESSION" };
    let parts = session
        .rows(
            &format!(
                "SELECT CAST(LOWER(TABLE_NAME) AS CHAR), CAST(LOWER(INDEX_NAME) AS CHAR),
                        CAST(LOWER(COLUMN_NAME) AS CHAR), CAST({expression} AS CHAR), CAST(COLLATION AS CHAR),
                        CAST(NON_UNIQUE AS CHAR), CAST(INDEX_TYPE AS CHAR)
                 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA=DATABASE()
                 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
            ),
            &[],
        )
        .await?;
    for row in parts {
        let [table, name, column, expression, order, not_unique, kind] = fields(row);
        let (table, name) = (table.unwrap_or_default(), name.unwrap_or_default());
        if !tables.contains(table.as_str()) {
            continue;
        }
        let part = IndexPart {
            what: match (column, expression) {
                (_, Some(text)) => Err(shown_expression(&text)),
                (column, None) => Ok(column.unwrap_or_default()),
            },
            descending: order.as_deref() == Some("D"),
        };
        let def = found.there.entry(Key::Index(table, name)).or_insert_with(|| {
            Def::Index(Index {
                unique: not_unique.as_deref() == Some("0"),
                fulltext: kind.as_deref() == Some("FULLTEXT"),
                parts: Vec::new(),
            })
        });
        if let Def::Index(index) = def {
            index.parts.push(part);
        }
    }
    for effect in statements.iter().flat_map(|s| s.effects.iter().flatten()) {
        if let Effect::Make(key @ Key::Row(table, condition), Def::Row(names)) = effect {
            if !found.there.contains_key(&Key::Table(table.clone())) {
                continue;
            }
            // A row that could be there twice proves nothing.
            let unique = found.there.iter().any(|(key, def)| {
                let Def::Index(index) = def else { return false };
                let covered = |part: &IndexPart| matches!(&part.what, Ok(name) if names.contains(name));
                key.table() == table && index.unique && index.parts.iter().all(covered)
            });
            let has_columns = names
                .iter()
                .all(|name| found.there.contains_key(&Key::Column(table.clone(), name.clone())));
            if !unique || !has_columns {
                found.unknown.insert(key.clone());
                continue;
            }
            let count = format!(
                "SELECT CAST(COUNT(*) AS CHAR) FROM `{}` WHERE {condition}",
                table.replace('`', "``")
            );
            if session.value(&count, &[]).await?.as_deref() != Some("0") {
                found.there.insert(key.clone(), Def::Row(names.clone()));
            }
        }
    }
    Ok(found)
}
