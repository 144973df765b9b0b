//! YAML out as libyaml writes it for Ansible, YAML 1.1 in.

use std::sync::OnceLock;

use regex::Regex;

use super::super::engine::Engine;
use super::super::operate::sized;
use super::super::value::{Key, Res, Val, python_float, said, say};
use super::Call;
use crate::yaml::{self, Node, Rules, Source, Value};

pub(super) fn filter<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    if call.name == "from_yaml" {
        if let Val::None = call.input {
            return Ok(Val::None);
        }
        let source = Source::new("from_yaml", call.text_only()?);
        return match yaml::parse(&source, Rules::Yaml11) {
            Ok(node) => Ok(owned(&node)),
            Err(found) => {
                let first = found.iter().next();
                let place = first.and_then(|d| d.at.as_ref()).map(|at| at.line_column());
                let at = place
                    .map(|(l, c)| format!(" at line {l} column {c}"))
                    .unwrap_or_default();
                Err(said(format!(
                    "not YAML{at}: {}",
                    first.map_or("", |d| d.message.as_str())
                )))
            }
        };
    }
    let nice = call.name == "to_nice_yaml";
    let flow = match call.named("default_flow_style") {
        Some(Val::None) => Flow::Leaves,
        Some(value) => match call.engine.truth(value)? {
            true => Flow::All,
            false => Flow::None,
        },
        None if nice => Flow::None,
        None => Flow::Leaves,
    };
    let number = |index, name, default: i64| call.int_arg(index, name).map(|n| n.unwrap_or(default));
    let indent = number(if nice { 0 } else { 9 }, "indent", if nice { 4 } else { 2 })?;
    let width = number(9, "width", 80)?;
    let mut writer = Writer {
        engine: call.engine,
        out: String::new(),
        column: 0,
        whitespace: true,
        indention: true,
        indent: -1,
        step: if (2..10).contains(&indent) { indent } else { 2 },
        width: if width > indent * 2 { width } else { 80 },
        flow,
        flow_level: 0,
        sort: call.flag(9, "sort_keys", true)?,
    };
    writer.value(&call.input, Context::Root)?;
    writer.out.push('\n');
    Ok(Val::str(writer.out))
}

