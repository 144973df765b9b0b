//! A step whose end nobody knows stops the run; `verify`, `idempotent` or a person decides.

use std::time::Instant;

use crate::fleet::{Fleet, finish, kill, until};

/// A step that says its pid, then waits; {MORE} is put into the step.
const STEP: &str = r#"
hosts: fleet
stages:
  - name: One
    max_fail: 1
    steps:
      - id: a
        shell: |
          echo a >> {{ host_root }}/effects
          [ -e {{ host_root }}/quick ] || { echo $$ > {{ host_root }}/pid; sleep 60; }
          echo a2 >> {{ host_root }}/effects
{MORE}
      - id: b
        shell: echo b >> {{ host_root }}/effects
  - name: Two
    steps:
      - id: c
        shell: echo c >> {{ host_root }}/effects
"#;

/// Runs it on two hosts and kills the job of h1, supervisor and payload, while it runs.
fn interrupted(fleet: &Fleet, more: &str) -> (String, crate::fleet::Ended) {
    std::fs::write(fleet.root("h2").join("quick"), "").unwrap();
    let child = killed(fleet, more);
    let ended = finish(child, Instant::now());
    (fleet.last_run(), ended)
}

fn killed(fleet: &Fleet, more: &str) -> std::process::Child {
    let playbook = fleet.write("unknown.yml", &STEP.replace("{MORE}", more));
    let child = fleet.spawn_run(&playbook, &[]);
    until("the step runs", || fleet.read("h1", "pid").ends_with('\n'));
    std::fs::write(fleet.root("h1").join("quick"), "").unwrap();
    let payload: u32 = fleet.read("h1", "pid").trim().parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{payload}/stat")).unwrap();
    let supervisor: u32 = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(supervisor > 1);
    // The supervisor first: it must not live to see the payload's end.
    kill(supervisor);
    crate::fleet::kill_tree(payload);
    child
}

#[test]
fn nobody_decides_while_the_controller_lives() {
    let Some(fleet) = Fleet::up(2) else { return };
    let child = killed(&fleet, "");
    let run = fleet.last_run();
    until("h1 is known to be unknown", || {
        fleet.outcomes(&run).contains(&("one/a@h1".into(), "unknown".into()))
    });
    let decide = ["resolve", &run, "one/a@h1", "--as", "done", "--reason", "it is there"];
    fleet.refit(&decide).exits(7).says("alive");
    crate::fleet::kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    fleet.refit(&decide).exits(0);
    crate::fleet::kill_tree(fleet.read("h2", "pid").trim().parse().unwrap());
}

#[test]
fn it_stops_with_4_and_names_the_unit_until_a_person_decides() {
    let Some(fleet) = Fleet::up(2) else { return };
    let (run, ended) = interrupted(&fleet, "");
    ended.exits(4);
    assert_eq!(fleet.outcome(&run, "one/a@h1"), "unknown");
    assert_eq!(fleet.effects("h1"), ["a"]);
    assert_eq!(
        fleet.effects("h2"),
        ["a", "a2", "b"],
        "the other host went through the stage, and no further"
    );
    fleet.refit(&["resume"]).exits(4);
    assert_eq!(fleet.effects("h1"), ["a"]);
    fleet
        .refit(&["resolve", &run, "one/a@h3", "--as", "done", "--reason", "x"])
        .exits(1)
        .says("one/a@h");
    fleet
        .refit(&["resolve", &run, "one/b@h2", "--as", "done", "--reason", "x"])
        .exits(1);
    fleet.refit(&["resolve", &run, "one/a@h1", "--as", "done"]).exits(1);
    fleet
        .refit(&["resolve", &run, "one/a@h1", "--as", "done", "--reason", "it is there"])
        .exits(0);
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "b", "c"]);
    assert_eq!(fleet.effects("h2"), ["a", "a2", "b", "c"]);
}

#[test]
fn decided_as_not_done_it_runs_as_a_new_attempt() {
    let Some(fleet) = Fleet::up(2) else { return };
    let (run, ended) = interrupted(&fleet, "");
    ended.exits(4);
    fleet
        .refit(&["resolve", &run, "one/a@h1", "--as", "not-done", "--reason", "looked"])
        .exits(0);
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "a", "a2", "b", "c"]);
    assert_eq!(fleet.effects("h2"), ["a", "a2", "b", "c"]);
}

#[test]
fn verify_finds_it_done() {
    let Some(fleet) = Fleet::up(2) else { return };
    let (_, ended) = interrupted(
        &fleet,
        r#"        verify: { command: "grep -q a {{ host_root }}/effects", reads: true }"#,
    );
    ended.exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "b", "c"]);
}

#[test]
fn verify_finds_it_not_done() {
    let Some(fleet) = Fleet::up(2) else { return };
    let (_, ended) = interrupted(
        &fleet,
        r#"        verify: { command: "grep -q a2 {{ host_root }}/effects", reads: true }"#,
    );
    ended.exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "a", "a2", "b", "c"]);
}

#[test]
fn verify_that_says_partly_stops() {
    let Some(fleet) = Fleet::up(2) else { return };
    let (run, ended) = interrupted(&fleet, r#"        verify: { command: "sh -c 'exit 2'", reads: true }"#);
    ended.exits(4);
    assert_eq!(fleet.outcome(&run, "one/a@h1"), "unknown");
    fleet.refit(&["resume"]).exits(4);
    assert_eq!(fleet.effects("h1"), ["a"]);
}

#[test]
fn an_idempotent_step_runs_again() {
    let Some(fleet) = Fleet::up(2) else { return };
    let (_, ended) = interrupted(&fleet, "        idempotent: true");
    ended.exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "a", "a2", "b", "c"]);
}

/// Only the supervisor dies: the payload goes on, and its exit code is lost.
#[test]
fn an_orphan_is_waited_for_and_then_unknown() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "orphan.yml",
        r#"
hosts: fleet
steps:
  - id: a
    shell: echo $$ > {{ host_root }}/pid; sleep 1.5; echo a >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&playbook, &[]);
    until("the step runs", || fleet.read("h1", "pid").ends_with('\n'));
    let payload: u32 = fleet.read("h1", "pid").trim().parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{payload}/stat")).unwrap();
    kill(
        stat.rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap(),
    );
    finish(child, Instant::now()).exits(4);
    assert_eq!(fleet.effects("h1"), ["a"], "it was waited for");
    fleet.refit(&["resume"]).exits(4);
    assert_eq!(fleet.effects("h1"), ["a"]);
}

/// The state folder is wiped while nobody looks: what was announced is not run a second time by guess.
#[test]
fn a_wiped_state_folder_makes_what_was_open_unknown() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "wiped.yml",
        "hosts: fleet\nsteps:\n  - id: a\n    shell: echo a >> {{ host_root }}/effects; sleep 1\n  - id: b\n    shell: echo b >> {{ host_root }}/effects\n",
    );
    let child = fleet.spawn_run(&playbook, &[]);
    until("the step runs", || !fleet.effects("h1").is_empty());
    crate::fleet::kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    std::fs::remove_dir_all(fleet.root("h1").join("var/refit")).unwrap();
    fleet.refit(&["resume"]).exits(4);
    assert_eq!(fleet.effects("h1"), ["a"]);
    let run = fleet.last_run();
    assert_eq!(fleet.outcome(&run, "wiped/a@h1"), "unknown");
    fleet
        .refit(&["resolve", &run, "wiped/a@h1", "--as", "done", "--reason", "seen"])
        .exits(0);
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "b"]);
}
