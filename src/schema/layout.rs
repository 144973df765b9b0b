//! The directory: `vX.Y/manifest.json` and what it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::split::split;
use super::statement::Statement;
use super::{SchemaError, Version};
use crate::database::Engine;

/// All versions of a directory, oldest first; every file was read and understood.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
    pub(super) versions: Vec<Step>,
}

/// One version: from the one before it to this.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) version: Version,
    pub(super) min_compatible: String,
    pub(super) description: String,
    /// Of the manifest's bytes, in hexadecimal.
    pub(super) md5: String,
    pub(super) statements: Vec<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    curr_version: String,
    #[serde(default)]
    min_compatible_version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    schema_update_cql_files: Vec<String>,
    #[serde(default)]
    allow_no_cql_files: bool,
}

impl Layout {
    /// Reads a directory for an engine. All that is wrong in it is in the error, a line each.
    pub(super) fn read(dir: &Path, engine: Engine) -> Result<Layout, SchemaError> {
        let wrong = |path: &Path, what: String| SchemaError::Layout {
            path: path.to_owned(),
            what,
        };
        if let Some(other) = names_other_engine(dir, engine) {
            let what = format!("this is a directory for {other}, and the database is {}", engine.word());
            return Err(wrong(dir, what));
        }
        let entries = std::fs::read_dir(dir).map_err(|e| wrong(dir, e.to_string()))?;
        let mut versions = Vec::new();
        let mut problems = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| wrong(dir, e.to_string()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let versioned = name.starts_with('v') && name[1..].starts_with(|c: char| c.is_ascii_digit());
            if !versioned || !entry.path().is_dir() {
                continue;
            }
            match Version::parse(&name) {
                None => problems.push(format!("{name}: `{name}` is no version (v1.10)")),
                Some(version) => match Step::read(&entry.path(), version, engine) {
                    Ok(step) => versions.push(step),
                    Err(what) => problems.extend(what.into_iter().map(|what| format!("{name}: {what}"))),
                },
            }
        }
        if !problems.is_empty() {
            problems.sort();
            return Err(wrong(dir, problems.join("\n")));
        }
        if versions.is_empty() {
            let versioned = dir.join("versioned");
            let hint = match versioned.is_dir() {
                true => format!("; did you mean {}?", versioned.display()),
                false => String::new(),
            };
            return Err(wrong(dir, format!("no version in it (v1.0/manifest.json){hint}")));
        }
        versions.sort_by(|a, b| a.version.cmp(&b.version));
        if let Some(pair) = versions.windows(2).find(|pair| pair[0].version == pair[1].version) {
            let what = format!("v{} and v{} are the same version", pair[0].version, pair[1].version);
            return Err(wrong(dir, what));
        }
        Ok(Layout {
            dir: dir.to_owned(),
            versions,
        })
    }

    pub(super) fn find(&self, version: &Version) -> Option<&Step> {
        self.versions.iter().find(|step| step.version == *version)
    }

    pub(super) fn newest(&self) -> &Version {
        // `read` refuses an empty directory.
        &self.versions[self.versions.len() - 1].version
    }

    /// The version before this one.
    pub(super) fn before(&self, version: &Version) -> Version {
        let older = self.versions.iter().rev().find(|step| step.version < *version);
        older.map_or(Version::zero(), |step| step.version.clone())
    }

    /// Tables that a database at `version` has by this directory.
    pub(super) fn tables(&self, version: &Version) -> BTreeSet<String> {
        let mut tables = BTreeSet::new();
        let applied = self.versions.iter().filter(|step| step.version <= *version);
        for statement in applied.flat_map(|step| &step.statements) {
            tables.extend(statement.creates.clone());
            for dropped in &statement.drops {
                tables.remove(dropped);
            }
        }
        tables
    }
}

impl Step {
    fn read(dir: &Path, version: Version, engine: Engine) -> Result<Step, Vec<String>> {
        let path = dir.join("manifest.json");
        let bytes = std::fs::read(&path).map_err(|e| vec![format!("manifest.json: {e}")])?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| vec![format!("manifest.json: {e}")])?;
        let mut problems = Vec::new();
        if Version::parse(&manifest.curr_version).as_ref() != Some(&version) {
            problems.push(format!(
                "manifest.json: CurrVersion is `{}`, and the directory is v{version}",
                manifest.curr_version
            ));
        }
        if Version::parse(&manifest.min_compatible_version).is_none() {
            problems.push(format!(
                "manifest.json: MinCompatibleVersion is `{}`, which is no version",
                manifest.min_compatible_version
            ));
        }
        if manifest.schema_update_cql_files.is_empty() && !manifest.allow_no_cql_files {
            problems
                .push("manifest.json: it names no file in SchemaUpdateCqlFiles (AllowNoCqlFiles lets that be)".into());
        }
        if manifest.description.chars().count() > 255 {
            problems.push("manifest.json: Description is longer than 255 characters".into());
        }
        let mut statements = Vec::new();
        for file in &manifest.schema_update_cql_files {
            if file.ends_with(".cql") {
                problems.push(format!(
                    "{file}: CQL is for Cassandra, and the database is {}",
                    engine.word()
                ));
                continue;
            }
            let inside = Path::new(file)
                .components()
                .all(|c| matches!(c, std::path::Component::Normal(_)));
            if !inside {
                problems.push(format!("{file}: outside of the version's directory"));
                continue;
            }
            let text = match std::fs::read_to_string(dir.join(file)) {
                Ok(text) => text,
                Err(e) => {
                    problems.push(format!("{file}: {e}"));
                    continue;
                }
            };
            match split(&text, engine) {
                Err(what) => problems.push(format!("{file}: {what}")),
                Ok(parts) => {
                    for part in parts {
                        match Statement::read(part, engine) {
                            Ok(statement) => statements.push(statement),
                            Err(what) => problems.push(format!("{file}: {what}")),
                        }
                    }
                }
            }
        }
        if problems.is_empty() && statements.is_empty() && !manifest.allow_no_cql_files {
            problems.push("no statement in its files".into());
        }
        match problems.is_empty() {
            false => Err(problems),
            true => Ok(Step {
                version: Version::parse(&manifest.curr_version).unwrap_or(version),
                min_compatible: manifest
                    .min_compatible_version
                    .trim()
                    .trim_start_matches('v')
                    .to_owned(),
                description: manifest.description,
                md5: md5(&bytes),
                statements,
            }),
        }
    }
}

