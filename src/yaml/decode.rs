//! From nodes to typed values, collecting what is wrong.

use std::time::Duration;

use super::{Diagnostic, Diagnostics, Node, Value, suggestion};

/// Does a scalar hold a template?
pub(crate) fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn expected(node: &Node, wanted: &str) -> Diagnostic {
    let found = match &node.value {
        Value::Str(_) | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            let text = node.text.as_deref().unwrap_or_default();
            // Long text says nothing more; the caret shows it.
            match text.chars().count() {
                0..=40 if !text.contains('\n') => format!("{} `{text}`", node.kind_name()),
                _ => node.kind_name().to_owned(),
            }
        }
        _ => node.kind_name().to_owned(),
    };
    if let Some(text) = node.as_str()
        && has_template(text)
    {
        return Diagnostic::error(&node.span, format!("expected {wanted}, found a template"))
            .label("no template may stand here");
    }
    Diagnostic::error(&node.span, format!("expected {wanted}, found {found}"))
}

/// The error of a value, with the key that it stands under.
pub(crate) fn named(key: &str, mut wrong: Diagnostic) -> Diagnostic {
    wrong.message = format!("`{key}`: {}", wrong.message);
    wrong
}

/// Text; a number counts as it is written (`1.10`). A boolean, nothing, and collections do not.
pub(crate) fn text(node: &Node) -> Result<String, Diagnostic> {
    match (&node.value, &node.text) {
        (Value::Str(text), _) => Ok(text.clone()),
        (Value::Int(_) | Value::Float(_), Some(text)) => Ok(text.clone()),
        _ => Err(expected(node, "text")),
    }
}

/// Text without templates in it.
pub(crate) fn literal(node: &Node) -> Result<String, Diagnostic> {
    let text = text(node)?;
    match has_template(&text) {
        true => Err(expected(node, "text")),
        false => Ok(text),
    }
}

/// A boolean; also the words `yes`, `no`, `on`, `off` in any of their three spellings.
pub(crate) fn boolean(node: &Node) -> Result<bool, Diagnostic> {
    match &node.value {
        Value::Bool(b) => Ok(*b),
        Value::Str(text) => match text.as_str() {
            "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => Ok(true),
            "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => Ok(false),
            _ => Err(expected(node, "true or false")),
        },
        _ => Err(expected(node, "true or false")),
    }
}

/// A whole number; digits in quotes count.
pub(crate) fn int(node: &Node) -> Result<i64, Diagnostic> {
    match &node.value {
        Value::Int(i) => Ok(*i),
        Value::Str(text) => text.trim().parse().map_err(|_| expected(node, "a whole number")),
        _ => Err(expected(node, "a whole number")),
    }
}

/// `30s`, `1m30s`, or a number of seconds.
pub(crate) fn duration(node: &Node) -> Result<Duration, Diagnostic> {
    let wanted = "a duration such as `30s`, `5m` or `1m30s`";
    match (&node.value, &node.text) {
        (Value::Str(text), _) => parse_duration(text).map_err(|wrong| expected(node, wanted).label(wrong.to_string())),
        (Value::Int(_) | Value::Float(_), Some(text)) => {
            parse_duration(text).map_err(|wrong| expected(node, wanted).label(wrong.to_string()))
        }
        _ => Err(expected(node, wanted)),
    }
}

/// The items of a list; a scalar stands for a list of one, nothing for an empty one.
pub(crate) fn list(node: &Node) -> Result<Vec<&Node>, Diagnostic> {
    match &node.value {
        Value::Seq(items) => Ok(items.iter().collect()),
        Value::Null => Ok(Vec::new()),
        Value::Map(_) => Err(expected(node, "a list")),
        _ => Ok(vec![node]),
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDuration {
    #[error("no unit: write `s`, `m`, `h` or `d`")]
    NoUnit,
    #[error("unknown unit `{0}`: write `s`, `m`, `h` or `d`")]
    Unit(String),
    #[error("write the largest unit first, each once")]
    Order,
    #[error("too long")]
    TooLong,
    #[error("no number")]
    NoNumber,
    #[error("it may not be negative")]
    Negative,
}

/// `1m30s`, `2h`, `1d`, `500ms`, or a number of seconds with or without a fraction.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(BadDuration::Negative);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let seconds: f64 = text.parse().map_err(|_| BadDuration::NoNumber)?;
        return Duration::try_from_secs_f64(seconds).map_err(|_| BadDuration::TooLong);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err(BadDuration::NoNumber);
        }
        let number: u64 = rest[..digits].parse().map_err(|_| BadDuration::TooLong)?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(char::is_alphabetic).len();
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(BadDuration::NoUnit),
            other => return Err(BadDuration::Unit(other.to_owned())),
        };
        if unit >= smallest {
            return Err(BadDuration::Order);
        }
        smallest = unit;
        rest = &rest[letters..];
        total = number
            .checked_mul(unit)
            .and_then(|millis| total.checked_add(Duration::from_millis(millis)))
            .ok_or(BadDuration::TooLong)?;
    }
    match smallest {
        u64::MAX => Err(BadDuration::NoNumber),
        _ => Ok(total),
    }
}

/// The entries of a mapping, taken by name; what nobody asked for is unknown.
pub(crate) struct Fields<'n> {
    entries: &'n [(Node, Node)],
    /// "a step": for "unknown key `nmae` in a step".
    what: &'static str,
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// None, and an error, where the node is no mapping.
    pub(crate) fn of(node: &'n Node, what: &'static str, found: &mut Diagnostics) -> Option<Fields<'n>> {
        match node.as_map() {
            Some(entries) => Some(Fields {
                entries,
                what,
                asked: Vec::new(),
            }),
            None => {
                found.push(Diagnostic::error(
                    &node.span,
                    format!("{what} is a mapping, found {}", node.kind_name()),
                ));
                None
            }
        }
    }

    /// Key and value as written; a key with nothing after it counts as given.
    pub(crate) fn entry(&mut self, key: &'static str) -> Option<(&'n Node, &'n Node)> {
        self.asked.push(key);
        self.entries
            .iter()
            .find(|(k, _)| k.text.as_deref() == Some(key))
            .map(|(k, v)| (k, v))
    }

    pub(crate) fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The value through one of the functions of this file.
    pub(crate) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'n Node) -> Result<T, Diagnostic>,
        found: &mut Diagnostics,
    ) -> Option<T> {
        let (_, value) = self.entry(key)?;
        match read(value) {
            Ok(value) => Some(value),
            Err(wrong) => {
                found.push(named(key, wrong));
                None
            }
        }
    }

    /// Entries that nobody asked for.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (&'n Node, &'n Node)> {
        self.entries
            .iter()
            .filter(|(key, _)| !key.text.as_deref().is_some_and(|text| self.asked.contains(&text)))
            .map(|(k, v)| (k, v))
    }

    /// An error at each key that nobody asked for.
    pub(crate) fn finish(self, found: &mut Diagnostics) {
        for (key, _) in self.rest() {
            found.push(self.unknown(key, &[]));
        }
    }

    /// The error of an unknown key; `more` are names that would be known too.
    pub(crate) fn unknown(&self, key: &Node, more: &[&'static str]) -> Diagnostic {
        let name = key.text.as_deref().unwrap_or_default();
        let mut unknown = Diagnostic::error(&key.span, format!("unknown key `{name}` in {}", self.what));
        if let Some(help) = suggestion(name, self.asked.iter().copied().chain(more.iter().copied())) {
            unknown = unknown.help(help);
        }
        unknown
    }
}
