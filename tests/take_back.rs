//! `refit rollback`: a run is taken back, stage by stage, the last first.

use std::time::{Duration, Instant};

use crate::fleet::{Ended, Fleet, finish};

const THREE: &str = r#"
hosts: fleet
vars: { bad: none, blocked: none }
stages:
  - name: One
    steps:
      - id: a
        shell: echo {{ k }}-a >> {{ host_root }}/effects; echo word
        register: r
    rollback:
      - shell: echo {{ k }}-back-a-{{ r.stdout }} >> {{ host_root }}/effects
  - name: Two
    steps:
      - id: b
        shell: echo {{ k }}-b >> {{ host_root }}/effects
  - name: Three
    serial: 1
    max_fail: 1
    steps:
      - id: c
        shell: echo {{ k }}-c >> {{ host_root }}/effects; [ {{ inventory_hostname }} != {{ bad }} ]
    rollback:
      - assert: { that: inventory_hostname != blocked }
      - id: first
        shell: echo {{ k }}-back-c >> {{ host_root }}/effects; sleep 0.05
      - id: second
        shell: echo {{ k }}-back-c2 >> {{ host_root }}/effects
"#;
const BACK: [&str; 6] = ["a", "b", "c", "back-c", "back-c2", "back-a-word"];

fn effects(fleet: &Fleet, host: &str, k: &str) -> Vec<String> {
    let all = fleet.effects(host).into_iter();
    all.filter_map(|line| line.strip_prefix(&format!("{k}-")).map(str::to_owned))
        .collect()
}

fn back(fleet: &Fleet, more: &[&str]) -> Ended {
    let run = fleet.last_run();
    fleet.refit(&[&["rollback", run.as_str()], more].concat())
}

#[test]
fn a_finished_run_the_last_stage_and_batch_first() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("three.yml", THREE);
    fleet.run(&playbook, &["-e", "k=1"]).exits(0);
    let planned = back(&fleet, &["--plan"]);
    planned
        .exits(0)
        .says("three/rollback:first@h1")
        .says("two has no rollback");
    for host in ["h1", "h2"] {
        assert_eq!(effects(&fleet, host, "1"), ["a", "b", "c"], "a plan does nothing");
    }
    back(&fleet, &["--reason", "the client breaks"])
        .exits(0)
        .says("the client breaks");
    for host in ["h1", "h2"] {
        assert_eq!(effects(&fleet, host, "1"), BACK, "{host}");
    }
    back(&fleet, &[]).exits(0).says("was taken back");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(1).says("is closed");
    assert_eq!(effects(&fleet, "h1", "1"), BACK);
    fleet.run(&playbook, &["-e", "k=2"]).exits(0);
}

#[test]
fn a_host_that_went_back_at_once_is_not_taken_back_twice() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("three.yml", THREE);
    fleet.run(&playbook, &["-e", "k=1", "-e", "bad=h1"]).exits(3);
    back(&fleet, &[]).exits(0);
    for host in ["h1", "h2"] {
        assert_eq!(effects(&fleet, host, "1"), BACK, "{host}");
    }
}

#[test]
fn killed_at_every_commit_it_goes_on_back() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("three.yml", THREE);
    for n in 1.. {
        assert!(n < 60, "no end");
        let k = n.to_string();
        fleet.run(&playbook, &["-e", &format!("k={k}")]).exits(0);
        let run = fleet.last_run();
        let mut command = fleet.command(&["rollback", &run]);
        command.env("REFIT_TEST_KILL_AT_COMMIT", &k);
        let ended = finish(fleet.start_with(&mut command), Instant::now());
        if ended.code != 0 {
            ended.exits(1009);
            // Before its beginning is written the run is as it was.
            let resumed = fleet.refit(&["resume", &run]);
            assert!(resumed.code == 0 || resumed.code == 1, "{resumed:?}");
            if resumed.code == 1 && !resumed.err.contains("is closed") {
                resumed.says(&format!("refit rollback {run}"));
            }
            fleet.refit(&["rollback", &run]).exits(0);
        }
        for host in ["h1", "h2"] {
            assert_eq!(effects(&fleet, host, &k), BACK, "{host}, killed at {n}");
        }
        if ended.code == 0 {
            break;
        }
    }
}

