//! What is PostgreSQL's own: logging in, and servers that a change must not go to.

use std::path::Path;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::{Database, DatabaseError, Session, Verify};

/// `tag` is the session's name, at most 63 bytes. PGPASSWORD and password files do not count.
pub(super) async fn connect(database: &Database, tag: &str) -> Result<PgConnection, sqlx::Error> {
    debug_assert!(tag.len() < 64, "PostgreSQL cuts `{tag}`");
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&database.host)
        .port(database.port)
        .username(&database.user)
        .password(database.password.as_ref().map_or("", |password| password.reveal()))
        .database(&database.name)
        .application_name(tag)
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
    options.connect().await
}

/// Refuses a standby, a read-only user, a pooler of transactions.
pub(super) async fn refuse_unfit(session: &mut Session, database: &Database) -> Result<(), DatabaseError> {
    let (label, host) = (database.label.clone(), database.place());
    if session.value("SELECT pg_is_in_recovery()::text", &[]).await?.as_deref() == Some("true") {
        return Err(DatabaseError::Standby { label, host });
    }
    let read_only = session
        .value("SELECT current_setting('transaction_read_only')", &[])
        .await?;
    if read_only.as_deref() == Some("on") {
        return Err(DatabaseError::ReadOnly { label, host });
    }
    // Two clients at the same time, and one server process for both: a pooler handed it from one to the other.
    let mut other = Session::open(database, "refit: looks for a pooler").await?;
    let mut pooled = false;
    for _ in 0..3 {
        let ours = session.value("SELECT pg_backend_pid()::text", &[]).await?;
        let theirs = other.value("SELECT pg_backend_pid()::text", &[]).await?;
        pooled |= ours == theirs;
    }
    other.close().await;
    match pooled {
        true => Err(DatabaseError::Pooled { label, host }),
        false => Ok(()),
    }
}
