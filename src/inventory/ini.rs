//! The INI form of an inventory.

use std::sync::{Arc, LazyLock};

use indexmap::IndexMap;
use regex::Regex;

use super::address;
use super::graph::{Conflict, Graph, GroupId};
use super::literal;
use super::words;
use crate::yaml::{Diagnostic, Diagnostics, Node, Severity, Source, Span, Style, Value};

static SECTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$").expect("the pattern is a constant"));
static GROUP: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([^:\]\s]+)\s*(?:#.*)?$").expect("the pattern is a constant"));

const KINDS: [&str; 3] = ["hosts", "children", "vars"];

#[derive(Clone, Copy)]
enum Section {
    Hosts,
    Children,
    Vars,
    /// Its header is wrong: its lines say nothing.
    Unknown,
}

/// A group that was mentioned and not declared yet.
enum Pending {
    Vars { at: Span },
    Child { at: Span, parents: Vec<GroupId> },
}

/// Reads a source into the graph. Warnings and errors are in what it returns.
pub(super) fn read(source: &Arc<Source>, graph: &mut Graph) -> Diagnostics {
    let mut reader = Reader {
        source,
        graph,
        found: Diagnostics::default(),
        pending: IndexMap::new(),
        group: "ungrouped".to_owned(),
        section: Section::Hosts,
    };
    if source.text.starts_with('\u{feff}') {
        reader.found.push(
            Diagnostic::error(
                &Span::new(source, 0, 3),
                "the file begins with a byte order mark, which INI does not allow",
            )
            .help("save the file as UTF-8 without a BOM"),
        );
        return reader.found;
    }
    for (start, line) in lines(&source.text) {
        reader.line(start, line);
    }
    reader.undeclared();
    reader.found
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    graph: &'a mut Graph,
    found: Diagnostics,
    pending: IndexMap<String, Pending>,
    group: String,
    section: Section,
}

impl Reader<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }

    fn conflict(&mut self, at: &Span, result: Result<(), Conflict>) {
        if let Err(conflict) = result {
            self.found.push(Diagnostic::error(at, conflict.to_string()));
        }
    }

    fn line(&mut self, start: usize, line: &str) {
        let stripped = line.trim_start_matches(is_space);
        let start = start + line.len() - stripped.len();
        let line = stripped.trim_end_matches(is_space);
        if line.is_empty() || line.starts_with(['#', ';']) {
            return;
        }
        if let Some(header) = SECTION.captures(line) {
            let name = header.get(1).map_or("", |m| m.as_str()).to_owned();
            let at = self.span(start + 1, start + 1 + name.len());
            self.header(&name, &at, header.get(2).map(|m| (m.as_str(), start + m.start())));
            return;
        }
        if line.starts_with('[') && line.ends_with(']') {
            self.section = Section::Unknown;
            let at = self.span(start, start + line.len());
            self.found.push(
                Diagnostic::error(&at, "this is no section header")
                    .help("a header is `[group]`, `[group:children]` or `[group:vars]`, without blanks"),
            );
            return;
        }
        match self.section {
            Section::Hosts => self.host(start, line),
            Section::Vars => self.variable(start, line),
            Section::Children => self.child(start, line),
            Section::Unknown => {}
        }
    }

    fn header(&mut self, name: &str, at: &Span, kind: Option<(&str, usize)>) {
        self.group = name.to_owned();
        self.section = match kind {
            None | Some(("hosts", _)) => Section::Hosts,
            Some(("children", _)) => Section::Children,
            Some(("vars", _)) => Section::Vars,
            Some((other, place)) => {
                let span = self.span(place, place + other.len());
                let mut error = Diagnostic::error(&span, format!("unknown kind of section `{other}`"));
                error = error.help(
                    crate::yaml::suggestion(other, KINDS)
                        .unwrap_or_else(|| "write `hosts`, `children` or `vars`".to_owned()),
                );
                self.found.push(error);
                Section::Unknown
            }
        };
        let vars = matches!(self.section, Section::Vars);
        if !self.graph.groups.contains_key(name) {
            if vars && !self.pending.contains_key(name) {
                self.pending.insert(name.to_owned(), Pending::Vars { at: at.clone() });
            }
            if let Err(conflict) = self.graph.add_group(name, at) {
                self.found.push(Diagnostic::error(at, conflict.to_string()));
                return;
            }
        }
        if !vars
            && let Some(Pending::Child { at, parents }) = self.pending.shift_remove(name)
            && let Some(child) = self.graph.groups.get_index_of(name)
        {
            for parent in parents {
                let added = self.graph.add_child(parent, child);
                self.conflict(&at, added);
            }
        }
    }

    fn undeclared(&mut self) {
        for (name, pending) in std::mem::take(&mut self.pending) {
            let (at, message) = match pending {
                Pending::Vars { at } => (at, format!("variables for group `{name}`, which is declared nowhere")),
                Pending::Child { at, .. } => (at, format!("group `{name}` is declared nowhere")),
            };
            let mut error = Diagnostic::error(&at, message);
            let known = self.graph.groups.keys().map(String::as_str).filter(|g| *g != name);
            error = match crate::yaml::suggestion(&name, known) {
                Some(help) => error.help(help),
                None => error.help(format!("declare it with `[{name}]`; the group may be empty")),
            };
            self.found.push(error);
        }
    }

    fn child(&mut self, start: usize, line: &str) {
        let at = self.span(start, start + line.len());
        let Some(found) = GROUP.captures(line) else {
            self.found.push(
                Diagnostic::error(&at, "expected the name of a group")
                    .help("a line below `:children` is one group; variables go below `:vars`"),
            );
            return;
        };
        let name = found.get(1).map_or("", |m| m.as_str());
        let at = self.span(start, start + name.len());
        let Some(parent) = self.graph.groups.get_index_of(&self.group) else {
            return;
        };
        if let Some(child) = self.graph.groups.get_index_of(name) {
            let added = self.graph.add_child(parent, child);
            self.conflict(&at, added);
            return;
        }
        let pending = self.pending.entry(name.to_owned()).or_insert_with(|| Pending::Child {
            at,
            parents: Vec::new(),
        });
        if let Pending::Child { parents, .. } = pending {
            parents.push(parent);
        }
    }

    fn variable(&mut self, start: usize, line: &str) {
        let Some((key, value)) = line.split_once('=') else {
            let at = self.span(start, start + line.len());
            self.found
                .push(Diagnostic::error(&at, "expected `name = value`").help("a variable without a value is `name =`"));
            return;
        };
        let value_start = start + key.len() + 1 + value.len() - value.trim_start_matches(is_space).len();
        let (key, value) = (key.trim_matches(is_space), value.trim_matches(is_space));
        let at = self.span(value_start, value_start + value.len());
        if let Some(node) = self.literal(value, &at) {
            let set = self.graph.set_variable(&self.group, key, &node);
            self.conflict(&at, set);
        }
    }

    fn literal(&mut self, text: &str, at: &Span) -> Option<Arc<Node>> {
        match literal::value(text, at) {
            Ok(node) => Some(Arc::new(node)),
            Err(bad) => {
                self.found.push(Diagnostic::error(at, bad.to_string()));
                None
            }
        }
    }

    fn host(&mut self, start: usize, line: &str) {
        let words = match words::split(line) {
            Ok(words) => words,
            Err(unfinished) => {
                let place = start + unfinished.at();
                let at = self.span(place, place + 1);
                self.found.push(Diagnostic::error(&at, unfinished.to_string()));
                return;
            }
        };
        if let Some(cut) = words.last().and_then(|word| word.cut) {
            let at = self.span(start + cut, start + line.len());
            self.found.push(
                Diagnostic::error(&at, "a comment begins here, in the middle of a word")
                    .severity(Severity::Warning)
                    .help("quote the value if the `#` belongs to it; put a blank before it if not"),
            );
        }
        let mut words = words.into_iter();
        let Some(pattern) = words.next() else {
            return;
        };
        let at = self.span(start + pattern.start, start + pattern.end);
        let mut variables: Vec<(String, Arc<Node>, Span)> = Vec::new();
        for word in words {
            let whole = self.span(start + word.start, start + word.end);
            let Some(equals) = word.text.find('=') else {
                self.found.push(
                    Diagnostic::error(&whole, "expected `name=value`")
                        .help("one host a line, its variables behind it; quote a value with blanks"),
                );
                continue;
            };
            let value_at = self.span(start + word.place(equals + 1), start + word.end);
            if let Some(node) = self.literal(&word.text[equals + 1..], &value_at) {
                variables.push((word.text[..equals].to_owned(), node, value_at));
            }
        }
        let (names, port) = match expand(&pattern.text) {
            Ok(expanded) => expanded,
            Err(message) => {
                self.found.push(Diagnostic::error(&at, message));
                return;
            }
        };
        let port = port.map(|port| port_node(port, &at));
        let Some(group) = self.graph.groups.get_index_of(&self.group) else {
            return;
        };
        for name in names {
            if let Err(conflict) = self.graph.add_host(&name, group, port.as_ref(), &at) {
                self.found.push(Diagnostic::error(&at, conflict.to_string()));
                return;
            }
            for (key, value, place) in &variables {
                if let Err(conflict) = self.graph.set_variable(&name, key, value) {
                    self.found.push(Diagnostic::error(place, conflict.to_string()));
                }
            }
        }
    }
}

/// The names behind a host's first word, and its port.
fn expand(pattern: &str) -> Result<(Vec<String>, Option<i64>), String> {
    if pattern.trim() == "---" {
        return Err("`---` begins a YAML file, and this is read as INI".to_owned());
    }
    let (names, port) = address::expand(pattern).map_err(|bad| bad.to_string())?;
    if pattern.trim_end().ends_with(':') && port.is_none() {
        return Err(format!("`{pattern}` ends in `:` without a port"));
    }
    Ok((names, port))
}

pub(super) fn port_node(port: i64, at: &Span) -> Arc<Node> {
    Arc::new(Node {
        span: at.clone(),
        value: Value::Int(port),
        text: Some(port.to_string()),
        style: Style::None,
        tag: None,
    })
}

/// White space as Python's `str.strip` sees it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The lines of a text as Python's `str.splitlines` finds them, each with its first byte.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut at = 0;
    text.split(is_end).map(move |line| {
        let start = at;
        let end = start + line.len();
        at = end + text[end..].chars().next().map_or(0, char::len_utf8);
        (start, line)
    })
}
