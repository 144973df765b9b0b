//! What a person can do to a run that is going on.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::fleet::{Fleet, finish, signal, until};

const TWO_STEPS: &str = r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done; echo a2 >> {{ host_root }}/effects; echo seen
        register: r
      - id: b
        shell: echo b-{{ r.stdout }} >> {{ host_root }}/effects
  - name: Two
    steps:
      - id: c
        shell: echo c >> {{ host_root }}/effects
"#;
const ALL: [&str; 4] = ["a", "a2", "b-seen", "c"];

fn begun(fleet: &Fleet) {
    until("step a runs on both", || {
        ["h1", "h2"].iter().all(|host| !fleet.effects(host).is_empty())
    });
}

fn go(fleet: &Fleet) {
    for host in ["h1", "h2"] {
        std::fs::write(fleet.root(host).join("go"), "").unwrap();
    }
}

/// Gives the program a moment to take a signal in.
fn moment() {
    std::thread::sleep(Duration::from_millis(300));
}

/// Sends one signal; what runs is waited for, nothing new begins, resume goes on.
fn stopped_by(sent: Signal, code: i32) {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("two.yml", TWO_STEPS);
    let child = fleet.spawn_run(&playbook, &[]);
    begun(&fleet);
    signal(child.id(), sent);
    moment();
    go(&fleet);
    finish(child, Instant::now()).exits(code);
    let run = fleet.last_run();
    for host in ["h1", "h2"] {
        assert_eq!(fleet.effects(host), ["a", "a2"], "{host}");
        assert_eq!(fleet.outcome(&run, &format!("one/a@{host}")), "changed");
    }
    fleet.run(&playbook, &[]).exits(7).says(&format!("refit resume {run}"));
    fleet.refit(&["resume"]).exits(0);
    for host in ["h1", "h2"] {
        assert_eq!(fleet.effects(host), ALL, "{host}");
    }
}

#[test]
fn one_ctrl_c_waits_for_what_runs() {
    stopped_by(Signal::INT, 130);
}

#[test]
fn sigterm_is_one_ctrl_c() {
    stopped_by(Signal::TERM, 143);
}

/// A terminal sends Ctrl-C to everything in its foreground group: ssh must not hear it.
#[test]
fn ctrl_c_of_a_terminal_leaves_the_connections_alone() {
    use std::os::unix::process::CommandExt;
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("two.yml", TWO_STEPS);
    let inventory = fleet.inventory();
    let mut command = fleet.command(&["run", &playbook, "-i", &inventory]);
    command.process_group(0);
    let child = fleet.start_with(&mut command);
    begun(&fleet);
    let group = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process_group(group, Signal::INT).unwrap();
    moment();
    go(&fleet);
    finish(child, Instant::now()).exits(130);
    assert_eq!(fleet.effects("h1"), ["a", "a2"]);
    let run = fleet.last_run();
    assert_eq!(fleet.outcome(&run, "one/a@h1"), "changed");
}

#[test]
fn two_ctrl_c_detach_and_the_jobs_live_on() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("two.yml", TWO_STEPS);
    let child = fleet.spawn_run(&playbook, &[]);
    begun(&fleet);
    signal(child.id(), Signal::INT);
    moment();
    let began = Instant::now();
    signal(child.id(), Signal::INT);
    let ended = finish(child, began);
    ended.exits(130);
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
    assert_eq!(fleet.effects("h1"), ["a"]);
    go(&fleet);
    until("the jobs ended without their controller", || {
        ["h1", "h2"].iter().all(|host| fleet.effects(host) == ["a", "a2"])
    });
    let run = fleet.last_run();
    fleet.run(&playbook, &[]).exits(7).says(&run);
    fleet.refit(&["resume"]).exits(0);
    for host in ["h1", "h2"] {
        assert_eq!(fleet.effects(host), ALL, "{host}");
    }
}

#[test]
fn a_hangup_stops_nothing() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("two.yml", TWO_STEPS);
    let child = fleet.spawn_run(&playbook, &[]);
    begun(&fleet);
    signal(child.id(), Signal::HUP);
    moment();
    go(&fleet);
    finish(child, Instant::now()).exits(0);
    assert_eq!(fleet.effects("h2"), ALL);
}

/// Stopped while an `until` waits between two attempts.
#[test]
fn ctrl_c_ends_a_wait_between_attempts() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "until.yml",
        r#"
hosts: fleet
steps:
  - id: a
    shell: echo a >> {{ host_root }}/effects; [ -e {{ host_root }}/go ]
    register: r
    until: r.rc == 0
    retries: 50
    delay: 4
  - id: b
    shell: echo b >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&playbook, &[]);
    until("the first attempt", || !fleet.effects("h1").is_empty());
    moment();
    let began = Instant::now();
    signal(child.id(), Signal::INT);
    let ended = finish(child, began);
    ended.exits(130);
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "a", "b"]);
}

