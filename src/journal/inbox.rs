//! What people say to a running controller from other terminals.

use serde::{Deserialize, Serialize};

use crate::id::HostName;

/// A message to the controller of a run. It is read in order, and once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub(crate) enum Message {
    /// Stop after what is running, free the hosts, close the run.
    Abort {
        who: String,
        reason: String,
    },
    /// Begin nothing new until somebody says go.
    Hold {
        who: String,
        reason: String,
    },
    Go {
        who: String,
        reason: String,
    },
    /// This host takes no further stages.
    Exclude {
        who: String,
        host: HostName,
        reason: String,
    },
}
