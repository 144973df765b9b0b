//! A host belongs to one run at a time, whoever's journal it is in.

use std::cell::{Cell, RefCell};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::fleet::{Ended, Fleet, finish, kill_tree, until};

const WAITS: &str = r#"
hosts: fleet
stages:
  - name: One
    steps:
      - id: a
        shell: echo {{ k }}-a >> {{ host_root }}/effects; until [ -e {{ host_root }}/go ]; do sleep 0.05; done
      - id: b
        shell: echo {{ k }}-b >> {{ host_root }}/effects
"#;

fn go(fleet: &Fleet, hosts: &[&str]) {
    for host in hosts {
        std::fs::write(fleet.root(host).join("go"), "").unwrap();
    }
}

fn begun(fleet: &Fleet, hosts: &[&str], line: &str) {
    until("the first run has begun", || {
        hosts.iter().all(|host| fleet.effects(host).iter().any(|l| l == line))
    });
}

fn with_journal(fleet: &Fleet, journal: &str, args: &[&str]) -> Ended {
    let began = Instant::now();
    let mut command = fleet.command(args);
    command.env("REFIT_JOURNAL", fleet.path(journal));
    finish(fleet.start_with(&mut command), began)
}

fn end(child: Child) -> Ended {
    finish(child, Instant::now())
}

#[test]
fn two_journals_exclude_each_other() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("waits.yml", WAITS);
    let first = fleet.spawn_run(&playbook, &["-e", "k=1"]);
    begun(&fleet, &["h1", "h2"], "1-a");
    let run = fleet.last_run();
    let inventory = fleet.inventory();
    let second = ["run", &playbook, "-i", &inventory, "-e", "k=2"];
    let refused = with_journal(&fleet, "other.db", &second);
    refused.exits(7).says(&run).says("tester@");
    assert!(refused.took < Duration::from_secs(2), "{:?}", refused.took);
    go(&fleet, &["h1", "h2"]);
    end(first).exits(0);
    with_journal(&fleet, "other.db", &second).exits(0);
    for host in ["h1", "h2"] {
        assert_eq!(fleet.effects(host), ["1-a", "1-b", "2-a", "2-b"]);
    }
}

#[test]
fn two_controllers_begin_at_once_and_one_wins() {
    let Some(fleet) = Fleet::up(3) else { return };
    let hosts = ["h1", "h2", "h3"];
    let playbook = fleet.write("waits.yml", WAITS);
    let inventory = fleet.inventory();
    for round in 0..4 {
        let k = format!("k=r{round}");
        let mut both: Vec<Child> = ["x.db", "y.db"]
            .into_iter()
            .map(|journal| {
                let mut command = fleet.command(&["run", &playbook, "-i", &inventory, "-e", &k]);
                command.env("REFIT_JOURNAL", fleet.path(journal));
                fleet.start_with(&mut command)
            })
            .collect();
        // The winner waits for `go`, so whoever ends first has lost.
        let lost = Cell::new(None);
        let both_now = RefCell::new(&mut both);
        until("one of the two is refused", || {
            let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
            lost.set(both_now.borrow_mut().iter_mut().position(ended));
            lost.get().is_some()
        });
        let loser = both.remove(lost.get().unwrap());
        end(loser).exits(7);
        go(&fleet, &hosts);
        end(both.remove(0)).exits(0);
        for host in hosts {
            let mut seen = fleet.effects(host);
            seen.retain(|line| line.starts_with(&format!("r{round}")));
            assert_eq!(seen, [format!("r{round}-a"), format!("r{round}-b")]);
            std::fs::remove_file(fleet.root(host).join("go")).unwrap();
        }
    }
}

/// One logs in as root, the other becomes root: the lock is the host's, not the login's.
#[test]
fn root_by_login_and_root_by_sudo_exclude_each_other() {
    let Some(fleet) = Fleet::with_accounts(1) else { return };
    let playbook = fleet.write("waits.yml", WAITS);
    let first = fleet.spawn_run(&playbook, &["-e", "k=1"]);
    begun(&fleet, &["h1"], "1-a");
    let run = fleet.last_run();
    let inventory = fleet.inventory();
    let second = [
        "run",
        &playbook,
        "-i",
        &inventory,
        "-e",
        "k=2",
        "-e",
        "ansible_user=refit-deploy",
        "-e",
        "{ansible_become: true}",
    ];
    let refused = with_journal(&fleet, "other.db", &second);
    refused.exits(7).says(&run);
    assert!(refused.took < Duration::from_secs(2), "{:?}", refused.took);
    go(&fleet, &["h1"]);
    end(first).exits(0);
    with_journal(&fleet, "other.db", &second).exits(0);
    assert_eq!(fleet.effects("h1"), ["1-a", "1-b", "2-a", "2-b"]);
}

