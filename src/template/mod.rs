//! Templates: strict, typed, lazy; a variable is rendered when it is used, never twice, and never as a template again
//! where it came from a host.

mod condition;
mod engine;
mod eval;
mod filter;
mod lookup;
mod method;
mod operate;
mod place;
mod print;
mod reach;
mod scope;
mod syntax;
mod test;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use scope::{Binding, Layer, Peers, Pending, Rendered, Scope};

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use engine::Engine;
use place::{Arena, Place};
use syntax::{Compiled, Fault, Mode};
use value::{Halt, Res, Val};

use crate::secret::Redactor;
use crate::yaml::{Diagnostic, Node, Source, Span, Value};

/// The template engine: one for all hosts of a run.
pub(crate) struct Templates {
    folder: PathBuf,
    redactor: Redactor,
    compiled: RwLock<HashMap<Mode, HashMap<String, Kept>>>,
}

type Kept = Result<Arc<Compiled>, Arc<Fault>>;

/// Compiled templates that are kept; a run with more starts to forget.
const KEPT: usize = 20_000;

impl Templates {
    /// `folder`: the playbook's, where `lookup('file', …)` and `include` start. What is secret in a template goes to the
    /// redactor, and no error shows what the redactor knows.
    pub(crate) fn new(folder: impl Into<PathBuf>, redactor: Redactor) -> Templates {
        Templates {
            folder: folder.into(),
            redactor,
            compiled: RwLock::default(),
        }
    }

    /// Renders every string below `node` with the scope; a scalar that is wholly one `{{ expression }}` keeps its type.
    pub(crate) fn value(&self, node: &Node, scope: &Scope) -> Result<Rendered, Diagnostic> {
        let arenas = Arenas::new();
        self.with(scope, &arenas, Place::Node(node), |engine| {
            let value = engine.force(Val::Node(node, Some(0)))?;
            finish(engine, value)
        })
    }

    /// Evaluates a bare expression (`when`, `until`), which must give a boolean; true and false in `value`. Of a list
    /// all must hold; the first that does not decides.
    pub(crate) fn condition(&self, node: &Node, scope: &Scope) -> Result<Rendered, Diagnostic> {
        let arenas = Arenas::new();
        self.with(scope, &arenas, Place::Node(node), |engine| {
            condition::holds(engine, node).map(|holds| Outcome::Value(holds.into()))
        })
    }

    /// Evaluates an expression that no file holds (`refit eval`).
    pub(crate) fn expression(&self, text: &str, scope: &Scope) -> Result<Rendered, Diagnostic> {
        let arenas = Arenas::new();
        let place = Place::Typed(text);
        self.with(scope, &arenas, place, |engine| {
            let value = condition::evaluate(engine, text, place)?;
            engine.set_here(place, &(0..text.len()));
            finish(engine, value)
        })
    }

    /// Renders a template file on the controller; `at` is where it is named.
    pub(crate) fn file(&self, path: &Path, at: &Span, scope: &Scope) -> Result<Rendered, Diagnostic> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Diagnostic::error(at, format!("cannot read the template {}: {e}", path.display())))?;
        let source = Source::new(path, text);
        let arenas = Arenas::new();
        self.with(scope, &arenas, Place::Typed(""), |engine| {
            let value = engine.render_file(Arc::clone(&source), 0, None)?;
            finish(engine, value)
        })
        .map_err(|diagnostic| diagnostic.also(at, "the template is used here"))
    }

    /// The variables that the strings below a node name; what a template sets itself is left out. A template that cannot
    /// be read names nothing.
    pub(crate) fn names(&self, node: &Node) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.collect(node, Mode::Value, &mut names);
        names
    }

    /// The same for a condition or a list of them.
    pub(crate) fn condition_names(&self, node: &Node) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.collect(node, Mode::Expression, &mut names);
        names
    }

    /// The same for the text of a template file.
    pub(crate) fn file_names(&self, text: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        if let Ok(compiled) = self.compile(text, Mode::File) {
            syntax::names(&compiled, &mut names);
        }
        names
    }

    fn collect(&self, node: &Node, mode: Mode, names: &mut BTreeSet<String>) {
        if node.tag.as_deref() == Some("!unsafe") {
            return;
        }
        match &node.value {
            Value::Seq(items) => items.iter().for_each(|item| self.collect(item, mode, names)),
            Value::Map(entries) => entries.iter().for_each(|(_, value)| self.collect(value, mode, names)),
            Value::Str(text) if mode == Mode::Expression || syntax::is_template(text) => {
                if let Ok(compiled) = self.compile(text, mode) {
                    syntax::names(&compiled, names);
                }
            }
            _ => {}
        }
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    fn compile(&self, text: &str, mode: Mode) -> Result<Arc<Compiled>, Arc<Fault>> {
        {
            let kept = self.compiled.read().unwrap_or_else(|p| p.into_inner());
            if let Some(found) = kept.get(&mode).and_then(|texts| texts.get(text)) {
                return found.clone();
            }
        }
        let compiled = syntax::compile(text, mode).map(Arc::new).map_err(Arc::new);
        let mut kept = self.compiled.write().unwrap_or_else(|p| p.into_inner());
        let texts = kept.entry(mode).or_default();
        if texts.len() >= KEPT {
            texts.clear();
        }
        texts.insert(text.to_owned(), compiled.clone());
        compiled
    }

    fn with<'e>(
        &'e self,
        scope: &'e Scope,
        arenas: &'e Arenas,
        place: Place<'e>,
        work: impl FnOnce(&Engine<'e>) -> Res<'e, Outcome>,
    ) -> Result<Rendered, Diagnostic> {
        let engine = Engine::new(self, scope, arenas, place);
        let result = work(&engine).map_err(|halt| engine.fail(halt));
        let known = |value, omit| Rendered {
            value,
            secret: engine.secret.get(),
            pending: Vec::new(),
            omit,
        };
        match result {
            Ok(Outcome::Value(value)) => Ok(known(value, false)),
            Ok(Outcome::Omit) => Ok(known(serde_json::Value::Null, true)),
            Err(Halt::Pending) => Ok(Rendered {
                pending: engine.waiting.borrow().iter().cloned().collect(),
                ..known(serde_json::Value::Null, false)
            }),
            Err(Halt::Error(diagnostic)) => Err(self.clean(*diagnostic)),
            Err(Halt::Undefined(missing)) => Err(self.clean(engine.explain(&missing))),
            Err(Halt::Say(said)) => Err(self.clean(Diagnostic::general(said.message))),
            Err(Halt::Break | Halt::Continue) => Err(Diagnostic::general("`break` or `continue` outside a loop")),
        }
    }

    fn clean(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        let clean = |text: &mut String| *text = self.redactor.clean(text);
        clean(&mut diagnostic.message);
        clean(&mut diagnostic.label);
        diagnostic.help.iter_mut().for_each(clean);
        diagnostic.also.iter_mut().for_each(|(_, label)| clean(label));
        diagnostic
    }
}

/// What is read while a template is evaluated and must stay until it is done.
struct Arenas {
    peers: Arena<Scope>,
    files: Arena<Arc<Source>>,
}

impl Arenas {
    fn new() -> Arenas {
        Arenas {
            peers: Arena::new(),
            files: Arena::new(),
        }
    }
}

enum Outcome {
    Value(serde_json::Value),
    Omit,
}

fn finish<'a>(engine: &Engine<'a>, value: Val<'a>) -> Res<'a, Outcome> {
    match value {
        Val::Omit => Ok(Outcome::Omit),
        value => engine.to_json(&value).map(Outcome::Value),
    }
}
