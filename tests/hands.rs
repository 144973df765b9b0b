//! What a person tells a run that is going on, from another terminal.

use std::time::{Duration, Instant};

use crate::fleet::{Fleet, finish, kill, until};

const TWO_STAGES: &str = r#"
hosts: fleet
stages:
  - name: One
    serial: 1
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done
      - id: b
        shell: echo b >> {{ host_root }}/effects
  - name: Two
    steps:
      - id: c
        shell: echo c >> {{ host_root }}/effects
"#;

fn begun(fleet: &Fleet, host: &str) {
    until("step a runs", || !fleet.effects(host).is_empty());
}

fn go(fleet: &Fleet, host: &str) {
    std::fs::write(fleet.root(host).join("go"), "").unwrap();
}

#[test]
fn a_held_run_ends_its_batch_and_begins_no_other() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("two.yml", TWO_STAGES);
    let child = fleet.spawn_run(&playbook, &[]);
    begun(&fleet, "h1");
    let run = fleet.last_run();
    fleet
        .refit(&["hold", &run, "--reason", "the database is slow"])
        .exits(0)
        .says("no further batch or stage begins");
    fleet
        .refit(&["hold", &run, "--reason", "again"])
        .exits(1)
        .says("held already");
    go(&fleet, "h1");
    go(&fleet, "h2");
    until("the batch of h1 ended", || fleet.effects("h1") == ["a", "b"]);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(fleet.effects("h2"), [""; 0], "held");
    fleet.refit(&["go", &run, "--reason", "well again"]).exits(0);
    let ended = finish(child, Instant::now());
    ended
        .exits(0)
        .says("by tester: the database is slow")
        .says("well again");
    for host in ["h1", "h2"] {
        assert_eq!(fleet.effects(host), ["a", "b", "c"], "{host}");
    }
    fleet.refit(&["go", &run]).exits(1).says("is over");
}

#[test]
fn a_killed_run_is_still_held_when_it_is_taken_up() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("two.yml", TWO_STAGES);
    let mut child = fleet.spawn_run(&playbook, &[]);
    begun(&fleet, "h1");
    let run = fleet.last_run();
    fleet.refit(&["hold", &run, "--reason", "wait"]).exits(0);
    kill(child.id());
    let _ = child.wait();
    go(&fleet, "h1");
    go(&fleet, "h2");
    fleet
        .refit(&["hold", &run, "--reason", "wait"])
        .exits(1)
        .says("held already");
    let child = fleet.spawn(&["resume"]);
    until("the batch of h1 ended", || fleet.effects("h1") == ["a", "b"]);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(fleet.effects("h2"), [""; 0], "held");
    fleet.refit(&["go", &run]).exits(0);
    finish(child, Instant::now()).exits(0);
    assert_eq!(fleet.effects("h2"), ["a", "b", "c"]);
}

#[test]
fn an_excluded_host_ends_its_batch_and_takes_no_further_stage() {
    let Some(fleet) = Fleet::up(3) else { return };
    let playbook = fleet.write("two.yml", TWO_STAGES);
    let child = fleet.spawn_run(&playbook, &[]);
    begun(&fleet, "h1");
    let run = fleet.last_run();
    fleet
        .refit(&["exclude", &run, "h9", "--reason", "x"])
        .exits(1)
        .says("no host `h9`");
    for host in ["h1", "h2"] {
        fleet
            .refit(&["exclude", &run, host, "--reason", "disk is failing"])
            .exits(0);
    }
    fleet
        .refit(&["exclude", &run, "h2", "--reason", "x"])
        .exits(1)
        .says("excluded already");
    for host in ["h1", "h2", "h3"] {
        go(&fleet, host);
    }
    let ended = finish(child, Instant::now());
    ended.exits(0).says("disk is failing (tester)");
    assert_eq!(fleet.effects("h1"), ["a", "b"]);
    assert_eq!(fleet.effects("h2"), [""; 0]);
    assert_eq!(fleet.effects("h3"), ["a", "b", "c"]);
}

/// A host that failed is left out of what resume tries again.
#[test]
fn a_failed_host_is_excluded_before_the_resume() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write(
        "fails.yml",
        r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; [ {{ inventory_hostname }} = h1 ]
  - name: Two
    steps:
      - id: b
        shell: echo b >> {{ host_root }}/effects
"#,
    );
    fleet.run(&playbook, &[]).exits(2);
    let run = fleet.last_run();
    fleet
        .refit(&["hold", &run, "--reason", "x"])
        .exits(1)
        .says("nobody drives");
    fleet
        .refit(&["exclude", &run, "h2", "--reason", "broken disk"])
        .exits(0);
    fleet.refit(&["resume", &run]).exits(0).says("broken disk (tester)");
    assert_eq!(fleet.effects("h1"), ["a", "b"]);
    assert_eq!(fleet.effects("h2"), ["a"]);
}

/// Whoever takes a host out does not want its failure counted; its rollback runs all the same.
#[test]
fn a_host_that_fails_after_it_was_excluded_does_not_stop_the_run() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write(
        "bad.yml",
        r#"
hosts: fleet
stages:
  - name: One
    serial: 1
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done; [ {{ inventory_hostname }} != h1 ]
    rollback:
      - shell: echo back >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&playbook, &[]);
    begun(&fleet, "h1");
    let run = fleet.last_run();
    fleet.refit(&["exclude", &run, "h1", "--reason", "old disk"]).exits(0);
    go(&fleet, "h1");
    go(&fleet, "h2");
    let ended = finish(child, Instant::now());
    ended.exits(0).says("which is excluded, did not get through");
    assert_eq!(fleet.effects("h1"), ["a", "back"]);
    assert_eq!(fleet.effects("h2"), ["a"]);
}
