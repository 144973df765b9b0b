//! What goes wrong with a database. The database's own words always stand in it; its password never does.

use std::io::ErrorKind;

use super::Database;

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("database {label}: {host} cannot be reached: {words}")]
    Unreachable { label: String, host: String, words: String },
    #[error("database {label}: {host} did not answer within {seconds} s")]
    Timeout { label: String, host: String, seconds: u64 },
    #[error("database {label}: {host} has no database of the name `{name}`: {words}")]
    NoDatabase {
        label: String,
        host: String,
        name: String,
        words: String,
    },
    #[error("database {label}: {host} does not let `{user}` in: {words}")]
    Login {
        label: String,
        host: String,
        user: String,
        words: String,
    },
    #[error(
        "database {label}: TLS: the certificate of {host} is for another name: {words}; `host` must be the name in the certificate"
    )]
    TlsName { label: String, host: String, words: String },
    #[error("database {label}: TLS with {host} failed: {words}")]
    Tls { label: String, host: String, words: String },
    #[error("database {label}: {host} is a standby (it is in recovery); name the primary")]
    Standby { label: String, host: String },
    #[error("database {label}: {host} allows this user to read only (default_transaction_read_only)")]
    ReadOnly { label: String, host: String },
    #[error(
        "database {label}: {host} is a pooler that gives each transaction another session (PgBouncer, pool_mode=transaction); locks and tags do not hold there: name the server itself"
    )]
    Pooled { label: String, host: String },
    /// The session broke: whether the last statement took effect is not known.
    #[error("database {label}: the connection to {host} broke: {words}")]
    Lost { label: String, host: String, words: String },
    /// The database refused a statement.
    #[error("database {label}: {words}")]
    Statement {
        label: String,
        /// SQLSTATE.
        code: String,
        words: String,
    },
}

impl DatabaseError {
    /// SQLSTATE of a refused statement.
    pub(crate) fn code(&self) -> &str {
        match self {
            DatabaseError::Statement { code, .. } => code,
            _ => "",
        }
    }

    pub(super) fn connect(database: &Database, error: &sqlx::Error) -> DatabaseError {
        let (label, host) = (database.label.clone(), database.place());
        if let Some(words) = database.trouble() {
            return DatabaseError::Unreachable { label, host, words };
        }
        let words = words(database, error);
        // rustls' refusals arrive as I/O errors.
        let tls = match error {
            sqlx::Error::Io(e) => e.kind() == ErrorKind::InvalidData,
            other => matches!(other, sqlx::Error::Tls(_)),
        };
        match error {
            _ if tls && words.contains("not valid for name") => DatabaseError::TlsName { label, host, words },
            _ if tls => DatabaseError::Tls { label, host, words },
            sqlx::Error::Database(e) => match e.code().as_deref() {
                Some("3D000") => DatabaseError::NoDatabase {
                    label,
                    host,
                    name: database.name.clone(),
                    words,
                },
                Some(code) if code.starts_with("28") => DatabaseError::Login {
                    label,
                    host,
                    user: database.user.clone(),
                    words,
                },
                _ => DatabaseError::Unreachable { label, host, words },
            },
            _ => DatabaseError::Unreachable { label, host, words },
        }
    }

    pub(super) fn statement(database: &Database, error: &sqlx::Error) -> DatabaseError {
        let label = database.label.clone();
        let words = words(database, error);
        match error.as_database_error() {
            // 57P01 to 57P03: the server ends the session.
            Some(e) if !e.code().is_some_and(|code| code.starts_with("57P")) => DatabaseError::Statement {
                label,
                code: e.code().unwrap_or_default().into_owned(),
                words,
            },
            _ => DatabaseError::Lost {
                label,
                host: database.place(),
                words: match database.trouble() {
                    Some(why) => format!("{words}; {why}"),
                    None => words,
                },
            },
        }
    }
}

/// The database's own words, in full.
fn words(database: &Database, error: &sqlx::Error) -> String {
    let text = match error {
        sqlx::Error::Database(e) => match e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            Some(e) => {
                let mut text = format!("{} (SQLSTATE {})", e.message(), e.code());
                for (name, more) in [("detail", e.detail()), ("hint", e.hint()), ("where", e.r#where())] {
                    if let Some(more) = more {
                        text += &format!("; {name}: {more}");
                    }
                }
                text
            }
            None => e.message().to_owned(),
        },
        sqlx::Error::Io(e) => e.to_string(),
        sqlx::Error::Tls(e) => e.to_string(),
        other => other.to_string(),
    };
    match &database.password {
        Some(password) if password.reveal().len() >= 4 => text.replace(password.reveal(), "<secret>"),
        _ => text,
    }
}
