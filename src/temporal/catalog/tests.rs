use std::sync::Arc;

use super::*;
use crate::yaml::Source;

fn with(text: &str) -> Result<Catalog, String> {
    Catalog::extended(&Source::new("team.yml", text)).map_err(|wrong| wrong.render(false, None))
}

fn release(text: &str) -> Release {
    Release::parse(text).expect("a release")
}

fn schema(catalog: &Catalog, store: &str, side: Side, at: &str) -> String {
    catalog
        .need(store, side, release(at))
        .map_or_else(|| "-".to_owned(), |need| need.text.clone())
}

#[test]
fn the_shipped_catalog_is_whole() {
    let catalog = Catalog::shipped();
    assert_eq!(catalog.newest(), Some(release("1.32.2")));
    assert_eq!(catalog.minors.len(), 33);
    for minor in 20..=32 {
        assert!(catalog.newest_of(Minor::new(1, minor)).is_some(), "1.{minor}");
    }
    assert_eq!(catalog.reported(release("1.29.4.1")), release("1.29.4"));
    assert_eq!(catalog.reported(release("1.22.1")), release("1.22.0"));
    assert_eq!(catalog.reported(release("1.29.7")), release("1.29.7"));
}

#[test]
fn a_patch_that_changed_the_schema_needs_more_than_those_before_it() {
    let catalog = Catalog::shipped();
    for (at, default, visibility) in [
        ("1.24.0", "1.12", "1.5"),
        ("1.24.1", "1.12", "1.6"),
        ("1.26.1", "1.14", "1.6"),
        ("1.26.2", "1.14", "1.7"),
        ("1.27.0", "1.15", "1.9"),
        ("1.27.1", "1.16", "1.9"),
        ("1.30.4.1", "1.18", "1.13"),
    ] {
        for store in ["mysql8", "postgres12"] {
            let both = (
                schema(&catalog, store, Side::Default, at),
                schema(&catalog, store, Side::Visibility, at),
            );
            assert_eq!(both, (default.to_owned(), visibility.to_owned()), "{store} {at}");
        }
    }
    assert_eq!(schema(&catalog, "postgres", Side::Default, "1.24.1"), "-");
}

#[test]
fn the_same_schema_version_does_other_things_with_other_files() {
    let catalog = Catalog::shipped();
    let step = &catalog.steps["postgres12"][&Side::Visibility];
    let version = |text: &str| Version::parse(text).expect("a version");
    let does = |schema: &str, at: &str| -> Vec<(Effect, u32)> {
        let step = &step[&version(schema)];
        step.does(release(at), &version("1.9"))
            .map(|does| (does.kind, does.times))
            .collect()
    };
    assert_eq!(does("1.10", "1.30.4"), [(Effect::Rewrite, 1), (Effect::Index, 1)]);
    assert_eq!(does("1.10", "1.30.5"), []);
    assert_eq!(does("1.10", "1.31.0"), [(Effect::Rewrite, 1), (Effect::Index, 1)]);
    assert_eq!(does("1.10", "1.32.2"), []);
    assert_eq!(does("1.13", "1.30.4.1"), [(Effect::Rewrite, 1), (Effect::Index, 1)]);
    assert_eq!(does("1.13", "1.31.1"), [(Effect::Rewrite, 1), (Effect::Online, 17)]);
    assert_eq!(does("1.14", "1.31.2"), [(Effect::Rewrite, 2), (Effect::Index, 2)]);
    assert_eq!(does("1.14", "1.32.0"), [(Effect::Rewrite, 1), (Effect::Online, 2)]);
}

