//! temporal-sql-tool on PostgreSQL over TLS with a password.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::{LAB, facts, log_of, process_of, release, run, wait};
use crate::fleet::{Fleet, finish, kill, kill_tree};

const PASSWORD: &str = "canary-7d41/@:%+";

struct Lab {
    fleet: Fleet,
    /// Of release 1.30.6.
    release: PathBuf,
    facts: BTreeMap<String, String>,
    folder: String,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("bash")
            .args([&format!("{LAB}/postgres.sh"), "stop", &self.folder])
            .output();
    }
}

impl Lab {
    fn up() -> Option<Lab> {
        let release = release("1.30.6")?;
        let fleet = Fleet::up(2)?;
        let folder = fleet.path("pg").display().to_string();
        let port = free_port().to_string();
        let facts = facts("postgres.sh", &["start", &folder, &port], &[])?;
        let lab = Lab {
            fleet,
            release,
            facts,
            folder,
        };
        lab.sql("postgres", &format!("ALTER ROLE temporal PASSWORD '{PASSWORD}'"));
        Some(lab)
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(format!("{}/{program}", self.facts["BIN"]));
        command.args([
            "-h",
            &self.facts["SOCKET_DIR"],
            "-p",
            &self.facts["PORT"],
            "-U",
            "postgres",
        ]);
        command
    }

    #[track_caller]
    fn sql(&self, database: &str, sql: &str) -> String {
        run(self
            .client("psql")
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]))
        .trim_end()
        .to_owned()
    }

    fn version(&self, database: &str) -> String {
        self.sql(database, "SELECT curr_version FROM schema_version")
    }

    fn program(&self) -> PathBuf {
        self.release.join("bin/temporal-sql-tool")
    }

    /// The tool as a person runs it.
    fn by_hand(&self, database: &str) -> Command {
        let mut command = Command::new(self.program());
        let ca = &self.facts["CA"];
        command
            .args([
                "--ep",
                "127.0.0.1",
                "-p",
                &self.facts["PORT"],
                "-u",
                "temporal",
                "--pl",
                "postgres12",
            ])
            .args(["--db", database, "--tls", "--tls-ca-file", ca])
            .env("SQL_PASSWORD", PASSWORD);
        command
    }

    /// Makes a database of a store at a version.
    fn make(&self, database: &str, store: &str, version: &str) {
        run(self.by_hand(database).args(["create-database"]));
        run(self.by_hand(database).args(["setup-schema", "-v", "0.0"]));
        let schema = format!("postgresql/v12/{store}");
        run(self
            .by_hand(database)
            .args(["update-schema", "-s", &schema, "-v", version]));
    }

    /// A playbook of one schema step on h1.
    fn book(&self, database: &str, step: &str) -> String {
        let text = format!(
            "hosts: h1\ndatabases:\n  main:\n    engine: postgres\n    host: 127.0.0.1\n    port: {port}\n    name: {database}\n    \
             user: temporal\n    password: {{ env: PG }}\n    tls: {{ ca: {ca} }}\nstages:\n  - name: Schema\n    steps:\n      \
             - id: update\n        schema: {{ database: main, {step} }}\n        register: r\n      \
             - debug: {{ msg: \"{{{{ r.from }}}} {{{{ r.to }}}} {{{{ r.applied | join(',') }}}} log={{{{ r.log | default('none') }}}}\" }}\n",
            port = self.facts["PORT"],
            ca = self.facts["CA"],
        );
        self.fleet.write(&format!("{database}.yml"), &text)
    }

    fn by_tool(&self, database: &str, more: &str) -> String {
        let step = format!("tool: {}, {more}", self.program().display());
        self.book(database, &step)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.fleet.command(args);
        command.env("PG", PASSWORD);
        command
    }

    fn run(&self, book: &str, more: &[&str]) -> crate::fleet::Ended {
        let inventory = self.fleet.inventory();
        let args: Vec<&str> = ["run", book, "-i", &inventory].iter().chain(more).copied().collect();
        finish(self.fleet.start_with(&mut self.command(&args)), Instant::now())
    }

    /// The schema without what differs between databases.
    fn dump(&self, database: &str) -> String {
        let text = run(self.client("pg_dump").args(["-s", "--no-owner", "-d", database]));
        let schema: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("--") && !line.starts_with('\\') && !line.is_empty())
            .collect();
        let history = "SELECT old_version, new_version, manifest_md5, description FROM schema_update_history ORDER BY update_time";
        format!(
            "{}\n{}\n{}",
            schema.join("\n"),
            self.version(database),
            self.sql(database, history)
        )
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_tool_does_what_we_do() {
    let Some(lab) = Lab::up() else { return };
    for name in ["byhand", "bytool", "native"] {
        lab.make(name, "visibility", "1.9");
    }
    let schema = lab.release.join("schema/postgresql/v12/visibility/versioned");
    run(lab
        .by_hand("byhand")
        .args(["update-schema", "-s", "postgresql/v12/visibility", "-v", "1.13"]));
    let native = lab.book("native", &format!("dir: {}, to: \"1.13\"", schema.display()));
    lab.run(&native, &[]).exits(0);
    let book = lab.by_tool("bytool", "schema_name: postgresql/v12/visibility, to: \"1.13\"");
    // looked at, and nothing changed
    lab.run(&book, &["--check"])
        .exits(0)
        .says("1.9 to 1.13 by temporal-sql-tool 1.30.6");
    assert_eq!(lab.version("bytool"), "1.9");
    let ended = lab.run(&book, &[]);
    ended
        .exits(0)
        .says("1.9 1.13 1.10,1.11,1.12,1.13 log=/")
        .says_not(PASSWORD);
    assert_eq!(lab.dump("bytool"), lab.dump("native"));
    assert_eq!(lab.dump("bytool"), lab.dump("byhand"));
    let log = log_of(&lab.fleet, "h1");
    assert!(
        log.contains("Schema updated from 1.12 to 1.13") && !log.contains(PASSWORD),
        "{log}"
    );
    // a second run changes nothing, and says so
    lab.run(&book, &[]).exits(0).says("no schema change: main is at 1.13");
    assert_eq!(lab.dump("bytool"), lab.dump("byhand"));
    // from a directory on the host
    let book = lab.by_tool("bytool", &format!("dir: {}, to: \"1.13\"", schema.display()));
    lab.run(&book, &[]).exits(0).says("no schema change");
    // nobody else is at work afterwards, and no file of ours is left
    assert_eq!(
        lab.sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'refit%'"
        ),
        "0"
    );
    let left = run(Command::new("find")
        .arg(lab.fleet.root("h1"))
        .args(["-name", "refit-tool.*"]));
    assert_eq!(left, "");
}

