//! What a playbook says of a database.

use std::path::PathBuf;

use crate::secret::Secret;

/// One entry of `databases:`, rendered and decoded for one host.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// The playbook's name for it.
    pub(crate) label: String,
    pub(crate) engine: Engine,
    /// PostgreSQL: where it listens; also the name that TLS verifies.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The database's own name, which is also the `db_name` of `schema_version`.
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) tls: Tls,
    /// SQLite: the file, on the host of the unit.
    pub(crate) path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
}

#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) verify: Verify,
    /// PEM files on the controller.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// How far the server's certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// No TLS at all.
    None,
    Ca,
    Full,
}
