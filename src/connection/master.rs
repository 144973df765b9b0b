//! OpenSSH's master of one host: a child in the foreground whose death is seen at once.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::sync::watch;

use super::error::{Cause, ConnectError, Lost, diagnose};

/// Variables that ssh, agents and proxy commands need; nothing else of the environment goes to it.
const PASSED: &[&str] = &[
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TERM",
    "TMPDIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "KRB5CCNAME",
];
const PASSED_PREFIXES: &[&str] = &["SSH_", "LC_", "XDG_", "AWS_", "GOOGLE_", "CLOUDSDK_"];

pub(super) struct Master {
    #[cfg(test)]
    #[cfg_attr(not(test), expect(dead_code, reason = "tests kill it"))]
    pid: Option<u32>,
    ended: watch::Receiver<Option<String>>,
    socket: PathBuf,
    log: PathBuf,
    /// Dropping it ends the master.
    _stop: tokio::sync::oneshot::Sender<()>,
}

pub(super) struct Files {
    pub(super) config: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
}

impl Master {
    /// Starts the master and waits until it is authenticated, at most until `deadline`. `announce` gets its pid first.
    pub(super) async fn start(
        ssh: &Path,
        address: &str,
        files: &Files,
        via_jump: bool,
        deadline: Instant,
        announce: impl FnOnce(u32),
    ) -> Result<Master, ConnectError> {
        let trouble = |what: &Path, error: std::io::Error| {
            ConnectError::new(Cause::Controller, format!("{}: {error}", what.display()))
        };
        let log = std::fs::File::create(&files.log).map_err(|error| trouble(&files.log, error))?;
        let again = log.try_clone().map_err(|error| trouble(&files.log, error))?;
        let passed = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            PASSED.contains(&name.as_ref()) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        });
        let mut child = Command::new(ssh)
            .arg("-F")
            .arg(&files.config)
            .arg("-S")
            .arg(&files.socket)
            .args(["-M", "-N", "-T", "--", address])
            .env_clear()
            .envs(passed)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| trouble(ssh, error))?;
        let pid = child.id();
        if let Some(pid) = pid {
            announce(pid);
        }
        // The socket is there once the master is authenticated and listens.
        let mut pause = Duration::from_millis(4);
        while !files.socket.exists() {
            match tokio::time::timeout(pause, child.wait()).await {
                Ok(_) => return Err(diagnose(address, &said(&files.log), via_jump)),
                Err(_) if Instant::now() >= deadline => {
                    let _ = child.kill().await;
                    let text = format!("no connection within the limit. {}", said(&files.log));
                    return Err(ConnectError::new(Cause::Timeout, text.trim_end()));
                }
                Err(_) => pause = (pause * 3 / 2).min(Duration::from_millis(25)),
            }
        }
        let (tell, ended) = watch::channel(None);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let log = files.log.clone();
        tokio::spawn(async move {
            let text = tokio::select! {
                status = child.wait() => {
                    let words = said(&log);
                    match (words.is_empty(), status) {
                        (false, _) => words,
                        (true, Ok(status)) => format!("ssh ended ({status})"),
                        (true, Err(error)) => format!("ssh ended ({error})"),
                    }
                }
                _ = stopped => {
                    end(&mut child).await;
                    "closed".to_owned()
                }
            };
            let _ = tell.send(Some(text));
        });
        Ok(Master {
            #[cfg(test)]
            pid,
            ended,
            socket: files.socket.clone(),
            log: files.log.clone(),
            _stop: stop,
        })
    }

    #[cfg(test)]
    pub(super) fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What ssh prints goes there.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Some, with ssh's last words, once the master has ended.
    pub(super) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.ended.clone()
    }

    /// What ssh has printed so far.
    pub(super) fn said(&self) -> String {
        said(&self.log)
    }

    /// Resolves when the master has ended.
    pub(super) async fn ended(&self) -> Lost {
        let mut ended = self.ended.clone();
        let text = match ended.wait_for(Option::is_some).await {
            Ok(text) => text.clone().unwrap_or_default(),
            Err(_) => "ssh ended".to_owned(),
        };
        Lost::new(format!("the connection ended: {text}"))
    }

    pub(super) async fn close(self) {
        let mut ended = self.ended.clone();
        let socket = self.socket.clone();
        drop(self);
        let _ = tokio::time::timeout(Duration::from_secs(3), ended.wait_for(Option::is_some)).await;
        let _ = std::fs::remove_file(socket);
    }
}

fn said(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// TERM, so that the server is told, then KILL.
async fn end(child: &mut tokio::process::Child) {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(Duration::from_secs(1), child.wait())
        .await
        .is_err()
    {
        let _ = child.kill().await;
    }
}
