//! What a playbook says about its steps, as it is seen on hosts, and taken up again after a kill.

use std::time::Instant;

use crate::fleet::{Fleet, finish, kill_tree, until};

fn seen(fleet: &Fleet, host: &str) -> String {
    fleet.effects(host).join(" ")
}

/// Runs it undisturbed on one fleet, and killed while `gate` waits on another: both must end the same.
fn both_ways(hosts: usize, text: &str, check: impl Fn(&Fleet)) {
    let Some(fleet) = Fleet::up(hosts) else { return };
    let book = fleet.write("book.yml", text);
    let names: Vec<String> = (1..=hosts).map(|n| format!("h{n}")).collect();
    let open = |fleet: &Fleet| {
        names
            .iter()
            .for_each(|h| std::fs::write(fleet.root(h).join("go"), "").unwrap())
    };
    open(&fleet);
    fleet.run(&book, &[]).exits(0);
    check(&fleet);
    let Some(fleet) = Fleet::up(hosts) else { return };
    let book = fleet.write("book.yml", text);
    let child = fleet.spawn_run(&book, &[]);
    until("the gate is reached", || {
        names.iter().any(|h| fleet.root(h).join("gate").exists())
    });
    kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    open(&fleet);
    fleet.refit(&["resume"]).exits(0);
    check(&fleet);
}

/// A step that says that it was reached and waits for `go`.
const GATE: &str = "shell: touch {{ host_root }}/gate; until [ -e {{ host_root }}/go ]; do sleep 0.05; done";

#[test]
fn loops_registers_and_conditions() {
    let text = r#"
hosts: fleet
vars:
  words: [one, two, three]
stages:
  - name: One
    steps:
      - id: each
        shell: echo {{ item }} >> {{ host_root }}/effects; echo said-{{ item }}
        loop: "{{ words }}"
        when: item != 'two'
        register: each
      - id: gate
        {GATE}
      - id: sum
        shell: echo {{ each.results | length }}-{{ each.results[2].stdout }}-{{ each.results[1].skipped | default(false) }} >> {{ host_root }}/effects
      - id: never
        when: inventory_hostname == 'h9'
        shell: echo never >> {{ host_root }}/effects
        register: never
      - id: skipped
        when: never.skipped
        shell: echo skipped >> {{ host_root }}/effects
  - name: Two
    steps:
      - id: other
        shell: echo {{ hostvars.h1.each.results[0].stdout }}-{{ each.changed }} >> {{ host_root }}/effects
"#
    .replace("{GATE}", GATE);
    both_ways(2, &text, |fleet| {
        for host in ["h1", "h2"] {
            assert_eq!(
                seen(fleet, host),
                "one three 3-said-three-True skipped said-one-True",
                "{host}"
            );
        }
    });
}

#[test]
fn what_counts_as_failed_and_changed() {
    let text = r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: ignored
        shell: echo ignored >> {{ host_root }}/effects; exit 3
        register: r
        ignore_errors: true
      - id: allowed
        shell: echo allowed >> {{ host_root }}/effects; exit 4
        register: s
        failed_when: s.rc not in [0, 4]
        changed_when: false
      - id: gate
        {GATE}
      - id: tell
        shell: echo {{ r.rc }}-{{ r.failed }}-{{ s.rc }}-{{ s.failed }}-{{ s.changed }} >> {{ host_root }}/effects
"#
    .replace("{GATE}", GATE);
    both_ways(1, &text, |fleet| {
        assert_eq!(seen(fleet, "h1"), "ignored allowed 3-True-4-False-False");
        let run = fleet.last_run();
        assert_eq!(fleet.outcome(&run, "one/allowed@h1"), "ok");
    });
}

#[test]
fn until_counts_its_attempts() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "until.yml",
        r#"
hosts: fleet
steps:
  - id: a
    shell: echo x >> {{ host_root }}/effects; wc -l < {{ host_root }}/effects
    register: r
    until: r.stdout | int >= 3
    retries: 5
    delay: 0
  - id: b
    shell: echo {{ r.attempts }} >> {{ host_root }}/effects
  - id: c
    command: "false"
    register: s
    until: s.rc == 0
    retries: 2
    delay: 0
