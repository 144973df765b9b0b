//! The ssh_config that a master is started with: our options first (the first value wins), then the user's files.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::{Cause, ConnectError};
use super::{Jump, Target};

/// What holds for the host and its jump hosts alike.
const ALWAYS: &str = "\
IgnoreUnknown ForkAfterAuthentication,SessionType,StdinNull
BatchMode yes
StrictHostKeyChecking yes
UpdateHostKeys no
VerifyHostKeyDNS no
ForwardAgent no
ForwardX11 no
PermitLocalCommand no
EscapeChar none
LogLevel INFO
ServerAliveInterval 15
ServerAliveCountMax 3
TCPKeepAlive yes
ConnectionAttempts 1
ForkAfterAuthentication no
";

/// What stands in `Host *` reaches a jump host too, which gets our `-F` from ssh; the rest is the target's alone.
pub(super) fn text(target: &Target, includes: &[PathBuf]) -> String {
    let mut text = format!("Host {}\n", quoted(&target.address));
    for line in [
        "ClearAllForwardings yes",
        "RemoteCommand none",
        "RequestTTY no",
        "ControlPersist no",
        "Tunnel no",
    ] {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(port) = target.port {
        let _ = writeln!(text, "  Port {port}");
    }
    if let Some(user) = &target.user {
        let _ = writeln!(text, "  User {}", quoted(user));
    }
    for file in &target.identity_files {
        let _ = writeln!(text, "  IdentityFile {}", quoted(&file.to_string_lossy()));
    }
    for (name, value) in &target.options {
        let _ = writeln!(text, "  {name} {}", quoted(value));
    }
    if !target.identity_files.is_empty() && !target.options.iter().any(|(name, _)| *name == "IdentitiesOnly") {
        text.push_str("  IdentitiesOnly yes\n");
    }
    if !target.jumps.is_empty() {
        let jumps: Vec<String> = target.jumps.iter().map(Jump::to_string).collect();
        let _ = writeln!(text, "  ProxyJump {}", jumps.join(","));
    }
    let _ = write!(
        text,
        "Host *\n{ALWAYS}ConnectTimeout {}\n",
        target.timeout.as_secs().max(1)
    );
    for file in includes {
        let _ = writeln!(text, "Include {}", quoted(&file.to_string_lossy()));
    }
    text
}

/// The files of user and system, or those that `-F` names, once their owner and mode were found good.
pub(super) fn includes(target: &Target, home: Option<&Path>) -> Result<Vec<PathBuf>, ConnectError> {
    if !target.config_files.is_empty() {
        // ssh takes both words for "no file at all".
        let none = [Path::new("/dev/null"), Path::new("none")];
        let named = target
            .config_files
            .iter()
            .filter(|file| !none.contains(&file.as_path()));
        for file in named.clone() {
            trusted(file, home)?;
        }
        return Ok(named.cloned().collect());
    }
    let mut files = Vec::new();
    if let Some(home) = home {
        let own = home.join(".ssh/config");
        if own.exists() {
            trusted(&own, Some(home))?;
            files.push(own);
        }
    }
    let system = Path::new("/etc/ssh/ssh_config");
    if system.exists() {
        files.push(system.to_owned());
    }
    Ok(files)
}

/// `~/` as ssh takes it.
pub(super) fn expand(file: &Path, home: Option<&Path>) -> PathBuf {
    match (file.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => file.to_owned(),
    }
}

/// A file that decides what ssh runs belongs to us or root and is written by nobody else.
fn trusted(file: &Path, home: Option<&Path>) -> Result<(), ConnectError> {
    let path = expand(file, home);
    let bad = |why: String| ConnectError::new(Cause::Controller, format!("{}: {why}", path.display()));
    let meta = std::fs::metadata(&path).map_err(|error| bad(error.to_string()))?;
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != 0 && meta.uid() != me {
        return Err(bad(format!("belongs to uid {}, not to you or root", meta.uid())));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(bad("others may write to it (chmod go-w)".to_owned()));
    }
    Ok(())
}

/// Quotes for ssh_config; values with `"` or line ends were refused.
fn quoted(value: &str) -> String {
    if value.contains(' ') {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}
