//! What stops a schema update, in the words that a person reads.

use std::path::PathBuf;

use crate::database::DatabaseError;
use crate::job::Failure;

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    #[error("{}: {what}", .path.display())]
    Layout { path: PathBuf, what: String },
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What the database or the directory is makes the update wrong.
    #[error("database {label}: {what}")]
    Unfit { label: String, what: String },
    /// What the update needs is not there, and an earlier step may make it.
    #[error("database {label}: {what}")]
    Absent { label: String, what: String },
    #[error("database {label}: {what}")]
    Failed { label: String, what: String },
    /// A person has to look.
    #[error("database {label}: {what}")]
    Unknown { label: String, what: String },
    /// The host, or the journal.
    #[error("{}", .0.message)]
    Host(Box<Failure>),
}

impl From<Failure> for SchemaError {
    fn from(failure: Failure) -> SchemaError {
        SchemaError::Host(Box::new(failure))
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Failure {
        match error {
            SchemaError::Host(failure) => *failure,
            SchemaError::Unknown { .. } => Failure {
                unknown: true,
                ..Failure::new(error.to_string())
            },
            SchemaError::Absent { .. } | SchemaError::Database(DatabaseError::NoDatabase { .. }) => Failure {
                absent: true,
                ..Failure::new(error.to_string())
            },
            other => Failure::new(other.to_string()),
        }
    }
}