"#,
    );
    fleet.run(&book, &[]).exits(2);
    assert_eq!(seen(&fleet, "h1"), "x x x 3");
    let run = fleet.last_run();
    assert_eq!(fleet.outcome(&run, "until/c@h1"), "failed");
}

#[test]
fn once_for_all_over_batches() {
    let text = r#"
hosts: fleet
stages:
  - name: One
    serial: 1
    steps:
      - id: before
        shell: echo before >> {{ host_root }}/effects
      - id: once
        run_once: true
        shell: echo once >> {{ host_root }}/effects; echo from-{{ inventory_hostname }}
        register: r
      - id: gate
        when: inventory_hostname == 'h2'
        {GATE}
      - id: after
        shell: echo {{ r.stdout }} >> {{ host_root }}/effects
"#
    .replace("{GATE}", GATE);
    both_ways(3, &text, |fleet| {
        assert_eq!(seen(fleet, "h1"), "before once from-h1");
        assert_eq!(seen(fleet, "h2"), "before from-h1");
        assert_eq!(seen(fleet, "h3"), "before from-h1");
    });
}

#[test]
fn delegated_steps_run_on_the_other_host() {
    let text = r#"
hosts: h1,h2
stages:
  - name: One
    steps:
      - id: there
        delegate_to: h3
        shell: echo for-{{ inventory_hostname }} >> {{ hostvars.h3.host_root }}/effects; echo by-h3
        register: r
      - id: gate
        {GATE}
      - id: here
        shell: echo {{ r.stdout }} >> {{ host_root }}/effects
"#
    .replace("{GATE}", GATE);
    both_ways(3, &text, |fleet| {
        assert_eq!(seen(fleet, "h1"), "by-h3");
        assert_eq!(seen(fleet, "h2"), "by-h3");
        let mut there = fleet.effects("h3");
        there.sort();
        assert_eq!(there, ["for-h1", "for-h2"]);
    });
}

#[test]
fn stages_for_each_item_and_values_that_are_set() {
    let text = r#"
hosts: fleet
stages:
  - name: Hop {{ hop }}
    for_each: ["1", "2"]
    as: hop
    stages:
      - name: Prepare
        steps:
          - id: note
            set: { mark: "m{{ hop }}" }
          - id: gate
            {GATE}
          - id: p
            shell: echo p-{{ hop }}-{{ mark }} >> {{ host_root }}/effects
      - name: Swap
        serial: 1
        steps:
          - id: s
            shell: echo s-{{ hop }}-{{ mark }} >> {{ host_root }}/effects
"#
    .replace("{GATE}", GATE);
    both_ways(2, &text, |fleet| {
        for host in ["h1", "h2"] {
            assert_eq!(seen(fleet, host), "p-1-m1 s-1-m1 p-2-m2 s-2-m2", "{host}");
        }
    });
}

/// A guard is asked again before every batch; unmet, the run is paused and this batch is not touched.
#[test]
fn a_guard_holds_the_run_and_resume_asks_again() {
    let Some(fleet) = Fleet::up(3) else { return };
    let book = fleet.write(
        "guard.yml",
        r#"
hosts: fleet
stages:
  - name: One
    serial: 1
    guard:
      - id: quiet
        timeout: 1s
        reads: true
        command: test ! -e {{ host_root }}/busy
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects
finally:
  - shell: echo end-{{ run.outcome }} >> {{ host_root }}/effects
"#,
    );
    std::fs::write(fleet.root("h2").join("busy"), "").unwrap();
    fleet.run(&book, &[]).exits(6);
    assert_eq!(seen(&fleet, "h1"), "a end-paused");
    assert_eq!(seen(&fleet, "h2"), "");
    let run = fleet.last_run();
    fleet.run(&book, &[]).exits(7).says(&format!("refit resume {run}"));
    fleet.refit(&["resume"]).exits(6);
    assert_eq!(seen(&fleet, "h2"), "");
    std::fs::remove_file(fleet.root("h2").join("busy")).unwrap();
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(seen(&fleet, "h1"), "a end-paused end-paused end-success");
    assert_eq!(seen(&fleet, "h2"), "a end-success");
    assert_eq!(seen(&fleet, "h3"), "a end-success");
}

