//! Values of INI inventories: what Python's `ast.literal_eval` makes of a text, else the text itself.

use crate::yaml::{Node, Span, Style, Value};

/// Brackets inside brackets; Python's own limit.
const MAX_DEPTH: usize = 200;

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
    let mut reader = Reader {
        chars: trimmed.chars().collect(),
        at: 0,
        depth: 0,
    };
    match reader.whole() {
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

struct Reader {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn whole(&mut self) -> Read<Literal> {
        let first = self.expression()?;
        let literal = if self.peek() == Some(',') {
            Literal::Tuple(self.rest(first, None)?)
        } else {
            first
        };
        match self.peek() {
            None => Ok(literal),
            Some(_) => Err(Refused::NotLiteral),
        }
    }

    /// The next character that is no blank; a comment is the end.
    fn peek(&mut self) -> Option<char> {
        while self
            .chars
            .get(self.at)
            .is_some_and(|c| matches!(c, ' ' | '\t' | '\u{c}'))
        {
            self.at += 1;
        }
        match self.chars.get(self.at) {
            Some('#') => {
                self.at = self.chars.len();
                None
            }
            other => other.copied(),
        }
    }

    fn look(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// An atom, a signed number, or number ± imaginary.
    fn expression(&mut self) -> Read<Literal> {
        let left = self.signed()?;
        match self.peek() {
            Some(sign @ ('+' | '-')) => {
                let Some(real) = left.number().filter(|_| !matches!(left, Literal::Bool(_))) else {
                    return Err(Refused::NotLiteral);
                };
                self.at += 1;
                match self.atom()? {
                    Literal::Complex(r, i) if sign == '+' => Ok(Literal::Complex(real + r, i)),
                    Literal::Complex(r, i) => Ok(Literal::Complex(real - r, -i)),
                    _ => Err(Refused::NotLiteral),
                }
            }
            _ => Ok(left),
        }
    }

    fn signed(&mut self) -> Read<Literal> {
        let Some(sign @ ('+' | '-')) = self.peek() else {
            return self.atom();
        };
        self.at += 1;
        let negative = sign == '-';
        match self.atom_signed(negative)? {
            Literal::Int(i) => Ok(Literal::Int(i)),
            Literal::Float(f) => Ok(Literal::Float(if negative { -f } else { f })),
            Literal::Complex(r, i) if negative => Ok(Literal::Complex(-r, -i)),
            Literal::Complex(r, i) => Ok(Literal::Complex(r, i)),
            _ => Err(Refused::NotLiteral),
        }
    }

    /// An atom whose integer already has the sign, so that the smallest of 64 bits is one.
    fn atom_signed(&mut self, negative: bool) -> Read<Literal> {
        match self.peek() {
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(negative),
            _ => match self.atom()? {
                Literal::Int(i) if negative => Ok(Literal::Int(i.checked_neg().ok_or(BadLiteral::Overflow)?)),
                other => Ok(other),
            },
        }
    }

    fn atom(&mut self) -> Read<Literal> {
        match self.peek().ok_or(Refused::NotLiteral)? {
            '(' => self.nested(Reader::parenthesis),
            '[' => self.nested(Reader::list),
            '{' => self.nested(Reader::braces),
            '.' if self.look(1) == Some('.') && self.look(2) == Some('.') => {
                self.at += 3;
                Ok(Literal::Ellipsis)
            }
            c if c.is_ascii_digit() || c == '.' => self.number(false),
            '\'' | '"' => self.strings(),
            c if c.is_alphabetic() || c == '_' => self.word(),
            _ => Err(Refused::NotLiteral),
        }
    }

    fn nested(&mut self, inner: fn(&mut Reader) -> Read<Literal>) -> Read<Literal> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Refused::NotLiteral);
        }
        self.at += 1;
        let literal = inner(self)?;
        self.depth -= 1;
        Ok(literal)
    }

    fn parenthesis(&mut self) -> Read<Literal> {
        if self.take(')') {
            return Ok(Literal::Tuple(Vec::new()));
        }
        let first = self.expression()?;
        if self.take(')') {
            return Ok(first);
        }
        Ok(Literal::Tuple(self.rest(first, Some(')'))?))
    }

    fn list(&mut self) -> Read<Literal> {
        if self.take(']') {
            return Ok(Literal::List(Vec::new()));
        }
        let first = self.expression()?;
        Ok(Literal::List(self.rest(first, Some(']'))?))
    }

    /// The items after the first, up to the closing bracket or the end; a comma may end them.
    fn rest(&mut self, first: Literal, close: Option<char>) -> Read<Vec<Literal>> {
        let mut items = vec![first];
        loop {
            let more = self.take(',');
            match (self.peek(), close) {
                (None, None) => return Ok(items),
                (Some(c), Some(close)) if c == close => {
                    self.at += 1;
                    return Ok(items);
                }
                _ if more => items.push(self.expression()?),
                _ => return Err(Refused::NotLiteral),
            }
        }
    }

    fn braces(&mut self) -> Read<Literal> {
        if self.take('}') {
            return Ok(Literal::Dict(Vec::new()));
        }
        let first = self.expression()?;
        if self.peek() != Some(':') {
            let items = self.rest(first, Some('}'))?;
            let mut set: Vec<Literal> = Vec::new();
            for item in items {
                item.hashable()?;
                if !set.iter().any(|known| known.same(&item)) {
                    set.push(item);
                }
            }
            return Ok(Literal::Set(hash_order(set)));
        }
        let mut written = Vec::new();
        let mut key = first;
        loop {
            if !self.take(':') {
                return Err(Refused::NotLiteral);
            }
            written.push((key, self.expression()?));
            let more = self.take(',');
            if self.take('}') {
                break;
            }
            if !more {
                return Err(Refused::NotLiteral);
            }
            key = self.expression()?;
        }
        let mut entries: Vec<(Literal, Literal)> = Vec::new();
        for (key, value) in written {
            key.hashable().map_err(|_| BadLiteral::UnhashableKey)?;
            match entries.iter_mut().find(|(known, _)| known.same(&key)) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        }
        Ok(Literal::Dict(entries))
    }

    fn word(&mut self) -> Read<Literal> {
        let start = self.at;
        while self.look(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        if matches!(self.look(0), Some('\'' | '"')) && Prefix::of(&word).is_some() {
            self.at = start;
            return self.strings();
        }
        match word.as_str() {
            "None" => Ok(Literal::None),
            "True" => Ok(Literal::Bool(true)),
            "False" => Ok(Literal::Bool(false)),
            "set" if self.take('(') && self.take(')') => Ok(Literal::Set(Vec::new())),
            _ => Err(Refused::NotLiteral),
        }
    }

    fn digits(&mut self, ok: IsDigit) -> Read<String> {
        let mut digits = String::new();
        while let Some(c) = self.look(0) {
            if ok(&c) {
                digits.push(c);
            } else if c == '_' && self.look(1).is_some_and(|next| ok(&next)) && !digits.is_empty() {
                // A single `_` between two digits.
            } else {
                break;
            }
            self.at += 1;
        }
        if self.look(0) == Some('_') {
            Err(Refused::NotLiteral)
        } else {
            Ok(digits)
        }
    }

    fn number(&mut self, negative: bool) -> Read<Literal> {
        let integer = |digits: &str, radix: u32| -> Read<Literal> {
            let magnitude = i128::from_str_radix(digits, radix).map_err(|_| BadLiteral::Overflow)?;
            let value = if negative { -magnitude } else { magnitude };
            Ok(Literal::Int(i64::try_from(value).map_err(|_| BadLiteral::Overflow)?))
        };
        if self.look(0) == Some('0')
            && let Some(kind) = self.look(1).map(|c| c.to_ascii_lowercase())
            && let Some((radix, ok)) = radix(kind)
        {
            self.at += 2;
            if self.look(0) == Some('_') {
                self.at += 1;
            }
            let digits = self.digits(ok)?;
            if digits.is_empty() || self.look(0).is_some_and(|c| c.is_alphanumeric()) {
                return Err(Refused::NotLiteral);
            }
            return integer(&digits, radix);
        }
        let whole = self.digits(char::is_ascii_digit)?;
        let mut text = whole.clone();
        let mut real = false;
        if self.look(0) == Some('.') {
            self.at += 1;
            real = true;
            text.push('.');
            let fraction = self.digits(char::is_ascii_digit)?;
            if fraction.is_empty() && whole.is_empty() {
                return Err(Refused::NotLiteral);
            }
            text.push_str(&fraction);
        }
        if matches!(self.look(0), Some('e' | 'E')) {
            let signed = matches!(self.look(1), Some('+' | '-'));
            if self.look(1 + usize::from(signed)).is_some_and(|c| c.is_ascii_digit()) {
                real = true;
                text.push('e');
                if signed {
                    text.extend(self.look(1));
                }
                self.at += 1 + usize::from(signed);
                text.push_str(&self.digits(char::is_ascii_digit)?);
            }
        }
        let imaginary = matches!(self.look(0), Some('j' | 'J'));
        self.at += usize::from(imaginary);
        if self.look(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return Err(Refused::NotLiteral);
        }
        if imaginary || real {
            let number: f64 = text.parse().map_err(|_| Refused::NotLiteral)?;
            return Ok(if imaginary {
                Literal::Complex(0.0, number)
            } else {
                Literal::Float(number)
            });
        }
        if whole.starts_with('0') && whole.bytes().any(|b| b != b'0') {
            return Err(Refused::NotLiteral);
        }
        integer(&whole, 10)
    }

    /// One string, or several side by side.
    fn strings(&mut self) -> Read<Literal> {
        let mut joined = self.string()?;
        loop {
            let another = match self.peek() {
                Some('\'' | '"') => true,
                Some(c) if c.is_ascii_alphabetic() => {
                    let word: String = self.chars[self.at..]
                        .iter()
                        .take_while(|c| c.is_alphanumeric())
                        .collect();
                    matches!(self.look(word.chars().count()), Some('\'' | '"')) && Prefix::of(&word).is_some()
                }
                _ => false,
            };
            if !another {
                return Ok(joined);
            }
            joined = match (joined, self.string()?) {
                (Literal::Str(a), Literal::Str(b)) => Literal::Str(a + &b),
                (Literal::Bytes(a), Literal::Bytes(b)) => Literal::Bytes([a, b].concat()),
                _ => return Err(Refused::NotLiteral),
            };
        }
    }

    fn string(&mut self) -> Read<Literal> {
        let mut word = String::new();
        while let Some(c) = self.look(0).filter(char::is_ascii_alphabetic) {
            word.push(c);
            self.at += 1;
        }
        let prefix = Prefix::of(&word).ok_or(Refused::NotLiteral)?;
        let quote = self.look(0).ok_or(Refused::NotLiteral)?;
        let triple = self.look(1) == Some(quote) && self.look(2) == Some(quote);
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let mut text = Vec::new();
        loop {
            let c = self.look(0).ok_or(Refused::NotLiteral)?;
            if c == quote && (!triple || (self.look(1) == Some(quote) && self.look(2) == Some(quote))) {
                self.at += width;
                break;
            }
            self.at += 1;
            if c != '\\' {
                if prefix.bytes && !c.is_ascii() {
                    return Err(Refused::NotLiteral);
                }
                text.push(c);
                continue;
            }
            let next = self.look(0).ok_or(Refused::NotLiteral)?;
            self.at += 1;
            if prefix.raw {
                text.extend(['\\', next]);
            } else {
                self.escape(next, prefix.bytes, &mut text)?;
            }
        }
        if prefix.bytes {
            Ok(Literal::Bytes(text.iter().map(|c| u32::from(*c) as u8).collect()))
        } else {
            Ok(Literal::Str(text.into_iter().collect()))
        }
    }

    fn escape(&mut self, c: char, bytes: bool, text: &mut Vec<char>) -> Read<()> {
        let plain = match c {
            '\\' | '\'' | '"' => Some(c),
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            _ => None,
        };
        if let Some(plain) = plain {
            text.push(plain);
            return Ok(());
        }
        let code = match c {
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.look(0).and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    self.at += 1;
                }
                if bytes { code & 0xff } else { code }
            }
            'x' => self.hex(2)?,
            'u' if !bytes => self.hex(4)?,
            'U' if !bytes => self.hex(8)?,
            'N' if !bytes => return Err(BadLiteral::NamedCharacter.into()),
            _ => {
                if bytes && !c.is_ascii() {
                    return Err(Refused::NotLiteral);
                }
                text.extend(['\\', c]);
                return Ok(());
            }
        };
        match char::from_u32(code) {
            Some(c) => text.push(c),
            None if code > 0x10_ffff => return Err(Refused::NotLiteral),
            None => return Err(BadLiteral::Surrogate.into()),
        }
        Ok(())
    }

    fn hex(&mut self, length: usize) -> Read<u32> {
        let mut code = 0_u32;
        for _ in 0..length {
            let digit = self.look(0).and_then(|c| c.to_digit(16)).ok_or(Refused::NotLiteral)?;
            code = (code << 4) | digit;
            self.at += 1;
        }
        Ok(code)
    }
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

