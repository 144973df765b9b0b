//! Other accounts: sudo with and without a password, and what is said where it does not work.

use crate::fleet::{Ended, Fleet};

const WHO: &str = r#"
hosts: fleet
become: true
stages:
  - name: One
    max_fail: {MAX}
    steps:
      - id: a
        shell: id -un >> {{ host_root }}/effects; id -un
        register: r
      - id: b
        shell: echo {{ r.stdout }} >> {{ host_root }}/var/mine
        become: false
      - id: c
        become_user: refit-plain
        shell: id -un > {{ host_root }}/var/plain
"#;

/// Runs it with these variables in the inventory.
fn run(fleet: &Fleet, max: &str, lines: &[(&str, &str)]) -> Ended {
    let book = fleet.write("who.yml", &WHO.replace("{MAX}", max));
    let mut inventory = std::fs::read_to_string(fleet.inventory()).unwrap();
    for (host, vars) in lines {
        inventory = inventory.replace(&format!("{host} ansible_host"), &format!("{host} {vars} ansible_host"));
    }
    let path = fleet.path("who.ini");
    std::fs::write(&path, inventory).unwrap();
    fleet.refit(&["run", &book, "-i", &path.display().to_string()])
}

#[test]
fn with_and_without_a_password() {
    let Some(fleet) = Fleet::with_accounts(2) else { return };
    let lines = [
        ("h1", "ansible_user=refit-deploy"),
        ("h2", "ansible_user=refit-ops ansible_become_password=ops-secret"),
    ];
    run(&fleet, "0", &lines).exits(0).says_not("ops-secret");
    for host in ["h1", "h2"] {
        assert_eq!(fleet.effects(host), ["root"]);
        assert_eq!(fleet.read(host, "var/mine"), "root\n");
        assert_eq!(fleet.read(host, "var/plain"), "refit-plain\n");
    }
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(fleet.root("h1").join("var/mine")).unwrap().uid();
    assert_ne!(owner, 0, "the step without become ran as the login");
    let left = std::process::Command::new("grep")
        .args(["-rl", "ops-secret"])
        .arg(fleet.path(""))
        .output()
        .unwrap();
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert_eq!(
        left.trim(),
        fleet.path("who.ini").display().to_string(),
        "the password is where it was given, and nowhere else"
    );
}

#[test]
fn what_does_not_work_is_said_as_that_and_the_others_go_on() {
    let Some(fleet) = Fleet::with_accounts(4) else { return };
    let lines = [
        ("h1", "ansible_user=refit-deploy"),
        ("h2", "ansible_user=refit-ops ansible_become_password=wrong-one"),
        ("h3", "ansible_user=refit-plain"),
        ("h4", "ansible_user=refit-ops"),
    ];
    let refused = run(&fleet, "2", &lines);
    refused
        .exits(1)
        .says("h2")
        .says("h3")
        .says("h4")
        .says("password")
        .says_not("wrong-one");
    for host in ["h1", "h2", "h3", "h4"] {
        assert!(fleet.effects(host).is_empty(), "{host}");
        assert!(!fleet.root(host).join("var/refit").exists(), "{host}");
    }
    run(&fleet, "3", &lines).exits(2).says_not("wrong-one");
    assert_eq!(fleet.effects("h1"), ["root"]);
    for host in ["h2", "h3", "h4"] {
        assert!(fleet.effects(host).is_empty(), "{host}");
    }
}

/// Jobs of three accounts, each killed away from under the controller: each is found in its account's own folder.
#[test]
fn jobs_of_other_accounts_are_adopted() {
    let Some(fleet) = Fleet::with_accounts(1) else { return };
    let text = r#"
hosts: fleet
steps:
  - id: login
    shell: {WAIT}
  - id: root
    become: true
    shell: {WAIT}
  - id: plain
    become: true
    become_user: refit-plain
    shell: {WAIT}
"#
    .replace(
        "{WAIT}",
        "id -un >> {{ host_root }}/var/effects-$(id -un); sleep 1; echo end >> {{ host_root }}/var/effects-$(id -un)",
    );
    let book = fleet.write("accounts.yml", &text);
    let user = ["-e", "ansible_user=refit-deploy"];
    let mut child = fleet.spawn_run(&book, &user);
    for account in ["refit-deploy", "root", "refit-plain"] {
        let file = format!("var/effects-{account}");
        crate::fleet::until("the step runs", || !fleet.read("h1", &file).is_empty());
        crate::fleet::kill_tree(child.id());
        crate::fleet::finish(child, std::time::Instant::now()).exits(1009);
        child = fleet.spawn(&["resume"]);
    }
    crate::fleet::finish(child, std::time::Instant::now()).exits(0);
    for account in ["refit-deploy", "root", "refit-plain"] {
        assert_eq!(
            fleet.read("h1", &format!("var/effects-{account}")),
            format!("{account}\nend\n")
        );
    }
}
