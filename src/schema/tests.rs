//! Temporal's real chains on a real PostgreSQL, beside what Temporal's own tool makes of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use indexmap::IndexMap;

use super::*;
use crate::database::lab::{Lab, PASSWORD};
use crate::database::{Database, Engine, Session, Tls, Verify};
use crate::event::{Segment, SegmentState};
use crate::id::HostName;
use crate::job::{BoxFuture, Changing, Done, Failure, Job, Output, Probe, Reading, Tunnel};

pub(super) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/temporal-schema");

fn chain(store: &str) -> PathBuf {
    Path::new(FIXTURES).join("postgresql/v12").join(store).join("versioned")
}

fn expected(store: &str) -> String {
    std::fs::read_to_string(Path::new(FIXTURES).join("expected").join(format!("{store}.txt"))).unwrap()
}

/// Asked before a segment is recorded (false), and after; what it fails with ends the attempt there.
pub(super) type Crash = dyn Fn(&Segment, bool) -> Result<(), Failure> + Send + Sync;

/// This machine as the host, and a list as the journal.
pub(super) struct Host {
    pub(super) tag: String,
    pub(super) segments: Mutex<Vec<Segment>>,
    pub(super) shown: Mutex<Vec<String>>,
    pub(super) jobs: Mutex<IndexMap<String, Output>>,
    pub(super) crash: Box<Crash>,
    pub(super) cancelled: tokio::sync::Semaphore,
}

impl Host {
    pub(super) fn new(tag: &str) -> Host {
        Host {
            tag: tag.into(),
            segments: Mutex::default(),
            shown: Mutex::default(),
            jobs: Mutex::default(),
            crash: Box::new(|_, _| Ok(())),
            cancelled: tokio::sync::Semaphore::new(0),
        }
    }

    pub(super) fn shown(&self, words: &str) -> bool {
        self.shown.lock().unwrap().iter().any(|line| line.contains(words))
    }

    pub(super) async fn until(&self, words: &str) {
        for _ in 0..600 {
            if self.shown(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{words:?} was never shown: {:?}", self.shown.lock().unwrap());
    }
}

async fn sh(script: &str) -> Output {
    let output = tokio::process::Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    Output {
        rc: output.status.code().unwrap_or(255),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Reading for Host {
    fn probe<'a>(&'a self, probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async { Ok(sh(&probe.script).await) })
    }
    fn tunnel<'a>(&'a self, _: Option<&'a HostName>, _: &'a str, _: u16) -> BoxFuture<'a, Result<Tunnel, Failure>> {
        Box::pin(async { Ok(Tunnel::direct()) })
    }
    fn progress(&self, text: &str) {
        self.shown.lock().unwrap().push(text.to_owned());
    }
    fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.cancelled.acquire().await.unwrap().forget();
        })
    }
    fn terminal(&self) -> bool {
        false
    }
}

impl Changing for Host {
    fn job<'a>(&'a self, suffix: &'a str, job: &'a Job) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async move {
            let before = self.jobs.lock().unwrap().get(suffix).cloned();
            match before {
                Some(output) => Ok(output),
                None => {
                    let output = sh(&job.script).await;
                    self.jobs.lock().unwrap().insert(suffix.to_owned(), output.clone());
                    Ok(output)
                }
            }
        })
    }
    fn record<'a>(&'a self, segment: Segment) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            (self.crash)(&segment, false)?;
            self.segments.lock().unwrap().push(segment.clone());
            (self.crash)(&segment, true)
        })
    }
    fn segments(&self) -> Vec<Segment> {
        self.segments.lock().unwrap().clone()
    }
    fn tag(&self) -> &str {
        &self.tag
    }
    fn reading(&self) -> &dyn Reading {
        self
    }
}

pub(super) fn fails(outcome: Result<Done, Failure>) -> Failure {
    match outcome {
        Ok(done) => panic!("went through: {done:?}"),
        Err(failure) => failure,
    }
}

