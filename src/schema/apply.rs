//! The four things that can be asked: status, plan, apply, settle, for either engine.

use std::path::Path;

use serde_json::json;

use super::layout::Layout;
use super::plan::State;
use super::{Plan, SchemaError, Status, Version, postgres, sqlite};
use crate::database::{Database, DatabaseError, Engine, Session};
use crate::event::Segment;
use crate::job::{Changing, Done, Fact, Failure, Reading};

/// Why Cassandra goes the tool's way alone.
pub(crate) const TOOL_ONLY: &str =
    "Cassandra's schema is brought to a version by Temporal's own tool only, and read by it";

fn tool_only(database: &Database) -> SchemaError {
    SchemaError::Unfit {
        label: database.label.clone(),
        what: format!("{TOOL_ONLY}: write `tool: PATH` on the step"),
    }
}

/// What can be said of a directory without any database: each problem, and whether it is about `to`.
pub(crate) fn lint(dir: &Path, engine: Engine, to: Option<&str>) -> Vec<(bool, String)> {
    let layout = match Layout::read(dir, engine) {
        Ok(layout) => layout,
        Err(SchemaError::Layout { path, what }) => {
            let problem = |line: &str| (false, format!("{}: {line}", path.display()));
            return what.lines().map(problem).collect();
        }
        Err(other) => return vec![(false, other.to_string())],
    };
    match to.map(|text| (text, Version::parse(text))) {
        None => Vec::new(),
        Some((text, None)) => vec![(true, format!("`{text}` is no version (1.10)"))],
        Some((_, Some(version))) if layout.find(&version).is_some() => Vec::new(),
        Some((text, Some(_))) => {
            let newest = layout.newest();
            vec![(
                true,
                format!("{} has no version {text}; its newest is {newest}", dir.display()),
            )]
        }
    }
}

/// What a database is at. A SQLite database needs the host that holds it.
pub(crate) async fn status(database: &Database, host: Option<&dyn Reading>) -> Result<Status, SchemaError> {
    let (state, server) = match database.engine {
        Engine::Postgres => {
            let mut session = Session::open(&reached(database, host).await?, "refit: status").await?;
            let server = format!("PostgreSQL {}", session.server().await?.version);
            let state = postgres::read(&mut session, database).await?;
            session.close().await;
            (state, server)
        }
        Engine::Sqlite => (sqlite::read(database, on_host(database, host)?).await?, "SQLite".into()),
        Engine::Cassandra => return Err(tool_only(database)),
    };
    Ok(Status {
        label: database.label.clone(),
        place: database.place(),
        server,
        version: state.current(database)?,
        history: state.history,
    })
}

/// What would be done. `to` None: the newest version of the directory. A version that an earlier step will have left
/// stands in for the one that is there.
pub(crate) async fn plan(
    database: &Database,
    dir: &Path,
    to: Option<&str>,
    host: Option<&dyn Reading>,
) -> Result<Plan, SchemaError> {
    let layout = Layout::read(dir, database.engine)?;
    match database.engine {
        Engine::Postgres => {
            let mut session = Session::open(&reached(database, host).await?, "refit: plan").await?;
            session.refuse_unfit().await?;
            let state = postgres::read(&mut session, database).await?;
            let mut plan = Plan::compute(database, &layout, &expected(database, host, &state), to)?;
            let sizes = postgres::sizes(&mut session, &plan.touched(&state)).await?;
            plan.notes.extend(sizes);
            session.close().await;
            Ok(plan)
        }
        Engine::Sqlite => {
            let state = sqlite::read(database, on_host(database, host)?).await?;
            Plan::compute(database, &layout, &expected(database, host, &state), to)
        }
        Engine::Cassandra => Err(tool_only(database)),
    }
}

/// Says what the plan will leave, for the plans of later steps.
pub(crate) fn foresee(plan: &Plan, database: &Database, host: &dyn Reading) {
    if let (false, Ok(state)) = (plan.done(), serde_json::to_value(&plan.leaves)) {
        host.foresee(fact(database), state);
    }
}

pub(super) fn fact(database: &Database) -> Fact {
    match database.engine {
        Engine::Postgres | Engine::Cassandra => Fact::Shared(format!("schema/{}/{}", database.place(), database.name)),
        Engine::Sqlite => Fact::Here(format!("schema{}", database.path)),
    }
}

fn expected(database: &Database, host: Option<&dyn Reading>, now: &State) -> State {
    let foreseen = host.and_then(|host| host.foreseen(&fact(database)));
    foreseen
        .and_then(|state| serde_json::from_value(state).ok())
        .unwrap_or_else(|| now.clone())
}

