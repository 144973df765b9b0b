//! What all connections of a run share: the folder of control sockets, the limit on handshakes, and a watcher that
//! ends the masters when the controller is gone.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::config;
use super::error::{Cause, ConnectError};
use super::link::Link;
use super::master::{Files, Master};
use super::shell::{Reach, nonce};
use super::{Kind, Target};
use crate::secret::Redactor;

/// sshd drops unauthenticated connections at random from the tenth (MaxStartups 10:30:100).
const HANDSHAKES: usize = 8;
/// What a control socket's path may have; ssh binds it with 17 characters more.
const PATH_LIMIT: usize = if cfg!(target_os = "macos") { 86 } else { 90 };

/// Reads the masters' pids and, when its stdin ends, ends those that still use this folder. `kill -9` of the
/// controller closes the pipe as well as an orderly end does.
const WATCHER: &str = r#"trap '' INT HUP TERM QUIT
l=; while read -r p; do l="$l $p"; done
for p in $l; do
  if [ -r "/proc/$p/cmdline" ]; then grep -qF -- "$1/" "/proc/$p/cmdline"
  else ps -o args= -p "$p" 2>/dev/null | grep -qF -- "$1/"; fi && kill "$p"
done 2>/dev/null
rm -rf -- "$1""#;

pub(crate) struct Hub {
    folder: tempfile::TempDir,
    /// Held while this process lives.
    _lock: std::fs::File,
    ssh: PathBuf,
    home: Option<PathBuf>,
    next: AtomicU32,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Configuration files, and whether they speak of proxies.
    proxies: Mutex<HashMap<PathBuf, bool>>,
    watcher: Mutex<Option<(Child, std::io::PipeWriter)>>,
    redactor: Redactor,
    /// Tells this process from any other that works for the same run.
    instance: String,
}