#[test]
fn a_guard_that_does_not_hold_at_first_touches_nothing() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "guard.yml",
        "hosts: fleet\nstages:\n  - name: One\n    guard:\n      - { id: no, timeout: 1s, reads: true, command: \"false\" }\n    steps:\n      - shell: echo a >> {{ host_root }}/effects\n",
    );
    let before: Vec<String> = fleet
        .newer_than(std::path::Path::new("/proc/1/stat"))
        .into_iter()
        .filter(|p| !p.contains("/var"))
        .collect();
    fleet.run(&book, &[]).exits(6);
    let after: Vec<String> = fleet
        .newer_than(std::path::Path::new("/proc/1/stat"))
        .into_iter()
        .filter(|p| !p.contains("/var"))
        .collect();
    assert_eq!(before, after);
    assert_eq!(seen(&fleet, "h1"), "");
    let jobs = std::fs::read_dir(fleet.root("h1").join("var/refit/jobs")).map(|dir| {
        dir.flatten()
            .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
            .count()
    });
    assert_eq!(jobs.unwrap_or(0), 0, "no job was made");
}

/// What held while another guard was waited for may hold no longer: all are asked again, and the run is paused.
#[test]
fn guards_before_one_that_waited_are_asked_again() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "guards.yml",
        r#"
hosts: fleet
stages:
  - name: One
    guard:
      - { id: healthy, timeout: 1s, reads: true, command: "test ! -e {{ host_root }}/sick" }
      - { id: quiet, timeout: 60s, reads: true, shell: "echo asked >> {{ host_root }}/asked; test -e {{ host_root }}/quiet" }
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&book, &[]);
    crate::fleet::until("the second guard is waited for", || {
        !fleet.read("h1", "asked").is_empty()
    });
    std::fs::write(fleet.root("h1").join("sick"), "").unwrap();
    std::fs::write(fleet.root("h1").join("quiet"), "").unwrap();
    crate::fleet::finish(child, std::time::Instant::now())
        .exits(6)
        .says("guard `healthy` does not hold on h1");
    assert_eq!(seen(&fleet, "h1"), "");
    std::fs::remove_file(fleet.root("h1").join("sick")).unwrap();
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(seen(&fleet, "h1"), "a");
}

#[test]
fn tags_limits_and_exclusions() {
    let Some(fleet) = Fleet::up(3) else { return };
    let book = fleet.write(
        "tags.yml",
        r#"
hosts: fleet
stages:
  - name: One
    tags: [early]
    steps:
      - { id: a, shell: "echo a >> {{ host_root }}/effects" }
  - name: Two
    steps:
      - { id: b, tags: [late], shell: "echo b >> {{ host_root }}/effects" }
      - { id: c, shell: "echo c >> {{ host_root }}/effects" }
"#,
    );
    fleet.run(&book, &["--tags", "early", "--limit", "h1"]).exits(0);
    fleet
        .run(
            &book,
            &[
                "--tags",
                "late",
                "--limit",
                "h1:h2",
                "--exclude",
                "h2",
                "--reason",
                "in repair",
            ],
        )
        .exits(0);
    fleet.run(&book, &["--skip-tags", "late", "--limit", "h3"]).exits(0);
    assert_eq!(seen(&fleet, "h1"), "a b");
    assert_eq!(seen(&fleet, "h2"), "");
    assert_eq!(seen(&fleet, "h3"), "a c");
    fleet.run(&book, &["--tags", "erly"]).exits(1).says("early");
    fleet.run(&book, &["--limit", "h7"]).exits(1).says("h7");
    fleet
        .run(&book, &["--limit", "h1", "--exclude", "h1", "--reason", "x"])
        .exits(1);
    fleet.run(&book, &["--exclude", "h1"]).exits(1);
    assert_eq!(seen(&fleet, "h1"), "a b");
}