/// Temporal's directories lie below their engine's name.
fn names_other_engine(dir: &Path, engine: Engine) -> Option<&'static str> {
    let full = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let named = full
        .components()
        .rev()
        .take(5)
        .find_map(|part| match part.as_os_str().to_str()? {
            "postgresql" | "postgres" => Some("postgres"),
            "mysql" => Some("mysql"),
            "cassandra" => Some("cassandra"),
            "elasticsearch" => Some("elasticsearch"),
            "sqlite" => Some("sqlite"),
            _ => None,
        })?;
    (named != engine.word()).then_some(named)
}

/// What Temporal's tools write into the history; it guards nothing.
fn md5(bytes: &[u8]) -> String {
    use md5::Digest;
    crate::id::hex(&md5::Md5::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn manifest(version: &str, files: &str) -> String {
        format!(
            r#"{{"CurrVersion":"{version}","MinCompatibleVersion":"1.0","Description":"d","SchemaUpdateCqlFiles":[{files}]}}"#
        )
    }

    #[test]
    fn versions_come_in_their_order() {
        let one = manifest("1.9", r#""a.sql""#);
        let two = manifest("1.10", r#""a.sql""#);
        let found = dir(&[
            ("v1.9/manifest.json", &one),
            ("v1.9/a.sql", "CREATE TABLE a(i int);"),
            ("v1.9/unused.sql", "not looked at"),
            ("v1.10/manifest.json", &two),
            ("v1.10/a.sql", "DROP TABLE a; CREATE TABLE b(i int)"),
            ("notes/x", ""),
        ]);
        let layout = Layout::read(found.path(), Engine::Postgres).unwrap();
        let versions: Vec<_> = layout.versions.iter().map(|s| s.version.as_str()).collect();
        assert_eq!(versions, ["1.9", "1.10"]);
        assert_eq!(
            layout.tables(&Version::parse("1.9").unwrap()),
            BTreeSet::from(["a".into()])
        );
        assert_eq!(layout.tables(layout.newest()), BTreeSet::from(["b".into()]));
    }

    #[test]
    fn all_mistakes_are_said_at_once() {
        let found = dir(&[
            ("v1.0/manifest.json", &manifest("1.1", r#""no.sql","../x.sql","b.cql""#)),
            ("v1.1/manifest.json", "{"),
            ("v1.2/x.sql", ""),
            ("v1.3/manifest.json", &manifest("1.3", "")),
            ("v1.4/manifest.json", &manifest("1.4", r#""a.sql""#)),
            ("v1.4/a.sql", "UPDATE x SET y=1; INSERT INTO x VALUES ('"),
            (
                "v1.5/manifest.json",
                r#"{"CurrVersion":"1.5","SchemaUpdateCqlFiles":["a.sql"]}"#,
            ),
            ("v1.5/a.sql", "VACUUM x"),
            ("v1.x/manifest.json", ""),
        ]);
        let error = Layout::read(found.path(), Engine::Postgres).unwrap_err().to_string();
        for words in [
            "v1.0: manifest.json: CurrVersion is `1.1`",
            "v1.0: no.sql: No such file",
            "v1.0: ../x.sql: outside",
            "v1.0: b.cql: CQL is for Cassandra",
            "v1.1: manifest.json: EOF",
            "v1.2: manifest.json: No such file",
            "v1.3: manifest.json: it names no file",
            "v1.4: a.sql: line 1: a string is not closed",
            "v1.5: manifest.json: MinCompatibleVersion is ``",
            "v1.5: a.sql: `VACUUM x`",
            "`v1.x` is no version",
        ] {
            assert!(error.contains(words), "{words:?} is not in\n{error}");
        }
        let none = dir(&[("versioned/v1.0/x", "")]);
        let error = Layout::read(none.path(), Engine::Postgres).unwrap_err().to_string();
        assert!(error.contains("did you mean") && error.contains("versioned"), "{error}");
        let other = dir(&[("mysql/v8/temporal/versioned/v1.0/x", "")]);
        let error = Layout::read(&other.path().join("mysql/v8/temporal/versioned"), Engine::Postgres).unwrap_err();
        assert!(
            error.to_string().contains("for mysql, and the database is postgres"),
            "{error}"
        );
    }
}