impl Hub {
    /// Needs a tokio runtime.
    pub(crate) fn new(redactor: Redactor) -> Result<Hub, ConnectError> {
        raise_descriptors();
        let parent = folder_of_sockets()?;
        let trouble =
            |error: std::io::Error| ConnectError::new(Cause::Controller, format!("{}: {error}", parent.display()));
        sweep(&parent);
        let folder = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o700))
            .prefix("")
            .rand_bytes(8)
            .tempdir_in(&parent)
            .map_err(trouble)?;
        let lock = std::fs::File::create(folder.path().join(LOCK)).map_err(trouble)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| trouble(error.into()))?;
        if folder.path().as_os_str().len() + 6 > PATH_LIMIT {
            return Err(ConnectError {
                cause: Cause::Controller,
                text: format!("{} is too long for ssh's control sockets", folder.path().display()),
                hint: Some("set XDG_RUNTIME_DIR to a short path".to_owned()),
            });
        }
        let (read, write) = std::io::pipe().map_err(trouble)?;
        let watcher = Command::new("/bin/sh")
            .args(["-c", WATCHER, "refit-watcher"])
            .arg(folder.path())
            .stdin(Stdio::from(read))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(trouble)?;
        Ok(Hub {
            folder,
            _lock: lock,
            ssh: find_program("ssh").unwrap_or_else(|| PathBuf::from("ssh")),
            home: std::env::home_dir(),
            next: AtomicU32::new(0),
            gates: Mutex::default(),
            proxies: Mutex::default(),
            watcher: Mutex::new(Some((watcher, write))),
            redactor,
            instance: nonce(),
        })
    }

    /// Connects within the target's limit; what was closed before the banner is tried again with a growing pause.
    pub(crate) async fn connect(&self, target: &Target) -> Result<Link, ConnectError> {
        let link = self.connect_for_tunnels(target).await?;
        link.greet().await?;
        Ok(link)
    }

    /// As [`Hub::connect`], for a host of which nothing is wanted but tunnels: it needs no shell for the login.
    pub(crate) async fn connect_for_tunnels(&self, target: &Target) -> Result<Link, ConnectError> {
        if let Some(password) = &target.sudo.password {
            self.redactor.add(password);
        }
        let (reach, master) = match target.kind {
            Kind::Local => (Reach::Local, None),
            Kind::Ssh => {
                let (session, master) = self.master(target).await?;
                (Reach::Ssh(session), Some(master))
            }
        };
        Ok(Link::new(
            target.clone(),
            reach,
            master,
            self.instance.clone(),
            self.redactor.clone(),
        ))
    }

    async fn master(&self, target: &Target) -> Result<(Arc<openssh::Session>, Master), ConnectError> {
        let deadline = Instant::now() + target.timeout;
        let includes = config::includes(target, self.home.as_deref())?;
        let gate = self.gate(target, &includes).await?;
        let mut pause = Duration::from_millis(400);
        loop {
            let files = self.files(target, &includes)?;
            let attempt = {
                // The limit speaks of the connection, not of the queue before it: a thousand hosts behind one bastion.
                let _turn = gate.acquire().await;
                // ssh, which has the same limit, gets the time to say so in its own words.
                let deadline = deadline.max(Instant::now() + target.timeout / 2) + Duration::from_secs(2);
                let started = Master::start(
                    &self.ssh,
                    &target.address,
                    &files,
                    !target.jumps.is_empty(),
                    deadline,
                    |pid| {
                        self.announce(pid);
                    },
                );
                started.await
            };
            match attempt {
                Ok(master) => {
                    let socket = files.socket.clone().into_boxed_path();
                    return Ok((Arc::new(openssh::Session::resume_mux(socket, None)), master));
                }
                Err(error) if error.cause == Cause::ClosedBeforeBanner && Instant::now() + pause < deadline => {
                    let jitter = Duration::from_millis(u64::from(files.config.as_os_str().len() as u32 * 37 % 200));
                    tokio::time::sleep(pause + jitter).await;
                    pause *= 2;
                }
                Err(error) => {
                    return Err(ConnectError {
                        text: self.redactor.clean(&error.text),
                        ..error
                    });
                }
            }
        }
    }

    fn files(&self, target: &Target, includes: &[PathBuf]) -> Result<Files, ConnectError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let file = |ending: &str| self.folder.path().join(format!("{number:x}{ending}"));
        let files = Files {
            config: file(".c"),
            socket: file(""),
            log: file(".l"),
        };
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&files.config)
            .and_then(|mut config| config.write_all(config::text(target, includes).as_bytes()))
            .map_err(|error| ConnectError::new(Cause::Controller, format!("{}: {error}", files.config.display())))?;
        Ok(files)
    }

    /// The gate of the first hop. Where a configuration file speaks of proxies, ssh itself is asked what it makes of
    /// them.
    async fn gate(&self, target: &Target, includes: &[PathBuf]) -> Result<Arc<Semaphore>, ConnectError> {
        let hop = match target.jumps.first() {
            Some(jump) => jump.to_string(),
            None => {
                let direct = format!("{}:{}", target.address, target.port.unwrap_or(22));
                if self.mentions_proxy(includes) {
                    self.proxy(target, includes).await?.unwrap_or(direct)
                } else {
                    direct
                }
            }
        };
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(gates
            .entry(hop)
            .or_insert_with(|| Arc::new(Semaphore::new(HANDSHAKES)))
            .clone())
    }

    fn mentions_proxy(&self, includes: &[PathBuf]) -> bool {
        let mut known = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        includes.iter().any(|file| {
            *known.entry(file.clone()).or_insert_with(|| {
                let path = config::expand(file, self.home.as_deref());
                let text = std::fs::read_to_string(path).unwrap_or_default().to_lowercase();
                text.lines().map(str::trim_start).any(|line| {
                    line.starts_with("proxy")
                        || line
                            .strip_prefix("include")
                            .is_some_and(|files| !files.trim().starts_with("/etc/ssh/"))
                })
            })
        })
    }

    async fn proxy(&self, target: &Target, includes: &[PathBuf]) -> Result<Option<String>, ConnectError> {
        let files = self.files(target, includes)?;
        let output = Command::new(&self.ssh)
            .arg("-F")
            .arg(&files.config)
            .args(["-G", "--", &target.address])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| ConnectError::new(Cause::Controller, format!("ssh: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let hop = value("proxyjump ")
            .and_then(|jumps| jumps.split(',').next())
            .or_else(|| value("proxycommand "));
        Ok(hop.filter(|hop| *hop != "none").map(str::to_owned))
    }

    fn announce(&self, pid: u32) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pipe)) = watcher.as_mut() {
            let _ = writeln!(pipe, "{pid}");
        }
    }

    /// Ends what is left of the masters and removes the folder.
    pub(crate) async fn close(self) {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((mut child, pipe)) = watcher {
            drop(pipe);
            let _ = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
        }
    }

    #[cfg(test)]
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// `$XDG_RUNTIME_DIR/refit` or `/tmp/refit-UID`: ours alone.
fn folder_of_sockets() -> Result<PathBuf, ConnectError> {
    let uid = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_dir());
    let folder = match runtime {
        Some(path) if path.as_os_str().len() <= 48 => path.join("refit"),
        _ => PathBuf::from(format!("/tmp/refit-{uid}")),
    };
    let bad = |why: String| ConnectError::new(Cause::Controller, format!("{}: {why}", folder.display()));
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(bad(error.to_string())),
        _ => {}
    }
    let meta = std::fs::symlink_metadata(&folder).map_err(|error| bad(error.to_string()))?;
    if !meta.is_dir() || meta.uid() != uid {
        return Err(bad("is not a folder of yours; remove it".to_owned()));
    }
    if meta.mode() & 0o077 != 0 {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            .map_err(|error| bad(error.to_string()))?;
    }
    Ok(folder)
}

/// In each folder of sockets; held by the controller.
const LOCK: &str = "lock";

/// Removes what controllers left that were killed together with their watcher.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for folder in entries.flatten().map(|entry| entry.path()) {
        let Ok(lock) = std::fs::File::open(folder.join(LOCK)) else {
            continue;
        };
        // A folder that is just being made is not locked yet.
        let age = lock
            .metadata()
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| at.elapsed().ok());
        if age.is_none_or(|age| age < Duration::from_secs(60)) {
            continue;
        }
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path: &PathBuf| Path::is_file(path))
}

/// A channel takes a socket and three pipes.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(65_536).min(65_536);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
}
