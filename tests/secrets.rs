//! A secret stands in the environment of the process that was given it, and nowhere else.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;

use crate::fleet::{Ended, Fleet};

const CANARY: &str = "canary-Zq7xW3kP9v";
const DATABASE: &str = "dbcanary-T5yLm8Rj2";
/// What tests/lab/fleet.sh gives the account refit-ops.
const SUDO: &str = "ops-secret";

const PLAYBOOK: &str = r#"
hosts: fleet
secrets:
  token: { file: token }
  sudo_password: { file: sudo }
databases:
  main: { engine: postgres, host: 127.0.0.1, name: app, user: app, password: { file: database } }
vars:
  auth: "Bearer {{ token }}"
steps:
  - id: show
    shell: |
      printf '%s\n' "$TOKEN"; printf %s "$TOKEN" | base64; sleep 1
      printf '\033[31mred\033]0;title\007\r\n'
    environment: { TOKEN: "{{ auth }}" }
    register: shown
  - debug: { msg: "{{ auth }} and {{ shown.stdout }}" }
  - set: { derived: "{{ token }}-derived" }
  - debug: { msg: "{{ derived }}" }
  - copy: { content: "token={{ token }}\n", dest: "{{ host_root }}/var/asked-copy" }
  - template: { src: secret.j2, dest: "{{ host_root }}/var/asked-template" }
  - command: { cmd: "sh -c 'cat; sleep 0.5'", stdin: "{{ token }}" }
  - http: { url: "http://127.0.0.1:{{ port }}/", headers: { Authorization: "{{ auth }}" }, from: controller }
  - http: { url: "http://127.0.0.1:{{ port }}/", headers: { Authorization: "{{ auth }}" }, from: host }
  - shell: id -un; sleep 0.5
    become: true
  - shell: echo "no $TOKEN"; echo "$TOKEN" >&2; exit 3
    environment: { TOKEN: "{{ auth }}" }
    ignore_errors: true
  - backup: { database: main, to: "{{ host_root }}/var/backup", program: "{{ host_root }}/bin/pg_dump" }
    ignore_errors: true
"#;

/// Stands in for PostgreSQL's programs: tells that it has the password, shows it on stderr, and fails.
const PROGRAM: &str = "#!/bin/sh\n[ -n \"$PGPASSWORD\" ] && echo \"$0\" >> \"${0%/*}/../var/given\"\nsleep 0.5\necho \"pg_dump: $PGPASSWORD is wrong\" >&2\nexit 1\n";

/// What was seen of all processes while something ran.
#[derive(Default)]
struct Seen {
    arguments: BTreeSet<String>,
    environments: BTreeSet<String>,
}

fn look(secrets: &[String], seen: &mut Seen) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let is_process = entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        if !is_process {
            continue;
        }
        let text = |name: &str| {
            String::from_utf8_lossy(&std::fs::read(entry.path().join(name)).unwrap_or_default()).replace('\0', " ")
        };
        let (arguments, environment) = (text("cmdline"), text("environ"));
        // Another test looks for the lab's password with grep.
        if secrets.iter().any(|secret| arguments.contains(secret)) && !arguments.starts_with("grep ") {
            seen.arguments.insert(arguments.clone());
        }
        if secrets.iter().any(|secret| environment.contains(secret)) {
            seen.environments.insert(arguments);
        }
    }
}

/// Answers every request with what it was sent, after a moment.
fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).unwrap_or(0);
            std::thread::sleep(Duration::from_millis(300));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\nConnection: close\r\n\r\n");
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&buffer[..n]));
        }
    });
    port
}

/// The secrets, and the part of their base64 that does not depend on what stands before or behind.
fn forms() -> Vec<String> {
    let mut forms = Vec::new();
    for secret in [CANARY, DATABASE, SUDO] {
        forms.push(secret.to_owned());
        for shift in 0..3 {
            let text = format!("{}{secret}", &"   "[..shift]);
            let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(text);
            forms.push(encoded[4..encoded.len() - 2].to_owned());
        }
    }
    forms
}

