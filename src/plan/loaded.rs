//! Everything that the files and the command line say, read once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::scope::{Shared, SharedLive};
use super::tags::Tags;
use super::{schema_verb, temporal_verb};
use crate::event::OneSchema;
use crate::id::{HostName, RunId};
use crate::inventory::Inventory;
use crate::playbook::{self, Playbook, SecretSource};
use crate::secret::{self, Redactor, Secret};
use crate::template::{Binding, Layer, Pending, Templates};
use crate::yaml::{self, Diagnostic, Diagnostics, Node, Rules, Severity, Source};

/// What the command line (or the journal, for resume) says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) playbook: PathBuf,
    /// `-i`, or refit.yml's.
    pub(crate) sources: Vec<String>,
    /// `-e`, as given.
    pub(crate) extra: Vec<String>,
    pub(crate) limit: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) skip_tags: Vec<String>,
    /// The folder that paths of the command line are relative to.
    pub(crate) folder: PathBuf,
    pub(crate) forks: Option<usize>,
    /// Hosts left out, and why.
    pub(crate) exclude: Vec<(String, String)>,
    pub(crate) check: bool,
    pub(crate) diff: bool,
    /// `refit schema`: nothing of the playbook but one database's schema.
    pub(crate) schema: Option<OneSchema>,
    /// `refit temporal status`: nothing of the playbook but its `temporal` probes.
    pub(crate) temporal: bool,
}

/// May secrets be asked for?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretUse {
    /// plan, run: files, variables, prompts and commands are read.
    Read,
    /// lint: nothing is read; a placeholder stands for each.
    Placeholder,
}

/// A playbook on an inventory.
pub(crate) struct Loaded {
    pub(crate) options: Options,
    pub(crate) playbook: Playbook,
    pub(crate) inventory: Inventory,
    pub(crate) templates: Templates,
    pub(crate) redactor: Redactor,
    /// `-e`.
    pub(crate) extra: Arc<Layer>,
    /// Entries of `secrets`.
    pub(crate) secrets: Arc<Layer>,
    /// Passwords of databases, by label.
    pub(crate) passwords: IndexMap<String, Secret>,
    /// `--limit`, expanded; None: all.
    pub(crate) limit: Option<HashSet<HostName>>,
    pub(crate) excluded: HashMap<HostName, String>,
    pub(crate) tags: Tags,
    pub(crate) run: RunId,
    /// The journal's key for secrets in digests.
    pub(crate) key: [u8; 32],
    pub(crate) live: SharedLive,
    pub(crate) shared: Shared,
    /// Warnings and notes of the load.
    pub(crate) notes: Diagnostics,
    /// Mistakes of the load: `check` adds its own and shows all.
    pub(crate) errors: Diagnostics,
    /// Names that a step with a mistake may have bound.
    pub(crate) unknown: Arc<Layer>,
    /// What each `for_each` goes over that the run began earlier: units are named by the index in it.
    pub(crate) items: IndexMap<String, Vec<serde_json::Value>>,
}

impl Loaded {
    /// The playbook's folder: where its relative paths start.
    pub(crate) fn folder(&self) -> &Path {
        self.playbook.source.folder()
    }

    pub(crate) fn takes(&self, host: &HostName) -> bool {
        self.limit.as_ref().is_none_or(|limit| limit.contains(host)) && !self.excluded.contains_key(host)
    }
}

