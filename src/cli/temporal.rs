use std::path::PathBuf;

use clap::{Args, Subcommand};
use indexmap::IndexMap;
use serde_json::json;

use super::common::{Common, Format, Here, Selection, show};
use crate::engine::{self, Course, Mode, Request};
use crate::temporal::catalog::Catalog;
use crate::temporal::config::{self, Change, Finding, Launch, ServerConfig};
use crate::temporal::path::{Database, Stores, path};
use crate::temporal::release::Release;
use crate::yaml::{self, Diagnostic, Diagnostics, Severity, Source};

/// Temporal Server: what runs, its releases, the path from one to another, and what a release makes of a configuration
#[derive(Debug, Args)]
pub(super) struct Temporal {
    #[command(subcommand)]
    verb: TemporalVerb,
}

#[derive(Debug, Subcommand)]
enum TemporalVerb {
    Status(StatusVerb),
    Path(PathVerb),
    Releases(Releases),
    Lint(Lint),
}

/// What runs: versions, rings, shards, schemas, and whether something newer is there
#[derive(Debug, Args)]
struct StatusVerb {
    #[command(flatten)]
    selection: Selection,
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// Every hop from a running release to a later one, and what each needs
#[derive(Debug, Args)]
struct PathVerb {
    /// The release that runs
    #[arg(long, value_name = "RELEASE")]
    from: String,
    /// The release to go to; a minor (`1.32`) is its newest patch
    #[arg(long, value_name = "RELEASE")]
    to: String,
    /// The default store, as `pluginName` says it: postgres12, mysql8, cassandra, …
    #[arg(long, value_name = "STORE")]
    store: String,
    /// The visibility store (else the same)
    #[arg(long, value_name = "STORE")]
    visibility: Option<String>,
    /// The version of the default database, to have it checked
    #[arg(long, value_name = "VERSION")]
    store_version: Option<String>,
    /// The version of the visibility database, to have it checked
    #[arg(long, value_name = "VERSION")]
    visibility_version: Option<String>,
    #[command(flatten)]
    facts: Facts,
}

/// What is known of every release
#[derive(Debug, Args)]
struct Releases {
    #[command(flatten)]
    facts: Facts,
}

/// Look at a server's configuration: what the target dropped or needs, and what an upgrade may not change
#[derive(Debug, Args)]
struct Lint {
    /// The configuration that the target will read; a later file over the ones before (base.yaml ENV.yaml)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The target
    #[arg(long, value_name = "RELEASE")]
    to: String,
    /// The release that runs
    #[arg(long, value_name = "RELEASE")]
    from: Option<String>,
    /// The configuration that runs; may be repeated
    #[arg(long, value_name = "FILE")]
    running: Vec<PathBuf>,
    /// The systemd unit that starts the target
    #[arg(long, value_name = "FILE")]
    unit: Option<PathBuf>,
    /// The command line that starts the target
    #[arg(long, value_name = "TEXT", conflicts_with = "unit")]
    command: Option<String>,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Args)]
