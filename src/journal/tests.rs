use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::*;
use crate::event::{Digests, RunBegan, RunEnd};
use crate::id::HostName;

fn began(hosts: &[&str]) -> Event {
    Event::RunBegan(Box::new(RunBegan {
        playbook: "site.yml".into(),
        name: "Site".into(),
        sources: vec!["inv".into()],
        extra: vec![],
        limit: None,
        tags: vec![],
        skip_tags: vec![],
        folder: "/".into(),
        forks: None,
        environment: None,
        excluded: vec![],
        hosts: hosts.iter().map(|h| HostName::new(h).unwrap()).collect(),
        recipe: Digests::default(),
        plan: String::new(),
        version: "0".into(),
        check: false,
        schema: None,
    }))
}

fn note(text: impl Into<String>) -> Event {
    Event::Note { text: text.into() }
}

async fn begin(journal: &Journal, hosts: &[&str]) -> (RunId, i64) {
    let run = RunId::fresh();
    let controller = this_controller();
    let epoch = journal.attach(&run, &controller, 0).await.unwrap();
    let attached = Event::Attached {
        controller,
        epoch,
        takeover: None,
    };
    journal.append(&run, epoch, vec![began(hosts), attached]).await.unwrap();
    (run, epoch)
}

async fn end(journal: &Journal, run: &RunId, epoch: i64, how: RunEnd, exit: u8) {
    let event = Event::RunEnded { how, exit };
    journal.append(run, epoch, vec![event]).await.unwrap();
}

#[tokio::test]
async fn a_new_journal_is_private_and_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/journal.db");
    let journal = Journal::open(&path).await.unwrap();
    let key = journal.key().await.unwrap();
    assert_ne!(key, [0; 32]);
    let (run, epoch) = begin(&journal, &["h1"]).await;
    end(&journal, &run, epoch, RunEnd::Failed, 2).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"] {
        assert_eq!(mode(&path.with_file_name(file)), 0o600, "{file}");
    }
    drop(journal);

    let again = Journal::open(&path).await.unwrap();
    assert_eq!(again.key().await.unwrap(), key);
    let runs = again.runs().await.unwrap();
    assert_eq!((runs[0].state, runs[0].exit), ("failed", Some(2)));
    assert_eq!(runs[0].hosts, [HostName::new("h1").unwrap()]);
    let records = again.records(&run).await.unwrap();
    assert_eq!(records.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(records[0].event, began(&["h1"]));
}

#[tokio::test]
async fn an_absent_journal_has_no_runs_and_stays_absent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none/journal.db");
    let reader = Journal::open_reader(&path).await.unwrap();
    assert!(reader.runs().await.unwrap().is_empty());
    assert!(matches!(reader.find("0").await, Err(FindError::None(_))));
    assert!(!path.parent().unwrap().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_at_once_share_commits_and_leave_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("j.db")).await.unwrap();
    let (one, epoch_one) = begin(&journal, &["h1"]).await;
    let (two, epoch_two) = begin(&journal, &["h2"]).await;
    let mut callers = tokio::task::JoinSet::new();
    for i in 0..200 {
        let journal = journal.clone();
        let (run, epoch) = if i % 2 == 0 {
            (one.clone(), epoch_one)
        } else {
            (two.clone(), epoch_two)
        };
        callers.spawn(async move {
            let events = vec![note(format!("{i}a")), note(format!("{i}b"))];
            let records = journal.append(&run, epoch, events).await.unwrap();
            assert_eq!(records[1].seq, records[0].seq + 1);
        });
    }
    callers.join_all().await;
    for run in [&one, &two] {
        let records = journal.records(run).await.unwrap();
        assert_eq!(records.len(), 202);
        assert!(records.iter().zip(1..).all(|(record, seq)| record.seq == seq));
        let texts: BTreeSet<String> = records.iter().map(|r| format!("{:?}", r.event)).collect();
        assert_eq!(texts.len(), 202);
    }
}

