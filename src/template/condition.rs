//! Conditions: bare expressions that must give a boolean.

use super::engine::{Engine, Frame};
use super::place::Place;
use super::syntax::Mode;
use super::value::{Halt, Res, Val, said};
use crate::yaml::{Node, Value};

pub(super) fn evaluate<'a>(engine: &Engine<'a>, text: &str, place: Place<'a>) -> Res<'a, Val<'a>> {
    let code = engine.compile(text, Mode::Expression, place)?;
    let frame = Frame::new(0, place);
    let value = engine.run(&frame, &code.body)?;
    engine.known(value)
}

pub(super) fn holds<'a>(engine: &Engine<'a>, node: &'a Node) -> Res<'a, bool> {
    let place = Place::Node(node);
    engine.set_here(place, &(0..place.text().len()));
    match &node.value {
        Value::Bool(b) => Ok(*b),
        Value::Seq(items) => all(engine, items),
        Value::Str(text) if text.trim().is_empty() => Err(said("the condition is empty")),
        Value::Str(text) => {
            if let Some(at) = bare_braces(text) {
                let inner = text[at..].trim_start_matches(['{', '%', ' ']);
                let inner = inner.split(['}', '%']).next().unwrap_or_default().trim();
                let halt = said("a condition is an expression already: no braces").help(match inner.is_empty() {
                    true => "write the expression alone".to_owned(),
                    false => format!("write `{inner}` without the braces"),
                });
                return Err(engine.fail_at(halt, place, &(at..at + 2)));
            }
            match evaluate(engine, text, place)? {
                Val::Bool(b) => Ok(b),
                other => {
                    let halt = said(format!("the condition gives {}, not a boolean", other.kind()));
                    let help = match &other {
                        Val::Str(_) => "compare it (`… == 'x'`, `… | length > 0`), or write `| bool`",
                        Val::Int(_) | Val::Float(_) => "compare it (`… != 0`), or write `| bool`",
                        Val::None => "write `… is not none`",
                        _ => "compare it: `… | length > 0`",
                    };
                    Err(engine.fail_at(halt.help(help), place, &(0..text.len())))
                }
            }
        }
        _ => {
            let halt = said(format!("a condition is an expression, not {}", node.kind_name()));
            Err(engine.fail_at(halt, place, &(0..0)))
        }
    }
}

/// One that is false decides, whatever is not known before it.
fn all<'a>(engine: &Engine<'a>, items: &'a [Node]) -> Res<'a, bool> {
    let mut pending = false;
    for item in items {
        match holds(engine, item) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(Halt::Pending) => pending = true,
            // What stands behind something unknown may never be reached.
            Err(_) if pending => {}
            Err(other) => return Err(other),
        }
    }
    if pending { Err(Halt::Pending) } else { Ok(true) }
}

/// Template braces outside string literals.
fn bare_braces(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') if text[i..].starts_with("{{") || text[i..].starts_with("{%") => return Some(i),
            (None, _) => {}
        }
    }
    None
}
