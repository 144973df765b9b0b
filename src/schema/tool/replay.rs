//! What becomes of a version that the tool began and did not finish when the tool runs again: it repeats the whole
//! version and passes over errors that contain `already exist` or `not found`.

use super::log::{Log, Open};
use super::{Plugin, Version};
use crate::database::Database;

/// What a repeated statement does that had taken effect before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It works, or its error is passed over.
    Passes,
    /// Its error stops the tool, each time.
    Stops,
    /// It passes, and leaves an index that PostgreSQL does not use.
    Invalid,
}

pub(super) fn again(plugin: Plugin, statement: &str) -> Again {
    let upper = statement.to_ascii_uppercase();
    let words: Vec<&str> = upper.split_whitespace().collect();
    let has = |wanted: &[&str]| words.windows(wanted.len()).any(|window| window == wanted);
    let careful = has(&["IF", "EXISTS"]) || has(&["IF", "NOT", "EXISTS"]) || has(&["ON", "CONFLICT"]);
    let first = words.first().copied().unwrap_or_default();
    let stops = match (plugin, first) {
        (Plugin::Postgres, "CREATE") if has(&["CONCURRENTLY"]) => return Again::Invalid,
        (_, "CREATE") if has(&["TABLE"]) || plugin != Plugin::Mysql => false,
        (Plugin::Mysql, "ALTER") => ["ADD", "DROP", "RENAME", "CHANGE"].iter().any(|word| has(&[word])),
        (Plugin::Postgres, "ALTER") => {
            let kept = has(&["DROP", "DEFAULT"]) || has(&["DROP", "NOT", "NULL"]);
            (has(&["DROP"]) && !kept) || has(&["RENAME"])
        }
        // A column: 4.0 and later say `already exists` and `was not found`; 3.11 says `conflicts with an existing column`.
        (Plugin::Cassandra, "ALTER") => false,
        (Plugin::Cassandra, "INSERT") => false,
        (_, "INSERT" | "DROP" | "CREATE") => true,
        _ => false,
    };
    match stops && !careful {
        true => Again::Stops,
        false => Again::Passes,
    }
}

/// Does an error mean that the statement had taken effect in an earlier run?
pub(super) fn repeated(error: &str) -> bool {
    [
        "does not exist",
        "doesn't exist",
        "non existing",
        "duplicate key value",
        "Duplicate entry",
        "Duplicate column name",
        "Duplicate key name",
        "Can't DROP",
        "Unknown table",
        "conflicts with an existing column",
    ]
    .iter()
    .any(|words| error.contains(words))
}

/// What the tool left and what to do about it, from its log and the version that the database says.
pub(super) fn explain(database: &Database, plugin: Plugin, log: &Log, now: &Version) -> String {
    let mut text = format!("schema_version says {now}");
    let Some(open) = log.open.as_ref().filter(|open| open.version != now.as_str()) else {
        if let Some(error) = &log.error {
            text += &format!("; the tool says: {error}");
        }
        if log.steps.is_empty() {
            text += "; it began no version, so nothing was changed";
        }
        return text;
    };
    let version = &open.version;
    let (done, last) = split(open);
    text += &format!("; in version {version} {}", statements(done.len()));
    if let Some(first) = done.first() {
        let more = match done.len() {
            1 => String::new(),
            n => format!(" … `{}`", done[n - 1]),
        };
        text += &format!(" (`{first}`{more})");
    }
    text += " done";
    match (last, &log.error) {
        (Some(last), Some(error)) => {
            text += &format!(", then `{last}` failed: {error}");
            if repeated(error) {
                text += &format!(
                    "; an earlier run died in the middle of version {version} after this statement had taken effect, and the \
                     tool cannot repeat it: running it again gives the same"
                );
                return text + &by_hand(database, plugin, version);
            }
        }
        (Some(last), None) => text += &format!(", and `{last}` may be done or not"),
        (None, Some(error)) => text += &format!(", all that it has; the tool says: {error}"),
        (None, None) => text += ", all that it has; only the record of the version is missing",
    }
    let sure = done.iter().find(|s| again(plugin, s) == Again::Stops);
    let maybe = last.filter(|s| log.error.is_none() && again(plugin, s) == Again::Stops);
    let index = done
        .iter()
        .copied()
        .chain(last)
        .find(|s| again(plugin, s) == Again::Invalid);
    match (sure, maybe) {
        (Some(statement), _) => {
            text += &format!("; the tool cannot go on from here: run again, it repeats `{statement}` and stops there");
            text += &by_hand(database, plugin, version);
        }
        (None, Some(statement)) => {
            text += &format!(
                "; look whether `{statement}` took effect: if it did not, run this step again; if it did, the tool stops at it"
            );
            text += &by_hand(database, plugin, version);
        }
        (None, None) => text += "; run this step again: the tool repeats the version and passes over what is there",
    }
    if let Some(statement) = index {
        text += &format!("; `{statement}` may have left an invalid index: drop it first (pg_index.indisvalid)");
    }
    text
}