/// Reads playbook, inventory and the command line's values. Err: there is too little to look further; else what is wrong
/// waits in `errors` for `check`, which must be called next.
pub(crate) fn load(options: Options, run: RunId, key: [u8; 32], secrets: SecretUse) -> Result<Loaded, Diagnostics> {
    let mut errors = Diagnostics::default();
    let path = options.folder.join(&options.playbook);
    let shown = if options.playbook.is_absolute() || options.folder == std::env::current_dir().unwrap_or_default() {
        options.playbook.clone()
    } else {
        path
    };
    let (partial, found) = playbook::load_partly(&shown);
    let broken = found.has_errors();
    errors.extend(found);
    let playbook_dir = shown.parent().map(|p| {
        if p.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            p.to_path_buf()
        }
    });
    let mut notes = Diagnostics::default();
    let inventory = match Inventory::load(&options.sources, &options.folder, playbook_dir.as_deref()) {
        Ok((inventory, warnings)) => {
            notes.extend(warnings);
            Some(inventory)
        }
        Err(e) => {
            errors.extend(e);
            None
        }
    };
    let extra = extra_vars(&options.extra, &options.folder)
        .map_err(|e| errors.extend(e))
        .ok();
    let (Some(partial), Some(inventory), Some(extra)) = (partial, inventory, extra) else {
        return Err(errors);
    };
    let mut playbook = partial.playbook;
    // A playbook with mistakes is looked at to the end, so that all of them come together; but nobody is asked for a
    // secret for it.
    let secrets = if broken { SecretUse::Placeholder } else { secrets };
    if let Some(verb) = &options.schema {
        schema_verb::only(&mut playbook, verb)?;
    }
    if options.temporal {
        temporal_verb::only(&mut playbook)?;
    }
    if inventory.hosts().next().is_none() {
        errors.push(Diagnostic::general("the inventory has no host").help("name a source with hosts: `-i FILE`"));
        return Err(errors);
    }
    let redactor = Redactor::default();
    let mut layer = Layer::new();
    for (name, source) in &playbook.secrets {
        match read_secret(&source.value, secrets, playbook.source.folder(), name, &mut notes) {
            Ok(secret) => {
                redactor.add(&secret);
                layer.insert(name.clone(), Binding::Secret(secret));
            }
            Err(message) => {
                // Its uses are no second mistake.
                layer.insert(name.clone(), Binding::Secret(Secret::new(String::new())));
                errors.push(Diagnostic::error(
                    &source.span,
                    format!("the secret `{name}` cannot be read: {message}"),
                ));
            }
        }
    }
    let mut passwords = IndexMap::new();
    for (label, node) in &playbook.databases {
        let Some(password) = node.get("password") else { continue };
        let folder = playbook.source.folder();
        let Some(source) = playbook::password_source(password, folder) else {
            continue;
        };
        match read_secret(&source, secrets, folder, label, &mut notes) {
            Ok(secret) => {
                redactor.add(&secret);
                passwords.insert(label.clone(), secret);
            }
            Err(message) => errors.push(Diagnostic::error(
                &password.span,
                format!("the password of the database `{label}` cannot be read: {message}"),
            )),
        }
    }
    let limit = match &options.limit {
        None => None,
        Some(pattern) => match inventory.limit(pattern, &options.folder) {
            Ok(hosts) => Some(hosts.into_iter().collect()),
            Err(e) => {
                errors.push(pattern_error("--limit", pattern, &e));
                None
            }
        },
    };
    let mut excluded = HashMap::new();
    for (pattern, reason) in &options.exclude {
        match inventory.select(pattern) {
            Ok(hosts) => excluded.extend(hosts.into_iter().map(|host| (host, reason.clone()))),
            Err(e) => errors.push(pattern_error("--exclude", pattern, &e)),
        }
    }
    let tags = Tags::new(&playbook, &options.tags, &options.skip_tags).unwrap_or_else(|e| {
        errors.extend(e);
        Tags::default()
    });
    let unknown = partial.names.into_iter().map(|name| {
        let pending = Pending {
            name: name.clone(),
            fields: None,
            known: None,
        };
        (name, Binding::Pending(pending))
    });
    let templates = Templates::new(playbook.source.folder().to_path_buf(), redactor.clone());
    Ok(Loaded {
        templates,
        redactor,
        extra: Arc::new(extra),
        secrets: Arc::new(layer),
        passwords,
        limit,
        excluded,
        tags,
        run,
        key,
        live: SharedLive::default(),
        shared: Shared::default(),
        notes,
        errors,
        unknown: Arc::new(unknown.collect()),
        items: IndexMap::new(),
        options,
        playbook,
        inventory,
    })
}

