//! What is pending, and what it will do. Pure: from a directory and what a database says of itself.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::{Layout, Step};
use super::statement::{Place, Statement};
use super::{SchemaError, Version};
use crate::database::Database;
use crate::job::Decision;

/// What a database says of its schema.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The version tables are there.
    pub(super) versioned: bool,
    /// `db_name` and `curr_version` of `schema_version`.
    pub(super) rows: Vec<(String, String)>,
    /// `new_version` and `manifest_md5`, oldest first.
    pub(super) history: Vec<(String, String)>,
    /// Every table that the account sees, the version tables left out.
    pub(super) tables: BTreeSet<String>,
    /// `creation_time` of our row, to the microsecond.
    pub(super) mark: Option<String>,
}

impl State {
    /// The `db_name` of our row. A SQLite database that has no name of its own takes the only row that is there.
    pub(super) fn db_name(&self, database: &Database) -> String {
        if !database.name.is_empty() {
            return database.name.clone();
        }
        match &self.rows[..] {
            [(only, _)] => only.clone(),
            _ => std::path::Path::new(&database.path)
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
        }
    }

    /// The same when these versions are applied.
    fn after(&self, db_name: &str, to: &Version, pending: &[Pending]) -> State {
        let mut after = State {
            versioned: true,
            mark: None,
            ..self.clone()
        };
        match after.rows.iter_mut().find(|(name, _)| name == db_name) {
            Some((_, version)) => *version = to.to_string(),
            None => after.rows.push((db_name.to_owned(), to.to_string())),
        }
        for version in pending {
            after.history.push((version.version.to_string(), version.md5.clone()));
            for statement in version.parts.iter().flat_map(|part| &part.statements) {
                after.tables.extend(statement.creates.clone());
                for table in &statement.drops {
                    after.tables.remove(table);
                }
            }
        }
        after
    }

    /// The version of a database; None where the version tables have to be set up first.
    pub(super) fn current(&self, database: &Database) -> Result<Option<Version>, SchemaError> {
        let unfit = |what: String| SchemaError::Unfit {
            label: database.label.clone(),
            what,
        };
        if !self.versioned {
            if let Some(table) = self.tables.first() {
                return Err(unfit(format!(
                    "it has tables ({table} …) but no schema_version, so its version is not known; set it up with \
                     `temporal-sql-tool setup-schema -v VERSION`, or name an empty database"
                )));
            }
            return Ok(None);
        }
        let name = self.db_name(database);
        match self.rows.iter().find(|(row, _)| *row == name) {
            Some((_, version)) => match Version::parse(version) {
                Some(version) => Ok(Some(version)),
                None => Err(unfit(format!("schema_version holds `{version}`, which is no version"))),
            },
            None if self.rows.is_empty() => Ok(None),
            None => {
                let names: Vec<&str> = self.rows.iter().map(|(name, _)| name.as_str()).collect();
                Err(unfit(format!(
                    "schema_version has a row for `{}` and none for `{name}`: the database was renamed or restored \
                     under another name; set db_name of that row to `{name}`, which the server needs as well",
                    names.join("`, `")
                )))
            }
        }
    }
}

/// A part of a version that takes effect as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// `1.13/2`.
    pub(crate) name: String,
    pub(crate) statements: Vec<Statement>,
    /// The version is recorded in it.
    pub(crate) records: bool,
    pub(super) place: Place,
}

impl Part {
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for statement in &self.statements {
            hash.update(statement.text.as_bytes());
            hash.update([0]);
        }
        crate::id::hex(&hash.finalize()[..16])
    }

    /// For a person: the first statement, and how many more.
    pub(super) fn text(&self) -> String {
        let Some(first) = self.statements.first() else {
            return "the version's record".into();
        };
        let line = one_line(&first.text, 90);
        match self.statements.len() {
            1 => line,
            n => format!("{line} (and {} more)", n - 1),
        }
    }
}

/// A pending version.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) version: Version,
    pub(crate) before: Version,
    pub(crate) description: String,
    pub(super) min_compatible: String,
    pub(super) md5: String,
    pub(crate) parts: Vec<Part>,
}

/// From where a schema goes to where, and by what.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) label: String,
    pub(crate) place: String,
    pub(crate) from: Version,
    pub(crate) to: Version,
    /// The version tables are made first, as Temporal's `setup-schema -v 0.0` makes them.
    pub(crate) setup: bool,
    pub(super) db_name: String,
    pub(crate) pending: Vec<Pending>,
    /// What a person should know before: sizes, files that changed since, versions that change nothing.
    pub(crate) notes: Vec<String>,
    /// What the database will say of itself then.
    pub(super) leaves: State,
}

/// What `refit schema status` shows.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) label: String,
    pub(crate) place: String,
    /// `PostgreSQL 15.18`.
    pub(crate) server: String,
    /// None: no version tables yet.
    pub(crate) version: Option<Version>,
    /// Versions and their manifests' md5, oldest first.
    pub(crate) history: Vec<(String, String)>,
}

