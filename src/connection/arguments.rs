//! `ansible_ssh_*_args`: read into a closed set; nothing of their text reaches ssh as an option.

use std::path::PathBuf;

use super::target::Jump;

/// What the arguments of a host say. The first value of an option wins, as with ssh itself.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) identity_files: Vec<PathBuf>,
    pub(super) jumps: Vec<Jump>,
    pub(super) config_files: Vec<PathBuf>,
    pub(super) options: Vec<(&'static str, String)>,
    pub(super) timeout: Option<u64>,
    /// Read and not honoured, or dropped: for a note.
    pub(super) notes: Vec<String>,
    pub(super) errors: Vec<(String, String)>,
}

/// Options that are taken as they are, by their lower-case names.
const TAKEN: &[(&str, &str)] = &[
    ("userknownhostsfile", "UserKnownHostsFile"),
    ("globalknownhostsfile", "GlobalKnownHostsFile"),
    ("hostkeyalias", "HostKeyAlias"),
    ("identitiesonly", "IdentitiesOnly"),
    ("serveraliveinterval", "ServerAliveInterval"),
    ("serveralivecountmax", "ServerAliveCountMax"),
    ("preferredauthentications", "PreferredAuthentications"),
    ("compression", "Compression"),
];

pub(super) const NOT_STRICT: &str =
    "StrictHostKeyChecking=no and UserKnownHostsFile=/dev/null are not honoured: host keys are always checked";

impl Arguments {
    pub(super) fn read(&mut self, text: &str) {
        let Some(words) = shlex::split(text) else {
            self.refuse("its quotes do not match".to_owned(), String::new());
            return;
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (flag, mut value) = match word.char_indices().nth(2) {
                Some((at, _)) if word.starts_with('-') => (word[..at].to_owned(), Some(word[at..].to_owned())),
                _ => (word.clone(), None),
            };
            if matches!(flag.as_str(), "-F" | "-J" | "-i" | "-l" | "-p" | "-o") && value.is_none() {
                value = words.next();
                if value.is_none() {
                    self.refuse(format!("{flag} without a value"), String::new());
                    return;
                }
            }
            let value = value.unwrap_or_default();
            match flag.as_str() {
                "-F" => self.config_files.push(PathBuf::from(value)),
                "-J" => self.option("proxyjump", &value),
                "-i" => self.option("identityfile", &value),
                "-l" => self.option("user", &value),
                "-p" => self.option("port", &value),
                "-o" => match value.split_once(['=', ' ']) {
                    Some((name, value)) => {
                        self.option(&name.trim().to_lowercase(), value.trim().trim_matches('"'));
                    }
                    None => self.refuse(format!("`-o {value}` has no value"), String::new()),
                },
                "-C" if word == "-C" => self.option("compression", "yes"),
                "-4" => self.refuse("-4".to_owned(), "AddressFamily inet".to_owned()),
                "-6" => self.refuse("-6".to_owned(), "AddressFamily inet6".to_owned()),
                _ => self.refuse(format!("`{word}`"), String::new()),
            }
        }
    }

    fn refuse(&mut self, what: String, line: String) {
        self.errors.push((what, line));
    }

    fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_owned());
        }
    }

    fn option(&mut self, name: &str, value: &str) {
        if value.chars().any(|c| c.is_control() || c == '"') || value.is_empty() {
            self.refuse(format!("the value of {name}"), String::new());
            return;
        }
        let no = matches!(value.to_lowercase().as_str(), "no" | "off" | "false");
        match name {
            "stricthostkeychecking" if value == "yes" => {}
            "stricthostkeychecking" => self.note(NOT_STRICT),
            "userknownhostsfile" | "globalknownhostsfile" if value.split(' ').all(|file| file == "/dev/null") => {
                self.note(NOT_STRICT);
            }
            "controlmaster" | "controlpersist" | "controlpath" => {
                self.note(
                    "ControlMaster, ControlPersist and ControlPath are dropped: Refit keeps one master per host itself",
                );
            }
            "tcpkeepalive" | "batchmode" | "forwardagent" if name != "forwardagent" || no => {}
            "port" => match value.parse() {
                Ok(port) if port > 0 => self.port = self.port.or(Some(port)),
                _ => self.refuse(format!("the port `{value}`"), String::new()),
            },
            "user" => self.user = self.user.take().or_else(|| Some(value.to_owned())),
            "identityfile" => self.identity_files.push(PathBuf::from(value)),
            "connecttimeout" => match value.parse() {
                Ok(seconds) if seconds > 0 => self.timeout = self.timeout.or(Some(seconds)),
                _ => self.refuse(format!("the timeout `{value}`"), String::new()),
            },
            "proxyjump" => {
                if value == "none" || !self.jumps.is_empty() {
                    return;
                }
                match value.split(',').map(Jump::read).collect() {
                    Some(jumps) => self.jumps = jumps,
                    None => self.refuse(format!("the jump host `{value}`"), String::new()),
                }
            }
            "proxycommand" => self.proxy_command(value),
            _ => match TAKEN.iter().find(|(taken, _)| *taken == name) {
                Some((_, name)) => {
                    if !self.options.iter().any(|(have, _)| have == name) {
                        self.options.push((name, value.to_owned()));
                    }
                }
                None => self.refuse(format!("the option {name}"), format!("{name} {value}")),
            },
        }
    }

    /// `ssh … -W %h:%p [user@]host` is ProxyJump.
    fn proxy_command(&mut self, value: &str) {
        if value == "none" || !self.jumps.is_empty() {
            return;
        }
        match as_jump(value) {
            Some((jump, loose)) => {
                if loose {
                    self.note(NOT_STRICT);
                }
                self.jumps = vec![jump];
            }
            None => self.refuse("ProxyCommand".to_owned(), format!("ProxyCommand {value}")),
        }
    }
}

fn as_jump(value: &str) -> Option<(Jump, bool)> {
    let words = shlex::split(value)?;
    let (program, rest) = words.split_first()?;
    if program.rsplit('/').next() != Some("ssh") {
        return None;
    }
    let (mut user, mut port, mut host, mut forwards, mut loose) = (None, None, None, false, false);
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let mut value = |flag: &str| match word.strip_prefix(flag) {
            Some("") => rest.next().cloned(),
            Some(text) => Some(text.to_owned()),
            None => None,
        };
        if word.starts_with("-W") {
            forwards = matches!(value("-W")?.as_str(), "%h:%p" | "[%h]:%p");
        } else if word.starts_with("-p") {
            port = Some(value("-p")?.parse().ok()?);
        } else if word.starts_with("-l") {
            user = Some(value("-l")?);
        } else if word.starts_with("-o") {
            let option = value("-o")?.to_lowercase();
            match option.split_once(['=', ' '])? {
                ("stricthostkeychecking", "yes")
                | ("controlmaster" | "controlpersist" | "controlpath" | "batchmode", _) => {}
                ("stricthostkeychecking", _) | ("userknownhostsfile", "/dev/null") => loose = true,
                _ => return None,
            }
        } else if word == "-q" {
        } else if word.starts_with('-') || host.is_some() {
            return None;
        } else {
            host = Some(word);
        }
    }
    let mut jump = Jump::read(host?)?;
    jump.user = jump.user.or(user);
    jump.port = jump.port.or(port);
    (forwards && jump.user.as_deref().is_none_or(super::target::good_user)).then_some((jump, loose))
}