pub(crate) fn pattern_error(what: &str, pattern: &str, error: &crate::inventory::PatternError) -> Diagnostic {
    let mut diagnostic = Diagnostic::general(format!("{what} `{}`: {error}", pattern.escape_debug()));
    if let Some(help) = &error.help {
        diagnostic = diagnostic.help(help.clone());
    }
    diagnostic
}

fn read_secret(
    source: &SecretSource,
    secrets: SecretUse,
    folder: &Path,
    name: &str,
    notes: &mut Diagnostics,
) -> Result<Secret, String> {
    if secrets == SecretUse::Placeholder {
        return Ok(Secret::new(format!("placeholder-of-{name}")));
    }
    let read = match source {
        SecretSource::File(path) => secret::from_file(path).map(|(secret, warning)| {
            notes.extend(warning.map(|text| Diagnostic::general(text).severity(Severity::Warning)));
            secret
        }),
        SecretSource::Env(variable) => secret::from_env(variable),
        SecretSource::Prompt(text) => secret::from_prompt(text),
        SecretSource::Command(text) => secret::from_command(text, folder),
    };
    read.map_err(|e| e.to_string())
}

/// `k=v` is text; `{…}` and `@FILE` are YAML and keep their types; a later one wins.
fn extra_vars(given: &[String], folder: &Path) -> Result<Layer, Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut layer = Layer::new();
    for text in given {
        let source = if let Some(path) = text.strip_prefix('@') {
            match yaml::read(&folder.join(path)) {
                Ok(source) => source,
                Err(e) => {
                    errors.push(e);
                    continue;
                }
            }
        } else if text.trim_start().starts_with(['{', '[']) {
            Source::new("-e", text.clone())
        } else {
            let Some((name, value)) = text.split_once('=') else {
                errors.push(
                    Diagnostic::general(format!("-e `{}` is no `name=value`", text.escape_debug()))
                        .help("write `-e name=value`, `-e '{name: value}'` or `-e @FILE`"),
                );
                continue;
            };
            let name = name.trim();
            if !playbook::is_variable_name(name) {
                errors.push(Diagnostic::general(format!(
                    "-e `{}`: `{}` is no name of a variable",
                    text.escape_debug(),
                    name.escape_debug()
                )));
                continue;
            }
            errors.extend(secret_by_name(name));
            layer.insert(
                name.to_owned(),
                Binding::Data(serde_json::Value::String(value.to_owned())),
            );
            continue;
        };
        match yaml::parse(&source, Rules::Core) {
            Ok(node) => match variables(&node) {
                Ok(more) => {
                    if !text.starts_with('@') {
                        errors.extend(more.keys().filter_map(|name| secret_by_name(name)));
                    }
                    layer.extend(more);
                }
                Err(e) => errors.push(e),
            },
            Err(e) => errors.extend(e),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(layer) }
}

/// A password on the command line would stand in the list of processes, and in the journal for a resume.
fn secret_by_name(name: &str) -> Option<Diagnostic> {
    matches!(name, "ansible_become_password" | "ansible_become_pass").then(|| {
        Diagnostic::general(format!("-e `{name}`: a password does not belong on a command line"))
            .help("name it in the inventory, from an entry of the playbook's `secrets`, or in a file: `-e @FILE`")
    })
}

fn variables(node: &Node) -> Result<Layer, Diagnostic> {
    let Some(entries) = node.as_map() else {
        return Err(Diagnostic::error(
            &node.span,
            format!("expected a mapping of variables, found {}", node.kind_name()),
        ));
    };
    let mut layer = Layer::new();
    for (key, value) in entries {
        match key.as_str() {
            Some(name) if playbook::is_variable_name(name) => {
                layer.insert(name.to_owned(), Binding::Template(Arc::new(value.clone())));
            }
            _ => return Err(Diagnostic::error(&key.span, "this is no name of a variable").severity(Severity::Error)),
        }
    }
    Ok(layer)
}