#[test]
fn no_log_shows_and_keeps_nothing() {
    let Some(fleet) = Fleet::up(1) else { return };
    let book = fleet.write(
        "quiet.yml",
        r#"
hosts: fleet
steps:
  - id: a
    no_log: true
    shell: echo "pin-$((4000 + 321))"; echo "err-$((4000 + 321))" >&2
    register: r
  - id: b
    shell: echo {{ r.stdout | length }} >> {{ host_root }}/effects
  - id: c
    no_log: true
    shell: echo "pin-$((4000 + 321))"; exit 1
"#,
    );
    let ended = fleet.run(&book, &[]);
    ended.exits(2).says_not("pin-4321").says_not("err-4321");
    assert_eq!(seen(&fleet, "h1"), "8");
    for file in ["journal.db", "journal.db-wal"] {
        let kept = std::fs::read(fleet.path(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&kept).contains("pin-4321"), "{file}");
    }
}

#[test]
fn a_changed_recipe_is_refused_until_it_is_accepted() {
    let Some(fleet) = Fleet::up(1) else { return };
    let text = "hosts: fleet\nsteps:\n  - id: a\n    shell: echo a >> {{ host_root }}/effects\n  - id: b\n    shell: test -e {{ host_root }}/go && echo b >> {{ host_root }}/effects\n";
    let book = fleet.write("book.yml", text);
    fleet.run(&book, &[]).exits(2);
    let run = fleet.last_run();
    fleet.write(
        "book.yml",
        &text.replace("test -e {{ host_root }}/go && echo b", "echo better"),
    );
    fleet
        .refit(&["resume", &run])
        .exits(1)
        .says("book.yml")
        .says("--accept");
    assert_eq!(seen(&fleet, "h1"), "a");
    fleet.refit(&["resume", &run, "--accept"]).exits(0);
    assert_eq!(seen(&fleet, "h1"), "a better");
}

#[test]
fn several_unfinished_runs_have_to_be_named() {
    let Some(fleet) = Fleet::up(2) else { return };
    let book = fleet.write("book.yml", &format!("hosts: fleet\nsteps:\n  - id: gate\n    {GATE}\n"));
    for host in ["h1", "h2"] {
        let child = fleet.spawn_run(&book, &["--limit", host]);
        until("the gate is reached", || fleet.root(host).join("gate").exists());
        kill_tree(child.id());
        finish(child, Instant::now()).exits(1009);
    }
    let runs = fleet.runs();
    let ids: Vec<&str> = runs.iter().filter_map(|run| run["run"].as_str()).collect();
    fleet.refit(&["resume"]).exits(1).says(ids[0]).says(ids[1]);
    for host in ["h1", "h2"] {
        std::fs::write(fleet.root(host).join("go"), "").unwrap();
    }
    fleet.refit(&["resume", ids[0]]).exits(0);
    fleet.refit(&["resume"]).exits(0);
    fleet.refit(&["resume", "zzz"]).exits(1);
}

/// The path of an upgrade gets shorter with every hop; the run goes on with the path that it began.
#[test]
fn a_for_each_over_a_probe_keeps_its_items() {
    let Some(fleet) = Fleet::up(1) else { return };
    let text = r#"
hosts: fleet
probes:
  - shell: cat {{ host_root }}/at
    reads: true
    run_once: true
    register: at
stages:
  - name: Hop
    for_each: "{{ [1, 2, 3, 4][at.stdout | int:] }}"
    as: hop
    stages:
      - name: Go
        steps:
          - id: go
            shell: echo {{ hop }} >> {{ host_root }}/effects; echo {{ hop }} > {{ host_root }}/at
          - id: gate
            when: hop == 2
            {GATE}
"#
    .replace("{GATE}", GATE);
    std::fs::write(fleet.root("h1").join("at"), "0\n").unwrap();
    let book = fleet.write("hops.yml", &text);
    let child = fleet.spawn_run(&book, &[]);
    until("the second hop is on its way", || {
        fleet.root("h1").join("gate").exists()
    });
    kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(fleet.effects("h1"), ["1", "2", "3", "4"]);
}
