//! Hosts that fail: how many may, what they run at once, what is left of them after a resume.

use crate::fleet::Fleet;

/// Effects of one host, joined.
fn seen(fleet: &Fleet, host: &str) -> String {
    fleet.effects(host).join(" ")
}

fn bad(fleet: &Fleet, host: &str) {
    std::fs::write(fleet.root(host).join("bad"), "").unwrap();
}

fn well(fleet: &Fleet, host: &str) {
    std::fs::remove_file(fleet.root(host).join("bad")).unwrap();
}

const STAGES: &str = r#"
hosts: fleet
stages:
  - name: One
    serial: 1
    max_fail: {MAX}
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects
      - id: b
        shell: "[ ! -e {{ host_root }}/bad ] && echo b >> {{ host_root }}/effects"
{ROLLBACK}
  - name: Two
    steps:
      - id: c
        shell: echo c >> {{ host_root }}/effects
finally:
  - shell: echo end-{{ run.outcome }} >> {{ host_root }}/effects
"#;

const BACK: &str = r#"
    rollback:
      - id: r
        shell: "[ ! -e {{ host_root }}/stuck ] && echo r >> {{ host_root }}/effects"
"#;

fn playbook(fleet: &Fleet, max: &str, rollback: &str) -> String {
    fleet.write(
        "stages.yml",
        &STAGES.replace("{MAX}", max).replace("{ROLLBACK}", rollback),
    )
}

#[test]
fn more_than_max_fail_ends_the_run_before_the_next_batch() {
    let Some(fleet) = Fleet::up(4) else { return };
    bad(&fleet, "h2");
    let book = playbook(&fleet, "0", "");
    fleet.run(&book, &[]).exits(2);
    assert_eq!(seen(&fleet, "h1"), "a b end-failed");
    assert_eq!(seen(&fleet, "h2"), "a end-failed");
    assert_eq!(
        seen(&fleet, "h3"),
        "",
        "no further batch, and `finally` only where the run was"
    );
    assert_eq!(seen(&fleet, "h4"), "");
    well(&fleet, "h2");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(seen(&fleet, "h1"), "a b end-failed c end-success");
    assert_eq!(seen(&fleet, "h2"), "a end-failed b c end-success");
    assert_eq!(seen(&fleet, "h3"), "a b c end-success");
}

#[test]
fn within_max_fail_the_others_go_on() {
    let Some(fleet) = Fleet::up(4) else { return };
    bad(&fleet, "h2");
    let book = playbook(&fleet, "1", "");
    fleet.run(&book, &[]).exits(2);
    assert_eq!(
        seen(&fleet, "h2"),
        "a end-failed",
        "a decided host takes no further stage"
    );
    for host in ["h1", "h3", "h4"] {
        assert_eq!(seen(&fleet, host), "a b c end-failed");
    }
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(2);
    assert_eq!(fleet.outcome(&run, "one/b@h2"), "failed");
    well(&fleet, "h2");
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(seen(&fleet, "h2").replace(" end-failed", ""), "a b c end-success");
    assert_eq!(seen(&fleet, "h3").replace(" end-failed", ""), "a b c end-success");
}

/// 49 % of four hosts is one; 50 % is two.
#[test]
fn max_fail_in_per_cent_is_rounded_down() {
    let Some(fleet) = Fleet::up(4) else { return };
    bad(&fleet, "h1");
    bad(&fleet, "h3");
    let book = playbook(&fleet, "49%", "");
    fleet.run(&book, &[]).exits(2);
    assert_eq!(
        seen(&fleet, "h2"),
        "a b end-failed",
        "the second failure was one too many"
    );
    assert_eq!(seen(&fleet, "h4"), "");
    let book = playbook(&fleet, "50%", "");
    fleet.run(&book, &[]).exits(2);
    assert_eq!(seen(&fleet, "h4"), "a b c end-failed");
}

#[test]
fn a_host_that_cannot_be_reached_counts() {
    let Some(fleet) = Fleet::up(4) else { return };
    fleet.stop("h4");
    bad(&fleet, "h2");
    let book = playbook(&fleet, "1", "");
    fleet.run(&book, &[]).exits(2);
    assert_eq!(seen(&fleet, "h2"), "a end-failed");
    assert_eq!(seen(&fleet, "h3"), "", "one lost and one failed are two");
    fleet.start("h4");
    well(&fleet, "h2");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(0);
    for host in ["h1", "h2", "h3", "h4"] {
        assert_eq!(seen(&fleet, host).replace(" end-failed", ""), "a b c end-success");
    }
}

