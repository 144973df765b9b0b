//! An sshd of one test, with keys, home and state folder of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::{Account, Hub, Link, Target, Var};
use crate::id::{HostName, JobId, Phase, RunId, Unit};
use crate::job::{Output, Probe};
use crate::secret::Redactor;

pub(super) struct Sshd {
    pub(super) dir: tempfile::TempDir,
    pub(super) port: u16,
    child: Option<Child>,
    pub(super) vars: HashMap<String, Value>,
}

/// None where the test cannot run here, which CI must not accept.
pub(super) fn need(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing, and this is CI");
        eprintln!("skipped: {program} is missing");
    }
    found
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}

impl Sshd {
    pub(super) fn start(extra: &str) -> Option<Sshd> {
        let sshd = need("sshd")?;
        need("ssh-keygen")?;
        let dir = tempfile::Builder::new().prefix("refit-test-").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("home")).unwrap();
        for key in ["host", "user"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key)));
        }
        if rustix::process::geteuid().is_root() {
            let _ = std::fs::create_dir("/run/sshd");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host\nPidFile {0}/pid\nAuthorizedKeysFile {0}/user.pub\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nMaxStartups 100\nSetEnv HOME={0}/home\n{extra}\n",
            dir.path().display()
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        let key = std::fs::read_to_string(at("host.pub")).unwrap();
        std::fs::write(at("known_hosts"), format!("[127.0.0.1]:{port} {key}")).unwrap();
        std::fs::write(at("ssh_config"), "").unwrap();
        let mut vars = HashMap::new();
        let mut set = |name: &str, value: Value| vars.insert(name.to_owned(), value);
        set("ansible_host", "127.0.0.1".into());
        set("ansible_port", port.into());
        set("ansible_ssh_private_key_file", at("user").display().to_string().into());
        set("refit_state_dir", at("state").display().to_string().into());
        let args = format!(
            "-F {} -o UserKnownHostsFile={}",
            at("ssh_config").display(),
            at("known_hosts").display()
        );
        set("ansible_ssh_common_args", args.into());
        let mut lab = Sshd {
            dir,
            port,
            child: None,
            vars,
        };
        lab.up(&sshd);
        Some(lab)
    }

    fn up(&mut self, sshd: &Path) {
        let child = Command::new(sshd)
            .arg("-D")
            .arg("-f")
            .arg(self.dir.path().join("sshd_config"))
            .arg("-E")
            .arg(self.dir.path().join("log"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "sshd does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(super) fn set(mut self, name: &str, value: impl Into<Value>) -> Sshd {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn target(&self) -> Target {
        let host = HostName::new("h1").unwrap();
        let get = |name: &str| {
            self.vars.get(name).map(|value| Var {
                value: value.clone(),
                secret: false,
                at: None,
            })
        };
        Target::from_vars(&host, get).unwrap().0
    }

    pub(super) async fn link(&self, hub: &Hub) -> Link {
        match hub.connect(&self.target()).await {
            Ok(link) => link,
            Err(error) => panic!("{error:?}\n{}", self.log()),
        }
    }

    /// Pids of the sshd processes that serve sessions of this lab.
    pub(super) fn sessions(&self) -> Vec<i32> {
        let main = self.child.as_ref().map_or(0, |child| child.id() as i32);
        let mut found = children_of(main);
        let mut next = 0;
        while next < found.len() {
            // The server's own processes only, not the shells below them.
            for pid in children_of(found[next]) {
                if comm(pid).starts_with("sshd") {
                    found.push(pid);
                }
            }
            next += 1;
        }
        found
    }

    pub(super) fn stop(&mut self) {
        for pid in self.sessions() {
            kill(pid, rustix::process::Signal::KILL);
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) fn hub() -> Hub {
    Hub::new(Redactor::default()).unwrap()
}

fn comm(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

pub(super) fn children_of(parent: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if rest.split(' ').nth(1).and_then(|word| word.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

/// Processes whose command line holds `word`.
pub(super) fn named(word: &str) -> Vec<i32> {
    let own = std::process::id() as i32;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid != own && String::from_utf8_lossy(&line).contains(word) {
            found.push(pid);
        }
    }
    found
}

pub(super) fn kill(pid: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits until `done` holds.
pub(super) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

pub(super) fn job_id(run: &RunId, step: &str) -> JobId {
    let unit = Unit {
        stage: "s".to_owned(),
        phase: Phase::Step,
        step: step.to_owned(),
        host: HostName::new("h1").unwrap(),
        item: None,
    };
    JobId::new(run, &unit, 1)
}

pub(super) async fn sh(link: &Link, account: &Account, script: &str) -> Output {
    let mut all = link.probes(account, &[Probe::new(script)]).await.unwrap();
    all.remove(0).unwrap()
}

/// A link with the lock of a fresh run.
pub(super) async fn locked(lab: &Sshd, hub: &Hub) -> (Link, RunId) {
    let link = lab.link(hub).await;
    let run = RunId::fresh();
    link.lock(&Account::Login, &[], &run, 1, "test", false).await.unwrap();
    (link, run)
}
