//! Copies a database or files into a folder of the host, and looks at the copy.
//!
//!     - backup: { database: main, to: /var/backups/temporal, keep: 3 }
//!     - backup: { paths: [/etc/app, /var/lib/app/keys], to: /var/backups/app }
//!
//! PostgreSQL is dumped by the host's `pg_dump -Fc`, SQLite copied by `sqlite3` while it is in use, files and folders go into
//! a `tar.gz`. The host may be the database's own or any other that has the program and reaches it. `program` is text
//! that stands before our arguments where the program is not in PATH (`/usr/lib/postgresql/15/bin/pg_dump`, `sudo -u postgres
//! pg_dump`); `pg_restore` and `psql` are taken from the same place.
//!
//! The copy is named after the database (or `files`) and the step's job, so every run makes its own. It is written as
//! `.partial`, listed or checked as its kind allows, summed, and renamed: a file without that ending is whole. Free space is
//! looked at first: as much as the SQLite file or the files take now, half of what a PostgreSQL database takes. `to` is made,
//! for its owner alone, where only its last part is missing. `keep` leaves so many of the newest copies of this name.
//!
//! Cassandra is copied by `nodetool snapshot` on each host of the stage, which is one node: links to its files, in its own
//! data folders. `program` is how nodetool is called, `data` names the node's data folders where nodetool cannot tell them
//! (before 5.0). Each table of the keyspace must have its files and its `schema.cql` in the snapshot; the list of all files
//! with their sizes goes to `to`, and is what the result names. `keep` also clears the node's older snapshots of this name.
//!
//! The password and the TLS files of the database go to the job alone, and the files are removed at its end.
//!
//! The result has `path`, `size` (bytes) and `sha256`; of Cassandra the size is that of all files of the snapshot, and the
//! path and sum are those of their list, whose first lines name the snapshot and its keyspace.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::process::one_of;
use super::sh::{self, HostPath, PLACE, Report, quote};
use super::{
    Action, Context, Done, Facts, Failure, Job, Kind, Output, Param, Params, Probe, ShellAction, Ty, Upload, Verdict,
    list, schema, upload,
};
use crate::database::{Database, Engine, Verify};
use crate::yaml::{Diagnostic, Diagnostics, Span};

const FUNCTIONS: &str = include_str!("backup.sh");
const CASSANDRA: &str = include_str!("backup_cassandra.sh");

pub(super) struct Backup;
pub(super) static KIND: Backup = Backup;

const PARAMS: &[Param] = &[
    Param::new("database", Ty::Text, "name of one of the playbook's `databases`"),
    Param::new(
        "paths",
        Ty::TextList,
        "files and folders of the host, instead of `database`",
    ),
    Param::required("to", Ty::Path, "folder of the host that the copy goes to"),
    Param::new("keep", Ty::Int, "how many copies of this name stay; default all"),
    Param::new(
        "program",
        Ty::Text,
        "text that stands before our arguments, where the program is not in PATH",
    ),
    Param::new(
        "data",
        Ty::TextList,
        "Cassandra: the node's data folders; default: as nodetool says, else /var/lib/cassandra/data",
    ),
];

/// What is copied, with every word of the script ready.
enum Source {
    Postgres {
        /// `-h … -p …`, without a password.
        arguments: String,
        environment: IndexMap<String, String>,
        tls: Vec<(&'static str, Upload)>,
        /// No CA was given: the host's own are used.
        system_ca: bool,
    },
    Sqlite {
        path: String,
    },
    Files {
        paths: Vec<HostPath>,
    },
    Cassandra {
        /// One word.
        keyspace: String,
        /// Words.
        data: Vec<String>,
    },
}

struct Copying {
    source: Source,
    to: HostPath,
    /// The start of the file's name.
    label: String,
    keep: Option<i64>,
    program: Option<String>,
    environment: IndexMap<String, String>,
}

impl Copying {
    fn extension(&self) -> &'static str {
        match self.source {
            Source::Postgres { .. } => "dump",
            Source::Sqlite { .. } => "db",
            Source::Files { .. } => "tar.gz",
            Source::Cassandra { .. } => "files",
        }
    }

    fn program(&self) -> &str {
        let usual = match self.source {
            Source::Postgres { .. } => "pg_dump",
            Source::Sqlite { .. } => "sqlite3",
            Source::Files { .. } => "tar",
            Source::Cassandra { .. } => "nodetool",
        };
        self.program.as_deref().unwrap_or(usual)
    }

