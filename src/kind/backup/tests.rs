use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use super::KIND;
use crate::database::lab::{Lab, PASSWORD};
use crate::database::{Database, Engine, Tls, Verify};
use crate::kind::trial::{Host, Place, diff};
use crate::kind::{Done, Failure};

const JOB: &str = "run-1.0123456789abcdef.1";

struct Site {
    host: Host,
    place: Place,
}

impl Site {
    fn new(database: Option<Database>) -> Site {
        Site::on(Host::new(), database)
    }

    fn on(host: Host, database: Option<Database>) -> Site {
        let mut place = Place::new("backup", host.folder.path());
        if let Some(database) = database {
            place.databases.insert(database.label.clone(), Arc::new(database));
        }
        Site { host, place }
    }

    fn backup(&self, given: Value) -> Result<Done, Failure> {
        self.host.apply(&*self.place.shell(&KIND, &given))
    }

    fn fails(&self, given: Value) -> String {
        match self.backup(given) {
            Ok(done) => panic!("went through: {done:?}"),
            Err(failure) => failure.message,
        }
    }

    /// Names in the folder of the copies.
    fn copies(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.host.at("copies"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn to(&self) -> String {
        self.host.text("copies")
    }
}

fn whole(site: &Site, done: &Done, name: &str) {
    assert_eq!(done.result["path"], site.host.text(&format!("copies/{name}")));
    let bytes = std::fs::read(site.host.at("copies").join(name)).unwrap();
    assert_eq!(done.result["size"], bytes.len());
    let sum = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
    assert_eq!(done.result["sha256"], crate::id::hex(&sum));
    assert_eq!(site.host.mode("copies"), 0o700);
    assert_eq!(site.host.mode(&format!("copies/{name}")), 0o600);
}

/// Nothing of the job is left but the copy.
fn clean(site: &Site, copies: &[&str]) {
    assert_eq!(site.copies(), copies);
    let uploads: Vec<_> = std::fs::read_dir(site.host.at("uploads")).unwrap().collect();
    assert!(uploads.is_empty(), "{uploads:?}");
}

#[test]
fn postgres_is_dumped_over_tls_and_can_be_restored() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.over_tls(&lab.create("backed"));
    lab.sql("backed", "CREATE TABLE a(i int PRIMARY KEY, t text); INSERT INTO a SELECT i, repeat('x', i) FROM generate_series(1, 500) i; ALTER TABLE a OWNER TO temporal");
    let program = lab.bin().join("pg_dump").display().to_string();
    let mut site = Site::new(Some(database.clone()));
    let given = json!({"database": "main", "to": site.to(), "program": program});
    let job = site.place.shell(&KIND, &given).apply(&site.host.facts).unwrap();
    assert!(!job.script.contains(PASSWORD));
    let done = site.backup(given.clone()).unwrap();
    let name = format!("main-{JOB}.dump");
    whole(&site, &done, &name);
    clean(&site, &[&name]);

    lab.create("restored");
    let copy = site.host.at("copies").join(&name);
    let status = lab
        .client("pg_restore")
        .args(["-d", "restored"])
        .arg(&copy)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(
        lab.sql("restored", "SELECT count(*), sum(length(t)) FROM a"),
        "500|125250"
    );

    let mut broken = |change: &dyn Fn(&mut Database), words: &str| {
        let mut other = database.clone();
        change(&mut other);
        site.place.databases.insert("main".into(), Arc::new(other));
        let text = site.fails(given.clone());
        assert!(text.contains(words) && !text.contains(PASSWORD), "{text}");
        clean(&site, &[&name]);
    };
    broken(&|d| d.password = None, "no password supplied");
    broken(
        &|d| d.tls.ca = Some(lab.path().join("other.pem")),
        "certificate verify failed",
    );
    broken(&|d| d.host = "127.0.0.1".into(), "does not match host name");
    broken(&|d| d.name = "no=where".into(), "database \"no=where\" does not exist");
    site.place.databases.insert("main".into(), Arc::new(database.clone()));

    let by_certificate = Database {
        user: "certonly".into(),
        password: None,
        tls: Tls {
            cert: Some(lab.path().join("client.pem")),
            key: Some(lab.path().join("client.key")),
            ..database.tls.clone()
        },
        ..database.clone()
    };
    site.place.databases.insert("main".into(), Arc::new(by_certificate));
    site.backup(given.clone()).unwrap();
    clean(&site, &[&name]);

    site.host.before =
        "df() { printf 'Filesystem 1024-blocks Used Available Capacity Mounted\\n/dev/x 100 99 1 99%% /\\n'; }\n"
            .into();
    let text = site.fails(given);
    assert!(text.contains("has 1 kB free, and the copy may need"), "{text}");
    let kilobytes: u64 = text
        .split("may need ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(kilobytes > 2000, "{text}");
}

fn sqlite(path: &str) -> Database {
    Database {
        label: "main".into(),
        engine: Engine::Sqlite,
        host: String::new(),
        port: 0,
        name: String::new(),
        user: String::new(),
        password: None,
        tls: Tls {
            verify: Verify::None,
            ca: None,
            cert: None,
            key: None,
        },
        via: None,
        tunnel: None,
        path: path.into(),
    }
}

fn ask(path: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .arg("-batch")
        .arg(path)
        .arg(sql)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn sqlite_is_copied_while_it_is_written() {
    let host = Host::new();
    let path = host.at("it's a.db");
    ask(
        &path,
        "PRAGMA journal_mode=WAL; CREATE TABLE a(i); INSERT INTO a VALUES (1), (2)",
    );
    // A writer in the middle of a transaction: what it has not committed is not in the copy.
    let mut writer = Command::new("sqlite3")
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::{BufRead, Write};
    writeln!(
        writer.stdin.as_mut().unwrap(),
        "BEGIN IMMEDIATE; INSERT INTO a VALUES (3); SELECT 'written';"
    )
    .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(writer.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("written"));
    let site = Site::on(host, Some(sqlite(path.to_str().unwrap())));
    std::fs::create_dir_all(site.host.at("uploads")).unwrap();
    let done = site.backup(json!({"database": "main", "to": site.to()})).unwrap();
    drop(writer.stdin.take());
    writer.wait().unwrap();
    let name = format!("main-{JOB}.db");
    whole(&site, &done, &name);
    clean(&site, &[&name]);
    assert_eq!(
        ask(&site.host.at("copies").join(&name), "SELECT group_concat(i) FROM a"),
        "1,2"
    );

    std::fs::write(&path, "no database, no database, no database").unwrap();
    let text = site.fails(json!({"database": "main", "to": site.to()}));
    assert!(
        text.contains("file is not a database") && text.contains("the copy was removed"),
        "{text}"
    );
    clean(&site, &[&name]);
    std::fs::remove_file(&path).unwrap();
    assert!(
        site.fails(json!({"database": "main", "to": site.to()}))
            .contains("there is no database")
    );
}

#[test]
fn files_are_packed_on_every_shell() {
    for host in Host::all() {
        let site = Site::on(host, None);
        std::fs::create_dir_all(site.host.at("uploads")).unwrap();
        site.host.write("etc/app/a b.conf", "one", 0o640);
        site.host.write("etc/app/deep/c", "two", 0o600);
        site.host.write("-lone", "three", 0o644);
        let given = json!({"paths": [site.host.text("etc/app"), site.host.text("-lone")], "to": site.to()});
        let done = site.backup(given).unwrap();
        let name = format!("files-{JOB}.tar.gz");
        whole(&site, &done, &name);
        clean(&site, &[&name]);
        let out = tempfile::tempdir().unwrap();
        let status = Command::new("tar")
            .arg("-xzpf")
            .arg(site.host.at("copies").join(&name))
            .arg("-C")
            .arg(out.path())
            .status()
            .unwrap();
        assert!(status.success());
        let below = |path: &str| out.path().join(site.host.text(path).trim_start_matches('/'));
        assert_eq!(std::fs::read_to_string(below("etc/app/deep/c")).unwrap(), "two");
        assert_eq!(std::fs::read_to_string(below("etc/app/a b.conf")).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(below("-lone")).unwrap(), "three");

        let text = site.fails(json!({"paths": [site.host.text("nothing")], "to": site.to()}));
        assert!(text.contains("nothing is not there"), "{text}");
        let inside = site.host.text("etc/app/deep");
        let text = site.fails(json!({"paths": [site.host.text("etc")], "to": inside}));
        assert!(text.contains("lies in"), "{text}");
        let far = site.host.text("no/such/folder");
        let text = site.fails(json!({"paths": [site.host.text("etc")], "to": far}));
        assert!(
            text.contains("is not there; only the last part of `to` is made"),
            "{text}"
        );
        assert!(!site.host.at("no").exists());
        clean(&site, &[&name]);
    }
}

#[test]
fn keep_leaves_the_newest_of_this_name_only() {
    let site = Site::new(None);
    let run = "019ab1c2-9f00-7000-8000-00000000000";
    let digits = "0123456789abcdef";
    std::fs::create_dir(site.host.at("copies")).unwrap();
    let old = |name: &str, days: u64| {
        let path = site.host.write(&format!("copies/{name}"), "x", 0o600);
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400 * days);
        std::fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    for i in 1..=3 {
        old(&format!("files-{run}{i}.{digits}.1.tar.gz"), 10 - i);
    }
    old(&format!("files-2-{run}1.{digits}.1.tar.gz"), 30);
    old("files-by-hand.tar.gz", 30);
    old(&format!("files-{run}9.{digits}.1.tar.gz.partial"), 3);
    old(&format!("files-{run}8.{digits}.1.tar.gz.partial"), 0);
    site.host.write("etc/a", "x", 0o600);
    let host = Host {
        before: format!("REFIT_JOB={run}4.{digits}.1\n"),
        ..Host::new()
    };
    let action = site.place.shell(
        &KIND,
        &json!({"paths": [site.host.text("etc")], "to": site.to(), "keep": 2}),
    );
    host.apply(&*action).unwrap();
    let mut expected = vec![
        format!("files-{run}3.{digits}.1.tar.gz"),
        format!("files-{run}4.{digits}.1.tar.gz"),
        format!("files-2-{run}1.{digits}.1.tar.gz"),
        "files-by-hand.tar.gz".to_owned(),
        format!("files-{run}8.{digits}.1.tar.gz.partial"),
    ];
    expected.sort();
    assert_eq!(site.copies(), expected);
}

#[test]
fn a_check_touches_nothing_and_says_what_is_missing() {
    let site = Site::new(Some(sqlite("/no/such.db")));
    let action = site.place.shell(
        &KIND,
        &json!({"database": "main", "to": site.to(), "program": "/no/sqlite3"}),
    );
    let text = diff(site.host.check(&*action));
    assert!(
        text.contains("/no/sqlite3 is not there") && text.contains("/no/such.db cannot be read"),
        "{text}"
    );
    let action = site
        .place
        .shell(&KIND, &json!({"paths": ["/etc"], "to": site.host.text("no/such")}));
    assert!(diff(site.host.check(&*action)).contains("the folder above"));
    let action = site.place.shell(&KIND, &json!({"paths": ["/etc"], "to": site.to()}));
    assert_eq!(diff(site.host.check(&*action)), "");
    assert!(!site.host.at("copies").exists());
}

#[test]
fn mistakes_are_found_before_any_host_is_asked() {
    let site = Site::new(Some(sqlite("/a.db")));
    for (given, words) in [
        (json!({"to": "/b"}), "`backup` needs one of `database`, `paths`"),
        (
            json!({"database": "main", "paths": ["/a"], "to": "/b"}),
            "takes only one of",
        ),
        (
            json!({"database": "mian", "to": "/b"}),
            "no database `mian`: did you mean `main`?",
        ),
        (json!({"paths": ["a"], "to": "/b"}), "`a` must be absolute"),
        (json!({"paths": ["/a"], "to": "/b", "keep": 0}), "`keep` is at least 1"),
    ] {
        let found = site.place.lint(&KIND, &given).join("\n");
        assert!(found.contains(words), "{given}: {found}");
    }
    assert_eq!(
        site.place.lint(&KIND, &json!({"database": "main", "to": "/b"})),
        Vec::<String>::new()
    );
}

/// What nodetool of Cassandra does and prints, as far as the script looks; the real one is in tests/tool/cassandra.rs.
/// `OLD`: before 5.0 it cannot tell where its files are.
const NODETOOL: &str = r#"#!/bin/sh
data=NODE/data/ks
case $1 in
snapshot)
  tag=$3
  [ "$5" = ks ] || { echo "nodetool: Keyspace $5 does not exist" >&2; exit 1; }
  for table in "$data"/live-1 "$data"/other-2; do
    mkdir -p "$table/snapshots/$tag"
    echo "CREATE TABLE" >"$table/snapshots/$tag/schema.cql"
    echo '{"files":["nb-1-big-Data.db"]}' >"$table/snapshots/$tag/manifest.json"
    echo rows >"$table/snapshots/$tag/nb-1-big-Data.db"
  done
  [ ! -e NODE/spoil ] || . NODE/spoil
  echo "Requested creating snapshot(s) for [$5] with snapshot name [$tag]" ;;
listsnapshots)
  for one in "$data"/*/snapshots/*; do
    table=${one%/snapshots/*} table=${table##*/}
    echo "${one##*/} ks ${table%-*} 1 KiB"
  done ;;
