//! Text in, text out.

use super::super::method;
use super::super::operate::sized;
use super::super::value::{Res, Val, say};
use super::Call;

pub(super) fn filter<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    Ok(match call.name {
        "lower" => Val::str(call.input_text()?.to_lowercase()),
        "upper" => Val::str(call.input_text()?.to_uppercase()),
        "capitalize" => Val::str(method::capitalize(&call.input_text()?)),
        "title" => Val::str(title(&call.input_text()?)),
        "trim" => {
            let text = call.input_text()?;
            let chars = call.text_arg(0, "chars")?;
            Val::str(text.trim_matches(|c: char| chars.map_or_else(|| c.is_whitespace(), |set| set.contains(c))))
        }
        "replace" => {
            let text = call.input_text()?;
            let old = call.engine.text(call.need(0, "old")?)?;
            let new = match call.args.get(1).or(call.named("new")) {
                Some(new) => call.engine.text(new)?,
                None => return say("the filter `replace` needs what to put in"),
            };
            let replaced = method::replace(&text, &old, &new, call.int_arg(2, "count")?);
            sized(replaced.len())?;
            Val::str(replaced)
        }
        "split" => {
            let text = call.text_only()?;
            let separator = call.text_arg(0, "sep")?;
            if separator == Some("") {
                return say("the separator is empty");
            }
            let limit = call.int_arg(1, "maxsplit")?.and_then(|n| usize::try_from(n).ok());
            let parts = method::split(text, separator, limit, false);
            Val::list(parts.into_iter().map(Val::str).collect())
        }
        "center" => {
            let width = call.int_arg(0, "width")?.unwrap_or(80).max(0) as usize;
            sized(width)?;
            Val::str(method::pad(&call.input_text()?, width, ' ', "center"))
        }
        "format" => {
            let text = call.input_text()?;
            let args = Val::Tuple(std::rc::Rc::new(call.args.clone()));
            if call.named.is_empty() {
                Val::str(call.engine.percent(&text, &args)?)
            } else {
                let map = call
                    .named
                    .iter()
                    .map(|(k, v)| (super::super::value::Key::Str(k.clone()), v.clone()))
                    .collect();
                Val::str(call.engine.percent(&text, &Val::dict(map))?)
            }
        }
        "indent" => Val::str(indent(call)?),
        "quote" => Val::str(quote(&match &call.input {
            Val::None => String::new(),
            _ => call.input_text()?,
        })),
        "truncate" => Val::str(truncate(call)?),
        _ => Val::str(urlencode(call)?),
    })
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        start = c.is_whitespace() || "-({[<".contains(c);
    }
    out
}

fn indent<'a>(call: &Call<'_, 'a>) -> Res<'a, String> {
    let text = call.input_text()?;
    let prefix = match call.get(0, "width") {
        None => "    ".to_owned(),
        Some(Val::Int(n)) => {
            let n = usize::try_from(*n).unwrap_or(0);
            sized(n)?;
            " ".repeat(n)
        }
        Some(other) => call.engine.text(other)?,
    };
    let first = call.flag(1, "first", false)?;
    let blank = call.flag(2, "blank", false)?;
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if (i > 0 || first) && (blank || !line.is_empty()) {
            out.push_str(&prefix);
        }
        out.push_str(line);
        sized(out.len())?;
    }
    Ok(out)
}

/// As Python's `shlex.quote`.
pub(super) fn quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

fn truncate<'a>(call: &Call<'_, 'a>) -> Res<'a, String> {
    let text = call.input_text()?;
    let length = call.int_arg(0, "length")?.unwrap_or(255).max(0) as usize;
    let kill = call.flag(1, "killwords", false)?;
    let end = call.text_arg(2, "end")?.unwrap_or("...");
    let leeway = call.int_arg(3, "leeway")?.unwrap_or(5).max(0) as usize;
    let count = text.chars().count();
    if count <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let keep = length.saturating_sub(end.chars().count());
    let cut: String = text.chars().take(keep).collect();
    if kill {
        return Ok(cut + end);
    }
    Ok(format!(
        "{}{end}",
        cut.rsplit_once(' ').map_or(cut.as_str(), |(head, _)| head)
    ))
}

fn urlencode<'a>(call: &Call<'_, 'a>) -> Res<'a, String> {
    let engine = call.engine;
    let pairs = if engine.is_map(&call.input) {
        let mut pairs = Vec::new();
        for (key, value) in engine.entries(&call.input)? {
            pairs.push((key.text(), engine.text(&engine.force(value)?)?));
        }
        pairs
    } else if engine.is_list(&call.input) {
        let mut pairs = Vec::new();
        for pair in call.items()? {
            match call.list_of(&pair)?.as_slice() {
                [key, value] => pairs.push((engine.text(key)?, engine.text(value)?)),
                _ => return say("`urlencode` takes pairs"),
            }
        }
        pairs
    } else {
        return Ok(percent(&call.input_text()?, "/", false));
    };
    Ok(pairs
        .iter()
        .map(|(k, v)| format!("{}={}", percent(k, "", true), percent(v, "", true)))
        .collect::<Vec<_>>()
        .join("&"))
}

fn percent(text: &str, safe: &str, plus: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' if plus => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"_.-~".contains(&b) || safe.as_bytes().contains(&b) => {
                out.push(b.into())
            }
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
