//! Evaluates templates: one engine per call, every variable rendered once in it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::place::Place;
use super::scope::{Binding, Scope};
use super::syntax::{self, Compiled, Mode};
use super::value::Within;
use super::value::{Absent, Halt, Locals, Missing, Res, Said, Val, Waiting, said};
use super::{Arenas, Templates};
use crate::yaml::{Diagnostic, Node, Source, Span, Value, did_you_mean};

/// Evaluation steps of one call: far above what a real template needs, a few seconds at most.
const STEPS: u64 = 3_000_000;
/// Nested evaluations; what the stack of a worker thread holds.
const DEPTH: u32 = 220;
/// Bytes of text or elements of a list that one step may make.
pub(super) const SIZE: usize = 32 << 20;

/// Names that are there without being a variable.
pub(super) const FUNCTIONS: &[&str] = &["range", "lookup", "query", "q", "dict", "namespace", "undef"];
const NOT_BUILT: &[&str] = &["now", "cycler", "joiner", "lipsum"];

pub(super) struct Engine<'a> {
    pub(super) templates: &'a Templates,
    pub(super) scopes: RefCell<Vec<&'a Scope>>,
    arenas: &'a Arenas,
    peers: RefCell<HashMap<String, Option<usize>>>,
    /// Scalars that were rendered already, by scope and node.
    memo: RefCell<HashMap<(usize, usize), Val<'a>>>,
    /// Scalars that are being rendered.
    open: RefCell<Vec<Open<'a>>>,
    here: RefCell<(Place<'a>, Range<usize>)>,
    steps: Cell<u64>,
    depth: Cell<u32>,
    pub(super) waiting: RefCell<BTreeSet<String>>,
    pub(super) secret: Cell<bool>,
}

struct Open<'a> {
    key: (usize, usize),
    node: &'a Node,
    label: String,
}

/// One template on its way.
pub(super) struct Frame<'a> {
    pub(super) scope: usize,
    pub(super) place: Place<'a>,
    pub(super) locals: RefCell<Rc<Locals<'a>>>,
    /// What the template sets at its top.
    pub(super) root: Rc<Locals<'a>>,
    pub(super) loop_depth: Cell<usize>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(scope: usize, place: Place<'a>) -> Frame<'a> {
        let root = Rc::new(Locals::default());
        Frame {
            scope,
            place,
            locals: RefCell::new(Rc::clone(&root)),
            root,
            loop_depth: Cell::new(0),
        }
    }

    pub(super) fn top(&self) -> Rc<Locals<'a>> {
        Rc::clone(&self.locals.borrow())
    }
}

