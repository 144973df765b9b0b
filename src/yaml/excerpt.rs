//! Source lines as they may be shown: secrets hidden, control characters visible.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::secret::Redactor;

/// What stands for a value that is not shown.
pub(super) const HIDDEN: &str = "<secret>";

/// Text of a file or of a message on one line, with nothing left that a terminal obeys.
pub(super) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        push_visible(&mut shown, c);
        shown
    })
}

fn push_visible(shown: &mut String, c: char) {
    match c {
        '\u{feff}' => {}
        '\t' => shown.push_str("    "),
        '\0'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
        '\u{7f}' => shown.push('\u{2421}'),
        // C1, and what changes the direction of text or hides.
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{fff9}'..='\u{fffb}' => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        _ => shown.push(c),
    }
}

/// A source line ready to be shown.
pub(super) struct Shown {
    pub(super) text: String,
    /// For each byte of the line as written, and its end: where it stands in `text`.
    places: Vec<usize>,
}

impl Shown {
    /// `hidden`: sorted ranges of the line that are not shown.
    pub(super) fn new(line: &str, hidden: &[Range<usize>], redactor: Option<&Redactor>) -> Shown {
        let mut ranges = hidden.to_vec();
        if let Some(redactor) = redactor {
            let clean = redactor.clean(line);
            if clean != line {
                ranges.push(difference(line, &clean));
                ranges.sort_by_key(|range| range.start);
            }
        }
        let mut text = String::with_capacity(line.len());
        let mut places = Vec::with_capacity(line.len() + 1);
        let mut until = 0;
        let mut ranges = ranges.into_iter().peekable();
        for (at, c) in line.char_indices() {
            while let Some(range) = ranges.next_if(|range| range.start <= at) {
                if range.end > until && range.end > at {
                    if until <= at {
                        text.push_str(HIDDEN);
                    }
                    until = range.end;
                }
            }
            let place = text.len();
            if at >= until {
                push_visible(&mut text, c);
            }
            // Where the character is hidden, its place is the start of what stands for it.
            let place = if at < until { text.len() - HIDDEN.len() } else { place };
            places.extend(std::iter::repeat_n(place, c.len_utf8()));
        }
        places.push(text.len());
        Shown { text, places }
    }

    /// A range of the line as written, as a range of `text`.
    pub(super) fn range(&self, range: Range<usize>) -> Range<usize> {
        let last = self.places.len() - 1;
        let start = self.places[range.start.min(last)];
        let mut end = self.places[range.end.clamp(range.start, last).min(last)];
        if end <= start && range.end > range.start {
            // It ends inside a hidden part, which is marked as a whole.
            end = self.places[range.end.min(last)..]
                .iter()
                .copied()
                .find(|place| *place > start)
                .unwrap_or(self.text.len());
        }
        start..end.max(start)
    }
}

/// The part of `line` that differs from `clean`.
fn difference(line: &str, clean: &str) -> Range<usize> {
    let prefix: usize = line
        .chars()
        .zip(clean.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let suffix: usize = line[prefix..]
        .chars()
        .rev()
        .zip(clean[prefix.min(clean.len())..].chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    prefix..line.len() - suffix
}

/// A key whose value is likely to be a secret.
fn is_secret(key: &str) -> bool {
    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?i)(passw(or)?d|passphrase|secret|token|api_?key|private_?key|credential|(^|_)pass($|_)|(^|_)pwd($|_))",
        )
        .expect("the pattern is a constant")
    });
    let key = key.to_ascii_lowercase().replace('-', "_");
    NAME.is_match(&key)
        && !["_file", "_path", "_env", "_dir", "_prompt"]
            .iter()
            .any(|end| key.ends_with(end))
}

/// Below a secret's key: where it comes from, which is no secret.
const ORIGINS: [&str; 4] = ["file", "env", "prompt", "command"];