datapaths)
  [ -z "OLD" ] || exit 1
  printf 'Keyspace: ks\n\tTable: live\n\tPaths:\n\t\t%s\n\n\tTable: live.by_x\n\tPaths:\n\t\t%s\n\n\tTable: other\n\tPaths:\n\t\t%s\n' \
    "$data/live-1" "$data/live-1/.by_x" "$data/other-2" ;;
tablestats) printf 'Keyspace: ks\n\t\tTable (index): live.by_x\n\t\tTable: live\n\t\tTable: other\n' ;;
clearsnapshot) rm -rf "$data"/*/snapshots/"$3" ;;
esac
"#;

#[test]
fn a_snapshot_is_looked_up_in_every_shell() {
    for old in ["", "1"] {
        for host in Host::all() {
            let node = host.text("node");
            host.write("nodetool", &NODETOOL.replace("NODE", &node).replace("OLD", old), 0o755);
            // A table that was dropped leaves its folder.
            host.write("node/data/ks/gone-3/x", "", 0o644);
            host.write("node/data/ks/live-1/x", "", 0o644);
            let database = Database {
                engine: Engine::Cassandra,
                name: "ks".into(),
                ..sqlite("")
            };
            let (program, data) = (host.text("nodetool"), host.text("node/data"));
            let mut site = Site::on(host, Some(database.clone()));
            let mut given = json!({"database": "main", "to": site.to(), "program": program, "keep": 1});
            if !old.is_empty() {
                given["data"] = json!([data]);
            }
            let name = format!("main-{JOB}.files");
            let done = site.backup(given.clone()).unwrap();
            let list = site.host.read(&format!("copies/{name}"));
            assert_eq!(
                list.lines().filter(|line| line.ends_with("/schema.cql")).count(),
                2,
                "{list}"
            );
            assert_eq!(list.lines().count(), 2 + 6, "{list}");
            let sizes = list
                .lines()
                .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
            assert_eq!(done.result["size"], sizes.sum::<u64>());
            assert!(
                list.starts_with(&format!("# snapshot refit-main-{JOB}\n# keyspace ks\n")),
                "{list}"
            );
            for (spoil, words) in [
                (
                    "rm \"$data\"/other-2/snapshots/$tag/schema.cql",
                    "table other has no schema.cql",
                ),
                (
                    "rm \"$data\"/live-1/snapshots/$tag/nb-1-big-Data.db",
                    "nb-1-big-Data.db is missing",
                ),
                ("rm -r \"$data\"/other-2/snapshots", "table other has no schema.cql"),
            ] {
                std::fs::remove_file(site.host.at(&format!("copies/{name}"))).unwrap();
                site.host.write("node/spoil", spoil, 0o644);
                let text = site.fails(given.clone());
                assert!(text.contains(words), "{text}");
                assert_eq!(site.copies(), Vec::<String>::new());
                assert!(
                    !site
                        .host
                        .at(&format!("node/data/ks/live-1/snapshots/refit-main-{JOB}"))
                        .exists()
                );
                std::fs::remove_file(site.host.at("node/spoil")).unwrap();
                site.backup(given.clone()).unwrap();
            }
            let elsewhere = Database {
                name: "nothing".into(),
                ..database
            };
            site.place.databases.insert("main".into(), Arc::new(elsewhere));
            assert!(site.fails(given).contains("Keyspace nothing does not exist"));
        }
    }
}
