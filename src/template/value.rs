//! What an expression can be while it is evaluated: Python's values, and the ones that only Refit has (not rendered yet,
//! not known yet, left out).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::place::Place;
use super::syntax::Macro;
use crate::yaml::{Diagnostic, Node};

/// Index into the engine's scopes; None: nothing below is a template.
pub(super) type Within = Option<usize>;

#[derive(Clone)]
pub(super) enum Val<'a> {
    /// No error until it is used.
    Undefined(Rc<Missing<'a>>),
    /// The parameter or element that holds it counts as not given.
    Omit,
    /// Not known yet.
    Pending(Rc<Waiting>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
    List(Rc<RefCell<Vec<Val<'a>>>>),
    Tuple(Rc<Vec<Val<'a>>>),
    Dict(Rc<RefCell<Dict<'a>>>),
    /// A list or mapping of a file, whose children are rendered when they are reached; or a scalar on its way.
    Node(&'a Node, Within),
    /// A list or mapping of a host or result.
    Data(&'a serde_json::Value),
    Vars(usize),
    Peers,
    Namespace(Rc<RefCell<Dict<'a>>>),
    Loop(Rc<Loop<'a>>),
    Macro(Rc<Closure<'a>>),
    /// A Python method that is not called yet.
    Method(Rc<(Val<'a>, Arc<str>)>),
    Function(&'static str),
}

pub(super) type Dict<'a> = IndexMap<Key, Val<'a>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    None,
    Bool(bool),
    Int(i128),
    /// The bits of a float that is no whole number.
    Float(u64),
    Str(Arc<str>),
}

pub(super) struct Missing<'a> {
    pub(super) what: Absent<'a>,
    pub(super) place: Place<'a>,
    pub(super) range: Range<usize>,
}

pub(super) enum Absent<'a> {
    /// A variable; the names that it may have been meant to be are looked up when it is reported.
    Name(Arc<str>, usize),
    /// A field of something: its text, the value, the field.
    Field(String, Val<'a>, String),
    /// A variable is there, but its template reaches something undefined.
    Inside(Rc<Missing<'a>>),
    Note(String),
    /// `a if b` where b is false: nothing inside text, as in Jinja; an error alone.
    NoElse,
}

impl<'a> Val<'a> {
    pub(super) fn is_no_else(&self) -> bool {
        matches!(self, Val::Undefined(missing) if matches!(missing.what, Absent::NoElse))
    }
}

pub(super) struct Waiting {
    pub(super) fields: Option<&'static [&'static str]>,
    pub(super) known: Option<Arc<serde_json::Value>>,
}

pub(super) struct Loop<'a> {
    pub(super) index: usize,
    pub(super) items: Rc<Vec<Val<'a>>>,
    pub(super) depth: usize,
    pub(super) changed: RefCell<HashMap<usize, Val<'a>>>,
}

pub(super) struct Closure<'a> {
    pub(super) macro_: Arc<Macro>,
    /// None: what the template sets at its top.
    pub(super) locals: Option<Rc<Locals<'a>>>,
}

/// Names that the template itself sets.
#[derive(Default)]
pub(super) struct Locals<'a> {
    pub(super) names: RefCell<HashMap<Arc<str>, Val<'a>>>,
    pub(super) parent: Option<Rc<Locals<'a>>>,
}

impl<'a> Locals<'a> {
    pub(super) fn below(parent: &Rc<Locals<'a>>) -> Rc<Locals<'a>> {
        Rc::new(Locals {
            names: RefCell::default(),
            parent: Some(Rc::clone(parent)),
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<Val<'a>> {
        if let Some(found) = self.names.borrow().get(name) {
            return Some(found.clone());
        }
        self.parent.as_ref()?.find(name)
    }

    pub(super) fn set(&self, name: Arc<str>, value: Val<'a>) {
        self.names.borrow_mut().insert(name, value);
    }
}

/// Why an evaluation ends early.
pub(super) enum Halt<'a> {
    Error(Box<Diagnostic>),
    Undefined(Rc<Missing<'a>>),
    /// An error that has no place yet.
    Say(Box<Said>),
    /// It depends on what is not known yet.
    Pending,
    Break,
    Continue,
}

pub(super) struct Said {
    pub(super) message: String,
    pub(super) help: Vec<String>,
}

pub(super) type Res<'a, T> = Result<T, Halt<'a>>;

pub(super) fn say<'a, T>(message: impl Into<String>) -> Res<'a, T> {
    Err(said(message))
}

pub(super) fn said<'a>(message: impl Into<String>) -> Halt<'a> {
    Halt::Say(Box::new(Said {
        message: message.into(),
        help: Vec::new(),
    }))
}

impl<'a> Halt<'a> {
    pub(super) fn help(mut self, help: impl Into<String>) -> Halt<'a> {
        if let Halt::Say(said) = &mut self {
            said.help.push(help.into());
        }
        self
    }
}

impl<'a> Val<'a> {
    pub(super) fn str(text: impl Into<Arc<str>>) -> Val<'a> {
        Val::Str(text.into())
    }

    pub(super) fn list(items: Vec<Val<'a>>) -> Val<'a> {
        Val::List(Rc::new(RefCell::new(items)))
    }

    pub(super) fn dict(entries: Dict<'a>) -> Val<'a> {
        Val::Dict(Rc::new(RefCell::new(entries)))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Val::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Only where the value is owned: nothing below it is rendered later.
    pub(super) fn from_json(value: &serde_json::Value) -> Val<'a> {
        match value {
            serde_json::Value::Array(items) => Val::list(items.iter().map(Val::from_json).collect()),
            serde_json::Value::Object(map) => Val::dict(
                map.iter()
                    .map(|(k, v)| (Key::Str(k.as_str().into()), Val::from_json(v)))
                    .collect(),
            ),
            scalar => Val::from_json_scalar(scalar).unwrap_or(Val::None),
        }
    }

    pub(super) fn from_json_scalar(value: &serde_json::Value) -> Option<Val<'a>> {
        Some(match value {
            serde_json::Value::Null => Val::None,
            serde_json::Value::Bool(b) => Val::Bool(*b),
            serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(i), _) => Val::Int(i.into()),
                (_, Some(u)) => Val::Int(u.into()),
                _ => Val::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Val::str(text.as_str()),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => return None,
        })
    }

    /// Python's name of the type, as `type_debug` gives it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Val::Undefined(_) => "undefined",
            Val::Omit => "omit",
            Val::Pending(_) => "pending",
            Val::None => "NoneType",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Float(_) => "float",
            Val::Str(_) => "str",
            Val::List(_) | Val::Tuple(_) => "list",
            Val::Dict(_) | Val::Vars(_) | Val::Peers => "dict",
            Val::Node(node, _) => match &node.value {
                crate::yaml::Value::Seq(_) => "list",
                crate::yaml::Value::Map(_) => "dict",
                _ => "str",
            },
            Val::Data(value) => match value {
                serde_json::Value::Array(_) => "list",
                serde_json::Value::Object(_) => "dict",
                _ => "str",
            },
            Val::Namespace(_) => "Namespace",
            Val::Loop(_) => "LoopContext",
            Val::Macro(_) => "Macro",
            Val::Method(_) | Val::Function(_) => "function",
        }
    }

    /// For "expected a list, found …".
    pub(super) fn kind(&self) -> &'static str {
        match self.type_name() {
            "NoneType" => "nothing",
            "bool" => "a boolean",
            "int" => "an integer",
            "float" => "a number",
            "str" => "text",
            "list" => "a list",
            "dict" => "a mapping",
            "function" => "a function",
            "undefined" => "something undefined",
            "omit" => "`omit`",
            "pending" => "something not known yet",
            "Macro" => "a macro",
            _ => "an object of the template",
        }
    }
}

impl Key {
    pub(super) fn text(&self) -> String {
        match self {
            Key::None => "None".to_owned(),
            Key::Bool(b) => python_bool(*b).to_owned(),
            Key::Int(i) => i.to_string(),
            Key::Float(bits) => python_float(f64::from_bits(*bits)),
            Key::Str(text) => text.to_string(),
        }
    }

    pub(super) fn val<'a>(&self) -> Val<'a> {
        match self {
            Key::None => Val::None,
            Key::Bool(b) => Val::Bool(*b),
            Key::Int(i) => Val::Int(*i),
            Key::Float(bits) => Val::Float(f64::from_bits(*bits)),
            Key::Str(text) => Val::Str(Arc::clone(text)),
        }
    }

    pub(super) fn of<'a>(value: &Val<'a>) -> Res<'a, Key> {
        Ok(match value {
            Val::None => Key::None,
            Val::Bool(b) => Key::Bool(*b),
            Val::Int(i) => Key::Int(*i),
            Val::Float(f) if f.fract() == 0.0 && f.abs() < 1e15 => Key::Int(*f as i128),
            Val::Float(f) => Key::Float(f.to_bits()),
            Val::Str(text) => Key::Str(Arc::clone(text)),
            other => return say(format!("{} cannot be a key", other.kind())),
        })
    }

    pub(super) fn of_node(node: &Node) -> Key {
        use crate::yaml::Value;
        match &node.value {
            Value::Null => Key::None,
            Value::Bool(b) => Key::Bool(*b),
            Value::Int(i) => Key::Int((*i).into()),
            Value::Float(f) => Key::Float(f.to_bits()),
            Value::Str(text) => Key::Str(text.as_str().into()),
            Value::Seq(_) | Value::Map(_) => Key::Str(node.text.clone().unwrap_or_default().into()),
        }
    }
}

pub(super) fn python_bool(b: bool) -> &'static str {
    if b { "True" } else { "False" }
}

/// As Python's `repr`: the shortest text that reads back, with an exponent below 1e-4 and from 1e16.
pub(super) fn python_float(f: f64) -> String {
    if f.is_nan() {
        return "nan".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = f.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{f:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = format!("{f}");
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// As Python's `repr` of text.
pub(super) fn python_quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || (0x7f..=0xa0).contains(&(c as u32)) || c == '\u{ad}' => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}