#[tokio::test]
#[ignore = "makes the fixtures; needs Temporal's own tool"]
async fn upstream_makes_the_fixtures() {
    let tool = std::env::var("REFIT_TEMPORAL_SQL_TOOL").expect("the path of temporal-sql-tool");
    let lab = Lab::start().unwrap();
    for store in ["temporal", "visibility"] {
        let name = format!("upstream_{store}");
        lab.create(&name);
        let run = |args: &[&str]| {
            let output = Command::new(&tool)
                .args([
                    "--ep",
                    "localhost",
                    "-p",
                    &lab.port.to_string(),
                    "-u",
                    "temporal",
                    "--pl",
                    "postgres12",
                ])
                .args(["--db", &name, "--tls", "--tls-ca-file"])
                .arg(lab.path().join("ca.pem"))
                .args(args)
                .env("SQL_PASSWORD", PASSWORD)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["setup-schema", "-v", "0.0"]);
        run(&["update-schema", "-d", chain(store).to_str().unwrap()]);
        // The tool names the database in its row, as we do.
        let dump = lab.dump(&name);
        std::fs::create_dir_all(Path::new(FIXTURES).join("expected")).unwrap();
        std::fs::write(Path::new(FIXTURES).join("expected").join(format!("{store}.txt")), dump).unwrap();
    }
}

#[tokio::test]
async fn temporals_chains_end_as_its_own_tool_ends_them() {
    let Some(lab) = Lab::start() else { return };
    for (store, newest, count) in [("temporal", "1.19", 20), ("visibility", "1.14", 15)] {
        let name = format!("whole_{store}");
        let database = lab.over_tls(&lab.create(&name));
        let plan = plan(&database, &chain(store), None, None).await.unwrap();
        assert!(plan.setup && plan.applied().len() == count, "{plan}");
        let host = Host::new("run.unit.1");
        let done = apply(&database, &chain(store), Some(newest), &host).await.unwrap();
        assert!(done.changed);
        assert_eq!(done.result["from"], "0.0");
        assert_eq!(done.result["to"], newest);
        assert_eq!(done.result["applied"].as_array().unwrap().len(), count);
        pretty(&lab.dump(&name), &expected(store));

        let again = super::plan(&database, &chain(store), Some(newest), None).await.unwrap();
        assert!(again.done(), "{again}");
        let again = apply(&database, &chain(store), Some(newest), &Host::new("run.unit.2"))
            .await
            .unwrap();
        assert!(!again.changed && again.result["applied"].as_array().unwrap().is_empty());
        let status = status(&database, None).await.unwrap();
        assert_eq!(status.version.unwrap().as_str(), newest);
        assert_eq!(status.history.len(), count + 1);
        assert_eq!(tagged(&lab, &name), "0");
    }
}