type IsDigit = fn(&char) -> bool;

fn radix(kind: char) -> Option<(u32, IsDigit)> {
    match kind {
        'x' => Some((16, char::is_ascii_hexdigit)),
        'o' => Some((8, |c| matches!(c, '0'..='7'))),
        'b' => Some((2, |c| matches!(c, '0' | '1'))),
        _ => None,
    }
}

struct Prefix {
    raw: bool,
    bytes: bool,
}

impl Prefix {
    /// None for what is no prefix, and for `f`, which is no literal.
    fn of(word: &str) -> Option<Prefix> {
        let (raw, bytes) = match word.to_ascii_lowercase().as_str() {
            "" | "u" => (false, false),
            "r" => (true, false),
            "b" => (false, true),
            "br" | "rb" => (true, true),
            _ => return None,
        };
        Some(Prefix { raw, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Source;

    /// The value as JSON, strings quoted.
    fn shown(text: &str) -> String {
        fn json(node: &Node) -> String {
            match &node.value {
                Value::Null => "null".to_owned(),
                Value::Bool(b) => b.to_string(),
                Value::Int(i) => i.to_string(),
                Value::Float(f) => format!("{f:?}"),
                Value::Str(text) => format!("{text:?}"),
                Value::Seq(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
                Value::Map(entries) => {
                    let entries: Vec<_> = entries
                        .iter()
                        .map(|(k, v)| format!("{}: {}", k.text.as_deref().unwrap_or("?"), json(v)))
                        .collect();
                    format!("{{{}}}", entries.join(", "))
                }
            }
        }
        let source = Source::new("hosts", text);
        match value(text, &Span::new(&source, 0, text.len())) {
            Ok(node) => json(&node),
            Err(bad) => format!("error: {bad}"),
        }
    }

    #[test]
    fn literals_and_what_is_text() {
        for (text, expected) in [
            ("80", "80"),
            ("'80'", "\"80\""),
            ("True", "true"),
            ("true", "\"true\""),
            ("FALSE", "\"FALSE\""),
            ("None", "null"),
            ("[1,2]", "[1, 2]"),
            ("{'a': 1}", "{a: 1}"),
            ("1, 2", "[1, 2]"),
            ("(1,2)", "[1, 2]"),
            ("1,", "[1]"),
            ("()", "[]"),
            ("(1)", "1"),
            (",", "\",\""),
            ("{1, 2, 1.0}", "[1, 2]"),
            ("{1, 5, 3}", "[1, 3, 5]"),
            ("{9, 1, 17, 8}", "[8, 9, 1, 17]"),
            ("{30, 11, 2, 70, 41, 22, -1}", "[2, 70, 41, 11, 22, -1, 30]"),
            ("set()", "[]"),
            ("{a:1}", "\"{a:1}\""),
            ("0x1f", "31"),
            ("0o17", "15"),
            ("0b11", "3"),
            ("0x_ff", "255"),
            ("0x", "\"0x\""),
            ("0b12", "\"0b12\""),
            ("1_000", "1000"),
            ("1__0", "\"1__0\""),
            ("1_", "\"1_\""),
            ("1e3", "1000.0"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("1._5", "\"1._5\""),
            (".", "\".\""),
            ("1e", "\"1e\""),
            ("010", "\"010\""),
            ("08", "\"08\""),
            ("08.5", "8.5"),
            ("00", "0"),
            ("0_0", "0"),
            ("+5", "5"),
            ("-3", "-3"),
            ("- 3", "-3"),
            ("--3", "\"--3\""),
            ("-True", "\"-True\""),
            ("1.5", "1.5"),
            (" 5", "5"),
            ("5 ", "5"),
            ("5 # x", "5"),
            ("text # x", "\"text # x\""),
            ("# x", "\"# x\""),
            ("yes", "\"yes\""),
            ("~", "\"~\""),
            ("2024-01-01", "\"2024-01-01\""),
            ("1+1", "\"1+1\""),
            ("1+2j", "\"(1+2j)\""),
            ("-1-2.5j", "\"(-1-2.5j)\""),
            ("3j", "\"3j\""),
            ("-3j", "\"(-0-3j)\""),
            ("...", "\"...\""),
            ("", "\"\""),
            ("\"quoted\"", "\"quoted\""),
            ("'a' 'b'", "\"ab\""),
            ("'a' b'b'", "\"'a' b'b'\""),
            ("r'a\\n'", "\"a\\\\n\""),
            ("u'x' r'y'", "\"xy\""),
            ("b'x'", "\"x\""),
            ("f'x'", "\"f'x'\""),
            (r"'\x41\101\u00e9\d'", "\"AAé\\\\d\""),
            (r"'\xZ'", "\"'\\\\xZ'\""),
            ("'''a'b'''", "\"a'b\""),
            ("'open", "\"'open\""),
            ("{{ foo }}", "\"{{ foo }}\""),
            ("{'a': [1, (2, None)], 2: {}, }", "{a: [1, [2, null]], 2: {}}"),
            ("{'a': 1, 'a': 2, True: 3, 1: 4}", "{a: 2, true: 4}"),
            ("[1, # x", "\"[1, # x\""),
            ("[1] # x", "[1]"),
            ("[1, 2", "\"[1, 2\""),
            ("[,]", "\"[,]\""),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808", "error: the integer does not fit into 64 bits"),
            (
                "{[1]: 2}",
                "error: Python reads this as a mapping, in which no list, set or mapping can be a key",
            ),
            (
                "{{ [1] }}",
                "error: Python reads this as a set, in which no list, set or mapping can be",
            ),
            ("{{ [1] | first }}", "\"{{ [1] | first }}\""),
            ("{(1, 2): 2}", "error: this key cannot be written as text"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