impl<'a> Engine<'a> {
    pub(super) fn new(templates: &'a Templates, scope: &'a Scope, arenas: &'a Arenas, place: Place<'a>) -> Engine<'a> {
        Engine {
            templates,
            scopes: RefCell::new(vec![scope]),
            arenas,
            peers: RefCell::default(),
            memo: RefCell::default(),
            open: RefCell::default(),
            here: RefCell::new((place, 0..place.text().len())),
            steps: Cell::new(0),
            depth: Cell::new(0),
            waiting: RefCell::default(),
            secret: Cell::new(false),
        }
    }

    pub(super) fn scope(&self, index: usize) -> &'a Scope {
        self.scopes.borrow()[index]
    }

    pub(super) fn step(&self) -> Res<'a, ()> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > STEPS {
            return Err(self.fail(said("the template takes too long: more than three million steps")));
        }
        Ok(())
    }

    /// Runs something that may nest.
    pub(super) fn nested<T>(&self, work: impl FnOnce() -> Res<'a, T>) -> Res<'a, T> {
        let depth = self.depth.get();
        if depth >= DEPTH {
            return Err(self.fail(said("the template is nested too deeply")));
        }
        self.depth.set(depth + 1);
        let result = work();
        self.depth.set(depth);
        result
    }

    pub(super) fn set_here(&self, place: Place<'a>, range: &Range<usize>) {
        *self.here.borrow_mut() = (place, range.clone());
    }

    pub(super) fn here(&self) -> (Place<'a>, Range<usize>) {
        self.here.borrow().clone()
    }

    pub(super) fn restore(&self, here: (Place<'a>, Range<usize>)) {
        *self.here.borrow_mut() = here;
    }

    /// Gives an error that has no place yet the place that is being evaluated.
    pub(super) fn fail(&self, halt: Halt<'a>) -> Halt<'a> {
        let (place, range) = self.here();
        self.fail_at(halt, place, &range)
    }

    pub(super) fn fail_at(&self, halt: Halt<'a>, place: Place<'a>, range: &Range<usize>) -> Halt<'a> {
        match halt {
            Halt::Say(said) => Halt::Error(Box::new(self.diagnostic(*said, place, range))),
            other => other,
        }
    }

    fn diagnostic(&self, said: Said, place: Place<'a>, range: &Range<usize>) -> Diagnostic {
        let diagnostic = match place.span(range) {
            Some(span) => Diagnostic::error(&span, said.message),
            None => Diagnostic::general(said.message),
        };
        said.help.into_iter().fold(diagnostic, Diagnostic::help)
    }

    pub(super) fn compile(&self, text: &str, mode: Mode, place: Place<'a>) -> Res<'a, Arc<Compiled>> {
        self.templates.compile(text, mode).map_err(|fault| {
            let said = Said {
                message: fault.message.clone(),
                help: fault.help.clone(),
            };
            Halt::Error(Box::new(self.diagnostic(said, place, &fault.range)))
        })
    }

    /// A name as a template sees it, rendered if it is a scalar.
    pub(super) fn look_up(&self, frame: &Frame<'a>, name: &Arc<str>, range: &Range<usize>) -> Res<'a, Val<'a>> {
        if let Some(value) = frame.top().find(name) {
            return self.force(value);
        }
        match self.variable(frame.scope, name)? {
            Some(value) => Ok(value),
            None => match self.builtin(frame.scope, name) {
                Some(value) => Ok(value),
                None => Ok(Val::Undefined(Rc::new(Missing {
                    what: Absent::Name(Arc::clone(name), frame.scope),
                    place: frame.place,
                    range: range.clone(),
                }))),
            },
        }
    }

    /// A variable of a scope, rendered if it is a scalar; None where there is none of that name.
    pub(super) fn variable(&self, scope: usize, name: &str) -> Res<'a, Option<Val<'a>>> {
        let Some(binding) = self.scope(scope).find(name) else {
            return Ok(None);
        };
        Ok(Some(match binding {
            Binding::Template(node) => self.force_as(Val::Node(node, Some(scope)), Some(name))?,
            Binding::Data(data) => Val::from_json_scalar(data).unwrap_or(Val::Data(data)),
            Binding::Secret(secret) => {
                self.secret.set(true);
                self.templates.redactor().add(secret);
                Val::str(secret.reveal())
            }
            Binding::Pending(pending) => {
                self.waiting.borrow_mut().insert(pending.name.clone());
                Val::Pending(Rc::new(Waiting {
                    fields: pending.fields,
                    known: pending.known.clone(),
                }))
            }
        }))
    }

    fn builtin(&self, scope: usize, name: &str) -> Option<Val<'a>> {
        match name {
            "omit" => Some(Val::Omit),
            "vars" => Some(Val::Vars(scope)),
            "hostvars" if self.scope(0).peers.is_some() => Some(Val::Peers),
            _ => FUNCTIONS.iter().find(|f| **f == name).map(|f| Val::Function(f)),
        }
    }

    /// The scope of another host.
    pub(super) fn peer(&self, host: &str) -> Option<usize> {
        if let Some(known) = self.peers.borrow().get(host) {
            return *known;
        }
        let found = self.scope(0).peers.as_ref()?.scope(host).map(|scope| {
            let scope = self.arenas.peers.add(scope);
            let mut scopes = self.scopes.borrow_mut();
            scopes.push(scope);
            scopes.len() - 1
        });
        self.peers.borrow_mut().insert(host.to_owned(), found);
        found
    }

    /// Renders a scalar that was not rendered yet; anything else stays.
    pub(super) fn force(&self, value: Val<'a>) -> Res<'a, Val<'a>> {
        self.force_as(value, None)
    }

    fn force_as(&self, value: Val<'a>, label: Option<&str>) -> Res<'a, Val<'a>> {
        match value {
            Val::Node(node, within) => self.force_node(node, within, label),
            Val::Data(data) => Ok(Val::from_json_scalar(data).unwrap_or(value)),
            other => Ok(other),
        }
    }

    fn force_node(&self, node: &'a Node, within: Within, label: Option<&str>) -> Res<'a, Val<'a>> {
        let within = within.filter(|_| node.tag.as_deref() != Some("!unsafe"));
        Ok(match &node.value {
            Value::Null => Val::None,
            Value::Bool(b) => Val::Bool(*b),
            Value::Int(i) => Val::Int((*i).into()),
            Value::Float(f) => Val::Float(*f),
            Value::Seq(_) | Value::Map(_) => Val::Node(node, within),
            Value::Str(text) => match within {
                Some(scope) if syntax::is_template(text) => return self.render_once(node, text, scope, label),
                _ => Val::str(text.as_str()),
            },
        })
    }

    fn render_once(&self, node: &'a Node, text: &str, scope: usize, label: Option<&str>) -> Res<'a, Val<'a>> {
        let key = (scope, std::ptr::from_ref(node) as usize);
        if let Some(known) = self.memo.borrow().get(&key) {
            return Ok(known.clone());
        }
        let used = self.here();
        if let Some(cycle) = self.cycle(key, &used, label) {
            return Err(cycle);
        }
        self.open.borrow_mut().push(Open {
            key,
            node,
            label: label.map_or_else(|| used.0.slice(&used.1).to_owned(), str::to_owned),
        });
        let result = self.render(node, text, scope);
        let open = self.open.borrow_mut().pop();
        self.restore(used.clone());
        let value = match result {
            Ok(value) => value,
            Err(Halt::Pending) => Val::Pending(Rc::new(Waiting {
                fields: None,
                known: None,
            })),
            Err(Halt::Undefined(inner)) => Val::Undefined(Rc::new(Missing {
                what: Absent::Inside(inner),
                place: used.0,
                range: used.1,
            })),
            Err(Halt::Error(mut diagnostic)) => {
                let label = open.map(|o| o.label).unwrap_or_default();
                if let Some(span) = use_of(&used, node)
                    && diagnostic.also.len() < 8
                {
                    diagnostic.also.push((span, format!("needed for `{label}` here")));
                }
                return Err(Halt::Error(diagnostic));
            }
            Err(other) => return Err(other),
        };
        self.memo.borrow_mut().insert(key, value.clone());
        Ok(value)
    }

    fn cycle(&self, key: (usize, usize), used: &(Place<'a>, Range<usize>), label: Option<&str>) -> Option<Halt<'a>> {
        let open = self.open.borrow();
        let first = open.iter().position(|o| o.key == key)?;
        let ring = &open[first..];
        let again = label.unwrap_or_else(|| used.0.slice(&used.1));
        let mut names: Vec<&str> = ring.iter().map(|o| o.label.as_str()).collect();
        if names[0].is_empty() {
            names[0] = again;
        }
        names.push(names[0]);
        let message = format!("these variables need each other: {}", names.join(" → "));
        let mut diagnostic = match used.0.span(&used.1) {
            Some(span) => Diagnostic::error(&span, message),
            None => Diagnostic::general(message),
        };
        for (entry, name) in ring.iter().zip(&names) {
            diagnostic = diagnostic.also(&entry.node.span, format!("`{name}` is set here"));
        }
        Some(Halt::Error(Box::new(diagnostic)))
    }

    fn render(&self, node: &'a Node, text: &str, scope: usize) -> Res<'a, Val<'a>> {
        self.nested(|| {
            let place = Place::Node(node);
            let code = self.compile(text, Mode::Value, place)?;
            let frame = Frame::new(scope, place);
            let value = self.run(&frame, &code.body)?;
            Ok(keep_newlines(value, text))
        })
    }

    /// Renders a template file that an `include` or the template kind names.
    pub(super) fn render_file(
        &self,
        source: Arc<Source>,
        scope: usize,
        locals: Option<&Rc<Locals<'a>>>,
    ) -> Res<'a, Val<'a>> {
        self.nested(|| {
            let source = self.arenas.files.add(source);
            let place = Place::File(source);
            if source.text.starts_with("#jinja2:") {
                let halt = said("`#jinja2:` options at the top of a template: known, not built yet");
                return Err(self.fail_at(halt, place, &(0..8)));
            }
            let code = self.compile(&source.text, Mode::File, place)?;
            let mut frame = Frame::new(scope, place);
            if let Some(locals) = locals {
                frame.root = Locals::below(locals);
                frame.locals = RefCell::new(Rc::clone(&frame.root));
            }
            let text = self.text_of(&frame, &code.body)?;
            Ok(match locals {
                Some(_) => text,
                None => keep_newlines(text, &source.text),
            })
        })
    }

    /// What is told about something undefined when it is used.
    pub(super) fn explain(&self, missing: &Missing<'a>) -> Diagnostic {
        let (message, help) = match &missing.what {
            Absent::Inside(inner) => {
                let mut diagnostic = self.explain(inner);
                let used = (missing.place, missing.range.clone());
                let node = match inner.place {
                    Place::Node(node) => Some(node),
                    _ => None,
                };
                if let Some(span) = node.map_or_else(|| used.0.span(&used.1), |node| use_of(&used, node))
                    && diagnostic.also.len() < 8
                {
                    let name = missing.place.slice(&missing.range);
                    diagnostic.also.push((span, format!("needed for `{name}` here")));
                }
                return diagnostic;
            }
            Absent::Name(name, scope) => self.unknown_name(name, *scope),
            Absent::Field(base, value, field) => self.unknown_field(base, value, field),
            Absent::Note(note) => (note.clone(), None),
            Absent::NoElse => ("the condition is false and there is no `else`".to_owned(), None),
        };
        let said = Said {
            message,
            help: help.into_iter().collect(),
        };
        self.diagnostic(said, missing.place, &missing.range)
    }

    fn unknown_name(&self, name: &str, scope: usize) -> (String, Option<String>) {
        if NOT_BUILT.contains(&name) {
            return (format!("`{name}()`: known, not built yet"), None);
        }
        let scope = self.scope(scope);
        let names = scope.layers.iter().flat_map(|layer| layer.keys().map(String::as_str));
        let help = did_you_mean(name, names.chain(FUNCTIONS.iter().copied()).chain(["omit", "hostvars"]));
        (
            format!("undefined variable `{name}`"),
            help.map(|h| format!("did you mean `{h}`?")),
        )
    }

    fn unknown_field(&self, base: &str, value: &Val<'a>, field: &str) -> (String, Option<String>) {
        if let Val::Peers = value {
            let names = self.scope(0).peers.as_ref().map(|p| p.names()).unwrap_or_default();
            let help = did_you_mean(field, names.iter().map(String::as_str));
            return (
                format!("there is no host `{field}`"),
                help.map(|h| format!("did you mean `{h}`?")),
            );
        }
        let keys = self.keys(value).unwrap_or_default();
        let help = did_you_mean(field, keys.iter().map(String::as_str)).map(|h| format!("did you mean `{h}`?"));
        let message = match value {
            list if self.is_list(list) && field.parse::<i64>().is_ok() => {
                format!("`{base}` has no element {field}")
            }
            other => format!("`{base}` is {} and has no `{field}`", other.kind()),
        };
        (message, help)
    }
}

/// Where a template used the node; None where nothing but the caller did.
fn use_of(used: &(Place<'_>, Range<usize>), node: &Node) -> Option<Span> {
    match used.0 {
        Place::Node(place) if std::ptr::eq(place, node) || used.0.text().is_empty() => None,
        place => place.span(&used.1),
    }
}

/// The parser drops one newline at the end; text gets back what the source had.
fn keep_newlines<'a>(value: Val<'a>, source: &str) -> Val<'a> {
    let count = |text: &str| text.len() - text.trim_end_matches('\n').len();
    match &value {
        Val::Str(text) if count(source) > count(text) => {
            Val::str(format!("{text}{}", "\n".repeat(count(source) - count(text))))
        }
        _ => value,
    }
}
