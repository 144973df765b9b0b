//! JSON with a place on every value. Ansible reads every file as JSON first and as YAML if it is none: `1e3` is a
//! number here and text there.

use std::sync::Arc;

use crate::yaml::{Diagnostic, Diagnostics, Node, Source, Span, Style, Value};

const MAX_DEPTH: usize = 64;

/// None where the text is not JSON; errors where it is and cannot be taken.
pub(super) fn parse(source: &Arc<Source>) -> Option<Result<Node, Diagnostics>> {
    if !source.text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let mut reader = Reader {
        source,
        at: 0,
        depth: 0,
        found: Diagnostics::default(),
    };
    let node = reader.value()?;
    if reader.peek().is_some() {
        return None;
    }
    Some(if reader.found.has_errors() {
        Err(reader.found)
    } else {
        Ok(node)
    })
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    at: usize,
    depth: usize,
    found: Diagnostics,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.source.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn node(&self, start: usize, value: Value, text: Option<String>, style: Style) -> Node {
        Node {
            span: Span::new(self.source, start, self.at),
            value,
            text,
            style,
            tag: None,
        }
    }

    fn value(&mut self) -> Option<Node> {
        match self.peek()? {
            b'{' => self.nested(Reader::object),
            b'[' => self.nested(Reader::array),
            b'"' => {
                let start = self.at;
                let text = self.string()?;
                Some(self.node(start, Value::Str(text.clone()), Some(text), Style::DoubleQuoted))
            }
            _ => self.plain(),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self, usize) -> Option<Node>) -> Option<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let start = self.at;
        self.at += 1;
        let node = inner(self, start)?;
        self.depth -= 1;
        Some(node)
    }

    fn array(&mut self, start: usize) -> Option<Node> {
        let mut items = Vec::new();
        if !self.take(b']') {
            loop {
                items.push(self.value()?);
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return None;
                }
            }
        }
        Some(self.node(start, Value::Seq(items), None, Style::None))
    }

    fn object(&mut self, start: usize) -> Option<Node> {
        let mut entries: indexmap::IndexMap<String, (Node, Node)> = indexmap::IndexMap::new();
        if !self.take(b'}') {
            loop {
                self.peek();
                let at = self.at;
                let text = self.string()?;
                let key = self.node(at, Value::Str(text.clone()), Some(text.clone()), Style::DoubleQuoted);
                if !self.take(b':') {
                    return None;
                }
                let value = self.value()?;
                if let Some((first, _)) = entries.get(&text) {
                    self.found.push(
                        Diagnostic::error(&key.span, format!("the key `{text}` stands twice in one mapping"))
                            .also(&first.span, "the first"),
                    );
                }
                entries.insert(text, (key, value));
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return None;
                }
            }
        }
        if entries.len() == 1
            && let Some((_, value)) = entries.get("__ansible_unsafe")
            && value.as_str().is_some()
        {
            let mut unsafe_text = value.clone();
            unsafe_text.tag = Some("!unsafe".to_owned());
            return Some(unsafe_text);
        }
        if let Some((_, value)) = entries.get("__ansible_vault").filter(|_| entries.len() == 1) {
            let mut vault = value.clone();
            vault.tag = Some("!vault".to_owned());
            return Some(vault);
        }
        let entries = entries.into_values().collect();
        Some(self.node(start, Value::Map(entries), None, Style::None))
    }

    fn plain(&mut self) -> Option<Node> {
        let start = self.at;
        let rest = &self.source.text[start..];
        let length = rest
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            .count();
        let text = &rest[..length];
        self.at += length;
        let value = match text {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "NaN" => Value::Float(f64::NAN),
            "Infinity" => Value::Float(f64::INFINITY),
            "-Infinity" => Value::Float(f64::NEG_INFINITY),
            _ => match serde_json::from_str::<serde_json::Number>(text).ok() {
                Some(_) if text.contains(['.', 'e', 'E']) => Value::Float(text.parse().ok()?),
                Some(_) => Value::Int(text.parse().unwrap_or_else(|_| {
                    let at = Span::new(self.source, start, self.at);
                    self.found
                        .push(Diagnostic::error(&at, "the integer does not fit into 64 bits"));
                    0
                })),
                // Beyond what a float can hold, Python reads infinity; an integer of that size is an error as well.
                None => {
                    let digits = text.strip_prefix('-').unwrap_or(text);
                    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit()) {
                        return None;
                    }
                    Value::Float(text.parse::<f64>().ok().filter(|f| f.is_infinite())?)
                }
            },
        };
        Some(self.node(start, value, Some(text.to_owned()), Style::Plain))
    }

    fn string(&mut self) -> Option<String> {
        let text = &self.source.text;
        if text.as_bytes().get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at;
        let mut end = start + 1;
        while let Some(byte) = text.as_bytes().get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let quoted = text.get(start..=end)?;
        self.at = end + 1;
        serde_json::from_str(quoted).ok()
    }
}
