//! Python's grammar of literals.

use super::{BadLiteral, Literal, Read, Refused, hash_order};

/// Brackets inside brackets; Python's own limit.
const MAX_DEPTH: usize = 200;

pub(super) struct Reader {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    pub(super) fn new(text: &str) -> Reader {
        Reader {
            chars: text.chars().collect(),
            at: 0,
            depth: 0,
        }
    }

    pub(super) fn whole(&mut self) -> Read<Literal> {
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