impl Plan {
    /// Compares. `to` None means the newest version of the directory.
    pub(super) fn compute(
        database: &Database,
        layout: &Layout,
        state: &State,
        to: Option<&str>,
    ) -> Result<Plan, SchemaError> {
        let unfit = |what: String| SchemaError::Unfit {
            label: database.label.clone(),
            what,
        };
        let dir = layout.dir.display();
        let to = match to {
            None => layout.newest().clone(),
            Some(text) => {
                let wanted = Version::parse(text).ok_or_else(|| unfit(format!("`{text}` is no version (1.10)")))?;
                match layout.find(&wanted) {
                    Some(step) => step.version.clone(),
                    None => {
                        return Err(unfit(format!(
                            "{dir} has no version {text}; its newest is {}",
                            layout.newest()
                        )));
                    }
                }
            }
        };
        let current = state.current(database)?;
        let from = current.clone().unwrap_or(Version::zero());
        if from > to {
            return Err(unfit(format!(
                "its schema is at {from}, newer than {to}; there is no way down"
            )));
        }
        let mut notes = Vec::new();
        if from > Version::zero() {
            right_directory(layout, state, &from, &to).map_err(&unfit)?;
            let missing: Vec<String> = layout.tables(&from).difference(&state.tables).cloned().collect();
            if !missing.is_empty() {
                notes.push(format!("not there, although {from} has it: {}", missing.join(", ")));
            }
        }
        for (version, md5) in &state.history {
            let Some(step) = Version::parse(version).and_then(|version| layout.find(&version).cloned()) else {
                continue;
            };
            if md5.is_empty() || *md5 == step.md5 || step.version > from {
                continue;
            }
            if !known_edit(md5, &step.md5, &from) {
                return Err(unfit(format!(
                    "version {version} was applied from another manifest (md5 {md5}) than {dir}/v{} (md5 {}): the \
                     database is not what this directory builds on; take the directory of the release that runs",
                    step.version, step.md5
                )));
            }
            notes.push(format!(
                "version {version} was applied from its first form, which later releases replaced"
            ));
        }
        let mut before = from.clone();
        let mut pending = Vec::new();
        for step in layout
            .versions
            .iter()
            .filter(|step| step.version > from && step.version <= to)
        {
            if !step.version.follows(&before) {
                return Err(unfit(format!(
                    "after {before} {dir} goes on with {}: a version between them is missing",
                    step.version
                )));
            }
            if step.version == to && step.statements.is_empty() && to < *layout.newest() {
                notes.push(format!(
                    "version {to} changes nothing by itself: what it stands for comes with a later one; do not stop here"
                ));
            }
            pending.push(Pending {
                version: step.version.clone(),
                before: before.clone(),
                description: step.description.clone(),
                min_compatible: step.min_compatible.clone(),
                md5: step.md5.clone(),
                parts: parts(step),
            });
            before = step.version.clone();
        }
        let db_name = state.db_name(database);
        Ok(Plan {
            label: database.label.clone(),
            place: database.place(),
            setup: current.is_none(),
            leaves: state.after(&db_name, &to, &pending),
            db_name,
            from,
            to,
            pending,
            notes,
        })
    }

    /// Nothing to do.
    pub(crate) fn done(&self) -> bool {
        self.pending.is_empty() && !self.setup
    }

    /// For the plan of a run; without sizes and other readings.
    pub(crate) fn decision(&self) -> Decision {
        let parts = || self.pending.iter().flat_map(|pending| &pending.parts);
        let cautions = parts().flat_map(|part| {
            let cautious = part.statements.iter().filter_map(|s| Some((s, s.caution?)));
            cautious.map(|(s, caution)| format!("{}  {}: {caution}", part.name, one_line(&s.text, 90)))
        });
        Decision {
            about: format!("database {}", self.label),
            from: Some(self.from.to_string()),
            to: self.to.to_string(),
            changes: !self.done(),
            versions: self.applied(),
            statements: parts().map(|part| part.statements.len()).sum(),
            cautions: cautions.collect(),
        }
    }

    pub(crate) fn applied(&self) -> Vec<String> {
        self.pending.iter().map(|p| p.version.to_string()).collect()
    }

    /// Existing tables that pending statements work on.
    pub(super) fn touched(&self, state: &State) -> BTreeSet<String> {
        let statements = self
            .pending
            .iter()
            .flat_map(|p| &p.parts)
            .flat_map(|part| &part.statements);
        statements
            .filter(|s| s.caution.is_some())
            .filter_map(|s| s.touches.clone())
            .filter(|table| state.tables.contains(table))
            .collect()
    }
}

