//! Versioned schemas in Temporal's layout: `vX.Y/manifest.json` and the SQL files that it names.
//!
//! A version is a list of *segments*: groups of statements that share a transaction, and single statements that no
//! transaction can hold (`CONCURRENTLY`). Each segment is announced in the journal, sent as one simple query with its
//! bookkeeping inside, and after a crash the database itself says what became of it: by the version row, by a mark in
//! that row (`creation_time`, which every update rewrites anyway), or by a look at its catalogue. `schema_version` and
//! `schema_update_history` are kept exactly as Temporal's own tools keep them; nothing else is added to a database.

mod apply;
mod error;
mod layout;
mod plan;
mod postgres;
mod split;
mod sqlite;
mod statement;
pub(crate) mod tool;
mod version;

#[cfg(test)]
mod tests;

pub(crate) use apply::{TOOL_ONLY, apply, foresee, lint, plan, settle, status};
pub(crate) use error::SchemaError;
pub(crate) use plan::{Plan, Status};
pub(crate) use postgres::cancel;
pub(crate) use version::Version;
