use super::*;
use crate::temporal::catalog::Catalog;
use crate::temporal::release::Release;
use crate::yaml::Severity;

const SQL: &str = r#"
persistence:
  numHistoryShards: 32
  defaultStore: default
  visibilityStore: visibility
  datastores:
    default:
      sql: &sql
        pluginName: postgres12
        connectAddr: "db1:5432"
        databaseName: temporal
        user: temporal
        password: "pa55word"
        tls: { enabled: true, caFile: /etc/ca.pem }
    visibility:
      sql:
        <<: *sql
        databaseName: temporal_visibility
global:
  tls:
    internode: { server: { certFile: /etc/node.pem, keyFile: /etc/node.key } }
    frontend: { server: { certFile: "" } }
services:
  frontend: { rpc: { grpcPort: 7233, membershipPort: 6933, httpPort: 7243 } }
  history: { rpc: { grpcPort: 7234, membershipPort: 6934, httpPort: 0 } }
clusterMetadata:
  failoverVersionIncrement: 10
  masterClusterName: active
  currentClusterName: active
  clusterInformation:
    active: { enabled: true, initialFailoverVersion: 1 }
archival:
  history: { state: enabled }
"#;

fn config(text: &str) -> ServerConfig {
    read(&[Source::new("new.yaml", text)]).unwrap_or_else(|wrong| panic!("{}", wrong.render(false, None)))
}

/// Ids and severities, and the whole page.
fn looked(new: &str, old: Option<&str>, start: Option<&str>, from: &str, to: &str) -> (Vec<String>, String) {
    let catalog = Catalog::shipped();
    let (new, old) = (
        config(new),
        old.map(|old| read(&[Source::new("old.yaml", old)]).expect("a configuration")),
    );
    let launch =
        start.map(|text| Launch::read(&Source::new("temporal.service", text), &IndexMap::new()).expect("a command"));
    let found = lint(&Change {
        catalog: &catalog,
        to: Release::parse(to).expect("a release"),
        from: Release::parse(from),
        new: &new,
        old: old.as_ref(),
        launch: launch.as_ref(),
    });
    let word = |finding: &Finding| match finding.diagnostic.severity {
        Severity::Error => finding.id.to_owned(),
        Severity::Warning => format!("{} (warning)", finding.id),
        Severity::Note => format!("{} (note)", finding.id),
    };
    let ids = found.iter().map(word).collect();
    let mut all = Diagnostics::default();
    all.extend(found.into_iter().map(|finding| finding.diagnostic));
    (ids, all.render(false, None))
}

fn ids(new: &str, old: Option<&str>, start: Option<&str>, from: &str, to: &str) -> Vec<String> {
    looked(new, old, start, from, to).0
}

#[test]
fn what_a_configuration_says() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&config(SQL).json()).expect("JSON"), @r#"
    {
      "default": {
        "name": "default",
        "store": "postgres12",
        "database": "temporal",
        "address": "db1:5432",
        "user": "temporal",
        "tls": true
      },
      "visibility": {
        "name": "visibility",
        "store": "postgres12",
        "database": "temporal_visibility",
        "address": "db1:5432",
        "user": "temporal",
        "tls": true
      },
      "secondary_visibility": null,
      "shards": 32,
      "clusters": {
        "current": "active",
        "main": "active",
        "names": [
          "active"
        ],
        "increment": 10
      },
      "ports": {
        "frontend": {
          "grpc": 7233,
          "membership": 6933,
          "http": 7243
        },
        "history": {
          "grpc": 7234,
          "membership": 6934,
          "http": null
        }
      },
      "internode_tls": true,
      "frontend_tls": false,
      "archival": {
        "history": "enabled",
        "visibility": null
      }
    }
    "#);
}

