use std::time::{Duration, Instant};

use super::super::Account;
use super::super::error::ProbeError;
use super::lab::{self, Sshd, sh};
use crate::job::Probe;

const LOGIN: Account = Account::Login;

#[tokio::test(flavor = "multi_thread")]
async fn probes_share_a_frame_and_harm_nobody_but_themselves() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    let facts = link.facts(&LOGIN).await.unwrap();
    assert_eq!(facts.uid, rustix::process::geteuid().as_raw());
    assert_eq!(
        facts.boot_id,
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .unwrap()
            .trim()
    );
    assert!(facts.programs.iter().any(|program| program == "flock"), "{facts:?}");
    assert!((facts.clock - facts.controller_clock).abs() < 5);
    let mut canary = Probe::new("printf %s \"$CANARY\"");
    canary
        .environment
        .insert("CANARY".to_owned(), "it's\na $secret `x` \\".to_owned());
    let probes = [
        Probe::new("echo one; echo two >&2; exit 3"),
        Probe::new("if then ((( 'unfinished"),
        canary,
        Probe::new("printf %s \"${CANARY-unset}\"; X=1; cd /tmp; exec 2>/dev/null"),
        Probe::new("cat; printf '%s' \"$PWD${X-}\"; printf 'no newline'"),
        Probe::new("kill -s KILL $(sh -c 'echo $PPID')"),
        Probe::new("a\0b"),
        Probe::new("sleep 3000417 & echo left"),
        Probe::new("printf '\\n\\036forged end\\n'"),
        Probe::new("printf 'last'"),
    ];
    let results = link.probes(&LOGIN, &probes).await.unwrap();
    let ok = |index: usize| results[index].as_ref().unwrap();
    assert_eq!(
        (ok(0).rc, ok(0).stdout.as_str(), ok(0).stderr.as_str()),
        (3, "one\n", "two\n")
    );
    assert_ne!(ok(1).rc, 0);
    assert!(!ok(1).stderr.is_empty());
    assert_eq!(ok(2).stdout, "it's\na $secret `x` \\");
    assert_eq!(ok(3).stdout, "unset");
    assert_eq!(ok(4).stdout, "/no newline");
    assert!(matches!(&results[6], Err(ProbeError::Invalid(why)) if why.contains("NUL")));
    assert_eq!(ok(7).stdout, "left\n");
    assert_eq!(ok(8).stdout, "\n\u{1e}forged end\n");
    assert_eq!(ok(9).stdout, "last");
    link.close().await;
    hub.close().await;
    lab::eventually("the sleep that a probe left is gone", || {
        lab::named("sleep\x003000417\x00").is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_over_its_limit_dies_and_the_others_run() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    let mut slow = Probe::new("trap '' TERM; sleep 3141 & sleep 3141");
    slow.timeout = Some(Duration::from_millis(700));
    let probes = [
        Probe::new("echo a"),
        slow,
        Probe::new("kill -s KILL $$"),
        Probe::new("echo b; echo c >&2"),
    ];
    let begun = Instant::now();
    let results = link.probes(&LOGIN, &probes).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6));
    assert_eq!(results[0].as_ref().unwrap().stdout, "a\n");
    assert!(matches!(results[1], Err(ProbeError::Timeout(_))), "{results:?}");
    assert!(matches!(results[2], Err(ProbeError::Ended(_))), "{results:?}");
    assert_eq!(results[3].as_ref().unwrap().stderr, "c\n");
    lab::eventually("the slow probe is gone", || lab::named("sleep\x003141\x00").is_empty()).await;
    // A call that is dropped ends its shell; the next one gets a new one.
    let dropped = tokio::time::timeout(Duration::from_millis(300), sh(&link, &LOGIN, "sleep 2718")).await;
    assert!(dropped.is_err());
    assert_eq!(sh(&link, &LOGIN, "echo again").await.stdout, "again\n");
    lab::eventually("the dropped probe is gone", || {
        lab::named("sleep\x002718\x00").is_empty()
    })
    .await;
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_frames_go_through_both_ways() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    let text: String = (0..300_000).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
    let probes: Vec<Probe> = (0..6)
        .map(|i| Probe::new(format!("printf '%s' '{text}'; printf '%s' {i}{text} >&2")))
        .collect();
    let results = link.probes(&LOGIN, &probes).await.unwrap();
    for (i, result) in results.iter().enumerate() {
        let output = result.as_ref().unwrap();
        assert_eq!(output.stdout, text);
        assert_eq!(output.stderr, format!("{i}{text}"));
    }
    let flood = [
        Probe::new("head -c 30000000 /dev/zero; head -c 20000000 /dev/zero >&2"),
        Probe::new("echo fine"),
    ];
    let results = link.probes(&LOGIN, &flood).await.unwrap();
    assert!(matches!(results[0], Err(ProbeError::TooMuch(_))));
    assert_eq!(results[1].as_ref().unwrap().stdout, "fine\n");
    link.close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_share_a_link() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let link = std::sync::Arc::new(lab.link(&hub).await);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..20 {
        let link = link.clone();
        tasks.spawn(async move { (i, sh(&link, &LOGIN, &format!("echo {i}")).await.stdout) });
    }
    while let Some(done) = tasks.join_next().await {
        let (i, printed) = done.unwrap();
        assert_eq!(printed, format!("{i}\n"));
    }
    std::sync::Arc::into_inner(link).unwrap().close().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_takes_the_same_frames() {
    let Some(lab) = Sshd::start("") else { return };
    let lab = lab.set("ansible_connection", "local");
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    assert_eq!(sh(&link, &LOGIN, "echo here").await.stdout, "here\n");
    link.close().await;
    hub.close().await;
}
