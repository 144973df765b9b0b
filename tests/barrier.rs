//! No host begins a stage before every host is through the one before it.

use crate::fleet::{Fleet, finish, until};

const TWO: &str = r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: a
        shell: date +%s.%N >> {{ host_root }}/one; sleep 0.{{ inventory_hostname[-1] }}; date +%s.%N >> {{ host_root }}/one
      - id: b
        shell: echo one >> {{ host_root }}/effects; date +%s.%N >> {{ host_root }}/one; echo one
        register: r
  - name: Two
    max_fail: "{{ allowed }}"
    steps:
      - id: c
        shell: date +%s.%N >> {{ host_root }}/two; echo two >> {{ host_root }}/effects
"#;

fn times(fleet: &Fleet, host: &str, file: &str) -> Vec<f64> {
    fleet
        .read(host, file)
        .lines()
        .map(|line| line.parse().unwrap())
        .collect()
}

#[test]
fn on_the_hosts_own_clocks() {
    let Some(fleet) = Fleet::up(4) else { return };
    let playbook = fleet.write("two.yml", TWO);
    fleet.run(&playbook, &["-e", "{allowed: 0}"]).exits(0);
    let hosts = ["h1", "h2", "h3", "h4"];
    let one: Vec<f64> = hosts.iter().flat_map(|host| times(&fleet, host, "one")).collect();
    let two: Vec<f64> = hosts.iter().flat_map(|host| times(&fleet, host, "two")).collect();
    assert_eq!((one.len(), two.len()), (12, 4));
    let last = one.iter().copied().fold(f64::MIN, f64::max);
    let first = two.iter().copied().fold(f64::MAX, f64::min);
    assert!(first > last, "stage two began at {first}, stage one ended at {last}");
}

#[test]
fn every_step_of_a_lockstep_stage_is_one() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write(
        "lockstep.yml",
        r#"
hosts: fleet
stages:
  - name: One
    lockstep: true
    steps:
      - { id: a, shell: "sleep 0.{{ inventory_hostname[-1] }}; date +%s.%N >> {{ host_root }}/one; echo {{ inventory_hostname }}", register: me }
      - { id: b, shell: "date +%s.%N >> {{ host_root }}/two; echo {{ hostvars.h1.me.stdout }} {{ hostvars.h2.me.stdout }} >> {{ host_root }}/effects" }
"#,
    );
    fleet.run(&playbook, &[]).exits(0);
    for host in ["h1", "h2"] {
        let (one, two) = (times(&fleet, "h2", "one"), times(&fleet, host, "two"));
        assert!(two[0] > one[0]);
        assert_eq!(fleet.effects(host), ["h1 h2"]);
    }
}

/// A host goes away between two stages: the next begins nowhere, and resume goes on when the host is back.
#[test]
fn a_lost_host_holds_the_next_stage_everywhere() {
    let Some(fleet) = Fleet::up(3) else { return };
    let playbook = fleet.write(
        "lost.yml",
        &TWO.replace("  - name: Two", "  - name: Between\n    hosts: h1\n    steps:\n      - id: w\n        shell: touch {{ host_root }}/between; until [ -e {{ host_root }}/go ]; do sleep 0.05; done\n  - name: Two"),
    );
    let child = fleet.spawn_run(&playbook, &["-e", "{allowed: 0}"]);
    let h1 = fleet.root("h1");
    until("stage one is over", || fleet.root("h1").join("between").exists());
    fleet.stop("h3");
    std::fs::write(h1.join("go"), "").unwrap();
    let began = std::time::Instant::now();
    let ended = finish(child, began);
    ended.exits(2);
    for host in ["h1", "h2", "h3"] {
        assert_eq!(fleet.effects(host), ["one"], "{host}");
    }
    fleet.start("h3");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(0);
    for host in ["h1", "h2", "h3"] {
        assert_eq!(fleet.effects(host), ["one", "two"], "{host}");
    }
}

/// Within `max_fail` the others go on, and the run ends with 2.
#[test]
fn a_lost_host_is_decided_where_max_fail_allows_it() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write(
        "lost.yml",
        &TWO.replace("  - name: Two", "  - name: Between\n    hosts: h1\n    steps:\n      - id: w\n        shell: touch {{ host_root }}/between; until [ -e {{ host_root }}/go ]; do sleep 0.05; done\n  - name: Two"),
    );
    let child = fleet.spawn_run(&playbook, &["-e", "{allowed: 50%}"]);
    until("stage one is over", || fleet.root("h1").join("between").exists());
    fleet.stop("h2");
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    finish(child, std::time::Instant::now()).exits(2);
    assert_eq!(fleet.effects("h1"), ["one", "two"]);
    assert_eq!(fleet.effects("h2"), ["one"]);
}

/// A loop goes through all its items although one of them failed, and the host goes no further than that step.
#[test]
fn nothing_comes_after_a_loop_of_which_an_item_failed() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "loop.yml",
        r#"
hosts: fleet
steps:
  - id: each
    shell: echo {{ item }} >> {{ host_root }}/effects; [ {{ item }} != bad ]
    loop: [bad, good]
  - id: after
    shell: echo after >> {{ host_root }}/effects
"#,
    );
    fleet.run(&book, &[]).exits(2);
    assert_eq!(fleet.effects("h1"), ["bad", "good"]);
    let staged = fleet.write(
        "staged.yml",
        r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: each
        shell: echo {{ item }} >> {{ host_root }}/effects; [ {{ item }} != bad ]
        loop: [bad, good]
      - id: after
        shell: echo after >> {{ host_root }}/effects
        register: after
    rollback:
      - shell: echo back >> {{ host_root }}/effects
      - shell: echo undone >> {{ host_root }}/effects
        when: after is defined and after is changed
"#,
    );
    fleet.run(&staged, &[]).exits(3);
    assert_eq!(fleet.effects("h1"), ["bad", "good", "bad", "good", "back"]);
}
