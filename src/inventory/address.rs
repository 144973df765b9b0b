//! Host patterns of an inventory: ports, and ranges such as `db[01:10:2]`.

use std::sync::LazyLock;

use regex::Regex;

/// Hosts that one pattern may stand for.
const MAX_HOSTS: usize = 1_000_000;

const NUMERIC: &str = r"\[[0-9]+:[0-9]+(?::[0-9]+)?\]";
const HEX: &str = r"\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\]";
const ALPHANUMERIC: &str = r"\[(?:[a-z]:[a-z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]";

fn regex(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

static BRACKETED_PORT: LazyLock<Regex> = LazyLock::new(|| regex(r"^\[(.+)\]:([0-9]+)$"));
static PORT: LazyLock<Regex> = LazyLock::new(|| regex(r"^((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)$"));
static IPV4: LazyLock<Regex> = LazyLock::new(|| {
    let part = format!("(?:[01]?[0-9]{{1,2}}|2[0-4][0-9]|25[0-5]|{NUMERIC})");
    regex(&format!(r"(?i)^(?:{part}\.){{3}}{part}$"))
});
static IPV6: LazyLock<Regex> = LazyLock::new(|| {
    let p = format!("(?:[0-9a-f]{{1,4}}|{HEX})");
    regex(&format!(
        r"(?ix)^(?:(?:{p}:){{7}}{p}|(?:{p}:){{1,6}}:|(?:{p}:)(?::{p}){{1,6}}|(?:{p}:){{2}}(?::{p}){{1,5}}
        |(?:{p}:){{3}}(?::{p}){{1,4}}|(?:{p}:){{4}}(?::{p}){{1,3}}|(?:{p}:){{5}}(?::{p}){{1,2}}|(?:{p}:){{6}}(?::{p})
        |:(?::{p}){{1,6}}|{p}?::|(?:0:){{6}}(?:{p}\.){{3}}{p}|::(?:ffff:)?(?:{p}\.){{3}}{p}|(?:0:){{5}}ffff:(?:{p}\.){{3}}{p})$"
    ))
});
static HOSTNAME: LazyLock<Regex> = LazyLock::new(|| {
    let letter = r"[\p{L}\p{N}]";
    let inner = format!(r"(?:[\p{{L}}\p{{N}}_-]|{ALPHANUMERIC})");
    let first = format!(r"(?:[\p{{L}}\p{{N}}_]|{ALPHANUMERIC})");
    let last = format!("(?:{letter}|{ALPHANUMERIC})");
    let label = format!("(?:{first}{inner}*{last}|{last})");
    regex(&format!(r"(?i)^{label}(?:\.{label})*$"))
});

/// An address without ranges, for which the short name is the whole.
pub(super) fn is_ip(name: &str) -> bool {
    IPV4.is_match(name) || IPV6.is_match(name)
}

