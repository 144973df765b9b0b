use std::sync::Arc;

use super::super::error::Cause;
use super::super::{Account, Identity, LockError, Start};
use super::jobs::{done, start};
use super::lab::{self, Sshd, job_id, locked, sh};
use crate::id::RunId;
use crate::job::Job;
use crate::job::JobState;

const LOGIN: Account = Account::Login;

fn modes(lab: &Sshd, names: &[&str]) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |name: &&str| {
        std::fs::metadata(lab.path("state").join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    names.iter().map(|name| format!("{name} {:o}", mode(name))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_changes_nothing_and_the_lock_makes_the_folders() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    let look = link.look(&LOGIN).await.unwrap();
    assert!(look.state.problems.is_empty(), "{look:?}");
    assert!(look.state.free > 0);
    assert!(matches!(&look.identity, Identity::Place(place) if place.contains(&look.facts.boot_id)));
    assert_eq!((look.fence, look.holder), (0, None));
    assert!(!lab.path("state").exists());
    let run = RunId::fresh();
    let held = link.lock(&LOGIN, &[], &run, 7, "me@here", false).await.unwrap();
    assert_eq!(
        modes(&lab, &["", "jobs", "uploads", "run.lock", "fence", "id", "owner"]),
        [
            "  711",
            "jobs 700",
            "uploads 700",
            "run.lock 600",
            "fence 600",
            "id 600",
            "owner 600"
        ]
        .map(|s| s.trim_start_matches(' ').to_owned())
        .map(|s| if s == "711" { " 711".to_owned() } else { s })
    );
    let look = link.look(&LOGIN).await.unwrap();
    assert_eq!(look.identity, held.identity);
    let holder = look.holder.unwrap();
    assert_eq!(
        (holder.run, holder.epoch, holder.controller.as_str(), holder.live),
        (run.clone(), 7, "me@here", true)
    );
    assert_eq!(look.fence, 7);
    // Wiped jobs give the host another identity.
    std::fs::remove_dir_all(lab.path("state/jobs")).unwrap();
    let again = link.lock(&LOGIN, &[], &run, 7, "me@here", false).await.unwrap();
    assert_ne!(again.identity, held.identity);
    link.unlock().await.unwrap();
    assert!(!lab.path("state/owner").exists());
    assert!(lab.path("state/fence").exists());
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_is_refused_by_name_and_takes_over_when_told_to() {
    let Some(lab) = Sshd::start("") else { return };
    let (one, two) = (lab::hub(), lab::hub());
    let (first, run) = locked(&lab, &one).await;
    let second = lab.link(&two).await;
    let other = RunId::fresh();
    match second.lock(&LOGIN, &[], &other, 1, "b", false).await {
        Err(LockError::HeldBy(holder)) => assert_eq!(
            (holder.run, holder.controller.as_str(), holder.live),
            (run.clone(), "test", true)
        ),
        found => panic!("{found:?}"),
    }
    // The same run from another controller with a copy of the journal.
    assert!(matches!(
        second.lock(&LOGIN, &[], &run, 1, "b", false).await,
        Err(LockError::HeldBy(_))
    ));
    // A job of the first lives through the take-over; its controller can start nothing more.
    let long = Job::new(format!("sleep 1.5; echo one >>{}", lab.path("effects").display()));
    let id = job_id(&run, "long");
    let first = Arc::new(first);
    let running = tokio::spawn({
        let (first, id, long) = (first.clone(), id.clone(), long.clone());
        async move {
            first
                .jobs(
                    &LOGIN,
                    &[Start {
                        id,
                        job: &long,
                        go_on: &[],
                        files: Vec::new(),
                    }],
                    |_, _| {},
                )
                .await
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let held = second.lock(&LOGIN, &[], &other, 2, "b", true).await.unwrap();
    assert_eq!(held.taken_from.unwrap().run, run);
    assert!(running.await.unwrap().is_err());
    let late = Job::new(format!("echo late >>{}", lab.path("effects").display()));
    let lost = first
        .jobs(
            &LOGIN,
            &[Start {
                id: job_id(&run, "late"),
                job: &late,
                go_on: &[],
                files: Vec::new(),
            }],
            |_, _| {},
        )
        .await
        .unwrap_err();
    assert_eq!(lost.cause, Some(Cause::Fenced), "{lost}");
    match first.lock(&LOGIN, &[], &run, 1, "test", false).await {
        Err(LockError::Stale { fence: 2 }) => {}
        found => panic!("{found:?}"),
    }
    assert_eq!(done(second.wait(&LOGIN, &id, None).await.unwrap()).rc, 0);
    assert_eq!(lab.text("effects"), "one\n");
    // Its owner is dead, not gone: still refused, and known to be dead.
    second.close().await;
    two.close().await;
    let three = lab::hub();
    let third = lab.link(&three).await;
    match third.lock(&LOGIN, &[], &run, 3, "c", false).await {
        Err(LockError::HeldBy(holder)) => assert_eq!((holder.run, holder.live), (other.clone(), false)),
        found => panic!("{found:?}"),
    }
    // The same run enters again.
    third.lock(&LOGIN, &[], &other, 3, "c", false).await.unwrap();
    third.unlock().await.unwrap();
    third.lock(&LOGIN, &[], &run, 3, "c", false).await.unwrap();
    std::fs::write(lab.path("state/fence"), "").unwrap();
    assert!(matches!(
        third.lock(&LOGIN, &[], &run, 4, "c", false).await,
        Err(LockError::StateDir(_))
    ));
    Arc::into_inner(first).unwrap().close().await;
    third.close().await;
    one.close().await;
    three.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_fence_is_seen_by_a_shell_that_was_open_before() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    assert_eq!(
        done(start(&link, &job_id(&run, "a"), &Job::new("echo fine")).await).rc,
        0
    );
    std::fs::write(lab.path("state/fence"), "9 end\n").unwrap();
    let job = Job::new(format!("touch {}", lab.path("effect").display()));
    let id = job_id(&run, "b");
    let lost = link
        .jobs(
            &LOGIN,
            &[Start {
                id,
                job: &job,
                go_on: &[],
                files: Vec::new(),
            }],
            |_, _| panic!("answered"),
        )
        .await
        .unwrap_err();
    assert_eq!(lost.cause, Some(Cause::Fenced));
    assert!(!lab.path("effect").exists());
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_links_race_for_one_job() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    let links = Arc::new([link, lab.link(&hub).await, lab.link(&hub).await]);
    // Only for this test: links that believe to hold the same lease start the same job at the same moment.
    let lease = links[0].lease.lock().unwrap().clone();
    for other in &links[1..] {
        *other.lease.lock().unwrap() = lease.clone();
        other.join_for_test().await;
    }
    for round in 0..12 {
        let id = job_id(&run, &format!("race{round}"));
        let mut tasks = tokio::task::JoinSet::new();
        for which in 0..3 {
            let (links, id) = (links.clone(), id.clone());
            let effects = lab.path("effects");
            tasks.spawn(async move {
                let job = Job::new(format!("echo {round} >>{}; sleep 0.05", effects.display()));
                start(&links[which], &id, &job).await
            });
        }
        while let Some(state) = tasks.join_next().await {
            let state = state.unwrap();
            assert!(matches!(state, JobState::Done { .. } | JobState::Running), "{state:?}");
        }
        assert_eq!(done(links[0].wait(&LOGIN, &id, None).await.unwrap()).rc, 0);
    }
    let expected: String = (0..12).map(|round| format!("{round}\n")).collect();
    assert_eq!(lab.text("effects"), expected);
    assert_eq!(sh(&links[0], &LOGIN, "echo ok").await.rc, 0);
    for link in Arc::into_inner(links).unwrap() {
        link.close().await;
    }
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_will_not_do_are_refused_before_anything_is_made() {
    let Some(lab) = Sshd::start("") else { return };
    let root = rustix::process::geteuid().is_root();
    let hub = lab::hub();
    let run = RunId::fresh();
    let open = lab.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(lab.path("home"), lab.path("link")).unwrap();
    let mut cases = vec![("open/state", "others may write"), ("link", "symbolic link")];
    if std::fs::metadata("/dev/shm").is_ok() && root {
        cases.push(("/dev/shm/refit-test/state", "gone after a reboot"));
    }
    for (folder, words) in cases {
        let mut target = lab.target();
        target.state_dir = Some(lab.path(folder).display().to_string());
        let link = hub.connect(&target).await.unwrap();
        match link.lock(&LOGIN, &[], &run, 1, "t", false).await {
            Err(LockError::StateDir(text)) => assert!(text.contains(words), "{text}"),
            found => panic!("{found:?}"),
        }
        assert!(!link.look(&LOGIN).await.unwrap().state.problems.is_empty());
        link.close().await;
    }
    assert!(!lab.path("open/state").exists());
    hub.close().await;
}
