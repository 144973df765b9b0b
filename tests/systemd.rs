//! Machines that boot systemd: units, reboots, sudo with a password and `use_pty`. What is looked at is said by the
//! machine's own systemctl, /proc and files, from inside and not over the network.

use std::time::Instant;

use crate::fleet::{Fleet, finish, until};

/// A program of one's own, so that the executable of the running process tells the release.
const PROGRAMS: &str = "mkdir -p /srv/one /srv/two && for v in one two; do cp /usr/bin/sleep /srv/$v/demo && echo $v >>/srv/$v/demo; done && useradd -r demo";

const UNIT: &str = "[Unit]\nDescription=demo {WORD}\n[Service]\nUser=demo\nExecStart=/usr/local/bin/demo 100000\nExecReload=+/bin/sh -c 'echo reloaded >>/run/demo.log'\n[Install]\nWantedBy=multi-user.target\n";

fn unit(word: &str) -> String {
    UNIT.replace("{WORD}", word)
}

fn property(fleet: &Fleet, name: &str) -> String {
    fleet.on("h1", &format!("systemctl show -P {name} demo"))
}

/// One `service` step, as root.
fn service(fleet: &Fleet, given: &str) -> crate::fleet::Ended {
    let text = format!("hosts: lab\nbecome: true\nsteps:\n  - id: it\n    service: {{ name: demo, {given} }}\n");
    let book = fleet.write("service.yml", &text);
    fleet.run(&book, &[])
}

#[test]
fn a_unit_is_started_stopped_restarted_reloaded_and_enabled() {
    let Some(fleet) = Fleet::machines(1) else { return };
    fleet.on("h1", PROGRAMS);
    fleet.on("h1", "cp /srv/one/demo /usr/local/bin/demo");
    service(&fleet, "state: started").exits(2).says("there is no unit demo");
    std::fs::write(fleet.path("unit"), unit("first")).unwrap();
    let text = format!(
        "hosts: lab\nbecome: true\nsteps:\n  - copy: {{ dest: /etc/systemd/system/demo.service, src: {}, mode: \"0644\" }}\n  - service: {{ name: demo, state: started, enabled: true }}\n",
        fleet.path("unit").display()
    );
    let book = fleet.write("install.yml", &text);
    fleet.run(&book, &[]).exits(0);
    let state = || (property(&fleet, "ActiveState"), property(&fleet, "UnitFileState"));
    assert_eq!(state(), ("active".to_owned(), "enabled".to_owned()));
    let started = property(&fleet, "MainPID");
    fleet.on("h1", "touch /run/mark; sleep 0.1");
    let changed = "find /etc /usr /srv -newer /run/mark";
    fleet.run(&book, &[]).exits(0);
    assert_eq!(property(&fleet, "MainPID"), started, "a second run changes nothing");
    assert_eq!(fleet.on("h1", changed), "");

    service(&fleet, "state: reloaded").exits(0);
    assert_eq!(fleet.on("h1", "cat /run/demo.log"), "reloaded");
    assert_eq!(property(&fleet, "MainPID"), started, "a reload is no restart");
    service(&fleet, "state: restarted").exits(0);
    let second = property(&fleet, "MainPID");
    assert_ne!(second, started);

    // Another unit file under a service that runs: systemd is told, and a restart is by the new one.
    std::fs::write(fleet.path("unit"), unit("second")).unwrap();
    fleet.run(&book, &[]).exits(0);
    assert_eq!(property(&fleet, "Description"), "demo second");
    assert_eq!(property(&fleet, "NeedDaemonReload"), "no");
    assert_eq!(property(&fleet, "MainPID"), second, "`started` restarts nothing");

    service(&fleet, "state: stopped, enabled: false").exits(0);
    assert_eq!(state(), ("inactive".to_owned(), "disabled".to_owned()));
    assert!(fleet.on("h1", "pgrep -x demo || true").is_empty());
    let exited = property(&fleet, "ExecMainExitTimestampMonotonic");
    service(&fleet, "state: stopped, enabled: false").exits(0);
    assert_eq!(property(&fleet, "ExecMainExitTimestampMonotonic"), exited);
    // Enabled alone starts nothing; at the next boot systemd does.
    service(&fleet, "enabled: true").exits(0);
    assert_eq!(state(), ("inactive".to_owned(), "enabled".to_owned()));
    fleet.machine(&["reboot", "h1"]);
    assert_eq!(property(&fleet, "ActiveState"), "active");
}

