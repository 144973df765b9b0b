use super::*;

/// Section 5 of the facts on required schemas, transcribed by hand and not from the catalog: minor, newest patch, then
/// default/visibility of each store at that patch.
const FACTS: [(&str, u32, [&str; 5]); 13] = [
    // cassandra, mysql v57, mysql v8, postgresql v96, postgresql v12
    ("1.20", 5, ["1.7/1.0", "1.9/1.1", "1.9/1.2", "1.9/1.1", "1.9/1.2"]),
    ("1.21", 6, ["1.8/1.0", "1.10/1.1", "1.10/1.3", "1.10/1.1", "1.10/1.3"]),
    ("1.22", 7, ["1.8/1.0", "1.10/1.1", "1.10/1.3", "1.10/1.1", "1.10/1.3"]),
    ("1.23", 1, ["1.9/1.0", "1.11/1.1", "1.11/1.4", "1.11/1.1", "1.11/1.4"]),
    ("1.24", 3, ["1.10/", "", "1.12/1.6", "", "1.12/1.6"]),
    ("1.25", 2, ["1.11/", "", "1.14/1.6", "", "1.14/1.6"]),
    ("1.26", 3, ["1.11/", "", "1.14/1.7", "", "1.14/1.7"]),
    ("1.27", 4, ["1.11/", "", "1.16/1.9", "", "1.16/1.9"]),
    ("1.28", 4, ["1.12/", "", "1.17/1.9", "", "1.17/1.9"]),
    ("1.29", 7, ["1.13/", "", "1.18/1.9", "", "1.18/1.9"]),
    ("1.30", 9, ["1.13/", "", "1.18/1.13", "", "1.18/1.13"]),
    ("1.31", 5, ["1.13/", "", "1.19/1.14", "", "1.19/1.14"]),
    ("1.32", 2, ["1.13/", "", "1.19/1.14", "", "1.19/1.14"]),
];

/// The columns, as `--store` names them.
const STORES: [&str; 5] = ["cassandra", "mysql", "mysql8", "postgres", "postgres12"];

fn newest(row: usize) -> String {
    format!("{}.{}", FACTS[row].0, FACTS[row].1)
}

fn stores<'a>(default: &'a str, visibility: &'a str) -> Stores<'a> {
    let database = |name, store| Database {
        name,
        store,
        version: None,
    };
    Stores {
        default: database("main", default),
        visibility: database("search", visibility),
    }
}

/// Default and visibility column of a pair of stores: `None` where one of them is not served.
fn facts(row: usize, default: usize, visibility: usize) -> Option<(&'static str, &'static str)> {
    let (d, v) = (
        FACTS[row].2[default].split_once('/')?.0,
        FACTS[row].2[visibility].split_once('/')?.1,
    );
    (!d.is_empty() && !v.is_empty()).then_some((d, v))
}

