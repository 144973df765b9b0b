//! The `version` test: Ansible's loose comparison, and the two strict forms that can be told from a text.

use std::cmp::Ordering;

use super::super::value::{Res, said, say};

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Number(u128),
    Word(String),
}

pub(in super::super) fn version<'a>(
    left: &str,
    right: &str,
    operator: &str,
    strict: bool,
    kind: &str,
) -> Res<'a, bool> {
    if left.is_empty() || right.is_empty() {
        return say("a version is empty");
    }
    let order = match kind {
        "" | "loose" if !strict => loose(left, right)?,
        "" | "strict" => strictly(left, right)?,
        "semver" | "semantic" => semantic(left, right)?,
        "pep440" => return say("`version_type='pep440'`: known, not built yet"),
        _ if strict => return say("`strict` and `version_type` exclude each other"),
        other => return say(format!("`version_type` knows loose, strict and semver, not `{other}`")),
    };
    Ok(match operator {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        other => {
            return Err(said(format!("unknown operator `{other}` in `is version`"))
                .help("one of ==, !=, <, <=, >, >=, or eq, ne, lt, le, gt, ge"));
        }
    })
}

/// Runs of digits, runs of small letters and what stands between, without the dots.
fn parts(text: &str) -> Vec<Part> {
    let class = |c: char| match c {
        '0'..='9' => 0,
        'a'..='z' => 1,
        '.' => 2,
        _ => 3,
    };
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match class(first) {
            2 => 1,
            wanted => rest.find(|c| class(c) != wanted).unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        match class(first) {
            0 => parts.push(part.parse().map_or_else(|_| Part::Word(part.to_owned()), Part::Number)),
            2 => {}
            _ => parts.push(Part::Word(part.to_owned())),
        }
    }
    parts
}

fn loose<'a>(left: &str, right: &str) -> Res<'a, Ordering> {
    let (a, b) = (parts(left), parts(right));
    for (x, y) in a.iter().zip(&b) {
        let order = match (x, y) {
            (Part::Number(x), Part::Number(y)) => x.cmp(y),
            (Part::Word(x), Part::Word(y)) => x.cmp(y),
            _ => {
                return say(format!(
                    "`{left}` and `{right}` cannot be compared: a number stands against a word"
                ));
            }
        };
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(a.len().cmp(&b.len()))
}

/// `N.N[.N][aN|bN]`
fn strictly<'a>(left: &str, right: &str) -> Res<'a, Ordering> {
    let parse = |text: &str| -> Res<'a, ([u64; 3], (char, u64))> {
        let bad = || said(format!("`{text}` is not a strict version (N.N[.N][aN|bN])"));
        let (head, pre) = match text.find(['a', 'b']) {
            Some(at) => {
                let kind = text[at..].chars().next().unwrap_or('a');
                (&text[..at], (kind, text[at + 1..].parse().map_err(|_| bad())?))
            }
            None => (text, ('z', 0)),
        };
        let numbers: Vec<u64> = head
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| bad())?;
        match numbers.as_slice() {
            [a, b] => Ok(([*a, *b, 0], pre)),
            [a, b, c] => Ok(([*a, *b, *c], pre)),
            _ => Err(bad()),
        }
    };
    Ok(parse(left)?.cmp(&parse(right)?))
}

fn semantic<'a>(left: &str, right: &str) -> Res<'a, Ordering> {
    type Parsed<'t> = ([u64; 3], Vec<&'t str>);
    fn parse<'a, 't>(text: &'t str) -> Res<'a, Parsed<'t>> {
        let bad = || said(format!("`{text}` is not a semantic version (N.N.N[-…][+…])"));
        let plain = text.split('+').next().unwrap_or_default();
        let (head, pre) = match plain.split_once('-') {
            Some((head, pre)) => (head, pre.split('.').collect()),
            None => (plain, Vec::new()),
        };
        let numbers: Vec<u64> = head
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| bad())?;
        match numbers.as_slice() {
            [a, b, c] => Ok(([*a, *b, *c], pre)),
            _ => Err(bad()),
        }
    }
    let ((a, pre_a), (b, pre_b)) = (parse(left)?, parse(right)?);
    if a != b {
        return Ok(a.cmp(&b));
    }
    match (pre_a.is_empty(), pre_b.is_empty()) {
        (true, true) => return Ok(Ordering::Equal),
        (true, false) => return Ok(Ordering::Greater),
        (false, true) => return Ok(Ordering::Less),
        (false, false) => {}
    }
    for (x, y) in pre_a.iter().zip(&pre_b) {
        let order = match (x.parse::<u64>(), y.parse::<u64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => x.cmp(y),
        };
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(pre_a.len().cmp(&pre_b.len()))
}
