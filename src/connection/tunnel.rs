//! Unix sockets of this machine that lead through a host's ssh to HOST:PORT as that host sees it.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openssh::{ForwardType, Socket};
use tokio::sync::watch;

use super::Link;
use super::error::Lost;
use super::shell::{Reach, chain};
use super::target::good_address;
use crate::id::HostName;
use crate::job::{Passage, Tunnel};

/// ssh's master answers at once; what takes longer is a master that hangs.
const LIMIT: Duration = Duration::from_secs(10);

impl Link {
    /// Opens a tunnel to HOST:PORT as this host, which messages call `from`, sees it. Whether anything listens there is
    /// not asked: a server would take the question for a client that breaks off.
    pub(crate) async fn tunnel(&self, from: &HostName, host: &str, port: u16) -> Result<Tunnel, Lost> {
        if !good_address(host) || port == 0 {
            return Err(Lost::new(format!(
                "`{}:{port}` is no address that a tunnel can lead to",
                host.escape_debug()
            )));
        }
        let (Reach::Ssh(session), Some(master)) = (&self.reach, &self.master) else {
            return Ok(Tunnel::direct());
        };
        let number = self.tunnels.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("{}t{number:x}", master.socket().display()));
        let trouble = |what: &str| Lost::new(format!("a tunnel through {from}: {what}"));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|error| trouble(&format!("{}: {error}", folder.display())))?;
        let socket = folder.join(format!(".s.PGSQL.{port}"));
        let forward = Forward {
            session: Arc::clone(session),
            folder,
            socket: socket.clone(),
            host: host.to_owned(),
            port,
            from: from.clone(),
            log: master.log().to_owned(),
            read: master.log().metadata().map_or(0, |meta| meta.len()),
            ended: master.watch(),
        };
        let asked = session.request_port_forward(ForwardType::Local, socket.as_path(), Socket::new(host, port));
        let why = match tokio::time::timeout(LIMIT, asked).await {
            Ok(Ok(())) => return Ok(Tunnel::new(socket, forward)),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("ssh did not answer within {} s", LIMIT.as_secs()),
        };
        Err(match self.gone().await {
            Some(lost) => lost,
            None => trouble(&why),
        })
    }
}

/// An open forward of the master.
struct Forward {
    session: Arc<openssh::Session>,
    folder: PathBuf,
    socket: PathBuf,
    host: String,
    port: u16,
    from: HostName,
    log: PathBuf,
    /// The log's length when it was opened.
    read: u64,
    ended: watch::Receiver<Option<String>>,
}

impl Passage for Forward {
    fn trouble(&self) -> Option<String> {
        if let Some(text) = self.ended.borrow().as_ref() {
            return Some(format!("the connection to {} ended: {text}", self.from));
        }
        let said = tail(&self.log, self.read);
        let line = said.lines().rev().find_map(|line| line.split_once("open failed: "))?.1;
        Some(explain(line.trim(), &self.from, &self.host, self.port))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let (session, folder, socket) = (
            Arc::clone(&self.session),
            std::mem::take(&mut self.folder),
            std::mem::take(&mut self.socket),
        );
        let (host, port) = (std::mem::take(&mut self.host), self.port);
        let close = async move {
            let asked = session.close_port_forward(ForwardType::Local, socket.as_path(), Socket::new(host, port));
            // A master that is gone holds nothing open.
            let _ = tokio::time::timeout(LIMIT, asked).await;
            let _ = std::fs::remove_dir_all(folder);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(close)),
            Err(_) => drop(std::fs::remove_dir_all(&self.folder)),
        }
    }
}

fn tail(log: &Path, from: u64) -> String {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// OpenSSH's reason (`connect failed: Connection refused`), told apart.
fn explain(reason: &str, from: &HostName, host: &str, port: u16) -> String {
    let has = |text: &str| reason.contains(text);
    let (plain, hint) = if has("administratively prohibited") {
        (
            format!("{from} does not let ssh go on to {host}:{port}"),
            "its sshd_config must allow it: AllowTcpForwarding, DisableForwarding, PermitOpen, or restrictions of the key",
        )
    } else if has("Connection refused") {
        (
            format!("nothing listens on {host}:{port} as {from} sees it"),
            "is the server running, are address and port right?",
        )
    } else if has("not known") || has("name resolution") || has("No address associated") || has("unknown host") {
        (
            format!("{from} does not know the name {host}"),
            "the name is looked up on that host, not here",
        )
    } else if has("timed out") || has("No route to host") || has("unreachable") {
        (
            format!("{from} gets no answer from {host}:{port}"),
            "is a firewall between them?",
        )
    } else {
        (format!("{from} cannot reach {host}:{port}"), "")
    };
    let hint = match hint {
        "" => String::new(),
        hint => format!("; {hint}"),
    };
    format!("{plain} (ssh: {reason}){hint}")
}
