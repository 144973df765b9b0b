//! What the databases say: schema versions, and who wrote a heartbeat.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::{Database, Engine, Session};
use crate::kind::Reading;
use crate::schema::{self, Version};
use crate::temporal::Role;

/// A heartbeat counts this long, as for the servers themselves when they look for members.
pub(super) const FRESH: u32 = 20;

/// A database as it is.
#[derive(Clone, Debug)]
pub(super) struct Store {
    /// `PostgreSQL 15.18 (Debian …)`.
    pub(super) server: String,
    /// The version in `schema_version`; None: there is no such row.
    pub(super) version: Option<Version>,
}

pub(super) async fn store(database: &Database, host: &dyn Reading) -> Result<Store, String> {
    let status = schema::status(database, Some(host))
        .await
        .map_err(|error| error.to_string())?;
    Ok(Store {
        server: status.server,
        version: status.version,
    })
}

/// Addresses with a fresh heartbeat, by role. There is a row for each start of a process: they are counted once.
/// None: not asked of this engine.
pub(super) async fn heartbeats(
    database: &Database,
    host: &dyn Reading,
) -> Option<Result<BTreeMap<Role, BTreeSet<String>>, String>> {
    let sql = match database.engine {
        Engine::Postgres => format!(
            "SELECT DISTINCT role::text, rpc_address FROM cluster_membership \
             WHERE last_heartbeat > (now() AT TIME ZONE 'utc') - interval '{FRESH} s'"
        ),
        Engine::Sqlite | Engine::Cassandra => return None,
    };
    Some(rows(database, host, &sql).await.map(|rows| {
        let mut owners: BTreeMap<Role, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            let mut columns = row.into_iter().flatten();
            let role = columns.next().and_then(|text| Role::of_number(text.parse().ok()?));
            if let (Some(role), Some(address)) = (role, columns.next()) {
                owners.entry(role).or_default().insert(address);
            }
        }
        owners
    }))
}

async fn rows(database: &Database, host: &dyn Reading, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let database = database.reached(host).await.map_err(|error| error.to_string())?;
    let mut session = Session::open(&database, "refit: temporal")
        .await
        .map_err(|error| error.to_string())?;
    let rows = session.rows(sql, &[]).await.map_err(|error| error.to_string());
    session.close().await;
    rows
}
