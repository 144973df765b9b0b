//! temporal-cassandra-tool and nodetool on real Cassandra: `tests/lab/cassandra-test.sh`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{LAB, facts, log_of, process_of, release, run, wait};
use crate::fleet::{Ended, Fleet, finish, kill, kill_tree};

/// Not the lab's own, so that a cluster of a person is left alone.
const NET: (&str, &str) = ("REFIT_LAB_CASSANDRA_NET", "127.0.46");
const PORT: &str = "19542";
const PASSWORD: &str = "canary-c2f0%a";

struct Lab {
    fleet: Fleet,
    /// Of release 1.29.7.
    release: PathBuf,
    facts: BTreeMap<String, String>,
    folder: String,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.script(&["stop", &self.folder]).output();
    }
}

impl Lab {
    /// A cluster; each node is a host of the fleet with its own `nodetool`.
    fn up(nodes: usize) -> Option<Lab> {
        let release = release("1.29.7")?;
        let fleet = Fleet::up(nodes)?;
        let folder = fleet.path("cassandra").display().to_string();
        let facts = facts("cassandra.sh", &["start", &folder, PORT, &nodes.to_string()], &[NET])?;
        let lab = Lab {
            fleet,
            release,
            facts,
            folder,
        };
        for n in 1..=nodes {
            let path = lab.fleet.root(&format!("h{n}")).join("nodetool");
            let environment = ["REFIT_LAB", "PATH", "HOME"]
                .map(|name| format!("{name}='{}' ", std::env::var(name).unwrap_or_default()))
                .concat();
            let text = format!(
                "#!/bin/sh\nexport {environment}\n[ -n \"$REFIT_LAB\" ] || unset REFIT_LAB\nexec {LAB}/cassandra.sh nodetool {} {n} \"$@\"\n",
                lab.folder
            );
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        // A password that is no word of anything else: what is said is searched for it.
        lab.cql(&format!(
            "CREATE ROLE temporal WITH PASSWORD='{PASSWORD}' AND LOGIN=true AND SUPERUSER=true"
        ));
        Some(lab)
    }

    fn script(&self, args: &[&str]) -> Command {
        let mut command = Command::new("bash");
        command.arg(format!("{LAB}/cassandra.sh")).args(args).env(NET.0, NET.1);
        command
    }

    fn nodetool(&self, node: usize, args: &[&str]) -> String {
        let node = node.to_string();
        let all: Vec<&str> = ["nodetool", &self.folder, &node].iter().chain(args).copied().collect();
        run(&mut self.script(&all))
    }

    fn program(&self) -> PathBuf {
        self.release.join("bin/temporal-cassandra-tool")
    }

    fn by_hand(&self, keyspace: &str, args: &[&str]) {
        let mut command = Command::new(self.program());
        command
            .args([
                "--ep",
                &self.facts["HOST"],
                "-p",
                PORT,
                "-u",
                "cassandra",
                "-k",
                keyspace,
            ])
            .args(args)
            .env("CASSANDRA_PASSWORD", "cassandra");
        run(&mut command);
    }

    fn make(&self, keyspace: &str, version: &str, copies: usize) {
        self.by_hand(
            keyspace,
            &["create-keyspace", "-k", keyspace, "--rf", &copies.to_string()],
        );
        self.by_hand(keyspace, &["setup-schema", "-v", "0.0"]);
        self.by_hand(keyspace, &["update-schema", "-s", "cassandra/temporal", "-v", version]);
    }

    /// Rows as cqlsh's JSON, one a line.
    #[track_caller]
    fn cql(&self, cql: &str) -> Vec<String> {
        let cqlsh = std::env::var("REFIT_TEST_CQLSH").expect("REFIT_TEST_CQLSH: run tests/lab/cassandra-test.sh");
        let output = Command::new(cqlsh)
            .args([
                &self.facts["HOST"],
                PORT,
                "-u",
                "cassandra",
                "-p",
                "cassandra",
                "--request-timeout=60",
                "-e",
                cql,
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{cql}: {text}{words}");
        let rows = text.lines().map(str::trim).filter(|line| line.starts_with('{'));
        rows.map(str::to_owned).collect()
    }

    fn version(&self, keyspace: &str) -> String {
        let rows = self.cql(&format!("SELECT JSON curr_version FROM {keyspace}.schema_version"));
        rows.concat().replace("{\"curr_version\": \"", "").replace("\"}", "")
    }

    fn tables(&self, keyspace: &str) -> Vec<String> {
        let mut rows = self.cql(&format!(
            "SELECT JSON table_name, column_name, type FROM system_schema.columns WHERE keyspace_name='{keyspace}'"
        ));
        rows.sort();
        rows
    }

    fn databases(&self, keyspace: &str) -> String {
        format!(
            "databases:\n  store:\n    engine: cassandra\n    host: [{}]\n    port: {PORT}\n    name: {keyspace}\n    user: temporal\n    \
             password: {{ env: CASS }}\n    tls: {{ ca: {} }}\n",
            self.facts["HOSTS"].replace(',', ", "),
            self.facts["CA"]
        )
    }

    fn book(&self, keyspace: &str) -> String {
        let text = format!(
            "hosts: h1\n{databases}stages:\n  - name: Schema\n    steps:\n      - id: update\n        schema:\n          database: store\n          \
             tool: {tool}\n          schema_name: cassandra/temporal\n          to: \"1.13\"\n          \
             nodetool: \"{{{{ host_root }}}}/nodetool\"\n          options: {{ timeout: 20 }}\n        register: r\n      \
             - debug: {{ msg: \"{{{{ r.from }}}} {{{{ r.to }}}} {{{{ r.applied | join(',') }}}}\" }}\n",
            databases = self.databases(keyspace),
            tool = self.program().display(),
        );
        self.fleet.write(&format!("{keyspace}.yml"), &text)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.fleet.command(args);
        command.env("CASS", PASSWORD);
        command
    }

    fn run(&self, book: &str, more: &[&str]) -> Ended {
        let inventory = self.fleet.inventory();
        let args: Vec<&str> = ["run", book, "-i", &inventory].iter().chain(more).copied().collect();
        finish(self.fleet.start_with(&mut self.command(&args)), Instant::now())
    }
}

#[test]
#[ignore = "tests/lab/cassandra-test.sh"]
fn one_node() {
    let Some(lab) = Lab::up(1) else { return };
    lab.make("byhand", "1.13", 1);
    lab.make("store", "1.9", 1);
    let book = lab.book("store");
    let text = std::fs::read_to_string(&book).unwrap();
    // without the tool there is no way, and the error says what to write
    let native = text
        .replace("          tool:", "          dir:")
        .replace("schema_name: cassandra/temporal", "");
    let native = native.replace(
        "          nodetool: \"{{ host_root }}/nodetool\"\n          options: { timeout: 20 }\n",
        "",
    );
    let path = lab.fleet.write("native.yml", &native);
    lab.run(&path, &[])
        .exits(1)
        .says("by Temporal's own tool only")
        .says("temporal-cassandra-tool");
    // another CA, no nodetool, the tool for SQL
    let foreign = lab.fleet.write(
        "foreign.yml",
        &text.replace(&lab.facts["CA"], &lab.facts["CLIENT_CERT"]),
    );
    lab.run(&foreign, &[]).exits(1).says("cannot read its schema version");
    let without = lab
        .fleet
        .write("without.yml", &text.replace("}}/nodetool", "}}/no-nodetool"));
    lab.run(&without, &[]).exits(1).says("nodetool is not on this host");
    let sql = lab
        .fleet
        .write("sql.yml", &text.replace("temporal-cassandra-tool", "temporal-sql-tool"));
    lab.run(&sql, &[]).exits(1).says("take temporal-cassandra-tool");
    assert_eq!(
        (lab.version("store").as_str(), log_of(&lab.fleet, "h1").as_str()),
        ("1.9", "")
    );

    lab.run(&book, &["--check"])
        .exits(0)
        .says("1.9 to 1.13 by temporal-cassandra-tool 1.29.7");
    assert_eq!(lab.version("store"), "1.9");
    lab.run(&book, &[]).exits(0).says("1.9 1.13 1.10,1.11,1.12,1.13");
    assert_eq!(lab.version("store"), "1.13");
    assert_eq!(
        lab.tables("store"),
        lab.tables("byhand").into_iter().collect::<Vec<_>>()
    );
    lab.run(&book, &[]).exits(0).says("no schema change: store is at 1.13");
    backup(&lab);
    killed(&lab);
}

/// A snapshot, its list, what `keep` leaves, and the table that comes back from it.
fn backup(lab: &Lab) {
    let text = format!(
        "hosts: h1\n{}stages:\n  - name: Backup\n    steps:\n      - id: b\n        backup: {{ database: store, to: \"{{{{ host_root }}}}/copies\", \
         keep: 2, program: \"{{{{ host_root }}}}/nodetool\" }}\n        register: b\n      \
         - debug: {{ msg: \"at={{{{ b.path }}}} size={{{{ b.size }}}} sum={{{{ b.sha256 }}}}\" }}\n",
        lab.databases("store")
    );
    let book = lab.fleet.write("backup.yml", &text);
    lab.cql("INSERT INTO store.queue_metadata (queue_type, cluster_ack_level, version) VALUES (7, {'a': 42}, 1)");
    let said = |ended: &Ended, key: &str| {
        let all = format!("{}{}", ended.out, ended.err);
        let (_, rest) = all
            .split_once(&format!("{key}="))
            .unwrap_or_else(|| panic!("{key} is not in {all}"));
        rest.split_whitespace()
            .next()
            .unwrap_or_default()
            .trim_matches('"')
            .to_owned()
    };
    let first = lab.run(&book, &[]);
    first.exits(0);
    let list = std::fs::read_to_string(said(&first, "at")).unwrap();
    let files: Vec<(u64, &str)> = list
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            line.split_once(' ')
                .map(|(size, path)| (size.parse().unwrap(), path))
                .unwrap()
        })
        .collect();
    for (size, path) in &files {
        assert_eq!(
            std::fs::metadata(path).map(|meta| meta.len()).ok(),
            Some(*size),
            "{path}"
        );
    }
    assert_eq!(
        files.iter().map(|(size, _)| size).sum::<u64>().to_string(),
        said(&first, "size")
    );
    assert!(run(Command::new("sha256sum").arg(said(&first, "at"))).starts_with(&said(&first, "sum")));
    let tables = lab
        .cql("SELECT JSON table_name FROM system_schema.tables WHERE keyspace_name='store'")
        .len();
    let schemas = files.iter().filter(|(_, path)| path.ends_with("/schema.cql")).count();
    assert!(tables > 10 && schemas == tables, "{schemas} of {tables}:\n{list}");
    // the row comes back
    lab.cql("TRUNCATE store.queue_metadata");
    assert_eq!(lab.cql("SELECT JSON queue_type FROM store.queue_metadata").len(), 0);
    for (_, path) in files
        .iter()
        .filter(|(_, path)| path.contains("/queue_metadata-") && path.contains("-big-"))
    {
        let table = Path::new(path).ancestors().nth(3).unwrap();
        std::fs::copy(path, table.join(Path::new(path).file_name().unwrap())).unwrap();
    }
    lab.nodetool(1, &["refresh", "--", "store", "queue_metadata"]);
    assert_eq!(lab.cql("SELECT JSON queue_type FROM store.queue_metadata").len(), 1);
    // two of our snapshots stay, and all of others
    lab.nodetool(1, &["snapshot", "-t", "somebodys", "store"]);
    lab.run(&book, &[]).exits(0);
    lab.run(&book, &[]).exits(0);
    let listed = lab.nodetool(1, &["listsnapshots"]);
    let mut tags: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|tag| tag.starts_with("refit-") || *tag == "somebodys")
        .collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 3, "{listed}");
    assert!(!Path::new(&said(&first, "at")).exists());
    assert_eq!(
        std::fs::read_dir(lab.fleet.root("h1").join("copies")).unwrap().count(),
        2
    );
    // a keyspace that is not there
    let missing = lab
        .fleet
        .write("missing.yml", &text.replace("name: store", "name: nothing"));
    lab.run(&missing, &[]).exits(2).says("nothing");
}