#[tokio::test]
async fn a_superseded_controller_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.db");
    let old = Journal::open(&path).await.unwrap();
    let (run, epoch) = begin(&old, &["h1"]).await;

    let new = Journal::open(&path).await.unwrap();
    let mut other = this_controller();
    other.user = "other".into();
    let refused = new.attach(&run, &other, 0).await.unwrap_err();
    assert!(matches!(refused, JournalError::Alive { .. }), "{refused}");
    let taken = new.take_over(&run, &other, 40).await.unwrap();
    assert_eq!(taken, 40);

    let refused = old.append(&run, epoch, vec![note("late")]).await.unwrap_err();
    assert!(matches!(refused, JournalError::Superseded { now: 40, .. }), "{refused}");
    new.append(&run, taken, vec![note("mine")]).await.unwrap();
    assert_eq!(new.records(&run).await.unwrap().len(), 3);

    // The refusal broke nothing for another run of the old process, and epochs go on rising over all runs.
    let (_, next) = begin(&old, &["h2"]).await;
    assert_eq!(next, 41);
}

#[tokio::test]
async fn a_dead_controller_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("j.db")).await.unwrap();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let mut dead = this_controller();
    dead.pid = child.id();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", dead.pid)).unwrap();
    dead.start_time = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(19)
        .unwrap()
        .parse()
        .unwrap();
    let run = RunId::fresh();
    journal.attach(&run, &dead, 0).await.unwrap();
    assert!(matches!(
        journal.attach(&run, &this_controller(), 0).await,
        Err(JournalError::Alive { .. })
    ));
    child.kill().unwrap();
    // A zombie is dead: nobody has waited for it yet.
    while lives(&dead) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(journal.attach(&run, &this_controller(), 0).await.unwrap(), 2);
    child.wait().unwrap();
}

#[tokio::test]
async fn runs_in_the_way_are_found_by_identity_and_name() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("j.db")).await.unwrap();
    let (open, epoch) = begin(&journal, &["h1", "h2"]).await;
    let host = HostName::new("h1").unwrap();
    let survey = Event::HostSurveyed {
        host: host.clone(),
        identity: "id-1".into(),
        boot: "b".into(),
    };
    journal.append(&open, epoch, vec![survey]).await.unwrap();
    let (failed, failed_epoch) = begin(&journal, &["h2"]).await;
    end(&journal, &failed, failed_epoch, RunEnd::Failed, 3).await;
    let (done, done_epoch) = begin(&journal, &["h2"]).await;
    end(&journal, &done, done_epoch, RunEnd::Done, 0).await;

    let ask = |name: &str, identity: Option<&str>| vec![(HostName::new(name).unwrap(), identity.map(str::to_owned))];
    let on = async |hosts: Vec<_>| -> Vec<RunId> {
        let runs = journal.on_hosts(&hosts).await.unwrap();
        runs.into_iter().map(|r| r.run).collect()
    };
    let only_open = [open.clone()];
    assert_eq!(on(ask("other", Some("id-1"))).await, only_open);
    assert_eq!(on(ask("h1", Some("id-9"))).await, []);
    assert_eq!(on(ask("h1", None)).await, only_open);
    assert_eq!(on(ask("h2", Some("id-2"))).await, [failed.clone(), open.clone()]);
    assert_eq!(on(ask("h3", None)).await, []);

    let unfinished: Vec<_> = journal.unfinished().await.unwrap().into_iter().map(|r| r.run).collect();
    assert_eq!(unfinished, only_open);
    let closed = Event::RunClosed {
        who: "me".into(),
        reason: "test".into(),
    };
    journal.append(&open, epoch, vec![closed]).await.unwrap();
    assert!(journal.unfinished().await.unwrap().is_empty());

    assert_eq!(journal.find(open.as_str()).await.unwrap(), open);
    assert!(matches!(journal.find("").await, Err(FindError::Ambiguous { runs, .. }) if runs.len() == 3));
}

