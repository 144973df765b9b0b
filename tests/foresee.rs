//! What the plan decides by looking at databases and hosts, and what later hops count on.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fleet::Fleet;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/ledger/sqlite/versioned");
const POSTGRES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/postgres.sh");

/// A PostgreSQL of one test; it goes with the value.
struct Postgres {
    dir: tempfile::TempDir,
    port: String,
    bin: String,
}

impl Postgres {
    /// None: there is none here, which CI must not accept.
    fn up() -> Option<Postgres> {
        let dir = tempfile::Builder::new().prefix("refit-pg-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let output = Command::new("bash")
            .args([POSTGRES, "start"])
            .arg(dir.path())
            .arg(&port)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if output.status.code() == Some(77) {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(std::env::var_os("CI").is_none(), "this is CI, and {why}");
            eprintln!("skipped: {}", why.trim());
            return None;
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let bin = text.lines().find_map(|line| line.strip_prefix("BIN=")).unwrap();
        let postgres = Postgres {
            port,
            bin: bin.to_owned(),
            dir,
        };
        postgres.sql("postgres", "CREATE DATABASE app");
        Some(postgres)
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(format!("{}/psql", self.bin))
            .args([
                "-qAtXw",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-p",
                &self.port,
                "-h",
            ])
            .arg(self.dir.path())
            .args(["-d", database, "-c", sql])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn stop(&self) {
        let _ = Command::new("bash")
            .args([POSTGRES, "stop"])
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .output();
    }

    fn entry(&self) -> String {
        format!(
            "{{ engine: postgres, host: {}, port: {}, name: app, user: temporal, password: {{ env: APP_PASSWORD }}, tls: {{ verify: none }} }}",
            self.dir.path().display(),
            self.port
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

const SQLITE: &str = r#"{ engine: sqlite, path: "{{ host_root }}/app.db" }"#;

/// One schema step for each of these versions, each in an instance of one group.
fn hops(database: &str, versions: &[&str]) -> String {
    let items: Vec<String> = versions
        .iter()
        .map(|version| format!("{{ to: \"{version}\" }}"))
        .collect();
    format!(
        r#"
hosts: fleet
databases:
  main: {database}
vars:
  hops: [{}]
stages:
  - name: "Hop to {{{{ hop.to }}}}"
    for_each: "{{{{ hops }}}}"
    as: hop
    stages:
      - name: Schema
        run_once: true
        steps:
          - id: schema
            schema: {{ database: main, dir: ledger, to: "{{{{ hop.to }}}}" }}
"#,
        items.join(", ")
    )
}

struct Lab {
    fleet: Fleet,
}

impl Lab {
    fn refit(&self, args: &[&str]) -> crate::fleet::Ended {
        let inventory = self.fleet.inventory();
        let mut all = args.to_vec();
        all.extend(["-i", &inventory]);
        let mut command = self.fleet.command(&all);
        command.env("APP_PASSWORD", "secret");
        crate::fleet::finish(self.fleet.start_with(&mut command), std::time::Instant::now())
    }

    /// `refit plan --output json`, a value a line.
    fn plan(&self, playbook: &str) -> Vec<Value> {
        let ended = self.refit(&["plan", playbook, "--output", "json"]);
        ended.exits(0);
        ended
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn digest(plan: &[Value]) -> String {
    plan.last().unwrap()["plan"].as_str().unwrap().to_owned()
}

/// The decisions of a plan, in its order.
fn decisions(plan: &[Value]) -> Vec<Value> {
    let units = plan
        .iter()
        .flat_map(|line| line["units"].as_array().cloned().unwrap_or_default());
    units
        .map(|unit| unit["decision"].clone())
        .filter(|decision| !decision.is_null())
        .collect()
}

fn from_to(decisions: &[Value]) -> Vec<String> {
    decisions
        .iter()
        .map(|decision| {
            format!(
                "{} {}",
                decision["from"].as_str().unwrap_or("nothing"),
                decision["to"].as_str().unwrap()
            )
        })
        .collect()
}

/// A plan without digests and decisions: what must not change when a database does.
fn rest(plan: &[Value]) -> Vec<Value> {
    let mut plan = plan.to_vec();
    for line in &mut plan {
        line.as_object_mut().unwrap().remove("plan");
        for unit in line["units"].as_array_mut().into_iter().flatten() {
            unit.as_object_mut().unwrap().remove("decision");
        }
    }
    plan
}

/// The digest that the last run began with.
fn digest_of_run(fleet: &Fleet) -> String {
    let output = Command::new("sqlite3")
        .arg(fleet.path("journal.db"))
        .arg("SELECT json_extract(body, '$.plan') FROM event WHERE json_extract(body, '$.event') = 'run_began' ORDER BY at DESC LIMIT 1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What a database says of pending versions is a decision of the plan, and of its digest; a row is none.
fn the_digest_holds_what_is_pending(lab: &Lab, database: &str, version: impl Fn() -> String, insert: impl Fn()) {
    let first = lab.fleet.write("first.yml", &hops(database, &["1.0"]));
    lab.refit(&["run", &first]).exits(0);
    assert_eq!(version(), "1.0");
    let playbook = lab.fleet.write("update.yml", &hops(database, &["1.2"]));
    let before = lab.plan(&playbook);
    let found = decisions(&before);
    assert_eq!(found.len(), 1, "{before:?}");
    assert_eq!(found[0]["about"], "database main");
    assert_eq!(found[0]["from"], "1.0");
    assert_eq!(found[0]["to"], "1.2");
    assert_eq!(found[0]["versions"], serde_json::json!(["1.1", "1.2"]));
    assert_eq!(found[0]["statements"], 2);
    let cautions = found[0]["cautions"].to_string();
    assert!(cautions.contains("CREATE INDEX entries_by_author"), "{cautions}");
    lab.refit(&["plan", &playbook])
        .exits(0)
        .says("database main: 1.0 to 1.2 (1.1, 1.2; 2 statements)")
        .says("! 1.2/1  CREATE INDEX entries_by_author");
    insert();
    assert_eq!(digest(&lab.plan(&playbook)), digest(&before));
    lab.refit(&["run", &playbook]).exits(0);
    assert_eq!(digest_of_run(&lab.fleet), digest(&before));
    assert_eq!(version(), "1.2");
    let after = lab.plan(&playbook);
    assert_eq!(rest(&after), rest(&before));
    assert_ne!(digest(&after), digest(&before));
    assert_eq!(decisions(&after)[0]["changes"], false);
    lab.refit(&["plan", &playbook])
        .exits(0)
        .says("database main: at 1.2, nothing to do");
}

/// The second hop goes from where the first will be, and a run finds it so.
fn the_second_hop_counts_on_the_first(lab: &Lab, database: &str, version: impl Fn() -> String) {
    let first = lab.fleet.write("first.yml", &hops(database, &["1.0"]));
    lab.refit(&["run", &first]).exits(0);
    let playbook = lab.fleet.write("hops.yml", &hops(database, &["1.1", "1.2"]));
    let plan = lab.plan(&playbook);
    assert_eq!(from_to(&decisions(&plan)), ["1.0 1.1", "1.1 1.2"]);
    let units: Vec<String> = plan
        .iter()
        .flat_map(|line| line["units"].as_array().cloned().unwrap_or_default())
        .map(|unit| unit["unit"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(units, ["hop-to[0]/schema/schema@h1", "hop-to[1]/schema/schema@h1"]);
    lab.refit(&["run", &playbook, "--check"])
        .exits(0)
        .says("1.0 to 1.1")
        .says("1.1 to 1.2")
        .says_not("1.0 to 1.2");
    assert_eq!(version(), "1.0");
    lab.refit(&["run", &playbook]).exits(0).says_not("foresaw");
    assert_eq!(version(), "1.2");
}

/// A version that an earlier hop goes past is refused before that hop begins.
fn a_way_down_is_refused_before_the_way_up(lab: &Lab, database: &str, version: impl Fn() -> String) {
    let first = lab.fleet.write("first.yml", &hops(database, &["1.0"]));
    lab.refit(&["run", &first]).exits(0);
    let playbook = lab.fleet.write("down.yml", &hops(database, &["1.2", "1.1"]));
    let mark = lab.fleet.mark();
    for args in [["plan", &playbook], ["run", &playbook]] {
        lab.refit(&args)
            .exits(1)
            .says("its schema is at 1.2, newer than 1.1")
            .says("down.yml:");
    }
    assert_eq!(version(), "1.0");
    assert!(
        lab.fleet.newer_than(&mark).is_empty(),
        "{:?}",
        lab.fleet.newer_than(&mark)
    );
}

fn sqlite(fleet: &Fleet, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .arg(fleet.root("h1").join("app.db"))
        .arg(sql)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const VERSION: &str = "SELECT curr_version FROM schema_version";

/// The example's schema beside the playbooks; its SQL is PostgreSQL's too, its own folder is named for SQLite.
fn schema(fleet: &Fleet) {
    let copied = Command::new("cp")
        .args(["-r", SCHEMA])
        .arg(fleet.path("play/ledger"))
        .status();
    assert!(copied.unwrap().success());
}

fn on_sqlite(test: impl Fn(&Lab, &dyn Fn() -> String)) {
    let Some(fleet) = Fleet::up(1) else { return };
    schema(&fleet);
    let lab = Lab { fleet };
    test(&lab, &|| sqlite(&lab.fleet, VERSION));
}

fn on_postgres(test: impl Fn(&Lab, &Postgres, &dyn Fn() -> String)) {
    let Some(fleet) = Fleet::up(1) else { return };
    schema(&fleet);
    let Some(postgres) = Postgres::up() else { return };
    test(&Lab { fleet }, &postgres, &|| postgres.sql("app", VERSION));
}

#[test]
fn sqlite_on_a_host_is_asked() {
    on_sqlite(|lab, version| {
        the_digest_holds_what_is_pending(lab, SQLITE, version, || {
            sqlite(&lab.fleet, "INSERT INTO entries(text) VALUES ('a row')");
        });
    });
}

#[test]
fn postgres_is_asked() {
    on_postgres(|lab, postgres, version| {
        the_digest_holds_what_is_pending(lab, &postgres.entry(), version, || {
            postgres.sql(
                "app",
                "INSERT INTO entries SELECT n, 'row ' || n FROM generate_series(1, 5000) n; ANALYZE entries",
            );
        });
    });
}

#[test]
fn hops_on_sqlite_count_on_one_another() {
    on_sqlite(|lab, version| the_second_hop_counts_on_the_first(lab, SQLITE, version));
}

#[test]
fn hops_on_postgres_count_on_one_another() {
    on_postgres(|lab, postgres, version| the_second_hop_counts_on_the_first(lab, &postgres.entry(), version));
}

#[test]
fn a_way_down_is_refused_on_sqlite() {
    on_sqlite(|lab, version| a_way_down_is_refused_before_the_way_up(lab, SQLITE, version));
}

#[test]
fn a_way_down_is_refused_on_postgres() {
    on_postgres(|lab, postgres, version| a_way_down_is_refused_before_the_way_up(lab, &postgres.entry(), version));
}

/// A database that does not answer is named with its own words before anything is touched.
#[test]
fn a_database_that_is_away_refuses_the_plan() {
    on_postgres(|lab, postgres, _| {
        let away = lab.fleet.write(
            "away.yml",
            &hops(&postgres.entry(), &["1.0"]).replace(
                "stages:\n  - name: \"Hop",
                "stages:\n  - name: Before\n    steps:\n      - shell: echo a >> {{ host_root }}/effects\n  - name: \"Hop",
            ),
        );
        lab.refit(&["plan", &away]).exits(0).says("database main: 0.0 to 1.0");
        postgres.stop();
        let mark = lab.fleet.mark();
        for args in [
            vec!["plan", &away],
            vec!["preflight", &away],
            vec!["run", &away],
            vec!["run", &away, "--check"],
        ] {
            lab.refit(&args)
                .exits(1)
                .says("database main")
                .says(&postgres.dir.path().display().to_string())
                .says("No such file or directory")
                .says("away.yml:");
        }
        assert!(
            lab.fleet.newer_than(&mark).is_empty(),
            "{:?}",
            lab.fleet.newer_than(&mark)
        );
        // What it is to be brought to is not known yet, so nothing of it is asked.
        let later = lab.fleet.write(
            "later.yml",
            &hops(&postgres.entry(), &["1.0"])
                .replace(
                    "        steps:\n",
                    "        steps:\n          - { id: find, shell: echo 1.0, register: found }\n",
                )
                .replace("{{ hop.to }}\" }\n", "{{ found.stdout }}\" }\n"),
        );
        lab.refit(&["plan", &later])
            .exits(0)
            .says("schema: decided when found is known");
    });
}

/// A database that an earlier step makes is no reason to refuse; one that nothing makes is.
#[test]
fn a_database_that_is_made_first() {
    on_postgres(|lab, postgres, _| {
        let entry = postgres.entry().replace("name: app", "name: later");
        let plain = hops(&entry, &["1.0"]);
        let playbook = lab.fleet.write("plain.yml", &plain);
        lab.refit(&["plan", &playbook])
            .exits(1)
            .says("no database of the name `later`");
        let make = format!(
            "stages:\n  - name: Make\n    steps:\n      - shell: \"{}/psql -qXw -h {} -p {} -U postgres -c 'CREATE DATABASE later'\"\n",
            postgres.bin,
            postgres.dir.path().display(),
            postgres.port
        );
        let playbook = lab.fleet.write(
            "made.yml",
            &plain.replace("stages:\n  - name: \"Hop", &format!("{make}  - name: \"Hop")),
        );
        lab.refit(&["plan", &playbook])
            .exits(0)
            .says("decided when it runs: database main");
        lab.refit(&["run", &playbook]).exits(0);
        assert_eq!(postgres.sql("later", VERSION), "1.0");
    });
}

/// What was there when the plan was made and is not there any more is said; the step goes by what is there.
#[test]
fn what_is_otherwise_than_foreseen_is_said() {
    on_sqlite(|lab, version| {
        let first = lab.fleet.write("first.yml", &hops(SQLITE, &["1.0"]));
        lab.refit(&["run", &first]).exits(0);
        let aside = hops(SQLITE, &["1.2"]).replace(
            "      - name: Schema\n",
            "      - name: Aside\n        steps:\n          - shell: sqlite3 {{ host_root }}/app.db <{{ host_root }}/by-hand.sql\n      - name: Schema\n",
        );
        let mut by_hand = std::fs::read_to_string(format!("{SCHEMA}/v1.1/author.sql")).unwrap();
        by_hand += "UPDATE schema_version SET curr_version = '1.1';";
        std::fs::write(lab.fleet.root("h1").join("by-hand.sql"), by_hand).unwrap();
        let playbook = lab.fleet.write("aside.yml", &aside);
        lab.refit(&["run", &playbook])
            .exits(0)
            .says("the plan foresaw database main at 1.0 before this step, and it was at 1.1");
        assert_eq!(version(), "1.2");
    });
}

const SWAPS: &str = r#"
hosts: fleet
vars:
  hops: [{ to: "1.1" }, { to: "1.2" }]
stages:
  - name: Send
    for_each: "{{ hops }}"
    as: hop
    steps:
      - swap: { name: app, version: "{{ hop.to }}", state: staged, files: [{ dest: "{{ host_root }}/app", content: "{{ hop.to }}\n" }] }
  - name: Hop
    for_each: "{{ hops }}"
    as: hop
    steps:
      - id: swap
        swap: { name: app, version: "{{ hop.to }}" }
      - id: note
        copy: { dest: "{{ host_root }}/note", content: "{{ hop.to }}\n" }
      - id: again
        swap: { name: app, version: "{{ hop.to }}" }
"#;

/// A release, and a file, that an earlier hop leaves is what the next one goes from.
#[test]
fn releases_and_files_are_foreseen() {
    let Some(fleet) = Fleet::up(2) else { return };
    let lab = Lab { fleet };
    for host in ["h1", "h2"] {
        std::fs::write(lab.fleet.root(host).join("app"), "old\n").unwrap();
        // What the second hop brings is there already, and the first takes it away.
        std::fs::write(lab.fleet.root(host).join("note"), "1.2\n").unwrap();
    }
    let playbook = lab.fleet.write("swaps.yml", SWAPS);
    let plan = lab.plan(&playbook);
    let active: Vec<Value> = decisions(&plan)
        .into_iter()
        .filter(|decision| decision["about"] == "release app")
        .collect();
    let changes: Vec<bool> = active.iter().map(|d| d["changes"].as_bool().unwrap()).collect();
    let expected = [
        "nothing 1.1",
        "1.1 1.1",
        "nothing 1.1",
        "1.1 1.1",
        "1.1 1.2",
        "1.2 1.2",
        "1.1 1.2",
        "1.2 1.2",
    ];
    assert_eq!(from_to(&active), expected);
    assert_eq!(changes, [true, false, true, false, true, false, true, false]);
    let checked = lab.refit(&["run", &playbook, "--check", "--output", "json"]);
    checked.exits(0).says_not("not staged");
    let outcome = |out: &str, unit: &str| -> (String, String, String) {
        let ended = out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|line| line["event"] == "unit_ended" && line["unit"] == unit)
            .unwrap_or_else(|| panic!("no {unit}"));
        let text = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
        (
            text(&ended["outcome"]),
            text(&ended["result"]["from"]),
            text(&ended["result"]["to"]),
        )
    };
    let triple = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let ran = lab.refit(&["run", &playbook, "--output", "json"]);
    ran.exits(0).says_not("foresaw");
    for out in [&checked.out, &ran.out] {
        assert_eq!(outcome(out, "hop[1]/swap@h1"), triple("changed", "1.1", "1.2"));
        assert_eq!(outcome(out, "hop[1]/again@h1"), triple("ok", "1.2", "1.2"));
        assert_eq!(outcome(out, "hop[0]/note@h2").0, "changed");
        assert_eq!(outcome(out, "hop[1]/note@h2").0, "changed");
    }
    assert_eq!(lab.fleet.read("h1", "app"), "1.2\n");
    // The same once more: what is there is what the last hop left, and the first goes back before it.
    let again = lab.refit(&["run", &playbook, "--check", "--output", "json"]);
    assert_eq!(outcome(&again.out, "hop[0]/swap@h1"), triple("changed", "1.2", "1.1"));
    assert_eq!(outcome(&again.out, "hop[1]/swap@h1"), triple("changed", "1.1", "1.2"));
    assert_eq!(outcome(&again.out, "hop[1]/note@h1").0, "changed");
}
