//! The playbook's file, its `vars_files`, and the keys of the playbook itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::{Body, Playbook, Spanned, Stage};
use super::slug::slug;
use super::{blocks, check, stage, step, words};
use crate::kind::{self, Kind};
use crate::template::{Binding, Layer};
use crate::yaml::decode::{self, Fields};
use crate::yaml::{self, Diagnostic, Diagnostics, Node, Rules, Source, Value, suggestion};

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Playbook,
    Stage,
    Step,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Level::Playbook => "a playbook",
            Level::Stage => "a stage",
            Level::Step => "a step",
        }
    }
}

/// The kinds that steps are looked up in.
pub(super) struct Kinds {
    pub(super) find: fn(&str) -> Option<&'static dyn Kind>,
    pub(super) all: fn() -> &'static [&'static dyn Kind],
}

const KINDS: Kinds = Kinds {
    find: kind::find,
    all: kind::all,
};

/// Reads a playbook and its `vars_files`; every mistake in them is in the error.
pub(crate) fn load(path: &Path) -> Result<Playbook, Diagnostics> {
    match load_partly(path) {
        (Some(partial), found) if !found.has_errors() => Ok(partial.playbook),
        (_, found) => Err(found),
    }
}

/// What could be read of a playbook with mistakes in it, so that the mistakes elsewhere can be shown with them.
pub(crate) struct Partial {
    pub(crate) playbook: Playbook,
    /// Names that a step with a mistake may have bound: unknown, and no second mistake.
    pub(crate) names: Vec<String>,
}

/// As `load`, with as much of the playbook as there is; None where too little is there, or where variables are missing
/// whose names nobody knows.
pub(crate) fn load_partly(path: &Path) -> (Option<Partial>, Diagnostics) {
    let read = yaml::read(path)
        .map_err(Diagnostics::from)
        .and_then(|source| Ok((yaml::parse(&source, Rules::Core)?, source)));
    match read {
        Ok((root, source)) => {
            let (playbook, complete, found) = decode_with(source, &root, &KINDS);
            let mut names = Vec::new();
            if found.has_errors() {
                bound(&root, &mut names);
            }
            (
                playbook
                    .filter(|_| complete)
                    .map(|playbook| Partial { playbook, names }),
                found,
            )
        }
        Err(found) => (None, found),
    }
}

/// Every name that steps below this node bind.
fn bound(node: &Node, names: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                match (key.text.as_deref(), &value.value) {
                    (Some("register" | "as"), _) => names.extend(value.text.clone()),
                    (Some(key), _) if key.starts_with("with_") => names.push("item".to_owned()),
                    (Some("set" | "secrets"), Value::Map(inner)) => {
                        names.extend(inner.iter().filter_map(|(key, _)| key.text.clone()));
                    }
                    _ => bound(value, names),
                }
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| bound(item, names)),
        _ => {}
    }
}

#[cfg(test)]
pub(super) fn load_with(path: &Path, kinds: &Kinds) -> Result<Playbook, Diagnostics> {
    let source = yaml::read(path)?;
    let root = yaml::parse(&source, Rules::Core)?;
    match decode_with(source, &root, kinds) {
        (Some(playbook), _, found) if !found.has_errors() => Ok(playbook),
        (_, _, found) => Err(found),
    }
}

/// The playbook as far as it goes, and whether all of its variables are there.
fn decode_with(source: Arc<Source>, root: &Node, kinds: &Kinds) -> (Option<Playbook>, bool, Diagnostics) {
    let mut loader = Loader {
        kinds,
        folder: source.folder().to_owned(),
        sources: vec![Arc::clone(&source)],
        found: Diagnostics::default(),
        complete: true,
    };
    loader.refuse_vault(root);
    let playbook = loader.playbook(source, root);
    (playbook, loader.complete, loader.found)
}

pub(super) struct Loader<'a> {
    pub(super) kinds: &'a Kinds,
    /// The playbook's folder.
    pub(super) folder: PathBuf,
    sources: Vec<Arc<Source>>,
    pub(super) found: Diagnostics,
    /// Every file of variables could be read.
    complete: bool,
}

