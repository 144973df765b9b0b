//! Hosts that do not answer at the survey, and check mode: nothing is touched.

use crate::fleet::Fleet;

const BOOK: &str = r#"
hosts: fleet
stages:
  - name: One
    max_fail: {MAX}
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects
"#;

#[test]
fn beyond_max_fail_nothing_is_touched_anywhere() {
    let Some(fleet) = Fleet::up(3) else { return };
    let book = fleet.write("one.yml", &BOOK.replace("{MAX}", "0"));
    fleet.stop("h2");
    let mark = fleet.mark();
    fleet.run(&book, &[]).exits(1).says("h2").says("refused");
    assert!(fleet.newer_than(&mark).is_empty(), "{:?}", fleet.newer_than(&mark));
    let with = fleet.run(&book, &["--exclude", "h2", "--reason", "in repair"]);
    with.exits(0);
    assert_eq!((fleet.effects("h1").len(), fleet.effects("h3").len()), (1, 1));
}

#[test]
fn within_max_fail_the_run_begins_and_ends_with_2() {
    let Some(fleet) = Fleet::up(3) else { return };
    let book = fleet.write("one.yml", &BOOK.replace("{MAX}", "34%"));
    fleet.stop("h2");
    fleet.run(&book, &[]).exits(2);
    assert_eq!((fleet.effects("h1").len(), fleet.effects("h3").len()), (1, 1));
    fleet.start("h2");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(fleet.effects("h2"), ["a"]);
    assert_eq!(fleet.effects("h1"), ["a"]);
}

/// The connection breaks while a step runs and comes back: the step is found and waited for.
#[test]
fn a_connection_that_comes_back_costs_nothing() {
    let Some(fleet) = Fleet::up(2) else { return };
    let book = fleet.write(
        "cut.yml",
        r#"
hosts: fleet
steps:
  - id: a
    shell: echo a >> {{ host_root }}/effects; sleep 2; echo a2 >> {{ host_root }}/effects; echo word
    register: r
  - id: b
    shell: echo b-{{ r.stdout }} >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&book, &[]);
    crate::fleet::until("the step runs", || !fleet.effects("h1").is_empty());
    fleet.stop("h1");
    std::thread::sleep(std::time::Duration::from_millis(500));
    fleet.start("h1");
    crate::fleet::finish(child, std::time::Instant::now()).exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "a2", "b-word"]);
}

const CHANGES: &str = r#"
hosts: fleet
steps:
  - id: folder
    file: { path: "{{ host_root }}/etc", state: directory, mode: "0750" }
  - id: file
    copy: { dest: "{{ host_root }}/etc/app.conf", content: "port = {{ port }}\n", mode: "0640" }
    register: r
  - id: link
    file: { path: "{{ host_root }}/app.conf", src: "{{ host_root }}/etc/app.conf", state: link }
  - id: once
    command: touch {{ host_root }}/made
    args: { creates: "{{ host_root }}/made" }
  - id: told
    when: r.changed
    shell: echo changed >> {{ host_root }}/effects
"#;

#[test]
fn check_mode_touches_nothing_and_a_second_run_changes_nothing() {
    let Some(fleet) = Fleet::up(2) else { return };
    let book = fleet.write(
        "changes.yml",
        &CHANGES.replace(
            "    command: touch {{ host_root }}/made\n    args: { creates: \"{{ host_root }}/made\" }",
            "    command: { cmd: \"touch {{ host_root }}/made\", creates: \"{{ host_root }}/made\" }",
        ),
    );
    let mark = fleet.mark();
    fleet.run(&book, &["-e", "port=1", "--check", "--diff"]).exits(0);
    fleet
        .run(&book, &["-e", "port=1", "--check", "--exit-changed"])
        .exits(8);
    assert!(fleet.newer_than(&mark).is_empty(), "{:?}", fleet.newer_than(&mark));
    assert!(fleet.runs().is_empty(), "a check is no run");
    fleet.run(&book, &["-e", "port=1"]).exits(0);
    assert_eq!(fleet.read("h1", "app.conf"), "port = 1\n");
    assert_eq!(fleet.effects("h1"), ["changed"]);
    fleet
        .run(&book, &["-e", "port=1", "--check", "--exit-changed"])
        .exits(0);
    let mark = fleet.mark();
    fleet.run(&book, &["-e", "port=1"]).exits(0);
    let run = fleet.last_run();
    for (unit, outcome) in fleet.outcomes(&run) {
        assert!(
            outcome == "ok" || (outcome == "skipped" && unit.contains("told")),
            "{unit} is {outcome}"
        );
    }
    let touched: Vec<String> = fleet
        .newer_than(&mark)
        .into_iter()
        .filter(|path| !path.contains("/var/refit"))
        .collect();
    assert!(touched.is_empty(), "{touched:?}");
    fleet
        .run(&book, &["-e", "port=2", "--check", "--exit-changed"])
        .exits(8);
    fleet.run(&book, &["-e", "port=2"]).exits(0);
    assert_eq!(fleet.read("h2", "app.conf"), "port = 2\n");
}

