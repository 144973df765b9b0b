//! `undo`: what a step brought about is put back, however the host's way ends.

use std::time::Instant;

use rustix::process::Signal;

use crate::fleet::{Fleet, finish, kill, signal, until};

/// A drained host is worked on and put back; `bad` names a host whose work fails.
const DRAINED: &str = r#"
hosts: fleet
vars: { bad: none, stuck: none }
stages:
  - name: One
    serial: 1
    steps:
      - id: drain
        shell: echo drain >> {{ host_root }}/effects; touch {{ host_root }}/drained
        undo:
          - id: back
            shell: echo back >> {{ host_root }}/effects; [ {{ inventory_hostname }} != {{ stuck }} ] && rm {{ host_root }}/drained
      - id: quiet
        shell: { cmd: "echo quiet >> {{ host_root }}/effects", creates: "{{ host_root }}/there" }
        undo:
          - shell: echo loud >> {{ host_root }}/effects
      - id: work
        shell: echo work >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done; [ {{ inventory_hostname }} != {{ bad }} ]
    rollback:
      - shell: echo rollback >> {{ host_root }}/effects
"#;
const THROUGH: [&str; 5] = ["drain", "quiet", "work", "loud", "back"];

fn go(fleet: &Fleet) {
    for host in ["h1", "h2"] {
        std::fs::write(fleet.root(host).join("go"), "").unwrap();
    }
}

fn working(fleet: &Fleet, host: &str) {
    until("the work began", || {
        fleet.effects(host).iter().any(|line| line == "work")
    });
}

#[test]
fn the_last_first_before_the_next_batch() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("drained.yml", DRAINED);
    let child = fleet.spawn_run(&playbook, &[]);
    working(&fleet, "h1");
    let shown = fleet.refit(&["runs", &fleet.last_run(), "--output", "json"]).out;
    assert!(
        shown.contains(r#""left_open":["one/drain@h1","one/quiet@h1"]"#),
        "{shown}"
    );
    go(&fleet);
    finish(child, Instant::now()).exits(0);
    for host in ["h1", "h2"] {
        assert_eq!(fleet.effects(host), THROUGH, "{host}");
    }
    let modified = |host: &str, file: &str| fleet.root(host).join(file).metadata().unwrap().modified().unwrap();
    assert!(modified("h1", "effects") < modified("h2", "effects"));
}

/// What was there already is not ours to put back.
#[test]
fn nothing_where_nothing_was_brought_about() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write("drained.yml", DRAINED);
    std::fs::write(fleet.root("h1").join("there"), "").unwrap();
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    fleet.run(&playbook, &[]).exits(0);
    assert_eq!(fleet.effects("h1"), ["drain", "work", "back"]);
}

#[test]
fn after_the_rollback_of_a_host_that_failed() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("drained.yml", DRAINED);
    go(&fleet);
    fleet.run(&playbook, &["-e", "bad=h1"]).exits(3);
    assert_eq!(
        fleet.effects("h1"),
        ["drain", "quiet", "work", "rollback", "loud", "back"]
    );
    assert_eq!(fleet.effects("h2"), [""; 0]);
}

#[test]
fn a_killed_run_puts_back_when_it_is_taken_up() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("drained.yml", DRAINED);
    let mut child = fleet.spawn_run(&playbook, &[]);
    working(&fleet, "h1");
    kill(child.id());
    let _ = child.wait();
    go(&fleet);
    fleet.refit(&["resume"]).exits(0);
    for host in ["h1", "h2"] {
        assert_eq!(fleet.effects(host), THROUGH, "{host}");
    }
}

/// Ctrl-C leaves a host where it is, and says so; closing the run puts it back.
#[test]
fn a_run_that_is_closed_puts_back() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("drained.yml", DRAINED);
    let child = fleet.spawn_run(&playbook, &[]);
    working(&fleet, "h1");
    signal(child.id(), Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(300));
    go(&fleet);
    finish(child, Instant::now())
        .exits(130)
        .says("left open")
        .says("one/drain@h1");
    assert_eq!(fleet.effects("h1"), ["drain", "quiet", "work"]);
    let run = fleet.last_run();
    fleet
        .refit(&["abort", &run, "--reason", "too late tonight"])
        .exits(0)
        .says("closed by tester with `refit abort`: too late tonight");
    assert_eq!(fleet.effects("h1"), THROUGH);
    assert_eq!(fleet.effects("h2"), [""; 0]);
    fleet
        .refit(&["abort", &run, "--reason", "x"])
        .exits(1)
        .says("closed already");
    fleet.run(&playbook, &[]).exits(0);
}

#[test]
fn a_living_controller_puts_back_when_its_run_is_closed() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("drained.yml", DRAINED);
    let child = fleet.spawn_run(&playbook, &[]);
    working(&fleet, "h1");
    let run = fleet.last_run();
    let abort = fleet.spawn(&["abort", &run, "--reason", "no"]);
    std::thread::sleep(std::time::Duration::from_millis(800));
    go(&fleet);
    finish(abort, Instant::now()).exits(0);
    finish(child, Instant::now()).exits(143);
    assert_eq!(fleet.effects("h1"), THROUGH);
    assert_eq!(fleet.effects("h2"), [""; 0]);
}