impl Loader<'_> {
    /// None only where too little is there to go on with; what is wrong is in `found`.
    fn playbook(&mut self, source: Arc<Source>, root: &Node) -> Option<Playbook> {
        match &root.value {
            Value::Seq(plays) => {
                self.found.push(list_of_plays(root, plays));
                return None;
            }
            Value::Null => {
                self.found.push(
                    Diagnostic::error(&root.span, "the playbook is empty")
                        .help("a playbook needs at least `hosts:` and `steps:` or `stages:`"),
                );
                return None;
            }
            _ => {}
        }
        let mut fields = Fields::of(root, Level::Playbook.name(), &mut self.found)?;
        let found = &mut self.found;
        let name = fields.get("name", decode::text, found).unwrap_or_else(|| {
            source
                .path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        });
        let hosts = fields.entry("hosts");
        let hosts = match hosts {
            Some((_, node)) => self.hosts(node),
            None => {
                self.found.push(
                    Diagnostic::error(&first_key(root), "the playbook has no `hosts`")
                        .help("write `hosts: PATTERN`; `hosts: all` is every host of the inventory"),
                );
                None
            }
        };
        let vars_files = fields.node("vars_files").cloned();
        let vars = fields.node("vars").cloned();
        let mut layer = Layer::new();
        if let Some(vars) = vars {
            self.vars(&vars, &mut layer);
        }
        // Ansible's order: a file of `vars_files` wins over `vars`.
        if let Some(files) = vars_files {
            let before = self.found.iter().count();
            self.vars_files(&files, &mut layer);
            self.complete = self.found.iter().count() == before;
        }
        let secrets = match fields.node("secrets") {
            Some(node) => blocks::secrets(self, node, &layer),
            None => Default::default(),
        };
        let databases = match fields.node("databases") {
            Some(node) => blocks::databases(self, node),
            None => Default::default(),
        };
        let environment = fields
            .node("environment")
            .and_then(|node| check::environment(self, node));
        let requires_environment = fields.get("requires_environment", spanned, &mut self.found);
        let elevation = check::elevation(self, &mut fields);
        let probes = match fields.node("probes") {
            Some(node) => step::steps(self, node, step::Use::Probe),
            None => Vec::new(),
        };
        let steps = fields.entry("steps");
        let stages = fields.entry("stages");
        let stages = match (steps, stages) {
            (Some((steps, _)), Some((stages, _))) => {
                self.found.push(
                    Diagnostic::error(&steps.span, "a playbook has `steps` or `stages`, not both")
                        .also(&stages.span, "the stages")
                        .help("move the steps into a stage of their own"),
                );
                Vec::new()
            }
            (Some((key, node)), None) => {
                let steps = step::steps(self, node, step::Use::Step);
                self.not_empty(key, node, "steps");
                vec![one_stage(&name, key, steps)]
            }
            (None, Some((key, node))) => {
                let stages = stage::stages(self, node);
                self.not_empty(key, node, "stages");
                stages
            }
            (None, None) => {
                // `tasks:` says so already, and better.
                if !fields
                    .rest()
                    .any(|(key, _)| key.text.as_deref().is_some_and(is_body_word))
                {
                    self.found.push(
                        Diagnostic::error(&first_key(root), "the playbook has neither `steps` nor `stages`")
                            .help("write `steps:` (one stage), or `stages:` with `steps:` in each"),
                    );
                }
                Vec::new()
            }
        };
        let finally = match fields.node("finally") {
            Some(node) => step::steps(self, node, step::Use::Finally),
            None => Vec::new(),
        };
        self.unknown_keys(&fields, Level::Playbook);
        Some(Playbook {
            source,
            sources: std::mem::take(&mut self.sources),
            name,
            hosts: hosts?,
            vars: Arc::new(layer),
            secrets,
            databases,
            environment,
            requires_environment,
            elevation,
            probes,
            stages,
            finally,
        })
    }

    pub(super) fn not_empty(&mut self, key: &Node, node: &Node, what: &str) {
        let empty = match &node.value {
            Value::Null => true,
            Value::Seq(items) => items.is_empty(),
            _ => false,
        };
        if empty {
            self.found
                .push(Diagnostic::error(&key.span, format!("`{what}` is empty")));
        }
    }

    /// A pattern, or a list of patterns.
    pub(super) fn hosts(&mut self, node: &Node) -> Option<Node> {
        let items = match decode::list(node) {
            Ok(items) => items,
            Err(_) => {
                self.found.push(Diagnostic::error(
                    &node.span,
                    format!("`hosts` is a pattern or a list of patterns, found {}", node.kind_name()),
                ));
                return None;
            }
        };
        if items.is_empty() {
            self.found
                .push(Diagnostic::error(&node.span, "`hosts` is empty").help("`hosts: all` is every host"));
            return None;
        }
        let mut fine = true;
        for item in items {
            if let Err(wrong) = decode::text(item) {
                self.found.push(decode::named("hosts", wrong));
                fine = false;
            }
        }
        fine.then(|| node.clone())
    }

    /// The entries of `vars:` into a layer.
    pub(super) fn vars(&mut self, node: &Node, layer: &mut Layer) {
        match &node.value {
            Value::Null => {}
            Value::Map(entries) => {
                for (key, value) in entries {
                    if let Some(name) = self.name(key, "a variable") {
                        layer.insert(name, Binding::Template(Arc::new(value.clone())));
                    }
                }
            }
            Value::Seq(_) => self.found.push(
                Diagnostic::error(&node.span, "`vars` is a mapping, found a list")
                    .help("write `NAME: VALUE` without the `-`"),
            ),
            _ => self.found.push(Diagnostic::error(
                &node.span,
                format!("`vars` is a mapping, found {}", node.kind_name()),
            )),
        }
    }

    /// The key as the name of a variable.
    pub(super) fn name(&mut self, key: &Node, what: &str) -> Option<String> {
        let name = key.text.clone().unwrap_or_default();
        match words::bad_name(&name) {
            None => Some(name),
            Some(why) => {
                self.found
                    .push(Diagnostic::error(&key.span, format!("`{name}` cannot be the name of {what}")).help(why));
                None
            }
        }
    }

    fn vars_files(&mut self, node: &Node, layer: &mut Layer) {
        let items = match decode::list(node) {
            Ok(items) => items,
            Err(wrong) => return self.found.push(decode::named("vars_files", wrong)),
        };
        for item in items {
            let path = match decode::text(item) {
                Ok(path) if decode::has_template(&path) => {
                    self.found.push(
                        Diagnostic::error(&item.span, "a path in `vars_files` may not hold a template")
                            .help("the files are read before any variable is known: name each file"),
                    );
                    continue;
                }
                Ok(path) => path,
                Err(wrong) => {
                    self.found.push(decode::named("vars_files", wrong));
                    continue;
                }
            };
            self.vars_file(item, &self.folder.join(path), layer);
        }
    }

    fn vars_file(&mut self, entry: &Node, path: &Path, layer: &mut Layer) {
        // `vars.yml`, not `./vars.yml`: what errors print.
        let source = match yaml::read(path.strip_prefix(".").unwrap_or(path)) {
            Ok(source) => source,
            Err(mut wrong) => {
                wrong.at = Some(entry.span.clone());
                return self.found.push(wrong);
            }
        };
        self.sources.push(Arc::clone(&source));
        if source.text.starts_with("$ANSIBLE_VAULT;") {
            let message = "a file that ansible-vault encrypted is known, not built yet";
            return self.found.push(Diagnostic::error(&entry.span, message));
        }
        let root = match yaml::parse(&source, Rules::Core) {
            Ok(root) => root,
            Err(wrong) => return self.found.extend(wrong),
        };
        self.refuse_vault(&root);
        match &root.value {
            Value::Map(_) | Value::Null => self.vars(&root, layer),
            _ => self.found.push(
                Diagnostic::error(
                    &root.span,
                    format!("a file of variables is a mapping, found {}", root.kind_name()),
                )
                .also(&entry.span, "named here"),
            ),
        }
    }

    fn refuse_vault(&mut self, node: &Node) {
        if node.tag.as_deref().is_some_and(|tag| tag.starts_with("!vault")) {
            self.found.push(
                Diagnostic::error(&node.span, "`!vault` is known, not built yet")
                    .help("name the value in `secrets:` and give it by `file`, `env`, `prompt` or `command`"),
            );
        }
        match &node.value {
            Value::Seq(items) => items.iter().for_each(|item| self.refuse_vault(item)),
            Value::Map(entries) => entries.iter().for_each(|(_, value)| self.refuse_vault(value)),
            _ => {}
        }
    }

    /// An error at each key that the level does not have.
    pub(super) fn unknown_keys(&mut self, fields: &Fields<'_>, level: Level) {
        for (key, _) in fields.rest() {
            let wrong = self.unknown_key(key, level);
            self.found.push(wrong);
        }
    }

    pub(super) fn unknown_key(&self, key: &Node, level: Level) -> Diagnostic {
        let name = key.text.as_deref().unwrap_or_default();
        let error = |message: String| Diagnostic::error(&key.span, message);
        if words::later(level).contains(&name) {
            return error(format!("`{name}` of {} is known, not built yet", level.name()));
        }
        if let Some(write) = words::ansible(level, name) {
            return error(format!("`{name}` is a word of Ansible's")).help(write);
        }
        if let Some(home) = words::LEVELS
            .into_iter()
            .find(|home| *home != level && (words::known(*home).contains(&name) || words::later(*home).contains(&name)))
        {
            return error(format!("`{name}` belongs to {}, not to {}", home.name(), level.name()));
        }
        if level != Level::Step && (self.kinds.find)(name).is_some() {
            return error(format!("`{name}` is a kind of step, and this is {}", level.name()))
                .help(format!("write it below `steps:`: `- {name}: …`"));
        }
        let wrong = error(format!("unknown key `{name}` in {}", level.name()));
        match suggestion(name, words::known(level).iter().copied()) {
            Some(help) => wrong.help(help),
            None => wrong,
        }
    }
}