/// 1.11 drops a table and makes one.
fn killed(lab: &Lab) {
    lab.make("halved", "1.9", 1);
    run(Command::new("find")
        .arg(lab.fleet.root("h1"))
        .args(["-name", "*.tool.log", "-delete"]));
    let book = lab.book("halved");
    let inventory = lab.fleet.inventory();
    let child = lab
        .fleet
        .start_with(&mut lab.command(&["run", &book, "-i", &inventory]));
    wait("CREATE TABLE nexus_endpoints", || {
        log_of(&lab.fleet, "h1").contains("CREATE TABLE nexus_endpoints")
    });
    kill(process_of(&lab.program(), "halved"));
    finish(child, Instant::now())
        .exits(2)
        .says("was ended by signal 9")
        .says("schema_version says 1.10; in version 1.11 1 statement is (`DROP TABLE nexus_incoming_services;`) done")
        .says("the tool cannot go on from here")
        .says("UPDATE halved.schema_version SET curr_version='1.11' WHERE keyspace_name='halved'");
    assert_eq!(lab.version("halved"), "1.10");
    lab.run(&book, &[])
        .exits(2)
        .says("then `DROP TABLE nexus_incoming_services;` failed")
        .says("running it again gives the same");
    // the remedy, and on from there
    let file = lab
        .release
        .join("schema/cassandra/temporal/versioned/v1.11/nexus_endpoints.cql");
    let rest = std::fs::read_to_string(&file)
        .unwrap()
        .replace("DROP TABLE nexus_incoming_services;", "");
    let plain = |line: &str| line.split("--").next().unwrap_or_default().to_owned();
    let rest = rest.lines().map(plain).collect::<Vec<_>>().join(" ");
    lab.cql(&rest.replace(
        "CREATE TABLE nexus_endpoints",
        "CREATE TABLE IF NOT EXISTS halved.nexus_endpoints",
    ));
    lab.cql("UPDATE halved.schema_version SET curr_version='1.11' WHERE keyspace_name='halved'");
    let child = lab
        .fleet
        .start_with(&mut lab.command(&["run", &book, "-i", &inventory]));
    wait("1.12", || {
        log_of(&lab.fleet, "h1").contains("ALTER TABLE executions ADD chasm_node_map")
    });
    kill_tree(child.id());
    finish(child, Instant::now()).exits(1009);
    finish(lab.fleet.start_with(&mut lab.command(&["resume"])), Instant::now())
        .exits(0)
        .says("1.11 1.13 1.12,1.13");
    assert_eq!(lab.version("halved"), "1.13");
    assert_eq!(lab.tables("halved"), lab.tables("byhand"));
    assert_eq!(log_of(&lab.fleet, "h1").matches("UpdateSchemaTask done").count(), 1);
}

