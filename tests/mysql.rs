//! A schema on a real MySQL through the program: status, plan, backup, update, kill and resume.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::fleet::{Ended, Fleet, finish};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/mysql.sh");
const CHAIN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/temporal-schema/mysql/v8/visibility/versioned"
);

/// A MySQL of one test; it goes with the value.
pub(crate) struct Mysql {
    dir: tempfile::TempDir,
    facts: String,
}

impl Mysql {
    /// None: there is none here, which CI must not accept.
    pub(crate) fn up() -> Option<Mysql> {
        if !Command::new(SCRIPT).arg("has").status().unwrap().success() {
            assert!(std::env::var_os("CI").is_none(), "this is CI, and MySQL is missing");
            eprintln!("skipped: MySQL is missing (tests/lab/mysql.sh install)");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("refit-my-").tempdir_in("/tmp").unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let output = Command::new(SCRIPT)
            .arg("start")
            .arg(dir.path())
            .arg(&port)
            .env("MYSQL_TESTS", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let facts = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{facts}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mysql = Mysql { dir, facts };
        mysql.sql("mysql", "CREATE DATABASE visibility CHARACTER SET utf8mb4");
        Some(mysql)
    }

    pub(crate) fn fact(&self, name: &str) -> &str {
        let prefix = format!("{name}=");
        self.facts.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap()
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(format!("{}/mysql", self.fact("BIN")))
            .args([
                "--no-defaults",
                "-uroot",
                "-S",
                self.fact("SOCKET"),
                "-N",
                "-B",
                "-D",
                database,
                "-e",
                sql,
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        let _ = Command::new(SCRIPT)
            .arg("stop")
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .output();
    }
}

#[test]
fn a_schema_on_mysql_is_backed_up_updated_killed_and_resumed() {
    let (Some(fleet), Some(mysql)) = (Fleet::up(1), Mysql::up()) else {
        return;
    };
    let refit = |args: &[&str], kill: Option<usize>| -> Ended {
        let inventory = fleet.inventory();
        let mut all = args.to_vec();
        if args != ["resume"] {
            all.extend(["-i", &inventory]);
        }
        let mut command = fleet.command(&all);
        command.env("APP_PASSWORD", mysql.fact("PASSWORD"));
        if let Some(n) = kill {
            command.env("REFIT_TEST_KILL_AT_COMMIT", n.to_string());
        }
        finish(fleet.start_with(&mut command), Instant::now())
    };
    let play = |name: &str, to: &str| {
        let text = format!(
            r#"
hosts: fleet
databases:
  main: {{ engine: mysql, host: localhost, port: {port}, name: visibility, user: temporal, password: {{ env: APP_PASSWORD }}, tls: {{ ca: {ca} }} }}
steps:
  - id: copy
    backup: {{ database: main, to: "{{{{ host_root }}}}/copies", program: {bin}/mysqldump }}
    run_once: true
  - id: schema
    schema: {{ database: main, dir: {CHAIN}, to: "{to}" }}
    run_once: true
"#,
            port = mysql.fact("PORT"),
            ca = mysql.fact("CA"),
            bin = mysql.fact("BIN"),
        );
        fleet.write(name, &text)
    };
    let first = play("first.yml", "1.9");
    refit(&["run", &first], None).exits(0);
    refit(&["schema", "status", &first, "--database", "main"], None)
        .exits(0)
        .says("MySQL 8.0.31")
        .says("1.9");
    let playbook = play("play.yml", "1.14");
    refit(&["schema", "plan", &playbook, "--database", "main"], None)
        .exits(0)
        .says("1.9 to 1.14")
        .says("ADD COLUMN TemporalReportedProblems")
        .says("copies the table");
    refit(&["plan", &playbook], None).exits(0);
    assert_eq!(
        mysql.sql("visibility", "SELECT curr_version FROM schema_version"),
        "1.9"
    );

    // Killed at one commit of the journal after another, from the first segments on.
    let mut kills = 0;
    let mut ended = refit(&["run", &playbook], Some(9));
    for n in (3..60).step_by(4) {
        if ended.code == 0 {
            break;
        }
        kills += 1;
        ended = refit(&["resume"], Some(n));
    }
    if ended.code != 0 {
        ended = refit(&["resume"], None);
    }
    ended.exits(0);
    assert!(kills > 2, "{kills}");
    let version = "SELECT curr_version, (SELECT COUNT(*) FROM schema_update_history) FROM schema_version";
    assert_eq!(mysql.sql("visibility", version), "1.14\t16");
    let copies: Vec<_> = std::fs::read_dir(fleet.root("h1").join("copies")).unwrap().collect();
    assert!(copies.len() >= 2, "{copies:?}");
    refit(&["schema", "update", &playbook, "--database", "main"], None).exits(0);
    assert_eq!(mysql.sql("visibility", version), "1.14\t16");
}
