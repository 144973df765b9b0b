use clap::{Args, Subcommand};

use super::common::Common;

/// Look at a versioned schema, or update it
#[derive(Debug, Args)]
pub(super) struct Schema {
    #[command(subcommand)]
    verb: SchemaVerb,
}

#[derive(Debug, Subcommand)]
enum SchemaVerb {}

pub(super) async fn schema(_: &Common, verb: Schema) -> u8 {
    match verb.verb {}
}
