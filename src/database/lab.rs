//! A real PostgreSQL for tests: a unix socket without a password, TCP on the loopback with TLS (a certificate for
//! `localhost`) and a password.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::{Database, Engine, Tls, Verify};
use crate::secret::Secret;

pub(crate) const PASSWORD: &str = "canary-5f2c";

pub(crate) struct Lab {
    folder: tempfile::TempDir,
    bin: PathBuf,
    pub(crate) port: u16,
    server: Mutex<Child>,
}

static SHARED: Mutex<Weak<Lab>> = Mutex::new(Weak::new());

impl Lab {
    /// The server that all tests of this moment share; it goes with the last of them. None, with a word of it, where
    /// there is no PostgreSQL (a failure in CI).
    pub(crate) fn start() -> Option<Arc<Lab>> {
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(lab) = shared.upgrade() {
            return Some(lab);
        }
        let Some(bin) = bin() else {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is missing");
            eprintln!("skipped: PostgreSQL (initdb, postgres, psql) is missing");
            return None;
        };
        let lab = Arc::new(Lab::launch(bin));
        *shared = Arc::downgrade(&lab);
        Some(lab)
    }

    fn launch(bin: PathBuf) -> Lab {
        let folder = tempfile::Builder::new().prefix("refit-pg-").tempdir_in("/tmp").unwrap();
        let dir = folder.path().to_owned();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
        certificates(&dir);
        run(Command::new("chown").arg("-R").arg("postgres:").arg(&dir));
        let data = dir.join("data");
        run(as_postgres(&bin.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args([
                "-U",
                "postgres",
                "--auth=trust",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .stdout(Stdio::null()));
        let write = |name: &str, text: &str| {
            let mut file = std::fs::OpenOptions::new().append(true).open(data.join(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        write(
            "postgresql.conf",
            &format!(
                "unix_socket_directories='{0}'\nssl=on\nssl_ca_file='{0}/ca.pem'\nssl_cert_file='{0}/server.pem'\n\
                 ssl_key_file='{0}/server.key'\nfsync=off\nshared_buffers=64MB\nmax_connections=200\n\
                 autovacuum=off\n",
                dir.display()
            ),
        );
        std::fs::write(
            data.join("pg_hba.conf"),
            "local all all trust\nhostssl all certonly all cert map=lab\nhostssl all all all scram-sha-256\n",
        )
        .unwrap();
        write("pg_ident.conf", "lab temporal certonly\n");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let server = as_postgres(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let lab = Lab {
            folder,
            bin,
            port,
            server: Mutex::new(server),
        };
        let until = Instant::now() + Duration::from_secs(30);
        while !lab.ready() {
            assert!(
                Instant::now() < until,
                "{}",
                std::fs::read_to_string(dir.join("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        lab.sql(
            "postgres",
            &format!(
                "CREATE ROLE temporal LOGIN CREATEDB PASSWORD '{PASSWORD}'; CREATE ROLE certonly LOGIN SUPERUSER;
                 CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; ALTER ROLE reader SET default_transaction_read_only=on"
            ),
        );
        lab
    }

    fn ready(&self) -> bool {
        self.client("psql")
            .args(["-d", "postgres", "-c", "SELECT 1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    /// A client program, as the superuser over the socket.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command
            .arg("-h")
            .arg(self.path())
            .args(["-p", &self.port.to_string(), "-U", "postgres"]);
        command
    }

    /// What `psql -At` prints.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = self
            .client("psql")
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Makes a database and returns how the socket reaches it.
    pub(crate) fn create(&self, name: &str) -> Database {
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER temporal"));
        Database {
            label: "main".into(),
            engine: Engine::Postgres,
            host: self.path().to_str().unwrap().to_owned(),
            port: self.port,
            name: name.into(),
            user: "temporal".into(),
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
            password: Some(Secret::new(PASSWORD)),
            tls: Tls {
                verify: Verify::Full,
                ca: Some(self.path().join("ca.pem")),
                cert: None,
                key: None,
            },
            ..database.clone()
        }
    }

    /// `pg_dump -s` without what differs from run to run, and the version tables without their times.
    pub(crate) fn dump(&self, name: &str) -> String {
        let output = self
            .client("pg_dump")
            .args(["-s", "--no-owner", "-d", name])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut text: String = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .filter(|line| {
                !line.starts_with("--") && !line.starts_with('\\') && !line.starts_with("SET ") && !line.is_empty()
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        text += &self.sql(
            name,
            "SELECT version_partition, curr_version, min_compatible_version FROM schema_version",
        );
        text += "\n";
        text += &self.sql(
            name,
            "SELECT version_partition, old_version, new_version, manifest_md5, description,
             year=extract(year FROM update_time) AND month=extract(month FROM update_time)
             FROM schema_update_history ORDER BY update_time",
        );
        text + "\n"
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let server = self.server.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let pid = rustix::process::Pid::from_child(server);
        // SIGQUIT: at once; the data go with the folder.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = server.wait();
    }
}

fn bin() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .chain(std::env::split_paths(&std::env::var_os("PATH")?))
        .collect();
    folders.sort();
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "psql", "pg_dump"]
            .iter()
            .all(|p| folder.join(p).exists())
    };
    folders.into_iter().rev().find(complete)
}

/// The server refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn certificates(dir: &Path) {
    let script = r#"set -e; cd "$1"; exec 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=lab CA" \
  -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem
cp ca.pem other.pem
issue() { # FILE SUBJECT EXTENSION
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout $1.key -out $1.csr
  printf '%s\n' basicConstraints=CA:FALSE "$3" >$1.ext
  openssl x509 -req -days 2 -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $1.pem -extfile $1.ext
}
issue server /CN=localhost subjectAltName=DNS:localhost
issue client /CN=temporal extendedKeyUsage=clientAuth
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=other CA" -keyout other.key -out other.pem
chmod 600 *.key"#;
    run(Command::new("sh").args(["-c", script, "sh"]).arg(dir));
}
