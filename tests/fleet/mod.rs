//! Hosts of one test, and the program run against them.

mod process;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use process::{kill, kill_tree, signal, ssh_of};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/fleet.sh");
const MACHINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/hosts.sh");

/// Hosts h1 … hN behind real sshd, a folder for playbooks, a home and a journal; all of it goes with the value.
pub(crate) struct Fleet {
    dir: tempfile::TempDir,
    /// For hosts that boot systemd: the network namespace that reaches them.
    network: Option<String>,
}

/// How a run of the program ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

/// Runs one of the lab's scripts and gives what it printed. None: it cannot run here, which CI must not accept.
fn lab(script: &str, args: &[&str], environment: &[(&str, String)]) -> Option<String> {
    let mut command = Command::new("bash");
    command.arg(script).args(args).stdin(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(77) => {
            assert!(std::env::var_os("CI").is_none(), "this is CI, and {text}");
            eprintln!("skipped: {}", text.trim());
            None
        }
        _ => panic!("{script} {args:?}: {text}{}", String::from_utf8_lossy(&output.stdout)),
    }
}

impl Fleet {
    pub(crate) fn up(hosts: usize) -> Option<Fleet> {
        let fleet = Fleet::nothing_yet("/tmp", None);
        lab(SCRIPT, &["up", &fleet.hosts(), &hosts.to_string()], &[])?;
        Some(fleet)
    }

    /// A fleet that also knows the accounts refit-deploy, refit-ops and refit-plain.
    pub(crate) fn with_accounts(hosts: usize) -> Option<Fleet> {
        lab(SCRIPT, &["users"], &[])?;
        Fleet::up(hosts)
    }