/// Sessions of ours that are left.
fn tagged(lab: &Lab, name: &str) -> String {
    // A session ends a moment after its client.
    for _ in 0..40 {
        let count = lab.sql(
            "postgres",
            &format!("SELECT count(*) FROM pg_stat_activity WHERE datname='{name}' AND application_name LIKE 'refit%'"),
        );
        if count == "0" {
            return count;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    "some".into()
}

pub(super) fn pretty(got: &str, expected: &str) {
    if got != expected {
        let diff = similar::TextDiff::from_lines(expected, got);
        panic!("{}", diff.unified_diff().header("expected", "got"));
    }
}

#[tokio::test]
async fn the_plan_says_what_is_heavy() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("planned");
    apply(&database, &chain("visibility"), Some("1.9"), &Host::new("run.unit.1"))
        .await
        .unwrap();
    let plan = plan(&database, &chain("visibility"), Some("1.14"), None).await.unwrap();
    let text = plan.to_string();
    for words in [
        "1.9 to 1.14",
        "executions_visibility: an unknown number of rows",
        "1.13/1 (one transaction)",
        "rewrites the table, and nobody reads or writes it meanwhile",
        "1.13/2 (by itself)",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS by_temporal_reported_problems",
        "1.14/1 (one transaction, with the version)",
        "blocks writes to the table while it builds",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    let stop = super::plan(&database, &chain("visibility"), Some("1.11"), None)
        .await
        .unwrap();
    assert!(
        stop.to_string().contains("version 1.11 changes nothing by itself"),
        "{stop}"
    );
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("unfit");
    let refused = async |dir: &Path, to: &str| match plan(&database, dir, Some(to), None).await {
        Ok(plan) => panic!("{plan}"),
        Err(e) => e.to_string(),
    };
    let store = chain("temporal");
    assert!(
        refused(&store, "1.99")
            .await
            .contains("no version 1.99; its newest is 1.19")
    );
    lab.sql("unfit", "CREATE TABLE something(i int)");
    assert!(
        refused(&store, "1.19")
            .await
            .contains("no schema_version, so its version is not known")
    );
    lab.sql("unfit", "DROP TABLE something");

    apply(&database, &store, Some("1.5"), &Host::new("run.unit.1"))
        .await
        .unwrap();
    assert!(refused(&store, "1.4").await.contains("at 1.5, newer than 1.4"));
    let text = refused(&chain("visibility"), "1.14").await;
    assert!(
        text.contains("is for another database: its tables (executions_visibility)"),
        "{text}"
    );

    let copy = tempfile::tempdir().unwrap();
    Command::new("cp")
        .arg("-r")
        .arg(&store)
        .arg(copy.path().join("v"))
        .status()
        .unwrap();
    let copied = copy.path().join("v");
    std::fs::remove_dir_all(copied.join("v1.7")).unwrap();
    assert!(refused(&copied, "1.19").await.contains("after 1.6"));
    std::fs::OpenOptions::new()
        .append(true)
        .open(copied.join("v1.3/manifest.json"))
        .unwrap()
        .write_all(b"\n")
        .unwrap();
    assert!(
        refused(&copied, "1.6")
            .await
            .contains("version 1.3 was applied from another manifest")
    );
    std::fs::write(copied.join("v1.6/queue_metadata.sql"), "").ok();

    lab.sql("unfit", "UPDATE schema_version SET db_name='old_name'");
    let text = refused(&store, "1.19").await;
    assert!(text.contains("a row for `old_name` and none for `unfit`"), "{text}");
}

#[tokio::test]
async fn a_version_that_fails_leaves_nothing_of_itself() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("failing");
    let dir = tempfile::tempdir().unwrap();
    let write = |version: &str, sql: &str| {
        let folder = dir.path().join(format!("v{version}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.sql"), sql).unwrap();
        let manifest = format!(
            r#"{{"CurrVersion":"{version}","MinCompatibleVersion":"1.0","Description":"it's","SchemaUpdateCqlFiles":["a.sql"]}}"#
        );
        std::fs::write(folder.join("manifest.json"), manifest).unwrap();
    };
    write("1.0", "CREATE TABLE a(i int); INSERT INTO a VALUES (1), (1);");
    write("1.1", "CREATE TABLE b(i int); CREATE UNIQUE INDEX a_i ON a(i);");
    let failure = fails(apply(&database, dir.path(), None, &Host::new("run.unit.1")).await);
    assert!(
        failure.message.contains("1.1/1 was rolled back") && failure.message.contains("could not create unique index")
    );
    assert!(!failure.unknown);
    assert_eq!(
        lab.sql(
            "failing",
            "SELECT curr_version, to_regclass('b') IS NULL FROM schema_version"
        ),
        "1.0|t"
    );

    // Outside of a transaction the failed index stays, invalid, and the next attempt builds it anew.
    write(
        "1.1",
        "CREATE TABLE b(i int); CREATE UNIQUE INDEX CONCURRENTLY a_i ON a(i);",
    );
    let host = Host::new("run.unit.2");
    let failure = fails(apply(&database, dir.path(), None, &host).await);
    assert!(
        failure.message.contains("could not create unique index"),
        "{}",
        failure.message
    );
    assert_eq!(
        lab.sql(
            "failing",
            "SELECT indisvalid FROM pg_index WHERE indexrelid='a_i'::regclass"
        ),
        "f"
    );
    lab.sql("failing", "DELETE FROM a WHERE ctid=(SELECT min(ctid) FROM a)");
    let done = apply(&database, dir.path(), None, &host).await.unwrap();
    assert_eq!(done.result["applied"], serde_json::json!(["1.1"]));
    assert_eq!(
        lab.sql(
            "failing",
            "SELECT indisvalid FROM pg_index WHERE indexrelid='a_i'::regclass"
        ),
        "t"
    );
    assert_eq!(
        lab.sql(
            "failing",
            "SELECT description FROM schema_update_history WHERE new_version='1.1'"
        ),
        "it's"
    );
}

const CHILD: &str = "REFIT_TEST_SCHEMA_CHILD";

/// An update in a process of its own. `kill` says where it kills itself, once at each such place: `work` after each
/// intent and before each end is recorded, `end` after each end is recorded. The journal is a file of JSON lines.
#[tokio::test]
#[ignore = "started by the tests below"]
async fn child_that_applies() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let task: serde_json::Value = serde_json::from_str(&text).unwrap();
    let field = |name: &str| task[name].as_str().unwrap().to_owned();
    let database = socket(&field("host"), task["port"].as_u64().unwrap() as u16, &field("name"));
    let journal = PathBuf::from(field("journal"));
    let kills = journal.with_extension("kills");
    let mut host = Host::new(&field("tag"));
    let lines = std::fs::read_to_string(&journal).unwrap_or_default();
    host.segments = Mutex::new(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
    let kill = field("kill");
    host.crash = Box::new(move |segment, recorded| {
        let append = |path: &Path, line: String| {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .unwrap();
            writeln!(file, "{line}").unwrap();
        };
        if recorded {
            append(&journal, serde_json::to_string(segment).unwrap());
        }
        let place = format!("{} {:?} {recorded}", segment.name, segment.state);
        let here = match (kill.as_str(), segment.state) {
            ("work", SegmentState::Intent) => recorded,
            ("work", SegmentState::Done) => !recorded,
            ("end", SegmentState::Done) => recorded,
            _ => false,
        };
        let known = std::fs::read_to_string(&kills).unwrap_or_default();
        if here && !known.lines().any(|line| line == place) {
            append(&kills, place);
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
        Ok(())
    });
    apply(&database, Path::new(&field("dir")), Some(&field("to")), &host)
        .await
        .unwrap();
}

fn socket(host: &str, port: u16, name: &str) -> Database {
    Database {
        label: "main".into(),
        engine: Engine::Postgres,
        host: host.into(),
        port,
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

fn child(database: &Database, dir: &Path, to: &str, journal: &Path, tag: &str, kill: &str) -> Command {
    let task = serde_json::json!({
        "host": database.host, "port": database.port, "name": database.name, "dir": dir, "to": to,
        "journal": journal, "tag": tag, "kill": kill,
    });
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "schema::tests::child_that_applies",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD, task.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn killed_at_every_boundary_it_ends_the_same() {
    let Some(lab) = Lab::start() else { return };
    for (store, to) in [("temporal", "1.19"), ("visibility", "1.14")] {
        for (kill, times) in [("work", 2), ("end", 1)] {
            let name = format!("killed_{store}_{kill}");
            let database = lab.create(&name);
            let plan = plan(&database, &chain(store), Some(to), None).await.unwrap();
            let segments = 1 + plan.pending.iter().map(|p| p.parts.len()).sum::<usize>();
            let folder = tempfile::tempdir().unwrap();
            let journal = folder.path().join("journal");
            let mut kills = 0;
            loop {
                let tag = format!("run.unit.{}", kills + 1);
                let output = child(&database, &chain(store), to, &journal, &tag, kill)
                    .output()
                    .unwrap();
                if output.status.success() {
                    break;
                }
                let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
                assert_eq!(signal, Some(9), "{}", String::from_utf8_lossy(&output.stderr));
                kills += 1;
            }
            assert_eq!(kills, segments * times);
            pretty(&lab.dump(&name), &expected(store));
            assert_eq!(
                lab.sql(&name, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"),
                "0"
            );
        }
    }
}

/// Statements that would show if they ran twice, around indexes that no transaction holds; killed at every boundary,
/// and while each transaction runs.
#[tokio::test]
async fn killed_anywhere_every_statement_runs_once() {
    let Some(lab) = Lab::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("v1.0")).unwrap();
    let sql = "CREATE TABLE log(t text); INSERT INTO log VALUES ('one'); DO $$ BEGIN PERFORM pg_sleep(0.4); END $$;
        CREATE INDEX CONCURRENTLY log_one ON log(t);
        INSERT INTO log VALUES ('two'); DO $$ BEGIN PERFORM pg_sleep(0.4); END $$;
        CREATE INDEX CONCURRENTLY log_two ON log(t); CREATE INDEX CONCURRENTLY log_three ON log(t);
        DROP INDEX CONCURRENTLY log_one; INSERT INTO log VALUES ('three');";
    std::fs::write(dir.path().join("v1.0/a.sql"), sql).unwrap();
    std::fs::write(
        dir.path().join("v1.0/manifest.json"),
        r#"{"CurrVersion":"1.0","MinCompatibleVersion":"1.0","Description":"d","SchemaUpdateCqlFiles":["a.sql"]}"#,
    )
    .unwrap();
    for (kill, after) in [
        ("work", None),
        ("end", None),
        ("", Some(150)),
        ("", Some(450)),
        ("", Some(700)),
    ] {
        let name = format!("once_{kill}_{}", after.unwrap_or(0));
        let database = lab.create(&name);
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        let mut kills = 0;
        loop {
            let tag = format!("run.unit.{}", kills + 1);
            let mut process = child(&database, dir.path(), "1.0", &journal, &tag, kill)
                .spawn()
                .unwrap();
            if let (Some(after), 0) = (after, kills) {
                while !journal.exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                std::thread::sleep(Duration::from_millis(after));
                process.kill().unwrap();
            }
            let output = process.wait_with_output().unwrap();
            if output.status.success() {
                break;
            }
            let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
            assert_eq!(signal, Some(9), "{}", String::from_utf8_lossy(&output.stderr));
            kills += 1;
        }
        assert!(kills > 0);
        let state = lab.sql(
            &name,
            "SELECT string_agg(t, ' ' ORDER BY ctid), (SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY 1)
             FROM pg_index WHERE indrelid='log'::regclass AND indisvalid) FROM log",
        );
        assert_eq!(state, "one two three|log_two log_three", "{kill} {after:?}");
        assert_eq!(lab.sql(&name, "SELECT count(*) FROM schema_update_history"), "2");
    }
}

/// Opens a transaction that a concurrent index has to wait for, and returns the process that holds it.
fn hold(lab: &Lab, name: &str, sql: &str) -> std::process::Child {
    let mut holder = lab
        .client("psql")
        .args(["-XqAt", "-d", name, "-U", "temporal"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(holder.stdin.as_mut().unwrap(), "BEGIN; {sql}; SELECT 'held';").unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(holder.stdout.as_mut().unwrap());
    while !line.contains("held") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0);
    }
    holder
}

fn release(mut holder: std::process::Child) {
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[tokio::test]
async fn killed_inside_an_index_the_database_finishes_and_the_next_waits() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("inside");
    apply(&database, &chain("visibility"), Some("1.12"), &Host::new("old.unit.1"))
        .await
        .unwrap();
    // Takes no lock that the ALTER needs, but holds a snapshot that every concurrent index waits for.
    let holder = hold(
        &lab,
        "inside",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM schema_version",
    );
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let mut process = child(&database, &chain("visibility"), "1.14", &journal, "run.unit.1", "")
        .spawn()
        .unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%'";
    for i in 0.. {
        if lab.sql("inside", waiting) != "0" {
            break;
        }
        assert!(i < 200, "no index was begun");
        std::thread::sleep(Duration::from_millis(50));
    }
    process.kill().unwrap();
    process.wait().unwrap();

    let mut host = Host::new("run.unit.2");
    let lines = std::fs::read_to_string(&journal).unwrap();
    host.segments = Mutex::new(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
    assert!(host.segments().last().unwrap().state == SegmentState::Intent);
    let apply = async {
        let settled = settle(&database, &chain("visibility"), Some("1.14"), &host)
            .await
            .unwrap();
        assert!(settled.is_none());
        apply(&database, &chain("visibility"), Some("1.14"), &host)
            .await
            .unwrap()
    };
    let let_go = async {
        host.until("an earlier session of this step is still there").await;
        release(holder);
    };
    let (done, ()) = tokio::join!(apply, let_go);
    assert_eq!(done.result["from"], "1.12");
    pretty(&lab.dump("inside"), &expected("visibility"));
    assert_eq!(
        lab.sql("inside", "SELECT count(*) FROM pg_index WHERE NOT indisvalid"),
        "0"
    );
}

#[tokio::test]
async fn a_session_that_is_ended_in_the_middle_is_taken_up() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("ended");
    apply(&database, &chain("visibility"), Some("1.12"), &Host::new("old.unit.1"))
        .await
        .unwrap();
    let holder = hold(
        &lab,
        "ended",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM schema_version",
    );
    let host = Host::new("run.unit.1");
    let dir = chain("visibility");
    let apply = apply(&database, &dir, Some("1.14"), &host);
    let terminate = async {
        host.until("waiting for").await;
        let killed = lab.sql(
            "ended",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name='refit:run.unit.1' AND datname=current_database()",
        );
        assert_eq!(killed, "1");
        assert_eq!(
            lab.sql("ended", "SELECT count(*) FROM pg_index WHERE NOT indisvalid"),
            "1"
        );
        release(holder);
    };
    let (done, ()) = tokio::join!(apply, terminate);
    done.unwrap();
    assert!(host.shown("broke"));
    assert!(host.shown("which is invalid"));
    pretty(&lab.dump("ended"), &expected("visibility"));
    assert_eq!(
        lab.sql("ended", "SELECT count(*) FROM pg_index WHERE NOT indisvalid"),
        "0"
    );
}

#[tokio::test]
async fn a_lock_is_waited_for_in_tries_and_its_holder_shown() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("locked");
    apply(&database, &chain("visibility"), Some("1.13"), &Host::new("old.unit.1"))
        .await
        .unwrap();
    let holder = hold(&lab, "locked", "SELECT count(*) FROM executions_visibility");
    let host = Host::new("run.unit.1");
    let dir = chain("visibility");
    let apply = apply(&database, &dir, Some("1.14"), &host);
    let let_go = async {
        host.until("waits for a lock").await;
        assert!(
            host.shown("behind pid") && host.shown("SELECT 'held'"),
            "{:?}",
            host.shown.lock()
        );
        // Between the tries nobody is kept out.
        lab.sql(
            "locked",
            "SET lock_timeout=8000; SELECT count(*) FROM executions_visibility",
        );
        release(holder);
    };
    let (done, ()) = tokio::join!(apply, let_go);
    done.unwrap();
    pretty(&lab.dump("locked"), &expected("visibility"));
}

#[tokio::test]
async fn two_at_once_are_one_after_the_other() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("twice");
    let dir = chain("temporal");
    let (one, two) = (Host::new("a.unit.1"), Host::new("b.unit.1"));
    let (first, second) = tokio::join!(
        apply(&database, &dir, Some("1.19"), &one),
        apply(&database, &dir, Some("1.19"), &two)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.changed != second.changed);
    assert!(one.shown("another schema update is at work") || two.shown("another schema update is at work"));
    pretty(&lab.dump("twice"), &expected("temporal"));
}

#[tokio::test]
async fn a_running_statement_can_be_left_or_cancelled() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("leave");
    apply(&database, &chain("visibility"), Some("1.13"), &Host::new("old.unit.1"))
        .await
        .unwrap();
    let dir = chain("visibility");
    let holder = hold(&lab, "leave", "SELECT count(*) FROM executions_visibility");
    let host = Host::new("run.unit.1");
    let stop = async {
        host.until("behind pid").await;
        assert_eq!(cancel(&database, "run.unit.1", host.reading()).await.unwrap(), 1);
    };
    let (failure, ()) = tokio::join!(apply(&database, &dir, Some("1.14"), &host), stop);
    let failure = fails(failure);
    assert!(failure.message.contains("canceling statement due to user request") && !failure.unknown);

    let host = Host::new("run.unit.2");
    let leave = async {
        host.until("behind pid").await;
        host.cancelled.add_permits(1);
    };
    let (failure, ()) = tokio::join!(apply(&database, &dir, Some("1.14"), &host), leave);
    let failure = fails(failure);
    assert!(
        failure.unknown && failure.message.contains("goes on in the database"),
        "{}",
        failure.message
    );
    release(holder);
    let settled = settle(&database, &dir, Some("1.14"), &host).await.unwrap();
    if settled.is_none() {
        apply(&database, &dir, Some("1.14"), &Host::new("run.unit.3"))
            .await
            .unwrap();
    }
    pretty(&lab.dump("leave"), &expected("visibility"));
}

/// What no transaction holds and nothing shows: interrupted, it is a person's.
#[tokio::test]
async fn a_blind_statement_that_was_interrupted_is_unknown() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("blind");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("v1.0")).unwrap();
    std::fs::write(dir.path().join("v1.0/a.sql"), "CREATE DATABASE blind_made").unwrap();
    std::fs::write(
        dir.path().join("v1.0/manifest.json"),
        r#"{"CurrVersion":"1.0","MinCompatibleVersion":"1.0","Description":"d","SchemaUpdateCqlFiles":["a.sql"]}"#,
    )
    .unwrap();
    let plan = plan(&database, dir.path(), None, None).await.unwrap();
    assert!(plan.to_string().contains("unknown if interrupted"), "{plan}");
    let host = Host::new("run.unit.1");
    host.segments.lock().unwrap().push(Segment {
        name: "1.0/1".into(),
        digest: String::new(),
        state: SegmentState::Intent,
        text: String::new(),
    });
    let failure = fails(apply(&database, dir.path(), None, &host).await);
    assert!(
        failure.unknown && failure.message.contains("CREATE DATABASE blind_made"),
        "{}",
        failure.message
    );
    host.segments.lock().unwrap().clear();
    apply(&database, dir.path(), None, &host).await.unwrap();
    assert_eq!(lab.sql("blind_made", "SELECT 1"), "1");
}