#[test]
fn cassandra_and_elasticsearch_are_read() {
    let config = config(
        "persistence:\n  defaultStore: c\n  visibilityStore: es\n  datastores:\n    c: { cassandra: { hosts: 'a, b', keyspace: temporal } }\n    es: { elasticsearch: { url: { scheme: https, host: 'es:9200' }, indices: { visibility: t_v1 } } }\n",
    );
    let of = |store: &Option<StoreConfig>| {
        let store = store.as_ref().expect("a store");
        let text =
            |placed: &Option<Placed<String>>| placed.as_ref().map_or_else(String::new, |placed| placed.value.clone());
        format!(
            "{} {} {} {}",
            store.store.value,
            text(&store.database),
            text(&store.address),
            store.tls
        )
    };
    assert_eq!(of(&config.default), "cassandra temporal a:9042,b:9042 false");
    assert_eq!(of(&config.visibility), "elasticsearch t_v1 es:9200 true");
}

#[test]
fn a_later_file_goes_over_the_ones_before() {
    let over =
        "persistence: { numHistoryShards: 4, datastores: { visibility: { cassandra: { hosts: c, keyspace: v } } } }\n";
    let config = read(&[Source::new("base.yaml", SQL), Source::new("lab.yaml", over)]).expect("a configuration");
    assert_eq!(config.shards.as_ref().expect("shards").value, 4);
    assert_eq!(config.default.expect("a store").store.value, "postgres12");
    // An entry by name is another one, not a mixture.
    assert_eq!(config.visibility.expect("a store").store.value, "cassandra");
}