/// Host (ranges and all) and port; None where the text is neither address nor host name.
pub(super) fn parse_address(text: &str) -> Option<(&str, Option<&str>)> {
    let (mut host, mut port) = (text, None);
    for pattern in [&BRACKETED_PORT, &PORT] {
        if let Some(found) = pattern.captures(host) {
            let (rest, digits) = (found.get(1)?.as_str(), found.get(2)?.as_str());
            (host, port) = (rest, Some(digits));
        }
    }
    let known = !host.is_empty() && (IPV4.is_match(host) || IPV6.is_match(host) || HOSTNAME.is_match(host));
    known.then_some((host, port))
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum BadPattern {
    #[error("a range is `[begin:end]` or `[begin:end:step]`")]
    Shape,
    #[error("a range must say where it ends")]
    NoEnd,
    #[error("begin `{0}` has a leading zero, so end `{1}` must be as wide")]
    Width(String, String),
    #[error("the range `{0}:{1}` runs backwards")]
    Backwards(String, String),
    #[error("a step must be a number above 0")]
    Step,
    #[error("this stands for more than {MAX_HOSTS} hosts")]
    TooMany,
    #[error("`{0}` is no port")]
    Port(String),
}

/// The names that a pattern stands for, and the port of them all (0 counts as none).
pub(super) fn expand(pattern: &str) -> Result<(Vec<String>, Option<i64>), BadPattern> {
    let (host, port) = parse_address(pattern).unwrap_or((pattern, None));
    let port = match port {
        None => None,
        Some(digits) => {
            let number: u16 = digits.parse().map_err(|_| BadPattern::Port(digits.to_owned()))?;
            (number != 0).then_some(i64::from(number))
        }
    };
    let mut names = Vec::new();
    expand_ranges(host, &mut names)?;
    Ok((names, port))
}

fn expand_ranges(name: &str, into: &mut Vec<String>) -> Result<(), BadPattern> {
    let Some(open) = name.find('[') else {
        if into.len() >= MAX_HOSTS {
            return Err(BadPattern::TooMany);
        }
        into.push(name.to_owned());
        return Ok(());
    };
    let close = name.find(']').filter(|c| *c > open).ok_or(BadPattern::Shape)?;
    if name.contains('|') {
        return Err(BadPattern::Shape);
    }
    let (head, tail) = (&name[..open], &name[close + 1..]);
    for part in range(&name[open + 1..close])? {
        expand_ranges(&format!("{head}{part}{tail}"), into)?;
    }
    Ok(())
}

fn range(text: &str) -> Result<Vec<String>, BadPattern> {
    let mut bounds = text.split(':');
    let (Some(begin), Some(end), step, None) = (bounds.next(), bounds.next(), bounds.next(), bounds.next()) else {
        return Err(BadPattern::Shape);
    };
    let step = match step {
        None => 1,
        Some(step) => step.parse().ok().filter(|s| *s > 0).ok_or(BadPattern::Step)?,
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err(BadPattern::NoEnd);
    }
    let width = if begin.len() > 1 && begin.starts_with('0') {
        if begin.len() != end.len() {
            return Err(BadPattern::Width(begin.to_owned(), end.to_owned()));
        }
        begin.len()
    } else {
        0
    };
    let backwards = || BadPattern::Backwards(begin.to_owned(), end.to_owned());
    if let (Some(first), Some(last)) = (letter(begin), letter(end)) {
        if first > last {
            return Err(backwards());
        }
        return Ok((first..=last)
            .step_by(step)
            .map(|i| char::from(LETTERS[i]).to_string())
            .collect());
    }
    let number = |text: &str| -> Result<u64, BadPattern> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits {
            text.parse().map_err(|_| BadPattern::TooMany)
        } else {
            Err(BadPattern::Shape)
        }
    };
    let (first, last) = (number(begin)?, number(end)?);
    if first > last {
        return Err(backwards());
    }
    if (last - first) / step as u64 >= MAX_HOSTS as u64 {
        return Err(BadPattern::TooMany);
    }
    Ok((first..=last).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn letter(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [one] => LETTERS.iter().position(|l| l == one),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &str) -> String {
        match expand(pattern) {
            Ok((names, None)) => names.join(" "),
            Ok((names, Some(port))) => format!("{} port {port}", names.join(" ")),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn ports() {
        for (pattern, expected) in [
            ("h:2222", "h port 2222"),
            ("[fd00::10]:2222", "fd00::10 port 2222"),
            ("h[1:3]:22", "h1 h2 h3 port 22"),
            ("fd00::10", "fd00::10"),
            ("10.0.0.[1:3]:22", "10.0.0.1 10.0.0.2 10.0.0.3 port 22"),
            ("_odd_:22", "_odd_:22"),
            ("h:0", "h"),
            ("h:99999", "error: `99999` is no port"),
            ("a.b-c.d", "a.b-c.d"),
            ("a b:2", "a b:2"),
            ("größe:22", "größe port 22"),
        ] {
            assert_eq!(names(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn ranges() {
        for (pattern, expected) in [
            ("n[1:10:3]", "n1 n4 n7 n10"),
            ("h[01:03:2]x[a:c]", "h01xa h01xb h01xc h03xa h03xb h03xc"),
            ("h[:2]", "h0 h1 h2"),
            ("h[y:B]", "hy hz hA hB"),
            ("h[08:10]", "h08 h09 h10"),
            ("h[0:10:5]", "h0 h5 h10"),
            ("h[1:]", "error: a range must say where it ends"),
            (
                "h[01:100]",
                "error: begin `01` has a leading zero, so end `100` must be as wide",
            ),
            ("h[5:1]", "error: the range `5:1` runs backwards"),
            ("h[c:a]", "error: the range `c:a` runs backwards"),
            ("h[a:3]", "error: a range is `[begin:end]` or `[begin:end:step]`"),
            ("h[1]", "error: a range is `[begin:end]` or `[begin:end:step]`"),
            ("h[1:2:0]", "error: a step must be a number above 0"),
            ("h[1:9999999]", "error: this stands for more than 1000000 hosts"),
            ("h[1:2", "error: a range is `[begin:end]` or `[begin:end:step]`"),
        ] {
            assert_eq!(names(pattern), expected, "{pattern}");
        }
    }
}
