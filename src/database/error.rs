//! What goes wrong with a database. The database's own words always stand in it; its password never does.

use std::io::ErrorKind;

use sqlx::mysql::MySqlDatabaseError;

use super::{Database, Engine};

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
    #[error(
        "database {label}: {host} allows reading only (default_transaction_read_only, or read_only of a replica); name the primary, and a user that writes"
    )]
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
        /// SQLSTATE; MySQL's own error number.
        code: String,
        words: String,
    },
}

impl DatabaseError {
    /// SQLSTATE of a refused statement; MySQL's own error number.
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
        let login = |words: String| DatabaseError::Login {
            label: label.clone(),
            host: host.clone(),
            user: database.user.clone(),
            words,
        };
        match error {
            _ if tls && words.contains("not valid for name") => DatabaseError::TlsName { label, host, words },
            _ if tls => DatabaseError::Tls { label, host, words },
            // Without TLS the first login of an account needs RSA, which is not built in.
            sqlx::Error::Configuration(_) | sqlx::Error::Protocol(_)
                if database.engine == Engine::Mysql && words.contains("RSA") =>
            {
                login(
                    "its password is checked by caching_sha2_password, which goes over TLS only; set `verify` of its \
                     `tls` to ca or full"
                        .into(),
                )
            }
            sqlx::Error::Database(e) => match code(e.as_ref()).as_str() {
                "3D000" | "1049" => DatabaseError::NoDatabase {
                    label,
                    host,
                    name: database.name.clone(),
                    words,
                },
                // The server says no more, lest it help who guesses.
                "1045" if database.tls.cert.is_none() => login(format!(
                    "{words}; the password is wrong, or the account has to show a certificate (REQUIRE X509: `cert` \
                     and `key` of its `tls`)"
                )),
                "1044" | "1045" | "1130" | "1698" => login(words),
                "3159" => DatabaseError::Tls { label, host, words },
                code if code.starts_with("28") => login(words),
                _ => DatabaseError::Unreachable { label, host, words },
            },
            _ => DatabaseError::Unreachable { label, host, words },
        }
    }

    pub(super) fn statement(database: &Database, error: &sqlx::Error) -> DatabaseError {
        let label = database.label.clone();
        let words = words(database, error);
        match error.as_database_error() {
            // 57P01 to 57P03, 1927 and 4031: the server ends the session.
            Some(e) if !code(e).starts_with("57P") && !["1927", "4031"].contains(&code(e).as_str()) => {
                DatabaseError::Statement {
                    label,
                    code: code(e),
                    words,
                }
            }
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

/// SQLSTATE; MySQL's own number, since several of its errors share one SQLSTATE.
fn code(error: &(dyn sqlx::error::DatabaseError + 'static)) -> String {
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(e) => e.number().to_string(),
        None => error.code().unwrap_or_default().into_owned(),
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
            None => match e.try_downcast_ref::<MySqlDatabaseError>() {
                Some(e) => format!("{} (error {})", e.message(), e.number()),
                None => e.message().to_owned(),
            },
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
