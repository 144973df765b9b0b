//! What people say to a running controller from other terminals.

use serde::{Deserialize, Serialize};

/// A message to the controller of a run. It is read in order, and once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub(crate) enum Message {
    /// Stop after what is running, free the hosts, close the run.
    Abort { who: String, reason: String },
}
