use std::process::Command;

use serde_json::json;

use super::*;
use crate::database::{Tls, Verify};
use crate::secret::Secret;

fn database(engine: Engine, verify: Verify) -> Database {
    Database {
        label: "main".into(),
        engine,
        host: "db1.example".into(),
        port: 5432,
        name: "temporal".into(),
        user: "tem poral".into(),
        password: Some(Secret::new("canary-1")),
        tls: Tls {
            verify,
            ca: (verify != Verify::None).then(|| "/ca.pem".into()),
            cert: None,
            key: None,
        },
        via: None,
        tunnel: None,
        path: String::new(),
    }
}

fn flags_of(database: &Database, release: &str, options: Value) -> String {
    let options = flags::named(options.as_object().unwrap());
    let plugin = Plugin::of(database).unwrap();
    match flags::global(database, plugin, &Version::parse(release).unwrap(), &options) {
        Ok(text) => text.trim().to_owned(),
        Err(message) => format!("error: {message}"),
    }
}

#[test]
fn settings_become_the_flags_of_that_release() {
    let postgres = database(Engine::Postgres, Verify::Full);
    let head = "--endpoint db1.example --port 5432 --user 'tem poral' --database temporal --plugin postgres12";
    let ca = "--tls --tls-ca-file \"$work\"/ca.pem";
    assert_eq!(
        flags_of(&postgres, "1.31.5", json!({})),
        format!("{head} {ca} --tls-server-name db1.example")
    );
    assert_eq!(
        flags_of(&postgres, "1.8.2", json!({})),
        format!("{head} {ca} --tls-enable-host-verification")
    );
    assert_eq!(
        flags_of(&database(Engine::Postgres, Verify::None), "1.31.5", json!({})),
        head
    );
    assert_eq!(
        flags_of(
            &database(Engine::Postgres, Verify::Ca),
            "1.31.5",
            json!({"ca": "a=b&c='d'"})
        ),
        format!("{head} {ca} --tls-disable-host-verification --connect-attributes \"a=b&c='d'\"")
    );
    let mut nodes = database(Engine::Cassandra, Verify::Full);
    nodes.host = "10.0.0.1,10.0.0.2".into();
    nodes.user = String::new();
    nodes.tls.cert = Some("/c.pem".into());
    nodes.tls.key = Some("/k.pem".into());
    let head = "--endpoint '10.0.0.1,10.0.0.2' --port 5432 --keyspace temporal --tls --tls-ca-file \"$work\"/ca.pem \
                --tls-cert-file \"$work\"/cert.pem --tls-key-file \"$work\"/key.pem";
    assert_eq!(
        flags_of(
            &nodes,
            "1.31.5",
            json!({"timeout": 120, "dc": "dc1", "tls_server_name": "db1.lab", "allowed-authenticators": ["a", "b c"],
                   "disable-initial-host-lookup": true})
        ),
        format!(
            "{head} --tls-server-name db1.lab --timeout 120 --datacenter dc1 --disable-initial-host-lookup \
             --allowed-authenticators a --allowed-authenticators 'b c'"
        )
    );
    assert_eq!(
        flags_of(&nodes, "1.24.3", json!({"aa": "x"})),
        "error: `allowed-authenticators` came with 1.25, and this tool is 1.24.3"
    );
    let mut mysql = database(Engine::Mysql, Verify::None);
    mysql.port = 3036;
    assert!(flags_of(&mysql, "1.31.5", json!({})).contains("--plugin mysql8"));
    assert!(
        lint_database(&mysql)
            .iter()
            .any(|(message, _)| message.contains("3036"))
    );
    let mut options = IndexMap::new();
    for expected in ["tx_isolation=%27READ-COMMITTED%27"; 2] {
        flags::for_mariadb(&mut options);
        assert_eq!(options["connect-attributes"], expected);
    }
    let mut six = database(Engine::Postgres, Verify::None);
    six.host = "::1".into();
    assert!(flags_of(&six, "1.31.5", json!({})).starts_with("--endpoint '[::1]' "));
}