#[test]
fn what_would_go_wrong_is_refused_before() {
    let Some(lab) = Lab::up() else { return };
    lab.make("v", "visibility", "1.9");
    lab.make("d", "temporal", "1.18");
    let before = (lab.dump("v"), lab.dump("d"));
    let program = lab.program().display().to_string();
    let cassandra = lab.release.join("bin/temporal-cassandra-tool").display().to_string();
    let other = lab.fleet.path("lab/hosts").display().to_string();
    let fake = lab.fleet.path("fake");
    std::fs::write(&fake, "#!/bin/sh\necho temporal-sql-tool version 0.0.1\n").unwrap();
    std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let fake = fake.display().to_string();
    let vis = "schema_name: postgresql/v12/visibility";
    // step, exit code, what is said
    for (step, code, words) in [
        (
            format!("tool: /nowhere/tool, {vis}, to: \"1.13\""),
            2,
            "there is no program /nowhere/tool",
        ),
        (
            format!("tool: /bin/true, {vis}, to: \"1.13\""),
            1,
            "no schema tool of Temporal",
        ),
        (
            format!("tool: {fake}, {vis}, to: \"1.13\""),
            1,
            "write the release in `tool_version`",
        ),
        (
            format!("tool: {fake}, {vis}, to: \"1.13\", tool_version: \"1.22.7\""),
            1,
            "no embedded schemas",
        ),
        (format!("tool: {cassandra}, {vis}, to: \"1.13\""), 1, ""),
        (
            format!("tool: {program}, {vis}, to: \"1.13\", tool_version: \"1.31.5\""),
            1,
            "`tool_version` says 1.31.5",
        ),
        (
            format!("tool: {program}, {vis}, to: \"1.8\""),
            1,
            "newer than 1.8; there is no way down",
        ),
        (
            format!("tool: {program}, dir: {other}, to: \"1.13\""),
            1,
            "has no version 1.13",
        ),
        (
            format!("tool: {program} --pl postgres, {vis}, to: \"1.13\""),
            1,
            "without flags",
        ),
        (
            format!("tool: {program}, dir: /x/postgresql/v96/visibility/versioned, to: \"1.1\""),
            1,
            "`v96` is gone since 1.24",
        ),
        (
            format!("tool: {program}, schema_name: mysql/v8/visibility, to: \"1.13\""),
            1,
            "no embedded schema",
        ),
        (
            format!("tool: {program}, {vis}, to: \"1.13\", options: {{ tls-enable-host-verification: true }}"),
            1,
            "gone since 1.9",
        ),
        (
            format!("tool: {program}, {vis}, to: \"1.13\", options: {{ pl: postgres }}"),
            1,
            "postgres12 for postgres",
        ),
        (
            format!("tool: {program}, {vis}, to: \"1.13\", options: {{ q: true }}"),
            1,
            "never used",
        ),
    ] {
        let book = lab.book("v", &step);
        let ended = lab.run(&book, &[]);
        if code == 1 && words.is_empty() {
            assert!(ended.code != 0, "{step}: {ended:?}");
            ended.says("take temporal-sql-tool");
        } else {
            ended.exits(code).says(words);
        }
    }
    // the password is wrong; the name in the certificate is another; the CA is another
    let book = lab.by_tool("v", &format!("{vis}, to: \"1.13\""));
    let inventory = lab.fleet.inventory();
    let mut command = lab.fleet.command(&["run", &book, "-i", &inventory]);
    let ended = finish(lab.fleet.start_with(command.env("PG", "another-word")), Instant::now());
    ended
        .exits(1)
        .says("cannot read its schema version")
        .says_not("another-word");
    let text = std::fs::read_to_string(&book).unwrap();
    std::fs::write(
        &book,
        text.replace("host: 127.0.0.1", "host: localhost.localdomain.invalid"),
    )
    .unwrap();
    lab.run(&book, &[]).exits(1);
    // `verify: ca` is what the tool calls no host verification, and yet the CA is looked at
    let verified = text.replace("tls: { ca:", "tls: { verify: ca, ca:");
    std::fs::write(&book, &verified).unwrap();
    lab.run(&book, &["--check"]).exits(0).says("1.9 to 1.13");
    let bundle = lab.fleet.path("other.pem").display().to_string();
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=other",
            "-days",
            "2",
        ])
        .args(["-keyout", "/dev/null", "-out", &bundle]));
    std::fs::write(&book, verified.replace(&lab.facts["CA"], &bundle)).unwrap();
    lab.run(&book, &[]).exits(1).says("cannot read its schema version");
    // a step of several hosts
    std::fs::write(&book, text.replace("hosts: h1", "hosts: fleet")).unwrap();
    lab.run(&book, &[]).exits(1).says("run_once: true");
    assert_eq!((lab.dump("v"), lab.dump("d")), before);
}

