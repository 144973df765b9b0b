//! Python's regular expressions on Rust's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use regex::{Captures, Regex, RegexBuilder};

use super::super::operate::sized;
use super::super::value::{Halt, Res, Val, said, say};
use super::Call;

/// Compiles a pattern of Python's, once per process.
pub(in super::super) fn pattern<'a>(source: &str, ignore_case: bool, multiline: bool) -> Res<'a, Arc<Regex>> {
    type Known = Mutex<HashMap<(String, bool, bool), Arc<Regex>>>;
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let key = (source.to_owned(), ignore_case, multiline);
    if let Some(found) = known.lock().unwrap_or_else(|p| p.into_inner()).get(&key) {
        return Ok(Arc::clone(found));
    }
    let regex = RegexBuilder::new(&translate(source)?)
        .case_insensitive(ignore_case)
        .multi_line(multiline)
        .size_limit(4 << 20)
        .build()
        .map_err(|e| bad(source, &e))?;
    let regex = Arc::new(regex);
    let mut known = known.lock().unwrap_or_else(|p| p.into_inner());
    if known.len() > 1000 {
        known.clear();
    }
    known.insert(key, Arc::clone(&regex));
    Ok(regex)
}

fn bad<'a>(source: &str, error: &regex::Error) -> Halt<'a> {
    let text = error.to_string();
    let reason = text
        .lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned();
    said(format!("`{source}` is not a pattern: {reason}"))
}

/// What Python spells differently. Look-around and back-references are beyond the engine and refused by name.
fn translate<'a>(source: &str) -> Res<'a, String> {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.char_indices().peekable();
    let mut in_class = false;
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'Z')) if !in_class => out.push_str("\\z"),
                Some((_, d)) if d.is_ascii_digit() && d != '0' && !in_class => {
                    return say("back-references in a pattern: known, not built yet");
                }
                // Python takes an escaped character that means nothing as itself.
                Some((_, e)) if !e.is_ascii_alphanumeric() && !regex_syntax_meta(e) => out.push(e),
                Some((_, e)) => {
                    out.push('\\');
                    out.push(e);
                }
                None => return say(format!("`{source}` is not a pattern: it ends in a backslash")),
            },
            '[' if in_class => out.push_str("\\["),
            '&' | '~' | '-' if in_class && chars.peek().is_some_and(|(_, next)| *next == c) => {
                out.push('\\');
                out.push(c);
            }
            '[' => {
                in_class = true;
                out.push('[');
                if chars.peek().is_some_and(|(_, next)| *next == '^') {
                    chars.next();
                    out.push('^');
                }
                if chars.peek().is_some_and(|(_, next)| *next == ']') {
                    chars.next();
                    out.push_str("\\]");
                }
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '(' if !in_class
                && ["(?=", "(?!", "(?<=", "(?<!", "(?P=", "(?("]
                    .iter()
                    .any(|p| source[i..].starts_with(p)) =>
            {
                return say("look-around and back-references in a pattern: known, not built yet");
            }
            '{' if !in_class && !is_count(&source[i..]) => out.push_str("\\{"),
            '}' if !in_class && !closes_count(&source[..i]) => out.push_str("\\}"),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn regex_syntax_meta(c: char) -> bool {
    "\\.+*?()|[]{}^$#&-~".contains(c)
}

fn is_count(rest: &str) -> bool {
    let Some(end) = rest.find('}') else { return false };
    let inside = &rest[1..end];
    let mut parts = inside.splitn(2, ',');
    let digits = |p: Option<&str>| p.is_none_or(|p| p.chars().all(|c| c.is_ascii_digit()));
    let first = parts.next();
    !inside.is_empty() && inside != "," && digits(first) && digits(parts.next())
}

fn closes_count(before: &str) -> bool {
    before
        .rfind('{')
        .is_some_and(|at| is_count(&format!("{}}}", &before[at..])))
}

/// Puts groups into a replacement: `\1`, `\g<1>`, `\g<name>`; other backslashes as Python reads them.
fn expand<'a>(template: &str, captures: &Captures, out: &mut String) -> Res<'a, ()> {
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('g') if chars.peek() == Some(&'<') => {
                chars.next();
                let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                let group = match name.parse::<usize>() {
                    Ok(index) if index < captures.len() => captures.get(index),
                    Ok(_) => return say(format!("the pattern has no group {name}")),
                    Err(_) => captures.name(&name),
                };
                out.push_str(group.map_or("", |m| m.as_str()));
            }
            Some(d) if d.is_ascii_digit() => {
                let mut index = d.to_digit(10).unwrap_or_default() as usize;
                if let Some(next) = chars.peek().and_then(|c| c.to_digit(10)) {
                    let two = index * 10 + next as usize;
                    if two < captures.len() {
                        index = two;
                        chars.next();
                    }
                }
                if index >= captures.len() {
                    return say(format!("the pattern has no group {index}"));
                }
                out.push_str(captures.get(index).map_or("", |m| m.as_str()));
            }
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    Ok(())
}

pub(super) fn filter<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let text = call.input_text()?;
    if call.name == "regex_escape" {
        return Ok(Val::str(escape(&text)));
    }
    let source = match call.text_arg(0, "pattern")?.or(call.text_arg(0, "regex")?) {
        Some(source) => source,
        None if call.name == "regex_replace" => "",
        None => return say(format!("the filter `{}` needs a pattern", call.name)),
    };
    let regex = pattern(
        source,
        call.flag(9, "ignorecase", false)?,
        call.flag(9, "multiline", false)?,
    )?;
    match call.name {
        "regex_replace" => {
            let with = call.text_arg(1, "replacement")?.unwrap_or("");
            let limit = match call.int_arg(9, "count")? {
                Some(n) if n > 0 => n as usize,
                _ => usize::MAX,
            };
            replace(&regex, &text, with, limit).map(Val::str)
        }
        "regex_findall" => Ok(Val::list(
            regex
                .captures_iter(&text)
                .map(|found| match found.len() {
                    1 => Val::str(&found[0]),
                    2 => Val::str(found.get(1).map_or("", |m| m.as_str())),
                    n => Val::list(
                        (1..n)
                            .map(|i| Val::str(found.get(i).map_or("", |m| m.as_str())))
                            .collect(),
                    ),
                })
                .collect(),
        )),
        _ => search(call, &regex, &text),
    }
}

