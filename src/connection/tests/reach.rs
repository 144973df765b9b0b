use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::super::error::{Cause, ConnectError};
use super::super::{Account, Hub};
use super::lab::{self, Sshd, need, sh};
use crate::kind::Probe;
use crate::secret::Redactor;

const LOGIN: Account = Account::Login;

async fn refused(hub: &Hub, lab: &Sshd) -> ConnectError {
    match hub.connect(&lab.target()).await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_apart_with_opensshs_words() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let known = lab.text("known_hosts");
    std::fs::write(lab.path("known_hosts"), "").unwrap();
    let error = refused(&hub, &lab).await;
    assert_eq!(error.cause, Cause::HostKeyUnknown, "{error:?}");
    assert!(error.text.contains("Host key verification failed"), "{error:?}");
    let line = format!("ssh-keyscan -p {} 127.0.0.1", lab.port);
    assert!(error.hint.unwrap().contains(&line));
    let other = lab.text("user.pub");
    std::fs::write(lab.path("known_hosts"), format!("[127.0.0.1]:{} {other}", lab.port)).unwrap();
    let error = refused(&hub, &lab).await;
    assert_eq!(error.cause, Cause::HostKeyChanged, "{error:?}");
    std::fs::write(lab.path("known_hosts"), &known).unwrap();
    let key = lab.text("user");
    std::fs::write(lab.path("user"), lab.text("host")).unwrap();
    let error = refused(&hub, &lab).await;
    assert_eq!(error.cause, Cause::Authentication, "{error:?}");
    assert!(error.text.contains("Permission denied ("));
    std::fs::write(lab.path("user"), key).unwrap();
    lab.link(&hub).await.close().await;
    // A listener that closes at once, as MaxStartups does; it is tried again within the limit.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tries = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    std::thread::spawn({
        let tries = tries.clone();
        move || {
            for stream in listener.incoming().flatten() {
                tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                drop(stream);
            }
        }
    });
    let lab = lab.set("ansible_port", port).set("ansible_ssh_timeout", 3);
    let error = refused(&hub, &lab).await;
    assert_eq!(error.cause, Cause::ClosedBeforeBanner, "{error:?}");
    assert!(error.hint.unwrap().contains("MaxStartups"));
    assert!(tries.load(std::sync::atomic::Ordering::Relaxed) >= 2);
    // Nobody listens; a name that does not exist; a server that says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let quiet = silent.local_addr().unwrap().port();
    let lab = lab.set("ansible_port", quiet).set("ansible_ssh_timeout", 2);
    let begun = Instant::now();
    let error = refused(&hub, &lab).await;
    assert_eq!(error.cause, Cause::Timeout, "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(8));
    drop(silent);
    let error = refused(&hub, &lab).await;
    assert_eq!(error.cause, Cause::Refused, "{error:?}");
    assert!(error.text.contains("Connection refused"));
    let jump = format!("-F {} -J localhost:{quiet}", lab.path("ssh_config").display());
    let lab = lab.set("ansible_ssh_common_args", jump);
    let error = refused(&hub, &lab).await;
    assert_eq!(error.cause, Cause::JumpHost, "{error:?}");
    assert!(error.text.contains("Connection refused"), "{error:?}");
    let lab = lab
        .set("ansible_host", "no-such-name.invalid")
        .set("ansible_ssh_common_args", "");
    let error = refused(&hub, &lab).await;
    assert_eq!(error.cause, Cause::UnknownName, "{error:?}");
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_is_gone_through() {
    let (Some(bastion), Some(lab)) = (Sshd::start(""), Sshd::start("")) else {
        return;
    };
    // What a user's file says of the jump host holds for it; the options of the target do not reach it.
    let config = format!(
        "Host 127.0.0.1\n  Port {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        bastion.port,
        bastion.path("user").display(),
        bastion.path("known_hosts").display()
    );
    std::fs::write(lab.path("ssh_config"), config).unwrap();
    let args = format!(
        "-F {} -o UserKnownHostsFile={} -o ProxyCommand='ssh -q -W %h:%p -p {} 127.0.0.1'",
        lab.path("ssh_config").display(),
        lab.path("known_hosts").display(),
        bastion.port
    );
    let lab = lab
        .set("ansible_ssh_common_args", args)
        .set("ansible_host", "localhost");
    let known = lab.text("known_hosts").replace("127.0.0.1", "localhost");
    std::fs::write(lab.path("known_hosts"), known).unwrap();
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    assert_eq!(sh(&link, &LOGIN, "echo through").await.stdout, "through\n");
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_that_talk_and_shells_of_other_kinds() {
    let noisy = "ForceCommand echo hello; echo 'motd: \\036x ready' ; echo warning >&2; eval \"$SSH_ORIGINAL_COMMAND\"";
    let mut kinds = vec![noisy.to_owned()];
    for shell in ["bash", "fish", "tcsh", "csh", "ksh", "busybox"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if std::env::split_paths(&path).any(|folder| folder.join(shell).is_file()) {
            let run = if shell == "busybox" {
                "busybox sh".to_owned()
            } else {
                shell.to_owned()
            };
            kinds.push(format!("ForceCommand exec {run} -c \"$SSH_ORIGINAL_COMMAND\""));
        } else {
            eprintln!("skipped: {shell} is missing");
        }
    }
    for extra in kinds {
        let Some(lab) = Sshd::start(&extra) else { return };
        let hub = lab::hub();
        let (link, run) = lab::locked(&lab, &hub).await;
        let output = sh(&link, &LOGIN, "echo out; echo err >&2").await;
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str()),
            ("out\n", "err\n"),
            "{extra}"
        );
        let job = crate::kind::Job::new("echo job");
        let output = super::jobs::done(super::jobs::start(&link, &lab::job_id(&run, "a"), &job).await);
        assert_eq!(output.stdout, "job\n");
        link.close().await;
        hub.close().await;
    }
    for (extra, words) in [
        (
            "ForceCommand echo 'This account is closed.'; exit 1",
            "This account is closed.",
        ),
        (
            "ForceCommand echo 'only rsync here' >&2; exec sleep 3000555",
            "only rsync here",
        ),
    ] {
        let Some(lab) = Sshd::start(extra) else { return };
        let lab = lab.set("ansible_ssh_timeout", 2);
        let hub = lab::hub();
        let mut target = lab.target();
        target.timeout = Duration::from_secs(2);
        let error = match tokio::time::timeout(Duration::from_secs(45), hub.connect(&target))
            .await
            .unwrap()
        {
            Ok(_) => panic!("a shell answered"),
            Err(error) => error,
        };
        assert_eq!(error.cause, Cause::NoShell, "{error:?}");
        assert!(error.text.contains(words), "{error:?}");
        hub.close().await;
    }
    for pid in lab::named("sleep\x003000555\x00") {
        lab::kill(pid, rustix::process::Signal::KILL);
    }
}