#[test]
fn every_pair_of_minors_on_every_store_agrees_with_the_facts() {
    let catalog = Catalog::shipped();
    // Every store on its own, and Cassandra with visibility on SQL.
    let pairs = (0..5).map(|store| (store, store)).chain([(0, 2), (0, 4)]);
    let (mut planned, mut refused, mut dropped) = (0, 0, 0);
    for (default, visibility) in pairs {
        let of = stores(STORES[default], STORES[visibility]);
        for from in 0..FACTS.len() {
            for to in 0..FACTS.len() {
                let what = format!(
                    "{} to {} on {}/{}",
                    newest(from),
                    newest(to),
                    STORES[default],
                    STORES[visibility]
                );
                let found = path(&catalog, &newest(from), &newest(to), of);
                if to < from {
                    assert!(matches!(found, Err(PathError::Downgrade { .. })), "{what}: {found:?}");
                    refused += 1;
                    continue;
                }
                if to == from {
                    assert!(found.expect("a path").hops.is_empty(), "{what}");
                    continue;
                }
                if facts(to, default, visibility).is_none() {
                    assert!(matches!(found, Err(PathError::Dropped { .. })), "{what}: {found:?}");
                    dropped += 1;
                    continue;
                }
                let hops = found.unwrap_or_else(|e| panic!("{what}: {e}")).hops;
                // One hop a minor, none left out, each to the newest patch.
                assert_eq!(hops.len(), to - from, "{what}");
                for (step, hop) in hops.iter().enumerate() {
                    let (old, new) = (from + step, from + step + 1);
                    assert_eq!((hop.from.clone(), hop.to.clone()), (newest(old), newest(new)), "{what}");
                    let (has, needs) = (facts(old, default, visibility), facts(new, default, visibility));
                    let (has, needs) = (has.expect("served"), needs.expect("served"));
                    assert_eq!(
                        (hop.has["main"].as_str(), hop.has["search"].as_str()),
                        has,
                        "{what} at {}",
                        hop.from
                    );
                    assert_eq!(
                        (hop.needs["main"].as_str(), hop.needs["search"].as_str()),
                        needs,
                        "{what} at {}",
                        hop.to
                    );
                    assert_eq!(hop.changes, has != needs, "{what} at {}", hop.to);
                    let changes: Vec<bool> = hop.stores.iter().map(|step| step.changes).collect();
                    assert_eq!(changes, [has.0 != needs.0, has.1 != needs.1], "{what} at {}", hop.to);
                }
                planned += 1;
            }
        }
    }
    // Each SQL store of today and Cassandra with SQL: 78 pairs upward; the others only up to 1.23: 6 pairs.
    assert_eq!((planned, refused, dropped), (4 * 78 + 3 * 6, 7 * 78, 3 * 72));
}

/// The folders that the facts name, by column.
#[test]
fn each_store_has_its_own_folders() {
    let catalog = Catalog::shipped();
    for (store, default, visibility) in [
        ("cassandra", "cassandra/temporal", "cassandra/visibility"),
        ("mysql", "mysql/v57/temporal", "mysql/v57/visibility"),
        ("mysql8", "mysql/v8/temporal", "mysql/v8/visibility"),
        ("postgres", "postgresql/v96/temporal", "postgresql/v96/visibility"),
        ("postgres12", "postgresql/v12/temporal", "postgresql/v12/visibility"),
        ("postgres12_pgx", "postgresql/v12/temporal", "postgresql/v12/visibility"),
    ] {
        let path = path(&catalog, "1.20.5", "1.21", stores(store, store)).expect("a path");
        let schema = &path.hops[0].schema;
        assert_eq!(schema["main"], format!("{default}/versioned"), "{store}");
        assert_eq!(schema["search"], format!("{visibility}/versioned"), "{store}");
    }
}

fn way_of(from: &str, to: &str, store: &str) -> String {
    match path(&Catalog::shipped(), from, to, stores(store, store)) {
        Ok(path) => {
            let hops: Vec<&str> = path.hops.iter().map(|hop| hop.to.as_str()).collect();
            let notes = if path.notes.is_empty() {
                String::new()
            } else {
                format!(" ({})", path.notes.join("; "))
            };
            format!("{}{notes}", hops.join(" "))
        }
        Err(wrong) => std::iter::once(wrong.to_string())
            .chain(wrong.help())
            .collect::<Vec<_>>()
            .join("; "),
    }
}