    fn script(&self, facts: &Facts) -> String {
        let mut text = String::from("umask 077\n");
        let (mut sent, mut ready) = (String::new(), String::new());
        if let Source::Postgres { tls, system_ca, .. } = &self.source {
            for (name, upload) in tls {
                ready += &format!("tls {name} {}\n", upload.sha256);
                sent += &format!(" \"$REFIT_UPLOADS\"/{}", upload.sha256);
            }
            if *system_ca {
                ready += "system_ca\n";
            }
        }
        text += &format!("sent() {{ rm -f --{sent}; }}\n");
        text += PLACE;
        text += FUNCTIONS;
        text += &ready;
        text += &format!("begin {} {} {}\n", self.to.word(facts), self.label, self.extension());
        let program = self.program();
        match &self.source {
            Source::Postgres { arguments, .. } => {
                text += &format!(
                    "dump() {{ {program} \"$@\"; }}\nrestore() {{ {} \"$@\"; }}\nask() {{ {} \"$@\"; }}\npostgres {arguments}\n",
                    beside(program, "pg_restore"),
                    beside(program, "psql"),
                );
            }
            Source::Sqlite { path } => {
                text += &format!("ask() {{ {program} \"$@\"; }}\nsqlite {path}\n");
            }
            Source::Files { paths } => {
                let words: Vec<String> = paths.iter().map(|path| path.word(facts)).collect();
                text += &format!("pack() {{ {program} \"$@\"; }}\nfiles {}\n", words.join(" "));
            }
            Source::Cassandra { keyspace, data } => {
                text += CASSANDRA;
                text += &format!(
                    "nodetool() {{ {program} \"$@\"; }}\nsnapshot {keyspace} {}\n",
                    data.join(" ")
                );
            }
        }
        text += "finish\n";
        if let Some(keep) = self.keep {
            if let Source::Cassandra { keyspace, .. } = &self.source {
                text += &format!("clear {keep} {keyspace}\n");
            }
            text += &format!("keep {keep}\n");
        }
        text
    }
}

/// Another program of the same place: `…/pg_dump` gives `…/psql`.
fn beside(program: &str, other: &str) -> String {
    match program.trim_end().strip_suffix("pg_dump") {
        Some(before) => format!("{before}{other}"),
        None => other.to_owned(),
    }
}

impl ShellAction for Copying {
    /// Nothing here refuses: an earlier step of the stage may bring what is missing.
    fn check(&self, facts: &Facts) -> Option<Probe> {
        let program = self.program().split_whitespace().next().unwrap_or("sh").to_owned();
        let source = match &self.source {
            Source::Postgres { .. } | Source::Cassandra { .. } => String::new(),
            Source::Sqlite { path } => format!("[ -r {path} ] || echo problem=the database {path} cannot be read\n"),
            Source::Files { paths } => paths
                .iter()
                .map(|path| {
                    let word = path.word(facts);
                    format!("[ -e {word} ] || echo problem={word} is not there\n")
                })
                .collect(),
        };
        let to = self.to.word(facts);
        let script = format!(
            "command -v {program} >/dev/null 2>&1 || echo problem={program} is not there\n{source}\
             to={to}\n[ -d \"$to\" ] || [ -d \"${{to%/*}}/\" ] || echo problem=the folder above $to is not there\nexit 0\n"
        );
        Some(Probe {
            environment: self.environment.clone(),
            ..Probe::new(script)
        })
    }

    fn judge(&self, output: &Output) -> Result<Verdict, Failure> {
        let problems: Vec<&str> = output
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("problem="))
            .collect();
        Ok(Verdict::Differs {
            predicted: self.predicted(),
            diff: match problems.is_empty() {
                true => None,
                false => Some(problems.iter().map(|problem| format!("! {problem}\n")).collect()),
            },
        })
    }

    fn predicted(&self) -> Value {
        let path = format!("{}/{}-JOB.{}", self.to.as_str(), self.label, self.extension());
        json!({"path": path, "size": 0, "sha256": ""})
    }

    fn apply(&self, facts: &Facts) -> Option<Job> {
        let mut job = Job::new(self.script(facts));
        job.environment = self.environment.clone();
        if let Source::Postgres { environment, tls, .. } = &self.source {
            job.environment.extend(environment.clone());
            job.uploads = tls.iter().map(|(_, upload)| upload.clone()).collect();
        }
        Some(job)
    }

    fn parse(&self, output: &Output) -> Result<Done, Failure> {
        let report = Report::parse(output).map_err(|failure| with_words(failure, output))?;
        let size: u64 = report
            .get("size")
            .parse()
            .map_err(|_| Failure::new("the host did not say how large the copy is"))?;
        let result = json!({"path": report.get("path"), "size": size, "sha256": report.get("sha256")});
        Ok(Done {
            changed: true,
            message: Some(format!("{} ({})", report.get("path"), readable(size))),
            result,
            diff: None,
        })
    }
}

/// What the program said stands before our own last line.
fn with_words(failure: Failure, output: &Output) -> Failure {
    let lines: Vec<&str> = output
        .stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    match &lines[..] {
        [said @ .., _] if !said.is_empty() => {
            let last = &said[said.len().saturating_sub(3)..];
            Failure {
                message: format!("{}: {}", failure.message, last.join("; ")),
                ..failure
            }
        }
        _ => failure,
    }
}