    /// Machines of their own, that boot systemd; the group of all is `lab`. What starts with `host_root` is not there.
    pub(crate) fn machines(hosts: usize) -> Option<Fleet> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let network = format!("refit{}-{count}", std::process::id());
        let fleet = Fleet::nothing_yet("/var/tmp", Some(network));
        fleet.machine(&["up", &hosts.to_string()])?;
        Some(fleet)
    }

    fn nothing_yet(above: &str, network: Option<String>) -> Fleet {
        let dir = tempfile::Builder::new().prefix("refit-e2e-").tempdir_in(above).unwrap();
        // The lab's other accounts have to reach their homes.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for folder in ["play", "home", "tmp"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Fleet { dir, network }
    }

    /// `hosts.sh …`, for machines.
    pub(crate) fn machine(&self, args: &[&str]) -> Option<String> {
        let network = self.network.clone().unwrap_or_default();
        let environment = [
            ("REFIT_LAB", self.hosts()),
            ("REFIT_LAB_NS", network),
            ("REFIT_LAB_BASES", "/var/tmp/refit-lab/bases".to_owned()),
            ("REFIT_LAB_OWNER", std::process::id().to_string()),
        ];
        lab(MACHINES, args, &environment)
    }

    /// What a shell line prints that root runs in a machine, not over the network. It must end with 0.
    pub(crate) fn on(&self, host: &str, line: &str) -> String {
        let said = self.machine(&["exec", host, line]).unwrap_or_default();
        said.trim_end().to_owned()
    }

    fn hosts(&self) -> String {
        self.path("lab").display().to_string()
    }

    /// A file of the test's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn inventory(&self) -> String {
        self.path("lab/inventory.ini").display().to_string()
    }

    /// `host_root` of a host.
    pub(crate) fn root(&self, host: &str) -> PathBuf {
        self.path("lab/hosts").join(host)
    }

    /// A file below `host_root`; empty where there is none.
    pub(crate) fn read(&self, host: &str, file: &str) -> String {
        std::fs::read_to_string(self.root(host).join(file)).unwrap_or_default()
    }

    /// Lines of a host's effect log.
    pub(crate) fn effects(&self, host: &str) -> Vec<String> {
        self.read(host, "effects").lines().map(str::to_owned).collect()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path("play").join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(crate) fn stop(&self, host: &str) {
        lab(SCRIPT, &["stop", &self.hosts(), host, "--cut"], &[]);
    }

    pub(crate) fn start(&self, host: &str) {
        lab(SCRIPT, &["start", &self.hosts(), host], &[]);
    }

    /// The program in a closed environment: a home, a temporary folder and a journal of its own, no colour, and of
    /// this process's environment the path alone.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_refit");
        let mut command = match &self.network {
            None => Command::new(program),
            Some(network) => {
                let mut inside = Command::new("nsenter");
                inside.args([&format!("--net=/run/netns/{network}"), "--", program]);
                inside
            }
        };
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("USER", "tester")
            .env("TMPDIR", self.path("tmp"))
            .env("REFIT_JOURNAL", self.path("journal.db"))
            .env("NO_COLOR", "1")
            // A host that is gone for good is waited for half a minute; here it is known to be gone.
            .env("REFIT_TEST_PATIENCE", "3")
            .current_dir(self.path("play"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn refit(&self, args: &[&str]) -> Ended {
        finish(self.start_with(&mut self.command(args)), Instant::now())
    }

    /// `refit run PLAYBOOK -i INVENTORY …`
    pub(crate) fn run(&self, playbook: &str, more: &[&str]) -> Ended {
        let inventory = self.inventory();
        let mut args = vec!["run", playbook, "-i", &inventory];
        args.extend(more);
        self.refit(&args)
    }

    /// Starts the program and goes on; `wait` or `finish` ends it.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.start_with(&mut self.command(args))
    }

    pub(crate) fn spawn_run(&self, playbook: &str, more: &[&str]) -> Child {
        let inventory = self.inventory();
        let mut args = vec!["run", playbook, "-i", &inventory];
        args.extend(more);
        self.spawn(&args)
    }

    pub(crate) fn start_with(&self, command: &mut Command) -> Child {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs of the journal, oldest first, as `refit runs` gives them.
    pub(crate) fn runs(&self) -> Vec<Value> {
        let listed = self.refit(&["runs", "--output", "json"]);
        let mut runs: Vec<Value> = serde_json::from_str(&listed.out).unwrap_or_else(|e| panic!("{e}: {listed:?}"));
        runs.sort_by_key(|run| run["run"].as_str().unwrap_or_default().to_owned());
        runs
    }

    /// The id of the run that began last.
    pub(crate) fn last_run(&self) -> String {
        let runs = self.runs();
        runs.last()
            .and_then(|run| run["run"].as_str())
            .unwrap_or_else(|| panic!("no run"))
            .to_owned()
    }

    /// A run's units by name, with what became of them.
    pub(crate) fn outcomes(&self, run: &str) -> Vec<(String, String)> {
        let shown = self.refit(&["runs", run, "--output", "json"]);
        let shown: Value = serde_json::from_str(&shown.out).unwrap_or_else(|e| panic!("{e}: {shown:?}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let units = shown["units"].as_array().cloned().unwrap_or_default();
        units
            .iter()
            .map(|unit| (text(&unit["unit"]), text(&unit["outcome"])))
            .collect()
    }

    pub(crate) fn outcome(&self, run: &str, unit: &str) -> String {
        let all = self.outcomes(run);
        let found = all.iter().find(|(name, _)| name == unit);
        found
            .map(|(_, outcome)| outcome.clone())
            .unwrap_or_else(|| panic!("no unit {unit} in {all:?}"))
    }

    /// Everything on the hosts that is newer than a mark, state folders included.
    pub(crate) fn newer_than(&self, mark: &Path) -> Vec<String> {
        let output = Command::new("find")
            .arg(self.path("lab/hosts"))
            .arg("-newer")
            .arg(mark)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// A mark for `newer_than`; what is changed from now on is newer.
    pub(crate) fn mark(&self) -> PathBuf {
        let path = self.path("mark");
        std::fs::write(&path, "").unwrap();
        // A file system's clock ticks a few times in a hundredth of a second.
        std::thread::sleep(Duration::from_millis(30));
        path
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.network.is_some() {
            self.machine(&["down"]);
            return;
        }
        let dir = self.hosts();
        let _ = Command::new("bash")
            .arg(SCRIPT)
            .args(["down", &dir])
            .stdin(Stdio::null())
            .output();
    }
}

/// Waits for a child and takes what it said.
pub(crate) fn finish(child: Child, began: Instant) -> Ended {
    let output = child.wait_with_output().unwrap();
    use std::os::unix::process::ExitStatusExt;
    Ended {
        code: output
            .status
            .code()
            .unwrap_or_else(|| 1000 + output.status.signal().unwrap_or_default()),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: began.elapsed(),
    }
}

/// Waits until something holds; 20 s at most.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited 20 s for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Ended {
        assert!(
            self.code == code,
            "exit {}, expected {code}\n{}\n{}",
            self.code,
            self.out,
            self.err
        );
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Ended {
        let all = format!("{}\n{}", self.out, self.err);
        assert!(all.contains(text), "`{text}` is not in:\n{all}");
        self
    }

    #[track_caller]
    pub(crate) fn says_not(&self, text: &str) -> &Ended {
        let all = format!("{}\n{}", self.out, self.err);
        assert!(!all.contains(text), "`{text}` is in:\n{all}");
        self
    }
}