#[test]
fn abort_stops_a_living_run_and_frees_its_hosts() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("two.yml", TWO_STEPS);
    let child = fleet.spawn_run(&playbook, &[]);
    begun(&fleet);
    let run = fleet.last_run();
    let abort = fleet.spawn(&["abort", &run, "--reason", "wrong window"]);
    until("the message is in the inbox", || {
        let mut asked = std::process::Command::new("sqlite3");
        asked.arg(fleet.path("journal.db")).arg("SELECT count(*) FROM inbox");
        asked.output().is_ok_and(|said| said.stdout.starts_with(b"1"))
    });
    // The controller looks three times a second.
    std::thread::sleep(Duration::from_secs(1));
    go(&fleet);
    let stopped = std::thread::spawn(move || finish(child, Instant::now()));
    finish(abort, Instant::now()).exits(0);
    stopped.join().unwrap().exits(143);
    assert_eq!(fleet.effects("h1"), ["a", "a2"]);
    fleet.refit(&["resume", &run]).exits(1).says("closed");
    let other = fleet.path("other.db").display().to_string();
    let fine = fleet.write(
        "fine.yml",
        "hosts: fleet\nsteps:\n  - shell: echo fine >> {{ host_root }}/effects\n",
    );
    let inventory = fleet.inventory();
    fleet
        .refit(&["run", &fine, "-i", &inventory, "--journal", &other])
        .exits(0);
    assert_eq!(fleet.effects("h1"), ["a", "a2", "fine"]);
}

/// Stopped while a guard is asked again and again.
#[test]
fn ctrl_c_ends_the_wait_for_a_guard() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "guard.yml",
        r#"
hosts: fleet
stages:
  - name: One
    guard:
      - { id: quiet, timeout: 60s, reads: true, command: "test -e {{ host_root }}/go" }
    steps:
      - id: a
        shell: echo a >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&playbook, &[]);
    until("the run has begun", || {
        fleet.root("h1").join("var/refit/owner").exists()
    });
    std::thread::sleep(Duration::from_secs(1));
    let began = Instant::now();
    signal(child.id(), Signal::INT);
    let ended = finish(child, began);
    ended.exits(130);
    assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
    assert!(fleet.effects("h1").is_empty());
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(fleet.effects("h1"), ["a"]);
}

/// Stopped while hosts are reached: nothing was touched, and nothing is in the way.
#[test]
fn ctrl_c_before_anything_was_touched() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write("two.yml", TWO_STEPS);
    let mark = fleet.mark();
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("ansible_port={}", silent.local_addr().unwrap().port());
    let child = fleet.spawn_run(&playbook, &["-e", &port, "-e", "ansible_host=127.0.0.1"]);
    silent.accept().unwrap();
    let began = Instant::now();
    signal(child.id(), Signal::INT);
    let ended = finish(child, began);
    ended.exits(130);
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
    assert!(fleet.newer_than(&mark).is_empty(), "{:?}", fleet.newer_than(&mark));
    fleet.refit(&["resume"]).exits(0).says("no unfinished run");
}

/// Stopped while a probe runs, or waits between two attempts: nothing was touched.
#[test]
fn ctrl_c_during_probes() {
    let Some(fleet) = Fleet::up(1) else { return };
    let seen = fleet.path("seen").display().to_string();
    let go = fleet.path("go").display().to_string();
    let runs = format!("shell: 'echo p >>{seen}; until [ -e {go} ]; do sleep 0.05; done'\n    reads: true");
    let waits = format!(
        "shell: 'echo p >>{seen}; [ -e {go} ]'\n    reads: true\n    register: r\n    until: r.rc == 0\n    retries: 50\n    delay: 4"
    );
    for (probe, more) in [
        (&runs, ""),
        (&runs, "  - command: \"true\"\n    reads: true\n"),
        (&waits, ""),
    ] {
        for name in ["seen", "go"] {
            let _ = std::fs::remove_file(fleet.path(name));
        }
        let playbook = fleet.write(
            "probes.yml",
            &format!(
                "hosts: fleet\nprobes:\n  - {probe}\n{more}steps:\n  - shell: echo a >> {{{{ host_root }}}}/effects\n"
            ),
        );
        let mark = fleet.mark();
        let child = fleet.spawn_run(&playbook, &[]);
        until("the probe runs", || fleet.path("seen").exists());
        moment();
        let began = Instant::now();
        signal(child.id(), Signal::INT);
        if probe == &runs {
            moment();
            std::fs::write(fleet.path("go"), "").unwrap();
        }
        let ended = finish(child, began);
        ended.exits(130).says("stopped before anything was touched");
        assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
        assert!(fleet.newer_than(&mark).is_empty(), "{:?}", fleet.newer_than(&mark));
        fleet.refit(&["resume"]).exits(0).says("no unfinished run");
    }
}
