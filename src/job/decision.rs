//! What a look decides about a step before anything is touched, and names for what a step leaves.

use std::fmt;

use serde::Serialize;

/// What stands in the plan and its digest: versions and what is to be done, never a raw reading (sizes, free space).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Decision {
    /// `database main`, `release widget`.
    pub(crate) about: String,
    /// The version that is there, or that an earlier step will have left; None: none yet.
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    /// Something will be done.
    pub(crate) changes: bool,
    /// Versions that are applied, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) versions: Vec<String>,
    pub(crate) statements: usize,
    /// Statements that rewrite or lock a table, and what to expect of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cautions: Vec<String>,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.as_deref().unwrap_or("nothing");
        if !self.changes {
            return write!(f, "{}: at {}, nothing to do", self.about, self.to);
        }
        match self.from.as_ref() == Some(&self.to) {
            true => write!(f, "{}: {} again, with other content", self.about, self.to)?,
            false => write!(f, "{}: {from} to {}", self.about, self.to)?,
        }
        if !self.versions.is_empty() {
            let plural = if self.statements == 1 { "" } else { "s" };
            let versions = self.versions.join(", ");
            write!(f, " ({versions}; {} statement{plural})", self.statements)?;
        }
        Ok(())
    }
}

/// The name of something that a step leaves and that a later step counts on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fact {
    /// On the step's host: `release/widget`, `file/etc/widget.yml`.
    Here(String),
    /// Seen alike from every host: `schema/db1:5432/temporal`.
    Shared(String),
}