#[test]
fn what_cannot_be_put_back_is_listed_and_tried_again() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("drained.yml", DRAINED);
    go(&fleet);
    let stuck = fleet.write("stuck.yml", "stuck: h1\n");
    fleet
        .run(&playbook, &["-e", &format!("@{stuck}")])
        .exits(2)
        .says("left open")
        .says("one/drain@h1");
    assert_eq!(fleet.effects("h1"), THROUGH);
    assert_eq!(fleet.effects("h2"), THROUGH);
    // A new run would close this one, and nobody would put the host back.
    let run = fleet.last_run();
    let other = fleet.run(&playbook, &[]);
    other.exits(7).says("left open").says(&format!("refit resume {run}"));
    assert_eq!(fleet.effects("h1"), THROUGH);
    std::fs::write(&stuck, "stuck: none\n").unwrap();
    fleet.refit(&["resume", &fleet.last_run(), "--accept"]).exits(0);
    assert_eq!(fleet.effects("h1"), [&THROUGH[..], &["back"]].concat());
    assert!(!fleet.root("h1").join("drained").exists());
    assert_eq!(fleet.effects("h2"), THROUGH);
}

#[test]
fn where_undo_does_not_belong() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "wrong.yml",
        r#"
hosts: fleet
stages:
  - name: One
    steps:
      - stat: { path: /etc }
        undo: [{ command: "true" }]
      - command: "true"
        loop: [1]
        undo: [{ command: "true" }]
      - command: "true"
        undo:
          - command: "true"
            undo: [{ command: "true" }]
    rollback:
      - command: "true"
        undo: [{ command: "true" }]
"#,
    );
    let ended = fleet.refit(&["lint", &playbook]);
    ended.exits(1).says("only reads").says("does not go with `loop`");
    assert_eq!(
        ended.err.matches("goes with a step of a stage").count(),
        2,
        "{}",
        ended.err
    );
}

/// The job of a controller that was killed still works on the host: it ends before the host is put back.
#[test]
fn a_killed_run_that_is_closed_ends_its_job_and_puts_back() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("drained.yml", DRAINED);
    let mut child = fleet.spawn_run(&playbook, &[]);
    working(&fleet, "h1");
    kill(child.id());
    let _ = child.wait();
    let abort = fleet.spawn(&["abort", &fleet.last_run(), "--reason", "enough"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(fleet.effects("h1"), ["drain", "quiet", "work"]);
    go(&fleet);
    finish(abort, Instant::now()).exits(0);
    assert_eq!(fleet.effects("h1"), THROUGH);
    assert_eq!(fleet.effects("h2"), [""; 0]);
}

/// The second attempt finds its work done by the first: it is ours all the same.
#[test]
fn what_an_earlier_attempt_brought_about_is_put_back() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "again.yml",
        r#"
hosts: fleet
steps:
  - id: drain
    shell: { cmd: "echo drain >> {{ host_root }}/effects; touch {{ host_root }}/drained; exit 1", creates: "{{ host_root }}/drained" }
    register: r
    until: r is succeeded
    retries: 3
    delay: 0
    undo:
      - shell: echo back >> {{ host_root }}/effects
"#,
    );
    fleet.run(&playbook, &[]).exits(0);
    assert_eq!(fleet.effects("h1"), ["drain", "back"]);
}

#[test]
fn killed_at_every_commit_it_puts_back_once() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "sweep.yml",
        r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: drain
        shell: echo {{ k }}-drain >> {{ host_root }}/effects
        undo:
          - id: back
            shell: echo {{ k }}-back >> {{ host_root }}/effects
          - id: said
            shell: echo {{ k }}-said >> {{ host_root }}/effects
      - id: work
        shell: echo {{ k }}-work >> {{ host_root }}/effects
"#,
    );
    let inventory = fleet.inventory();
    for n in 1.. {
        assert!(n < 40, "no end");
        let k = format!("k={n}");
        let mut command = fleet.command(&["run", &playbook, "-i", &inventory, "-e", &k]);
        command.env("REFIT_TEST_KILL_AT_COMMIT", n.to_string());
        let ended = finish(fleet.start_with(&mut command), Instant::now());
        if ended.code != 0 {
            ended.exits(1009);
            fleet.refit(&["resume"]).exits(0);
        }
        let all = fleet.effects("h1");
        let seen: Vec<&str> = all
            .iter()
            .filter_map(|line| line.strip_prefix(&format!("{n}-")))
            .collect();
        // Before its first commit there was no run.
        if !seen.is_empty() || ended.code == 0 {
            assert_eq!(seen, ["drain", "work", "back", "said"], "killed at commit {n}");
        }
        if ended.code == 0 {
            assert!(n > 5, "killed only {n} times");
            break;
        }
    }
}
