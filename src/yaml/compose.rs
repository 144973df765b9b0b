//! Parser events to a tree: spans, tags, anchors, merge keys, duplicate keys, budgets.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::scalar::{self, Rules};
use super::{Diagnostic, Diagnostics, Node, Source, Span, Style, Value, syntax};

/// Nesting, aliases expanded.
const MAX_DEPTH: usize = 64;
/// Nodes that the text itself holds.
const MAX_NODES: usize = 4_000_000;
/// Nodes, and bytes of text in them, that aliases and merge keys add.
const MAX_ALIASED: usize = 250_000;
const MAX_ALIASED_BYTES: usize = 32 << 20;

/// Reads a file that holds one document; an empty one is a Null node.
pub(crate) fn parse(source: &Arc<Source>, rules: Rules) -> Result<Node, Diagnostics> {
    let mut composer = Composer {
        source,
        rules,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
        aliased: 0,
        aliased_bytes: 0,
        found: Diagnostics::default(),
    };
    if let Err(fatal) = composer.run() {
        composer.found.push(fatal);
    }
    if composer.found.has_errors() {
        return Err(composer.found);
    }
    Ok(composer.root.unwrap_or_else(|| Node {
        span: Span::new(source, 0, 0),
        value: Value::Null,
        text: None,
        style: Style::None,
        tag: None,
    }))
}

/// A collection whose end has not been read.
struct Open {
    span: Span,
    tag: Option<String>,
    anchor: usize,
    flow: bool,
    /// Where its last entry ends in the text; an alias ends where it stands.
    last: Option<usize>,
    /// The largest depth below, and what an alias to it would cost.
    height: usize,
    cost: Cost,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map {
        entries: Vec<(Node, Node)>,
        key: Option<Node>,
    },
}

#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    bytes: usize,
}

/// What an alias stands for.
struct Anchored {
    node: Node,
    height: usize,
    cost: Cost,
}

struct Composer<'a> {
    source: &'a Arc<Source>,
    rules: Rules,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    nodes: usize,
    aliased: usize,
    aliased_bytes: usize,
    found: Diagnostics,
}