#[test]
fn a_killed_run_is_in_the_way_until_it_is_resumed_or_closed() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("waits.yml", WAITS);
    let child = fleet.spawn_run(&playbook, &["-e", "k=1"]);
    begun(&fleet, &["h1", "h2"], "1-a");
    kill_tree(child.id());
    end(child).exits(1009);
    let run = fleet.last_run();
    let blocked = fleet.run(&playbook, &["-e", "k=2"]);
    blocked
        .exits(7)
        .says(&format!("refit resume {run}"))
        .says(&format!("refit abort {run}"));
    // Another journal knows nothing of it and finds the hosts locked, although nobody holds them open.
    let inventory = fleet.inventory();
    with_journal(&fleet, "other.db", &["run", &playbook, "-i", &inventory, "-e", "k=3"])
        .exits(7)
        .says(&run);
    go(&fleet, &["h1", "h2"]);
    fleet.refit(&["abort", &run]).exits(1);
    fleet.refit(&["abort", &run, "--reason", "it was a mistake"]).exits(0);
    fleet.refit(&["resume"]).exits(0).says("no unfinished run");
    fleet.refit(&["resume", &run]).exits(1);
    fleet.refit(&["abort", &run, "--reason", "again"]).exits(1);
    with_journal(&fleet, "other.db", &["run", &playbook, "-i", &inventory, "-e", "k=3"]).exits(0);
    fleet.run(&playbook, &["-e", "k=2"]).exits(0);
    assert_eq!(fleet.effects("h1"), ["1-a", "3-a", "3-b", "2-a", "2-b"]);
}

#[test]
fn a_failed_run_gives_way_to_a_new_one() {
    let Some(fleet) = Fleet::up(1) else { return };
    let failing = fleet.write("failing.yml", "hosts: fleet\nsteps:\n  - shell: exit 3\n");
    let fine = fleet.write(
        "fine.yml",
        "hosts: fleet\nsteps:\n  - shell: echo fine >> {{ host_root }}/effects\n",
    );
    fleet.run(&failing, &[]).exits(2);
    let run = fleet.last_run();
    fleet.run(&fine, &[]).exits(0);
    assert_eq!(fleet.effects("h1"), ["fine"]);
    fleet.refit(&["resume", &run]).exits(1).says("closed");
    let runs = fleet.runs();
    assert_eq!(runs[0]["state"], "closed", "{runs:?}");
}

/// A living controller of another journal is put out by `--takeover`, and can do nothing more.
#[test]
fn takeover_fences_the_old_controller() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write("waits.yml", WAITS);
    let first = fleet.spawn_run(&playbook, &["-e", "k=1"]);
    begun(&fleet, &["h1"], "1-a");
    let inventory = fleet.inventory();
    let args = [
        "run",
        &playbook,
        "-i",
        &inventory,
        "-e",
        "k=2",
        "--takeover",
        "its controller hangs",
    ];
    let mut command = fleet.command(&args);
    command.env("REFIT_JOURNAL", fleet.path("other.db"));
    let second = fleet.start_with(&mut command);
    begun(&fleet, &["h1"], "2-a");
    go(&fleet, &["h1"]);
    end(second).exits(0);
    end(first).exits(7).says("h1");
    assert_eq!(fleet.effects("h1"), ["1-a", "2-a", "2-b"]);
    let runs = fleet.runs();
    assert_eq!(runs[0]["state"], "killed", "it can be taken up again: {runs:?}");
}

/// The same of one journal: `resume --takeover` while the first controller still lives (it is stopped, not dead).
#[test]
fn resume_takes_a_run_over_from_a_controller_that_hangs() {
    use rustix::process::Signal;
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write("waits.yml", WAITS);
    let first = fleet.spawn_run(&playbook, &["-e", "k=1"]);
    begun(&fleet, &["h1"], "1-a");
    crate::fleet::signal(first.id(), Signal::STOP);
    let run = fleet.last_run();
    fleet.refit(&["resume", &run]).exits(7);
    go(&fleet, &["h1"]);
    fleet.refit(&["resume", &run, "--takeover", "it hangs"]).exits(0);
    assert_eq!(fleet.effects("h1"), ["1-a", "1-b"]);
    crate::fleet::signal(first.id(), Signal::CONT);
    end(first).exits(7);
    assert_eq!(fleet.effects("h1"), ["1-a", "1-b"]);
    let runs = fleet.runs();
    assert_eq!(runs[0]["exit"], 0, "the old controller wrote nothing: {runs:?}");
}

/// A host that was down when its run was closed keeps that run's lock: the next run of the journal knows better.
#[test]
fn a_lock_left_by_a_closed_run_is_in_nobodys_way() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write("waits.yml", WAITS);
    let child = fleet.spawn_run(&playbook, &["-e", "k=1"]);
    begun(&fleet, &["h1", "h2"], "1-a");
    kill_tree(child.id());
    end(child).exits(1009);
    let run = fleet.last_run();
    fleet.stop("h2");
    fleet
        .refit(&["abort", &run, "--reason", "it was a mistake"])
        .exits(0)
        .says("h2");
    fleet.start("h2");
    go(&fleet, &["h1", "h2"]);
    fleet.run(&playbook, &["-e", "k=2"]).exits(0);
    for host in ["h1", "h2"] {
        assert_eq!(
            fleet.effects(host),
            ["1-a", "2-a", "2-b"],
            "{host}: what the first run had not begun never ran"
        );
    }
}