fn digest(text: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn free_of_secrets(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for form in forms() {
        assert!(!text.contains(&form), "{what} holds {form}:\n{text}");
    }
}

/// Files below a folder that hold a secret.
fn holders(folder: &Path) -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.arg("-rlaF");
    forms().iter().for_each(|form| {
        grep.args(["-e", form]);
    });
    let output = grep.arg(folder).output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

struct Lab {
    fleet: Fleet,
    inventory: String,
    port: String,
}

fn lab() -> Option<Lab> {
    let fleet = Fleet::with_accounts(2)?;
    for (name, text) in [("token", CANARY), ("sudo", SUDO), ("database", DATABASE)] {
        let path = fleet.write(name, &format!("{text}\n"));
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    fleet.write("secret.j2", "# {{ inventory_hostname }}\ntoken = {{ token }}\n");
    std::fs::create_dir(fleet.path("play/group_vars")).unwrap();
    fleet.write(
        "group_vars/fleet.yml",
        "ansible_become_password: \"{{ sudo_password }}\"\n",
    );
    for host in ["h1", "h2"] {
        let bin = fleet.root(host).join("bin");
        std::fs::create_dir(&bin).unwrap();
        for name in ["pg_dump", "pg_restore", "psql"] {
            std::fs::write(bin.join(name), PROGRAM).unwrap();
            std::fs::set_permissions(bin.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    let inventory = std::fs::read_to_string(fleet.inventory()).unwrap();
    let inventory = inventory.replace("h1 ansible_host", "h1 ansible_user=refit-ops ansible_host");
    let path = fleet.path("play/inventory.ini");
    std::fs::write(&path, inventory).unwrap();
    Some(Lab {
        fleet,
        inventory: path.display().to_string(),
        port: format!("port={}", echo_server()),
    })
}

impl Lab {
    fn run(&self, more: &[&str]) -> (Ended, Seen) {
        self.fleet.write("play.yml", PLAYBOOK);
        let over = Arc::new(AtomicBool::new(false));
        let watch = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let secrets = forms();
                let mut seen = Seen::default();
                while !over.load(Ordering::Relaxed) {
                    look(&secrets, &mut seen);
                    std::thread::sleep(Duration::from_millis(2));
                }
                seen
            }
        });
        let mut args = vec!["run", "play.yml", "-i", &self.inventory, "-e", &self.port, "--diff"];
        args.extend(more);
        let ended = self.fleet.refit(&args);
        over.store(true, Ordering::Relaxed);
        (ended, watch.join().unwrap())
    }
}

#[test]
fn nowhere_but_in_the_environment_of_the_payload() {
    let Some(lab) = lab() else { return };
    let fleet = &lab.fleet;
    for output in ["text", "json"] {
        let (ended, seen) = lab.run(&["--output", output]);
        ended.exits(0).says("<secret>");
        free_of_secrets("stdout", ended.out.as_bytes());
        free_of_secrets("stderr", ended.err.as_bytes());
        assert!(seen.arguments.is_empty(), "in arguments: {:#?}", seen.arguments);
        assert!(!seen.environments.is_empty(), "nobody was seen with the secret");
        let strangers: Vec<&String> = seen
            .environments
            .iter()
            .filter(|line| line.starts_with("ssh ") || line.contains("/refit run"))
            .collect();
        assert!(strangers.is_empty(), "in the environment of {strangers:#?}");
        for host in ["h1", "h2"] {
            assert_eq!(fleet.read(host, "var/asked-copy"), format!("token={CANARY}\n"));
            assert_eq!(
                fleet.read(host, "var/asked-template"),
                format!("# {host}\ntoken = {CANARY}\n")
            );
            assert!(
                !fleet.read(host, "var/given").is_empty(),
                "the program of {host} had no password"
            );
        }
    }
    for args in [
        &["runs"][..],
        &["runs", "--output", "json"],
        &["runs", &fleet.last_run()],
        &["runs", &fleet.last_run(), "--output", "json"],
    ] {
        let listed = fleet.refit(args);
        free_of_secrets("refit runs", format!("{}{}", listed.out, listed.err).as_bytes());
    }
    let journals = std::fs::read_dir(fleet.path(""))
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let journals: Vec<_> = journals
        .filter(|path| path.to_string_lossy().contains("journal.db"))
        .collect();
    assert!(!journals.is_empty());
    let digests = [
        format!("token={CANARY}\n"),
        format!("# h1\ntoken = {CANARY}\n"),
        format!("# h2\ntoken = {CANARY}\n"),
    ]
    .map(|text| digest(&text));
    for journal in journals {
        let bytes = std::fs::read(&journal).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for digest in &digests {
            assert!(!text.contains(digest), "a digest that confirms a guess: {digest}");
        }
        free_of_secrets(&journal.display().to_string(), &std::fs::read(&journal).unwrap());
    }
    let mut left = holders(&fleet.path("lab"));
    left.sort();
    let asked: Vec<String> = ["h1", "h2"]
        .iter()
        .flat_map(|host| {
            ["asked-copy", "asked-template"].map(|name| fleet.root(host).join("var").join(name).display().to_string())
        })
        .collect();
    assert_eq!(left, asked);
    assert_eq!(holders(&fleet.path("home")), [""; 0]);
    assert_eq!(holders(&fleet.path("tmp")), [""; 0]);
}

#[test]
fn what_a_host_prints_cannot_control_the_terminal() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "play.yml",
        r#"
hosts: fleet
steps:
  - { id: loud, shell: "printf 'a\\033[2Jb\\033]0;title\\007c\\rd\\b\\302\\233e\\n'", register: r }
  - debug: { msg: "{{ r.stdout }}" }
  - { id: bad, shell: "printf 'a\\033[2Jb\\033]0;title\\007c\\rd\\b\\302\\233e\\n' >&2; exit 1" }
"#,
    );
    let ended = fleet.run(&playbook, &[]);
    ended.exits(2).says("title");
    for text in [&ended.out, &ended.err] {
        let wild: Vec<char> = text.chars().filter(|c| c.is_control() && *c != '\n').collect();
        assert!(wild.is_empty(), "{wild:?} in {text}");
    }
    let shown = fleet.refit(&["runs", &fleet.last_run()]);
    let wild: Vec<char> = shown.out.chars().filter(|c| c.is_control() && *c != '\n').collect();
    assert!(wild.is_empty(), "{wild:?} in {}", shown.out);
}

