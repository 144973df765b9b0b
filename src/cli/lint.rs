use clap::Args;

use super::common::{Common, Here, show};
use crate::id::RunId;
use crate::plan::{self, SecretUse};
use crate::playbook;

/// Check a playbook; with -i, also render everything on every host
///
/// Reads files only: no host is asked, no secret is read.
#[derive(Debug, Args)]
pub(super) struct Lint {
    /// The playbook
    playbook: std::path::PathBuf,
    /// An inventory: a file, a folder, or `a,b,`
    #[arg(short = 'i', long = "inventory", value_name = "SRC")]
    inventory: Vec<String>,
    /// A variable: `name=text`, `{name: value}` or @FILE
    #[arg(short = 'e', long = "extra", value_name = "VARS")]
    extra: Vec<String>,
}

pub(super) async fn lint(_: &Common, verb: Lint) -> u8 {
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    if verb.inventory.is_empty() {
        return match playbook::load(&verb.playbook) {
            Ok(playbook) => {
                super::say(&format!("{}: fine ({})", verb.playbook.display(), playbook.name));
                0
            }
            Err(e) => {
                show(&e, None);
                1
            }
        };
    }
    let options = plan::Options {
        playbook: verb.playbook.clone(),
        sources: verb.inventory.clone(),
        extra: verb.extra,
        folder: here.folder.clone(),
        ..plan::Options::default()
    };
    let loaded = match plan::load(options, RunId::fresh(), [0; 32], SecretUse::Placeholder) {
        Ok(loaded) => std::sync::Arc::new(loaded),
        Err(e) => {
            show(&e, None);
            return 1;
        }
    };
    show(&loaded.notes, Some(&loaded.redactor));
    if let Some(required) = &loaded.playbook.requires_environment {
        let found = here.environment(&loaded.options.sources).map(|(name, _)| name);
        if found.as_deref() != Some(required.value.as_str()) {
            super::complain(&format!(
                "note: a run needs the environment `{}`; this inventory belongs to {}",
                required.value,
                found.map_or("none".to_owned(), |name| format!("`{name}`"))
            ));
        }
    }
    match plan::check(&loaded) {
        Ok(checked) => {
            let units: usize = checked.stages.iter().map(|stage| stage.units.len()).sum();
            super::say(&format!(
                "{}: fine ({}; {} hosts, {units} units)",
                verb.playbook.display(),
                plan::playbook_name(&loaded),
                checked.hosts.len()
            ));
            0
        }
        Err(e) => {
            show(&e, Some(&loaded.redactor));
            1
        }
    }
}
