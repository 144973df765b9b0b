//! What goes wrong between the controller and a host, told apart.

use std::time::Duration;

use crate::id::RunId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Refused,
    Timeout,
    UnknownName,
    Unroutable,
    HostKeyChanged,
    HostKeyUnknown,
    Authentication,
    JumpHost,
    /// Closed before the banner: MaxStartups, a penalty, a dying sshd.
    ClosedBeforeBanner,
    SudoMissing,
    SudoRefused,
    SudoPassword,
    SudoTerminal,
    /// No shell answered; the text says what was printed instead.
    NoShell,
    StateDir,
    /// Another run, or a newer controller of this one, has the host now.
    Fenced,
    /// The controller's own trouble: no `ssh`, no folder for sockets.
    Controller,
    Other,
}

/// Why a host, or an account on it, cannot be reached.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct ConnectError {
    pub(crate) cause: Cause,
    /// One line or several; OpenSSH's or sudo's own words are always in it.
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
}

impl ConnectError {
    pub(super) fn new(cause: Cause, text: impl Into<String>) -> ConnectError {
        ConnectError {
            cause,
            text: text.into(),
            hint: None,
        }
    }
}

/// The connection, or the channel of one account, ended or did not answer. Says nothing about any effect.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Lost {
    pub(crate) text: String,
    /// Set where the connection stands and the account could not be had (sudo, state folder, fence) or its shell is
    /// not usable.
    pub(crate) cause: Option<Cause>,
}

impl Lost {
    pub(super) fn new(text: impl Into<String>) -> Lost {
        Lost {
            text: text.into(),
            cause: None,
        }
    }
}

impl From<ConnectError> for Lost {
    fn from(error: ConnectError) -> Lost {
        let text = match error.hint {
            Some(hint) => format!("{}\n{hint}", error.text),
            None => error.text,
        };
        Lost {
            text,
            cause: Some(error.cause),
        }
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("timed out after {} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("printed more than {} MiB", .0 >> 20)]
    TooMuch(usize),
    /// The script or its environment cannot be sent (NUL, a bad variable name).
    #[error("{0}")]
    Invalid(String),
    /// It ended the shell that it ran in (`kill $$`).
    #[error("it ended the channel's shell: {0}")]
    Ended(String),
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("{0}")]
    Failed(String),
}

/// Whom a host lock belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) run: RunId,
    pub(crate) epoch: i64,
    pub(crate) controller: String,
    /// Seconds since 1970 on the host's clock.
    pub(crate) since: i64,
    /// Its connection is alive.
    pub(crate) live: bool,
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("locked by run {} of {}", .0.run, .0.controller)]
    HeldBy(Holder),
    /// With `holder` None the host is free, and an epoch above the fence may take it.
    #[error("this controller is outdated: the host has seen epoch {fence}")]
    Stale { fence: i64 },
    #[error("{0}")]
    StateDir(String),
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// What OpenSSH printed, told apart. `via_jump`: a jump host was named in the inventory.
pub(super) fn diagnose(address: &str, printed: &str, via_jump: bool) -> ConnectError {
    let printed = printed.replace('\r', "");
    let printed = printed.as_str();
    let has = |text: &str| printed.contains(text);
    let cause = if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        Cause::HostKeyChanged
    } else if has("host key is known for") || has("Host key verification failed") {
        Cause::HostKeyUnknown
    } else if has("UNKNOWN port 65535")
        || has("kex_exchange_identification")
            && (has("ssh: connect to host") || has("Could not resolve hostname") || has("Permission denied"))
    {
        // The inner ssh spoke, and then the outer one found its pipe closed.
        Cause::JumpHost
    } else if has("Permission denied (")
        || has("Too many authentication failures")
        || has("no such identity") && has("Permission denied")
    {
        Cause::Authentication
    } else if has("Could not resolve hostname") {
        Cause::UnknownName
    } else if has("kex_exchange_identification")
        || has("ssh_exchange_identification")
        || has("Not allowed at this time")
        || has("banner exchange") && !has("timed out")
    {
        Cause::ClosedBeforeBanner
    } else if has("Connection refused") {
        Cause::Refused
    } else if has("timed out") {
        Cause::Timeout
    } else if has("No route to host") || has("Network is unreachable") {
        Cause::Unroutable
    } else {
        Cause::Other
    };
    let cause = match cause {
        Cause::Refused | Cause::Timeout | Cause::UnknownName | Cause::Authentication
            if via_jump && !printed.contains(address) =>
        {
            Cause::JumpHost
        }
        cause => cause,
    };
    let hint = match cause {
        Cause::HostKeyUnknown => Some(unknown_key_hint(printed, address)),
        Cause::HostKeyChanged => Some(
            "the key differs from the recorded one: find out why before you remove the old line from known_hosts".to_owned(),
        ),
        Cause::Authentication => Some("no key was accepted for this user; Refit never asks for ssh passwords".to_owned()),
        Cause::JumpHost => Some("the way through the jump host failed; try it alone with ssh".to_owned()),
        Cause::ClosedBeforeBanner => Some(
            "the server closed the connection before its banner: MaxStartups, a penalty for earlier failures (PerSourcePenalties), or an sshd that is going down".to_owned(),
        ),
        Cause::Refused => Some("nothing listens there: is sshd running, is the port right?".to_owned()),
        _ => None,
    };
    let text = printed.trim();
    ConnectError {
        cause,
        text: if text.is_empty() {
            "ssh ended without a word".to_owned()
        } else {
            text.to_owned()
        },
        hint,
    }
}

/// The line to run: OpenSSH names the host as known_hosts would, `name` or `[name]:port`.
fn unknown_key_hint(printed: &str, address: &str) -> String {
    let name = printed
        .split("host key is known for ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or(address);
    let (host, port) = match name.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((host, port)) => (host, format!("-p {port} ")),
        None => (name, String::new()),
    };
    format!(
        "check the fingerprint that `ssh {port}{host}` shows and accept it there, or run: ssh-keyscan {port}{host} >> ~/.ssh/known_hosts (or the UserKnownHostsFile that is set for it)"
    )
}

/// What sudo printed, told apart.
pub(super) fn diagnose_sudo(user: &str, printed: &str) -> ConnectError {
    let has = |text: &str| printed.contains(text);
    let cause = if has("a password is required")
        || has("try again")
        || has("incorrect password")
        || has("no password was provided")
    {
        Cause::SudoPassword
    } else if has("must have a tty") || has("a terminal is required") {
        Cause::SudoTerminal
    } else if has("not in the sudoers")
        || has("not allowed to")
        || has("may not run sudo")
        || has("unknown user")
        || has("not permitted")
    {
        Cause::SudoRefused
    } else if has("not found") || has("Unknown command") || has("No such file") {
        Cause::SudoMissing
    } else {
        Cause::NoShell
    };
    let hint = match cause {
        Cause::SudoPassword if has("is required") => {
            Some("sudo asks for a password: set ansible_become_password".to_owned())
        }
        Cause::SudoPassword => Some("the password in ansible_become_password was not accepted".to_owned()),
        Cause::SudoTerminal => Some("sudoers has `requiretty` here: switch it off for this user".to_owned()),
        Cause::SudoRefused => Some(format!("sudoers does not let this login become {user}")),
        Cause::SudoMissing => Some("there is no sudo on this host".to_owned()),
        _ => None,
    };
    ConnectError {
        cause,
        text: format!("cannot become {user}: {}", printed.trim()),
        hint,
    }
}
