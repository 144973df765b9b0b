//! Values of INI inventories: what Python's `ast.literal_eval` makes of a text, else the text itself.

mod reader;
#[cfg(test)]
mod tests;

use crate::yaml::{Node, Span, Style, Value};
use reader::Reader;

/// A literal that Python takes and that has no place here.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum BadLiteral {
    #[error("the integer does not fit into 64 bits")]
    Overflow,
    #[error("Python reads this as a set, in which no list, set or mapping can be")]
    Unhashable,
    #[error("Python reads this as a mapping, in which no list, set or mapping can be a key")]
    UnhashableKey,
    #[error("this key cannot be written as text")]
    Key,
    #[error("`\\N{{…}}` is known, not built yet: write the character itself")]
    NamedCharacter,
    #[error("half of a surrogate pair is no character")]
    Surrogate,
}

/// The value of a text from an INI inventory. Everything in it stands at `span`.
pub(super) fn value(text: &str, span: &Span) -> Result<Node, BadLiteral> {
    let trimmed = text.trim_start_matches([' ', '\t']);
    match Reader::new(trimmed).whole() {
        Ok(literal) => literal.node(span),
        Err(Refused::NotLiteral) => Ok(Node::string(span.clone(), text)),
        Err(Refused::Bad(bad)) => Err(bad),
    }
}

#[derive(Clone, Debug)]
enum Literal {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Complex(f64, f64),
    Str(String),
    Bytes(Vec<u8>),
    Ellipsis,
    List(Vec<Literal>),
    Tuple(Vec<Literal>),
    Set(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

enum Refused {
    /// Python refuses it, so it is text.
    NotLiteral,
    Bad(BadLiteral),
}

impl From<BadLiteral> for Refused {
    fn from(bad: BadLiteral) -> Refused {
        Refused::Bad(bad)
    }
}

type Read<T> = Result<T, Refused>;

impl Literal {
    fn node(self, span: &Span) -> Result<Node, BadLiteral> {
        let text = self.text();
        // Ansible does not trust bytes as templates.
        let tag = matches!(self, Literal::Bytes(_)).then(|| "!unsafe".to_owned());
        let value = match self {
            Literal::None => Value::Null,
            Literal::Bool(b) => Value::Bool(b),
            Literal::Int(i) => Value::Int(i),
            Literal::Float(f) => Value::Float(f),
            Literal::Str(text) => Value::Str(text),
            Literal::Bytes(bytes) => Value::Str(String::from_utf8_lossy(&bytes).into_owned()),
            Literal::Complex(real, imaginary) => Value::Str(complex(real, imaginary)),
            Literal::Ellipsis => Value::Str("...".to_owned()),
            Literal::List(items) | Literal::Tuple(items) | Literal::Set(items) => Value::Seq(
                items
                    .into_iter()
                    .map(|item| item.node(span))
                    .collect::<Result<_, _>>()?,
            ),
            Literal::Dict(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Ok((key.key(span)?, value.node(span)?)))
                    .collect::<Result<_, _>>()?,
            ),
        };
        let text = match &value {
            Value::Str(text) => Some(text.clone()),
            _ => text,
        };
        Ok(Node {
            span: span.clone(),
            value,
            text,
            style: Style::None,
            tag,
        })
    }

    fn key(self, span: &Span) -> Result<Node, BadLiteral> {
        match self {
            Literal::None | Literal::Bool(_) | Literal::Int(_) | Literal::Float(_) | Literal::Str(_) => self.node(span),
            _ => Err(BadLiteral::Key),
        }
    }

    /// As a key's text, in JSON's spelling.
    fn text(&self) -> Option<String> {
        match self {
            Literal::None => Some("null".to_owned()),
            Literal::Bool(b) => Some(b.to_string()),
            Literal::Int(i) => Some(i.to_string()),
            Literal::Float(f) => Some(float(*f, true)),
            _ => None,
        }
    }

    fn hashable(&self) -> Read<()> {
        match self {
            Literal::List(_) | Literal::Set(_) | Literal::Dict(_) => Err(BadLiteral::Unhashable.into()),
            Literal::Tuple(items) => items.iter().try_for_each(Literal::hashable),
            _ => Ok(()),
        }
    }

    /// Equal as Python's keys are: `1`, `1.0` and `True` are one.
    fn same(&self, other: &Literal) -> bool {
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return a == b;
        }
        match (self, other) {
            (Literal::None, Literal::None) | (Literal::Ellipsis, Literal::Ellipsis) => true,
            (Literal::Str(a), Literal::Str(b)) => a == b,
            (Literal::Bytes(a), Literal::Bytes(b)) => a == b,
            (Literal::Complex(a, b), Literal::Complex(c, d)) => a == c && b == d,
            (Literal::Tuple(a), Literal::Tuple(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            _ => false,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Literal::Bool(b) => Some(f64::from(u8::from(*b))),
            Literal::Int(i) => Some(*i as f64),
            Literal::Float(f) => Some(*f),
            _ => None,
        }
    }
}

/// As Python's `repr` writes a number; `dot` adds `.0` to a whole one.
fn float(number: f64, dot: bool) -> String {
    if number.is_nan() {
        return if dot { "NaN" } else { "nan" }.to_owned();
    }
    if number.is_infinite() {
        let word = if dot { "Infinity" } else { "inf" };
        return format!("{}{word}", if number < 0.0 { "-" } else { "" });
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    if dot { format!("{number:?}") } else { number.to_string() }
}

fn complex(real: f64, imaginary: f64) -> String {
    if real == 0.0 && real.is_sign_positive() {
        return format!("{}j", float(imaginary, false));
    }
    let sign = if imaginary.is_sign_negative() || imaginary.is_nan() {
        ""
    } else {
        "+"
    };
    format!("({}{sign}{}j)", float(real, false), float(imaginary, false))
}

/// The order in which Python walks a set of integers, which its hash table decides. Sets of anything else keep the
/// order of the text (that of strings differs from run to run in Python).
fn hash_order(items: Vec<Literal>) -> Vec<Literal> {
    fn insert(table: &mut [Option<(i64, Literal)>], hash: i64, item: Literal) {
        let mask = table.len() - 1;
        let mut perturb = hash as u64;
        let mut at = hash as usize & mask;
        loop {
            // A short walk through neighbours, where it does not leave the table.
            let walk = if at + 9 <= mask { 9 } else { 0 };
            if let Some(free) = (at..=at + walk).find(|i| table[*i].is_none()) {
                table[free] = Some((hash, item));
                return;
            }
            perturb >>= 5;
            at = at.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb as usize) & mask;
        }
    }
    const PRIME: i64 = (1 << 61) - 1;
    let hash = |item: &Literal| match item {
        Literal::Int(i) => Some(if i % PRIME == -1 { -2 } else { i % PRIME }),
        Literal::Bool(b) => Some(i64::from(*b)),
        _ => None,
    };
    let Some(hashes) = items.iter().map(hash).collect::<Option<Vec<i64>>>() else {
        return items;
    };
    let mut table: Vec<Option<(i64, Literal)>> = vec![None; 8];
    for (used, (hash, item)) in hashes.into_iter().zip(items).enumerate() {
        insert(&mut table, hash, item);
        if (used + 1) * 5 >= (table.len() - 1) * 3 {
            let mut size = 8;
            while size <= (used + 1) * 4 {
                size *= 2;
            }
            let old = std::mem::replace(&mut table, vec![None; size]);
            for (hash, item) in old.into_iter().flatten() {
                insert(&mut table, hash, item);
            }
        }
    }
    table.into_iter().flatten().map(|(_, item)| item).collect()
}
