use clap::{Args, Subcommand};

use super::common::{Common, Format, Here, Selection};
use crate::engine::{self, Course, Mode, Request};
use crate::event::OneSchema;

/// Look at the schema of a database that a playbook names, or update it
#[derive(Debug, Args)]
pub(super) struct Schema {
    #[command(subcommand)]
    verb: SchemaVerb,
}

#[derive(Debug, Subcommand)]
enum SchemaVerb {
    /// The version that is there, and what is pending
    Status(One),
    /// Every statement that an update would run
    Plan(One),
    /// Update it: a run of one step
    Update(Update),
}

#[derive(Debug, Args)]
struct Update {
    #[command(flatten)]
    one: One,
    /// The name of a protected environment, instead of typing it
    #[arg(long, value_name = "ENV")]
    yes: Option<String>,
}

#[derive(Debug, Args)]
struct One {
    #[command(flatten)]
    selection: Selection,
    /// Its name in `databases:`
    #[arg(long, value_name = "NAME")]
    database: String,
    /// The folder of versions (else that of the playbook's own step)
    #[arg(long, value_name = "DIR")]
    dir: Option<String>,
    /// The target version (else that of the playbook's own step)
    #[arg(long, value_name = "V")]
    to: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn schema(common: &Common, verb: Schema) -> u8 {
    let (one, mode, status, yes) = match verb.verb {
        SchemaVerb::Status(one) => (one, Mode::Check, true, None),
        SchemaVerb::Plan(one) => (one, Mode::Check, false, None),
        SchemaVerb::Update(update) => (update.one, Mode::Run, false, update.yes),
    };
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    let mut options = match here.options(&one.selection) {
        Ok(options) => options,
        Err(code) => return code,
    };
    options.schema = Some(OneSchema {
        database: one.database,
        dir: one.dir.map(|dir| here.folder.join(dir).display().to_string()),
        to: one.to,
        status,
    });
    options.check = mode == Mode::Check;
    options.diff = options.check;
    let environment = here.environment(&options.sources);
    if let (Some((name, true)), Mode::Run) = (&environment, &mode)
        && let Err(code) = super::run::confirm(name, yes.as_deref())
    {
        return code;
    }
    let environment = environment.map(|(name, _)| name);
    let request = Request {
        mode,
        options,
        journal: here.journal(common),
        environment,
        takeover: None,
        earlier: None,
        course: Course::On,
        watchers: super::run::watchers(one.output, true),
        terminal: false,
    };
    super::run::conclude(engine::run(request).await, one.output)
}