fn readable(size: u64) -> String {
    match size {
        0..10_000 => format!("{size} bytes"),
        10_000..10_000_000 => format!("{} kB", size / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", size / 1_000_000),
        _ => format!("{} GB", size / 1_000_000_000),
    }
}

/// What may stand in a file's name and a shell's pattern.
fn label(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

fn source(database: &Database, data: &[String], at: &Span) -> Result<Source, Diagnostics> {
    let quoted = |text: &str| quote(text, at);
    Ok(match database.engine {
        Engine::Cassandra => Source::Cassandra {
            keyspace: quoted(&database.name)?,
            data: data.iter().map(|folder| quoted(folder)).collect::<Result<_, _>>()?,
        },
        Engine::Sqlite => Source::Sqlite {
            path: quoted(&database.path)?,
        },
        Engine::Postgres => {
            let mut environment = IndexMap::new();
            let mut set = |name: &str, value: &str| environment.insert(name.to_owned(), value.to_owned());
            set("PGAPPNAME", "refit: backup");
            set("PGCONNECT_TIMEOUT", "10");
            let mode = match database.tls.verify {
                Verify::None => "disable",
                Verify::Ca => "verify-ca",
                Verify::Full => "verify-full",
            };
            set("PGSSLMODE", mode);
            if let Some(password) = &database.password {
                set("PGPASSWORD", password.reveal());
            }
            let files = [
                ("PGSSLROOTCERT", &database.tls.ca),
                ("PGSSLCERT", &database.tls.cert),
                ("PGSSLKEY", &database.tls.key),
            ];
            let mut tls = Vec::new();
            for (name, path) in files {
                if let Some(path) = path {
                    tls.push((name, upload::file(path, at)?));
                }
            }
            Source::Postgres {
                arguments: format!(
                    "-h {} -p {} -U {} -d {} -w",
                    quoted(&database.host)?,
                    database.port,
                    quoted(&database.user)?,
                    // A name with `=` in it would be read as a connection string.
                    quoted(&format!(
                        "dbname='{}'",
                        database.name.replace('\\', "\\\\").replace('\'', "\\'")
                    ))?,
                ),
                environment,
                tls,
                system_ca: database.tls.verify != Verify::None && database.tls.ca.is_none(),
            }
        }
    })
}

impl Kind for Backup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn manual(&self) -> &'static str {
        list::manual!("backup.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["path", "size", "sha256"]
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = one_of(params, "backup", &["database", "paths"]);
        found.extend(params.refuse_secrets(&["paths", "to", "program", "data"]));
        match schema::database(params, context) {
            Err(diagnostic) => found.push(diagnostic),
            Ok(Some(database)) if database.engine != Engine::Cassandra && params.has("data") => {
                let message = format!("`data` is Cassandra's, and the database is {}", database.engine.word());
                found.push(params.error("data", message));
            }
            Ok(_) => {}
        }
        for folder in params.text_list("data").unwrap_or_default() {
            if !folder.starts_with('/') {
                found.push(params.error("data", format!("`{folder}` must be absolute: it is on the host")));
            }
        }
        for path in params.text_list("paths").unwrap_or_default() {
            if !path.starts_with('/') && !path.starts_with("~/") {
                found.push(params.error("paths", format!("`{path}` must be absolute: it is on the host")));
            }
        }
        if params.text_list("paths").is_some_and(|paths| paths.is_empty()) {
            found.push(params.error("paths", "`paths` is empty"));
        }
        if params.int("keep").is_some_and(|keep| keep < 1) {
            found.push(params.error("keep", "`keep` is at least 1: the copy that is made"));
        }
        if params.text("program").is_some_and(|program| program.trim().is_empty()) {
            found.push(params.error("program", "`program` is empty"));
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let (source, label) = match params.text_list("paths") {
            Some(paths) => {
                let at = params.span("paths");
                let paths = paths.iter().map(|path| HostPath::new(path, at));
                let paths = paths.collect::<Result<_, Diagnostic>>()?;
                (Source::Files { paths }, "files".to_owned())
            }
            None => {
                let Some(database): Option<Arc<Database>> = schema::database(params, context)? else {
                    return Err(params
                        .error("database", "the database's settings are not known yet")
                        .into());
                };
                let data = params.text_list("data").unwrap_or_default();
                (
                    source(&database, &data, params.span("database"))?,
                    label(&database.label),
                )
            }
        };
        Ok(Action::Shell(Box::new(Copying {
            source,
            to: HostPath::new(params.required_text("to")?.trim_end_matches('/'), params.span("to"))?,
            label,
            keep: params.int("keep"),
            program: params.text("program"),
            environment: sh::environment(context),
        })))
    }
}

#[cfg(test)]
mod tests;