const THREE: &str = r#"
hosts: fleet
stages:
  - name: One
    max_fail: 1
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done; echo a2 >> {{ host_root }}/effects; echo word
        register: r
      - id: b
        shell: echo b-{{ r.stdout }} >> {{ host_root }}/effects
  - name: Two
    steps:
      - id: c
        shell: echo c >> {{ host_root }}/effects
"#;
const ALL: [&str; 4] = ["a", "a2", "b-word", "c"];

fn go(fleet: &Fleet) {
    for host in ["h1", "h2"] {
        std::fs::write(fleet.root(host).join("go"), "").unwrap();
    }
}

/// A host is lost in the middle of a step and does not come back: the others go on; resume finds what its step did.
#[test]
fn a_host_that_stays_away_is_taken_up_where_it_was() {
    let Some(fleet) = Fleet::up(2) else { return };
    let book = fleet.write("three.yml", THREE);
    let child = fleet.spawn_run(&book, &[]);
    crate::fleet::until("both run", || {
        ["h1", "h2"].iter().all(|host| !fleet.effects(host).is_empty())
    });
    fleet.stop("h2");
    go(&fleet);
    crate::fleet::finish(child, std::time::Instant::now()).exits(2);
    assert_eq!(fleet.effects("h1"), ALL);
    assert_eq!(fleet.effects("h2"), ["a", "a2"], "its job ended without a controller");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(2);
    assert_eq!(fleet.effects("h1"), ALL);
    fleet.start("h2");
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(fleet.effects("h1"), ALL);
    assert_eq!(fleet.effects("h2"), ALL);
}

/// The controller is killed, and one host is down when the run is resumed.
#[test]
fn a_host_that_is_down_at_the_resume_is_taken_up_later() {
    let Some(fleet) = Fleet::up(2) else { return };
    let book = fleet.write("three.yml", THREE);
    let child = fleet.spawn_run(&book, &[]);
    crate::fleet::until("both run", || {
        ["h1", "h2"].iter().all(|host| !fleet.effects(host).is_empty())
    });
    crate::fleet::kill_tree(child.id());
    crate::fleet::finish(child, std::time::Instant::now()).exits(1009);
    fleet.stop("h2");
    go(&fleet);
    fleet.refit(&["resume"]).exits(2);
    assert_eq!(fleet.effects("h1"), ALL);
    fleet.start("h2");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(fleet.effects("h1"), ALL);
    assert_eq!(fleet.effects("h2"), ALL);
}

/// A host whose state folder cannot be used counts as failed, as one that does not answer.
#[test]
fn an_unfit_host_counts_as_failed() {
    let Some(fleet) = Fleet::up(3) else { return };
    let vars = fleet.path("play/host_vars");
    std::fs::create_dir(&vars).unwrap();
    let none = fleet.write("none.yml", &BOOK.replace("{MAX}", "0"));
    let some = fleet.write("some.yml", &BOOK.replace("{MAX}", "1"));
    let inventory = fleet.inventory();
    let seen = || ["h1", "h2", "h3"].map(|host| fleet.effects(host).len());

    // The survey sees this one …
    let open = fleet.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let state = format!("refit_state_dir: {}/refit\n", open.display());
    std::fs::write(vars.join("h2.yml"), state).unwrap();
    let mark = fleet.mark();
    fleet
        .refit(&["preflight", &none, "-i", &inventory])
        .exits(1)
        .says("h2: others may write to");
    fleet
        .run(&none, &[])
        .exits(1)
        .says("h2 cannot be used")
        .says("nothing was touched");
    assert!(fleet.newer_than(&mark).is_empty(), "{:?}", fleet.newer_than(&mark));
    fleet.run(&some, &[]).exits(2);
    assert_eq!(seen(), [1, 0, 1]);
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(2);
    assert_eq!(seen(), [1, 0, 1]);

    // … and the lock finds out about this one.
    let state = fleet.path("file");
    std::fs::write(&state, "").unwrap();
    std::fs::write(vars.join("h2.yml"), format!("refit_state_dir: {}\n", state.display())).unwrap();
    fleet
        .run(&none, &[])
        .exits(1)
        .says("h2 cannot be used")
        .says("nothing was touched");
    assert_eq!(seen(), [1, 0, 1]);
    fleet.run(&some, &[]).exits(2);
    assert_eq!(seen(), [2, 0, 2]);
    std::fs::remove_file(&state).unwrap();
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(0);
    assert_eq!(seen(), [2, 1, 2]);
}
