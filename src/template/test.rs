//! Jinja's tests (`is …`), with Ansible's.

use std::cmp::Ordering;

use super::engine::Engine;
use super::eval::Args;
use super::filter::{self, pattern};
use super::operate::Number;
use super::syntax::Fault;
use super::value::{Halt, Res, Val, said, say};
use crate::yaml::did_you_mean;

const KNOWN: &[&str] = &[
    "all",
    "any",
    "boolean",
    "change",
    "changed",
    "contains",
    "defined",
    "divisibleby",
    "eq",
    "==",
    "equalto",
    "even",
    "failed",
    "failure",
    "false",
    "falsy",
    "filter",
    "finished",
    "float",
    "ge",
    ">=",
    "greaterthan",
    "gt",
    ">",
    "in",
    "integer",
    "iterable",
    "le",
    "<=",
    "lessthan",
    "lower",
    "lt",
    "<",
    "mapping",
    "match",
    "ne",
    "!=",
    "none",
    "null",
    "number",
    "odd",
    "regex",
    "reachable",
    "sameas",
    "search",
    "sequence",
    "skip",
    "skipped",
    "string",
    "subset",
    "issubset",
    "succeeded",
    "success",
    "successful",
    "superset",
    "issuperset",
    "test",
    "true",
    "truthy",
    "undefined",
    "unreachable",
    "upper",
    "vault_encrypted",
    "version",
    "version_compare",
];
const NOT_BUILT: &[&str] = &[
    "abs",
    "callable",
    "directory",
    "escaped",
    "exists",
    "file",
    "is_abs",
    "is_dir",
    "is_file",
    "is_link",
    "is_mount",
    "is_same_file",
    "isnan",
    "link",
    "link_exists",
    "mount",
    "nan",
    "same_file",
    "started",
    "timedout",
    "uri",
    "url",
    "urn",
    "ansible.utils.in_any_network",
];

pub(super) fn known(name: &str) -> Result<(), Fault> {
    let short = filter::short(name);
    if KNOWN.contains(&short) {
        return Ok(());
    }
    let fault = |message, help: Option<String>| Fault {
        range: 0..0,
        message,
        help: help.into_iter().collect(),
    };
    if NOT_BUILT.contains(&short) {
        return Err(fault(format!("the test `{name}`: known, not built yet"), None));
    }
    let near = did_you_mean(short, KNOWN.iter().copied()).map(|n| format!("did you mean `is {n}`?"));
    Err(fault(format!("unknown test `{name}`"), near))
}

/// Tests of a result.
const RESULT: [&str; 12] = [
    "changed",
    "change",
    "failed",
    "failure",
    "success",
    "succeeded",
    "successful",
    "skipped",
    "skip",
    "unreachable",
    "reachable",
    "finished",
];