fn sqlite(path: &Path) -> Database {
    Database {
        engine: Engine::Sqlite,
        name: String::new(),
        via: None,
        tunnel: None,
        path: path.to_str().unwrap().into(),
        ..socket("", 0, "")
    }
}

fn ask(path: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .arg("-batch")
        .arg(path)
        .arg(sql)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn sqlite_goes_version_by_version() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("it's versioned");
    let write = |version: &str, sql: &str| {
        let folder = dir.join(format!("v{version}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.sql"), sql).unwrap();
        let manifest = format!(
            r#"{{"CurrVersion":"{version}","MinCompatibleVersion":"0.1","Description":"it's","SchemaUpdateCqlFiles":["a.sql"]}}"#
        );
        std::fs::write(folder.join("manifest.json"), manifest).unwrap();
    };
    write("0.1", "CREATE TABLE Jobs(i INT); INSERT INTO Jobs VALUES (1);");
    write(
        "0.2",
        "CREATE TABLE log(t TEXT); CREATE TRIGGER grown AFTER INSERT ON Jobs BEGIN INSERT INTO log VALUES ('REFIT_SQL
'); END; INSERT INTO Jobs VALUES (2);",
    );
    let path = folder.path().join("a 'quoted' name.db");
    let database = sqlite(&path);
    let host = Host::new("run.unit.1");
    let reading: Option<&dyn Reading> = Some(&host);
    let plan = plan(&database, &dir, None, reading).await.unwrap();
    assert_eq!(
        (plan.setup, plan.applied()),
        (true, vec!["0.1".to_owned(), "0.2".to_owned()])
    );
    assert!(!path.exists());
    let done = apply(&database, &dir, Some("0.1"), &host).await.unwrap();
    assert_eq!(
        done.result,
        serde_json::json!({"from": "0.0", "to": "0.1", "applied": ["0.1"]})
    );
    let host = Host::new("run.unit.2");
    let done = apply(&database, &dir, Some("0.2"), &host).await.unwrap();
    assert_eq!(
        done.result,
        serde_json::json!({"from": "0.1", "to": "0.2", "applied": ["0.2"]})
    );
    assert_eq!(ask(&path, "SELECT t FROM log"), "REFIT_SQL");
    assert_eq!(
        ask(
            &path,
            "SELECT db_name, curr_version, min_compatible_version FROM schema_version"
        ),
        "a 'quoted' name|0.2|0.1"
    );
    assert_eq!(
        ask(
            &path,
            "SELECT old_version, new_version, length(manifest_md5), description, year > 2000 FROM schema_update_history ORDER BY update_time"
        ),
        "0|0.0|0|initial version|1\n0.0|0.1|32|it's|1\n0.1|0.2|32|it's|1"
    );
    let again = apply(&database, &dir, None, &Host::new("run.unit.3")).await.unwrap();
    assert!(!again.changed);

    // A version that fails is rolled back whole, and so is one whose database moved on meanwhile.
    write("0.3", "CREATE TABLE late(i INT); INSERT INTO nowhere VALUES (1);");
    let host = Host::new("run.unit.4");
    let failure = fails(apply(&database, &dir, None, &host).await);
    assert!(
        failure.message.contains("no such table: nowhere"),
        "{}",
        failure.message
    );
    assert_eq!(ask(&path, "SELECT count(*) FROM sqlite_master WHERE name='late'"), "0");
    write("0.3", "CREATE TABLE late(i INT);");
    let moved = Host {
        crash: Box::new({
            let path = path.clone();
            move |segment, recorded| {
                if recorded && segment.state == SegmentState::Intent {
                    ask(&path, "UPDATE schema_version SET curr_version='0.25'");
                }
                Ok(())
            }
        }),
        ..Host::new("run.unit.5")
    };
    let failure = fails(apply(&database, &dir, None, &moved).await);
    assert!(
        failure.message.contains("the version is not 0.2 any more"),
        "{}",
        failure.message
    );
    ask(&path, "UPDATE schema_version SET curr_version='0.2'");
    apply(&database, &dir, None, &Host::new("run.unit.6")).await.unwrap();
    let status = status(&database, reading).await.unwrap();
    assert_eq!(status.version.unwrap().as_str(), "0.3");
}