/// Refuses the directory of another store.
fn right_directory(layout: &Layout, state: &State, from: &Version, to: &Version) -> Result<(), String> {
    let dir = layout.dir.display();
    let expected = layout.tables(from);
    let wrong = |tables: &BTreeSet<String>| {
        let some: Vec<&str> = tables.iter().take(3).map(String::as_str).collect();
        format!(
            "{dir} is for another database: its tables ({}) are not here",
            some.join(", ")
        )
    };
    if !expected.is_empty() {
        return match expected.is_disjoint(&state.tables) {
            true => Err(wrong(&expected)),
            false => Ok(()),
        };
    }
    let steps = layout
        .versions
        .iter()
        .filter(|step| step.version > *from && step.version <= *to);
    let (mut created, mut foreign) = (BTreeSet::new(), BTreeSet::new());
    for statement in steps.flat_map(|step| &step.statements) {
        created.extend(statement.creates.clone());
        let touched = statement.touches.iter().chain(&statement.drops);
        foreign.extend(
            touched
                .filter(|t| !created.contains(*t) && !state.tables.contains(*t))
                .cloned(),
        );
    }
    match foreign.is_empty() {
        true => Ok(()),
        false => Err(wrong(&foreign)),
    }
}

/// Manifests of Temporal's PostgreSQL visibility 1.10 to 1.13 that releases 1.30.5 and 1.31.1 replaced: the new 1.13
/// brings all that the old four brought, whatever of it is there already; the new 1.10 to 1.12 bring nothing.
const FIRST_FORM: [&str; 4] = [
    "bb1c5283c64a494973fe94f14b59f69c",
    "17ff5ef9a921d201aeac053ec5514fd2",
    "053878316a845713987847ca3cddf387",
    "d190f2f71eb45687f6480edb39c24f70",
];
const SECOND_FORM: [&str; 4] = [
    "ee045e508edb79c37d24ba759274e78e",
    "51df194efc780c074bc8b1edc1e94bf0",
    "0b8d79546777f145a5966a9965978278",
    "34e8f60530bea8ac9e951aa21c8d1851",
];

fn known_edit(applied: &str, now: &str, from: &Version) -> bool {
    let pair = |a: &[&str; 4], b: &[&str; 4]| a.iter().zip(b).any(|(a, b)| *a == applied && *b == now);
    let complete = Version::parse("1.13").is_some_and(|last| *from >= last);
    pair(&FIRST_FORM, &SECOND_FORM) || (complete && pair(&SECOND_FORM, &FIRST_FORM))
}

fn parts(step: &Step) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut open = false;
    for statement in &step.statements {
        let shares = matches!(statement.place, Place::Transaction | Place::EndsTransaction);
        match parts.last_mut() {
            Some(last) if open && shares => last.statements.push(statement.clone()),
            _ => parts.push(Part {
                name: String::new(),
                statements: vec![statement.clone()],
                records: false,
                place: match shares {
                    true => Place::Transaction,
                    false => statement.place.clone(),
                },
            }),
        }
        open = statement.place == Place::Transaction;
    }
    match parts.last_mut() {
        Some(last) if last.place == Place::Transaction => last.records = true,
        _ => parts.push(Part {
            name: String::new(),
            statements: Vec::new(),
            records: true,
            place: Place::Transaction,
        }),
    }
    for (part, n) in parts.iter_mut().zip(1..) {
        part.name = format!("{}/{n}", step.version);
    }
    parts
}

pub(super) fn one_line(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.done() {
            writeln!(f, "{} ({}): at {}, nothing pending", self.label, self.place, self.from)?;
        } else {
            writeln!(f, "{} ({}): {} to {}", self.label, self.place, self.from, self.to)?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        if self.setup {
            writeln!(
                f,
                "  0.0  makes schema_version and schema_update_history for `{}`",
                self.db_name
            )?;
        }
        for pending in &self.pending {
            writeln!(f, "  {}  {}", pending.version, pending.description)?;
            for part in &pending.parts {
                let how = match &part.place {
                    Place::Transaction | Place::EndsTransaction if part.records => "one transaction, with the version",
                    Place::Transaction | Place::EndsTransaction => "one transaction",
                    Place::Alone(_) => "by itself",
                    Place::Blind => "by itself, unknown if interrupted",
                };
                writeln!(f, "    {} ({how})", part.name)?;
                for statement in &part.statements {
                    write!(f, "      {}", one_line(&statement.text, 140))?;
                    match statement.caution {
                        Some(caution) => writeln!(f, "\n        ! {caution}")?,
                        None => writeln!(f)?,
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_ref().map_or("no version yet", Version::as_str);
        writeln!(f, "{} ({}, {}): {version}", self.label, self.place, self.server)?;
        for (version, md5) in &self.history {
            match md5.as_str() {
                "" => writeln!(f, "  {version}")?,
                md5 => writeln!(f, "  {version}  manifest {md5}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_visibility_are_told_apart() {
        let (middle, end) = (Version::parse("1.11").unwrap(), Version::parse("1.13").unwrap());
        // The new 1.13 completes what the old ones began; after the new ones, the old directory would leave gaps.
        assert!(known_edit(FIRST_FORM[0], SECOND_FORM[0], &middle));
        assert!(!known_edit(SECOND_FORM[0], FIRST_FORM[0], &middle));
        assert!(known_edit(SECOND_FORM[3], FIRST_FORM[3], &end));
        assert!(!known_edit(FIRST_FORM[0], SECOND_FORM[1], &end));
        assert!(!known_edit("d41d8cd98f00b204e9800998ecf8427e", SECOND_FORM[1], &end));
    }
}