#[test]
fn the_running_minor_comes_first() {
    let of = |from, to| way_of(from, to, "postgres12");
    assert_eq!(
        of("1.25.0", "1.27"),
        "1.25.2 1.26.3 1.27.4 (1.32.2 is the newest release of all (catalog of 2026-11-24))"
    );
    assert_eq!(of("1.31.5", "1.32.2"), "1.32.2");
    assert_eq!(of("v1.32.0", "1.32"), "1.32.2");
    assert_eq!(of("1.32.2", "1.32.2"), "");
    insta::assert_snapshot!(of("1.29.3", "1.29.5"), @"1.29.5 (1.29.7 is the newest patch of 1.29: take it instead of 1.29.5; 1.32.2 is the newest release of all (catalog of 2026-11-24))");
    // A bad release may run; the way leads out of it.
    insta::assert_snapshot!(of("1.26.0", "1.27.4"), @"1.26.3 1.27.4 (1.26.0 runs and is retracted (retracted in go.mod): leave it soon; 1.32.2 is the newest release of all (catalog of 2026-11-24))");
    insta::assert_snapshot!(of("1.29.4.1", "1.30.9"), @"1.29.7 1.30.9 (1.32.2 is the newest release of all (catalog of 2026-11-24))");
    // A target whose binary says another version is no good end, and is told of.
    insta::assert_snapshot!(of("1.21.6", "1.22.1"), @"1.22.1 (1.22.7 is the newest patch of 1.22: take it instead of 1.22.1; 1.32.2 is the newest release of all (catalog of 2026-11-24); the binary of 1.22.1 says 1.22.0)");
}

