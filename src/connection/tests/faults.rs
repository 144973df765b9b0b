//! Everything that can be killed is killed; an append-only log on the host is the judge.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::super::{Account, Link, Start};
use super::jobs::{done, start};
use super::lab::{self, Sshd, children_of, eventually, job_id, kill, locked, named, sh};
use crate::id::{JobId, RunId};
use crate::job::JobState;
use crate::kind::{Job, Probe};

const LOGIN: Account = Account::Login;

/// Small numbers that differ from run to run; the seed is printed, so that a failure can be told.
struct Dice(u64);

impl Dice {
    fn new(salt: u64) -> Dice {
        let seed = std::env::var("REFIT_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64
        });
        eprintln!("REFIT_SEED={seed}");
        Dice((seed + salt * 7919) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Jobs until all of them are done, over as many connections as it takes; every state that is final is kept.
async fn to_the_end(
    lab: &Sshd,
    hub: &super::super::Hub,
    run: &RunId,
    epoch: &mut i64,
    jobs: &[(JobId, Job)],
) -> Vec<JobState> {
    let mut states: Vec<Option<JobState>> = jobs.iter().map(|_| None).collect();
    loop {
        let link = lab.link(hub).await;
        *epoch += 1;
        link.lock(&LOGIN, &[], run, *epoch, "t", false).await.unwrap();
        let result = round(&link, jobs, &mut states).await;
        link.close().await;
        if result.is_ok() && states.iter().all(Option::is_some) {
            return states.into_iter().flatten().collect();
        }
    }
}

async fn round(
    link: &Link,
    jobs: &[(JobId, Job)],
    states: &mut [Option<JobState>],
) -> Result<(), super::super::error::Lost> {
    let open: Vec<usize> = (0..jobs.len()).filter(|index| states[*index].is_none()).collect();
    let starts: Vec<Start> = open
        .iter()
        .map(|index| Start {
            id: jobs[*index].0.clone(),
            job: &jobs[*index].1,
            go_on: &[],
            files: Vec::new(),
        })
        .collect();
    let mut waiting = None;
    link.jobs(&LOGIN, &starts, |index, state| match state {
        JobState::Running | JobState::OrphanRunning => waiting = Some(open[index]),
        state => states[open[index]] = Some(state),
    })
    .await?;
    if let Some(index) = waiting {
        states[index] = Some(link.wait(&LOGIN, &jobs[index].0, None).await?);
    }
    Ok(())
}

/// Kills of the channel (the call is dropped), of ssh, and of the server's side, at random moments.
#[tokio::test(flavor = "multi_thread")]
async fn every_effect_is_there_once_whatever_is_killed() {
    if lab::need("sshd").is_none() {
        return;
    }
    let sweeps: Vec<_> = (0..3).map(|which| tokio::spawn(sweep(which))).collect();
    for sweep in sweeps {
        let cut = sweep.await.unwrap();
        assert!(cut >= 8, "only {cut} kills came in time");
    }
}

/// 22 kills of one sort on a host of its own; how many came while jobs ran.
async fn sweep(which: usize) -> usize {
    let lab = Sshd::start("").unwrap();
    let mut dice = Dice::new(which as u64);
    let hub = lab::hub();
    let mut epoch = 0;
    let mut expected = String::new();
    let mut cut = 0;
    for trial in 0..22 {
        let run = RunId::fresh();
        let jobs: Vec<(JobId, Job)> = (0..4)
            .map(|step| {
                let word = format!("{trial}.{step}");
                let script = format!(
                    "sleep 0.0{}; echo {word} >>{}; sleep 0.0{}; echo said {word}",
                    dice.below(10),
                    lab.path("effects").display(),
                    dice.below(10)
                );
                expected.push_str(&format!("{word}\n"));
                (job_id(&run, &format!("s{step}")), Job::new(script))
            })
            .collect();
        let link = lab.link(&hub).await;
        epoch += 1;
        link.lock(&LOGIN, &[], &run, epoch, "t", false).await.unwrap();
        let pause = Duration::from_millis(dice.below(420));
        let mut states: Vec<Option<JobState>> = vec![None; 4];
        let interrupted = match which {
            0 => tokio::time::timeout(pause, round(&link, &jobs, &mut states))
                .await
                .is_err(),
            _ => {
                let pids = if which == 1 {
                    vec![link.master.as_ref().unwrap().pid().unwrap() as i32]
                } else {
                    lab.sessions()
                };
                let killer = async {
                    tokio::time::sleep(pause).await;
                    for pid in pids {
                        kill(pid, Signal::KILL);
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    result = round(&link, &jobs, &mut states) => result.is_err(),
                    () = killer => unreachable!(),
                }
            }
        };
        cut += usize::from(interrupted);
        if trial % 2 == 0 {
            drop(link);
        } else {
            link.close().await;
        }
        for (step, state) in to_the_end(&lab, &hub, &run, &mut epoch, &jobs)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(done(state).stdout, format!("said {trial}.{step}\n"));
        }
        let link = lab.link(&hub).await;
        epoch += 1;
        link.lock(&LOGIN, &[], &run, epoch, "t", false).await.unwrap();
        link.unlock().await.unwrap();
        link.close().await;
    }
    assert_eq!(lab.text("effects"), expected);
    eprintln!("sort {which}: {cut} kills in the middle");
    hub.close().await;
    cut
}

/// The supervisor alone, or the whole tree: never run again, and never called done.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_is_unknown_and_not_repeated() {
    let Some(lab) = Sshd::start("") else { return };
    let mut dice = Dice::new(9);
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    let (mut orphans, mut interrupted) = (0, 0);
    for trial in 0..12 {
        let whole = trial % 2 == 0;
        let id = job_id(&run, &format!("k{trial}"));
        let job = Job::new(format!(
            "echo begun {trial} >>{0}; sleep 1; echo ended {trial} >>{0}",
            lab.path("effects").display()
        ));
        let pause = Duration::from_millis(100 + dice.below(500));
        let jobs = lab.path("state/jobs");
        let killer = async {
            tokio::time::sleep(pause).await;
            let started = std::fs::read_to_string(jobs.join(format!("{id}.started"))).unwrap();
            let pid: i32 = started.split(' ').nth(1).unwrap().parse().unwrap();
            let children = children_of(pid);
            kill(pid, Signal::KILL);
            if whole {
                let below: Vec<i32> = children.iter().flat_map(|child| children_of(*child)).collect();
                for pid in children.into_iter().chain(below) {
                    kill(pid, Signal::KILL);
                }
            }
        };
        let (state, ()) = tokio::join!(start(&link, &id, &job), killer);
        match state {
            JobState::OrphanRunning => {
                orphans += 1;
                let ended = link.wait(&LOGIN, &id, None).await.unwrap();
                assert!(matches!(ended, JobState::Interrupted { reboot: false }), "{ended:?}");
            }
            JobState::Interrupted { reboot: false } => interrupted += 1,
            other => panic!("{other:?}"),
        }
        let again = start(&link, &id, &job).await;
        assert!(matches!(again, JobState::Interrupted { reboot: false }), "{again:?}");
        let log = lab.text("effects");
        assert_eq!(log.matches(&format!("begun {trial}\n")).count(), 1);
        assert_eq!(log.matches(&format!("ended {trial}\n")).count(), usize::from(!whole));
    }
    // The state is asked for at once: a tree that is being killed may still show as an orphan.
    assert!(orphans > 0 && orphans + interrupted == 12, "{orphans} {interrupted}");
    // Another boot id in the claim is a reboot.
    let id = job_id(&run, "boot");
    std::fs::write(
        lab.path("state/jobs").join(format!("{id}.started")),
        "other 1 1 1 end\n",
    )
    .unwrap();
    std::fs::write(lab.path("state/jobs").join(format!("{id}.lock")), "").unwrap();
    let state = link.status(&LOGIN, std::slice::from_ref(&id)).await.unwrap().remove(0);
    assert!(matches!(state, JobState::Interrupted { reboot: true }), "{state:?}");
    link.close().await;
    hub.close().await;
}

/// Files that are there and unfinished are never "running" and never "done".
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_records_are_unknown() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    let boot = link.facts(&LOGIN).await.unwrap().boot_id;
    let file = |id: &JobId, ending: &str| -> PathBuf { lab.path("state/jobs").join(format!("{id}.{ending}")) };
    let job = Job::new(format!("touch {}", lab.path("effect").display()));
    let started = format!("{boot} 1 1 1 end\n");
    for (name, started, result, corrupt) in [
        ("a", "", None, true),
        ("b", "ea7e", None, true),
        ("c", started.as_str(), Some(""), true),
        ("d", started.as_str(), Some("0 x"), true),
        ("e", started.as_str(), Some("x y - end\n"), true),
        ("f", started.as_str(), None, false),
        ("g", "", Some("3 x - end\n"), false),
    ] {
        let id = job_id(&run, name);
        std::fs::write(file(&id, "started"), started).unwrap();
        if let Some(result) = result {
            std::fs::write(file(&id, "result"), result).unwrap();
        }
        let state = start(&link, &id, &job).await;
        match state {
            JobState::Corrupt(_) => assert!(corrupt, "{name}"),
            JobState::Interrupted { reboot: false } => assert_eq!(name, "f"),
            JobState::Done { output, .. } => assert_eq!((name, output.rc), ("g", 3)),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(!lab.path("effect").exists());
    // A payload that removes its own record.
    let id = job_id(&run, "hostile");
    let hostile = Job::new(format!("rm -rf {}; echo x", lab.path("state/jobs").display()));
    let state = start(&link, &id, &hostile).await;
    assert!(matches!(state, JobState::Corrupt(_)), "{state:?}");
    let state = link.status(&LOGIN, std::slice::from_ref(&id)).await.unwrap().remove(0);
    assert!(matches!(state, JobState::Corrupt(_)), "{state:?}");
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_never_lies() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a tmpfs needs root");
        return;
    }
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    let jobs = lab.path("state/jobs");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k,mode=700", "refit-test"])
        .arg(&jobs)
        .status()
        .unwrap();
    if !mounted.success() {
        assert!(std::env::var_os("CI").is_none(), "cannot mount");
        eprintln!("skipped: cannot mount");
        return;
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let _unmount = Unmount(jobs.clone());
    let effects = lab.path("effects");
    let effect = |word: &str| Job::new(format!("echo {word} >>{}", effects.display()));
    assert_eq!(done(start(&link, &job_id(&run, "ok"), &effect("ok")).await).rc, 0);
    // The payload fills the disk: its result cannot be written, or can since the script is removed for it.
    let fill = Job::new(format!(
        "echo filled >>{}; cat /dev/zero >{}/fill 2>/dev/null; exit 5",
        effects.display(),
        jobs.display()
    ));
    let state = start(&link, &job_id(&run, "fill"), &fill).await;
    assert!(
        matches!(&state, JobState::Corrupt(_) | JobState::Done { .. }),
        "{state:?}"
    );
    if let JobState::Done { output, .. } = state {
        assert_eq!(output.rc, 5);
    }
    std::fs::write(jobs.join("more"), vec![0; 1 << 20]).unwrap_err();
    let state = start(&link, &job_id(&run, "full"), &effect("never")).await;
    assert!(
        matches!(&state, JobState::Refused(why) if why.contains("no space")),
        "{state:?}"
    );
    let state = link.status(&LOGIN, &[job_id(&run, "full")]).await.unwrap().remove(0);
    assert!(matches!(state, JobState::None), "{state:?}");
    assert!(
        Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&jobs)
            .status()
            .unwrap()
            .success()
    );
    let state = start(&link, &job_id(&run, "ro"), &effect("never")).await;
    assert!(matches!(state, JobState::Refused(_)), "{state:?}");
    assert!(
        Command::new("mount")
            .args(["-o", "remount,rw,size=1m"])
            .arg(&jobs)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(done(start(&link, &job_id(&run, "full"), &effect("later")).await).rc, 0);
    assert_eq!(lab.text("effects"), "ok\nfilled\nlater\n");
    link.close().await;
    hub.close().await;
}

/// Not a test: the controller that the next one kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs as the child of another test"]
async fn controller() {
    let Ok(vars) = std::env::var("REFIT_TEST_VARS") else {
        return;
    };
    let vars: std::collections::HashMap<String, serde_json::Value> = serde_json::from_str(&vars).unwrap();
    let host = crate::id::HostName::new("h1").unwrap();
    let get = |name: &str| {
        vars.get(name).map(|value| super::super::Var {
            value: value.clone(),
            secret: false,
            at: None,
        })
    };
    let target = super::super::Target::from_vars(&host, get).unwrap().0;
    let hub = lab::hub();
    let link = hub.connect(&target).await.unwrap();
    let run = RunId::stored("run");
    link.lock(&LOGIN, &[], &run, 1, "child", false).await.unwrap();
    println!("FOLDER {}", hub.folder().display());
    println!(
        "MASTER {}",
        link.master.as_ref().map_or(0, |master| master.pid().unwrap())
    );
    let second = hub.connect(&target).await.unwrap();
    let job = Job::new(std::env::var("REFIT_TEST_JOB").unwrap());
    let id = job_id(&run, "job");
    let start = Start {
        id,
        job: &job,
        go_on: &[],
        files: Vec::new(),
    };
    let probes = [Probe::new("exec sleep 3000808")];
    let _ = tokio::join!(
        link.jobs(&LOGIN, std::slice::from_ref(&start), |_, _| {}),
        second.probes(&LOGIN, &probes)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_by_9_takes_its_ssh_and_probes_with_it_and_no_job() {
    for kind in ["ssh", "local"] {
        let Some(lab) = Sshd::start("") else { return };
        let lab = lab.set("ansible_connection", kind);
        let effects = lab.path("effects");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "connection::tests::faults::controller",
                "--ignored",
                "--nocapture",
            ])
            .env("REFIT_TEST_VARS", serde_json::to_string(&lab.vars).unwrap())
            .env(
                "REFIT_TEST_JOB",
                format!("echo begun >>{0}; sleep 2; echo ended >>{0}", effects.display()),
            )
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the job and the probe run", || {
            lab.text("effects") == "begun\n" && !named("sleep\x003000808\x00").is_empty()
        })
        .await;
        child.kill().unwrap();
        let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let folder = printed
            .lines()
            .find_map(|line| line.split("FOLDER ").nth(1))
            .unwrap()
            .to_owned();
        eventually("the probe is gone", || named("sleep\x003000808\x00").is_empty()).await;
        eventually("ssh is gone", || named(&folder).is_empty()).await;
        eventually("the folder of sockets is gone", || {
            !std::path::Path::new(&folder).exists()
        })
        .await;
        let hub = lab::hub();
        let link = lab.link(&hub).await;
        let run = RunId::stored("run");
        link.lock(&LOGIN, &[], &run, 2, "t", false).await.unwrap();
        let job = Job::new("echo never");
        let id = job_id(&run, "job");
        assert!(matches!(start(&link, &id, &job).await, JobState::Running));
        assert_eq!(done(link.wait(&LOGIN, &id, None).await.unwrap()).rc, 0);
        assert_eq!(lab.text("effects"), "begun\nended\n");
        link.close().await;
        hub.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_master_is_told_and_names_why() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    let probe = [Probe::new("sleep 20")];
    let pid = link.master.as_ref().unwrap().pid().unwrap() as i32;
    let killer = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        kill(pid, Signal::KILL);
    };
    let (lost, ()) = tokio::join!(link.probes(&LOGIN, &probe), killer);
    assert!(lost.unwrap_err().text.contains("the connection ended"));
    assert!(link.master.as_ref().unwrap().ended().await.text.contains("signal: 9"));
    let lost = link.probes(&LOGIN, &probe).await.unwrap_err();
    assert!(lost.text.contains("the connection ended"), "{lost}");
    link.close().await;
    let link = lab.link(&hub).await;
    for pid in lab.sessions() {
        kill(pid, Signal::KILL);
    }
    let lost = tokio::time::timeout(Duration::from_secs(5), link.master.as_ref().unwrap().ended())
        .await
        .unwrap();
    assert!(!lost.text.is_empty());
    link.close().await;
    hub.close().await;
}

