//! Host patterns: which hosts `web:&db:!h[0]` means.

use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

use indexmap::IndexSet;
use regex::Regex;

use super::beside::LOCALHOST;
use super::{Inventory, address};
use crate::id::HostName;

/// What is wrong with one token of a pattern.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct PatternError {
    /// The token as written, with `!` or `&`.
    pub(crate) token: String,
    /// Its first byte in the pattern; 0 for one that a file of patterns holds.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// One pattern of a list.
struct Token {
    text: String,
    offset: usize,
}

static SUBSCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(.+)\[(?:(-?[0-9]+)|([0-9]+)([:-])([0-9]*))\]$").expect("the pattern is a constant")
});

fn split(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut push = |start: usize, text: &str| {
        let trimmed = text.trim();
        if !trimmed.is_empty() {
            tokens.push(Token {
                text: trimmed.to_owned(),
                offset: start + text.len() - text.trim_start().len(),
            });
        }
    };
    if pattern.contains(',') {
        let mut start = 0;
        for part in pattern.split(',') {
            push(start, part);
            start += part.len() + 1;
        }
    } else if address::parse_address(pattern).is_some() {
        push(0, pattern);
    } else {
        static PART: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"(?:[^\s:\[\]]|\[[^\]]*\])+").expect("the pattern is a constant"));
        for part in PART.find_iter(pattern) {
            push(part.start(), part.as_str());
        }
    }
    tokens
}

impl Inventory {
    /// The hosts of a pattern, each once, in the order of the pattern. Every token must match a host, or a group even
    /// if that is empty.
    pub(crate) fn select(&self, pattern: &str) -> Result<Vec<HostName>, PatternError> {
        self.evaluate(split(pattern))
    }

    /// The hosts of several patterns, a list of `hosts:`; an error's `offset` is in the pattern of that index.
    pub(crate) fn select_list(&self, patterns: &[&str]) -> Result<Vec<HostName>, (usize, PatternError)> {
        // Each pattern is split by itself, and all tokens are evaluated together.
        let mut tokens = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            for token in split(pattern) {
                self.token(&token).map_err(|error| (index, error))?;
                tokens.push(token);
            }
        }
        self.evaluate(tokens).map_err(|error| (0, error))
    }

    /// The hosts that `--limit` leaves; `@FILE` (relative to `folder`) holds one pattern a line.
    pub(crate) fn limit(&self, pattern: &str, folder: &Path) -> Result<IndexSet<HostName>, PatternError> {
        let mut tokens = Vec::new();
        for token in split(pattern) {
            let Some(file) = token.text.strip_prefix('@') else {
                tokens.push(token);
                continue;
            };
            let path = super::sources::below(folder, file);
            let text = std::fs::read_to_string(&path).map_err(|error| PatternError {
                message: format!("cannot read `{}`: {error}", path.display()),
                help: None,
                offset: token.offset,
                token: token.text.clone(),
            })?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            tokens.extend(lines.map(|line| Token {
                text: line.to_owned(),
                offset: token.offset,
            }));
        }
        Ok(self.evaluate(tokens)?.into_iter().collect())
    }

    fn evaluate(&self, tokens: Vec<Token>) -> Result<Vec<HostName>, PatternError> {
        let mut plain = Vec::new();
        let mut both = Vec::new();
        let mut without = Vec::new();
        for token in tokens {
            match token.text.as_bytes()[0] {
                b'!' => without.push(token),
                b'&' => both.push(token),
                _ => plain.push(token),
            }
        }
        let mut hosts: IndexSet<HostName> = IndexSet::new();
        if plain.is_empty() {
            hosts.extend(self.hosts().cloned());
        }
        for token in plain {
            hosts.extend(self.token(&token)?);
        }
        for token in both {
            let keep: HashSet<HostName> = self.token(&token)?.into_iter().collect();
            hosts.retain(|host| keep.contains(host));
        }
        for token in without {
            let drop: HashSet<HostName> = self.token(&token)?.into_iter().collect();
            hosts.retain(|host| !drop.contains(host));
        }
        Ok(hosts.into_iter().collect())
    }

    /// The hosts of one token, whatever its modifier.
    fn token(&self, token: &Token) -> Result<Vec<HostName>, PatternError> {
        let wrong = |message: String, help: Option<String>| PatternError {
            token: token.text.clone(),
            offset: token.offset,
            message,
            help,
        };
        if let Some(host) = self.graph.hosts.get(&token.text) {
            return Ok(vec![host.name.clone()]);
        }
        let text = token.text.strip_prefix(['!', '&']).unwrap_or(&token.text);
        if text.is_empty() {
            return Err(wrong(format!("nothing stands behind `{}`", token.text), None));
        }
        let subscript = if text.starts_with('~') {
            None
        } else {
            SUBSCRIPT.captures(text)
        };
        let expression = subscript.as_ref().and_then(|s| s.get(1)).map_or(text, |m| m.as_str());
        let (hosts, group) = self
            .matches(expression)
            .map_err(|error| wrong(format!("`{text}` is no regular expression: {error}"), None))?;
        if hosts.is_empty() && (!group || subscript.is_some()) {
            let names = self.graph.groups.keys().chain(self.graph.hosts.keys());
            let help = crate::yaml::suggestion(expression, names.map(String::as_str));
            return Err(wrong(format!("no host or group matches `{expression}`"), help));
        }
        let Some(subscript) = subscript else {
            return Ok(hosts);
        };
        let part = |i: usize| subscript.get(i).map(|m| m.as_str());
        let number = |text: &str| text.parse::<i64>().unwrap_or(i64::MAX);
        let count = i64::try_from(hosts.len()).unwrap_or(i64::MAX);
        // Python's slice with both ends, in which an end of 0 counts as no end.
        let (first, last) = match (part(2), part(3)) {
            (Some(index), _) => {
                let index = number(index);
                let index = if index < 0 { index + count } else { index };
                (index, index)
            }
            (None, Some(start)) => {
                let start = number(start);
                match part(5).filter(|end| !end.is_empty()).map(number) {
                    None => (start, count - 1),
                    Some(0) => (start, start),
                    Some(end) => (start, end.min(count - 1)),
                }
            }
            (None, None) => (0, count - 1),
        };
        if first < 0 || first >= count || last < first {
            let words = if count == 1 {
                "1 host".to_owned()
            } else {
                format!("{count} hosts")
            };
            let help = format!("its hosts are `{expression}[0]` to `{expression}[{}]`", count - 1);
            return Err(wrong(
                format!("`{text}` is outside `{expression}`, which has {words}"),
                Some(help),
            ));
        }
        let (first, last) = (first as usize, last as usize);
        Ok(hosts[first..=last].to_vec())
    }

    /// The hosts of an expression, and whether a group has that name.
    fn matches(&self, expression: &str) -> Result<(Vec<HostName>, bool), regex::Error> {
        let wanted: Box<dyn Fn(&str) -> bool> = match expression.strip_prefix('~') {
            Some(regex) => {
                let regex = Regex::new(&format!("^(?:{regex})"))?;
                Box::new(move |name| regex.is_match(name))
            }
            None => {
                let glob = Glob::new(expression);
                Box::new(move |name| glob.is_match(name))
            }
        };
        let mut hosts = IndexSet::new();
        let mut group = false;
        for (id, name) in self.graph.groups.keys().enumerate() {
            if wanted(name) {
                group = true;
                hosts.extend(self.members[id].iter().copied());
            }
        }
        if !group || expression.starts_with('~') || expression.contains(['.', '?', '*', '[']) {
            let ids = self.graph.hosts.keys().enumerate();
            hosts.extend(ids.filter(|(_, name)| wanted(name)).map(|(id, _)| id));
        }
        let mut names: Vec<HostName> = hosts.into_iter().map(|id| self.graph.hosts[id].name.clone()).collect();
        if names.is_empty() && LOCALHOST.contains(&expression) {
            // An explicit host of this machine stands in for the implicit one.
            let explicit = self.graph.hosts.keys().find(|name| LOCALHOST.contains(&name.as_str()));
            names.extend(HostName::new(explicit.map_or(expression, String::as_str)).ok());
        }
        Ok((names, group))
    }
}

