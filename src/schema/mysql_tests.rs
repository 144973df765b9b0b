//! Temporal's real chains on a real MySQL, beside what Temporal's own tool makes of them. Few tests, since each may need a
//! server of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::layout::Layout;
use super::tests::{FIXTURES, Host, fails, pretty};
use super::*;
use crate::database::mysql_lab::{MysqlLab, PASSWORD};
use crate::database::{Database, Engine, Product, Server};
use crate::event::{Segment, SegmentState};
use crate::job::{Changing, Failure};

fn chain(store: &str) -> PathBuf {
    Path::new(FIXTURES).join("mysql/v8").join(store).join("versioned")
}

fn expected(store: &str) -> String {
    let path = Path::new(FIXTURES).join("expected").join(format!("mysql-{store}.txt"));
    std::fs::read_to_string(path).unwrap()
}

fn tool(program: &Path, lab: &MysqlLab, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args([
            "--ep",
            "localhost",
            "-p",
            &lab.fact("PORT"),
            "-u",
            "temporal",
            "--pl",
            "mysql8",
        ])
        .args(["--db", name, "--tls", "--tls-ca-file"])
        .arg(lab.tls("ca.pem"))
        .args(arguments)
        .env("SQL_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
#[ignore = "makes the fixtures; needs Temporal's own tool"]
async fn upstream_makes_the_mysql_fixtures() {
    let program = PathBuf::from(std::env::var("REFIT_TEMPORAL_SQL_TOOL").expect("the path of temporal-sql-tool"));
    let lab = MysqlLab::start().unwrap();
    for store in ["temporal", "visibility"] {
        let name = format!("upstream_{store}");
        lab.create(&name);
        for arguments in [
            &["setup-schema", "-v", "0.0"][..],
            &["update-schema", "-d", chain(store).to_str().unwrap()],
        ] {
            let output = tool(&program, &lab, &name, arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let path = Path::new(FIXTURES).join("expected").join(format!("mysql-{store}.txt"));
        std::fs::write(path, lab.dump(&name)).unwrap();
    }
}

/// Every statement of Temporal's chains can be looked up: none is unknown after a crash.
#[test]
fn all_of_temporals_statements_are_in_the_closed_list() {
    let mut count = 0;
    for store in ["temporal", "visibility"] {
        let layout = Layout::read(&chain(store), Engine::Mysql).unwrap();
        for step in &layout.versions {
            for statement in &step.statements {
                let known = statement.effects.as_ref().is_some_and(|effects| !effects.is_empty());
                assert!(known, "{} {}", step.version, statement.text);
                count += 1;
            }
        }
    }
    assert_eq!(count, 201);
}

#[test]
fn servers_that_cannot_hold_a_schema_are_named() {
    let server = |version: &str| Server::new(Engine::Mysql, version);
    assert_eq!(server("10.11.18-MariaDB-0+deb12u1").product, Product::Mariadb);
    let default = Layout::read(&chain("temporal"), Engine::Mysql).unwrap();
    let visibility = Layout::read(&chain("visibility"), Engine::Mysql).unwrap();
    let fit = |version: &str, layout: &Layout, to: &str| {
        use super::executor::Dialect;
        super::mysql::Mysql::fit(&server(version), layout, to)
            .err()
            .unwrap_or_default()
    };
    for version in ["8.0.19", "8.0.31", "8.4.2", "9.7.4"] {
        assert_eq!(fit(version, &visibility, "1.14"), "", "{version}");
    }
    assert_eq!(fit("8.0.15", &default, "1.19"), "");
    assert_eq!(fit("10.11.18-MariaDB", &default, "1.19"), "");
    assert_eq!(fit("10.11.18-MariaDB", &visibility, "1.1"), "");
    for (version, layout, to, words) in [
        (
            "8.0.18",
            &visibility,
            "1.14",
            "too old for this schema: version 1.2 has JSON paths by `->`; Temporal asks for 8.0.19",
        ),
        ("5.7.44", &default, "1.19", "8.0 and later do"),
        ("10.3.39-MariaDB", &default, "1.19", "10.6 and later do"),
        (
            "10.11.18-MariaDB",
            &visibility,
            "1.14",
            "version 1.2 has JSON paths by `->`, which only MySQL knows",
        ),
    ] {
        let text = fit(version, layout, to);
        assert!(text.contains(words), "{version}: {text}");
    }
}

#[tokio::test]
async fn temporals_chains_end_on_mysql_as_its_own_tool_ends_them() {
    let Some(lab) = MysqlLab::start() else { return };
    for (store, newest, count) in [("temporal", "1.19", 20), ("visibility", "1.14", 15)] {
        let name = format!("whole_{store}");
        let database = lab.over_tls(&lab.create(&name));
        let plan = plan(&database, &chain(store), None, None).await.unwrap();
        assert!(plan.setup && plan.applied().len() == count, "{plan}");
        let done = apply(&database, &chain(store), Some(newest), &Host::new("run.unit.1"))
            .await
            .unwrap();
        assert_eq!(
            (done.changed, &done.result["from"], &done.result["to"]),
            (true, &"0.0".into(), &newest.into())
        );
        assert_eq!(done.result["applied"].as_array().unwrap().len(), count);
        pretty(&lab.dump(&name), &expected(store));

        let again = super::plan(&database, &chain(store), Some(newest), None).await.unwrap();
        assert!(again.done(), "{again}");
        let again = apply(&database, &chain(store), Some(newest), &Host::new("run.unit.2"))
            .await
            .unwrap();
        assert!(!again.changed && again.result["applied"].as_array().unwrap().is_empty());
        let status = status(&database, None).await.unwrap();
        assert_eq!(status.server, "MySQL 8.0.31");
        assert_eq!(status.version.unwrap().as_str(), newest);
        assert_eq!(status.history.len(), count + 1);
        // Sessions of ours, and their locks, are gone.
        assert_eq!(lab.sql("mysql", "SELECT IS_USED_LOCK('refit:run.unit') IS NULL"), "1");
    }
    let text = plan(&lab.create("planned"), &chain("visibility"), Some("1.2"), None)
        .await
        .unwrap()
        .to_string();
    for words in [
        "1.2/1 (by itself)",
        "! copies the table, and nobody writes it meanwhile",
        "! nobody writes the table while it builds",
        "1.0/8 (one transaction, with the version)",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    let visibility = lab.create("sized");
    apply(&visibility, &chain("visibility"), Some("1.9"), &Host::new("run.unit.3"))
        .await
        .unwrap();
    let text = plan(&visibility, &chain("visibility"), Some("1.14"), None)
        .await
        .unwrap()
        .to_string();
    for words in [
        "1.9 to 1.14",
        "executions_visibility: about 0 rows, 1 MB",
        "SQL does not tell",
        "copies the table where it has indexes on expressions",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    let wrong = plan(&visibility, &chain("temporal"), Some("1.19"), None)
        .await
        .unwrap_err();
    assert!(wrong.to_string().contains("is for another database"), "{wrong}");
}

/// Ends the attempt once at each place: after each intent, before each end is recorded, and after.
fn once_at_every_place(
    met: &Arc<Mutex<Vec<String>>>,
    places: &'static [(SegmentState, bool)],
) -> Box<super::tests::Crash> {
    let met = Arc::clone(met);
    Box::new(move |segment: &Segment, recorded| {
        let place = format!("{} {:?} {recorded}", segment.name, segment.state);
        let mut met = met.lock().unwrap();
        if places.contains(&(segment.state, recorded)) && !met.contains(&place) {
            met.push(place);
            return Err(Failure::new("crash"));
        }
        Ok(())
    })
}

/// Before a statement, and between it and its record: what is found done is not recorded any more.
const PLACES: &[(SegmentState, bool)] = &[(SegmentState::Intent, true), (SegmentState::Done, false)];
/// After its record.
const RECORDED: &[(SegmentState, bool)] = &[(SegmentState::Done, true)];

/// Goes on from crash to crash; the number of crashes.
async fn crashing(database: &Database, store: &str, to: &str, places: &'static [(SegmentState, bool)]) -> usize {
    let met = Arc::default();
    let mut journal = Vec::new();
    for attempt in 1.. {
        let mut host = Host::new(&format!("run.unit.{attempt}"));
        host.segments = Mutex::new(journal);
        host.crash = once_at_every_place(&met, places);
        match apply(database, &chain(store), Some(to), &host).await {
            Ok(_) => return attempt - 1,
            Err(failure) => assert_eq!(failure.message, "crash"),
        }
        journal = host.segments.into_inner().unwrap();
    }
    0
}

#[tokio::test]
async fn ended_at_every_boundary_of_every_statement_it_ends_the_same() {
    let Some(lab) = MysqlLab::start() else { return };
    // The version tables, each statement, each version's record.
    let segments = |store: &str| {
        let layout = Layout::read(&chain(store), Engine::Mysql).unwrap();
        1 + layout
            .versions
            .iter()
            .map(|step| step.statements.len() + 1)
            .sum::<usize>()
    };
    let default = async {
        let database = lab.create("ended_default");
        assert_eq!(
            crashing(&database, "temporal", "1.19", PLACES).await,
            2 * segments("temporal")
        );
        pretty(&lab.dump("ended_default"), &expected("temporal"));
    };
    let visibility = async {
        // A hop that starts from what the release before left, and the whole chain.
        let database = lab.create("ended_hop");
        apply(&database, &chain("visibility"), Some("1.9"), &Host::new("old.unit.1"))
            .await
            .unwrap();
        let plan = plan(&database, &chain("visibility"), None, None).await.unwrap();
        let segments = plan.pending.iter().map(|p| p.parts.len()).sum::<usize>();
        let crashes = crashing(&database, "visibility", "1.14", PLACES).await;
        assert_eq!(crashes, segments * PLACES.len());
        pretty(&lab.dump("ended_hop"), &expected("visibility"));
    };
    let whole = async {
        let database = lab.create("ended_visibility");
        assert_eq!(
            crashing(&database, "visibility", "1.14", PLACES).await,
            2 * segments("visibility")
        );
        pretty(&lab.dump("ended_visibility"), &expected("visibility"));
    };
    let recorded = async {
        let database = lab.create("ended_recorded");
        assert_eq!(
            crashing(&database, "temporal", "1.19", RECORDED).await,
            segments("temporal")
        );
        pretty(&lab.dump("ended_recorded"), &expected("temporal"));
    };
    tokio::join!(default, visibility, whole, recorded);
}

/// The journal lost, as after another program that died: every prefix of every version is recognised by looks alone.
#[tokio::test]
async fn what_others_left_half_way_is_finished_or_told() {
    let Some(lab) = MysqlLab::start() else { return };
    for (store, newest) in [("temporal", "1.19"), ("visibility", "1.14")] {
        let name = format!("left_{store}");
        let database = lab.create(&name);
        let layout = Layout::read(&chain(store), Engine::Mysql).unwrap();
        let mut before = Version::zero();
        apply(&database, &chain(store), Some("1.0"), &Host::new("old.unit.1"))
            .await
            .unwrap();
        lab.sql(
            &name,
            "DELETE FROM schema_update_history WHERE new_version='1.0'; UPDATE schema_version SET curr_version='0.0'",
        );
        let drop: String = layout.versions[0]
            .statements
            .iter()
            .filter_map(|s| s.creates.clone())
            .map(|t| format!("DROP TABLE {t};"))
            .collect();
        lab.sql(&name, &drop);
        for step in &layout.versions {
            // As the tool does it: statement by statement, and the version at the end.
            for (done, statement) in step.statements.iter().enumerate() {
                let plan = plan(&database, &chain(store), Some(step.version.as_str()), None)
                    .await
                    .unwrap();
                assert_eq!(plan.pending[0].done, done, "{} {}", step.version, statement.text);
                assert_eq!(plan.pending[0].before, before);
                lab.sql(&name, &statement.text);
            }
            let host = Host::new("run.unit.1");
            apply(&database, &chain(store), Some(step.version.as_str()), &host)
                .await
                .unwrap();
            if !step.statements.is_empty() {
                assert!(host.shown("are there already"), "{:?}", host.shown.lock());
                // Only the version was written.
                let written: Vec<String> = host.segments().into_iter().map(|s| s.text).collect();
                assert_eq!(written, ["the version's record"; 2], "{}", step.version);
            }
            before = step.version.clone();
        }
        assert_eq!(before.as_str(), newest);
        let dump = lab.dump(&name);
        pretty(&dump, &expected(store));
    }
}

/// Opens a transaction that reads a table, and returns the process that holds it.
fn hold(lab: &MysqlLab, name: &str, sql: &str) -> Child {
    let mut holder = lab
        .client("mysql")
        .args(["-N", "-B", "-n", "-D", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(holder.stdin.as_mut().unwrap(), "BEGIN; {sql}; SELECT 'held';").unwrap();
    let mut out = BufReader::new(holder.stdout.as_mut().unwrap());
    let mut line = String::new();
    while !line.contains("held") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    holder
}

fn release(mut holder: Child) {
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[tokio::test]
async fn locks_cancels_and_lost_sessions_on_mysql() {
    let Some(lab) = MysqlLab::start() else { return };
    let dir = chain("visibility");
    let base = async |name: &str| {
        let database = lab.create(name);
        apply(&database, &dir, Some("1.8"), &Host::new("old.unit.1"))
            .await
            .unwrap();
        database
    };
    let settled = async |database: &Database, host: &Host| {
        let settled = settle(database, &dir, Some("1.9"), host).await.unwrap();
        if settled.is_none() {
            apply(database, &dir, Some("1.9"), host).await.unwrap();
        }
        apply(database, &dir, Some("1.14"), &Host::new("end.unit.1"))
            .await
            .unwrap();
        pretty(&lab.dump(&database.name), &expected("visibility"));
    };

    let locked = async {
        let database = base("locked").await;
        let holder = hold(&lab, "locked", "SELECT COUNT(*) FROM executions_visibility");
        let host = Host::new("locked.unit.1");
        let let_go = async {
            host.until("waits for a lock").await;
            assert!(
                host.shown("behind pid") && host.shown("SELECT 'held'") && host.shown("(root,"),
                "{:?}",
                host.shown.lock()
            );
            // Between the tries nobody is kept out.
            lab.sql(
                "locked",
                "SET lock_wait_timeout=8; SELECT COUNT(*) FROM executions_visibility",
            );
            release(holder);
        };
        let (done, ()) = tokio::join!(apply(&database, &dir, Some("1.9"), &host), let_go);
        done.unwrap();
        settled(&database, &host).await;
    };

    let cancelled = async {
        let database = base("cancelled").await;
        let holder = hold(&lab, "cancelled", "SELECT COUNT(*) FROM executions_visibility");
        let host = Host::new("cancelled.unit.1");
        let stop = async {
            host.until("behind pid").await;
            // Between two tries nothing runs.
            while cancel(&database, "cancelled.unit.1", host.reading()).await.unwrap() == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let (failure, ()) = tokio::join!(apply(&database, &dir, Some("1.9"), &host), stop);
        let failure = fails(failure);
        assert!(
            failure.message.contains("interrupted") && !failure.unknown,
            "{}",
            failure.message
        );

        let leave = async {
            host.until("behind pid").await;
            host.cancelled.add_permits(1);
        };
        let (failure, ()) = tokio::join!(apply(&database, &dir, Some("1.9"), &host), leave);
        let failure = fails(failure);
        assert!(
            failure.message.contains("goes on in the database") || failure.message.contains("stopped while it waited"),
            "{}",
            failure.message
        );
        release(holder);
        settled(&database, &host).await;
    };

    // The controller goes away from a running statement: the server ends it, and the next attempt waits for that.
    let left = async {
        let database = base("left").await;
        let holder = hold(&lab, "left", "SELECT COUNT(*) FROM executions_visibility");
        let host = Host::new("left.unit.1");
        let running = async {
            host.until("behind pid").await;
        };
        tokio::select! {
            _ = apply(&database, &dir, Some("1.9"), &host) => panic!("it did not wait"),
            () = running => {}
        }
        let next = Host::new("left.unit.2");
        *next.segments.lock().unwrap() = host.segments.lock().unwrap().clone();
        let let_go = async {
            next.until("an earlier session of this step is still there").await;
            assert!(
                next.shown("/* refit:left.unit.1 */ ALTER TABLE"),
                "{:?}",
                next.shown.lock()
            );
            release(holder);
        };
        let (done, ()) = tokio::join!(apply(&database, &dir, Some("1.9"), &next), let_go);
        done.unwrap();
        settled(&database, &next).await;
    };

    let ended = async {
        let database = base("ended").await;
        let holder = hold(&lab, "ended", "SELECT COUNT(*) FROM executions_visibility");
        let host = Host::new("ended.unit.1");
        let kill = async {
            host.until("behind pid").await;
            let id = lab.sql("mysql", "SELECT IS_USED_LOCK('refit:ended.unit')");
            lab.sql("mysql", &format!("KILL {id}"));
            release(holder);
        };
        let (done, ()) = tokio::join!(apply(&database, &dir, Some("1.9"), &host), kill);
        done.unwrap();
        assert!(host.shown("broke"), "{:?}", host.shown.lock());
        settled(&database, &host).await;
    };

    let twice = async {
        let database = lab.create("twice");
        let (one, two) = (Host::new("a.unit.1"), Host::new("b.unit.1"));
        let (first, second) = tokio::join!(
            apply(&database, &dir, Some("1.14"), &one),
            apply(&database, &dir, Some("1.14"), &two)
        );
        assert!(first.unwrap().changed != second.unwrap().changed);
        let waited = |host: &Host| host.shown("another schema update is at work (pid");
        assert!(waited(&one) || waited(&two));
        pretty(&lab.dump("twice"), &expected("visibility"));
    };
    tokio::join!(locked, cancelled, left, ended, twice);
}

/// A server that is killed, before a statement and between a statement and its record, and started again.
#[tokio::test]
async fn a_server_killed_at_a_statement_is_waited_for() {
    let Some(lab) = MysqlLab::own() else { return };
    let database = lab.create("killed");
    apply(&database, &chain("visibility"), Some("1.5"), &Host::new("old.unit.1"))
        .await
        .unwrap();
    // Every boundary with REFIT_TEST_EVERY_KILL, which takes minutes; else a few.
    let every = std::env::var_os("REFIT_TEST_EVERY_KILL").is_some();
    let kills = Arc::new(AtomicUsize::new(0));
    let host = Host {
        crash: Box::new({
            let (lab, kills) = (Arc::clone(&lab), Arc::clone(&kills));
            let met = Mutex::new(Vec::new());
            move |segment, recorded| {
                let here = match segment.state {
                    SegmentState::Intent => recorded,
                    SegmentState::Done => !recorded,
                };
                // DROP INDEX, DROP COLUMN, CREATE INDEX, the version's row.
                let chosen = ["1.6/1", "1.6/4", "1.6/8", "1.6/9"].contains(&segment.name.as_str());
                let place = format!("{} {:?}", segment.name, segment.state);
                if here && (every || chosen) && !met.lock().unwrap().contains(&place) {
                    met.lock().unwrap().push(place);
                    lab.kill();
                    lab.again();
                    kills.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        }),
        ..Host::new("run.unit.1")
    };
    // The connection breaks at each of them; an attempt gives up after some.
    let mut failures = 0;
    let mut next = host;
    while let Err(failure) = apply(&database, &chain("visibility"), Some("1.14"), &next).await {
        assert!(failure.message.contains("broke"), "{}", failure.message);
        failures += 1;
        assert!(failures < 40);
        next.cancelled = tokio::sync::Semaphore::new(0);
    }
    assert!(kills.load(Ordering::Relaxed) >= 8);
    assert!(next.shown("broke"));
    pretty(&lab.dump("killed"), &expected("visibility"));
}

fn write_version(dir: &Path, version: &str, sql: &str) {
    let folder = dir.join(format!("v{version}"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.sql"), sql).unwrap();
    let manifest = format!(
        r#"{{"CurrVersion":"{version}","MinCompatibleVersion":"1.0","Description":"it's \\ so","SchemaUpdateCqlFiles":["a.sql"]}}"#
    );
    std::fs::write(folder.join("manifest.json"), manifest).unwrap();
}

/// Chains of a team's own: rows that run once, statements that nothing shows, and what is half-way beyond recognition.
#[tokio::test]
async fn other_chains_on_mysql() {
    let Some(lab) = MysqlLab::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_version(
        dir.path(),
        "1.0",
        "CREATE TABLE `Log`(i INT AUTO_INCREMENT PRIMARY KEY, t TEXT); INSERT INTO Log(t) VALUES ('one');
         INSERT INTO Log(t) VALUES ('it\\'s; two'); CREATE TABLE late(i INT); INSERT INTO Log(t) VALUES ('three');",
    );
    let database = lab.create("rows_once");
    let met = Arc::default();
    let mut journal = Vec::new();
    for attempt in 1.. {
        let mut host = Host::new(&format!("run.unit.{attempt}"));
        host.segments = Mutex::new(journal);
        host.crash = once_at_every_place(&met, PLACES);
        if apply(&database, dir.path(), None, &host).await.is_ok() {
            break;
        }
        journal = host.segments.into_inner().unwrap();
    }
    assert_eq!(met.lock().unwrap().len(), 7 * PLACES.len());
    assert_eq!(
        lab.sql("rows_once", "SELECT t FROM Log ORDER BY i"),
        "one\nit's; two\nthree"
    );
    assert_eq!(
        lab.sql(
            "rows_once",
            "SELECT description FROM schema_update_history WHERE new_version='1.0'"
        ),
        "it's \\\\ so"
    );

    // A failing row leaves nothing of its transaction; the version is guarded against who moved on.
    write_version(
        dir.path(),
        "1.1",
        "INSERT INTO late VALUES (1); INSERT INTO nowhere VALUES (2);",
    );
    let host = Host::new("run.unit.50");
    let failure = fails(apply(&database, dir.path(), None, &host).await);
    assert!(
        failure.message.contains("1.1/2 was rolled back") && failure.message.contains("nowhere"),
        "{}",
        failure.message
    );
    let moved = Host {
        crash: Box::new({
            let lab = Arc::clone(&lab);
            move |segment, recorded| {
                if recorded && segment.state == SegmentState::Intent {
                    lab.sql("rows_once", "UPDATE schema_version SET curr_version='1.05'");
                }
                Ok(())
            }
        }),
        ..Host::new("run.unit.51")
    };
    *moved.segments.lock().unwrap() = host.segments.lock().unwrap().clone();
    write_version(
        dir.path(),
        "1.1",
        "INSERT INTO late VALUES (1); INSERT INTO late VALUES (2);",
    );
    let failure = fails(apply(&database, dir.path(), None, &moved).await);
    assert!(
        failure.message.contains("the version is not what it was any more"),
        "{}",
        failure.message
    );
    assert_eq!(lab.sql("rows_once", "SELECT GROUP_CONCAT(i) FROM late"), "1");

    // Outside of the list: named beforehand, and unknown after a crash.
    let dir = tempfile::tempdir().unwrap();
    write_version(
        dir.path(),
        "1.0",
        "CREATE TABLE a(i INT, j INT); CREATE VIEW seen AS SELECT i FROM a; ALTER TABLE a ADD k INT, DROP COLUMN j;",
    );
    let database = lab.create("blind");
    let text = plan(&database, dir.path(), None, None).await.unwrap().to_string();
    assert!(text.contains("1.0/2 (by itself, unknown if interrupted)"), "{text}");
    let host = Host {
        crash: Box::new(|segment, recorded| match (segment.name.as_str(), recorded) {
            ("1.0/2", true) => Err(Failure::new("crash")),
            _ => Ok(()),
        }),
        ..Host::new("run.unit.1")
    };
    assert_eq!(fails(apply(&database, dir.path(), None, &host).await).message, "crash");
    let next = Host::new("run.unit.2");
    *next.segments.lock().unwrap() = host.segments.lock().unwrap().clone();
    let failure = fails(apply(&database, dir.path(), None, &next).await);
    for words in [
        "1 or up to 2 of its statements are done",
        "1.0/1 done",
        "1.0/2 cannot be told",
        "1.0/3 not done",
    ] {
        assert!(
            failure.unknown && failure.message.contains(words),
            "{words}: {}",
            failure.message
        );
    }
    // Half of an ALTER that is one statement: nothing of ours left that behind.
    lab.sql("blind", "CREATE VIEW seen AS SELECT i FROM a; ALTER TABLE a ADD k INT");
    let failure = fails(apply(&database, dir.path(), None, &Host::new("other.unit.1")).await);
    assert!(
        failure.unknown
            && failure
                .message
                .contains("in a form that none of its statements leaves behind"),
        "{}",
        failure.message
    );
    // By hand, as the message says.
    lab.sql("blind", "ALTER TABLE a DROP COLUMN j");
    let done = apply(&database, dir.path(), None, &Host::new("other.unit.2"))
        .await
        .unwrap();
    assert_eq!(done.result["to"], "1.0");
}

#[tokio::test]
async fn mariadb_holds_the_default_store_alone() {
    let Some(lab) = MysqlLab::mariadb() else { return };
    let database = lab.create("store");
    status(&lab.over_tls(&database), None).await.unwrap();
    // MariaDB's looks differ in how it shows types and defaults.
    let crashes = crashing(&database, "temporal", "1.2", &PLACES[1..]).await;
    assert!(crashes > 50, "{crashes}");
    apply(&database, &chain("temporal"), Some("1.19"), &Host::new("run.rest.1"))
        .await
        .unwrap();
    let status = status(&database, None).await.unwrap();
    assert!(status.server.starts_with("MariaDB 10."), "{}", status.server);
    assert_eq!(status.version.unwrap().as_str(), "1.19");
    // MariaDB spells a dump in its own way: what counts are the columns that MySQL has.
    let columns = |text: &str| {
        let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix('`'));
        lines
            .filter_map(|line| line.split('`').next())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(columns(&lab.dump("store")), columns(&expected("temporal")));

    let other = lab.create("visibility");
    let refused = plan(&other, &chain("visibility"), Some("1.14"), None)
        .await
        .unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("MariaDB 10.") && text.contains("which only MySQL knows") && text.contains("default store"),
        "{text}"
    );
    let failure = fails(apply(&other, &chain("visibility"), Some("1.14"), &Host::new("run.unit.1")).await);
    assert!(
        failure.message.contains("which only MySQL knows"),
        "{}",
        failure.message
    );
    assert_eq!(lab.sql("visibility", "SHOW TABLES"), "");
}

/// Temporal's own tool, killed at statements of its chains. Needs its program in REFIT_TEMPORAL_SQL_TOOL.
#[tokio::test]
#[ignore = "needs Temporal's own tool"]
async fn what_upstreams_killed_tool_left_is_finished() {
    let program = PathBuf::from(std::env::var("REFIT_TEMPORAL_SQL_TOOL").expect("the path of temporal-sql-tool"));
    let lab = MysqlLab::start().unwrap();
    for (store, points) in [
        ("temporal", &[1, 2, 4, 9, 26, 29, 33, 50, 55, 60, 65, 68][..]),
        ("visibility", &[1, 3, 8, 9, 12, 20, 40, 60, 72, 80, 88, 95, 110, 117]),
    ] {
        let mut half_way = 0;
        for point in points {
            let name = format!("tool_{store}_{point}");
            let database = lab.over_tls(&lab.create(&name));
            let setup = tool(&program, &lab, &name, &["setup-schema", "-v", "0.0"])
                .output()
                .unwrap();
            assert!(setup.status.success());
            let dir = chain(store);
            let mut process = tool(&program, &lab, &name, &["update-schema", "-d", dir.to_str().unwrap()])
                .spawn()
                .unwrap();
            let lines = BufReader::new(process.stderr.take().unwrap())
                .lines()
                .map_while(Result::ok);
            let statement = |line: &String| {
                let words = ["CREATE ", "ALTER ", "DROP ", "INSERT "];
                line.contains("DEBUG") && words.iter().any(|word| line.contains(word))
            };
            assert!(lines.filter(statement).nth(point - 1).is_some(), "{store} {point}");
            process.kill().unwrap();
            process.wait().unwrap();
            let host = Host::new("run.unit.1");
            apply(&database, &dir, None, &host).await.unwrap();
            half_way += usize::from(host.shown("are there already"));
            pretty(&lab.dump(&name), &expected(store));
        }
        println!("{store}: {half_way} of {} were half-way", points.len());
        assert!(half_way > points.len() / 3, "{half_way}");
    }
}
