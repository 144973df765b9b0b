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
    resume_to(fleet, k, 0, &mut kills);
}

fn resume_to(fleet: &Fleet, k: &str, end: i32, kills: &mut Vec<usize>) {
    for _ in 0..8 {
        let mut command = fleet.command(&["resume"]);
        if let Some(n) = kills.pop() {
            command.env("REFIT_TEST_KILL_AT_COMMIT", n.to_string());
        }
        let ended = finish(fleet.start_with(&mut command), Instant::now());
        match ended.code {
            1009 => {}
            code if code == end => return,
            // Killed after its last commit.
            0 if ended.out.contains("no unfinished run") => return,
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
fn rounds(fleets: usize, text: &str, round: impl Fn(&Fleet, &str, usize) -> bool + Sync) {
    let next = AtomicUsize::new(1);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..fleets {
            scope.spawn(|| {
                let Some(fleet) = Fleet::up(HOSTS.len()) else { return };
                let playbook = fleet.write("killed.yml", text);
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
    rounds(4, PLAYBOOK, |fleet, playbook, n| {
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
    rounds(3, PLAYBOOK, |fleet, playbook, n| {
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

/// A host that fails and is rolled back, a loop, a step for all on another host.
const GOES_BACK: &str = r#"
name: Goes back
hosts: fleet
stages:
  - name: One
    max_fail: 1
    steps:
      - id: each
        loop: [x, y]
        shell: echo {{ k }}-{{ item }} >> {{ host_root }}/effects
      - id: bad
        shell: echo {{ k }}-bad >> {{ host_root }}/effects; [ {{ inventory_hostname }} != h2 ]
    rollback:
      - id: r1
        shell: sleep 0.1; echo {{ k }}-r1 >> {{ host_root }}/effects
      - id: r2
        shell: echo {{ k }}-r2 >> {{ host_root }}/effects
  - name: Two
    steps:
      - id: once
        run_once: true
        delegate_to: h3
        shell: echo {{ k }}-once >> {{ hostvars.h3.host_root }}/effects; echo w
        register: w
      - id: e
        shell: echo {{ k }}-e-{{ w.stdout }} >> {{ host_root }}/effects
"#;

#[test]
fn at_every_commit_of_a_run_that_goes_back_on_one_host() {
    let check = |fleet: &Fleet, k: &str| {
        for (host, wanted) in [
            ("h1", "x y bad e-w"),
            ("h2", "x y bad r1 r2"),
            ("h3", "x y bad once e-w"),
        ] {
            let all = fleet.effects(host);
            let seen: Vec<&str> = all
                .iter()
                .filter_map(|line| line.strip_prefix(&format!("{k}-")))
                .collect();
            assert_eq!(seen.join(" "), wanted, "{host} in round {k}");
        }
    };
    rounds(4, GOES_BACK, |fleet, playbook, n| {
        let k = n.to_string();
        let ended = finish(begin(fleet, playbook, &k, Some(n)), Instant::now());
        if ended.code == 3 {
            check(fleet, &k);
            return false;
        }
        ended.exits(1009);
        let mut kills = if n % 3 == 1 {
            vec![3 + n % 4, 2 + n % 3]
        } else {
            Vec::new()
        };
        resume_to(fleet, &k, 3, &mut kills);
        check(fleet, &k);
        true
    });
}

/// Killed after its very last commit, the run is done and its locks stand on the hosts: they are in nobody's way.
#[test]
fn at_its_last_commit_it_leaves_nothing_in_the_way() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "one.yml",
        "hosts: fleet\nsteps:\n  - shell: echo {{ k }} >> {{ host_root }}/effects\n",
    );
    for n in 1.. {
        let k = n.to_string();
        let ended = finish(begin(&fleet, &playbook, &k, Some(n)), Instant::now());
        if ended.code == 0 {
            break;
        }
        ended.exits(1009);
        fleet.refit(&["resume"]).exits(0);
    }
    let seen = fleet.effects("h1");
    let wanted: Vec<String> = (1..=seen.len()).map(|n| n.to_string()).collect();
    assert_eq!(seen, wanted);
    assert!(seen.len() > 5, "{seen:?}");
}

/// The connections of hosts break again and again while a run goes on: it notices nothing.
#[test]
fn connections_that_break_cost_nothing() {
    let Some(fleet) = Fleet::up(HOSTS.len()) else { return };
    let playbook = fleet.write("killed.yml", PLAYBOOK);
    for n in 0..8_usize {
        let k = format!("c{n}");
        let child = begin(&fleet, &playbook, &k, None);
        for cut in 0..3 {
            std::thread::sleep(Duration::from_millis(120 + ((n * 3 + cut) * 7919 % 400) as u64));
            let ssh = ssh_of(child.id());
            // The client on this side or the server on the other.
            match ssh.get((n + cut) % ssh.len().max(1)) {
                Some(pid) if n % 2 == 0 => kill(*pid),
                Some(_) => {
                    let host = HOSTS[(n + cut) % HOSTS.len()];
                    fleet.stop(host);
                    fleet.start(host);
                }
                None => {}
            }
        }
        let ended = finish(child, Instant::now());
        // At the survey a host that does not answer is a refusal: nothing was touched.
        if ended.code == 1 {
            assert!(HOSTS.iter().all(|host| {
                fleet
                    .effects(host)
                    .iter()
                    .all(|line| !line.starts_with(&format!("{k}-")))
            }));
            continue;
        }
        ended.exits(0);
        once(&fleet, &k);
    }
}