/// For each line of a file the ranges that look like literal secrets: values of keys such as `password`, whatever
/// stands below them, and `password=…`. Lexical, so that it works on a file that is no YAML.
pub(super) fn secret_ranges(text: &str) -> Vec<Vec<Range<usize>>> {
    static KEY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"^(\s*(?:- +)*)(?:"([^"]+)"|'([^']+)'|([^\s"'#{\[:][^:#{\[=]*?))\s*:(?:\s+|$)"#)
            .expect("the pattern is a constant")
    });
    let mut parents: Vec<(usize, bool)> = Vec::new();
    text.split('\n')
        .map(|line| {
            let mut hidden = Vec::new();
            let indent = line.len() - line.trim_start_matches([' ', '\t', '\u{feff}']).len();
            if line[indent..].trim().is_empty() || line[indent..].starts_with('#') {
                flow_secrets(line, 0, false, &mut hidden);
                return hidden;
            }
            // An item of a list may stand at the column of the key that holds the list.
            let is_item = line[indent..].starts_with("- ");
            while parents
                .last()
                .is_some_and(|(column, _)| *column > indent || (*column == indent && !is_item))
            {
                parents.pop();
            }
            let below = parents.last().is_some_and(|(_, secret)| *secret);
            let Some(found) = KEY.captures(line) else {
                if below {
                    let start = if is_item { indent + 2 } else { indent };
                    hide_value(line, start, true, &mut hidden);
                } else {
                    flow_secrets(line, indent, false, &mut hidden);
                }
                return hidden;
            };
            let key = (2..=4).find_map(|i| found.get(i)).map_or("", |m| m.as_str());
            let column = found[1].len();
            while parents.last().is_some_and(|(known, _)| *known >= column) {
                parents.pop();
            }
            let secret = is_secret(key) || (below && !ORIGINS.contains(&key));
            parents.push((column, secret));
            hide_value(line, found[0].len(), secret, &mut hidden);
            hidden
        })
        .collect()
}

/// The value that begins at `start` of the line, if it is secret; secrets inside it, if it is not.
fn hide_value(line: &str, start: usize, secret: bool, hidden: &mut Vec<Range<usize>>) {
    let value = line[start..].trim_end();
    if value.starts_with(['{', '[']) && !value.starts_with("{{") {
        flow_secrets(line, start, secret, hidden);
        return;
    }
    if !secret {
        flow_secrets(line, start, false, hidden);
        return;
    }
    let bare = value.trim_start_matches(['"', '\'']);
    let is_template = bare.starts_with("{{") && value.trim_end_matches(['"', '\'']).ends_with("}}");
    let is_marker = value.is_empty()
        || value.starts_with('#')
        || value.starts_with('*')
        || (value.starts_with(['|', '>', '!', '&']) && !value.contains(' '));
    if !is_template && !is_marker {
        hidden.push(start..start + value.len());
    }
}

/// Values inside `{…}`, `k=v` and `--password v`.
fn flow_secrets(line: &str, start: usize, secret: bool, hidden: &mut Vec<Range<usize>>) {
    static PAIR: LazyLock<Regex> = LazyLock::new(|| {
        // After a colon a value goes up to a comma or bracket, elsewhere up to a blank.
        Regex::new(
            r#"([\w.-]+)["']?(?:(\s*:\s*)("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,{}\[\]"'][^,}\]]*)|(\s*=\s*|\s+)("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,{}\[\]"'][^,}\]\s]*))"#,
        )
            .expect("the pattern is a constant")
    });
    let mut at = start;
    while let Some(found) = PAIR.captures_at(line, at) {
        let key = &found[1];
        let (Some(gap), Some(value)) = (found.get(2).or(found.get(4)), found.get(3).or(found.get(5))) else {
            break;
        };
        let option = gap.as_str().trim().is_empty();
        let hide = if option {
            key.starts_with("--") && is_secret(key)
        } else {
            is_secret(key) || (secret && !ORIGINS.contains(&key))
        };
        let literal = !value
            .as_str()
            .trim_start_matches(['"', '\''])
            .starts_with(['{', '$', '*']);
        if hide && literal {
            hidden.push(value.start()..value.start() + value.as_str().trim_end().len());
            at = value.end();
        } else {
            // The value may be the key of the next pair.
            at = value.start();
        }
    }
    if secret && line[start..].trim_start().starts_with('[') && !line[start..].contains(':') {
        hidden.push(start..line.trim_end().len());
    }
}
