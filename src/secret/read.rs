//! Where secrets come from.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use zeroize::Zeroizing;

use super::Secret;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("cannot read the secret file {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    #[error("there is no terminal to ask for a secret")]
    NoTerminal,
    #[error("cannot ask for a secret: {0}")]
    Prompt(io::Error),
    #[error("cannot start the secret's command: {0}")]
    Start(io::Error),
    #[error("the secret's command failed ({0}); what it said is above")]
    Command(ExitStatus),
    #[error("{0} is empty")]
    Empty(String),
    #[error("{0} is not text in UTF-8")]
    NotText(String),
    #[error("{0} holds a zero byte")]
    ZeroByte(String),
}

/// The file's text without one newline at its end. The second value is a warning: others can read the file.
pub(crate) fn from_file(path: &Path) -> Result<(Secret, Option<String>), SecretError> {
    let fail = |error| SecretError::File {
        path: path.to_path_buf(),
        error,
    };
    let bytes = Zeroizing::new(std::fs::read(path).map_err(fail)?);
    let mode = std::fs::metadata(path).map_err(fail)?.permissions().mode();
    let what = format!("the secret file {}", path.display());
    let warning = (mode & 0o007 != 0).then(|| {
        format!(
            "everybody can read {what} (mode {:04o}): chmod o= {}",
            mode & 0o7777,
            path.display()
        )
    });
    Ok((decode(&bytes, &what)?, warning))
}

pub(crate) fn from_env(name: &str) -> Result<Secret, SecretError> {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::env::var_os(name).ok_or_else(|| SecretError::NoVariable(name.to_owned()))?;
    decode(
        &Zeroizing::new(value.into_vec()),
        &format!("the environment variable {name}"),
    )
}

/// What `/bin/sh -c text` prints, run in `folder` without input; its errors go to ours.
pub(crate) fn from_command(text: &str, folder: &Path) -> Result<Secret, SecretError> {
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(text)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(SecretError::Start)?;
    let bytes = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(SecretError::Command(output.status));
    }
    decode(&bytes, "what the secret's command printed")
}

/// Asks on the terminal, without echo.
pub(crate) fn from_prompt(text: &str) -> Result<Secret, SecretError> {
    let question = format!("{}: ", text.trim_end().trim_end_matches(':'));
    let answer = rpassword::prompt_password(question).map_err(|error| match std::fs::File::open("/dev/tty") {
        Err(_) => SecretError::NoTerminal,
        Ok(_) => SecretError::Prompt(error),
    })?;
    decode(&Zeroizing::new(answer.into_bytes()), "the answer")
}

fn decode(bytes: &[u8], what: &str) -> Result<Secret, SecretError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SecretError::NotText(what.to_owned()))?;
    let text = text
        .strip_suffix('\n')
        .map_or(text, |t| t.strip_suffix('\r').unwrap_or(t));
    if text.is_empty() {
        return Err(SecretError::Empty(what.to_owned()));
    }
    if text.contains('\0') {
        return Err(SecretError::ZeroByte(what.to_owned()));
    }
    Ok(Secret::new(text))
}