/// A session that keeps others from a table until it is dropped.
struct Blocker(std::process::Child);

impl Blocker {
    fn on(lab: &Lab, database: &str, table: &str) -> Blocker {
        let sql = format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep(600)");
        let child = lab
            .client("psql")
            .args(["-Xq", "-d", database, "-c", &sql])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait("the lock", || {
            let held = format!(
                "SELECT count(*) FROM pg_locks WHERE relation='{table}'::regclass AND mode='AccessExclusiveLock' AND granted"
            );
            lab.sql(database, &held) == "1"
        });
        Blocker(child)
    }

    fn release(mut self, lab: &Lab) {
        lab.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid<>pg_backend_pid()");
        let _ = self.0.wait();
    }
}

fn waiting(lab: &Lab, statement: &str) -> bool {
    let sql =
        format!("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type='Lock' AND query LIKE '{statement}%'");
    lab.sql("postgres", &sql) == "1"
}

/// Default 1.13 drops two tables and makes two.
#[test]
fn a_killed_tool_in_a_version_that_drops_is_named() {
    let Some(lab) = Lab::up() else { return };
    lab.make("d", "temporal", "1.12");
    let book = lab.by_tool("d", "schema_name: postgresql/v12/temporal, to: \"1.18\"");
    let blocker = Blocker::on(&lab, "d", "nexus_incoming_services_partition_status");
    let inventory = lab.fleet.inventory();
    let child = lab
        .fleet
        .start_with(&mut lab.command(&["run", &book, "-i", &inventory]));
    wait("the second DROP", || {
        waiting(&lab, "DROP TABLE nexus_incoming_services_partition_status")
    });
    // nobody else may update the schema meanwhile
    let held = "SELECT count(*) FROM pg_locks WHERE locktype='advisory' AND granted";
    assert_eq!(lab.sql("d", held), "1");
    let tool = process_of(&lab.program(), "d");
    assert!(tool > 0, "the tool is not found");
    kill(tool);
    // the statement goes on in the server, and is waited for
    std::thread::sleep(std::time::Duration::from_millis(500));
    blocker.release(&lab);
    let ended = finish(child, Instant::now());
    ended
        .exits(2)
        .says("was ended by signal 9")
        .says("schema_version says 1.12; in version 1.13 1 statement is (`DROP TABLE nexus_incoming_services;`) done")
        .says("the tool cannot go on from here")
        .says("UPDATE schema_version SET curr_version='1.13' WHERE version_partition=0 AND db_name='d'");
    assert_eq!(
        lab.sql("d", "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'nexus%'"),
        "0"
    );
    // run again: the tool stops at the first DROP, and that is named too
    let ended = lab.run(&book, &[]);
    ended
        .exits(2)
        .says("then `DROP TABLE nexus_incoming_services;` failed")
        .says("running it again gives the same");
    assert_eq!(lab.version("d"), "1.12");
    // the remedy: the rest by hand, then the row; then it goes on
    let file = lab.release.join("schema/postgresql/v12/temporal/versioned/v1.13");
    let manifest = std::fs::read_to_string(file.join("manifest.json")).unwrap();
    let names: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    for name in names["SchemaUpdateCqlFiles"].as_array().unwrap() {
        let text = std::fs::read_to_string(file.join(name.as_str().unwrap())).unwrap();
        let rest: String = text
            .lines()
            .filter(|line| !line.starts_with("DROP"))
            .flat_map(|line| [line, "\n"])
            .collect();
        lab.sql("d", &rest);
    }
    lab.sql(
        "d",
        "UPDATE schema_version SET curr_version='1.13' WHERE version_partition=0 AND db_name='d'",
    );
    lab.run(&book, &[]).exits(0).says("1.13 1.18 1.14,1.15,1.16,1.17,1.18");
    lab.make("e", "temporal", "1.18");
    let tables = "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname='public'";
    assert_eq!(lab.sql("d", tables), lab.sql("e", tables));
}