#[tokio::test]
async fn sqlite_trouble_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new("run.unit.1");
    let reading: Option<&dyn Reading> = Some(&host);
    let words = async |path: &Path| status(&sqlite(path), reading).await.unwrap_err().to_string();
    assert!(words(&folder.path().join("no/such.db")).await.contains("the folder of"));
    let text = folder.path().join("text.db");
    std::fs::write(&text, "this is not a database, by any means at all".repeat(20)).unwrap();
    assert!(words(&text).await.contains("file is not a database"));
    let other = folder.path().join("other.db");
    ask(&other, "CREATE TABLE x(i)");
    assert!(words(&other).await.contains("no schema_version"));
}

/// The session behind `Database::open` is the only thing that names a tag: PostgreSQL cuts longer ones.
#[test]
fn a_job_id_fits_into_a_tag() {
    let run = crate::id::RunId::fresh();
    let unit = crate::id::Unit {
        stage: "s".into(),
        phase: crate::id::Phase::Step,
        step: "s".into(),
        host: crate::id::HostName::new("h").unwrap(),
        item: None,
    };
    let job = crate::id::JobId::new(&run, &unit, 999);
    assert!(format!("refit:{job}").len() < 64);
}

#[allow(dead_code)]
fn sessions_are_send(session: Session) -> impl Send {
    session
}
