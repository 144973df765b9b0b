//! temporal-sql-tool on MySQL over TLS with a password.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::{process_of, release, run, wait};
use crate::fleet::{Ended, Fleet, finish, kill};
use crate::mysql::Mysql;

struct Lab {
    fleet: Fleet,
    /// Of release 1.30.6.
    release: std::path::PathBuf,
    mysql: Mysql,
}

impl Lab {
    fn up() -> Option<Lab> {
        Some(Lab {
            release: release("1.30.6")?,
            fleet: Fleet::up(1)?,
            mysql: Mysql::up()?,
        })
    }

    fn program(&self) -> std::path::PathBuf {
        self.release.join("bin/temporal-sql-tool")
    }

    /// The tool as a person runs it.
    fn by_hand(&self, database: &str) -> Command {
        let mut command = Command::new(self.program());
        command
            .args(["--ep", "localhost", "-p", self.mysql.fact("PORT"), "-u", "temporal"])
            .args([
                "--pl",
                "mysql8",
                "--db",
                database,
                "--tls",
                "--tls-ca-file",
                self.mysql.fact("CA"),
            ])
            .env("SQL_PASSWORD", self.mysql.fact("PASSWORD"));
        command
    }

    /// Makes a database of a store at a version.
    fn make(&self, database: &str, store: &str, version: &str) {
        self.mysql
            .sql("mysql", &format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"));
        run(self.by_hand(database).args(["setup-schema", "-v", "0.0"]));
        self.update(database, store, version);
    }

    fn update(&self, database: &str, store: &str, version: &str) {
        let schema = format!("mysql/v8/{store}");
        run(self
            .by_hand(database)
            .args(["update-schema", "-s", &schema, "-v", version]));
    }

    fn versioned(&self, store: &str) -> String {
        self.release
            .join(format!("schema/mysql/v8/{store}/versioned"))
            .display()
            .to_string()
    }

    /// A playbook of one schema step.
    fn book(&self, database: &str, step: &str) -> String {
        let text = format!(
            "hosts: h1\ndatabases:\n  main: {{ engine: mysql, host: localhost, port: {port}, name: {database}, user: temporal, \
             password: {{ env: PW }}, tls: {{ ca: {ca} }} }}\nsteps:\n  - id: update\n    schema: {{ database: main, {step} }}\n",
            port = self.mysql.fact("PORT"),
            ca = self.mysql.fact("CA"),
        );
        self.fleet.write(&format!("{database}.yml"), &text)
    }

    fn by_tool(&self, database: &str, more: &str) -> String {
        self.book(database, &format!("tool: {}, {more}", self.program().display()))
    }

    fn start(&self, book: &str, more: &[&str]) -> Child {
        let inventory = self.fleet.inventory();
        let args: Vec<&str> = ["run", book, "-i", &inventory].iter().chain(more).copied().collect();
        let mut command = self.fleet.command(&args);
        self.fleet.start_with(command.env("PW", self.mysql.fact("PASSWORD")))
    }

    fn run(&self, book: &str, more: &[&str]) -> Ended {
        finish(self.start(book, more), Instant::now())
    }

    fn version(&self, database: &str) -> String {
        self.mysql.sql(database, "SELECT curr_version FROM schema_version")
    }

    /// The schema and its history, without what differs between databases.
    fn dump(&self, database: &str) -> String {
        let program = format!("{}/mysqldump", self.mysql.fact("BIN"));
        let text = run(Command::new(program)
            .args(["--no-defaults", "-uroot", "-S", self.mysql.fact("SOCKET")])
            .args(["--no-data", "--skip-comments", "--set-gtid-purged=OFF", database]));
        let history = "SELECT old_version, new_version, manifest_md5, description FROM schema_update_history ORDER BY update_time";
        format!(
            "{text}\n{}\n{}",
            self.version(database),
            self.mysql.sql(database, history)
        )
    }
}

#[test]
fn the_tool_does_what_we_do() {
    let Some(lab) = Lab::up() else { return };
    for name in ["byhand", "bytool", "native"] {
        lab.make(name, "visibility", "1.9");
    }
    lab.update("byhand", "visibility", "1.13");
    let native = lab.book("native", &format!("dir: {}, to: \"1.13\"", lab.versioned("visibility")));
    lab.run(&native, &[]).exits(0);
    let book = lab.by_tool("bytool", "schema_name: mysql/v8/visibility, to: \"1.13\"");
    lab.run(&book, &["--check"])
        .exits(0)
        .says("1.9 to 1.13 by temporal-sql-tool 1.30.6");
    assert_eq!(lab.version("bytool"), "1.9", "looked at, and nothing changed");
    lab.run(&book, &[]).exits(0).says_not(lab.mysql.fact("PASSWORD"));
    assert_eq!(lab.dump("bytool"), lab.dump("byhand"));
    assert_eq!(lab.dump("native"), lab.dump("byhand"));
    lab.run(&book, &[]).exits(0).says("no schema change: main is at 1.13");
    assert_eq!(lab.dump("bytool"), lab.dump("byhand"));
}

/// A session that has read a table and keeps others from dropping it.
struct Reader(Child);

impl Reader {
    fn of(lab: &Lab, database: &str, table: &str) -> Reader {
        let sql = format!("BEGIN; SELECT COUNT(*) FROM {table}; SELECT SLEEP(600)");
        let child = Command::new(format!("{}/mysql", lab.mysql.fact("BIN")))
            .args([
                "--no-defaults",
                "-uroot",
                "-S",
                lab.mysql.fact("SOCKET"),
                "-D",
                database,
                "-e",
                &sql,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait("the reader sleeps", || !sessions(lab, "SELECT SLEEP(600)%").is_empty());
        Reader(child)
    }

    fn end(mut self, lab: &Lab) {
        for id in sessions(lab, "SELECT SLEEP(600)%").lines() {
            lab.mysql.sql("mysql", &format!("KILL {id}"));
        }
        let _ = self.0.wait();
    }
}

fn sessions(lab: &Lab, like: &str) -> String {
    let sql = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '{like}' AND ID<>CONNECTION_ID()");
    lab.mysql.sql("mysql", &sql)
}

/// Default 1.13 drops two tables: the tool, killed between the two, can never go on. It is named, and our own way ends it.
#[test]
fn a_killed_tool_in_a_version_that_drops_is_named_and_finished() {
    let Some(lab) = Lab::up() else { return };
    for name in ["byhand", "cut"] {
        lab.make(name, "temporal", "1.12");
    }
    lab.update("byhand", "temporal", "1.18");
    let book = lab.by_tool("cut", "schema_name: mysql/v8/temporal, to: \"1.18\"");
    let reader = Reader::of(&lab, "cut", "nexus_incoming_services_partition_status");
    let child = lab.start(&book, &[]);
    wait("the second DROP waits", || {
        !sessions(&lab, "DROP TABLE nexus_incoming_services_partition_status%").is_empty()
    });
    let tool = process_of(&lab.program(), "cut");
    assert!(tool > 0, "the tool is not found");
    kill(tool);
    std::thread::sleep(std::time::Duration::from_millis(500));
    reader.end(&lab);
    let ended = finish(child, Instant::now());
    ended
        .exits(2)
        .says("was ended by signal 9")
        .says("schema_version says 1.12")
        .says("the tool cannot go on from here");
    assert_eq!(lab.version("cut"), "1.12");
    // The tool again: it stops at what is gone, and that is named.
    let again = lab.run(&book, &[]);
    again
        .exits(2)
        .says("DROP TABLE nexus_incoming_services")
        .says("running it again gives the same");
    assert_eq!(lab.version("cut"), "1.12");
    // Our own way looks at what is there and does the rest.
    let native = lab.book("cut", &format!("dir: {}, to: \"1.18\"", lab.versioned("temporal")));
    lab.run(&native, &[]).exits(0);
    assert_eq!(lab.dump("cut"), lab.dump("byhand"));
}