#[test]
fn what_cannot_be_done_is_refused_with_the_way_out() {
    let mut page = String::new();
    for (from, to, store) in [
        ("1.31.5", "1.30.9", "postgres12"),
        ("1.31.5", "1.31.4", "postgres12"),
        ("0.28.0", "1.20", "cassandra"),
        ("1.29.7", "1.33.0", "postgres12"),
        ("1.29.7", "1.30.10", "postgres12"),
        ("1.29.8", "1.32.2", "postgres12"),
        ("1.29.4.2", "1.32.2", "postgres12"),
        ("1.29.7", "1.30.0", "postgres12"),
        ("1.23.1", "1.24.0", "postgres12"),
        ("1.29.7", "1.30.4.1", "postgres12"),
        ("1.31.0-150.0", "1.32.2", "postgres12"),
        ("1.7.0", "1.20.5", "mysql"),
        ("1.18.0", "1.19", "mysql8"),
        ("1.18.0", "1.20.5", "mysql8"),
        ("1.22.7", "1.25.2", "mysql"),
        ("1.23.1", "1.24.3", "postgres"),
        ("1.25.2", "1.26.3", "mysql"),
        ("1.23.1", "1.24.3", "cassandra"),
        ("1.29.7", "1.30.9", "sqlite"),
        ("1.29.7", "1.30.9", "elasticsearch"),
        ("1.29.7", "1.30.9", "postgres21"),
        ("1.29.7", "1.30.9", "v12"),
    ] {
        page += &format!("{from} {to} {store}\n    {}\n", way_of(from, to, store));
    }
    insta::assert_snapshot!(page, @r#"
    1.31.5 1.30.9 postgres12
        1.30.9 is older than 1.31.5: Temporal has no way back for a schema; one minor back, the old binaries run on the newer schema: swap them back and leave the schema; further back, restore the backups of both databases, taken together
    1.31.5 1.31.4 postgres12
        1.31.4 is older than 1.31.5: Temporal has no way back for a schema; one minor back, the old binaries run on the newer schema: swap them back and leave the schema; further back, restore the backups of both databases, taken together
    0.28.0 1.20 cassandra
        0.28.0 is older than 1.0.0: its data has no supported way to a later release; ask at Temporal's community forum, as the upgrade guide says: https://community.temporal.io
    1.29.7 1.33.0 postgres12
        the target release 1.33.0 is not in the catalog; the newest that it knows is 1.32.2; a newer catalog may know it: give one with --catalog FILE
    1.29.7 1.30.10 postgres12
        the target release 1.30.10 is not in the catalog; the newest of 1.30 that it knows is 1.30.9; a newer catalog may know it: give one with --catalog FILE
    1.29.8 1.32.2 postgres12
        the running release 1.29.8 is not in the catalog; the newest of 1.29 that it knows is 1.29.7; a newer catalog may know it: give one with --catalog FILE
    1.29.4.2 1.32.2 postgres12
        the running release 1.29.4.2 is not in the catalog; the newest of 1.29 that it knows is 1.29.7; a newer catalog may know it: give one with --catalog FILE
    1.29.7 1.30.0 postgres12
        1.30.0 is retracted: retracted in go.mod; take 1.30.9
    1.23.1 1.24.0 postgres12
        1.24.0 is known bad: visibility is broken (#6050); 1.24.1 changes the schema; take 1.24.3
    1.29.7 1.30.4.1 postgres12
        1.30.4.1 is a tag of four parts, whose binary says 1.30.4: whether it runs could not be told; take 1.30.9
    1.31.0-150.0 1.32.2 postgres12
        `1.31.0-150.0` is no release; write its three numbers, such as 1.29.7; candidates and cloud tags are none
    1.7.0 1.20.5 mysql
        the catalog does not know the newest patch of 1.7, 1.8, 1.9, 1.10, 1.11, 1.12, 1.13, 1.14, 1.15, 1.16, 1.17, 1.18, 1.19; look it up among the tags of temporalio/temporal and name it in a file of your own (--catalog FILE): minors: { "1.7": { newest: "1.7.…" }, "1.8": { newest: "1.8.…" }, "1.9": { newest: "1.9.…" }, "1.10": { newest: "1.10.…" }, "1.11": { newest: "1.11.…" }, "1.12": { newest: "1.12.…" }, "1.13": { newest: "1.13.…" }, "1.14": { newest: "1.14.…" }, "1.15": { newest: "1.15.…" }, "1.16": { newest: "1.16.…" }, "1.17": { newest: "1.17.…" }, "1.18": { newest: "1.18.…" }, "1.19": { newest: "1.19.…" } }; never use --dryrun of a schema tool older than 1.8.0: it drops every table of the real database
    1.18.0 1.19 mysql8
        the catalog does not know the newest patch of 1.19; look it up among the tags of temporalio/temporal and name it in a file of your own (--catalog FILE): minors: { "1.19": { newest: "1.19.…" } }
    1.18.0 1.20.5 mysql8
        1.18.0 does not know the store mysql8: it came with 1.20; such a cluster runs on `mysql`: take that
    1.22.7 1.25.2 mysql
        1.24 dropped mysql as the default store; `pluginName: mysql` (schema/mysql/v57) ends with 1.23; go to 1.23.1 first (--to 1.23.1), then:; 1. the server must be MySQL 8.0.17 or newer; 2. run update-schema with the directories mysql/v8/temporal and mysql/v8/visibility of the running release on the existing databases (their v1.0 and v1.1 are copies of the old ones; visibility goes from 1.1 to 1.2 and on); 3. set `pluginName: mysql8` for both stores and restart the servers one by one; then ask again with --store mysql8
    1.23.1 1.24.3 postgres
        1.24 dropped postgres as the default store; `pluginName: postgres` (schema/postgresql/v96) ends with 1.23; do this at 1.23.1, which runs:; 1. the server must be PostgreSQL 12 or newer, and the extension btree_gin must be there or may be created; 2. run update-schema with the directories postgresql/v12/temporal and postgresql/v12/visibility of the running release on the existing databases (their v1.0 and v1.1 are copies of the old ones; visibility goes from 1.1 to 1.2 and on); 3. set `pluginName: postgres12` for both stores and restart the servers one by one; then ask again with --store postgres12
    1.25.2 1.26.3 mysql
        1.24 dropped mysql as the default store; 1.25.2 does not serve it either: look at `pluginName` in the server's configuration
    1.23.1 1.24.3 cassandra
        1.24 dropped cassandra as the visibility store; Cassandra holds no visibility from 1.24 on; do this at 1.23.1, which runs:; 1. create a visibility database on postgres12, mysql8 or Elasticsearch, with the schema of the running release; 2. move to it as Temporal's guide on self-hosted visibility says (both are written until the longest retention is over); 3. make it `visibilityStore`, and remove the Cassandra one; then ask again with --visibility and the new store
    1.29.7 1.30.9 sqlite
        the store sqlite cannot be upgraded: SQLite is for development: its visibility has no migrations and the server checks no schema at start; start again with an empty database of the new release
    1.29.7 1.30.9 elasticsearch
        elasticsearch holds visibility only: it cannot be the default store; give it as --visibility elasticsearch, and the default store as --store
    1.29.7 1.30.9 postgres21
        no store `postgres21`; did you mean `postgres12`?; stores: cassandra, mysql, mysql8, postgres, postgres12, postgres12_pgx, elasticsearch, sqlite
    1.29.7 1.30.9 v12
        no store `v12`; did you mean `postgres12`?; stores: cassandra, mysql, mysql8, postgres, postgres12, postgres12_pgx, elasticsearch, sqlite
    "#);
}

#[test]
fn a_database_that_the_target_does_not_serve_is_refused() {
    let mut of = stores("postgres12", "postgres12");
    of.visibility.version = Some("11.9 (Debian)");
    let wrong = path(&Catalog::shipped(), "1.29.7", "1.30.9", of).expect_err("too old");
    insta::assert_snapshot!(wrong, @"1.30.9 cannot run on the database `search`: postgres 11.9 (Debian) is not served: 12 or newer is needed (documented: 13.18, 14.15, 15.10, 16.6 and newer)");
}

/// An old cluster gets a path as soon as its newest patches are named.
#[test]
fn a_team_names_what_the_facts_do_not_know() {
    let text = r#"minors: { "1.18": { newest: "1.18.5" }, "1.19": { newest: "1.19.1" } }"#;
    let catalog = Catalog::extended(&crate::yaml::Source::new("team.yml", text)).expect("a catalog");
    let path = path(&catalog, "1.18.3", "1.20", stores("mysql", "mysql")).expect("a path");
    let hops: Vec<(&str, &str)> = path
        .hops
        .iter()
        .map(|hop| (hop.to.as_str(), hop.needs["main"].as_str()))
        .collect();
    assert_eq!(hops, [("1.18.5", "1.8"), ("1.19.1", "1.9"), ("1.20.5", "1.9")]);
    assert!(
        path.hops[1].stores[0].changes && !path.hops[1].stores[0].known,
        "v57's tables are not in the catalog"
    );
}

#[test]
fn what_a_hop_does_to_tables_stands_in_it() {
    let path = path(&Catalog::shipped(), "1.29.7", "1.31.5", stores("cassandra", "mysql8")).expect("a path");
    let rewrites: Vec<String> = path
        .hops
        .iter()
        .flat_map(|hop| &hop.rewrites)
        .map(|r| {
            format!(
                "{} {} {} {} {:?} x{}",
                r.engine, r.database, r.schema, r.table, r.kind, r.times
            )
        })
        .collect();
    assert_eq!(
        rewrites,
        [
            "mysql search 1.10 executions_visibility Copy x2",
            "mysql search 1.13 executions_visibility Copy x2",
            "mysql search 1.14 executions_visibility Copy x4",
        ]
    );
    assert!(
        path.hops[0]
            .actions
            .iter()
            .any(|text| text.contains("embedded template"))
    );
}

#[test]
fn a_page_for_a_change_request() {
    let catalog = Catalog::shipped();
    let path = path(&catalog, "1.29.3", "1.32", stores("postgres12", "postgres12")).expect("a path");
    insta::assert_snapshot!(path.page(&catalog.as_of), @"
    Temporal Server 1.29.3 to 1.32.2: 4 hops (catalog of 2026-11-24)

    hop  from    to      main (postgres12)  search (postgres12)  tables read or written whole
      1  1.29.3  1.29.7  1.18 no change     1.9 no change        none
      2  1.29.7  1.30.9  1.18 no change     1.9 -> 1.13          executions_visibility (1 x written)
      3  1.30.9  1.31.5  1.18 -> 1.19       1.13 -> 1.14         executions_visibility (1 x written)
      4  1.31.5  1.32.2  1.19 no change     1.14 no change       none

    Hop 1: 1.29.3 to 1.29.7
      schema   - main: 1.18, no schema change
               - search: 1.9, no schema change

    Hop 2: 1.29.7 to 1.30.9
      before   - start the server with --config, --env, --zone or --config-file (or their variables):
                 with none of them 1.30 reads no file but its embedded template, whose database is
                 Cassandra; 1.29 read ./config/development.yaml. --root alone is not enough
               - take the visibility schema from 1.9 to 1.13 in one go and with the files of this
                 release: its 1.10 to 1.12 are empty, and all columns come with 1.13
               - search 1.13 needs the schema tool of 1.30.0 or newer, where upstream's is used: take
                 that of 1.30.9
      schema   - main: 1.18, no schema change
               - search: 1.9 to 1.13, postgresql/v12/visibility/versioned
      tables   - search 1.13: executions_visibility is written anew (nobody reads or writes it
                 meanwhile; room for it once more): ADD COLUMN .. GENERATED .. STORED; 35 million rows
                 took 57 minutes (#10358)
               - search 1.13: executions_visibility gets an index while it is in use, 17 times: CREATE
                 INDEX CONCURRENTLY; a cut-off one leaves an invalid index

    Hop 3: 1.30.9 to 1.31.5
      schema   - main: 1.18 to 1.19, postgresql/v12/temporal/versioned
               - search: 1.13 to 1.14, postgresql/v12/visibility/versioned
      tables   - search 1.14: executions_visibility is written anew (nobody reads or writes it
                 meanwhile; room for it once more): ADD COLUMN .. GENERATED .. STORED; 35 million rows
                 took 57 minutes (#10358)
               - search 1.14: executions_visibility gets an index while it is in use, 2 times: CREATE
                 INDEX CONCURRENTLY; a cut-off one leaves an invalid index

    Hop 4: 1.31.5 to 1.32.2
      schema   - main: 1.19, no schema change
               - search: 1.14, no schema change

    After every hop: all frontends say the new version, the rings are whole, and history has loaded
    every shard (Temporal's guide: about 10 minutes) before the next hop begins.
    ");
}

#[test]
fn a_visibility_store_that_is_updated_by_hand() {
    let catalog = Catalog::shipped();
    let path = path(&catalog, "1.29.7", "1.30", stores("cassandra", "elasticsearch")).expect("a path");
    assert_eq!(path.hops[0].schema.keys().collect::<Vec<_>>(), ["main"]);
    insta::assert_snapshot!(path.page(&catalog.as_of), @"
    Temporal Server 1.29.7 to 1.30.9: 1 hop (catalog of 2026-11-24)

    hop  from    to      main (cassandra)  search (elasticsearch)  tables read or written whole
      1  1.29.7  1.30.9  1.13 no change    v9 -> v13               none

    Hop 1: 1.29.7 to 1.30.9
      before   - start the server with --config, --env, --zone or --config-file (or their variables):
                 with none of them 1.30 reads no file but its embedded template, whose database is
                 Cassandra; 1.29 read ./config/development.yaml. --root alone is not enough
               - search goes from v9 to v13: apply the index template and the mapping of the index
                 yourself: temporal-elasticsearch-tool update-schema --index NAME (1.30 and newer),
                 before that schema/elasticsearch/visibility/versioned/vN/upgrade.sh; they are additive
                 and may be repeated
      schema   - main: 1.13, no schema change
               - search: v9 to v13

    After every hop: all frontends say the new version, the rings are whole, and history has loaded
    every shard (Temporal's guide: about 10 minutes) before the next hop begins.

    Notes
      - 1.32.2 is the newest release of all (catalog of 2026-11-24)
    ");
}