#[tokio::test]
async fn what_is_no_journal_is_refused_in_clear_words() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.db");
    std::fs::write(&text, "not a database at all, ".repeat(100)).unwrap();
    let error = Journal::open(&text).await.err().unwrap().to_string();
    assert!(
        error.contains("text.db") && error.contains("no journal of refit"),
        "{error}"
    );
    let error = Journal::open_reader(&text).await.err().unwrap().to_string();
    assert!(error.contains("no journal of refit"), "{error}");

    let newer = dir.path().join("newer.db");
    let journal = Journal::open(&newer).await.unwrap();
    drop(journal);
    let status = Command::new("sqlite3")
        .arg(&newer)
        .arg("PRAGMA user_version=99")
        .status()
        .unwrap();
    assert!(status.success());
    let error = Journal::open(&newer).await.err().unwrap().to_string();
    assert!(error.contains("newer refit"), "{error}");

    let under_a_file = text.join("journal.db");
    let error = Journal::open(&under_a_file).await.err().unwrap().to_string();
    assert!(error.contains("folder cannot be made"), "{error}");
}

/// A disk that is full, as SQLite sees it: no page may be added.
#[tokio::test]
async fn a_write_that_fails_ends_the_writing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.db");
    let (mut writer, pool) = open::open(&path).await.unwrap();
    sqlx::raw_sql("PRAGMA max_page_count=16")
        .execute(&mut writer)
        .await
        .unwrap();
    let (requests, inbox) = mpsc::unbounded_channel();
    tokio::spawn(writer::write(writer, inbox));
    let journal = Journal {
        reader: Reader::over(pool),
        requests,
    };
    let (run, epoch) = begin(&journal, &["h1"]).await;
    let big = note("x".repeat(200_000));
    let error = journal.append(&run, epoch, vec![big]).await.unwrap_err();
    assert!(matches!(error, JournalError::Full(_)), "{error}");
    let error = journal.append(&run, epoch, vec![note("small")]).await.unwrap_err();
    assert!(matches!(error, JournalError::Full(_)), "{error}");
    assert_eq!(journal.records(&run).await.unwrap().len(), 2);
}

const CHILD: &str = "REFIT_TEST_JOURNAL_CHILD";

/// The writing half of the next test, in a process of its own: prints each number after its commit.
#[tokio::test]
#[ignore = "started by the test below"]
async fn child_that_writes() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let journal = Journal::open(Path::new(&path)).await.unwrap();
    let (run, epoch) = begin(&journal, &["h1"]).await;
    println!("\nrun {run}");
    for i in 0.. {
        journal.append(&run, epoch, vec![note(i.to_string())]).await.unwrap();
        println!("did {i}");
    }
}

fn child(path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "journal::tests::child_that_writes",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.db");
    for round in 1..=5u64 {
        let mut process = child(&path).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (mut run, mut acknowledged) = (None, None);
        let mut read = |line: String| {
            if let Some(id) = line.strip_prefix("run ") {
                run = Some(RunId::stored(id));
            }
            if let Some(number) = line.strip_prefix("did ") {
                acknowledged = number.parse::<u64>().ok();
            }
            acknowledged
        };
        for line in lines.by_ref() {
            if read(line.unwrap()) >= Some(round * 7) {
                break;
            }
        }
        process.kill().unwrap();
        for line in lines {
            read(line.unwrap());
        }
        process.wait().unwrap();

        let journal = Journal::open(&path).await.unwrap();
        let run = run.unwrap();
        let records = journal.records(&run).await.unwrap();
        assert!(records.iter().zip(1..).all(|(record, seq)| record.seq == seq));
        assert!(
            records.len() as u64 >= acknowledged.unwrap() + 3,
            "{} records",
            records.len()
        );
        assert_eq!(journal.summary(&run).await.unwrap().unwrap().state, "killed");
        assert!(journal.attach(&run, &this_controller(), 0).await.is_ok());
    }
}

#[tokio::test]
async fn a_process_kills_itself_at_the_commit_that_a_test_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.db");
    let output = child(&path).env("REFIT_TEST_KILL_AT_COMMIT", "4").output().unwrap();
    assert!(!output.status.success());
    let reader = Journal::open_reader(&path).await.unwrap();
    let run = reader.unfinished().await.unwrap().remove(0).run;
    // The first commit holds two records.
    assert_eq!(reader.records(&run).await.unwrap().len(), 5);
}
