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

/// The state folder is a file system of its own: full, or read-only. Needs root.
#[test]
fn a_state_folder_that_is_full_or_read_only() {
    let Some(fleet) = Fleet::up(3) else { return };
    let mount = |host: &str, options: &str| {
        let folder = fleet.root(host).join("var/refit");
        std::fs::create_dir_all(&folder).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&folder)
            .output()
            .unwrap();
        status.status.success().then_some(Mounted(folder))
    };
    let Some(full) = mount("h1", "size=64k,mode=0711") else {
        eprintln!("skipped: no right to mount");
        return;
    };
    let _ = std::fs::write(full.0.join("ballast"), vec![0_u8; 1 << 20]);
    let fixed = mount("h2", "size=64k,mode=0711,ro").unwrap();
    let ended = with(&fleet, &PLAYBOOK.replace("max_fail: 1", "max_fail: 2"), &[]);
    for host in ["h1", "h2"] {
        assert_eq!(fleet.read(host, "var/effects"), "", "{host} was touched");
    }
    assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
    ended.says("h1").says("No space left").says("h2").says("Read-only");
    done(&fleet, "h3");
    drop((full, fixed));
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
