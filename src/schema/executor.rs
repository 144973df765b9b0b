//! How a server is brought to a version: one course, whatever the server.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::layout::Layout;
use super::plan::{Part, Pending, State};
use super::record::Record;
use super::statement::Place;
use super::{Plan, SchemaError};
use crate::database::{Database, DatabaseError, Server, Session};
use crate::event::{Segment, SegmentState};
use crate::job::{Changing, Failure, patience};

/// How long locks of others are waited for, with tries in between.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a server that went away is waited for.
const AWAY: Duration = Duration::from_secs(300);

/// An idle session of a dead controller is ended after this.
const IDLE: u64 = 5;

type Answer<T> = Result<T, SchemaError>;

/// A session that an earlier attempt left.
pub(super) struct Earlier {
    pub(super) id: String,
    /// It has lost its client, or is about to work on.
    pub(super) idle: bool,
    /// Since when it is so.
    pub(super) seconds: String,
    pub(super) query: String,
}

/// What looking on shows of a running statement.
#[derive(Default)]
pub(super) struct Seen {
    /// `behind pid 7 …`.
    pub(super) blocker: Option<String>,
    pub(super) progress: Option<String>,
}

/// What each engine does in its own way. `unit` is a job's tag without its attempt.
pub(super) trait Dialect: Sized + Send + Sync + 'static {
    /// Errors that mean: a lock was not had, and nothing was done.
    const BUSY: &'static [&'static str];

    /// Refuses a server that cannot take the versions up to `to`.
    fn fit(server: &Server, layout: &Layout, to: &str) -> Result<(), String>;

    fn read(session: &mut Session, database: &Database) -> impl Future<Output = Answer<State>> + Send;

    /// How large the tables are that the plan works on, in lines for a person.
    fn sizes(session: &mut Session, plan: &Plan, state: &State) -> impl Future<Output = Answer<Vec<String>>> + Send;

    /// How many parts of the first pending version are done already.
    fn standing(
        session: &mut Session,
        database: &Database,
        layout: &Layout,
        pending: &Pending,
        state: &State,
        journal: &[Segment],
    ) -> impl Future<Output = Answer<usize>> + Send;

    /// Ends what runs for a unit; the number of sessions that were told.
    fn cancel(watch: &mut Session, tag: &str) -> impl Future<Output = Answer<usize>> + Send;

    /// A session of the unit other than `own` that is still there.
    fn earlier(watch: &mut Session, unit: &str, own: &str) -> impl Future<Output = Answer<Option<Earlier>>> + Send;

    fn end(watch: &mut Session, id: &str) -> impl Future<Output = Answer<()>> + Send;

    /// Tries once to become the one who updates this database.
    fn lock(work: &mut Session, database: &Database, unit: &str) -> impl Future<Output = Answer<bool>> + Send;

    /// Who is that one, for a person.
    fn holder(watch: &mut Session, database: &Database) -> impl Future<Output = Answer<String>> + Send;

    /// Somebody else who changes the schema at this moment, as a tool whose statement outlives it; for a person.
    fn stranger(_watch: &mut Session, _own: &str) -> impl Future<Output = Answer<Option<String>>> + Send {
        std::future::ready(Ok(None))
    }

    /// Settings of the session that works.
    fn settings() -> &'static str;

    /// How long the `n`th try waits for a table's lock; everybody who comes after it waits behind it.
    fn patience(n: u32) -> String;

    fn look_on(watch: &mut Session, id: &str) -> impl Future<Output = Answer<Seen>> + Send;

    /// One text that takes effect as a whole or not at all.
    fn whole(tag: &str, sql: &str) -> String;

    /// Fails where the version is another one by now; stands at the start of a whole text.
    fn guard(db_name: &str, before: &str) -> String;

    /// Words for an error, where the server's own do not tell what [`Dialect::guard`] met.
    fn explain(_code: &str, words: String) -> String {
        words
    }

    /// The version tables, and the first row in them.
    fn setup(update: &mut Update<'_, Self>, name: &str, record: &Record<'_>)
    -> impl Future<Output = Answer<()>> + Send;

    /// A statement outside of transactions whose effect the catalogue shows.
    fn alone(update: &mut Update<'_, Self>, part: &Part) -> impl Future<Output = Answer<()>> + Send;
}

/// The columns of a row, as many as are wanted.
pub(super) fn fields<const N: usize>(row: Vec<Option<String>>) -> [Option<String>; N] {
    let mut fields = row.into_iter();
    std::array::from_fn(|_| fields.next().flatten())
}

pub(super) fn unit(tag: &str) -> &str {
    tag.rsplit_once('.').map_or(tag, |(unit, _)| unit)
}

