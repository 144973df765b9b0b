use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::common::{Common, Format, Here, Selection, show};
use crate::engine::{self, Course, Mode, Request};
use crate::temporal::catalog::Catalog;
use crate::temporal::path::{Database, Stores, path};
use crate::yaml;

/// Releases of Temporal Server, and the path from one to another
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
    #[command(flatten)]
    facts: Facts,
}

/// What is known of every release
#[derive(Debug, Args)]
struct Releases {
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
    let database = |name, store| Database { name, store };
    let stores = Stores {
        default: database("default", &verb.store),
        visibility: database("visibility", verb.visibility.as_deref().unwrap_or(&verb.store)),
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