#[test]
fn a_password_in_a_file_is_not_in_the_excerpt() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write(
        "play.yml",
        r#"
hosts: fleet
databases:
  main: { engine: postgres, host: 127.0.0.1, name: a, user: b, password: plain-canary-1, prot: 1 }
vars: { api_token: plain-canary-2, ansible_become_password: plain-canary-3, x: "{{ y }}" }
steps:
  - command: "echo {{ x }}"
"#,
    );
    let ended = fleet.run(&playbook, &["-e", "{a: 1, password: plain-canary-4, b: [}"]);
    ended.exits(1).says("play.yml:4:").says_not("plain-canary");
}

/// The journal has no secrets: what a step gave that held one is not there after a kill, and nothing goes on with
/// `<secret>` in its place.
#[test]
fn a_register_that_held_a_secret_is_not_made_up_after_a_kill() {
    use crate::fleet::{finish, kill_tree, until};
    let Some(fleet) = Fleet::up(1) else { return };
    std::fs::write(fleet.path("play/token"), CANARY).unwrap();
    let book = fleet.write(
        "kept.yml",
        r#"
hosts: fleet
secrets: { token: { file: token } }
stages:
  - name: One
    steps:
      - id: make
        shell: echo "made-$TOKEN"; echo make >> {{ host_root }}/effects
        environment: { TOKEN: "{{ token }}" }
        register: made
      - id: gate
        shell: touch {{ host_root }}/gate; until [ -e {{ host_root }}/go ]; do sleep 0.05; done
      - id: told
        when: made is changed
        shell: echo rc-{{ made.rc }} >> {{ host_root }}/effects
      - id: use
        shell: echo "$MADE" >> {{ host_root }}/effects
        environment: { MADE: "{{ made.stdout | default('nothing') }}" }
"#,
    );
    let child = fleet.spawn_run(&book, &[]);
    until("the gate is reached", || fleet.root("h1").join("gate").exists());
    kill_tree(child.id());
    finish(child, std::time::Instant::now()).exits(1009);
    std::fs::write(fleet.root("h1").join("go"), "").unwrap();
    fleet
        .refit(&["resume"])
        .exits(2)
        .says("`made` held a secret and is not in the journal");
    assert_eq!(fleet.effects("h1"), ["make", "rc-0"]);
}

/// A password on the command line would stand in the list of processes and in the journal.
#[test]
fn a_password_by_e_is_refused() {
    let Some(fleet) = Fleet::up(1) else { return };
    let playbook = fleet.write("p.yml", "hosts: fleet\nsteps:\n  - command: id\n");
    for given in [
        "ansible_become_password=canary-4711",
        "{ansible_become_pass: canary-4711}",
    ] {
        fleet
            .run(&playbook, &["-e", given])
            .exits(1)
            .says("a password does not belong on a command line")
            .says_not("canary-4711");
    }
}