#[test]
fn a_way_back_that_is_not_clear_is_not_begun() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("three.yml", THREE);
    fleet.run(&playbook, &["-e", "k=1", "-e", "blocked=h2"]).exits(0);
    back(&fleet, &[]).exits(1).says("nothing was touched").says("h2");
    for host in ["h1", "h2"] {
        assert_eq!(effects(&fleet, host, "1"), ["a", "b", "c"]);
    }
}

/// What a swap replaced comes back, and a later run on the hosts is in the way of it.
#[test]
fn what_a_swap_replaced_comes_back() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write(
        "swap.yml",
        r#"
hosts: fleet
stages:
  - name: Swap
    steps:
      - swap: { name: app, version: "{{ v }}", files: [{ dest: "{{ host_root }}/app.conf", content: "{{ v }}\n" }] }
    rollback:
      - swap: { name: app, back: true }
"#,
    );
    for v in ["1.0", "2.0"] {
        fleet.run(&playbook, &["-e", &format!("v={v}")]).exits(0);
    }
    let runs = fleet.runs();
    let first = runs[0]["run"].as_str().unwrap();
    fleet.refit(&["rollback", first]).exits(1).says("later");
    assert_eq!(fleet.read("h1", "app.conf"), "2.0\n");
    back(&fleet, &[]).exits(0);
    for host in ["h1", "h2"] {
        assert_eq!(fleet.read(host, "app.conf"), "1.0\n", "{host}");
    }
}

#[test]
fn a_run_that_goes_on_is_not_taken_back() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "slow.yml",
        "hosts: fleet\nstages:\n  - name: One\n    steps:\n      - shell: echo a >> {{ host_root }}/effects; sleep 1\n    rollback:\n      - shell: echo back >> {{ host_root }}/effects\n",
    );
    let child = fleet.spawn_run(&playbook, &[]);
    crate::fleet::until("it began", || !fleet.effects("h1").is_empty());
    back(&fleet, &[]).exits(1).says("is going on");
    finish(child, Instant::now()).exits(0);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(fleet.effects("h1"), ["a"]);
}

/// The job of a killed controller ends before its host goes back.
#[test]
fn a_killed_run_ends_its_job_and_goes_back() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "slow.yml",
        r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done; echo a2 >> {{ host_root }}/effects
    rollback:
      - shell: echo back >> {{ host_root }}/effects
"#,
    );
    let mut child = fleet.spawn_run(&playbook, &[]);
    crate::fleet::until("it began", || !fleet.effects("h1").is_empty());
    crate::fleet::kill(child.id());
    let _ = child.wait();
    let run = fleet.last_run();
    let child = fleet.spawn(&["rollback", &run]);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(fleet.effects("h1"), ["a"]);
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    finish(child, Instant::now()).exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "a2", "back"]);
}

/// Half taken back it is in the way of a new run, which would close it.
#[test]
fn a_rollback_that_failed_is_in_the_way_until_it_is_through() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "stuck.yml",
        r#"
hosts: fleet
stages:
  - name: One
    steps:
      - shell: echo a >> {{ host_root }}/effects
    rollback:
      - shell: echo back >> {{ host_root }}/effects; [ -e {{ host_root }}/go ]
"#,
    );
    fleet.run(&playbook, &[]).exits(0);
    let run = fleet.last_run();
    let stuck = back(&fleet, &[]);
    stuck.exits(2).says(&format!("refit rollback {run}"));
    let other = fleet.run(&playbook, &[]);
    other
        .exits(7)
        .says("taken back in part")
        .says(&format!("refit rollback {run}"));
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    back(&fleet, &[]).exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "back", "back"]);
    fleet.run(&playbook, &[]).exits(0);
}
