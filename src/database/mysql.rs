//! What is MySQL's and MariaDB's own: logging in, and servers that a change must not go to.

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};

use super::{Database, DatabaseError, Session, Verify};

/// Lets nothing of a session differ from what Temporal's own tool gets, so that statements mean the same.
pub(super) async fn connect(database: &Database) -> Result<MySqlConnection, sqlx::Error> {
    let mut options = MySqlConnectOptions::new()
        .host(&database.host)
        .port(database.port)
        .username(&database.user)
        .database(&database.name)
        .statement_cache_capacity(0)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .ssl_mode(match database.tls.verify {
            Verify::None => MySqlSslMode::Disabled,
            Verify::Ca => MySqlSslMode::VerifyCa,
            Verify::Full => MySqlSslMode::VerifyIdentity,
        })
        .disable_statement_logging();
    if let Some(tunnel) = database.socket() {
        options = options.socket(tunnel);
    } else if database.host.starts_with('/') {
        options = options.socket(&database.host);
    }
    if let Some(password) = &database.password {
        options = options.password(password.reveal());
    }
    if let Some(ca) = &database.tls.ca {
        options = options.ssl_ca(ca);
    }
    if let (Some(cert), Some(key)) = (&database.tls.cert, &database.tls.key) {
        options = options.ssl_client_cert(cert).ssl_client_key(key);
    }
    options.connect().await
}

/// The splitter reads `"` as a string and `\` as its escape.
pub(super) const MODE: &str =
    "SET SESSION sql_mode=REPLACE(REPLACE(@@SESSION.sql_mode, 'ANSI_QUOTES', ''), 'NO_BACKSLASH_ESCAPES', '')";

/// Refuses a replica, and what else takes no writes.
pub(super) async fn refuse_unfit(session: &mut Session, database: &Database) -> Result<(), DatabaseError> {
    let read_only = session.value("SELECT CAST(@@GLOBAL.read_only AS CHAR)", &[]).await?;
    match read_only.as_deref() {
        Some("0" | "OFF") => Ok(()),
        _ => Err(DatabaseError::ReadOnly {
            label: database.label.clone(),
            host: database.place(),
        }),
    }
}