#[test]
fn a_newer_release_is_told_of() {
    let catalog = Catalog::shipped();
    let newer = |text: &str| {
        let (patch, all) = catalog.newer(release(text));
        (patch.map(|r| r.to_string()), all.map(|r| r.to_string()))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(newer("1.29.3"), (some("1.29.7"), some("1.32.2")));
    assert_eq!(newer("1.31.5"), (None, some("1.32.2")));
    assert_eq!(newer("1.32.0"), (some("1.32.2"), None));
    assert_eq!(newer("1.32.2"), (None, None));
}

#[test]
fn a_database_that_is_too_old_is_not_served() {
    let catalog = Catalog::shipped();
    for (store, version, served) in [
        ("postgres12", "11.22", false),
        ("postgres12", "15.18 (Debian 15.18-1)", true),
        ("mysql8", "8.0.16", false),
        ("mysql8", "8.0.31", true),
        ("mysql", "5.7.44", true),
        ("cassandra", "3.11.17", true),
        ("cassandra", "5.0.3", false),
        ("cassandra", "5.0.4", true),
        ("cassandra", "3.0.29", false),
    ] {
        assert_eq!(catalog.serves(store, version).is_ok(), served, "{store} {version}");
    }
    insta::assert_snapshot!(catalog.serves("cassandra", "5.0.3").expect_err("not served"),
        @"cassandra 5.0.3 is not served: 5.0.4 or newer is needed (documented: 3.11, 4.0, 5.0.4 and newer)");
}

#[test]
fn health_is_asked_by_the_names_that_answer() {
    let catalog = Catalog::shipped();
    let ready = |at: &str| -> Vec<String> {
        catalog
            .health_of(release(at))
            .iter()
            .map(|(role, (_, ready))| format!("{role} {ready}"))
            .collect()
    };
    assert_eq!(ready("1.27.4"), ["frontend true", "history false", "matching false"]);
    assert_eq!(ready("1.30.9"), ["frontend true", "history true", "matching false"]);
    assert_eq!(
        ready("1.31.0"),
        ["frontend true", "history true", "matching false", "worker true"]
    );
}

#[test]
fn a_team_adds_a_release_and_corrects_another() {
    let catalog = with(
        r#"
as_of: "2027-01-08"
bad:
  "1.32.3": { kind: known_bad, why: "it loses timers" }
minors:
  "1.32": { newest: "1.32.4" }
  "1.33":
    newest: "1.33.0"
    schema:
      cassandra: { default: "1.14" }
      mysql8: { default: "1.20", visibility: "1.14" }
      postgres12: { default: "1.20", visibility: "1.14" }
      elasticsearch: { visibility: v14 }
    actions:
      look: { text: "read the notes" }
"#,
    )
    .expect("a catalog");
    assert_eq!(catalog.newest(), Some(release("1.33.0")));
    assert_eq!(catalog.newest_of(Minor::new(1, 32)), Some(release("1.32.4")));
    assert_eq!(
        schema(&catalog, "postgres12", Side::Default, "1.32.4"),
        "1.19",
        "what is not named stays"
    );
    assert_eq!(schema(&catalog, "postgres12", Side::Default, "1.33.0"), "1.20");
    assert_eq!(catalog.bad[&release("1.32.3")].kind, BadKind::KnownBad);
    assert_eq!(catalog.bad.len(), Catalog::shipped().bad.len() + 1);
}

#[test]
fn mistakes_are_shown_together() {
    insta::assert_snapshot!(with(
        r#"minors:
  1.33:
    newest: 1.33
  "1.34":
    newset: "1.34.0"
    schema: { postgres12: { defualt: "1.20" } }
bad: { "1.34.1": { kind: retractd } }
steps: { postgres12: { visibility: { "1.15": { does: [{ table: t, kind: rewrit, times: 0 }] } } } }
"#
    )
    .expect_err("mistakes"), @r#"
    error: a version stands in quotes
     --> team.yml:2:3
      |
    2 |   1.33:
      |   ^^^^
      |
      = help: write "1.33": YAML reads 1.10 as the number 1.1

    error: unknown key `newset` in a minor
     --> team.yml:5:5
      |
    5 |     newset: "1.34.0"
      |     ^^^^^^
      |
      = help: did you mean `newest`?

    error: no database `defualt`: write default or visibility
     --> team.yml:6:29
      |
    6 |     schema: { postgres12: { defualt: "1.20" } }
      |                             ^^^^^^^
      |
      = help: did you mean `default`?

    error: expected one of retracted, known_bad, banned, found `retractd`
     --> team.yml:7:26
      |
    7 | bad: { "1.34.1": { kind: retractd } }
      |                          ^^^^^^^^
      |
      = help: did you mean `retracted`?

    error: `times` is 1 or more
     --> team.yml:8:55
      |
    8 | steps: { postgres12: { visibility: { "1.15": { does: [{ table: t, kind: rewrit, times: 0 }] } } } }
      |                                                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: expected one of rewrite, copy, index, online, drop, found `rewrit`
     --> team.yml:8:73
      |
    8 | steps: { postgres12: { visibility: { "1.15": { does: [{ table: t, kind: rewrit, times: 0 }] } } } }
      |                                                                         ^^^^^^
      |
      = help: did you mean `rewrite`?

    6 errors
    "#);
}

#[test]
fn contradictions_are_refused() {
    insta::assert_snapshot!(with(
        r#"bad: { "1.32.3": { kind: retracted, why: "go.mod" } }
minors:
  "1.32": { newest: "1.32.3" }
  "1.33":
    newest: "1.34.0"
    schema:
      cassandra: { default: "1.13", visibility: "1.0" }
      mysql8: { default: "1.9", visibility: "1.14" }
      postgres12: { default: "1.19" }
      elasticsearch: { visibility: v14 }
      postgers: { default: "1.19" }
"#
    )
    .expect_err("contradictions"), @r#"
    error: 1.32.3 is retracted and cannot be the newest of 1.32
     --> team.yml:3:21
      |
    1 | bad: { "1.32.3": { kind: retracted, why: "go.mod" } }
      |        -------- retracted
    2 | minors:
    3 |   "1.32": { newest: "1.32.3" }
      |                     ^^^^^^^^
      |
      = help: name a good patch

    error: 1.33 names no schema for the visibility of postgres12
     --> team.yml:4:3
      |
    4 |   "1.33":
      |   ^^^^^^
      |
      = help: add `schema: { postgres12: { visibility: "…" } }` to the minor

    error: 1.34.0 is no release of 1.33
     --> team.yml:5:13
      |
    5 |     newest: "1.34.0"
      |             ^^^^^^^^

    error: 1.33 has no visibility in cassandra: 1.24 dropped it
     --> team.yml:7:49
      |
    7 |       cassandra: { default: "1.13", visibility: "1.0" }
      |                                                 ^^^^^

    error: the schema goes backwards: mysql8 default needs 1.19 at 1.32 and 1.9 at 1.33
       --> team.yml:8:26
        |
      8 |       mysql8: { default: "1.9", visibility: "1.14" }
        |                          ^^^^^
        |
       ::: releases.yml:318:26
        |
    318 |       mysql8: { default: "1.19", visibility: "1.14" }
        |                          ------ the earlier one
        |
        = help: 1.10 is newer than 1.9

    error: no store `postgers`
      --> team.yml:11:28
       |
    11 |       postgers: { default: "1.19" }
       |                            ^^^^^^
       |
       = help: did you mean `postgres`?

    6 errors
    "#);
}

#[test]
fn a_catalog_of_another_file_is_found_out() {
    for text in ["", "[]", "releases: {}", "minors: []"] {
        assert!(with(text).is_err(), "{text}");
    }
}

#[test]
fn the_shipped_text_is_read_the_same_by_a_strict_reader() {
    // Each version in quotes: a plain one is refused, so the shipped file cannot hold one.
    let plain = include_str!("../releases.yml").replacen("newest: \"1.32.2\"", "newest: 1.32", 1);
    let source: Arc<Source> = Source::new("releases.yml", plain);
    let wrong = Catalog::read(&[source])
        .expect_err("a plain version")
        .render(false, None);
    assert!(wrong.contains("a version stands in quotes"), "{wrong}");
}

/// The tables that PostgreSQL itself says it rewrites, version by version, against what the catalog says.
#[test]
fn postgresql_rewrites_what_the_catalog_says() {
    let Some(lab) = crate::database::lab::Lab::start() else {
        return;
    };
    let catalog = Catalog::shipped();
    // The fixtures are those of this release.
    let release = release("1.31.2");
    let schemas =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/temporal-schema/postgresql/v12");
    for (side, folder) in [(Side::Default, "temporal"), (Side::Visibility, "visibility")] {
        let database = format!("catalog_{folder}");
        lab.create(&database);
        let watch = "create table rewritten (name text); \
            create function note() returns event_trigger language plpgsql as \
            $$ begin insert into rewritten values (pg_event_trigger_table_rewrite_oid()::regclass::text); end $$; \
            create event trigger note on table_rewrite execute function note()";
        lab.sql(&database, watch);
        let mut versions: Vec<(Version, std::path::PathBuf)> =
            std::fs::read_dir(schemas.join(folder).join("versioned"))
                .expect("the fixtures")
                .map(|entry| entry.expect("an entry").path())
                .filter_map(|path| Some((Version::parse(path.file_name()?.to_str()?)?, path)))
                .collect();
        versions.sort();
        let mut seen = 0;
        let mut below = Version::zero();
        for (version, path) in versions {
            let manifest = std::fs::read(path.join("manifest.json")).expect("a manifest");
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
            for file in manifest["SchemaUpdateCqlFiles"].as_array().expect("files") {
                let file = path.join(file.as_str().expect("a name"));
                let mut psql = lab.client("psql");
                psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &database, "-f"])
                    .arg(&file);
                let output = psql.output().expect("psql");
                assert!(
                    output.status.success(),
                    "{}: {}",
                    file.display(),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            let rewritten = lab.sql(&database, "select name || ' ' || count(*) from rewritten group by name");
            lab.sql(&database, "truncate rewritten");
            let step = catalog.steps["postgres12"][&side].get(&version);
            let known = step.into_iter().flat_map(|step| step.does(release, &below));
            let known: Vec<String> = known
                .filter(|does| does.kind == Effect::Rewrite)
                .map(|does| format!("{} {}", does.table, does.times))
                .collect();
            assert_eq!(rewritten, known.join("\n"), "{folder} {version}");
            seen += known.len();
            below = version;
        }
        assert_eq!(seen, if side == Side::Default { 0 } else { 6 });
    }
}
