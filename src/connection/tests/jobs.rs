use std::time::Duration;

use super::super::{Account, Link, Start};
use super::lab::{self, Sshd, job_id, locked};
use crate::id::JobId;
use crate::job::JobState;
use crate::job::{Job, Output, Upload, UploadFrom};

const LOGIN: Account = Account::Login;

pub(super) async fn start(link: &Link, id: &JobId, job: &Job) -> JobState {
    let mut state = None;
    let start = Start {
        id: id.clone(),
        job,
        go_on: &[0],
        files: Vec::new(),
    };
    link.jobs(&LOGIN, &[start], |_, found| state = Some(found))
        .await
        .unwrap();
    state.unwrap()
}

pub(super) fn done(state: JobState) -> Output {
    match state {
        JobState::Done { output, late: false } => output,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_jobs_stops_at_the_first_that_fails() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    let log = lab.path("effects");
    let script = |word: &str, rc: i32| {
        Job::new(format!(
            "echo {word} >>{}; echo out {word}; echo err {word} >&2; exit {rc}",
            log.display()
        ))
    };
    let jobs = [script("a", 0), script("b", 4), script("c", 1), script("d", 0)];
    let ids: Vec<JobId> = ["a", "b", "c", "d"].iter().map(|step| job_id(&run, step)).collect();
    let go_on: [&[i32]; 4] = [&[0], &[], &[0], &[0]];
    for _ in 0..3 {
        let starts: Vec<Start> = (0..4)
            .map(|i| Start {
                id: ids[i].clone(),
                job: &jobs[i],
                go_on: go_on[i],
                files: Vec::new(),
            })
            .collect();
        let mut seen = Vec::new();
        link.jobs(&LOGIN, &starts, |index, state| seen.push((index, done(state))))
            .await
            .unwrap();
        let seen: Vec<_> = seen
            .iter()
            .map(|(i, o)| (*i, o.rc, o.stdout.as_str(), o.stderr.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (0, 0, "out a\n", "err a\n"),
                (1, 4, "out b\n", "err b\n"),
                (2, 1, "out c\n", "err c\n")
            ]
        );
    }
    assert_eq!(lab.text("effects"), "a\nb\nc\n");
    let states = link.status(&LOGIN, &ids).await.unwrap();
    assert!(matches!(states[3], JobState::None));
    link.ack(&LOGIN, &ids).await.unwrap();
    let mut left: Vec<String> = std::fs::read_dir(lab.path("state/jobs"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left.len(), 7, "{left:?}");
    assert_eq!(done(start(&link, &ids[0], &jobs[0]).await).rc, 0);
    assert_eq!(lab.text("effects"), "a\nb\nc\n");
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_and_values_arrive_byte_for_byte() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    // Text is UTF-8; every character from 1 to 255 and a few beyond, in a here-document, a value and a comment.
    let all: String = (1..=255u32)
        .chain([0x202e, 0x1f600])
        .filter_map(char::from_u32)
        .collect();
    let mut job = Job::new(format!(
        "cat <<'END-OF-IT'\n{all}\nEND-OF-IT\nprintf '%s' \"$ALL\" >&2; exit 255"
    ));
    job.environment.insert("ALL".to_owned(), all.clone());
    let output = done(start(&link, &job_id(&run, "bytes"), &job).await);
    assert_eq!(
        (output.rc, output.stdout.as_str(), output.stderr.as_str()),
        (255, format!("{all}\n").as_str(), all.as_str())
    );
    let filler = "# it's a long script, 'quoted' \\ and all\n".repeat(7500);
    let output = done(
        start(
            &link,
            &job_id(&run, "long"),
            &Job::new(format!("{filler}echo end of ${{#0}}; kill -s KILL $$")),
        )
        .await,
    );
    assert_eq!(output.rc, 137);
    assert!(output.stdout.starts_with("end of"));
    assert!(matches!(
        start(&link, &job_id(&run, "nul"), &Job::new("a\0b")).await,
        JobState::Refused(_)
    ));
    // Long outputs keep both ends.
    let flood = Job::new("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end; echo small >&2");
    let output = done(start(&link, &job_id(&run, "flood"), &flood).await);
    assert!(
        output.stdout.len() < 270_000 && output.stdout.contains("bytes left out"),
        "{}",
        output.stdout.len()
    );
    assert!(output.stdout.starts_with("xxx") && output.stdout.ends_with("the end\n"));
    assert_eq!(output.stderr, "small\n");
    let context = Job::new("umask; pwd; echo $REFIT_JOB; echo $REFIT_STATE; echo $REFIT_UPLOADS; cat; trap");
    let id = job_id(&run, "context");
    let output = done(start(&link, &id, &context).await);
    let state = lab.path("state").display().to_string();
    assert_eq!(output.stdout, format!("0022\n/\n{id}\n{state}\n{state}/uploads\n"));
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_limits_and_signals() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    let daemon = Job::new("sleep 3000733 & echo $!");
    let output = done(start(&link, &job_id(&run, "daemon"), &daemon).await);
    let pid: i32 = output.stdout.trim().parse().unwrap();
    lab::eventually("the daemon is `sleep`", || {
        lab::named("sleep\x003000733\x00").contains(&pid)
    })
    .await;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(
        done(link.status(&LOGIN, &[job_id(&run, "daemon")]).await.unwrap().remove(0)).rc == 0,
        "{stat}"
    );
    let mut slow = Job::new("echo begun; sleep 3000734; echo never");
    slow.timeout = Some(Duration::from_secs(1));
    match start(&link, &job_id(&run, "slow"), &slow).await {
        JobState::Done { output, late: true } => assert_eq!((output.rc, output.stdout.as_str()), (124, "begun\n")),
        other => panic!("{other:?}"),
    }
    lab::eventually("the slow job's child is gone", || {
        lab::named("sleep\x003000734\x00").is_empty()
    })
    .await;
    let mut quick = Job::new("exit 124");
    quick.timeout = Some(Duration::from_secs(20));
    assert_eq!(done(start(&link, &job_id(&run, "quick"), &quick).await).rc, 124);
    // SIGINT is not ignored in what a job starts.
    let ignored = Job::new("grep SigIgn /proc/self/status");
    let output = done(start(&link, &job_id(&run, "signals"), &ignored).await);
    let bits = u64::from_str_radix(output.stdout.split_whitespace().nth(1).unwrap(), 16).unwrap();
    assert_eq!(bits & 0b110, 0, "{}", output.stdout);
    link.close().await;
    hub.close().await;
    lab::kill(pid, rustix::process::Signal::KILL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlives_its_controller_and_is_adopted() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    let id = job_id(&run, "long");
    let job = Job::new(format!(
        "echo once >>{}; sleep 4; echo result",
        lab.path("effects").display()
    ));
    let gone = tokio::time::timeout(Duration::from_millis(600), start(&link, &id, &job)).await;
    assert!(gone.is_err());
    drop(link);
    hub.close().await;
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    link.lock(&LOGIN, &[], &run, 2, "test", false).await.unwrap();
    assert!(matches!(
        link.status(&LOGIN, std::slice::from_ref(&id)).await.unwrap()[0],
        JobState::Running
    ));
    assert!(matches!(start(&link, &id, &job).await, JobState::Running));
    assert!(matches!(
        link.wait(&LOGIN, &id, Some(Duration::from_millis(10))).await.unwrap(),
        JobState::Running
    ));
    let output = done(link.wait(&LOGIN, &id, None).await.unwrap());
    assert_eq!(output.stdout, "result\n");
    assert_eq!(lab.text("effects"), "once\n");
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_checked_and_not_repeated() {
    use sha2::Digest;
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, _) = locked(&lab, &hub).await;
    let upload = |bytes: Vec<u8>| Upload {
        sha256: crate::id::hex(&sha2::Sha256::digest(&bytes)),
        size: bytes.len() as u64,
        from: UploadFrom::Bytes(bytes.into()),
    };
    let all: Vec<u8> = (0..=255u8).cycle().take(3_000_000).collect();
    let small: Vec<u8> = (1..=255u8).cycle().take(5000).collect();
    for bytes in [all.clone(), small, b"a\0b".to_vec(), Vec::new()] {
        let upload = upload(bytes.clone());
        let sent = std::sync::Mutex::new(0);
        for _ in 0..2 {
            link.upload(&LOGIN, &upload, |n| *sent.lock().unwrap() = n)
                .await
                .unwrap();
            assert_eq!(
                std::fs::read(lab.path("state/uploads").join(&upload.sha256)).unwrap(),
                bytes
            );
        }
        assert_eq!(*sent.lock().unwrap(), bytes.len() as u64);
    }
    let path = lab.path("state/uploads").join(upload(all.clone()).sha256);
    std::fs::write(&path, "broken").unwrap();
    link.upload(&LOGIN, &upload(all.clone()), |_| {}).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), all);
    let wrong = Upload {
        sha256: "0".repeat(64),
        ..upload(all)
    };
    let error = link.upload(&LOGIN, &wrong, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("sha256"), "{error}");
    assert_eq!(std::fs::read_dir(lab.path("state/uploads")).unwrap().count(), 4);
    link.close().await;
    hub.close().await;
}

/// Prints what things cost; run it alone: `cargo test --lib costs -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn costs() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    for round in 0..3 {
        let begun = std::time::Instant::now();
        let link = lab.link(&hub).await;
        let connected = begun.elapsed();
        let run = crate::id::RunId::fresh();
        link.lock(&LOGIN, &[], &run, round + 1, "t", false).await.unwrap();
        let locked = begun.elapsed();
        let job = Job::new("true");
        let ids: Vec<JobId> = (0..50).map(|i| job_id(&run, &format!("j{i}"))).collect();
        let starts: Vec<Start> = ids
            .iter()
            .map(|id| Start {
                id: id.clone(),
                job: &job,
                go_on: &[0],
                files: Vec::new(),
            })
            .collect();
        let at = std::time::Instant::now();
        link.jobs(&LOGIN, &starts, |_, state| drop(done(state))).await.unwrap();
        let jobs = at.elapsed();
        let probes: Vec<crate::kind::Probe> = (0..50).map(|_| crate::kind::Probe::new("/bin/true")).collect();
        let at = std::time::Instant::now();
        link.probes(&LOGIN, &probes).await.unwrap();
        eprintln!(
            "connect {connected:?}, lock {:?}, 50 jobs {jobs:?}, 50 probes {:?}",
            locked - connected,
            at.elapsed()
        );
        link.unlock().await.unwrap();
        link.close().await;
    }
    hub.close().await;
}