/// Waits for sessions of this unit that still run, then reads.
pub(super) async fn settled<D: Dialect>(database: &Database, host: &dyn Changing) -> Answer<State> {
    let mut watch = patiently(database, "refit: watch", host).await?;
    wait_for_ours::<D>(&mut watch, database, host, "").await?;
    let state = D::read(&mut watch, database).await?;
    watch.close().await;
    Ok(state)
}

/// Opens a session, and waits for a server, or the way to it, that is away for a while.
pub(super) async fn patiently(database: &Database, tag: &str, host: &dyn Changing) -> Answer<Session> {
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
                let why = format!("waits for the database, {left} s left: {e}");
                rest(host, &why, Duration::from_secs(1)).await?;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Shows why nothing goes on, and rests. An error when no more waiting is wanted.
async fn rest(host: &dyn Changing, why: &str, how_long: Duration) -> Answer<()> {
    host.progress(why);
    tokio::select! {
        () = tokio::time::sleep(how_long) => Ok(()),
        () = host.cancelled() => Err(Failure::new(format!("stopped while it waited: {why}")).into()),
    }
}

/// Never a blocking wait: whoever waits in the server may be in the way of the one who works.
async fn locked<D: Dialect>(
    work: &mut Session,
    watch: &mut Session,
    database: &Database,
    host: &dyn Changing,
) -> Answer<()> {
    let began = Instant::now();
    while !D::lock(work, database, unit(host.tag())).await? {
        let holder = D::holder(watch, database).await?;
        let who = format!("another schema update is at work ({holder})");
        wait_on(database, host, &who, began).await?;
    }
    Ok(())
}

async fn wait_for_strangers<D: Dialect>(
    watch: &mut Session,
    database: &Database,
    host: &dyn Changing,
    own: &str,
) -> Answer<()> {
    let began = Instant::now();
    while let Some(who) = D::stranger(watch, own).await? {
        let who = format!("somebody else changes the schema ({who})");
        wait_on(database, host, &who, began).await?;
    }
    Ok(())
}

/// One more rest, or the end of the patience with somebody.
async fn wait_on(database: &Database, host: &dyn Changing, who: &str, began: Instant) -> Answer<()> {
    let Some(left) = PATIENCE.checked_sub(began.elapsed()) else {
        return Err(SchemaError::Failed {
            label: database.label.clone(),
            what: format!("{who}; waited {} s", PATIENCE.as_secs()),
        });
    };
    let why = format!("{}: {who}; {} s left", database.label, left.as_secs());
    rest(host, &why, Duration::from_millis(500)).await
}

/// While a lock is held by `own`: waits for sessions of this unit and for statements of others that change the schema,
/// then reads.
pub(super) async fn quiet<D: Dialect>(database: &Database, host: &dyn Changing, own: &str) -> Answer<State> {
    let mut watch = patiently(database, "refit: watch", host).await?;
    wait_for_ours::<D>(&mut watch, database, host, own).await?;
    wait_for_strangers::<D>(&mut watch, database, host, own).await?;
    let state = D::read(&mut watch, database).await?;
    watch.close().await;
    Ok(state)
}

/// A session that holds the lock under which nobody else updates the schema. It is idle and in no transaction, so that
/// `CREATE INDEX CONCURRENTLY` of whoever does the work does not wait for it.
pub(super) async fn hold<D: Dialect>(database: &Database, host: &dyn Changing) -> Answer<Session> {
    let mut work = patiently(database, "refit: holds the schema", host).await?;
    let mut watch = patiently(database, "refit: watch", host).await?;
    let locked = locked::<D>(&mut work, &mut watch, database, host).await;
    watch.close().await;
    locked.map(|()| work)
}

/// A session of an earlier attempt, or of this one before its connection broke, may still be at work: it is waited
/// for. One that is idle has lost its client and is ended.
async fn wait_for_ours<D: Dialect>(
    watch: &mut Session,
    database: &Database,
    host: &dyn Changing,
    own: &str,
) -> Answer<()> {
    while let Some(earlier) = D::earlier(watch, unit(host.tag()), own).await? {
        if earlier.idle && earlier.seconds.parse().is_ok_and(|s: u64| s >= IDLE) {
            D::end(watch, &earlier.id).await?;
        }
        let why = format!(
            "{}: an earlier session of this step is still there (pid {}, {}, {} s): {}",
            database.label,
            earlier.id,
            if earlier.idle { "idle" } else { "active" },
            earlier.seconds,
            earlier.query.split_whitespace().collect::<Vec<_>>().join(" ")
        );
        rest(host, &why, Duration::from_millis(500)).await?;
    }
    Ok(())
}

/// Applies what is pending. A broken connection is made again, and the database is asked what became of the segment.
pub(super) async fn apply<D: Dialect>(
    database: &Database,
    layout: &Layout,
    to: Option<&str>,
    host: &dyn Changing,
    journal: &mut Vec<Segment>,
) -> Answer<()> {
    let mut breaks = 0;
    loop {
        match attempt::<D>(database, layout, to, host, journal).await {
            Err(SchemaError::Database(e @ DatabaseError::Lost { .. })) if breaks < 10 => {
                breaks += 1;
                rest(host, &e.to_string(), Duration::from_secs(1)).await?;
            }
            other => return other,
        }
    }
}

async fn attempt<D: Dialect>(
    database: &Database,
    layout: &Layout,
    to: Option<&str>,
    host: &dyn Changing,
    journal: &mut Vec<Segment>,
) -> Answer<()> {
    let work = patiently(database, &format!("refit:{}", host.tag()), host).await?;
    let watch = patiently(database, "refit: watch", host).await?;
    let mut update = Update {
        database,
        host,
        journal,
        work,
        watch,
        dialect: PhantomData::<D>,
    };
    let outcome = update.all(layout, to).await;
    update.work.close().await;
    update.watch.close().await;
    outcome
}

/// What would be done, on a server that can take it.
pub(super) async fn plan<D: Dialect>(
    session: &mut Session,
    database: &Database,
    layout: &Layout,
    to: Option<&str>,
    state: &State,
) -> Answer<Plan> {
    let plan = Plan::compute(database, layout, state, to)?;
    if !plan.done() {
        let server = session.server().await?;
        D::fit(&server, layout, plan.to.as_str()).map_err(|what| SchemaError::Unfit {
            label: database.label.clone(),
            what: format!("{server} {what}"),
        })?;
    }
    Ok(plan)
}

/// Finds how much of the first pending version is there already.
pub(super) async fn stand<D: Dialect>(
    session: &mut Session,
    database: &Database,
    layout: &Layout,
    plan: &mut Plan,
    state: &State,
    journal: &[Segment],
) -> Answer<()> {
    if let Some(first) = plan.pending.first_mut() {
        first.done = D::standing(session, database, layout, first, state, journal).await?;
    }
    Ok(())
}

pub(super) struct Update<'a, D> {
    pub(super) database: &'a Database,
    pub(super) host: &'a dyn Changing,
    /// What the journal holds of this unit, kept up to date.
    journal: &'a mut Vec<Segment>,
    /// Tagged; holds the lock and carries out.
    pub(super) work: Session,
    /// Looks on.
    pub(super) watch: Session,
    dialect: PhantomData<D>,
}

