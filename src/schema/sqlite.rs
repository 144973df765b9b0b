//! SQLite databases: files on a host, reached through its `sqlite3`. Each version is one transaction of one job.

use std::collections::BTreeSet;

use super::layout::Layout;
use super::plan::{Pending, State};
use super::record::{Record, tables, text};
use super::{Plan, SchemaError};
use crate::database::{Database, Engine};
use crate::event::{Segment, SegmentState};
use crate::job::{Changing, Job, Output, Probe, Reading};

fn shell(value: &str) -> String {
    // A path with a NUL cannot come out of YAML.
    shlex::try_quote(value).map_or_else(|_| "''".into(), std::borrow::Cow::into_owned)
}

/// Prints one line a fact: a word and hexadecimal fields.
fn look(database: &Database) -> String {
    // `|schema_version|` in hexadecimal.
    let versioned = crate::id::hex(b"schema_version").to_uppercase();
    format!(
        r#"db={db}
command -v sqlite3 >/dev/null 2>&1 || {{ echo no-sqlite3; exit 0; }}
if [ ! -e "$db" ]; then
  if [ -d "$(dirname -- "$db")" ]; then echo absent; else echo no-folder; fi
  exit 0
fi
[ -r "$db" ] || {{ echo unreadable; exit 0; }}
ask() {{ sqlite3 -batch -bail -noheader -list -cmd '.timeout 10000' "$db" "$1"; }}
tables=$(ask "SELECT 'table ' || hex(name) FROM sqlite_master WHERE type='table'") || exit
printf '%s\n' "$tables"
case "
$tables
" in *"
table {versioned}
"*) ;; *) exit 0 ;; esac
ask "SELECT 'row ' || hex(db_name) || ' ' || hex(curr_version) FROM schema_version WHERE version_partition=0" || exit
ask "SELECT 'history ' || hex(new_version) || ' ' || hex(manifest_md5) FROM schema_update_history
  WHERE version_partition=0 ORDER BY update_time"
"#,
        db = shell(&database.path),
    )
}

pub(super) async fn read(database: &Database, host: &dyn Reading) -> Result<State, SchemaError> {
    let output = host.probe(&Probe::new(look(database))).await?;
    parse(database, &output)
}

fn parse(database: &Database, output: &Output) -> Result<State, SchemaError> {
    let unfit = |what: String| SchemaError::Unfit {
        label: database.label.clone(),
        what,
    };
    if output.rc != 0 {
        let words = output.stderr.trim();
        return Err(unfit(format!("{}: sqlite3 says: {words}", database.path)));
    }
    let absent = |what: String| SchemaError::Absent {
        label: database.label.clone(),
        what,
    };
    let mut state = State::default();
    let strange = |line: &str| unfit(format!("sqlite3 answered `{line}`"));
    for line in output.stdout.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.split(' ');
        let word = fields.next().unwrap_or_default();
        let mut field = || fields.next().and_then(unhex).ok_or_else(|| strange(line));
        match word {
            "no-sqlite3" => return Err(absent("the host has no sqlite3, which a SQLite schema needs".into())),
            "absent" => {}
            "no-folder" => return Err(absent(format!("the folder of {} is not there", database.path))),
            "unreadable" => return Err(unfit(format!("{} cannot be read by this account", database.path))),
            "table" => match field()?.as_str() {
                "schema_version" => state.versioned = true,
                "schema_update_history" => {}
                name if name.starts_with("sqlite_") => {}
                // As the statements spell it.
                name => {
                    state.tables.insert(name.to_lowercase());
                    state.tables.insert(name.to_owned());
                }
            },
            "row" => state.rows.push((field()?, field()?)),
            "history" => state.history.push((field()?, field()?)),
            _ => return Err(strange(line)),
        }
    }
    Ok(state)
}