impl Composer<'_> {
    /// The error is one that ends the reading; others are collected.
    fn run(&mut self) -> Result<(), Diagnostic> {
        let source = Arc::clone(self.source);
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH + 1,
            block_nesting_limit: MAX_DEPTH + 1
        };
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(&source.text, options) {
            let (event, at) = event.map_err(|error| syntax::diagnostic(&source, &error))?;
            let span = self.span(&at);
            let tag_span = at.tag_span().map_or_else(|| span.clone(), |tag| self.span(&tag));
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Diagnostic::error(&span, "a second document in one file")
                            .label("it begins here")
                            .help("one file holds one document: remove the `---` or make two files"));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let mut span = span;
                    if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                        let covered = &source.text[span.start..span.end];
                        span.end = span.start + covered.trim_end().len();
                    }
                    let node = self.scalar(&span, &text, style, tag.as_deref().zip(Some(&tag_span)));
                    let cost = Cost {
                        nodes: 1,
                        bytes: text.len(),
                    };
                    self.count(&span)?;
                    self.finish(node, span.end, anchor, 0, cost)?;
                }
                Event::SequenceStart(style, anchor, tag) => {
                    let content = Content::Seq(Vec::new());
                    self.start(span, style, anchor, tag.as_deref().zip(Some(&tag_span)), content)?;
                }
                Event::MappingStart(style, anchor, tag) => {
                    let content = Content::Map {
                        entries: Vec::new(),
                        key: None,
                    };
                    self.start(span, style, anchor, tag.as_deref().zip(Some(&tag_span)), content)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(&span)?,
                Event::Alias(id) => self.alias(&span, id)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn span(&self, at: &granit_parser::Span) -> Span {
        let length = self.source.text.len();
        let start = at.start.byte_offset().unwrap_or(length).min(length);
        let end = at.end.byte_offset().unwrap_or(start).min(length);
        Span::new(self.source, start, end)
    }

    fn count(&mut self, span: &Span) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Diagnostic::error(
                span,
                format!("the file holds more than {MAX_NODES} values"),
            ));
        }
        Ok(())
    }

    fn too_deep(span: &Span) -> Diagnostic {
        Diagnostic::error(span, format!("nested more than {MAX_DEPTH} levels deep"))
    }

    fn start(
        &mut self,
        span: Span,
        style: granit_parser::StructureStyle,
        anchor: usize,
        tag: Option<(&Tag, &Span)>,
        content: Content,
    ) -> Result<(), Diagnostic> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Self::too_deep(&span));
        }
        self.count(&span)?;
        let natural = match content {
            Content::Seq(_) => "seq",
            Content::Map { .. } => "map",
        };
        let tag = tag.and_then(|(tag, at)| self.collection_tag(tag, at, natural));
        self.open.push(Open {
            span,
            tag,
            anchor,
            flow: style == granit_parser::StructureStyle::Flow,
            last: None,
            height: 0,
            cost: Cost { nodes: 1, bytes: 0 },
            content,
        });
        Ok(())
    }

    fn end(&mut self, end: &Span) -> Result<(), Diagnostic> {
        let Some(done) = self.open.pop() else {
            return Ok(());
        };
        let mut span = done.span;
        let value = match done.content {
            Content::Seq(items) => Value::Seq(items),
            Content::Map { entries, .. } => Value::Map(self.expand(entries, &span)?),
        };
        // The parser ends a block collection where the next token begins; its text ends with its last entry.
        span.end = match done.last {
            Some(last) if !done.flow => last,
            _ => end.end.max(span.end),
        };
        let node = Node {
            span,
            value,
            text: None,
            style: Style::None,
            tag: done.tag,
        };
        let end = node.span.end;
        self.finish(node, end, done.anchor, done.height, done.cost)
    }

    /// Puts a complete node, whose text ends at `end`, where it belongs.
    fn finish(&mut self, node: Node, end: usize, anchor: usize, height: usize, cost: Cost) -> Result<(), Diagnostic> {
        if anchor != 0 {
            let node = node.clone();
            self.anchors.insert(anchor, Anchored { node, height, cost });
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.last = Some(end);
        parent.height = parent.height.max(height + 1);
        parent.cost.nodes += cost.nodes;
        parent.cost.bytes += cost.bytes;
        match &mut parent.content {
            Content::Seq(items) => items.push(node),
            Content::Map { entries, key } => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let braces = self.source.text[parent.span.start..].starts_with("{{");
                    let start = parent.span.start;
                    match self.key(node) {
                        Ok(node) => {
                            if let Some(Open {
                                content: Content::Map { key, .. },
                                ..
                            }) = self.open.last_mut()
                            {
                                *key = Some(node);
                            }
                        }
                        // What follows is no YAML that anybody meant.
                        Err(_) if braces => return Err(syntax::unquoted_template(self.source, start)),
                        Err(wrong) => return Err(wrong),
                    }
                }
            },
        }
        Ok(())
    }

    /// A key's text is what Ansible makes of it where Ansible's rules hold.
    fn key(&self, mut node: Node) -> Result<Node, Diagnostic> {
        match scalar::key_text(&node.value) {
            Some(text) => {
                if self.rules == Rules::Yaml11 {
                    node.text = Some(text);
                }
                Ok(node)
            }
            None => Err(
                Diagnostic::error(&node.span, format!("a key must be text, found {}", node.kind_name()))
                    .help("quote the key if it is text"),
            ),
        }
    }

    fn alias(&mut self, span: &Span, id: usize) -> Result<(), Diagnostic> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Diagnostic::error(span, "an alias inside the value that it names"));
        };
        self.aliased += anchored.cost.nodes;
        self.aliased_bytes += anchored.cost.bytes;
        if self.aliased > MAX_ALIASED || self.aliased_bytes > MAX_ALIASED_BYTES {
            return Err(Diagnostic::error(span, "aliases make this file too large")
                .label("up to here")
                .help(format!("together they may add {MAX_ALIASED} values")));
        }
        if self.open.len() + anchored.height > MAX_DEPTH {
            return Err(Self::too_deep(span));
        }
        let (node, height, cost) = (anchored.node.clone(), anchored.height, anchored.cost);
        self.finish(node, span.end, 0, height, cost)
    }

    /// Merge keys expanded, duplicates found. The places of keys are those of the text.
    fn expand(&mut self, entries: Vec<(Node, Node)>, map: &Span) -> Result<Vec<(Node, Node)>, Diagnostic> {
        let is_merge = |key: &Node| key.style == Style::Plain && key.tag.is_none() && key.text.as_deref() == Some("<<");
        let mut seen: HashMap<Key, Span> = HashMap::with_capacity(entries.len());
        let mut merges = false;
        for (key, _) in &entries {
            merges |= is_merge(key);
            if let Some(first) = seen.get(&Key::of(key)) {
                let name = key.text.as_deref().unwrap_or_default();
                let mut twice = Diagnostic::error(&key.span, format!("the key `{name}` stands twice"))
                    .label("here again")
                    .also(first, "first here");
                let first = &first.source.text[first.start..first.end];
                let again = &key.span.source.text[key.span.start..key.span.end];
                if first != again {
                    twice = twice.help(format!("`{first}` and `{again}` are one key"));
                }
                self.found.push(twice);
            } else {
                seen.insert(Key::of(key), key.span.clone());
            }
        }
        if !merges {
            return Ok(entries);
        }
        let mut whole: Vec<(Node, Node)> = Vec::with_capacity(entries.len());
        let mut merged: HashMap<Key, ()> = HashMap::new();
        for (key, value) in entries {
            if !is_merge(&key) {
                whole.push((key, value));
                continue;
            }
            let sources = match value.value {
                Value::Map(entries) => vec![entries],
                Value::Seq(items) if items.iter().all(|item| item.as_map().is_some()) => items
                    .into_iter()
                    .filter_map(|item| match item.value {
                        Value::Map(entries) => Some(entries),
                        _ => None,
                    })
                    .collect(),
                _ => {
                    self.found.push(
                        Diagnostic::error(&key.span, "`<<` takes a mapping or a list of mappings")
                            .label("merged here")
                            .help("write `<<: *anchor`"),
                    );
                    continue;
                }
            };
            for (key, value) in sources.into_iter().flatten() {
                let name = Key::of(&key);
                if !seen.contains_key(&name) && merged.insert(name, ()).is_none() {
                    whole.push((key, value));
                }
            }
        }
        if whole.len() > MAX_ALIASED {
            return Err(Diagnostic::error(map, "merge keys make this mapping too large"));
        }
        Ok(whole)
    }

    fn scalar(&mut self, span: &Span, text: &str, style: ScalarStyle, tag: Option<(&Tag, &Span)>) -> Node {
        let style = match style {
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
            _ => Style::Plain,
        };
        let mut kept = None;
        let value = match tag {
            None if style == Style::Plain => scalar::plain(text, self.rules),
            None => Ok(Value::Str(text.to_owned())),
            Some((tag, tag_span)) => match (tag.core_suffix(), tag.original()) {
                (Some("str"), _) => Ok(Value::Str(text.to_owned())),
                (Some(core @ ("int" | "float" | "bool" | "null")), _) => scalar::tagged(text, core, self.rules),
                (Some(core), _) => Err(scalar::BadScalar::WrongTag(core.to_owned())),
                (None, name) if name == "!" => Ok(Value::Str(text.to_owned())),
                (None, name) => {
                    self.known_tag(&name, tag_span);
                    kept = Some(name);
                    Ok(Value::Str(text.to_owned()))
                }
            },
        };
        let value = value.unwrap_or_else(|wrong| {
            let mut diagnostic = Diagnostic::error(span, wrong.to_string());
            if !matches!(wrong, scalar::BadScalar::WrongTag(_)) {
                diagnostic = diagnostic.help("quote it if it is text");
            }
            self.found.push(diagnostic);
            Value::Null
        });
        Node {
            span: span.clone(),
            value,
            text: Some(text.to_owned()),
            style,
            tag: kept,
        }
    }

    fn collection_tag(&mut self, tag: &Tag, span: &Span, natural: &str) -> Option<String> {
        if tag.is_yaml_core_schema_tag(natural) {
            return None;
        }
        let name = tag.original();
        if name == "!" {
            return None;
        }
        if name != "!unsafe" && KNOWN_TAGS.contains(&name.as_str()) || tag.is_yaml_core_schema() {
            let message = format!("the tag `{name}` does not fit a list or a mapping");
            self.found.push(Diagnostic::error(span, message));
        } else {
            self.known_tag(&name, span);
        }
        Some(name)
    }

    fn known_tag(&mut self, name: &str, span: &Span) {
        if !KNOWN_TAGS.contains(&name) {
            let mut unknown = Diagnostic::error(span, format!("unknown tag `{name}`"));
            if let Some(help) = super::suggestion(name, KNOWN_TAGS) {
                unknown = unknown.help(help);
            }
            self.found.push(unknown);
        }
    }
}

/// Tags that are not YAML's own and that readers of the tree know.
const KNOWN_TAGS: [&str; 3] = ["!unsafe", "!vault", "!vault-encrypted"];

/// What makes two keys one: equal values, as Python compares them, or equal text.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Text(String),
    Number(u64),
}

impl Key {
    fn of(node: &Node) -> Key {
        let number = |f: f64| Key::Number(if f == 0.0 { 0 } else { f.to_bits() });
        match &node.value {
            Value::Bool(b) => number(f64::from(u8::from(*b))),
            // Beyond 2^53 two integers may share a float; they are told apart by their text.
            Value::Int(i) if i.unsigned_abs() >= 1 << 53 => Key::Text(format!("\u{0}{i}")),
            Value::Int(i) => number(*i as f64),
            Value::Float(f) => number(*f),
            Value::Null => Key::Text("\u{0}null".to_owned()),
            _ => Key::Text(node.text.clone().unwrap_or_default()),
        }
    }
}
