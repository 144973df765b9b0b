//! What stands under playbooks/ and inventories/ is right.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn refit(args: &[&str], environment: &[(&str, &Path)]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_refit"))
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied())
        .current_dir(root())
        .output()
        .unwrap()
}

#[track_caller]
fn fine(args: &[&str]) -> String {
    fine_with(args, &[])
}

#[track_caller]
fn fine_with(args: &[&str], environment: &[(&str, &Path)]) -> String {
    let output = refit(args, environment);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "refit {args:?}\n{said}");
    assert!(!said.contains("warning"), "refit {args:?}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        if root().join(&path).is_dir() {
            below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Files below playbooks/ that are playbooks: they name hosts.
fn playbooks() -> Vec<String> {
    let mut found = Vec::new();
    below(Path::new("playbooks"), &mut found);
    let is_playbook = |path: &PathBuf| {
        let yaml = path.extension().is_some_and(|end| end == "yml" || end == "yaml");
        yaml && std::fs::read_to_string(root().join(path))
            .unwrap()
            .lines()
            .any(|line| line.starts_with("hosts:"))
    };
    found.retain(is_playbook);
    found.sort();
    found.into_iter().map(|path| path.display().to_string()).collect()
}

#[test]
fn every_playbook_is_fine() {
    let playbooks = playbooks();
    assert!(playbooks.contains(&"playbooks/demo.yml".to_owned()), "{playbooks:?}");
    assert!(
        playbooks.contains(&"playbooks/temporal/upgrade.yml".to_owned()),
        "{playbooks:?}"
    );
    for playbook in &playbooks {
        let said = fine(&["lint", playbook]);
        assert!(said.starts_with(&format!("{playbook}: fine")), "{said}");
    }
}

/// With an inventory everything is rendered on every host; what it names on the controller has to be there.
#[test]
fn with_an_inventory_too() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        std::fs::write(at(name), text).unwrap();
        at(name).display().to_string()
    };
    write("ledger-1.1.0", "");
    let hosts = "[fleet]\nh1 ansible_host=127.0.0.1\nh2 ansible_host=127.0.0.2\n[fleet:vars]\nhost_root=/srv\nledger_http=1\nledger_grpc=2\n";
    let fleet = write(
        "fleet.ini",
        &format!("{hosts}ledger_binaries={}\n", dir.path().display()),
    );
    let said = fine(&["lint", "playbooks/demo.yml", "-i", &fleet, "-e", "to=1.1.0"]);
    assert!(said.contains("2 hosts"), "{said}");

    write("1.30.9/bin/temporal-server", "");
    write("ca.pem", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n");
    std::fs::create_dir(at("1.30.9/schema")).unwrap();
    let schemas = root().join("tests/fixtures/temporal-schema/postgresql");
    std::os::unix::fs::symlink(schemas, at("1.30.9/schema/postgresql")).unwrap();
    // What the lab writes when it starts the machines.
    let addresses = |count: u32| {
        let hosts: String = (1..=count)
            .map(|n| format!("t{n} ansible_host=198.18.77.{n}\n"))
            .collect();
        let known = "database_host=198.18.77.1\ndatabase_port=5432\ndatabase_user=temporal\nhistory_shards=32\nrpc_address=198.18.77.1:7233\n";
        format!(
            "[lab]\ndb1 ansible_host=198.18.77.9\n{hosts}[all:vars]\n{known}database_ca={}\n",
            at("ca.pem").display()
        )
    };
    let environment = [("REFIT_TEMPORAL_BUILDS", dir.path())];
    for (inventory, servers) in [("inventories/lab", 3), ("inventories/lab-split", 6)] {
        let lab = write("lab.ini", &addresses(servers));
        // A server without its `--service` would do all four roles, wherever it stands.
        let services = ["eval", "services", "--host", "t1", "-i", inventory, "-i", &lab];
        let wanted = if servers == 6 {
            "\" --service matching\""
        } else {
            "\"\""
        };
        assert_eq!(fine(&services).trim(), wanted, "{inventory}");
        for name in ["preflight", "backup", "upgrade", "upgrade-down", "rollback"] {
            let playbook = format!("playbooks/temporal/{name}.yml");
            let mut lint = vec!["lint", &playbook, "-i", inventory, "-i", &lab];
            if name != "backup" {
                lint.extend(["-e", "to=1.30.9"]);
            }
            let said = fine_with(&lint, &environment);
            let hosts = if name == "backup" { 1 } else { servers + 1 };
            assert!(
                name == "preflight" || name == "rollback" || said.contains(&format!("{hosts} hosts")),
                "{said}"
            );
        }
    }
}

#[test]
fn every_inventory_loads() {
    for (source, host) in [
        ("inventories/lab", None),
        ("inventories/lab-split", None),
        ("inventories/examples/ini", Some("db1.example.com")),
        ("inventories/examples/yaml", None),
    ] {
        let hosts = fine(&["inventory", "-i", source, "--hosts", "all"]);
        assert!(hosts.lines().count() > 1, "{source}: {hosts}");
        let first = host.unwrap_or_else(|| hosts.lines().next().unwrap());
        let variables: serde_json::Value =
            serde_json::from_str(&fine(&["inventory", "-i", source, "--host", first])).unwrap();
        assert!(
            variables.as_object().is_some_and(|map| !map.is_empty()),
            "{source}: {first} has no variables"
        );
        let listed: serde_json::Value = serde_json::from_str(&fine(&["inventory", "-i", source, "--list"])).unwrap();
        assert!(listed["_meta"]["hostvars"].is_object(), "{listed}");
    }
    let known: Vec<_> = std::fs::read_dir(root().join("inventories"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(known.len(), 3, "an inventory that this test does not know: {known:?}");
}