fn unhex(digits: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

/// One transaction; it begins only where the version is what the plan says.
fn script(database: &Database, sql: &str, db_name: &str, expected: Option<&str>) -> String {
    let mut end = String::from("REFIT_SQL");
    while sql.contains(&end) {
        end.push('_');
    }
    let guard = match expected {
        None => String::new(),
        Some(version) => format!(
            "CREATE TEMP TABLE refit_expects(ok INT CONSTRAINT \"the version is not {version} any more\" CHECK(ok));
INSERT INTO refit_expects SELECT coalesce((SELECT curr_version FROM schema_version WHERE version_partition=0 AND db_name={name}), '')={version_text};
",
            name = text(db_name, Engine::Sqlite),
            version_text = text(version, Engine::Sqlite),
        ),
    };
    format!(
        "exec sqlite3 -batch -bail {db} <<'{end}'
.timeout 60000
BEGIN IMMEDIATE;
{guard}{sql}COMMIT;
{end}
",
        db = shell(&database.path),
    )
}

pub(super) async fn apply(
    database: &Database,
    layout: &Layout,
    to: Option<&str>,
    host: &dyn Changing,
    journal: &mut Vec<Segment>,
) -> Result<(), SchemaError> {
    let state = read(database, host.reading()).await?;
    let plan = Plan::compute(database, layout, &state, to)?;
    if plan.setup {
        let sql = tables(Engine::Sqlite) + &Record::initial(&plan.db_name).sql(Engine::Sqlite);
        let segment = Segment {
            name: "0.0/1".into(),
            digest: String::new(),
            state: SegmentState::Intent,
            text: "makes the version tables".into(),
        };
        step(database, &plan, host, journal, segment, &sql, None).await?;
    }
    for pending in &plan.pending {
        let segment = Segment {
            name: format!("{}/1", pending.version),
            digest: pending.parts.iter().map(|part| part.digest()).collect(),
            state: SegmentState::Intent,
            text: pending.description.clone(),
        };
        let sql = body(&plan, pending);
        step(
            database,
            &plan,
            host,
            journal,
            segment,
            &sql,
            Some(pending.before.as_str()),
        )
        .await?;
    }
    Ok(())
}

fn body(plan: &Plan, pending: &Pending) -> String {
    let statements = pending.parts.iter().flat_map(|part| &part.statements);
    let mut sql: String = statements.map(|statement| format!("{};\n", statement.text)).collect();
    sql += &pending.record(&plan.db_name).sql(Engine::Sqlite);
    sql
}

async fn step(
    database: &Database,
    plan: &Plan,
    host: &dyn Changing,
    journal: &mut Vec<Segment>,
    segment: Segment,
    sql: &str,
    expected: Option<&str>,
) -> Result<(), SchemaError> {
    let version = segment.name.split('/').next().unwrap_or_default().to_owned();
    host.progress(&format!("{}: {version}", database.label));
    host.record(segment.clone()).await?;
    journal.push(segment.clone());
    let job = Job::new(script(database, sql, &plan.db_name, expected));
    let suffix = format!("v{}", version.replace('.', "-"));
    let ran = host.job(&suffix, &job).await;
    let failed = |what: String| SchemaError::Failed {
        label: database.label.clone(),
        what,
    };
    let words = match ran {
        Ok(output) if output.rc == 0 => None,
        Ok(output) => Some(format!("version {version} was rolled back: {}", output.stderr.trim())),
        Err(failure) if failure.unknown => Some(format!(
            "the job of version {version} was interrupted and its transaction rolled back"
        )),
        Err(failure) => return Err(failure.into()),
    };
    // A job that was interrupted may have committed before.
    let reached: BTreeSet<String> = match read(database, host.reading()).await {
        Ok(state) => state.rows.into_iter().map(|(_, version)| version).collect(),
        Err(e) => return Err(e),
    };
    match words {
        Some(words) if !reached.contains(&version) => return Err(failed(words)),
        None if !reached.contains(&version) => {
            return Err(failed(format!(
                "sqlite3 reported success, and the version is not {version}"
            )));
        }
        _ => {}
    }
    let done = Segment {
        state: SegmentState::Done,
        ..segment
    };
    host.record(done.clone()).await?;
    journal.push(done);
    Ok(())
}