fn search<'a>(call: &Call<'_, 'a>, regex: &Regex, text: &str) -> Res<'a, Val<'a>> {
    let Some(found) = regex.captures(text) else {
        return Ok(Val::None);
    };
    let mut groups = Vec::new();
    for arg in call.args.iter().skip(1) {
        let wanted = call.engine.text(arg)?;
        let group = match wanted.strip_prefix("\\g<").and_then(|w| w.strip_suffix('>')) {
            Some(name) => match name.parse::<usize>() {
                Ok(index) if index < found.len() => found.get(index),
                _ if regex.capture_names().flatten().any(|n| n == name) => found.name(name),
                _ => return say(format!("the pattern has no group `{name}`")),
            },
            None => match wanted.strip_prefix('\\').and_then(|w| w.parse::<usize>().ok()) {
                Some(index) if index < found.len() => found.get(index),
                Some(index) => return say(format!("the pattern has no group {index}")),
                None => return say(format!("`{wanted}` names no group: `\\1` or `\\g<name>`")),
            },
        };
        groups.push(group.map_or(Val::None, |m| Val::str(m.as_str())));
    }
    if groups.is_empty() {
        return Ok(Val::str(&found[0]));
    }
    Ok(Val::list(groups))
}

/// Python's `re.sub`: an empty match right after another match counts.
fn replace<'a>(regex: &Regex, text: &str, with: &str, limit: usize) -> Res<'a, String> {
    let mut out = String::with_capacity(text.len());
    let (mut copied, mut at) = (0, 0);
    for _ in 0..limit {
        if at > text.len() {
            break;
        }
        let Some(found) = regex.captures_at(text, at) else {
            break;
        };
        let (start, end) = found.get(0).map_or((at, at), |m| (m.start(), m.end()));
        out.push_str(&text[copied..start]);
        expand(with, &found, &mut out)?;
        sized(out.len())?;
        copied = end;
        at = if end > start {
            end
        } else {
            end + text[end..].chars().next().map_or(1, char::len_utf8)
        };
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Ok(out)
}

/// As Python's `re.escape`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