struct Facts {
    /// A catalog of your own over the shipped one (else refit.yml's `temporal: { catalog: FILE }`)
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

impl Facts {
    fn read(&self, here: &Here) -> Result<Catalog, u8> {
        let own = self.catalog.as_ref().map(|path| here.folder.join(path));
        let own = own.or_else(|| here.project.as_ref()?.catalog.clone());
        let Some(own) = own else {
            return Ok(Catalog::shipped());
        };
        let read = yaml::read(&own)
            .map_err(Into::into)
            .and_then(|source| Catalog::extended(&source));
        read.map_err(|wrong| {
            show(&wrong, None);
            1
        })
    }
}

pub(super) async fn temporal(common: &Common, verb: Temporal) -> u8 {
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    let done = match verb.verb {
        TemporalVerb::Status(verb) => return status(&here, common, verb).await,
        TemporalVerb::Path(verb) => path_verb(&here, &verb),
        TemporalVerb::Releases(verb) => releases(&here, &verb),
        TemporalVerb::Lint(verb) => lint(&here, &verb),
    };
    done.err().unwrap_or(0)
}

/// The playbook's own `temporal` probes, with all that they find.
async fn status(here: &Here, common: &Common, verb: StatusVerb) -> u8 {
    let mut options = match here.options(&verb.selection) {
        Ok(options) => options,
        Err(code) => return code,
    };
    options.temporal = true;
    options.check = true;
    let environment = here.environment(&options.sources).map(|(name, _)| name);
    let request = Request {
        mode: Mode::Check,
        options,
        journal: here.journal(common),
        environment,
        takeover: None,
        earlier: None,
        course: Course::On,
        watchers: super::run::watchers(verb.output, false),
        terminal: false,
    };
    match super::run::conclude(engine::run(request).await, verb.output) {
        // Nothing is touched by a look, whatever it finds.
        2 => 1,
        code => code,
    }
}

fn releases(here: &Here, verb: &Releases) -> Result<(), u8> {
    let catalog = verb.facts.read(here)?;
    match verb.facts.output {
        Format::Text => super::tell(catalog.page().trim_end()),
        Format::Json => super::say(&catalog.json().to_string()),
    }
    Ok(())
}

fn path_verb(here: &Here, verb: &PathVerb) -> Result<(), u8> {
    let catalog = verb.facts.read(here)?;
    let stores = Stores {
        default: Database {
            name: "default",
            store: &verb.store,
            version: verb.store_version.as_deref(),
        },
        visibility: Database {
            name: "visibility",
            store: verb.visibility.as_deref().unwrap_or(&verb.store),
            version: verb.visibility_version.as_deref(),
        },
    };
    match path(&catalog, &verb.from, &verb.to, stores) {
        Ok(path) => {
            match verb.facts.output {
                Format::Text => super::tell(path.page(&catalog.as_of).trim_end()),
                Format::Json => super::say(&serde_json::json!(path).to_string()),
            }
            Ok(())
        }
        Err(wrong) => {
            show(&wrong.diagnostic().into(), None);
            Err(1)
        }
    }
}

fn lint(here: &Here, verb: &Lint) -> Result<(), u8> {
    let catalog = verb.facts.read(here)?;
    let (new, findings) = look(here, verb, &catalog).map_err(|wrong| {
        show(&wrong, None);
        1
    })?;
    let errors = findings
        .iter()
        .any(|finding| finding.diagnostic.severity == Severity::Error);
    match verb.facts.output {
        Format::Json => {
            let found: Vec<_> = findings.iter().map(finding).collect();
            super::say(&json!({ "configuration": new.json(), "findings": found }).to_string());
        }
        Format::Text if findings.is_empty() => super::say("nothing found"),
        Format::Text => {
            let mut all = Diagnostics::default();
            all.extend(findings.into_iter().map(|finding| finding.diagnostic));
            show(&all, None);
        }
    }
    if errors { Err(1) } else { Ok(()) }
}

fn look(here: &Here, verb: &Lint, catalog: &Catalog) -> Result<(ServerConfig, Vec<Finding>), Diagnostics> {
    let release = |text: &str| {
        let known = Release::parse(text).filter(|release| catalog.minors.contains_key(&release.minor));
        known.ok_or_else(|| Diagnostic::general(format!("`{text}` is no release that the catalog knows")))
    };
    let configuration = |files: &[PathBuf]| -> Result<ServerConfig, Diagnostics> {
        let read = |file: &PathBuf| yaml::read(&here.folder.join(file));
        config::read(&files.iter().map(read).collect::<Result<Vec<_>, _>>()?)
    };
    let launch = match (&verb.unit, &verb.command) {
        (Some(unit), _) => Some(yaml::read(&here.folder.join(unit))?),
        (None, Some(command)) => Some(Source::new("--command", command.as_str())),
        (None, None) => None,
    };
    let launch = launch
        .map(|source| Launch::read(&source, &IndexMap::new()))
        .transpose()?;
    let old = match verb.running.is_empty() {
        true => None,
        false => Some(configuration(&verb.running)?),
    };
    let new = configuration(&verb.files)?;
    let change = Change {
        catalog,
        to: release(&verb.to)?,
        from: verb.from.as_deref().map(release).transpose()?,
        new: &new,
        old: old.as_ref(),
        launch: launch.as_ref(),
    };
    let findings = config::lint(&change);
    Ok((new, findings))
}

fn finding(finding: &Finding) -> serde_json::Value {
    let Diagnostic {
        severity,
        message,
        at,
        help,
        ..
    } = &finding.diagnostic;
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let place = at.as_ref().map(|at| {
        let (line, column) = at.line_column();
        json!({ "file": at.source.path, "line": line, "column": column })
    });
    json!({ "id": finding.id, "severity": severity, "message": message, "at": place, "help": help })
}