#[test]
fn a_unit_behind_a_link_is_read_again_though_its_file_is_older() {
    let Some(fleet) = Fleet::machines(1) else { return };
    fleet.on("h1", PROGRAMS);
    fleet.on("h1", "cp /srv/one/demo /usr/local/bin/demo");
    for word in ["one", "two"] {
        std::fs::write(fleet.path("unit"), unit(word)).unwrap();
        let line = format!(
            "printf '%s' '{}' >/srv/{word}/demo.service",
            unit(word).replace('\'', r"'\''")
        );
        fleet.on("h1", &line);
    }
    fleet.on("h1", "touch -d '1 hour ago' /srv/one/demo.service; ln -s two /srv/current; ln -s /srv/current/demo.service /etc/systemd/system/demo.service");
    service(&fleet, "state: started, enabled: false").exits(0);
    assert_eq!(property(&fleet, "Description"), "demo two");
    fleet.on("h1", "ln -sfn one /srv/current");
    assert_eq!(
        property(&fleet, "NeedDaemonReload"),
        "no",
        "systemd sees no change by itself"
    );
    service(&fleet, "state: restarted, enabled: false").exits(0);
    assert_eq!(property(&fleet, "Description"), "demo one");
    assert_eq!(property(&fleet, "UnitFileState"), "linked", "its link is kept");
}

#[test]
fn a_unit_that_fails_shows_its_journal_and_the_host_goes_back() {
    let Some(fleet) = Fleet::machines(1) else { return };
    fleet.on("h1", PROGRAMS);
    let book = |version: &str, command: &str| {
        let unit = unit(version).replace("ExecStart=/usr/local/bin/demo 100000", command);
        std::fs::write(fleet.path("play/demo.service"), unit).unwrap();
        let text = r#"
hosts: lab
become: true
stages:
  - name: Swap
    steps:
      - id: release
        swap:
          name: demo
          version: "VERSION"
          files:
            - { dest: /usr/local/bin/demo, src: demo-VERSION, mode: "0755" }
            - { dest: /etc/systemd/system/demo.service, src: demo.service }
        register: swapped
      - service: { name: demo, state: "{{ 'restarted' if swapped.changed else 'started' }}", enabled: true }
    rollback:
      - swap: { name: demo, back: true }
      - service: { name: demo, state: restarted }
"#;
        let mut program = std::fs::read("/usr/bin/sleep").unwrap();
        program.extend(version.as_bytes());
        std::fs::write(fleet.path(&format!("play/demo-{version}")), program).unwrap();
        fleet.write("swap.yml", &text.replace("VERSION", version))
    };
    let good = "ExecStart=/usr/local/bin/demo 100000";
    let runs = || fleet.on("h1", "tail -c 3 /proc/$(systemctl show -P MainPID demo)/exe");
    fleet.run(&book("1.0", good), &[]).exits(0);
    assert_eq!(
        (runs(), property(&fleet, "Description")),
        ("1.0".to_owned(), "demo 1.0".to_owned())
    );
    fleet.run(&book("1.1", good), &[]).exits(0);
    assert_eq!(
        (runs(), property(&fleet, "Description")),
        ("1.1".to_owned(), "demo 1.1".to_owned())
    );
    let pid = property(&fleet, "MainPID");
    fleet.run(&book("1.1", good), &[]).exits(0);
    assert_eq!(property(&fleet, "MainPID"), pid, "a second run changes nothing");

    let sick = "ExecStart=/bin/sh -c 'echo the disk is made of cheese >&2; exit 7'";
    fleet
        .run(&book("1.2", sick), &[])
        .exits(3)
        .says("the disk is made of cheese")
        .says("demo");
    assert_eq!(
        (runs(), property(&fleet, "Description")),
        ("1.1".to_owned(), "demo 1.1".to_owned())
    );
    assert_eq!(property(&fleet, "ActiveState"), "active");
}

