//! Paths as text, as Python's posixpath has them.

use super::super::value::{Res, Val, say};
use super::Call;

pub(super) fn filter<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    if call.name == "path_join" {
        if !call.args.is_empty() {
            return say("`path_join` takes one list: `[a, b] | path_join`");
        }
        let mut parts = Vec::new();
        match &call.input {
            Val::Str(text) => parts.push(text.to_string()),
            _ => {
                for item in call.items()? {
                    parts.push(call.engine.text(&item)?);
                }
            }
        }
        return Ok(Val::str(join(&parts)));
    }
    let text = call.input_text()?;
    Ok(match call.name {
        "basename" => Val::str(text.rsplit('/').next().unwrap_or_default()),
        "dirname" => Val::str(dirname(&text)),
        "normpath" => Val::str(normal(&text)),
        _ => {
            let (root, extension) = splitext(&text);
            Val::list(vec![Val::str(root), Val::str(extension)])
        }
    })
}

fn join(parts: &[String]) -> String {
    let mut out = String::new();
    for part in parts {
        if part.starts_with('/') {
            out.clear();
        } else if !out.is_empty() && !out.ends_with('/') {
            out.push('/');
        }
        out.push_str(part);
    }
    out
}

fn dirname(text: &str) -> &str {
    let Some(at) = text.rfind('/') else { return "" };
    let head = &text[..=at];
    let cut = head.trim_end_matches('/');
    if cut.is_empty() { head } else { cut }
}

fn splitext(text: &str) -> (&str, &str) {
    let name_at = text.rfind('/').map_or(0, |i| i + 1);
    let name = &text[name_at..];
    let leading = name.len() - name.trim_start_matches('.').len();
    match name.rfind('.') {
        Some(dot) if dot >= leading && leading < name.len() && dot > 0 => text.split_at(name_at + dot),
        _ => (text, ""),
    }
}

fn normal(text: &str) -> String {
    if text.is_empty() {
        return ".".to_owned();
    }
    let root = match text {
        t if t.starts_with("//") && !t.starts_with("///") => "//",
        t if t.starts_with('/') => "/",
        _ => "",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".to_owned() } else { joined }
}
