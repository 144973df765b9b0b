//! The tree.

use super::Span;

/// One YAML node: a value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
    /// A scalar's text as YAML decodes it (quotes and folding undone, types not applied): `1.10` stays `1.10`.
    /// None for sequences and mappings.
    pub(crate) text: Option<String>,
    pub(crate) style: Style,
    /// The tag as written (`!vault`, `!unsafe`), if it is not one of YAML's own.
    pub(crate) tag: Option<String>,
}

/// How a node was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// `|` and `>`.
    Block,
    /// A sequence or mapping, or a value that no file spells.
    None,
}

/// A node's value under the rule set that it was read with.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Seq(Vec<Node>),
    /// In the order of the text; merge keys are expanded; keys may be any scalar.
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub(crate) fn string(span: Span, text: impl Into<String>) -> Node {
        let text = text.into();
        Node {
            span,
            value: Value::Str(text.clone()),
            text: Some(text),
            style: Style::None,
            tag: None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Seq(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a text key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?
            .iter()
            .find(|(k, _)| k.text.as_deref() == Some(key))
            .map(|(_, v)| v)
    }

    /// What this is, for "expected a list, found …".
    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Str(_) => "text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}