#[test]
fn stale_words_are_refused_with_what_to_write() {
    let postgres = database(Engine::Postgres, Verify::Full);
    let options = json!({"tls-enable-host-verification": true, "--pl": "postgres", "q": true, "dryrun": true, "pw": "x", "timeout": 3,
                         "tls-server-name": "other", "connect-attributes": 1});
    let found: Vec<String> = lint_options(options.as_object().unwrap(), Some(&postgres))
        .into_iter()
        .map(|(message, help)| format!("{message}: {help}"))
        .collect();
    let found = found.join("\n");
    for words in [
        "`tls-enable-host-verification` is no option of a step: gone since 1.9",
        "`--pl` is no option of a step: it follows from the database's `engine`: postgres12",
        "`q` is no option",
        "`dryrun` is no option of a step: gone since 1.8, and before that it dropped every table",
        "`pw` is no option of a step: it is `password` of the database",
        "unknown option `timeout`",
        "verifies the name that it connects to",
        "`connect-attributes` takes text",
    ] {
        assert!(found.contains(words), "{words:?} is not in\n{found}");
    }
    let place = |engine, text: &str, embedded| {
        lint_place(&database(engine, Verify::Full), text, embedded)
            .map_or(String::new(), |(message, help)| format!("{message}: {help}"))
    };
    let old = "/x/schema/postgresql/v96/temporal/versioned";
    assert!(place(Engine::Postgres, old, false).starts_with("`v96` is gone since 1.24: write v12"));
    assert!(place(Engine::Postgres, "mysql/v57/temporal", true).starts_with("`v57` is gone since 1.24: write v8"));
    assert!(place(Engine::Postgres, "cassandra/temporal", true).contains("no embedded schema"));
    assert!(
        place(Engine::Cassandra, "/x/schema/postgresql/v12/temporal/versioned", false)
            .contains("a directory for postgresql")
    );
    assert_eq!(
        place(Engine::Cassandra, "/x/schema/cassandra/temporal/versioned", false),
        ""
    );
    assert_eq!(place(Engine::Postgres, "postgresql/v12/visibility", true), "");

    let said = |database: &Database| {
        let all = lint_database(database)
            .into_iter()
            .map(|(message, help)| format!("{message}: {help}\n"));
        all.collect::<String>()
    };
    assert!(said(&postgres).contains("quotes neither"));
    let mut fine = database(Engine::Cassandra, Verify::Full);
    assert_eq!(said(&fine), "");
    fine.tls.verify = Verify::Ca;
    assert!(said(&fine).contains("write `verify: full`"));
    let mut socket = database(Engine::Postgres, Verify::None);
    (socket.user, socket.host) = ("temporal".into(), "/run/postgresql".into());
    assert!(said(&socket).contains("by TCP only"));
    assert!(said(&database(Engine::Sqlite, Verify::None)).contains("do not update SQLite"));
}

