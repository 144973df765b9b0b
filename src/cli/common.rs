//! What several verbs share: where the journal is, which inventory, how diagnostics are shown.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::plan::Options;
use crate::project::Project;
use crate::secret::Redactor;
use crate::yaml::{Diagnostic, Diagnostics};

#[derive(Debug, Args)]
pub(super) struct Common {
    /// The journal's file (else refit.yml's, else in the state folder of the user)
    #[arg(
        long,
        env = "REFIT_JOURNAL",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    journal: Option<PathBuf>,
}

/// How a verb prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a person.
    Text,
    /// One JSON object a line, and nothing else on stdout.
    Json,
}

/// A playbook on an inventory.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// The playbook
    pub(super) playbook: PathBuf,
    /// An inventory: a file, a folder, or `a,b,`
    #[arg(short = 'i', long = "inventory", value_name = "SRC")]
    pub(super) inventory: Vec<String>,
    /// A variable: `name=text`, `{name: value}` or @FILE
    #[arg(short = 'e', long = "extra", value_name = "VARS")]
    pub(super) extra: Vec<String>,
    /// Only hosts of this pattern, or @FILE
    #[arg(short = 'l', long, value_name = "PATTERN")]
    pub(super) limit: Option<String>,
}

/// The current folder with everything that refit.yml says about it.
pub(super) struct Here {
    pub(super) folder: PathBuf,
    pub(super) project: Option<Project>,
}

impl Here {
    pub(super) fn find() -> Result<Here, u8> {
        let folder = match std::env::current_dir() {
            Ok(folder) => folder,
            Err(e) => {
                super::complain(&format!("error: the current folder: {e}"));
                return Err(1);
            }
        };
        match Project::find(&folder) {
            Ok(project) => Ok(Here { folder, project }),
            Err(e) => {
                show(&e, None);
                Err(1)
            }
        }
    }

    /// `--journal`, REFIT_JOURNAL, refit.yml, the user's state folder.
    pub(super) fn journal(&self, common: &Common) -> PathBuf {
        if let Some(path) = &common.journal {
            return self.folder.join(path);
        }
        if let Some(path) = self.project.as_ref().and_then(|p| p.journal.clone()) {
            return path;
        }
        let state = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")))
            .unwrap_or_else(|| PathBuf::from("/var/lib"));
        state.join("refit/journal.db")
    }

    /// `-i`, else refit.yml's. None is an error that was shown.
    pub(super) fn sources(&self, given: &[String]) -> Result<Vec<String>, u8> {
        if !given.is_empty() {
            return Ok(given.to_vec());
        }
        let from_project: Vec<String> = self
            .project
            .iter()
            .flat_map(|p| p.inventory.iter())
            .map(|source| source.to_string())
            .collect();
        if from_project.is_empty() {
            let error = Diagnostic::general("no inventory").help("give one with `-i SRC`, or name it in refit.yml");
            show(&error.into(), None);
            return Err(1);
        }
        Ok(from_project)
    }

    pub(super) fn options(&self, selection: &Selection) -> Result<Options, u8> {
        Ok(Options {
            playbook: selection.playbook.clone(),
            sources: self.sources(&selection.inventory)?,
            extra: selection.extra.clone(),
            limit: selection.limit.clone(),
            folder: self.folder.clone(),
            ..Options::default()
        })
    }

    /// The environment of these sources, and whether it is protected.
    pub(super) fn environment(&self, sources: &[String]) -> Option<(String, bool)> {
        let project = self.project.as_ref()?;
        project
            .environment_of(sources)
            .map(|(name, protected)| (name.to_owned(), protected))
    }
}

/// Shows diagnostics on stderr, all at once.
pub(super) fn show(diagnostics: &Diagnostics, redactor: Option<&Redactor>) {
    if diagnostics.is_empty() {
        return;
    }
    let styled = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    super::complain(diagnostics.render(styled, redactor).trim_end());
}