#[test]
fn a_failed_host_is_rolled_back_at_once() {
    let Some(fleet) = Fleet::up(3) else { return };
    bad(&fleet, "h2");
    let book = playbook(&fleet, "0", BACK);
    fleet.run(&book, &[]).exits(3);
    assert_eq!(seen(&fleet, "h1"), "a b end-rolled_back");
    assert_eq!(seen(&fleet, "h2"), "a r end-rolled_back");
    assert_eq!(seen(&fleet, "h3"), "");
    let run = fleet.last_run();
    assert_eq!(fleet.outcome(&run, "one/rollback:r@h2"), "changed");
    // It fails in the same way again, and is rolled back again.
    fleet.refit(&["resume", &run]).exits(3);
    assert_eq!(seen(&fleet, "h2"), "a r end-rolled_back a r end-rolled_back");
    well(&fleet, "h2");
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(
        seen(&fleet, "h2").replace(" end-rolled_back", ""),
        "a r a r a b c end-success"
    );
    assert_eq!(seen(&fleet, "h1").replace(" end-rolled_back", ""), "a b c end-success");
    assert_eq!(seen(&fleet, "h3"), "a b c end-success");
}

#[test]
fn a_rollback_that_fails_leaves_the_host_broken() {
    let Some(fleet) = Fleet::up(2) else { return };
    bad(&fleet, "h1");
    std::fs::write(fleet.root("h1").join("stuck"), "").unwrap();
    let book = playbook(&fleet, "0", BACK);
    fleet.run(&book, &[]).exits(2);
    assert_eq!(seen(&fleet, "h1"), "a end-failed");
    let run = fleet.last_run();
    assert_eq!(fleet.outcome(&run, "one/rollback:r@h1"), "failed");
    well(&fleet, "h1");
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(
        seen(&fleet, "h1"),
        "a end-failed a b c end-success",
        "it begins the stage again"
    );
}

/// Killed in the middle of a rollback: resume goes on with the rollback, not with the step that failed.
#[test]
fn a_rollback_outlives_the_controller() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "back.yml",
        r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; exit 1
    rollback:
      - id: r
        shell: echo r >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done
      - id: s
        shell: echo s >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&book, &[]);
    crate::fleet::until("the rollback runs", || seen(&fleet, "h1") == "a r");
    crate::fleet::kill_tree(child.id());
    crate::fleet::finish(child, std::time::Instant::now()).exits(1009);
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    fleet.refit(&["resume"]).exits(3);
    assert_eq!(seen(&fleet, "h1"), "a r s");
}

/// The failed host of a batch is rolled back while the others of it go through their remaining steps.
#[test]
fn the_others_of_a_batch_are_not_left_half_way() {
    let Some(fleet) = Fleet::up(3) else { return };
    bad(&fleet, "h1");
    let book = fleet.write(
        "batch.yml",
        &STAGES
            .replace("serial: 1", "serial: 2")
            .replace("{MAX}", "0")
            .replace("{ROLLBACK}", BACK)
            .replace(
                "shell: \"[ ! -e {{ host_root }}/bad ]",
                "shell: \"sleep 0.{{ inventory_hostname[-1] }}; [ ! -e {{ host_root }}/bad ]",
            ),
    );
    fleet.run(&book, &[]).exits(3);
    assert_eq!(seen(&fleet, "h1"), "a r end-rolled_back");
    assert_eq!(seen(&fleet, "h2"), "a b end-rolled_back");
    assert_eq!(seen(&fleet, "h3"), "");
}

/// The host goes away while it is rolled back: resume takes the rollback up, and tries nothing before it again.
#[test]
fn a_rollback_that_lost_its_host_is_pending() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "back.yml",
        r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; exit 1
    rollback:
      - id: r
        shell: echo r >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done
      - id: s
        shell: echo s >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&book, &[]);
    crate::fleet::until("the rollback runs", || seen(&fleet, "h1") == "a r");
    fleet.stop("h1");
    crate::fleet::finish(child, std::time::Instant::now()).exits(2);
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    fleet.start("h1");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(3);
    assert_eq!(seen(&fleet, "h1"), "a r s");
}

/// The stage's time is over on one session's clock; the next has time again, and still goes only back.
#[test]
fn a_rollback_that_began_is_not_turned_round_by_a_resume() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "late.yml",
        r#"
hosts: fleet
stages:
  - name: One
    timeout: 1s
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; sleep 1.2
      - id: b
        shell: echo b >> {{ host_root }}/effects
    rollback:
      - id: r
        shell: touch {{ host_root }}/gate; until [ -e {{ host_root }}/go ]; do sleep 0.05; done; echo r >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&book, &[]);
    crate::fleet::until("the rollback is on its way", || fleet.root("h1").join("gate").exists());
    crate::fleet::kill_tree(child.id());
    crate::fleet::finish(child, std::time::Instant::now()).exits(1009);
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    fleet.refit(&["resume"]).exits(3);
    assert_eq!(fleet.effects("h1"), ["a", "r"]);
}

#[test]
fn a_finally_that_fails_is_no_success() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "end.yml",
        r#"
hosts: fleet
steps:
  - shell: echo a >> {{ host_root }}/effects
finally:
  - shell: echo end >> {{ host_root }}/effects; [ -e {{ host_root }}/well ]
"#,
    );
    fleet.run(&book, &[]).exits(2);
    std::fs::write(fleet.root("h1").join("well"), "").unwrap();
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "end", "end"]);
}