fn spanned(node: &Node) -> Result<Spanned<String>, Diagnostic> {
    decode::literal(node).map(|value| Spanned {
        value,
        span: node.span.clone(),
    })
}

/// Words that stand where `steps` or `stages` should.
pub(super) fn is_body_word(word: &str) -> bool {
    matches!(
        word,
        "tasks" | "block" | "roles" | "pre_tasks" | "post_tasks" | "step" | "stage"
    )
}

pub(super) fn first_key(node: &Node) -> yaml::Span {
    match node.as_map().and_then(<[_]>::first) {
        Some((key, _)) => key.span.clone(),
        None => node.span.clone(),
    }
}

fn list_of_plays(root: &Node, plays: &[Node]) -> Diagnostic {
    let at = plays.first().map_or(&root.span, |play| &play.span);
    let is_import = plays
        .iter()
        .any(|play| play.get("import_playbook").is_some() || play.get("ansible.builtin.import_playbook").is_some());
    let wrong = Diagnostic::error(
        at,
        "a playbook is one mapping, and this is a list of plays, as Ansible has it",
    );
    if is_import {
        return wrong.help("run the playbooks one after the other, or write their stages into one");
    }
    wrong.help(
        "write each play as a stage:\nname: …\nhosts: all\nstages:\n  - name: …\n    hosts: …\n    steps:\n      - …",
    )
}

/// `steps:` of a playbook: one stage with a barrier after every step.
fn one_stage(name: &str, key: &Node, steps: Vec<super::model::Step>) -> Stage {
    let id = match slug(name) {
        id if id.is_empty() => "steps".to_owned(),
        id => id,
    };
    Stage {
        id,
        name: Node::string(key.span.clone(), name),
        hosts: None,
        vars: Arc::default(),
        when: None,
        serial: None,
        forks: None,
        max_fail: None,
        elevation: Default::default(),
        tags: Vec::new(),
        run_once: false,
        for_each: None,
        as_: None,
        timeout: None,
        lockstep: true,
        environment: None,
        guard: Vec::new(),
        rollback: Vec::new(),
        body: Body::Steps(steps),
    }
}
