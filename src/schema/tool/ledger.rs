//! What a SQL database itself says, asked by the controller: the tool is not believed.

use super::super::executor;
use super::super::mysql::Mysql;
use super::super::plan::State;
use super::super::postgres::{Postgres, invalid_indexes};
use super::super::{SchemaError, Version, apply};
use crate::database::{Database, Engine, Product, Session};
use crate::job::{Changing, Reading};

/// The version that the database says.
pub(super) async fn version(database: &Database, host: &dyn Reading) -> Result<Version, SchemaError> {
    let mut session = Session::open(&database.reached(host).await?, "refit: status").await?;
    session.refuse_unfit().await?;
    let state = apply::read(&mut session, database).await;
    session.close().await;
    of(database, &state?)
}

/// MariaDB, where MySQL is meant?
pub(super) async fn mariadb(database: &Database, host: &dyn Reading) -> Result<bool, SchemaError> {
    if database.engine != Engine::Mysql {
        return Ok(false);
    }
    let mut session = Session::open(&database.reached(host).await?, "refit: status").await?;
    let server = session.server().await;
    session.close().await;
    Ok(server?.product == Product::Mariadb)
}

fn of(database: &Database, state: &State) -> Result<Version, SchemaError> {
    state.current(database)?.ok_or_else(|| SchemaError::Unfit {
        label: database.label.clone(),
        what: "it has no schema_version yet; make the version tables with the tool's `setup-schema -v 0.0`".into(),
    })
}

/// The lock under which nobody else updates the schema, as long as the controller lives. None for Cassandra, which has
/// no such lock.
pub(super) struct Held {
    lock: Session,
}

impl Held {
    pub(super) async fn take(database: &Database, host: &dyn Changing) -> Result<Option<Held>, SchemaError> {
        if database.engine == Engine::Cassandra {
            return Ok(None);
        }
        let lock = match database.engine {
            Engine::Mysql => executor::hold::<Mysql>(database, host).await?,
            _ => executor::hold::<Postgres>(database, host).await?,
        };
        Ok(Some(Held { lock }))
    }

    /// The version, once nothing changes the schema any more: a statement goes on in the server when the tool is killed.
    pub(super) async fn version(&self, database: &Database, host: &dyn Changing) -> Result<Version, SchemaError> {
        let state = match database.engine {
            Engine::Mysql => executor::quiet::<Mysql>(database, host, self.lock.id()).await?,
            _ => executor::quiet::<Postgres>(database, host, self.lock.id()).await?,
        };
        of(database, &state)
    }

    /// What makes a version that is recorded unfit for use.
    pub(super) async fn doubts(&self, database: &Database, host: &dyn Reading) -> Result<Option<String>, SchemaError> {
        if database.engine != Engine::Postgres {
            return Ok(None);
        }
        let mut session = Session::open(&database.reached(host).await?, "refit: verify").await?;
        let invalid = invalid_indexes(&mut session).await;
        session.close().await;
        let invalid = invalid?;
        Ok((!invalid.is_empty()).then(|| {
            format!(
                "it left invalid indexes, which are never used: {}; drop each (DROP INDEX CONCURRENTLY) and build it again as its \
                 file in the schema's directory does",
                invalid.join(", ")
            )
        }))
    }

    pub(super) async fn free(self) {
        self.lock.close().await;
    }
}
