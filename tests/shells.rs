//! Accounts and hosts that are not as one would wish: they work, or what is the matter is said, and the others go on.

use std::process::Command;

use crate::fleet::{Ended, Fleet};

const PLAYBOOK: &str = r#"
hosts: fleet
stages:
  - name: One
    max_fail: 1
    steps:
      - id: write
        shell: 'printf "%s\n" "a b" "$WORD" >> {{ host_root }}/var/effects'
        environment: { WORD: "it's $HOME" }
      - copy: { content: "x\n", dest: "{{ host_root }}/var/copied", mode: "0640" }
"#;

/// The same where no host may fail.
fn strict() -> String {
    PLAYBOOK.replace("max_fail: 1", "max_fail: 0")
}

fn with(fleet: &Fleet, playbook: &str, lines: &[(&str, &str)]) -> Ended {
    let book = fleet.write("play.yml", playbook);
    let mut inventory = std::fs::read_to_string(fleet.inventory()).unwrap();
    for (host, vars) in lines {
        inventory = inventory.replace(&format!("{host} ansible_host"), &format!("{host} {vars} ansible_host"));
    }
    let path = fleet.path("play/hosts.ini");
    std::fs::write(&path, inventory).unwrap();
    fleet.refit(&["run", &book, "-i", &path.display().to_string()])
}

fn lab(args: &[&str]) -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/fleet.sh");
    let output = Command::new("bash").arg(script).args(args).output().unwrap();
    let skip = output.status.code() == Some(77);
    assert!(
        skip || output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!(skip && std::env::var_os("CI").is_some()), "this is CI");
    !skip
}

#[track_caller]
fn done(fleet: &Fleet, host: &str) {
    assert_eq!(fleet.read(host, "var/effects"), "a b\nit's $HOME\n", "on {host}");
    assert_eq!(fleet.read(host, "var/copied"), "x\n", "on {host}");
}

#[test]
fn fish_csh_and_a_noisy_bashrc() {
    if !lab(&["users", "fish", "csh"]) {
        return;
    }
    let Some(fleet) = Fleet::up(3) else { return };
    let folder = fleet.path("lab").display().to_string();
    assert!(lab(&["noisy", &folder, "h1"]));
    let accounts = [("h2", "ansible_user=refit-fish"), ("h3", "ansible_user=refit-csh")];
    let ended = with(&fleet, PLAYBOOK, &accounts);
    ended.exits(0).says_not("Welcome");
    for host in ["h1", "h2", "h3"] {
        done(&fleet, host);
    }
}

/// A file system of its own as a host's state folder. None: no right to mount.
fn mounted(fleet: &Fleet, host: &str, fill: bool, options: &str) -> Option<Mounted> {
    let folder = fleet.root(host).join("var/refit");
    let image = fleet.path(&format!("{host}.img"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let mount = |options: &str| works(Command::new("mount").args(["-o", options]).arg(&image).arg(&folder));
    let made = works(
        Command::new("mkfs.ext4")
            .args(["-q", "-m", "0", "-O", "^has_journal"])
            .arg(&image),
    );
    if !made || !mount("loop") {
        eprintln!("skipped: no right to mount a file system of our own");
        return None;
    }
    let mounted = Mounted(folder);
    if fill {
        let mut ballast = std::fs::File::create(mounted.0.join("ballast")).unwrap();
        while std::io::Write::write_all(&mut ballast, &[0; 512]).is_ok() {}
    }
    if !options.is_empty() {
        assert!(works(Command::new("mount").args(["-o", options]).arg(&mounted.0)));
    }
    Some(mounted)
}

/// Said with the host's own words, before any step runs anywhere; with room again nothing of it is in the way.
#[test]
fn a_full_state_folder() {
    let Some(fleet) = Fleet::up(2) else { return };
    let Some(full) = mounted(&fleet, "h1", true, "") else {
        return;
    };
    with(&fleet, &strict(), &[])
        .exits(1)
        .says("error: h1 cannot be used: ")
        .says("No space left");
    for host in ["h1", "h2"] {
        assert_eq!(fleet.read(host, "var/effects"), "", "{host} was touched");
    }
    with(&fleet, PLAYBOOK, &[]).exits(2).says("No space left");
    assert_eq!(fleet.read("h1", "var/effects"), "", "it was touched");
    done(&fleet, "h2");
    std::fs::write(fleet.root("h2").join("var/effects"), "").unwrap();
    std::fs::remove_file(full.0.join("ballast")).unwrap();
    with(&fleet, PLAYBOOK, &[]).exits(0);
    for host in ["h1", "h2"] {
        done(&fleet, host);
    }
}

/// Such a host is refused before anything is touched anywhere.
#[test]
fn a_read_only_state_folder() {
    let Some(fleet) = Fleet::up(2) else { return };
    let Some(_fixed) = mounted(&fleet, "h1", false, "remount,ro") else {
        return;
    };
    let mark = fleet.mark();
    with(&fleet, &strict(), &[])
        .exits(1)
        .says("h1 cannot be used: ")
        .says("var/refit is on a read-only file system")
        .says_not("h2");
    let touched = fleet.newer_than(&mark);
    assert!(touched.is_empty(), "touched: {touched:?}");
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn an_account_without_sudo() {
    let Some(fleet) = Fleet::with_accounts(2) else { return };
    let playbook = PLAYBOOK.replace("hosts: fleet\n", "hosts: fleet\nbecome: true\n");
    let ended = with(
        &fleet,
        &playbook,
        &[("h1", "ansible_user=refit-plain"), ("h2", "ansible_user=refit-deploy")],
    );
    ended.exits(2).says("h1").says("sudo");
    assert_eq!(fleet.read("h1", "var/effects"), "");
    done(&fleet, "h2");
}