#[test]
fn templates_and_nonsense_are_told() {
    let wrong = |text: &str| {
        read(&[Source::new("t.yaml", text)])
            .expect_err("no configuration")
            .render(false, None)
    };
    insta::assert_snapshot!(wrong("# enable-template\nlog: {{ default \"info\" }}\n") + &wrong("log: {{ default .Env.LEVEL \"info\" }}\n"), @r#"
    error: this configuration is a template: the server renders it at start
     --> t.yaml:2:6
      |
    2 | log: {{ default "info" }}
      |      ^^
      |
      = help: read what `temporal-server … render-config` prints (1.28 and newer), with the environment of the service

    1 error
    error: this configuration is a template: another program, such as dockerize, renders it before the server starts
     --> t.yaml:1:6
      |
    1 | log: {{ default .Env.LEVEL "info" }}
      |      ^^
      |
      = help: read the file that it writes; the server itself renders only files with `# enable-template` in their first KB

    1 error
    "#);
    insta::assert_snapshot!(wrong("persistence:\n  numHistoryShards: many\n  defaultStore: defualt\n  visibilityStore: [a]\n  datastores: { default: {} }\nservices: { history: { rpc: { grpcPort: 72340 } } }\n"), @"
    error: `persistence.numHistoryShards`: expected a whole number, found text `many`
     --> t.yaml:2:21
      |
    2 |   numHistoryShards: many
      |                     ^^^^

    error: no datastore `defualt`
     --> t.yaml:3:17
      |
    3 |   defaultStore: defualt
      |                 ^^^^^^^
      |
      = help: did you mean `default`?

    error: `persistence.visibilityStore`: expected text, found a list
     --> t.yaml:4:20
      |
    4 |   visibilityStore: [a]
      |                    ^^^

    error: a port is 1 to 65535
     --> t.yaml:6:41
      |
    6 | services: { history: { rpc: { grpcPort: 72340 } } }
      |                                         ^^^^^

    4 errors
    ");
    // Braces in a comment's place only: no template for the server, none for dockerize.
    assert_eq!(template("# enable-template\nlog: {}\n"), None);
    let late = format!("{}\n# enable-template\nx: {{{{ y }}}}\n", "#".repeat(1100));
    assert_eq!(template(&late), Some(Template::Other));
}

#[test]
fn a_good_configuration_has_no_findings() {
    let start = "[Service]\nExecStart=/opt/temporal-server -r / -c /etc/temporal -e prod start\n";
    for (from, to) in [("1.29.7", "1.30.9"), ("1.31.5", "1.32.2"), ("1.20.5", "1.21.6")] {
        let found = looked(SQL, Some(SQL), Some(start), from, to);
        assert!(found.0.is_empty(), "{}", found.1);
    }
}

#[test]
fn what_the_target_dropped_is_found() {
    let old_plugin = SQL.replace("pluginName: postgres12", "pluginName: postgres");
    assert!(ids(&old_plugin, None, None, "1.22.7", "1.23.1").is_empty());
    assert_eq!(
        ids(&old_plugin, None, None, "1.23.1", "1.24.3"),
        ["plugin-gone", "plugin-gone"]
    );
    assert_eq!(
        ids(SQL, None, None, "1.18.0", "1.19.0"),
        ["plugin-unknown", "plugin-unknown"]
    );
    let typo = SQL.replace("pluginName: postgres12", "pluginName: postgers12");
    assert_eq!(
        ids(&typo, None, None, "1.29.7", "1.30.9"),
        ["plugin-unknown", "plugin-unknown"]
    );
    let advanced = SQL.replace(
        "  numHistoryShards",
        "  advancedVisibilityStore: visibility\n  numHistoryShards",
    );
    assert!(ids(&advanced, None, None, "1.23.1", "1.24.3").is_empty());
    assert_eq!(ids(&advanced, None, None, "1.24.3", "1.25.2"), ["key-gone"]);
    let none = SQL.replace("  visibilityStore: visibility\n", "");
    assert_eq!(ids(&none, None, None, "1.24.3", "1.25.2"), ["visibility-missing"]);
    let cassandra = "persistence:\n  defaultStore: c\n  visibilityStore: v\n  datastores:\n    c: { cassandra: { hosts: a, keyspace: t } }\n    v: { cassandra: { hosts: a, keyspace: v } }\n";
    assert!(ids(cassandra, None, None, "1.22.7", "1.23.1").is_empty());
    assert_eq!(ids(cassandra, None, None, "1.23.1", "1.24.3"), ["plugin-gone"]);
    let sqlite = SQL.replace("pluginName: postgres12", "pluginName: sqlite");
    assert_eq!(
        ids(&sqlite, None, None, "1.29.7", "1.30.9"),
        ["store-unsupported", "store-unsupported"]
    );
    insta::assert_snapshot!(looked(&advanced.replace("pluginName: postgres12", "pluginName: postgres"), None, None, "1.24.3", "1.25.2").1, @"
    error: `persistence.advancedVisibilityStore` is gone from 1.25 on
     --> new.yaml:3:28
      |
    3 |   advancedVisibilityStore: visibility
      |                            ^^^^^^^^^^
      |
      = help: `persistence.advancedVisibilityStore` is gone from here on: name that store in `visibilityStore`

    error: 1.24 dropped postgres as the default store
      --> new.yaml:10:21
       |
    10 |         pluginName: postgres
       |                     ^^^^^^^^
       |
       = help: `pluginName: postgres` (schema/postgresql/v96) ends with 1.23
       = help: the server must be PostgreSQL 12 or newer, and the extension btree_gin must be there or may be created
       = help: run update-schema with the directories postgresql/v12/temporal and postgresql/v12/visibility of the running release on the existing databases (their v1.0 and v1.1 are copies of the old ones; visibility goes from 1.1 to 1.2 and on)
       = help: set `pluginName: postgres12` for both stores and restart the servers one by one

    error: 1.24 dropped postgres as the visibility store
      --> new.yaml:10:21
       |
    10 |         pluginName: postgres
       |                     ^^^^^^^^
       |
       = help: `pluginName: postgres` (schema/postgresql/v96) ends with 1.23
       = help: the server must be PostgreSQL 12 or newer, and the extension btree_gin must be there or may be created
       = help: run update-schema with the directories postgresql/v12/temporal and postgresql/v12/visibility of the running release on the existing databases (their v1.0 and v1.1 are copies of the old ones; visibility goes from 1.1 to 1.2 and on)
       = help: set `pluginName: postgres12` for both stores and restart the servers one by one

    3 errors
    ");
}

#[test]
fn both_stores_in_one_database_are_found() {
    let shared = SQL.replace("databaseName: temporal_visibility", "databaseName: temporal");
    assert_eq!(ids(&shared, None, None, "1.29.7", "1.30.9"), ["one-database"]);
    let other_server = shared.replace(
        "        databaseName: temporal\nglobal",
        "        databaseName: temporal\n        connectAddr: db2:5432\nglobal",
    );
    assert!(ids(&other_server, None, None, "1.29.7", "1.30.9").is_empty());
    let same_store = SQL.replace("visibilityStore: visibility", "visibilityStore: default");
    assert_eq!(ids(&same_store, None, None, "1.29.7", "1.30.9"), ["one-database"]);
}

#[test]
fn what_may_not_change_is_found() {
    let of = |from: &str, to: &str| {
        let new = SQL.replace(from, to);
        assert_ne!(new, SQL, "{from} does not stand there");
        ids(&new, Some(SQL), None, "1.29.7", "1.30.9")
    };
    assert_eq!(of("numHistoryShards: 32", "numHistoryShards: 512"), ["shards-changed"]);
    assert_eq!(of("  numHistoryShards: 32\n", ""), ["shards-changed"]);
    assert_eq!(
        of("currentClusterName: active", "currentClusterName: main"),
        ["cluster-changed"]
    );
    assert_eq!(
        of("masterClusterName: active", "masterClusterName: main"),
        ["cluster-changed"]
    );
    assert_eq!(of("    active: {", "    main: {"), ["cluster-changed"]);
    assert_eq!(
        of("failoverVersionIncrement: 10", "failoverVersionIncrement: 100"),
        ["cluster-changed"]
    );
    assert_eq!(
        of("databaseName: temporal\n", "databaseName: temporal2\n"),
        ["database-changed"]
    );
    assert_eq!(
        of("databaseName: temporal_visibility", "databaseName: vis"),
        ["database-changed"]
    );
    assert_eq!(
        of("pluginName: postgres12", "pluginName: mysql8"),
        ["store-changed", "store-changed"]
    );
    assert!(
        of("pluginName: postgres12", "pluginName: postgres12_pgx").is_empty(),
        "another driver of the same store"
    );
    let renamed = SQL.replace("    visibility:\n", "    search:\n");
    let renamed = renamed.replace("visibilityStore: visibility", "visibilityStore: search");
    assert_eq!(ids(&renamed, Some(SQL), None, "1.29.7", "1.30.9"), ["store-changed"]);
    let addresses = ["address-changed (warning)", "address-changed (warning)"];
    assert_eq!(of("connectAddr: \"db1:5432\"", "connectAddr: \"db2:5432\""), addresses);
}

#[test]
fn archival_stays_on_over_1_21() {
    let off = SQL.replace("state: enabled", "state: disabled");
    assert_eq!(ids(&off, Some(SQL), None, "1.20.5", "1.21.6"), ["archival-off"]);
    assert_eq!(
        ids(&off, Some(SQL), None, "1.29.7", "1.30.9"),
        ["archival-off (warning)"]
    );
    assert!(ids(SQL, Some(&off), None, "1.20.5", "1.21.6").is_empty(), "switched on");
}

#[test]
fn how_the_server_is_started() {
    let of = |start: &str, to: &str| ids(SQL, None, Some(start), "1.29.7", to);
    for start in [
        "temporal-server start",
        "temporal-server --root /etc/temporal start --service history",
        "temporal-server --allow-no-auth start",
        "[Service]\nEnvironment=TEMPORAL_ROOT=/etc/temporal\nExecStart=/opt/temporal-server start\n",
    ] {
        assert_eq!(of(start, "1.30.9"), ["embedded-configuration"], "{start}");
        assert!(of(start, "1.29.7").is_empty(), "{start}");
    }
    for start in [
        "temporal-server -e development start",
        "temporal-server --config=config start",
        "temporal-server --zone a start",
        "temporal-server -c config -e prod start",
        "temporal-server --config-file /etc/temporal.yaml start",
        "[Service]\nEnvironment=\"TEMPORAL_ENVIRONMENT=prod\" X=y\nExecStart=/opt/temporal-server \\\n  start\n",
        "[Service]\nExecStart=/old start\nExecStart=\nExecStart=-/opt/temporal-server -e prod start\n",
        "[Service]\nEnvironment=TEMPORAL_SERVER_CONFIG_FILE_PATH=/etc/t.yaml\nExecStart=/opt/temporal-server start\n",
    ] {
        assert!(of(start, "1.30.9").is_empty(), "{start}: {:?}", of(start, "1.30.9"));
    }
    let file = "[Service]\nEnvironmentFile=-/etc/default/temporal\nExecStart=/opt/temporal-server start\n";
    assert_eq!(of(file, "1.30.9"), ["embedded-configuration (warning)"]);
    assert_eq!(
        of("temporal-server --config-file /etc/t.yaml start", "1.29.7"),
        ["config-file"]
    );
    assert_eq!(
        of("temporal-server -r / --config-file /etc/t.yaml start", "1.30.9"),
        ["config-file"]
    );
    assert_eq!(
        of("temporal-server -c /etc/temporal -e prod start", "1.30.9"),
        ["config-root"]
    );
    assert_eq!(
        of("temporal-server -r /srv -c /etc/temporal start", "1.30.9"),
        ["config-root"]
    );
    assert_eq!(
        of("temporal-server -e prod start --services=frontend,history", "1.30.9"),
        ["services-flag (note)"]
    );
    insta::assert_snapshot!(looked(SQL, None, Some("[Service]\nUser=temporal\nExecStart=/opt/temporal-server -r /etc start\n"), "1.29.7", "1.30.9").1
        + &looked(SQL, None, Some("temporal-server -c /etc/temporal start"), "1.29.7", "1.30.9").1, @"
    error: 1.30.9 would read no configuration file, but its embedded template, whose database is Cassandra
     --> temporal.service:3:11
      |
    3 | ExecStart=/opt/temporal-server -r /etc start
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: give --config DIR and --env NAME, or --config-file FILE; --root alone is not enough, and up to 1.29 ./config/development.yaml was read

    1 error
    error: the server joins --config to --root: it looks in ./etc/temporal
     --> temporal.service:1:1
      |
    1 | temporal-server -c /etc/temporal start
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: give `--root /` with an absolute --config

    1 error
    ");
}

#[test]
fn the_files_that_a_server_reads() {
    let of = |start: &str| {
        let launch = Launch::read(&Source::new("u", start), &IndexMap::new()).expect("a command");
        (
            launch
                .files(Release::parse("1.30.9").expect("a release"))
                .map_or_else(|| "none".to_owned(), |files| files.join(" ")),
            launch.services.join(" "),
        )
    };
    let files = |start: &str| of(start).0;
    assert_eq!(
        files("temporal-server -r / -c /etc/temporal -e lab start"),
        "/etc/temporal/base.yaml /etc/temporal/lab.yaml"
    );
    assert_eq!(
        files("temporal-server -e lab --zone a start"),
        "./config/base.yaml ./config/lab.yaml ./config/lab_a.yaml"
    );
    assert_eq!(files("temporal-server --config-file x.yaml start"), "x.yaml");
    assert_eq!(files("temporal-server start"), "none");
    assert_eq!(
        of("temporal-server -e lab start --service history --service=matching").1,
        "history matching"
    );
    for wrong in ["[Service]\nUser=x\n", "temporal-server 'open"] {
        assert!(
            Launch::read(&Source::new("u", wrong), &IndexMap::new()).is_err(),
            "{wrong}"
        );
    }
    let variables = IndexMap::from([
        ("TEMPORAL_CONFIG_DIR".to_owned(), "conf".to_owned()),
        ("TEMPORAL_SERVICES".to_owned(), "worker".to_owned()),
    ]);
    let launch = Launch::read(&Source::new("u", "temporal-server start"), &variables).expect("a command");
    let release = Release::parse("1.30.9").expect("a release");
    assert_eq!(
        launch.files(release).expect("files"),
        ["./conf/base.yaml", "./conf/development.yaml"]
    );
    let (bare, old) = (Launch::default(), Release::parse("1.29.7").expect("a release"));
    assert_eq!(bare.files(release), None);
    assert_eq!(bare.files(old).expect("files")[1], "./config/development.yaml");
    assert_eq!(launch.services, ["worker"]);
}

#[test]
fn no_page_shows_a_password() {
    let new = SQL.replace(
        "databaseName: temporal\n        user: temporal\n        password: \"pa55word\"",
        "{databaseName: x, password: \"pa55word\"}",
    );
    let broken = read(&[Source::new("n.yaml", new)])
        .expect_err("no YAML")
        .render(false, None);
    assert!(!broken.contains("pa55word"), "{broken}");
    assert!(!config(SQL).json().to_string().contains("pa55word"));
}