/// `agreed` of tool.sh with a nodetool that prints this.
fn agreed(printed: &str, code: i32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("printed");
    std::fs::write(&file, printed).unwrap();
    let script = format!(
        "{FUNCTIONS}nodetool() {{ cat '{}'; return {code}; }}\ntool() {{ :; }}\nprepare\nagreed; echo \"$?:$trouble\"",
        file.display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "the temporary folder stays");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// What nodetool of 5.0.9 printed; that of 3.11 ends after the versions.
const CLUSTER: &str = "Cluster Information:
\tName: lab
\tPartitioner: org.apache.cassandra.dht.Murmur3Partitioner
\tSchema versions:
\t\td03783d7-b468-3c1a-82f1-8e30b2edde8b: [127.0.44.1, 127.0.44.2]

Stats for all nodes:
\tLive: 2
\tUnreachable: 0

Database versions:
\t5.0.9: [127.0.44.1:20442]

Keyspaces:
\tsystem_auth -> Replication class: SimpleStrategy {replication_factor=1}
";

#[test]
fn nodes_that_are_away_or_disagree_are_seen() {
    assert_eq!(agreed(CLUSTER, 0), "0:");
    let (head, tail) = CLUSTER.split_once("\n\nStats").unwrap();
    assert_eq!(agreed(&format!("{head}\n"), 0), "0:");
    for word in ["UNREACHABLE", "UNKNOWN"] {
        let away = format!("{head}\n\n\t\t{word}: [127.0.44.3]\n\nStats{tail}");
        let words = "1:nodes of the cluster cannot be reached: [127.0.44.3] (nodetool describecluster)";
        assert_eq!(agreed(&away, 0), words);
    }
    let two = format!("{head}\n\n\t\t86afa796-d883-3932-aa73-6b017cef0d19: [127.0.44.3]\n\nStats{tail}");
    assert_eq!(
        agreed(&two, 0),
        "1:the nodes do not agree on the schema: [127.0.44.1, 127.0.44.2] [127.0.44.3] (nodetool describecluster)"
    );
    assert_eq!(
        agreed("nodetool: Failed to connect to '127.0.0.1:7199'\n\n", 1),
        "1:nodetool describecluster failed: nodetool: Failed to connect to '127.0.0.1:7199'"
    );
    assert!(agreed("", 0).contains("shows no schema version"));
}

#[test]
fn what_a_killed_tool_left_is_said() {
    let say = |engine, version: &str, statements: &[&str], through, error: Option<&str>| {
        let database = database(engine, Verify::None);
        let log = Log {
            open: Some(log::Open {
                version: version.into(),
                statements: statements.iter().map(|s| (*s).to_owned()).collect(),
                through,
            }),
            error: error.map(str::to_owned),
            ..Log::default()
        };
        replay::explain(
            &database,
            Plugin::of(&database).unwrap(),
            &log,
            &Version::parse("1.10").unwrap(),
        )
    };
    let text = say(
        Engine::Cassandra,
        "1.11",
        &["DROP TABLE a;", "CREATE TABLE b ( i int );"],
        false,
        None,
    );
    assert!(
        text.starts_with(
            "schema_version says 1.10; in version 1.11 1 statement is (`DROP TABLE a;`) done, and `CREATE TABLE b"
        ),
        "{text}"
    );
    assert!(
        text.contains("cannot go on from here")
            && text.contains("UPDATE temporal.schema_version SET curr_version='1.11'"),
        "{text}"
    );
    let text = say(Engine::Cassandra, "1.11", &["DROP TABLE a;"], false, None);
    assert!(
        text.contains("look whether `DROP TABLE a;` took effect: if it did not, run this step again"),
        "{text}"
    );
    let text = say(Engine::Postgres, "1.12", &["CREATE TABLE a ( i int );"], true, None);
    assert!(
        text.contains("only the record of the version is missing; run this step again"),
        "{text}"
    );
    let text = say(
        Engine::Postgres,
        "1.12",
        &["CREATE INDEX CONCURRENTLY x ON a (i)"],
        false,
        None,
    );
    assert!(text.contains("may have left an invalid index"), "{text}");
    let text = say(
        Engine::Postgres,
        "1.12",
        &["ALTER TABLE a ADD x int"],
        false,
        Some("pq: deadlock detected"),
    );
    assert!(
        text.contains("failed: pq: deadlock detected; run this step again"),
        "{text}"
    );
    let text = say(
        Engine::Postgres,
        "1.12",
        &["DROP TABLE a"],
        false,
        Some("pq: table \"a\" does not exist"),
    );
    assert!(text.contains("running it again gives the same"), "{text}");
    let nothing = replay::explain(
        &database(Engine::Postgres, Verify::None),
        Plugin::Postgres,
        &Log::default(),
        &Version::parse("1.10").unwrap(),
    );
    assert_eq!(
        nothing,
        "schema_version says 1.10; it began no version, so nothing was changed"
    );
}

#[test]
fn the_release_is_what_the_program_says() {
    let tool = |told: Option<&str>| {
        Tool::new(Request {
            database: Arc::new(database(Engine::Cassandra, Verify::None)),
            program: "/opt/tool".into(),
            place: Place::Embedded("cassandra/temporal".into()),
            to: "1.13".into(),
            release: told.map(str::to_owned),
            options: serde_json::Map::new(),
            nodetool: "nodetool".into(),
            environment: IndexMap::new(),
        })
    };
    let of = |said: &str, told| match tool(told).release_of(Plugin::Cassandra, said) {
        Ok(release) => release.to_string(),
        Err(e) => e.to_string(),
    };
    assert_eq!(of("temporal-cassandra-tool version 1.31.5", None), "1.31.5");
    assert_eq!(of("temporal-cassandra-tool version 0.0.1", Some("1.28.3")), "1.28.3");
    for (said, told, words) in [
        (
            "temporal-cassandra-tool version 0.0.1",
            None,
            "write the release in `tool_version`",
        ),
        (
            "temporal-cassandra-tool version 0.0.1",
            Some("1.31.5"),
            "as releases before 1.29 do",
        ),
        (
            "temporal-cassandra-tool version 1.31.5",
            Some("1.30.9"),
            "is of release 1.31.5, and `tool_version` says 1.30.9",
        ),
        ("temporal-sql-tool version 1.31.5", None, "take temporal-cassandra-tool"),
        ("temporal version 1.31.5", None, "is no schema tool of Temporal"),
    ] {
        let found = of(said, told);
        assert!(found.contains(words), "{said}: {found}");
    }
    // releases that have no embedded schemas
    let old = Program {
        release: Version::parse("1.22.7").unwrap(),
        options: IndexMap::new(),
    };
    let error = tool(None).prelude(Plugin::Cassandra, &old).unwrap_err();
    assert!(error.to_string().contains("came with 1.23"), "{error}");
}