/// Brings a database to a version, going on where an earlier attempt stopped.
pub(crate) async fn apply(
    database: &Database,
    dir: &Path,
    to: Option<&str>,
    host: &dyn Changing,
) -> Result<Done, Failure> {
    let mut journal = host.segments();
    let outcome = carry_out(database, dir, to, host, &mut journal).await;
    outcome.map_err(|error| unknown_if_away(database, &journal, error))
}

/// What was sent may be done or not, and the database does not come back to say.
fn unknown_if_away(database: &Database, journal: &[Segment], error: SchemaError) -> Failure {
    use DatabaseError::{Lost, Timeout, Unreachable};
    match (&error, journal.last()) {
        (SchemaError::Database(Lost { .. } | Unreachable { .. } | Timeout { .. }), Some(last)) => {
            let what = format!(
                "what became of {} is not known, for it cannot be asked: {error}",
                last.name
            );
            let label = database.label.clone();
            SchemaError::Unknown { label, what }.into()
        }
        _ => error.into(),
    }
}

async fn carry_out(
    database: &Database,
    dir: &Path,
    to: Option<&str>,
    host: &dyn Changing,
    journal: &mut Vec<Segment>,
) -> Result<Done, SchemaError> {
    let layout = Layout::read(dir, database.engine)?;
    match database.engine {
        Engine::Postgres => postgres::apply(database, &layout, to, host, journal).await?,
        Engine::Sqlite => sqlite::apply(database, &layout, to, host, journal).await?,
        Engine::Cassandra => return Err(tool_only(database)),
    }
    let reached = match database.engine {
        Engine::Postgres => {
            let mut session = postgres::patiently(database, "refit: verify", host).await?;
            let state = postgres::read(&mut session, database).await?;
            session.close().await;
            state
        }
        Engine::Sqlite => sqlite::read(database, host.reading()).await?,
        Engine::Cassandra => return Err(tool_only(database).into()),
    };
    let target = Plan::compute(database, &layout, &reached, to)?;
    if !target.done() {
        return Err(SchemaError::Failed {
            label: database.label.clone(),
            what: format!(
                "everything was applied, and yet it says {}, not {}",
                target.from, target.to
            ),
        });
    }
    done(&layout, &reached, database, journal)
}

/// After a crash: waits for what still runs, then says whether the target is reached. `Ok(None)`: it is not, and
/// [`apply`] goes on from where it stands.
pub(crate) async fn settle(
    database: &Database,
    dir: &Path,
    to: Option<&str>,
    host: &dyn Changing,
) -> Result<Option<Done>, Failure> {
    let layout = Layout::read(dir, database.engine)?;
    let state = match database.engine {
        Engine::Postgres => postgres::settled(database, host)
            .await
            .map_err(|error| unknown_if_away(database, &host.segments(), error))?,
        Engine::Sqlite => sqlite::read(database, host.reading()).await?,
        Engine::Cassandra => return Err(tool_only(database).into()),
    };
    match Plan::compute(database, &layout, &state, to)?.done() {
        true => Ok(Some(done(&layout, &state, database, &host.segments())?)),
        false => Ok(None),
    }
}

/// The result. What was applied, by earlier attempts of the step as well, stands in the journal.
fn done(layout: &Layout, state: &State, database: &Database, journal: &[Segment]) -> Result<Done, SchemaError> {
    let to = state.current(database)?.unwrap_or(Version::zero());
    let mut applied: Vec<Version> = journal
        .iter()
        .filter_map(|segment| Version::parse(segment.name.split('/').next()?))
        .filter(|version| *version > Version::zero() && *version <= to)
        .collect();
    applied.sort();
    applied.dedup();
    let from = match (applied.first(), journal.is_empty()) {
        (Some(first), _) => layout.before(first),
        (None, true) => to.clone(),
        (None, false) => Version::zero(),
    };
    let names: Vec<&str> = applied.iter().map(Version::as_str).collect();
    Ok(Done {
        changed: !journal.is_empty(),
        result: json!({"from": from.as_str(), "to": to.as_str(), "applied": names}),
        diff: None,
        message: match applied.is_empty() {
            true => None,
            false => Some(format!("{from} to {to}")),
        },
    })
}

/// With a tunnel where the database needs one.
async fn reached(database: &Database, host: Option<&dyn Reading>) -> Result<Database, SchemaError> {
    match (host, &database.via) {
        (Some(host), _) => Ok(database.reached(host).await?),
        (None, None) => Ok(database.clone()),
        (None, Some(via)) => Err(SchemaError::Unfit {
            label: database.label.clone(),
            what: format!("it is reached through {via}, and there is no run that could go there"),
        }),
    }
}

fn on_host<'a>(database: &Database, host: Option<&'a dyn Reading>) -> Result<&'a dyn Reading, SchemaError> {
    host.ok_or_else(|| SchemaError::Unfit {
        label: database.label.clone(),
        what: "its file is on a host, and none was named".into(),
    })
}