/// Python's `fnmatch`.
struct Glob(Vec<Piece>);

enum Piece {
    Any,
    One,
    Char(char),
    /// Ranges, and whether they are what must not come.
    Class(Vec<(char, char)>, bool),
}

impl Glob {
    fn new(text: &str) -> Glob {
        let chars: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(c) = chars.get(at) {
            at += 1;
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                '[' => {
                    let mut end = at;
                    end += usize::from(chars.get(end) == Some(&'!'));
                    end += usize::from(chars.get(end) == Some(&']'));
                    match chars.iter().skip(end).position(|c| *c == ']') {
                        None => Piece::Char('['),
                        Some(length) => {
                            let class = class(&chars[at..end + length]);
                            at = end + length + 1;
                            class
                        }
                    }
                }
                other => Piece::Char(*other),
            });
        }
        Glob(pieces)
    }

    fn is_match(&self, text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        let (mut piece, mut at) = (0, 0);
        // Where the last `*` stood, and how much it takes so far.
        let mut star: Option<(usize, usize)> = None;
        while at < chars.len() || piece < self.0.len() {
            let step = match self.0.get(piece) {
                Some(Piece::Any) => {
                    star = Some((piece, at));
                    piece += 1;
                    continue;
                }
                Some(one) => chars.get(at).is_some_and(|c| one.takes(*c)),
                None => false,
            };
            if step {
                piece += 1;
                at += 1;
                continue;
            }
            match star {
                Some((stood, taken)) if taken < chars.len() => {
                    star = Some((stood, taken + 1));
                    piece = stood + 1;
                    at = taken + 1;
                }
                _ => return false,
            }
        }
        true
    }
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Piece::Any | Piece::One => true,
            Piece::Char(own) => *own == c,
            Piece::Class(ranges, negated) => ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)) != *negated,
        }
    }
}

/// What stands between `[` and `]`.
fn class(chars: &[char]) -> Piece {
    let (negated, chars) = match chars {
        ['!', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars.get(at + 1) == Some(&'-') && at + 2 < chars.len() {
            // A range that runs backwards holds nothing.
            ranges.push((chars[at], chars[at + 2]));
            at += 3;
        } else {
            ranges.push((chars[at], chars[at]));
            at += 1;
        }
    }
    Piece::Class(ranges, negated)
}
