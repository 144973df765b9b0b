//! Where and as whom a host is reached, from its variables.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::id::HostName;
use crate::secret::Secret;
use crate::yaml::{Diagnostic, Span};

use super::Account;

/// One rendered variable of a host.
#[derive(Clone, Debug)]
pub(crate) struct Var {
    pub(crate) value: Value,
    pub(crate) secret: bool,
    pub(crate) at: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ssh,
    Local,
}

/// One hop of `-J`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Jump {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

/// How sudo is called, whether or not a step becomes another account.
#[derive(Clone, Debug)]
pub(crate) struct Sudo {
    pub(crate) password: Option<Secret>,
    /// Default `sudo`.
    pub(crate) exe: String,
    pub(crate) flags: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: HostName,
    pub(crate) kind: Kind,
    /// Name or address given to ssh.
    pub(crate) address: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) identity_files: Vec<PathBuf>,
    pub(crate) jumps: Vec<Jump>,
    /// Further `-F` files, included after ours.
    pub(crate) config_files: Vec<PathBuf>,
    /// Further ssh_config options of the closed set: name and value.
    pub(crate) options: Vec<(&'static str, String)>,
    /// The limit for connecting, retries included. Default 30 s.
    pub(crate) timeout: Duration,
    pub(crate) shell: String,
    pub(crate) state_dir: Option<String>,
    pub(crate) sudo: Sudo,
    /// `ansible_become`, which wins over the playbook's `become`.
    pub(crate) becomes: Option<bool>,
    /// `ansible_become_user`, which wins over the playbook's `become_user`.
    pub(crate) become_user: Option<String>,
}

impl Target {
    /// Reads the connection variables of a host; gives notes, or every error at once.
    pub(crate) fn from_vars(
        _host: &HostName,
        _get: impl Fn(&str) -> Option<Var>,
    ) -> Result<(Target, Vec<Diagnostic>), Vec<Diagnostic>> {
        todo!()
    }

    /// The account of a step; the host's variables win over the playbook's `become` and `become_user`.
    pub(crate) fn account(&self, becomes: bool, user: Option<&str>) -> Account {
        if self.becomes.unwrap_or(becomes) {
            Account::Sudo(self.become_user.as_deref().or(user).unwrap_or("root").to_owned())
        } else {
            Account::Login
        }
    }
}
