//! A real MySQL or MariaDB for tests, started by `tests/lab/mysql.sh`: root over its socket without a password, TCP on the
//! loopback with TLS (a certificate for `localhost`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use super::{Database, Engine, Tls, Verify};
use crate::secret::Secret;

pub(crate) const PASSWORD: &str = "secret";

pub(crate) struct MysqlLab {
    folder: tempfile::TempDir,
    flavor: &'static str,
    facts: Mutex<BTreeMap<String, String>>,
}

static SHARED: Mutex<[Weak<MysqlLab>; 2]> = Mutex::new([Weak::new(), Weak::new()]);

impl MysqlLab {
    /// The MySQL that all tests of this moment share; it goes with the last of them. None, with a word of it, where
    /// there is none (a failure in CI).
    pub(crate) fn start() -> Option<Arc<MysqlLab>> {
        Self::shared(0, "mysql8")
    }

    pub(crate) fn mariadb() -> Option<Arc<MysqlLab>> {
        Self::shared(1, "mariadb")
    }

    /// A MySQL that no other test sees: what is done to all of it harms nobody.
    pub(crate) fn own() -> Option<Arc<MysqlLab>> {
        Self::new("mysql8").map(Arc::new)
    }

    fn shared(slot: usize, flavor: &'static str) -> Option<Arc<MysqlLab>> {
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(lab) = shared[slot].upgrade() {
            return Some(lab);
        }
        let lab = Arc::new(Self::new(flavor)?);
        shared[slot] = Arc::downgrade(&lab);
        Some(lab)
    }

    fn new(flavor: &'static str) -> Option<MysqlLab> {
        if !script(flavor).arg("has").status().unwrap().success() {
            assert!(std::env::var_os("CI").is_none(), "{flavor} is missing");
            eprintln!("skipped: {flavor} is missing (MYSQL_FLAVOR={flavor} tests/lab/mysql.sh install)");
            return None;
        }
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory } else { Path::new("/tmp") };
        let lab = MysqlLab {
            folder: tempfile::Builder::new().prefix("refit-my-").tempdir_in(folder).unwrap(),
            flavor,
            facts: Mutex::default(),
        };
        lab.again();
        Some(lab)
    }

    /// Starts the server, the first time or after [`MysqlLab::kill`].
    pub(crate) fn again(&self) {
        let known = self.facts.lock().unwrap().get("PORT").cloned();
        let port = known.unwrap_or_else(|| {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port().to_string()
        });
        let output = script(self.flavor)
            .arg("start")
            .arg(self.path())
            .arg(port)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let facts = text.lines().filter_map(|line| line.split_once('='));
        *self.facts.lock().unwrap() = facts.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    }

    pub(crate) fn kill(&self) {
        let pid = self.fact("PID").parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }

    pub(crate) fn fact(&self, name: &str) -> String {
        self.facts.lock().unwrap()[name].clone()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn tls(&self, file: &str) -> PathBuf {
        self.path().join("tls").join(file)
    }

    /// A client program, as root over the socket.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(&self.fact("BIN")).join(program));
        command.args(["--no-defaults", "-uroot", "-S", &self.fact("SOCKET")]);
        for name in ["MYSQL_PWD", "MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT"] {
            command.env_remove(name);
        }
        command
    }

    /// What `mysql -N` prints; fields between tabs.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = self
            .client("mysql")
            .args(["-N", "-B", "-D", database, "-e", sql])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Makes a database, as Temporal's tool makes it, and returns how the socket reaches it.
    pub(crate) fn create(&self, name: &str) -> Database {
        self.sql("mysql", &format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4"));
        Database {
            label: "main".into(),
            engine: Engine::Mysql,
            host: self.fact("SOCKET"),
            port: self.fact("PORT").parse().unwrap(),
            name: name.into(),
            user: "root".into(),
            password: None,
            tls: Tls {
                verify: Verify::None,
                ca: None,
                cert: None,
                key: None,
            },
            via: None,
            tunnel: None,
            path: String::new(),
        }
    }

    /// The same database over TCP, with TLS and a password.
    pub(crate) fn over_tls(&self, database: &Database) -> Database {
        Database {
            host: "localhost".into(),
            user: "temporal".into(),
            password: Some(Secret::new(PASSWORD)),
            tls: Tls {
                verify: Verify::Full,
                ca: Some(self.tls("ca.pem")),
                cert: None,
                key: None,
            },
            ..database.clone()
        }
    }

    /// A dump without what differs from run to run, and the version tables without their times.
    pub(crate) fn dump(&self, name: &str) -> String {
        let mut command = self.client("mysqldump");
        command.args(["--skip-comments", "--skip-extended-insert"]);
        if self.flavor != "mariadb" {
            command.args(["--set-gtid-purged=OFF", "--no-tablespaces"]);
        }
        for table in ["schema_version", "schema_update_history"] {
            command.arg(format!("--ignore-table={name}.{table}"));
        }
        let output = command.arg(name).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut text: String = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .filter(|line| {
                !["/*", "--", "LOCK ", "UNLOCK "]
                    .iter()
                    .any(|start| line.starts_with(start))
            })
            .filter(|line| !line.is_empty())
            .flat_map(|line| [line, "\n"])
            .collect();
        for table in ["schema_version", "schema_update_history"] {
            text += &self.sql(name, &format!("SHOW CREATE TABLE {table}"));
            text += "\n";
        }
        text += &self.sql(
            name,
            "SELECT version_partition, curr_version, min_compatible_version, creation_time IS NULL FROM schema_version;
             SELECT version_partition, old_version, new_version, manifest_md5, description,
             year=YEAR(update_time) AND month=MONTH(update_time) FROM schema_update_history ORDER BY update_time",
        );
        text + "\n"
    }
}

impl Drop for MysqlLab {
    fn drop(&mut self) {
        // The data go with the folder.
        self.kill();
    }
}

fn script(flavor: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/mysql.sh"));
    command
        .env("MYSQL_FLAVOR", flavor)
        .env("MYSQL_TESTS", "1")
        .stdin(Stdio::null());
    command
}
