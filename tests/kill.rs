//! The controller is killed at every commit of its journal and at any time; after `resume` every effect is there once.

use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fleet::{Fleet, finish, kill, kill_tree, ssh_of, until};

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

/// Two stages, one of them in batches; frames of several jobs, a job alone, one that takes its time, a register that the
/// next stage reads.
const PLAYBOOK: &str = r#"
name: Killed
hosts: fleet
stages:
  - name: First
    serial: 2
    steps:
      - copy: { dest: "{{ host_root }}/{{ k }}.txt", content: "for {{ k }}\n" }
      - id: a
        shell: echo {{ k }}-a >> {{ host_root }}/effects
      - id: b
        command: sh -c "sleep 0.3; echo {{ k }}-b >> {{ host_root }}/effects"
        register: r
      - id: c
        when: r.changed
        shell: echo {{ k }}-c >> {{ host_root }}/effects; echo word
        register: word
  - name: Second
    steps:
      - id: d
        command: sh -c "echo {{ k }}-d-{{ word.stdout }} >> {{ host_root }}/effects"
      - id: e
        shell: "sleep 0.1; echo {{ k }}-e >> {{ host_root }}/effects"
"#;

/// Fails unless each host has every effect of round `k` exactly once.
fn once(fleet: &Fleet, k: &str) {
    for host in HOSTS {
        let mut seen: Vec<String> = fleet.effects(host);
        seen.retain(|line| line.starts_with(&format!("{k}-")));
        let wanted: Vec<String> = ["a", "b", "c", "d-word", "e"]
            .iter()
            .map(|e| format!("{k}-{e}"))
            .collect();
        assert_eq!(seen, wanted, "{host} in round {k}");
        assert_eq!(fleet.read(host, &format!("{k}.txt")), format!("for {k}\n"));
    }
}

/// Resumes until the run is done, killed again at the given commits of the next sessions.
fn resume(fleet: &Fleet, k: &str, mut kills: Vec<usize>) {
    for _ in 0..8 {
        let mut command = fleet.command(&["resume"]);
        if let Some(n) = kills.pop() {
            command.env("REFIT_TEST_KILL_AT_COMMIT", n.to_string());
        }
        let ended = finish(fleet.start_with(&mut command), Instant::now());
        match ended.code {
            0 => return,
            1009 => {}
            code => panic!("round {k}: resume ended with {code}\n{}\n{}", ended.out, ended.err),
        }
    }
    panic!("round {k}: never done");
}

fn begin(fleet: &Fleet, playbook: &str, k: &str, kill_at: Option<usize>) -> Child {
    let inventory = fleet.inventory();
    let k = format!("k={k}");
    let mut command = fleet.command(&["run", playbook, "-i", &inventory, "-e", &k]);
    if let Some(n) = kill_at {
        command.env("REFIT_TEST_KILL_AT_COMMIT", n.to_string());
    }
    fleet.start_with(&mut command)
}

/// Rounds dealt out to a few fleets that work at once; `round` says whether there is more to do.
fn rounds(fleets: usize, round: impl Fn(&Fleet, &str, usize) -> bool + Sync) {
    let next = AtomicUsize::new(1);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..fleets {
            scope.spawn(|| {
                let Some(fleet) = Fleet::up(HOSTS.len()) else { return };
                let playbook = fleet.write("killed.yml", PLAYBOOK);
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    let more = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| round(&fleet, &playbook, n)));
                    match more {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(why) => {
                            let text = why.downcast_ref::<String>().cloned().unwrap_or_else(|| "?".into());
                            failed.lock().unwrap().push(format!("round {n}: {text}"));
                            return;
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn at_every_commit_of_the_journal() {
    let reached = AtomicUsize::new(0);
    rounds(4, |fleet, playbook, n| {
        let k = n.to_string();
        let ended = finish(begin(fleet, playbook, &k, Some(n)), Instant::now());
        if ended.code == 0 {
            once(fleet, &k);
            return false;
        }
        ended.exits(1009);
        reached.fetch_max(n, Ordering::SeqCst);
        if fleet.runs().iter().all(|run| run["exit"] == 0) {
            // Killed after its last commit, or before its first.
            if fleet
                .effects("h1")
                .iter()
                .all(|line| !line.starts_with(&format!("{k}-")))
            {
                finish(begin(fleet, playbook, &k, None), Instant::now()).exits(0);
            }
        } else {
            // Every third is killed again, at another place each time.
            resume(
                fleet,
                &k,
                if n % 3 == 0 {
                    vec![2 + n % 5, 1 + n % 4]
                } else {
                    Vec::new()
                },
            );
        }
        once(fleet, &k);
        true
    });
    let reached = reached.into_inner();
    assert!(
        reached == 0 && std::env::var_os("CI").is_none() || reached > 12,
        "only {reached} commits were killed"
    );
}

#[test]
fn at_any_time_alone_or_with_its_ssh() {
    const ROUNDS: usize = 24;
    let killed = AtomicUsize::new(0);
    rounds(3, |fleet, playbook, n| {
        if n > ROUNDS {
            return false;
        }
        let k = format!("t{n}");
        let mut child = begin(fleet, playbook, &k, None);
        // From its start to a little past its usual end, in an order that looks random and can be repeated.
        let after = 40 + (n * 7919) % 1500;
        std::thread::sleep(Duration::from_millis(after as u64));
        if child.try_wait().unwrap().is_none() {
            killed.fetch_add(1, Ordering::SeqCst);
            if n % 2 == 0 {
                kill_tree(child.id())
            } else {
                kill(child.id())
            }
        }
        let ended = finish(child, Instant::now());
        assert!(matches!(ended.code, 0 | 1009), "{ended:?}");
        let begun = fleet.refit(&["resume"]);
        begun.exits(0);
        if begun.out.contains("no unfinished run") && ended.code != 0 {
            let seen = fleet
                .effects("h1")
                .iter()
                .any(|line| line.starts_with(&format!("{k}-")));
            if !seen {
                finish(begin(fleet, playbook, &k, None), Instant::now()).exits(0);
            }
        }
        once(fleet, &k);
        true
    });
    let killed = killed.into_inner();
    assert!(
        killed == 0 && std::env::var_os("CI").is_none() || killed >= 20,
        "only {killed} of {ROUNDS} were killed"
    );
}

#[test]
fn a_step_outlives_the_controller_and_is_adopted() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "long.yml",
        r#"
hosts: fleet
steps:
  - id: long
    shell: echo began >> {{ host_root }}/effects; sleep 3; echo ended >> {{ host_root }}/effects; echo its words
    register: r
  - id: after
    shell: echo {{ r.stdout }} >> {{ host_root }}/effects
"#,
    );
    let child = fleet.spawn_run(&playbook, &[]);
    until("the step has begun", || !fleet.effects("h1").is_empty());
    assert!(!ssh_of(child.id()).is_empty());
    kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    let resumed = fleet.refit(&["resume"]);
    resumed.exits(0);
    assert!(
        resumed.took > Duration::from_millis(1000),
        "it waited for what ran: {:?}",
        resumed.took
    );
    assert_eq!(fleet.effects("h1"), ["began", "ended", "its words"]);
    fleet.refit(&["resume"]).exits(0).says("no unfinished run");
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(0).says("nothing to do");
}
