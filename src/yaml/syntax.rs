//! The parser's complaints, in words that help.

use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use super::{Diagnostic, Source, Span};

/// A value that begins with `{{`, which YAML reads as a mapping.
pub(super) fn unquoted_template(source: &Arc<Source>, start: usize) -> Diagnostic {
    let line_end = source.text[start..].find('\n').map_or(source.text.len(), |i| start + i);
    let rest = source.text[start..line_end].trim_end();
    let length = rest.find("}}").map_or(rest.len(), |i| i + 2);
    let template = &rest[..length];
    let quote = if template.contains('"') { '\'' } else { '"' };
    // What follows the template may be a secret.
    let more = if rest.len() > length && !rest[length..].trim_start().starts_with('#') {
        "…"
    } else {
        ""
    };
    Diagnostic::error(
        &Span::new(source, start, start + length),
        "a value that begins with `{{` must be quoted",
    )
    .label("YAML reads this as a mapping")
    .help(format!("quote it: {quote}{template}{more}{quote}"))
}

/// A syntax error with a hint, where the text suggests one.
pub(super) fn diagnostic(source: &Arc<Source>, error: &ScanError) -> Diagnostic {
    let text = &source.text;
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    let lines = lines_up_to(text, at);

    // The parser stops where it can no longer go on; what was meant stands there or a little before.
    for (start, line) in lines.iter().take(2) {
        if let Some(column) = template_start(line) {
            return unquoted_template(source, start + column);
        }
    }
    for (start, line) in lines.iter().take(2).chain(line_after(text, at).iter()) {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indent].find('\t') {
            return Diagnostic::error(
                &Span::new(source, start + tab, start + tab + 1),
                "a tab where YAML wants spaces",
            )
            .label("this is a tab")
            .help("indent with spaces");
        }
    }
    let point = Span::new(source, at, text[at..].chars().next().map_or(at, |c| at + c.len_utf8()));
    let mut found = Diagnostic::error(&point, format!("YAML: {}", words(error)));
    let (line_start, line) = lines.first().copied().unwrap_or((0, ""));
    match error.kind() {
        ErrorKind::UnknownAnchor => {
            found = found.help("set the anchor before it is used, or quote a value that begins with `*`");
        }
        _ => {
            if let Some(help) = colon_in_value(line) {
                found = found.help(help);
            } else if let Some((start, end, key)) = lines
                .iter()
                .take(3)
                .find_map(|(start, line)| missing_space(line).map(|(a, b, key)| (start + a, start + b, key)))
            {
                found = found
                    .also(&Span::new(source, start, end), "no space after this colon?")
                    .help(format!("write a space after the colon: `{key}: …`"));
            } else if let Some(character) = line[line.len().min(at.saturating_sub(line_start))..].chars().next()
                && matches!(character, '@' | '`' | '%' | '&' | '*' | '!' | '|' | '>')
            {
                found = found.help(format!("quote a value that begins with `{character}`"));
            } else if let Some(quote) = open_quote(line) {
                found = found.help(format!("is a closing {quote} missing?"));
            } else if let Some(closing) = lines.iter().find_map(|(_, line)| open_bracket(line)) {
                found = found.help(format!("is a closing `{closing}` missing?"));
            } else if text[at..].starts_with(':') {
                found = found.help("keys of one mapping stand in one column: is the indentation right?");
            }
        }
    }
    found
}

fn words(error: &ScanError) -> String {
    let text = error.info().to_string();
    // The parser ends some sentences with a full stop.
    text.trim_end_matches('.').to_owned()
}

/// The line that holds `at` and those before it that are not empty, nearest first, each with where it starts.
fn lines_up_to(text: &str, at: usize) -> Vec<(usize, &str)> {
    let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
    let mut lines = Vec::new();
    let mut end = end;
    while lines.len() < 4 {
        let start = text[..end].rfind('\n').map_or(0, |i| i + 1);
        let line = text[start..end].trim_end_matches('\r');
        if !line.trim().is_empty() {
            lines.push((start, line));
        }
        if start == 0 {
            break;
        }
        end = start - 1;
    }
    lines
}

fn line_after(text: &str, at: usize) -> Option<(usize, &str)> {
    let start = at + text[at..].find('\n')? + 1;
    text[start..].lines().next().map(|line| (start, line))
}

/// Where an unquoted `{{` begins a value: after `: ` or `- `.
fn template_start(line: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(i) = line[from..].find("{{") {
        let start = from + i;
        let before = line[..start].trim_end_matches(' ');
        let gap = before.len() < start;
        if (gap && (before.ends_with(':') || before.ends_with('-'))) || before.trim().is_empty() {
            return Some(start);
        }
        from = start + 2;
    }
    None
}

/// `msg: a: b`: a value that holds a colon and a space.
fn colon_in_value(line: &str) -> Option<String> {
    let (key, value) = line.split_once(": ")?;
    let value = value.trim();
    if value.starts_with(['"', '\'', '{', '[', '|', '>', '#']) || !value.contains(": ") {
        return None;
    }
    Some(format!(
        "quote a value that holds `: `: `{}: \"…\"`",
        key.trim().trim_start_matches("- ")
    ))
}

/// `key:value` on a line of its own: where the colon is, and the key.
fn missing_space(line: &str) -> Option<(usize, usize, &str)> {
    let trimmed = line.trim_start().trim_start_matches("- ");
    let colon = trimmed.find(':')?;
    let key = &trimmed[..colon];
    let after = trimmed[colon + 1..].chars().next()?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !is_key || after.is_whitespace() || after == '/' {
        return None;
    }
    let start = line.len() - trimmed.len() + colon;
    Some((start, start + 1, key))
}

/// A quote that opens a value and that nothing closes on the line.
fn open_quote(line: &str) -> Option<char> {
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim();
    let value = value.trim_start_matches("- ");
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    (value.matches(quote).count() % 2 == 1).then_some(quote)
}

/// What would close a bracket that the line leaves open.
fn open_bracket(line: &str) -> Option<char> {
    [('[', ']'), ('{', '}')]
        .into_iter()
        .find(|(open, close)| line.matches(*open).count() > line.matches(*close).count())
        .map(|(_, close)| close)
}