/// Visibility 1.10 to 1.13 add columns and indexes: what is there is passed over.
#[test]
fn a_killed_tool_in_a_version_that_adds_goes_on() {
    let Some(lab) = Lab::up() else { return };
    lab.make("v", "visibility", "1.9");
    let book = lab.by_tool("v", "schema_name: postgresql/v12/visibility, to: \"1.13\"");
    let blocker = Blocker::on(&lab, "v", "executions_visibility");
    let inventory = lab.fleet.inventory();
    let child = lab
        .fleet
        .start_with(&mut lab.command(&["run", &book, "-i", &inventory]));
    wait("the ALTER", || waiting(&lab, "ALTER TABLE executions_visibility"));
    kill(process_of(&lab.program(), "v"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    blocker.release(&lab);
    finish(child, Instant::now())
        .exits(2)
        .says("schema_version says 1.12; in version 1.13 no statement is done, and `ALTER TABLE executions_visibility")
        .says("run this step again");
    lab.run(&book, &[]).exits(0).says("1.12 1.13 1.13");
    lab.make("w", "visibility", "1.13");
    let columns = "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name='executions_visibility'";
    assert_eq!(lab.sql("v", columns), lab.sql("w", columns));
    assert_eq!(lab.sql("v", "SELECT count(*) FROM pg_index WHERE NOT indisvalid"), "0");
}

#[test]
fn a_killed_controller_finds_the_tool_again() {
    let Some(lab) = Lab::up() else { return };
    lab.make("v", "visibility", "1.9");
    let book = lab.by_tool("v", "schema_name: postgresql/v12/visibility, to: \"1.13\"");
    let blocker = Blocker::on(&lab, "v", "executions_visibility");
    let inventory = lab.fleet.inventory();
    let child = lab
        .fleet
        .start_with(&mut lab.command(&["run", &book, "-i", &inventory]));
    wait("the ALTER", || waiting(&lab, "ALTER TABLE executions_visibility"));
    let tool = process_of(&lab.program(), "v");
    kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    assert_eq!(process_of(&lab.program(), "v"), tool, "the tool lives on");
    let resumed = lab.fleet.start_with(&mut lab.command(&["resume"]));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    blocker.release(&lab);
    finish(resumed, Instant::now())
        .exits(0)
        .says("1.9 1.13 1.10,1.11,1.12,1.13");
    assert_eq!(lab.version("v"), "1.13");
    assert_eq!(log_of(&lab.fleet, "h1").matches("UpdateSchemaTask done").count(), 1);
    let once = "SELECT count(*) FROM schema_update_history WHERE new_version='1.13'";
    assert_eq!(lab.sql("v", once), "1");
}
