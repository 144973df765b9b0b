//! Sessions with PostgreSQL.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::{Database, DatabaseError, Verify};

const CONNECT: Duration = Duration::from_secs(10);

/// One session. Statements go either through [`Session::rows`] (one, with parameters) or [`Session::simple`].
pub(crate) struct Session {
    database: Database,
    connection: PgConnection,
    pid: i32,
}

/// What a server is.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `15.18 (Debian …)`.
    pub(crate) version: String,
}

impl Session {
    /// Logs in. `application` is the session's tag, at most 63 bytes. PGPASSWORD and password files do not count.
    pub(crate) async fn open(database: &Database, application: &str) -> Result<Session, DatabaseError> {
        debug_assert!(application.len() < 64, "PostgreSQL cuts `{application}`");
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&database.host)
            .port(database.port)
            .username(&database.user)
            .password(database.password.as_ref().map_or("", |password| password.reveal()))
            .database(&database.name)
            .application_name(application)
            // A pooler refuses start-up parameters that it does not know.
            .extra_float_digits(None)
            .statement_cache_capacity(0)
            .ssl_mode(match database.tls.verify {
                Verify::None => PgSslMode::Disable,
                Verify::Ca => PgSslMode::VerifyCa,
                Verify::Full => PgSslMode::VerifyFull,
            })
            .disable_statement_logging();
        // `.s.PGSQL.PORT` is looked for in a folder.
        if let Some(folder) = database.socket().and_then(Path::parent) {
            options = options.socket(folder);
        }
        if let Some(ca) = &database.tls.ca {
            options = options.ssl_root_cert(ca);
        }
        if let (Some(cert), Some(key)) = (&database.tls.cert, &database.tls.key) {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        let connection = match tokio::time::timeout(CONNECT, options.connect()).await {
            Ok(connection) => connection.map_err(|e| DatabaseError::connect(database, &e))?,
            Err(_) => {
                if let Some(words) = database.trouble() {
                    return Err(DatabaseError::Unreachable {
                        label: database.label.clone(),
                        host: database.place(),
                        words,
                    });
                }
                return Err(DatabaseError::Timeout {
                    label: database.label.clone(),
                    host: database.place(),
                    seconds: CONNECT.as_secs(),
                });
            }
        };
        let mut session = Session {
            database: database.clone(),
            connection,
            pid: 0,
        };
        let pid = session.value("SELECT pg_backend_pid()::text", &[]).await?;
        session.pid = pid.and_then(|pid| pid.parse().ok()).unwrap_or(0);
        Ok(session)
    }

    /// The server's process of this session.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Rows of one query with `$1`… as text; every column must be text.
    pub(crate) async fn rows(&mut self, sql: &str, binds: &[&str]) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
        let mut query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false);
        for bind in binds {
            query = query.bind((*bind).to_owned());
        }
        let rows: Vec<PgRow> = query
            .fetch_all(&mut self.connection)
            .await
            .map_err(|e| DatabaseError::statement(&self.database, &e))?;
        rows.iter()
            .map(|row| {
                (0..row.len())
                    .map(|i| {
                        row.try_get::<Option<String>, _>(i)
                            .map_err(|e| DatabaseError::statement(&self.database, &e))
                    })
                    .collect()
            })
            .collect()
    }

    /// The first column of the first row.
    pub(crate) async fn value(&mut self, sql: &str, binds: &[&str]) -> Result<Option<String>, DatabaseError> {
        let rows = self.rows(sql, binds).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// Sends text as one simple query: several statements in it are one transaction, which the server finishes even
    /// where this process dies after sending.
    pub(crate) async fn simple(&mut self, sql: &str) -> Result<(), DatabaseError> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connection)
            .await
            .map_err(|e| DatabaseError::statement(&self.database, &e))?;
        Ok(())
    }

    pub(crate) async fn server(&mut self) -> Result<Server, DatabaseError> {
        let version = self
            .value("SELECT current_setting('server_version')", &[])
            .await?
            .unwrap_or_default();
        Ok(Server { version })
    }

    /// Refuses what a change must not go to: a standby, a read-only user, a pooler of transactions.
    pub(crate) async fn refuse_unfit(&mut self) -> Result<(), DatabaseError> {
        let (label, host) = (self.database.label.clone(), self.database.place());
        if self.value("SELECT pg_is_in_recovery()::text", &[]).await?.as_deref() == Some("true") {
            return Err(DatabaseError::Standby { label, host });
        }
        let read_only = self
            .value("SELECT current_setting('transaction_read_only')", &[])
            .await?;
        if read_only.as_deref() == Some("on") {
            return Err(DatabaseError::ReadOnly { label, host });
        }
        // Two clients at the same time, and one server process for both: a pooler handed it from one to the other.
        let mut other = Session::open(&self.database, "refit: looks for a pooler").await?;
        let mut pooled = false;
        for _ in 0..3 {
            let ours = self.value("SELECT pg_backend_pid()::text", &[]).await?;
            let theirs = other.value("SELECT pg_backend_pid()::text", &[]).await?;
            pooled |= ours == theirs;
        }
        other.close().await;
        match pooled {
            true => Err(DatabaseError::Pooled { label, host }),
            false => Ok(()),
        }
    }

    pub(crate) async fn close(self) {
        // It ends with the socket anyway.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.connection.close()).await;
    }
}