/// Values without their places.
fn owned<'a>(node: &Node) -> Val<'a> {
    match &node.value {
        Value::Null => Val::None,
        Value::Bool(b) => Val::Bool(*b),
        Value::Int(i) => Val::Int((*i).into()),
        Value::Float(f) => Val::Float(*f),
        Value::Str(text) => Val::str(text.as_str()),
        Value::Seq(items) => Val::list(items.iter().map(owned).collect()),
        Value::Map(entries) => Val::dict(entries.iter().map(|(k, v)| (Key::of_node(k), owned(v))).collect()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    None,
    /// Collections that hold no collection.
    Leaves,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Sequence,
    Mapping,
    Key,
}

struct Writer<'c, 'a> {
    engine: &'c Engine<'a>,
    out: String,
    column: i64,
    whitespace: bool,
    indention: bool,
    indent: i64,
    step: i64,
    width: i64,
    flow: Flow,
    flow_level: usize,
    sort: bool,
}

impl<'a> Writer<'_, 'a> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count() as i64;
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn write_indent(&mut self) {
        let indent = self.indent.max(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line();
        }
        while self.column < indent {
            self.put(" ");
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, needs_space: bool, is_space: bool, is_indention: bool) {
        if needs_space && !self.whitespace {
            self.put(" ");
        }
        self.put(text);
        self.whitespace = is_space;
        self.indention = self.indention && is_indention;
    }

    fn value(&mut self, value: &Val<'a>, context: Context) -> Res<'a, ()> {
        let engine = self.engine;
        engine.step()?;
        sized(self.out.len())?;
        match value {
            Val::None => self.plain("null", false),
            Val::Bool(b) => self.plain(if *b { "true" } else { "false" }, false),
            Val::Int(i) => self.plain(&i.to_string(), false),
            Val::Float(f) => self.plain(&yaml_float(*f), false),
            Val::Str(text) => self.string(text, context),
            list if engine.is_list(list) => {
                let items = engine.elements(list)?;
                let flow = self.is_flow(items.iter());
                engine.nested(|| self.sequence(&items, flow, context))?;
            }
            map if engine.is_map(map) => {
                let mut entries = Vec::new();
                for (key, value) in engine.entries(map)? {
                    let value = engine.force(value)?;
                    if !matches!(value, Val::Omit) {
                        entries.push((key, value));
                    }
                }
                if self.sort {
                    entries.sort_by_cached_key(|(key, _)| key.text());
                }
                let flow = self.is_flow(entries.iter().map(|(_, v)| v));
                engine.nested(|| self.mapping(&entries, flow))?;
            }
            other => {
                let forced = engine.known(engine.force(other.clone())?)?;
                match forced {
                    Val::None | Val::Bool(_) | Val::Int(_) | Val::Float(_) | Val::Str(_) => {
                        self.value(&forced, context)?
                    }
                    other => return say(format!("{} cannot be written as YAML", other.kind())),
                }
            }
        }
        Ok(())
    }

    fn is_flow<'v>(&self, mut values: impl Iterator<Item = &'v Val<'a>>) -> bool
    where
        'a: 'v,
    {
        let leaf = |v: &Val<'a>| !self.engine.is_list(v) && !self.engine.is_map(v);
        self.flow_level > 0
            || match self.flow {
                Flow::All => true,
                Flow::Leaves => values.all(leaf),
                Flow::None => values.next().is_none(),
            }
    }

    fn sequence(&mut self, items: &[Val<'a>], flow: bool, context: Context) -> Res<'a, ()> {
        let outer = self.indent;
        if flow {
            self.indicator("[", true, true, false);
            self.indent = if outer < 0 { self.step } else { outer + self.step };
            self.flow_level += 1;
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    self.indicator(",", false, false, false);
                }
                if self.column > self.width {
                    self.write_indent();
                }
                self.value(item, Context::Sequence)?;
            }
            self.flow_level -= 1;
            self.indent = outer;
            self.indicator("]", false, false, false);
            return Ok(());
        }
        let indentless = context == Context::Mapping && !self.indention;
        self.indent = match outer {
            o if o < 0 => 0,
            o if indentless => o,
            o => o + self.step,
        };
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.value(item, Context::Sequence)?;
        }
        self.indent = outer;
        Ok(())
    }

    fn mapping(&mut self, entries: &[(Key, Val<'a>)], flow: bool) -> Res<'a, ()> {
        let outer = self.indent;
        if flow {
            self.indicator("{", true, true, false);
            self.indent = if outer < 0 { self.step } else { outer + self.step };
            self.flow_level += 1;
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    self.indicator(",", false, false, false);
                }
                if self.column > self.width {
                    self.write_indent();
                }
                self.value(&key.val(), Context::Key)?;
                self.indicator(":", false, false, false);
                self.value(value, Context::Mapping)?;
            }
            self.flow_level -= 1;
            self.indent = outer;
            self.indicator("}", false, false, false);
            return Ok(());
        }
        self.indent = if outer < 0 { 0 } else { outer + self.step };
        for (key, value) in entries {
            self.write_indent();
            self.value(&key.val(), Context::Key)?;
            self.indicator(":", false, false, false);
            self.value(value, Context::Mapping)?;
        }
        self.indent = outer;
        Ok(())
    }

    fn string(&mut self, text: &str, context: Context) {
        let found = analyse(text);
        let breaks = context != Context::Key;
        let plain = if self.flow_level > 0 {
            found.flow_plain
        } else {
            found.block_plain
        };
        let outer = self.indent;
        self.indent = if outer < 0 { self.step } else { outer + self.step };
        if plain && !reads_as_other(text) {
            self.plain(text, breaks);
        } else if found.single {
            self.single(text, breaks);
        } else {
            self.double(text, breaks);
        }
        self.indent = outer;
    }

    fn plain(&mut self, text: &str, breaks: bool) {
        if !self.whitespace {
            self.put(" ");
        }
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (i, c) in chars.iter().enumerate() {
            if *c == ' ' {
                if breaks && !spaces && self.column > self.width && chars.get(i + 1) != Some(&' ') {
                    self.write_indent();
                } else {
                    self.put(" ");
                }
                spaces = true;
            } else {
                self.put(c.encode_utf8(&mut [0; 4]));
                spaces = false;
            }
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single(&mut self, text: &str, allow: bool) {
        self.indicator("'", true, false, false);
        let chars: Vec<char> = text.chars().collect();
        let (mut spaces, mut breaks) = (false, false);
        for (i, c) in chars.iter().enumerate() {
            match c {
                ' ' => {
                    let inside = i > 0 && i + 1 < chars.len();
                    if allow && !spaces && self.column > self.width && inside && chars.get(i + 1) != Some(&' ') {
                        self.write_indent();
                    } else {
                        self.put(" ");
                    }
                    spaces = true;
                }
                '\n' => {
                    if !breaks {
                        self.line();
                    }
                    self.line();
                    self.indention = true;
                    breaks = true;
                }
                c => {
                    if breaks {
                        self.write_indent();
                    }
                    if *c == '\'' {
                        self.put("'");
                    }
                    self.put(c.encode_utf8(&mut [0; 4]));
                    self.indention = false;
                    spaces = false;
                    breaks = false;
                }
            }
        }
        if breaks {
            self.write_indent();
        }
        self.indicator("'", false, false, false);
    }

    fn double(&mut self, text: &str, allow: bool) {
        self.indicator("\"", true, false, false);
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (i, c) in chars.iter().enumerate() {
            if *c == ' ' {
                if allow && !spaces && self.column > self.width && i > 0 && i + 1 < chars.len() {
                    self.write_indent();
                    if chars.get(i + 1) == Some(&' ') {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
                spaces = true;
                continue;
            }
            spaces = false;
            let code = *c as u32;
            let text = match c {
                '\0' => "\\0".to_owned(),
                '\u{7}' => "\\a".to_owned(),
                '\u{8}' => "\\b".to_owned(),
                '\t' => "\\t".to_owned(),
                '\n' => "\\n".to_owned(),
                '\u{b}' => "\\v".to_owned(),
                '\u{c}' => "\\f".to_owned(),
                '\r' => "\\r".to_owned(),
                '\u{1b}' => "\\e".to_owned(),
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\u{85}' => "\\N".to_owned(),
                '\u{a0}' => "\\_".to_owned(),
                '\u{2028}' => "\\L".to_owned(),
                '\u{2029}' => "\\P".to_owned(),
                _ if printable(*c) => c.to_string(),
                _ if code <= 0xff => format!("\\x{code:02X}"),
                _ if code <= 0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
            self.put(&text);
        }
        self.indicator("\"", false, false, false);
    }
}

fn printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

struct Found {
    block_plain: bool,
    flow_plain: bool,
    single: bool,
}

fn analyse(text: &str) -> Found {
    let chars: Vec<char> = text.chars().collect();
    let blank = |c: Option<&char>| {
        c.is_none_or(|c| matches!(c, '\0' | ' ' | '\t' | '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}'))
    };
    let (mut block, mut flow) = (false, false);
    if text.starts_with("---") || text.starts_with("...") {
        (block, flow) = (true, true);
    }
    let (mut breaks, mut special, mut edges, mut break_space, mut space_break) = (false, false, false, false, false);
    let (mut previous_space, mut previous_break) = (false, false);
    for (i, c) in chars.iter().enumerate() {
        let followed = blank(chars.get(i + 1));
        if i == 0 {
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                    (block, flow) = (true, true);
                }
                '?' | ':' => {
                    flow = true;
                    block |= followed;
                }
                '-' if followed => (block, flow) = (true, true),
                _ => {}
            }
        } else {
            match c {
                ',' | '?' | '[' | ']' | '{' | '}' => flow = true,
                ':' => {
                    flow = true;
                    block |= followed;
                }
                '#' if blank(chars.get(i - 1)) => (block, flow) = (true, true),
                _ => {}
            }
        }
        let is_break = matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        breaks |= is_break;
        special |= !printable(*c) && *c != '\n';
        edges |= (*c == ' ' || is_break) && (i == 0 || i + 1 == chars.len());
        if *c == ' ' {
            break_space |= previous_break;
            (previous_space, previous_break) = (true, false);
        } else if is_break {
            space_break |= previous_space;
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
    }
    let no_plain = breaks || edges || break_space || space_break || special;
    Found {
        block_plain: !no_plain && !block,
        flow_plain: !no_plain && !flow && !text.is_empty(),
        single: !(break_space || space_break || special),
    }
}

/// Does YAML 1.1 read the plain text as something that is not text?
fn reads_as_other(text: &str) -> bool {
    static OTHER: OnceLock<Option<Regex>> = OnceLock::new();
    let other = OTHER.get_or_init(|| {
        Regex::new(concat!(
            r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
            r"|~|null|Null|NULL|=|<<",
            r"|[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?",
            r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            r"|[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+",
            r"|[0-9]{4}-[0-9]{2}-[0-9]{2}",
            r"|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?",
            r")$"
        ))
        .ok()
    });
    text.is_empty() || other.as_ref().is_some_and(|r| r.is_match(text))
}

fn yaml_float(f: f64) -> String {
    if f.is_nan() {
        return ".nan".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let text = python_float(f);
    match text.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        _ => text,
    }
}
