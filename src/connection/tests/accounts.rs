//! Real accounts and a real sudo (with `use_pty`), hosts that go dark and reboot: on machines that boot systemd. `deploy`
//! has NOPASSWD, `ops` the password `ops-secret`, `plain` nothing. Only the network of the machines reaches them, so one
//! test starts them and runs the others in there, by this same program; REFIT_LAB names their folder.

use std::path::PathBuf;

use super::super::error::Cause;
use super::super::{Account, Hub, Identity, Link, LockError, Start, Target, Var};
use super::lab::{self, job_id, sh};
use crate::id::{HostName, RunId};
use crate::kind::{Job, Probe};
use crate::secret::Secret;

const LOGIN: Account = Account::Login;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/hosts.sh");

#[test]
fn on_machines() {
    let dir = tempfile::Builder::new()
        .prefix("refit-test-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let script = |arguments: &[&str]| {
        let mut command = std::process::Command::new("bash");
        command
            .arg(SCRIPT)
            .args(arguments)
            .env("REFIT_LAB", dir.path().join("lab"))
            .env("REFIT_LAB_NS", format!("refit{}", std::process::id()))
            .env("REFIT_LAB_BASES", "/var/tmp/refit-lab/bases")
            .env("REFIT_LAB_OWNER", std::process::id().to_string());
        command.output().unwrap()
    };
    let up = script(&["up", "1"]);
    let said = String::from_utf8_lossy(&up.stderr).into_owned();
    if up.status.code() == Some(77) {
        assert!(std::env::var_os("CI").is_none(), "this is CI, and {said}");
        eprintln!("skipped: {said}");
        return;
    }
    assert!(up.status.success(), "{said}");
    let program = std::env::current_exe().unwrap().display().to_string();
    let inside = module_path!().split_once("::").unwrap().1.to_owned() + "::";
    let ended = script(&["run", &program, &inside, "--ignored", "--nocapture", "--test-threads=1"]);
    script(&["down"]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    println!("{said}");
    assert!(ended.status.success() && said.contains("4 passed"), "{said}");
}

fn target(user: &str) -> Target {
    let folder = PathBuf::from(std::env::var_os("REFIT_LAB").expect("REFIT_LAB"));
    let inventory = std::fs::read_to_string(folder.join("inventory.ini")).unwrap();
    let address = inventory
        .split("ansible_host=")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let get = |name: &str| {
        let value = match name {
            "ansible_host" => address.to_owned(),
            "ansible_user" => user.to_owned(),
            "ansible_ssh_private_key_file" => folder.join("key").display().to_string(),
            "ansible_ssh_common_args" => format!("-F /dev/null -o UserKnownHostsFile={}/known_hosts", folder.display()),
            _ => return None,
        };
        Some(Var {
            value: value.into(),
            secret: false,
            at: None,
        })
    };
    Target::from_vars(&HostName::new("h1").unwrap(), get).unwrap().0
}

async fn link(hub: &Hub, user: &str, password: Option<&str>) -> Link {
    let mut target = target(user);
    target.sudo.password = password.map(Secret::new);
    hub.connect(&target).await.unwrap()
}

fn root() -> Account {
    Account::Sudo("root".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by on_machines"]
async fn sudo_is_told_apart() {
    let hub = lab::hub();
    for (user, password, cause) in [
        ("deploy", None, None),
        ("deploy", Some("touch-/tmp/never"), None),
        ("ops", Some("ops-secret"), None),
        ("ops", Some("ops-wrong"), Some(Cause::SudoPassword)),
        ("ops", None, Some(Cause::SudoPassword)),
        // sudo asks before it says that no password would do.
        ("plain", Some("whatever"), Some(Cause::SudoPassword)),
        ("plain", None, Some(Cause::SudoPassword)),
    ] {
        let link = link(&hub, user, password).await;
        match (
            link.probes(&root(), &[Probe::new("id -u; echo $HOME; sleep 0; cat")])
                .await,
            cause,
        ) {
            (Ok(results), None) => assert_eq!(results[0].as_ref().unwrap().stdout, "0\n/root\n", "{user}"),
            (Err(lost), Some(cause)) => {
                assert_eq!(lost.cause, Some(cause), "{user} {lost:?}");
                assert!(!lost.text.contains("ops-wrong"));
            }
            (found, cause) => panic!("{user}: {found:?}, {cause:?} expected"),
        }
        link.close().await;
    }
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by on_machines"]
async fn the_pump_ends_probes_behind_sudo_and_jobs_live() {
    let hub = lab::hub();
    let first = link(&hub, "ops", Some("ops-secret")).await;
    let run = RunId::fresh();
    let postgres = Account::Sudo("daemon".to_owned());
    let look = first.look(&root()).await.unwrap();
    assert_eq!(look.facts.state_dir, "/var/lib/refit");
    assert!(look.state.problems.is_empty(), "{:?}", look.state.problems);
    let held = first
        .lock(
            &root(),
            std::slice::from_ref(&postgres),
            &run,
            look.fence + 1,
            "one",
            look.holder.is_some(),
        )
        .await
        .unwrap();
    assert!(matches!(held.identity, Identity::Id(_)));
    let id = job_id(&run, "long");
    let job = Job::new("echo begun >>/root/effects; sleep 2; id -un; echo ended >>/root/effects");
    let cut = {
        let starts = [Start {
            id: id.clone(),
            job: &job,
            go_on: &[],
            files: Vec::new(),
        }];
        tokio::time::timeout(
            std::time::Duration::from_millis(900),
            first.jobs(&root(), &starts, |_, _| {}),
        )
        .await
        .is_err()
    };
    assert!(cut);
    let cut = tokio::time::timeout(
        std::time::Duration::from_millis(900),
        sh(&first, &root(), "sleep 4000123"),
    )
    .await;
    assert!(cut.is_err());
    drop(first);
    let second = link(&hub, "deploy", None).await;
    let other = second
        .lock(&root(), &[], &RunId::fresh(), look.fence + 1, "two", false)
        .await;
    assert!(
        matches!(&other, Err(LockError::HeldBy(holder)) if holder.run == run),
        "{other:?}"
    );
    second
        .lock(
            &root(),
            std::slice::from_ref(&postgres),
            &run,
            look.fence + 2,
            "two",
            false,
        )
        .await
        .unwrap();
    let output = super::jobs::done(second.wait(&root(), &id, None).await.unwrap());
    assert_eq!(output.stdout, "root\n");
    assert_eq!(
        sh(
            &second,
            &root(),
            "cat /root/effects; rm /root/effects; pgrep -f 'slee[p] 4000123'"
        )
        .await
        .stdout,
        "begun\nended\n"
    );
    // Another account has its own folder below.
    let job = Job::new("id -un; echo $REFIT_STATE");
    let start = Start {
        id: job_id(&run, "other"),
        job: &job,
        go_on: &[],
        files: Vec::new(),
    };
    let mut printed = String::new();
    second
        .jobs(&postgres, &[start], |_, state| {
            printed = super::jobs::done(state).stdout
        })
        .await
        .unwrap();
    assert_eq!(printed, "daemon\n/var/lib/refit/u-1\n");
    second.unlock().await.unwrap();
    second.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by on_machines"]
async fn a_login_without_root_keeps_its_own_folder() {
    let hub = lab::hub();
    let link = link(&hub, "plain", None).await;
    let shell = sh(
        &link,
        &LOGIN,
        "sed -n 's/^plain:.*://p' /etc/passwd; ps -o comm= -p $PPID",
    )
    .await;
    eprintln!("login shell: {}", shell.stdout);
    let run = RunId::fresh();
    let look = link.look(&LOGIN).await.unwrap();
    assert_eq!(look.facts.state_dir, "/home/plain/.local/state/refit");
    link.lock(&LOGIN, &[], &run, look.fence + 1, "one", false)
        .await
        .unwrap();
    let job = Job::new("echo fine");
    let output = super::jobs::done(super::jobs::start(&link, &job_id(&run, "a"), &job).await);
    assert_eq!(output.stdout, "fine\n");
    link.unlock().await.unwrap();
    link.close().await;
    hub.close().await;
}

fn lab_script(arguments: &[&str]) {
    let status = std::process::Command::new("bash")
        .arg(SCRIPT)
        .args(arguments)
        .status()
        .unwrap();
    assert!(status.success(), "{arguments:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by on_machines"]
async fn a_host_that_goes_dark_is_noticed_and_a_reboot_is_seen() {
    let hub = lab::hub();
    let first = link(&hub, "root", None).await;
    let run = RunId::fresh();
    let fence = first.look(&LOGIN).await.unwrap().fence;
    first.lock(&LOGIN, &[], &run, fence + 1, "one", true).await.unwrap();
    sh(&first, &LOGIN, "rm -f /root/effects").await;
    let id = job_id(&run, "long");
    let job = Job::new("echo begun >>/root/effects; sleep 600; echo ended >>/root/effects");
    let starts = [Start {
        id: id.clone(),
        job: &job,
        go_on: &[],
        files: Vec::new(),
    }];
    let begun = std::time::Instant::now();
    let dark = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        tokio::task::spawn_blocking(|| lab_script(&["fault", "h1", "drop"]))
            .await
            .unwrap();
    };
    let (lost, _) = tokio::join!(first.jobs(&LOGIN, &starts, |_, _| {}), dark);
    let lost = lost.unwrap_err();
    eprintln!("noticed after {:?}: {lost}", begun.elapsed());
    assert!(begun.elapsed() < std::time::Duration::from_secs(75));
    assert!(lost.text.contains("not responding"), "{lost}");
    first.close().await;
    lab_script(&["fault", "h1", "none"]);
    // The server still holds the old connection, with the lock: the same run with a higher epoch ends it.
    let second = link(&hub, "root", None).await;
    second.lock(&LOGIN, &[], &run, fence + 2, "one", false).await.unwrap();
    let state = second
        .status(&LOGIN, std::slice::from_ref(&id))
        .await
        .unwrap()
        .remove(0);
    assert!(matches!(state, crate::job::JobState::Running), "{state:?}");
    let boot = second.facts(&LOGIN).await.unwrap().boot_id;
    second.close().await;
    lab_script(&["reboot", "h1"]);
    let third = link(&hub, "root", None).await;
    third.lock(&LOGIN, &[], &run, fence + 3, "one", false).await.unwrap();
    assert_ne!(third.facts(&LOGIN).await.unwrap().boot_id, boot);
    let state = third.status(&LOGIN, std::slice::from_ref(&id)).await.unwrap().remove(0);
    assert!(
        matches!(state, crate::job::JobState::Interrupted { reboot: true }),
        "{state:?}"
    );
    assert_eq!(
        sh(&third, &LOGIN, "cat /root/effects; rm /root/effects").await.stdout,
        "begun\n"
    );
    third.unlock().await.unwrap();
    third.close().await;
    hub.close().await;
}