/// `ops` must give sudo a password, and Debian's sudo has `use_pty`.
#[test]
fn sudo_with_a_password_behind_a_pty_of_its_own() {
    let Some(fleet) = Fleet::machines(1) else { return };
    assert_eq!(fleet.on("h1", "grep -c '^Defaults.*use_pty' /etc/sudoers"), "1");
    let inventory = std::fs::read_to_string(fleet.inventory()).unwrap().replace(
        "ansible_user=deploy",
        "ansible_user=ops\nansible_become_password=ops-secret",
    );
    std::fs::write(fleet.path("ops.ini"), inventory).unwrap();
    let inventory = fleet.path("ops.ini").display().to_string();
    let text = "hosts: lab\nbecome: true\nsteps:\n  - shell: id -un >>/root/effects; sleep 2; echo ended >>/root/effects\n  - copy: { dest: /etc/demo, content: \"x\\n\", mode: \"0640\" }\n";
    let book = fleet.write("sudo.yml", text);
    let began = || fleet.on("h1", "cat /root/effects 2>/dev/null || true") == "root";
    let child = fleet.spawn(&["run", &book, "-i", &inventory]);
    until("the step runs", began);
    // The controller dies in the middle of a job of root's: sudo's pty goes with it, and the job must not.
    crate::fleet::kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    fleet.refit(&["resume"]).exits(0).says_not("ops-secret");
    assert_eq!(
        fleet.on("h1", "cat /root/effects; stat -c '%U %a' /etc/demo"),
        "root\nended\nroot 640"
    );
    assert_eq!(
        fleet.on(
            "h1",
            "grep -rls ops-secret /tmp /var/lib/refit /var/log/auth.log || true"
        ),
        ""
    );
}

/// The machine reboots in the middle of a job: what may be repeated is, by the boot id; what may not is asked about.
#[test]
fn a_reboot_in_the_middle_of_a_job() {
    let Some(fleet) = Fleet::machines(2) else { return };
    let text = r#"
hosts: lab
become: true
stages:
  - name: One
    steps:
      - id: long
        shell: echo begun >>/root/effects; [ -e /root/go ] || sleep 600; echo ended >>/root/effects
        idempotent: true
      - id: after
        shell: echo after >>/root/effects
        idempotent: true
  - name: Two
    steps:
      - shell: echo two >>/root/effects
"#;
    let book = fleet.write("reboot.yml", text);
    fleet.on("h2", "touch /root/go");
    let child = fleet.spawn_run(&book, &[]);
    let effects = |host: &str| fleet.on(host, "cat /root/effects 2>/dev/null || true");
    until("the step runs", || effects("h1") == "begun");
    fleet.on("h1", "touch /root/go; sync");
    fleet.machine(&["reboot", "h1"]);
    let ended = finish(child, Instant::now());
    if ended.code != 0 {
        fleet.refit(&["resume"]).exits(0);
    }
    assert_eq!(effects("h1"), "begun\nbegun\nended\nafter\ntwo");
    assert_eq!(effects("h2"), "begun\nended\nafter\ntwo");
    eprintln!("the run itself ended with {}", ended.code);
}

#[test]
fn a_job_that_may_not_be_repeated_is_asked_about_after_a_reboot() {
    let Some(fleet) = Fleet::machines(1) else { return };
    let text = "hosts: lab\nbecome: true\nsteps:\n  - id: long\n    shell: echo begun >>/root/effects; sleep 600\n  - id: next\n    shell: echo next >>/root/effects\n";
    let book = fleet.write("once.yml", text);
    let child = fleet.spawn_run(&book, &[]);
    let effects = || fleet.on("h1", "cat /root/effects 2>/dev/null || true");
    until("the step runs", || effects() == "begun");
    fleet.on("h1", "sync");
    crate::fleet::kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    fleet.machine(&["kill", "h1"]); // a power cut
    fleet.machine(&["start", "h1"]);
    let run = fleet.last_run();
    fleet.refit(&["resume"]).exits(4).says("rebooted").says("refit resolve");
    assert_eq!(effects(), "begun", "nothing is repeated by itself");
    let done = ["resolve", &run, "once/long@h1", "--as", "done", "--reason", "looked"];
    fleet.refit(&done).exits(0);
    fleet.refit(&["resume"]).exits(0);
    assert_eq!(effects(), "begun\nnext");
}
