//! A failure in full: which unit, what it was, how it ended, and the end of what it printed.

use serde_json::Value;

use super::clean;
use super::line::{Line, Tone, behind_bar, count, duration};
use crate::event::UnitEnded;

/// Of stdout and stderr each.
const TAIL: usize = 40;
/// Characters of a line of output.
const WIDEST: usize = 2000;

/// What follows the line that names the unit.
pub(super) fn block(ended: &UnitEnded) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(message) = &ended.message {
        field(&mut lines, "why", message);
    }
    if ended.title != ended.unit.step {
        field(&mut lines, "step", &ended.title);
    }
    if let Some(item) = &ended.item {
        field(&mut lines, "item", &one(item));
    }
    let attempt = if ended.attempt > 1 {
        format!(", attempt {}", ended.attempt)
    } else {
        String::new()
    };
    field(&mut lines, "kind", &format!("{}{attempt}", ended.kind));
    if let Some(command) = &ended.command {
        field(&mut lines, "command", command);
    }
    let rc = match ended.result.get("rc") {
        Some(rc) => format!("rc {} ", one(rc)),
        None => String::new(),
    };
    field(&mut lines, "ended", &format!("{rc}after {}", duration(ended.seconds)));
    for name in ["stdout", "stderr"] {
        if let Some(text) = ended.result.get(name).and_then(Value::as_str) {
            tail(&mut lines, name, text);
        }
    }
    lines
}

fn field(lines: &mut Vec<Line>, name: &str, text: &str) {
    let mut rows = clean::lines(text).into_iter();
    lines.push(label(name).text(rows.next().unwrap_or_default()));
    lines.extend(rows.map(|row| label("").text(row)));
}

fn label(name: &str) -> Line {
    Line::below().tone(Tone::Dim, format!("  {name:<9}"))
}

fn tail(lines: &mut Vec<Line>, name: &str, text: &str) {
    let rows = clean::lines(text);
    if rows.is_empty() {
        return;
    }
    let kept = &rows[rows.len().saturating_sub(TAIL)..];
    let amount = if kept.len() < rows.len() {
        format!("the last {} of {} lines", kept.len(), rows.len())
    } else {
        count(rows.len(), "line")
    };
    lines.push(label(name).tone(Tone::Dim, amount));
    for row in kept {
        match row.char_indices().nth(WIDEST) {
            None => lines.push(behind_bar(Tone::Text, row)),
            Some((end, _)) => {
                let more = row[end..].chars().count();
                lines.push(behind_bar(
                    Tone::Text,
                    &format!("{} … {more} more characters", &row[..end]),
                ));
            }
        }
    }
}

/// A value on one line; text without quotes.
pub(super) fn one(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