/// A secret of the environment is in no command line while it runs, and in no file afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_shows_nowhere() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let (link, run) = locked(&lab, &hub).await;
    let canary = "canary-7f3a9e'quoted";
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let watch = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut seen = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                seen += named("canary-7f3a9e").len();
            }
            seen
        }
    });
    let mut job = Job::new("sleep 0.2; [ \"${#SECRET}\" = 20 ] && echo has it");
    job.environment.insert("SECRET".to_owned(), canary.to_owned());
    let mut probe = Probe::new("sleep 0.2; [ \"${#SECRET}\" = 20 ] && echo has it");
    probe.environment.insert("SECRET".to_owned(), canary.to_owned());
    for i in 0..3 {
        let output = done(start(&link, &job_id(&run, &format!("s{i}")), &job).await);
        assert_eq!(output.stdout, "has it\n");
        let results = link.probes(&LOGIN, std::slice::from_ref(&probe)).await.unwrap();
        assert_eq!(results[0].as_ref().unwrap().stdout, "has it\n");
    }
    assert_eq!(sh(&link, &LOGIN, "echo ${SECRET-unset}").await.stdout, "unset\n");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(watch.join().unwrap(), 0);
    let mut folders = vec![lab.path("state"), lab.path("home"), hub.folder().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path()) {
                files += 1;
                assert!(
                    !String::from_utf8_lossy(&bytes).contains("canary-7f3a9e"),
                    "{:?}",
                    entry.path()
                );
            }
        }
    }
    assert!(files > 10);
    link.close().await;
    hub.close().await;
}
