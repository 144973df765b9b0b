//! Groups over the list that a probe gives: what is planned, run and kept to after a resume, and where a run may stop.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{Ended, Fleet, finish, signal, until};

/// What the probe reads is `path` of h1.
const HOPS: &str = r#"
hosts: fleet
probes:
  - command: cat {{ host_root }}/path
    reads: true
    run_once: true
    register: found
vars:
  cluster: "{{ found.stdout | from_json }}"
stages:
  - name: "Hop to {{ hop.to }}"
    for_each: "{{ cluster.path }}"
    as: hop
    stages:
      - name: Back up
        run_once: true
        steps:
          - shell: echo backup {{ hop.to }} >> {{ host_root }}/effects
      - name: Swap
        serial: 1
        steps:
          - id: swap
            shell: echo swap {{ hop.to }} >> {{ host_root }}/effects; until [ -e {{ host_root }}/go-{{ hop.to }} ]; do sleep 0.05; done
  - name: Tell
    for_each: "{{ cluster.path }}"
    as: hop
    steps:
      - shell: echo told {{ hop.to }} >> {{ host_root }}/effects
"#;

fn path(fleet: &Fleet, versions: &[&str]) {
    let items: Vec<Value> = versions.iter().map(|to| serde_json::json!({"to": to})).collect();
    let text = serde_json::json!({"path": items}).to_string();
    for host in ["h1", "h2"] {
        std::fs::write(fleet.root(host).join("path"), &text).unwrap();
    }
}

fn go(fleet: &Fleet, host: &str, version: &str) {
    std::fs::write(fleet.root(host).join(format!("go-{version}")), "").unwrap();
}

fn plan(fleet: &Fleet, playbook: &str) -> Ended {
    let inventory = fleet.inventory();
    fleet.refit(&["plan", playbook, "-i", &inventory, "--output", "json"])
}

/// Gives the program time to take a signal in.
fn moment() {
    std::thread::sleep(Duration::from_millis(300));
}

/// Names of the units in a plan, or of those that ended in a run.
fn units(ended: &Ended) -> Vec<String> {
    let lines = ended
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .flat_map(|line| match line["event"].as_str() {
            Some("unit_ended") => vec![line.clone()],
            _ => line["units"].as_array().cloned().unwrap_or_default(),
        })
        .map(|unit| unit["unit"].as_str().unwrap().to_owned())
        .filter(|unit| !unit.starts_with("probes/"))
        .collect()
}

#[test]
fn what_a_probe_gives_is_planned_checked_and_run() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("hops.yml", HOPS);
    path(&fleet, &["1.30", "1.31"]);
    for host in ["h1", "h2"] {
        go(&fleet, host, "1.30");
        go(&fleet, host, "1.31");
    }
    let planned = plan(&fleet, &playbook);
    planned.exits(0).says_not("[?]");
    let of_hop = |hop: usize| {
        vec![
            format!("hop-to[{hop}]/back-up/shell@h1"),
            format!("hop-to[{hop}]/back-up/shell@h2"),
            format!("hop-to[{hop}]/swap/swap@h1"),
            format!("hop-to[{hop}]/swap/swap@h2"),
        ]
    };
    let told = |hop: usize| vec![format!("tell[{hop}]/shell@h1"), format!("tell[{hop}]/shell@h2")];
    let all = [of_hop(0), of_hop(1), told(0), told(1)].concat();
    assert_eq!(units(&planned), all);
    // The first host backs up for all.
    let run: Vec<String> = all
        .into_iter()
        .filter(|unit| !unit.contains("back-up/shell@h2"))
        .collect();
    let sorted = |ended: &Ended| {
        let mut names = units(ended);
        names.sort();
        names
    };
    let mut expected = run;
    expected.sort();
    let checked = fleet.run(&playbook, &["--check", "--output", "json"]);
    checked.exits(0);
    assert_eq!(sorted(&checked), expected);
    assert!(fleet.effects("h1").is_empty());
    let ran = fleet.run(&playbook, &["--output", "json"]);
    ran.exits(0);
    assert_eq!(sorted(&ran), expected);
    assert_eq!(
        fleet.effects("h1"),
        [
            "backup 1.30",
            "swap 1.30",
            "backup 1.31",
            "swap 1.31",
            "told 1.30",
            "told 1.31"
        ]
    );
    assert_eq!(
        fleet.effects("h2"),
        ["swap 1.30", "swap 1.31", "told 1.30", "told 1.31"]
    );
}