pub(super) fn apply<'a>(engine: &Engine<'a>, name: &str, value: Val<'a>, args: Args<'a>) -> Res<'a, bool> {
    let name = filter::short(name);
    if name == "defined" || name == "undefined" {
        return match value {
            Val::Pending(_) => Err(Halt::Pending),
            Val::Undefined(_) => Ok(name == "undefined"),
            _ => Ok(name == "defined"),
        };
    }
    let value = match &value {
        // What is asked of a result may be known before all of it is.
        Val::Pending(waiting) if RESULT.contains(&name) => match &waiting.known {
            Some(known) => Val::from_json(known),
            None => return Err(Halt::Pending),
        },
        _ => engine.known(value)?,
    };
    let mut positional = Vec::new();
    for arg in args.positional {
        positional.push(engine.known(engine.force(arg)?)?);
    }
    let named = |wanted: &str| args.named.iter().find(|(n, _)| &**n == wanted).map(|(_, v)| v);
    let arg = |index: usize| {
        positional.get(index).ok_or_else(|| {
            said(format!(
                "`is {name}` needs {}",
                if index == 0 { "a value" } else { "another value" }
            ))
        })
    };
    let flag = |wanted: &str| match named(wanted) {
        Some(value) => engine.truth(value),
        None => Ok(false),
    };
    Ok(match name {
        "none" | "null" => matches!(value, Val::None),
        "string" => matches!(value, Val::Str(_)),
        "mapping" => engine.is_map(&value),
        "iterable" | "sequence" => matches!(value, Val::Str(_)) || engine.is_list(&value) || engine.is_map(&value),
        "number" => Number::of(&value).is_some(),
        "integer" => matches!(value, Val::Int(_)),
        "float" => matches!(value, Val::Float(_)),
        "boolean" => matches!(value, Val::Bool(_)),
        "true" => matches!(value, Val::Bool(true)),
        "false" => matches!(value, Val::Bool(false)),
        "odd" | "even" => match &value {
            Val::Int(i) => (i.rem_euclid(2) == 1) == (name == "odd"),
            other => return say(format!("`is {name}` takes an integer, not {}", other.kind())),
        },
        "divisibleby" => match (&value, arg(0)?) {
            (Val::Int(_), Val::Int(0)) => return say("division by zero"),
            (Val::Int(a), Val::Int(b)) => a % b == 0,
            _ => return say("`is divisibleby` takes integers"),
        },
        "lower" => engine.text(&value)?.chars().all(|c| !c.is_uppercase()),
        "upper" => engine.text(&value)?.chars().all(|c| !c.is_lowercase()),
        "sameas" => value.type_name() == arg(0)?.type_name() && engine.equal(&value, arg(0)?)?,
        "eq" | "==" | "equalto" => engine.equal(&value, arg(0)?)?,
        "ne" | "!=" => !engine.equal(&value, arg(0)?)?,
        "lt" | "<" | "lessthan" => engine.order(&value, arg(0)?)? == Some(Ordering::Less),
        "gt" | ">" | "greaterthan" => engine.order(&value, arg(0)?)? == Some(Ordering::Greater),
        "le" | "<=" => matches!(engine.order(&value, arg(0)?)?, Some(Ordering::Less | Ordering::Equal)),
        "ge" | ">=" => matches!(
            engine.order(&value, arg(0)?)?,
            Some(Ordering::Greater | Ordering::Equal)
        ),
        "in" => engine.contains(arg(0)?, &value)?,
        "contains" => engine.contains(&value, arg(0)?)?,
        "subset" | "issubset" | "superset" | "issuperset" => {
            let (small, large) = if name.ends_with("subset") {
                (&value, arg(0)?)
            } else {
                (arg(0)?, &value)
            };
            let large = engine.elements(large)?;
            for item in engine.elements(small)? {
                if !filter::has(engine, &large, &item)? {
                    return Ok(false);
                }
            }
            true
        }
        "all" | "any" => {
            for item in engine.elements(&value)? {
                if engine.truth(&item)? != (name == "all") {
                    return Ok(name == "any");
                }
            }
            name == "all"
        }
        "truthy" | "falsy" => {
            let mut value = value;
            if flag("convert_bool")? {
                value = convert_bool(value);
            }
            engine.truth(&value)? == (name == "truthy")
        }
        "match" | "search" | "regex" => {
            let text = engine.text(&value)?;
            let source = match arg(0)? {
                Val::Str(source) => source,
                other => return say(format!("a pattern is text, not {}", other.kind())),
            };
            let option = |index: usize, wanted: &str| match positional.get(index) {
                Some(value) => engine.truth(value),
                None => flag(wanted),
            };
            let (ignore, multi) = (option(1, "ignorecase")?, option(2, "multiline")?);
            let kind = match named("match_type").and_then(Val::as_str) {
                Some(kind) if name == "regex" => kind.to_owned(),
                _ if name == "regex" => "search".to_owned(),
                _ => name.to_owned(),
            };
            let regex = pattern(source, ignore, multi)?;
            match kind.as_str() {
                "match" => regex.find(&text).is_some_and(|m| m.start() == 0),
                "fullmatch" => regex
                    .find(&text)
                    .is_some_and(|m| m.start() == 0 && m.end() == text.len()),
                _ => regex.is_match(&text),
            }
        }
        "version" | "version_compare" => {
            let operator = match positional.get(1).or(named("operator")) {
                Some(Val::Str(operator)) => operator.to_string(),
                Some(other) => return say(format!("the operator of `is version` is text, not {}", other.kind())),
                None => "eq".to_owned(),
            };
            let strict = match positional.get(2).or(named("strict")) {
                Some(value) => engine.truth(value)?,
                None => false,
            };
            let kind = positional
                .get(3)
                .or(named("version_type"))
                .and_then(Val::as_str)
                .unwrap_or_default();
            let (left, right) = (engine.text(&value)?, engine.text(arg(0)?)?);
            filter::version(&left, &right, &operator, strict, kind)?
        }
        name if RESULT.contains(&name) => result(engine, name, &value)?,
        "filter" => matches!(&value, Val::Str(name) if filter::known(name).is_ok()),
        "test" => matches!(&value, Val::Str(name) if known(name).is_ok()),
        "vault_encrypted" => matches!(&value, Val::Str(text) if text.starts_with("$ANSIBLE_VAULT;")),
        other => return say(format!("the test `{other}`: known, not built yet")),
    })
}

fn convert_bool(value: Val<'_>) -> Val<'_> {
    let text = match &value {
        Val::Str(text) => text.to_lowercase(),
        Val::Int(i) => i.to_string(),
        _ => return value,
    };
    match text.as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" => Val::Bool(true),
        "n" | "no" | "off" | "0" | "false" | "f" => Val::Bool(false),
        _ => value,
    }
}

/// Tests on a step's result.
fn result<'a>(engine: &Engine<'a>, name: &str, value: &Val<'a>) -> Res<'a, bool> {
    if !engine.is_map(value) {
        return Err(said(format!("`is {name}` takes a step's result, not {}", value.kind()))
            .help("the result is what `register` names, not a field of it"));
    }
    let field = |field: &str| -> Res<'a, bool> {
        match engine.get(value, &Val::str(field), false)? {
            Some(found) => engine.truth(&engine.known(engine.force(found)?)?),
            None => Ok(false),
        }
    };
    Ok(match name {
        "changed" | "change" => {
            if engine.get(value, &Val::str("changed"), false)?.is_none()
                && let Some(results) = engine.get(value, &Val::str("results"), false)?
                && engine.is_list(&results)
            {
                for item in engine.elements(&results)? {
                    if engine.is_map(&item) && result(engine, "changed", &item)? {
                        return Ok(true);
                    }
                }
            }
            field("changed")?
        }
        "failed" | "failure" => field("failed")?,
        "success" | "succeeded" | "successful" => !field("failed")?,
        "skipped" | "skip" => field("skipped")?,
        "unreachable" => field("unreachable")?,
        "reachable" => !field("unreachable")?,
        _ => engine.get(value, &Val::str("finished"), false)?.is_none() || field("finished")?,
    })
}
