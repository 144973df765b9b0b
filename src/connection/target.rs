//! Where and as whom a host is reached, from its variables.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::id::HostName;
use crate::job;
use crate::secret::Secret;
use crate::yaml::{Diagnostic, Severity, Span};

use super::Account;
use super::arguments::Arguments;

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
    pub(crate) kind: Kind,
    /// Name or address given to ssh.
    pub(crate) address: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) identity_files: Vec<PathBuf>,
    pub(crate) jumps: Vec<Jump>,
    /// `-F`: included after ours, instead of the files of user and system.
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

/// Letters, digits and `._-:`; no leading `-`. Never an option, a pattern of ssh_config or a shell's syntax.
pub(super) fn good_address(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.len() <= 253
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
}

pub(super) fn good_user(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte))
}

/// A program's name or path, which stands in shell text without quotes.
fn good_program(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte))
}

impl Jump {
    /// `[user@]host[:port]`, IPv6 in brackets.
    pub(super) fn read(text: &str) -> Option<Jump> {
        let text = text.trim();
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, port) = inner.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
            None => None,
        };
        let good = good_address(host) && user.as_deref().is_none_or(good_user);
        good.then(|| Jump {
            user,
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// The text of a variable.
struct Text {
    name: &'static str,
    text: String,
    at: Option<Span>,
    secret: bool,
}

impl Text {
    /// For a message.
    fn shown(&self) -> String {
        if self.secret {
            "<secret>".to_owned()
        } else {
            self.text.escape_debug().to_string()
        }
    }
}

/// Reads variables and keeps what is wrong with them.
struct Reader<'a, G> {
    get: &'a G,
    host: &'a HostName,
    errors: Vec<Diagnostic>,
}

impl<G: Fn(&str) -> Option<Var>> Reader<'_, G> {
    /// The first of these names that is set and not null.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, Var)> {
        names.iter().find_map(|name| match (self.get)(name) {
            Some(var) if !var.value.is_null() => Some((*name, var)),
            _ => None,
        })
    }

    fn error(&mut self, at: Option<&Span>, message: String) -> &mut Diagnostic {
        let mut error = Diagnostic::general(message);
        error.at = at.cloned();
        let last = self.errors.len();
        self.errors.push(error);
        &mut self.errors[last]
    }

    fn text(&mut self, names: &[&'static str]) -> Option<Text> {
        let (name, var) = self.first(names)?;
        let text = match &var.value {
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => {
                let host = self.host.clone();
                self.error(var.at.as_ref(), format!("{name} of {host} must be text"));
                return None;
            }
        };
        Some(Text {
            name,
            text,
            at: var.at,
            secret: var.secret,
        })
    }

    /// Text that `good` accepts.
    fn checked(&mut self, names: &[&'static str], good: impl Fn(&str) -> bool) -> Option<String> {
        let found = self.text(names)?;
        if good(&found.text) {
            return Some(found.text);
        }
        let message = format!("`{}` cannot be the {} of {}", found.shown(), found.name, self.host);
        self.error(found.at.as_ref(), message);
        None
    }

    fn number(&mut self, names: &[&'static str], range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let found = self.text(names)?;
        match found.text.trim().parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let message = format!(
                    "`{}` cannot be the {} of {}: it must be a number from {} to {}",
                    found.shown(),
                    found.name,
                    self.host,
                    range.start(),
                    range.end()
                );
                self.error(found.at.as_ref(), message);
                None
            }
        }
    }

    fn boolean(&mut self, names: &[&'static str]) -> Option<bool> {
        let (name, var) = self.first(names)?;
        let answer = match &var.value {
            Value::Bool(answer) => Some(*answer),
            Value::Number(number) => match number.as_u64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(text) => match text.trim().to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" | "y" | "t" => Some(true),
                "false" | "no" | "off" | "0" | "n" | "f" | "" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if answer.is_none() {
            let host = self.host.clone();
            self.error(var.at.as_ref(), format!("{name} of {host} must be true or false"));
        }
        answer
    }

    /// Names that are known and not built.
    fn refuse(&mut self, names: &[&'static str], help: &str) {
        if let Some((name, var)) = self.first(names) {
            let host = self.host.clone();
            self.error(var.at.as_ref(), format!("{name} of {host}: known, not built yet"))
                .help
                .push(help.to_owned());
        }
    }
}

impl Target {
    /// Reads the connection variables of a host; gives notes, or every error at once.
    pub(crate) fn from_vars(
        host: &HostName,
        get: impl Fn(&str) -> Option<Var>,
    ) -> Result<(Target, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut reader = Reader {
            get: &get,
            host,
            errors: Vec::new(),
        };
        let kind = kind(&mut reader);
        refusals(&mut reader, kind);
        let bare = |text: &str| {
            let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            inner.unwrap_or(text).to_owned()
        };
        let address = reader.checked(&["ansible_host", "ansible_ssh_host"], |text| good_address(&bare(text)));
        let address = address.map_or_else(|| host.as_str().to_owned(), |text| bare(&text));
        if host.as_str().starts_with('-') {
            reader.error(
                None,
                format!("the host name `{}` begins with `-`", host.as_str().escape_debug()),
            );
        }
        if kind == Kind::Ssh && !good_address(&address) && reader.errors.is_empty() {
            reader
                .error(
                    None,
                    format!("the host name `{}` cannot be given to ssh", address.escape_debug()),
                )
                .help
                .push("set ansible_host to its name or address".to_owned());
        }
        let mut notes = Vec::new();
        let mut arguments = Arguments::default();
        read_arguments(&mut reader, "ansible_ssh_args", &mut arguments, &mut notes);
        let port = reader.number(&["ansible_port", "ansible_ssh_port"], 1..=65_535);
        arguments.port = arguments.port.or(port.and_then(|port| u16::try_from(port).ok()));
        let user = reader.checked(&["ansible_user", "ansible_ssh_user"], good_user);
        arguments.user = arguments.user.take().or(user);
        let key = reader.checked(&["ansible_ssh_private_key_file", "ansible_private_key_file"], |text| {
            !text.chars().any(|c| c.is_control() || c == '"')
        });
        arguments.identity_files.extend(key.map(PathBuf::from));
        let timeout = reader.number(&["ansible_ssh_timeout", "ansible_timeout"], 1..=3600);
        arguments.timeout = arguments.timeout.or(timeout);
        read_arguments(&mut reader, "ansible_ssh_common_args", &mut arguments, &mut notes);
        read_arguments(&mut reader, "ansible_ssh_extra_args", &mut arguments, &mut notes);
        if let Some(user) = arguments.user.as_deref().filter(|user| !good_user(user)) {
            let message = format!("`{}` cannot be the ssh user of {host}", user.escape_debug());
            reader.error(None, message);
        }
        let sudo = sudo(&mut reader);
        let becomes = reader.boolean(&["ansible_become"]);
        let become_user = reader.checked(&["ansible_become_user"], good_user);
        let shell = reader.checked(&["ansible_shell_executable"], |text| {
            good_program(text) && text.starts_with('/')
        });
        let state_dir = reader.checked(&["refit_state_dir"], |text| job::good_path(text.trim_end_matches('/')));
        if !reader.errors.is_empty() {
            return Err(reader.errors);
        }
        let target = Target {
            kind,
            address,
            port: arguments.port,
            user: arguments.user,
            identity_files: arguments.identity_files,
            jumps: arguments.jumps,
            config_files: arguments.config_files,
            options: arguments.options,
            timeout: Duration::from_secs(arguments.timeout.unwrap_or(30)),
            shell: shell.unwrap_or_else(|| "/bin/sh".to_owned()),
            state_dir: state_dir.map(|folder| folder.trim_end_matches('/').to_owned()),
            sudo,
            becomes,
            become_user,
        };
        Ok((target, notes))
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

/// `become_user` of a playbook: may it be given to sudo?
pub(crate) fn good_become_user(user: &str) -> bool {
    good_user(user)
}

fn kind<G: Fn(&str) -> Option<Var>>(reader: &mut Reader<'_, G>) -> Kind {
    let Some(Text { text, at, .. }) = reader.text(&["ansible_connection"]) else {
        return Kind::Ssh;
    };
    match text.strip_prefix("ansible.builtin.").unwrap_or(&text) {
        "ssh" | "smart" | "paramiko" | "paramiko_ssh" => Kind::Ssh,
        "local" => Kind::Local,
        other => {
            let message = format!(
                "ansible_connection `{}` of {}: known, not built yet",
                other.escape_debug(),
                reader.host
            );
            reader
                .error(at.as_ref(), message)
                .help
                .push("Refit reaches hosts by `ssh` and `local`".to_owned());
            Kind::Local
        }
    }
}

fn refusals<G: Fn(&str) -> Option<Var>>(reader: &mut Reader<'_, G>, kind: Kind) {
    if kind == Kind::Ssh {
        reader.refuse(
            &["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"],
            "log in with a key",
        );
        if let Some(Text { text, at, .. }) = reader.text(&["ansible_ssh_executable"])
            && !matches!(text.as_str(), "ssh" | "/usr/bin/ssh")
        {
            let message = format!("ansible_ssh_executable of {}: known, not built yet", reader.host);
            reader
                .error(at.as_ref(), message)
                .help
                .push("the first `ssh` in PATH is used".to_owned());
        }
    }
    let checking = ["ansible_host_key_checking", "ansible_ssh_host_key_checking"];
    if let Some((name, var)) = reader.first(&checking)
        && reader.boolean(&checking) == Some(false)
    {
        reader
            .error(
                var.at.as_ref(),
                format!("{name} cannot be switched off: host keys are always checked strictly"),
            )
            .help
            .push("add the host's key to known_hosts: ssh-keyscan HOST >> ~/.ssh/known_hosts".to_owned());
    }
}

fn sudo<G: Fn(&str) -> Option<Var>>(reader: &mut Reader<'_, G>) -> Sudo {
    if let Some(Text { name, text, at, .. }) = reader.text(&["ansible_become_method"])
        && !matches!(
            text.as_str(),
            "sudo" | "ansible.builtin.sudo" | "community.general.sudo"
        )
    {
        let message = format!(
            "{name} `{}` of {}: known, not built yet",
            text.escape_debug(),
            reader.host
        );
        reader.error(at.as_ref(), message).help.push("only sudo is".to_owned());
    }
    let password = reader.first(&["ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"]);
    let password = match password {
        Some((name, var)) => match &var.value {
            Value::String(text) if text.contains(['\n', '\0']) => {
                let message = format!("{name} of {} holds a line end", reader.host);
                reader.error(var.at.as_ref(), message);
                None
            }
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(Secret::new(text.clone())),
            Value::Number(number) => Some(Secret::new(number.to_string())),
            _ => {
                let message = format!("{name} of {} must be text", reader.host);
                reader.error(var.at.as_ref(), message);
                None
            }
        },
        None => None,
    };
    let exe = reader.checked(&["ansible_become_exe", "ansible_sudo_exe"], good_program);
    let mut flags = Vec::new();
    if let Some(Text { name, text, at, .. }) = reader.text(&["ansible_become_flags", "ansible_sudo_flags"]) {
        for flag in text.split_whitespace() {
            let letters = flag.strip_prefix('-').unwrap_or("");
            // We give these ourselves where they are right.
            if !letters.is_empty() && letters.chars().all(|c| "HSnk".contains(c)) {
                continue;
            }
            if matches!(flag, "-E" | "-P") {
                flags.push(flag.to_owned());
            } else {
                let message = format!(
                    "the flag `{}` in {name} of {}: known, not built yet",
                    flag.escape_debug(),
                    reader.host
                );
                reader
                    .error(at.as_ref(), message)
                    .help
                    .push("-H -S -n -k -E -P may stand there".to_owned());
            }
        }
    }
    Sudo {
        password,
        exe: exe.unwrap_or_else(|| "sudo".to_owned()),
        flags,
    }
}

fn read_arguments<G: Fn(&str) -> Option<Var>>(
    reader: &mut Reader<'_, G>,
    name: &'static str,
    arguments: &mut Arguments,
    notes: &mut Vec<Diagnostic>,
) {
    let Some(Text { text, at, .. }) = reader.text(&[name]) else {
        return;
    };
    let known = arguments.notes.len();
    arguments.read(&text);
    for note in &arguments.notes[known..] {
        notes.push(Diagnostic::general(note.clone()).severity(Severity::Note));
    }
    for (what, line) in std::mem::take(&mut arguments.errors) {
        let message = format!(
            "{name} of {}: {what} is not among the ssh arguments that Refit takes",
            reader.host
        );
        let error = reader.error(at.as_ref(), message);
        error.help.push(if line.is_empty() {
            "write it into ~/.ssh/config, which ssh reads as well".to_owned()
        } else {
            format!("write `{line}` into ~/.ssh/config, which ssh reads as well")
        });
    }
}