#[test]
fn an_empty_list_is_nothing_to_do() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("hops.yml", HOPS);
    path(&fleet, &[]);
    let mark = fleet.mark();
    plan(&fleet, &playbook).exits(0).says("nothing to do");
    fleet.run(&playbook, &["--check"]).exits(0).says("nothing to do");
    assert!(fleet.newer_than(&mark).is_empty(), "{:?}", fleet.newer_than(&mark));
    fleet
        .run(&playbook, &[])
        .exits(0)
        .says("stage hop-to: skipped: nothing to do")
        .says("stage tell: skipped: nothing to do");
    assert!(fleet.effects("h1").is_empty());
    // Without a probe no host belongs to it at all.
    let bare = fleet.write(
        "bare.yml",
        "hosts: fleet\nvars: { list: [] }\nstages:\n  - name: Each\n    for_each: \"{{ list }}\"\n    steps:\n      - command: \"true\"\n",
    );
    fleet.run(&bare, &[]).exits(0).says("nothing to do");
}

/// The probe says something else when the run goes on: the run keeps to what it began with, in groups that had not
/// begun as well.
#[test]
fn a_resume_keeps_the_list_that_the_run_began_with() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("hops.yml", HOPS);
    path(&fleet, &["1.30", "1.31"]);
    for host in ["h1", "h2"] {
        go(&fleet, host, "1.30");
    }
    let child = fleet.spawn_run(&playbook, &[]);
    until("the second hop's swap runs on h1", || {
        fleet.effects("h1").contains(&"swap 1.31".to_owned())
    });
    crate::fleet::kill(child.id());
    finish(child, Instant::now()).exits(1009);
    path(&fleet, &["1.31"]);
    for host in ["h1", "h2"] {
        go(&fleet, host, "1.31");
    }
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(
        fleet.effects("h1"),
        [
            "backup 1.30",
            "swap 1.30",
            "backup 1.31",
            "swap 1.31",
            "told 1.30",
            "told 1.31"
        ]
    );
    assert_eq!(
        fleet.effects("h2"),
        ["swap 1.30", "swap 1.31", "told 1.30", "told 1.31"]
    );
}

/// Ctrl-C in the last step of a hop: the run stands between two hops, and says so.
#[test]
fn a_stop_between_two_hops_is_named() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("hops.yml", HOPS);
    path(&fleet, &["1.30", "1.31"]);
    go(&fleet, "h1", "1.30");
    let child = fleet.spawn_run(&playbook, &[]);
    until("the last swap of the first hop", || {
        fleet.effects("h2").contains(&"swap 1.30".to_owned())
    });
    signal(child.id(), Signal::INT);
    moment();
    go(&fleet, "h2", "1.30");
    finish(child, Instant::now())
        .exits(130)
        .says("Hop to 1.30 is complete, Hop to 1.31 has not begun");
    assert_eq!(fleet.effects("h2"), ["swap 1.30"]);
    // Now in the middle of the second.
    go(&fleet, "h1", "1.31");
    let child = fleet.spawn(&["resume"]);
    until("the second hop's swap on h2", || {
        fleet.effects("h2").contains(&"swap 1.31".to_owned())
    });
    signal(child.id(), Signal::INT);
    moment();
    signal(child.id(), Signal::INT);
    finish(child, Instant::now())
        .exits(130)
        .says("Hop to 1.30 is complete, Hop to 1.31 is not complete");
    go(&fleet, "h2", "1.31");
    fleet.refit(&["resume"]).exits(0).says_not("is complete");
    assert_eq!(
        fleet.effects("h2"),
        ["swap 1.30", "swap 1.31", "told 1.30", "told 1.31"]
    );
}

/// A host that fails in a hop: those before it are complete.
#[test]
fn a_failure_names_the_hop_that_is_complete() {
    let Some(fleet) = Fleet::up(2) else { return };
    let broken = HOPS.replace("  - name: Tell", "  - name: Never").replace(
        "          - shell: echo backup",
        "          - shell: \"[ {{ hop.to }} != 1.31 ]\"\n          - shell: echo backup",
    );
    let playbook = fleet.write("hops.yml", &broken);
    path(&fleet, &["1.30", "1.31", "1.32"]);
    for host in ["h1", "h2"] {
        go(&fleet, host, "1.30");
    }
    fleet
        .run(&playbook, &[])
        .exits(2)
        .says("Hop to 1.30 is complete, Hop to 1.31 is not complete");
    assert_eq!(fleet.effects("h1"), ["backup 1.30", "swap 1.30"]);
}