impl<D: Dialect> Update<'_, D> {
    async fn all(&mut self, layout: &Layout, to: Option<&str>) -> Answer<()> {
        self.work.refuse_unfit().await?;
        wait_for_ours::<D>(&mut self.watch, self.database, self.host, self.work.id()).await?;
        locked::<D>(&mut self.work, &mut self.watch, self.database, self.host).await?;
        self.work.simple(D::settings()).await?;
        wait_for_strangers::<D>(&mut self.watch, self.database, self.host, self.work.id()).await?;
        let state = D::read(&mut self.watch, self.database).await?;
        let mut plan = plan::<D>(&mut self.watch, self.database, layout, to, &state).await?;
        stand::<D>(&mut self.watch, self.database, layout, &mut plan, &state, self.journal).await?;
        if plan.setup {
            let segment = self.intent("0.0/1", String::new(), "makes the version tables").await?;
            D::setup(self, &segment.name, &Record::initial(&plan.db_name)).await?;
            self.done(segment).await?;
        }
        for pending in &plan.pending {
            if pending.done > 0 {
                let (done, all) = (pending.done, pending.parts.len());
                self.host.progress(&format!(
                    "{}: {done} of {all} parts of {} are there already",
                    self.database.label, pending.version
                ));
            }
            for part in &pending.parts[pending.done..] {
                match &part.place {
                    Place::Transaction | Place::EndsTransaction => self.group(&plan, pending, part).await?,
                    Place::Alone(_) => D::alone(self, part).await?,
                    Place::Blind => self.blind(part).await?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn announced(&self, part: &Part) -> bool {
        self.journal
            .iter()
            .any(|segment| segment.name == part.name && segment.state == SegmentState::Intent)
    }

    pub(super) async fn intent(&mut self, name: &str, digest: String, text: &str) -> Answer<Segment> {
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

    pub(super) async fn done(&mut self, segment: Segment) -> Answer<()> {
        let segment = Segment {
            state: SegmentState::Done,
            ..segment
        };
        self.host.record(segment.clone()).await?;
        self.journal.push(segment);
        Ok(())
    }

    pub(super) fn failed(&self, what: String) -> SchemaError {
        SchemaError::Failed {
            label: self.database.label.clone(),
            what,
        }
    }

    /// A group of statements in one transaction, with the version's record or, before its last group, with a mark.
    async fn group(&mut self, plan: &Plan, pending: &Pending, part: &Part) -> Answer<()> {
        let engine = self.database.engine;
        let mut digest = part.digest();
        let mut sql = D::guard(&plan.db_name, pending.before.as_str());
        for statement in &part.statements {
            sql += &statement.text;
            sql += ";\n";
        }
        if part.records {
            sql += &pending.record(&plan.db_name).sql(engine);
        } else {
            let mark = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
            sql += &format!(
                "UPDATE schema_version SET creation_time={} WHERE version_partition=0 AND db_name={};\n",
                super::record::text(&mark, engine),
                super::record::text(&plan.db_name, engine),
            );
            digest = format!("{digest}@{mark}");
        }
        let segment = self.intent(&part.name, digest, &part.text()).await?;
        self.whole(&part.name, &sql).await?;
        self.done(segment).await
    }

    /// Sends a text that takes effect as a whole.
    pub(super) async fn whole(&mut self, name: &str, sql: &str) -> Answer<()> {
        let text = D::whole(self.host.tag(), sql);
        self.tries(name, &text, "was rolled back").await
    }

    /// Sends one text, again where a lock could not be had: then nothing of it was done.
    pub(super) async fn tries(&mut self, name: &str, text: &str, failed: &str) -> Answer<()> {
        let began = Instant::now();
        for n in 1.. {
            self.work.simple(&D::patience(n)).await?;
            let blockers = match self.run(name, text).await? {
                Ok(()) => return Ok(()),
                Err((e, blockers)) if D::BUSY.contains(&e.code()) => match PATIENCE.checked_sub(began.elapsed()) {
                    Some(left) => format!("waits for a lock, {} s left; {blockers}", left.as_secs()),
                    None => {
                        let seconds = PATIENCE.as_secs();
                        return Err(self.failed(format!("{name} did not get its lock for {seconds} s; {blockers}")));
                    }
                },
                Err((DatabaseError::Statement { words, code, .. }, _)) => {
                    return Err(self.failed(format!("{name} {failed}: {}", D::explain(&code, words))));
                }
                Err((e, _)) => return Err(e.into()),
            };
            let why = format!("{}: {name}: {blockers}", self.database.label);
            rest(self.host, &why, Duration::from_secs(2)).await?;
        }
        Ok(())
    }

    /// Runs a text and looks on. The inner error comes with who was in the way.
    pub(super) async fn run(&mut self, name: &str, sql: &str) -> Answer<Result<(), (DatabaseError, String)>> {
        let id = self.work.id().to_owned();
        let mut blockers = String::from("nobody seen in the way");
        let running = self.work.simple(sql);
        tokio::pin!(running);
        let began = Instant::now();
        loop {
            tokio::select! {
                outcome = &mut running => return Ok(outcome.map_err(|e| (e, blockers))),
                () = tokio::time::sleep(Duration::from_millis(700)) => {}
                () = self.host.cancelled() => {
                    let failure = Failure {
                        unknown: true,
                        ..Failure::new(format!("{name} goes on in the database (pid {id}), and is not waited for any more"))
                    };
                    return Err(failure.into());
                }
            }
            // Who looks on may fail without harm to what runs.
            let seen = D::look_on(&mut self.watch, &id).await.unwrap_or_default();
            let both: Vec<&str> = [&seen.blocker, &seen.progress]
                .into_iter()
                .filter_map(Option::as_deref)
                .collect();
            self.host.progress(&format!(
                "{}: {name}, {} s{}{}",
                self.database.label,
                began.elapsed().as_secs(),
                if both.is_empty() { "" } else { ": " },
                both.join("; "),
            ));
            if let Some(who) = seen.blocker {
                blockers = who;
            }
        }
    }

    /// A statement outside of transactions that nothing can look up.
    async fn blind(&mut self, part: &Part) -> Answer<()> {
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
        self.work.simple(&D::patience(0)).await?;
        match self.run(&part.name, &part.sql()).await? {
            Ok(()) => self.done(segment).await,
            Err((DatabaseError::Lost { .. }, _)) => Err(lost),
            Err((DatabaseError::Statement { words, .. }, _)) => Err(self.failed(format!("{}: {words}", part.name))),
            Err((e, _)) => Err(e.into()),
        }
    }
}