/// A sudo that asks as sudo does, with a password file of its own.
const SUDO: &str = r#"#!/bin/sh
n=; S=; p=
while :; do case $1 in -n) n=1; shift;; -k|-H) shift;; -S) S=1; shift;; -p) p=$2; shift 2;; -u) shift 2;; --) shift; break;; *) echo "sudo: unknown $1" >&2; exit 1;; esac; done
mode=$(cat "${0%/*}/mode")
case $mode in
  free) ;;
  denied) echo 'Sorry, user x is not allowed to execute that as root.' >&2; exit 1;;
  tty) echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1;;
  *) [ -z "$n" ] || { echo 'sudo: a password is required' >&2; exit 1; }
     i=0; while :; do printf %s "$p" >&2; IFS= read -r line || { echo 'sudo: no password was provided' >&2; exit 1; }
       [ "$line" = "$mode" ] && break; echo 'Sorry, try again.' >&2; i=$((i+1)); [ $i -lt 3 ] || { echo 'sudo: 3 incorrect password attempts' >&2; exit 1; }; done;;
esac
exec "$@"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn sudo_gets_its_password_only_when_it_asks() {
    let Some(lab) = Sshd::start("") else { return };
    let exe = lab.path("sudo");
    std::fs::write(&exe, SUDO).unwrap();
    std::fs::set_permissions(&exe, std::fs::Permissions::from_mode(0o755)).unwrap();
    let lab = lab.set("ansible_become_exe", exe.display().to_string());
    let mode = |text: &str| std::fs::write(lab.path("mode"), text).unwrap();
    let root = Account::Sudo("root".to_owned());
    let hub = Hub::new(Redactor::default()).unwrap();
    let password = "pw with 'quotes' $x; touch /tmp/never";
    for (setting, given, cause) in [
        ("free", None, None),
        ("free", Some(password), None),
        (password, Some(password), None),
        (password, Some("wrong-one"), Some(Cause::SudoPassword)),
        (password, None, Some(Cause::SudoPassword)),
        ("denied", Some(password), Some(Cause::SudoRefused)),
        ("tty", None, Some(Cause::SudoTerminal)),
    ] {
        mode(setting);
        let mut target = lab.target();
        target.sudo.password = given.map(crate::secret::Secret::new);
        let link = hub.connect(&target).await.unwrap();
        let found = link.probes(&root, &[Probe::new("echo as root; cat")]).await;
        match (found, cause) {
            (Ok(results), None) => {
                let output = results[0].as_ref().unwrap();
                // A password sent without need would have been run as a command.
                assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("as root\n", ""));
            }
            (Err(lost), Some(cause)) => {
                assert_eq!(lost.cause, Some(cause), "{lost}");
                assert!(
                    !lost.text.contains(password) && !lost.text.contains("wrong-one"),
                    "{lost}"
                );
            }
            (found, cause) => panic!("{setting} {given:?}: {found:?}, {cause:?} expected"),
        }
        assert_eq!(sh(&link, &LOGIN, "echo still").await.stdout, "still\n");
        link.close().await;
    }
    let mut target = lab.target();
    target.sudo.exe = "/no/such/sudo".to_owned();
    let link = hub.connect(&target).await.unwrap();
    let lost = link.probes(&root, &[Probe::new("true")]).await.unwrap_err();
    assert_eq!(lost.cause, Some(Cause::SudoMissing), "{lost}");
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_gives_other_accounts_a_folder() {
    if !rustix::process::geteuid().is_root() || need("sudo").is_none() {
        return;
    }
    let Some(lab) = Sshd::start("") else { return };
    std::fs::set_permissions(lab.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    let nobody = Account::Sudo("nobody".to_owned());
    let run = crate::id::RunId::fresh();
    link.lock(&LOGIN, std::slice::from_ref(&nobody), &run, 1, "t", false)
        .await
        .unwrap();
    let facts = link.facts(&nobody).await.unwrap();
    assert_eq!(
        (facts.user.as_str(), facts.state_dir),
        ("nobody", lab.path("state").display().to_string())
    );
    let job = crate::kind::Job::new("id -un; echo $REFIT_STATE");
    let id = lab::job_id(&run, "a");
    let mut printed = String::new();
    let start = super::super::Start {
        id,
        job: &job,
        go_on: &[],
        files: Vec::new(),
    };
    link.jobs(&nobody, &[start], |_, state| printed = super::jobs::done(state).stdout)
        .await
        .unwrap();
    assert_eq!(
        printed,
        format!("nobody\n{}/u-{}\n", lab.path("state").display(), facts.uid)
    );
    // The holder's fence rules over it.
    std::fs::write(lab.path(&format!("state/fence-{}", facts.uid)), "5 end\n").unwrap();
    let start = super::super::Start {
        id: lab::job_id(&run, "b"),
        job: &job,
        go_on: &[],
        files: Vec::new(),
    };
    let lost = link
        .jobs(&nobody, &[start], |_, state| panic!("{state:?}"))
        .await
        .unwrap_err();
    assert_eq!(lost.cause, Some(Cause::Fenced));
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_do_not_get_in_one_anothers_way() {
    let Some(lab) = Sshd::start("") else { return };
    let first = lab::hub();
    let parent = first.folder().parent().unwrap().to_owned();
    let left = parent.join(format!("left-{}", lab.port));
    std::fs::create_dir(&left).unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::create(left.join("lock"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    let second = lab::hub();
    assert!(!left.exists() && first.folder().exists() && second.folder().exists());
    first.close().await;
    second.close().await;
    let hub = std::sync::Arc::new(lab::hub());
    let lab = std::sync::Arc::new(lab);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (hub, lab) = (hub.clone(), lab.clone());
        tasks.spawn(async move {
            for i in 0..10 {
                match hub.connect(&lab.target()).await {
                    Ok(link) => {
                        if i % 2 == 0 {
                            drop(link)
                        } else {
                            link.close().await
                        }
                    }
                    Err(error) => panic!("{i}: {error:?}"),
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}