/// Statements that are through, and the one that may be.
fn split(open: &Open) -> (Vec<&str>, Option<&str>) {
    let mut done: Vec<&str> = open.statements.iter().map(String::as_str).collect();
    let last = match open.through {
        true => None,
        false => done.pop(),
    };
    (done, last)
}

fn statements(n: usize) -> String {
    match n {
        0 => "no statement is".into(),
        1 => "1 statement is".into(),
        n => format!("{n} statements are"),
    }
}

fn by_hand(database: &Database, plugin: Plugin, version: &str) -> String {
    let quoted = |text: &str| text.replace('\'', "''");
    let name = quoted(&database.name);
    let update = match plugin {
        Plugin::Cassandra => format!(
            "UPDATE {}.schema_version SET curr_version='{version}' WHERE keyspace_name='{name}'",
            database.name
        ),
        _ => {
            format!("UPDATE schema_version SET curr_version='{version}' WHERE version_partition=0 AND db_name='{name}'")
        }
    };
    format!(
        "; ways out: put the backup back and run this step again, or carry out by hand what is missing of version {version} \
         (the files that its manifest names), then `{update}`, and run this step again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_repeated_statement_does() {
        let table: &[(&str, [Again; 3])] = &[
            // PostgreSQL, MySQL, Cassandra; measured, see the tests of the tool on databases
            ("CREATE TABLE a (i int)", [Again::Passes; 3]),
            (
                "CREATE INDEX by_x ON a (x)",
                [Again::Passes, Again::Stops, Again::Passes],
            ),
            (
                "ALTER TABLE a ADD COLUMN x int",
                [Again::Passes, Again::Stops, Again::Passes],
            ),
            ("ALTER TABLE a ADD x int", [Again::Passes, Again::Stops, Again::Passes]),
            (
                "ALTER TABLE a DROP COLUMN x",
                [Again::Stops, Again::Stops, Again::Passes],
            ),
            (
                "ALTER TABLE a ALTER COLUMN x DROP DEFAULT",
                [Again::Passes, Again::Stops, Again::Passes],
            ),
            ("ALTER TABLE a MODIFY COLUMN x bigint", [Again::Passes; 3]),
            ("DROP TABLE a;", [Again::Stops; 3]),
            ("DROP INDEX by_x", [Again::Stops; 3]),
            ("DROP INDEX IF EXISTS by_x", [Again::Passes; 3]),
            ("INSERT INTO a VALUES (1)", [Again::Stops, Again::Stops, Again::Passes]),
            (
                "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING",
                [Again::Passes, Again::Passes, Again::Passes],
            ),
            ("DO $$ BEGIN END $$", [Again::Passes; 3]),
        ];
        for (statement, expected) in table {
            let found = [Plugin::Postgres, Plugin::Mysql, Plugin::Cassandra].map(|plugin| again(plugin, statement));
            assert_eq!(found, *expected, "{statement}");
        }
        let concurrently = "CREATE INDEX CONCURRENTLY IF NOT EXISTS by_x ON a (x)";
        assert_eq!(again(Plugin::Postgres, concurrently), Again::Invalid);
    }
}