#[test]
#[ignore = "tests/lab/cassandra-test.sh"]
fn two_nodes_and_one_of_them_down() {
    let Some(lab) = Lab::up(2) else { return };
    lab.make("store", "1.9", 2);
    let book = lab.book("store");
    let before = lab.tables("store");
    // With one of two away nobody can log in here either: nodetool is who knows.
    run(&mut lab.script(&["stop", &lab.folder, "2"]));
    lab.run(&book, &["--check"]).exits(1).says("nothing was changed");
    lab.run(&book, &[])
        .exits(1)
        .says("nothing was changed")
        .says("cannot be reached")
        .says("127.0.46.2");
    run(&mut lab.script(&["start", &lab.folder, "2"]));
    wait("the nodes agree", || {
        let text = lab.nodetool(1, &["describecluster"]);
        // One version for both; in which order it names them is its own.
        let both =
            |line: &str| line.contains(": [") && ["127.0.46.1", "127.0.46.2"].iter().all(|node| line.contains(node));
        !text.contains("UNREACHABLE") && text.lines().any(both)
    });
    assert_eq!((lab.tables("store"), log_of(&lab.fleet, "h1")), (before, String::new()));
    lab.run(&book, &[]).exits(0).says("1.9 1.13 1.10,1.11,1.12,1.13");
    assert_eq!(lab.version("store"), "1.13");
    // each node has its own snapshot
    let text = format!(
        "hosts: fleet\n{}stages:\n  - name: Backup\n    steps:\n      - backup: {{ database: store, to: \"{{{{ host_root }}}}/copies\", \
         program: \"{{{{ host_root }}}}/nodetool\" }}\n",
        lab.databases("store")
    );
    let backup = lab.fleet.write("backup.yml", &text);
    lab.run(&backup, &[]).exits(0);
    for (host, node) in [("h1", "node1"), ("h2", "node2")] {
        let folder = lab.fleet.root(host).join("copies");
        let list = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let list = std::fs::read_to_string(list).unwrap();
        assert!(list.contains(&format!("/{node}/data/store/")), "{list}");
    }
    // a node that is down has no snapshot to give
    run(&mut lab.script(&["stop", &lab.folder, "2"]));
    lab.run(&backup, &[]).exits(2).says("nodetool snapshot failed");
}
