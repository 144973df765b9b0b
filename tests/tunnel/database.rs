//! A real PostgreSQL with TLS behind the ssh of a host.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Door;
use crate::fleet::{Fleet, finish, kill, kill_tree, ssh_of, until};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/postgres.sh");

struct Postgres {
    dir: tempfile::TempDir,
    port: u16,
    bin: PathBuf,
}

impl Postgres {
    /// None where it cannot run here, which CI must not accept.
    fn start() -> Option<Postgres> {
        let dir = tempfile::Builder::new().prefix("refit-pg-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let port = super::free_port();
        let output = Command::new("bash")
            .args([SCRIPT, "start"])
            .arg(dir.path())
            .arg(port.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(77) {
            assert!(std::env::var_os("CI").is_none(), "this is CI, and {said}");
            eprintln!("skipped: {}", said.trim());
            return None;
        }
        assert!(output.status.success(), "{said}");
        let facts = String::from_utf8_lossy(&output.stdout).into_owned();
        let bin = facts.lines().find_map(|line| line.strip_prefix("BIN=")).unwrap().into();
        let server = Postgres { dir, port, bin };
        server.sql("postgres", "CREATE DATABASE ledger");
        Some(server)
    }

    fn sql(&self, database: &str, text: &str) -> String {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-XqAtw",
                "-U",
                "temporal",
                "-d",
                database,
                "-p",
                &self.port.to_string(),
                "-h",
            ])
            .arg(self.dir.path())
            .args(["-c", text])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn version(&self) -> String {
        self.sql("ledger", "SELECT curr_version FROM schema_version")
    }

    /// What the update of this sleep does, once: a line in a table.
    fn effects(&self) -> String {
        self.sql("ledger", "SELECT string_agg(what, ' ' ORDER BY at) FROM effects")
    }

    fn door(&self, address: &str) -> Door {
        Door::to(address, ([127, 0, 0, 1], self.port).into())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = Command::new("bash");
        let _ = stop
            .args([SCRIPT, "stop"])
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .output();
    }
}

/// Two versions; the second takes three seconds and leaves one line, as each of its two segments does.
fn versions(fleet: &Fleet) {
    let write = |version: &str, sql: &str| {
        let dir = fleet.path("play/schema").join(format!("v{version}"));
        std::fs::create_dir_all(&dir).unwrap();
        let manifest = format!(
            r#"{{"CurrVersion":"{version}","MinCompatibleVersion":"1.0","Description":"test","SchemaUpdateCqlFiles":["a.sql"]}}"#
        );
        std::fs::write(dir.join("manifest.json"), manifest).unwrap();
        std::fs::write(dir.join("a.sql"), sql).unwrap();
    };
    let at = "at timestamptz DEFAULT clock_timestamp()";
    write("1.0", &format!("CREATE TABLE effects(what text, {at});\n"));
    write(
        "1.1",
        "INSERT INTO effects VALUES ('begun');\nDO $$ BEGIN PERFORM pg_sleep(3); END $$;\n\
         INSERT INTO effects VALUES ('slept');\nCREATE INDEX CONCURRENTLY what ON effects(what);\n\
         INSERT INTO effects VALUES ('indexed');\n",
    );
}

/// A playbook that runs on h2 and goes through `via`.
fn playbook(fleet: &Fleet, server: &Postgres, host: &str, port: u16, via: &str, to: &str) -> String {
    let password = fleet.path("password");
    std::fs::write(&password, "secret\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!(
        "hosts: h2
databases:
  main:
    engine: postgres
    host: {host}
    port: {port}
    name: ledger
    user: temporal
    password: {{ file: {} }}
    tls: {{ verify: full, ca: {} }}
    via: {via}
stages:
  - name: Update
    steps:
      - id: update
        schema: {{ database: main, dir: schema, to: \"{to}\" }}
",
        password.display(),
        server.dir.path().join("tls/ca.pem").display(),
    );
    fleet.write("schema.yml", &text)
}

fn ready() -> Option<(Fleet, Postgres)> {
    let fleet = Fleet::up(2)?;
    let server = Postgres::start()?;
    versions(&fleet);
    let inventory = fleet.inventory();
    let text = std::fs::read_to_string(&inventory).unwrap();
    std::fs::write(&inventory, format!("{text}\n[door]\nh1\nh2\n")).unwrap();
    Some((fleet, server))
}

fn schema(fleet: &Fleet, verb: &str, playbook: &str) -> crate::fleet::Ended {
    let inventory = fleet.inventory();
    fleet.refit(&["schema", verb, playbook, "-i", &inventory, "--database", "main"])
}

/// The update sleeps inside the database.
fn asleep(server: &Postgres) {
    until("the second version is at work", || {
        server.sql(
            "ledger",
            "SELECT count(*) FROM pg_stat_activity WHERE state='active' AND query LIKE '%pg_sleep(3)%' AND pid<>pg_backend_pid()",
        ) == "1"
    });
}

#[test]
fn a_schema_is_updated_through_a_host_and_tls_is_verified_to_the_name() {
    let Some((fleet, server)) = ready() else { return };
    let door = server.door("127.0.0.1");
    // A group means its first host.
    let good = playbook(&fleet, &server, "localhost", door.port, "door", "1.0");
    schema(&fleet, "status", &good)
        .exits(0)
        .says(&format!("localhost:{} via h1", door.port));
    schema(&fleet, "plan", &good).exits(0).says("CREATE TABLE effects");
    assert_eq!(server.version(), "");
    schema(&fleet, "update", &good).exits(0);
    assert_eq!(server.version(), "1.0");
    door.only_sshd();
    fleet.run(&good, &[]).exits(0);
    fleet.run(&good, &["--check"]).exits(0);
    let inventory = fleet.inventory();
    let seen = fleet.refit(&["preflight", &good, "-i", &inventory]);
    seen.exits(0).says("a way only");
    door.only_sshd();
    // The run was on h2; on h1, which was gone through, nothing is left.
    assert!(fleet.root("h2").join("var/refit").exists());
    assert!(!fleet.root("h1").join("var/refit").exists());

    // Another name, which the certificate does not have.
    let other = server.door("127.0.0.9");
    let wrong = playbook(&fleet, &server, "127.0.0.9", other.port, "h1", "1.1");
    let refused = fleet.run(&wrong, &[]);
    refused
        .exits(1)
        .says("the certificate of 127.0.0.9")
        .says("another name");
    other.only_sshd();
    assert_eq!(server.version(), "1.0");

    // Nothing there, and a name that h1 does not know.
    let free = super::free_port();
    let wrong = playbook(&fleet, &server, "localhost", free, "h1", "1.1");
    let words = format!("nothing listens on localhost:{free} as h1 sees it");
    fleet.run(&wrong, &[]).exits(1).says(&words);
    let wrong = playbook(&fleet, &server, "db.invalid", 5432, "h1", "1.1");
    fleet
        .run(&wrong, &[])
        .exits(1)
        .says("h1 does not know the name db.invalid");
}

#[test]
fn a_way_that_is_not_there_is_said_before_anything_is_touched() {
    let Some((fleet, server)) = ready() else { return };
    let lint = |via: &str| {
        let inventory = fleet.inventory();
        let playbook = playbook(&fleet, &server, "localhost", server.port, via, "1.0");
        fleet.refit(&["lint", &playbook, "-i", &inventory])
    };
    lint("h1").exits(0);
    lint("dor")
        .exits(1)
        .says("schema.yml:11:10")
        .says("via `dor`")
        .says("did you mean");
    lint("\"h*\"").exits(1).says("is a pattern").says("schema.yml:11:10");
    let good = playbook(&fleet, &server, "localhost", server.port, "h1", "1.0");
    fleet.stop("h1");
    let mark = fleet.mark();
    let refused = fleet.run(&good, &[]);
    refused
        .exits(1)
        .says("h1 cannot be reached")
        .says("steps of h2 go through it (`via`)");
    let inventory = fleet.inventory();
    fleet
        .refit(&["preflight", &good, "-i", &inventory])
        .exits(1)
        .says("h1 cannot be reached");
    assert_eq!(fleet.newer_than(&mark), Vec::<String>::new());
    assert_eq!(server.version(), "");
}

#[test]
fn ssh_is_killed_in_the_middle_of_an_update_and_everything_runs_once() {
    let Some((fleet, server)) = ready() else { return };
    let door = server.door("127.0.0.1");
    let playbook = playbook(&fleet, &server, "localhost", door.port, "h1", "1.1");
    let run = fleet.spawn_run(&playbook, &[]);
    asleep(&server);
    let ways = ssh_of(run.id());
    assert_eq!(ways.len(), 2, "one for each host");
    ways.into_iter().for_each(kill);
    finish(run, Instant::now()).exits(0);
    assert_eq!(
        (server.version().as_str(), server.effects().as_str()),
        ("1.1", "begun slept indexed")
    );
    door.only_sshd();
    let run = fleet.last_run();
    assert_eq!(fleet.outcome(&run, "update/update@h2"), "changed");
    fleet.run(&playbook, &[]).exits(0).says_not("changed=1");
}

#[test]
fn a_way_that_stays_away_leaves_an_unknown_that_resume_settles() {
    let Some((fleet, server)) = ready() else { return };
    let door = server.door("127.0.0.1");
    let playbook = playbook(&fleet, &server, "localhost", door.port, "h1", "1.1");
    let run = fleet.spawn_run(&playbook, &[]);
    asleep(&server);
    fleet.stop("h1");
    finish(run, Instant::now())
        .exits(4)
        .says("what became of 1.1/1 is not known")
        .says("h1: ");
    let run = fleet.last_run();
    assert_eq!(fleet.outcome(&run, "update/update@h2"), "unknown");
    // Still away: it stays unknown.
    fleet.refit(&["resume"]).exits(4);
    fleet.start("h1");
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(
        (server.version().as_str(), server.effects().as_str()),
        ("1.1", "begun slept indexed")
    );
}

#[test]
fn a_controller_that_is_killed_with_its_tunnel_is_taken_up() {
    let Some((fleet, server)) = ready() else { return };
    let door = server.door("127.0.0.1");
    let playbook = playbook(&fleet, &server, "localhost", door.port, "h1", "1.1");
    let mut run = fleet.spawn_run(&playbook, &[]);
    asleep(&server);
    kill_tree(run.id());
    run.wait().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(
        (server.version().as_str(), server.effects().as_str()),
        ("1.1", "begun slept indexed")
    );
    door.only_sshd();
}
