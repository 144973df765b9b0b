//! The methods of Python's text, lists and mappings that templates call.

use std::cell::RefMut;
use std::sync::Arc;

use super::engine::Engine;
use super::eval::Args;
use super::operate::sized;
use super::print;
use super::value::{Key, Loop, Res, Val, said, say};

const TEXT: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];
const LIST: &[&str] = &[
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort",
];
const DICT: &[&str] = &[
    "clear",
    "copy",
    "get",
    "items",
    "keys",
    "pop",
    "setdefault",
    "update",
    "values",
];
const LOOP: &[&str] = &["changed", "cycle"];

pub(super) fn exists<'a>(engine: &Engine<'a>, value: &Val<'a>, name: &str) -> bool {
    let list = match value {
        Val::Str(_) => TEXT,
        Val::Loop(_) => LOOP,
        Val::Namespace(_) => return false,
        list if engine.is_list(list) => LIST,
        map if engine.is_map(map) => DICT,
        _ => return false,
    };
    list.contains(&name)
}

pub(super) fn call<'a>(engine: &Engine<'a>, owner: &Val<'a>, name: &str, args: Args<'a>) -> Res<'a, Val<'a>> {
    let mut positional = Vec::with_capacity(args.positional.len());
    for value in args.positional {
        positional.push(engine.force(value)?);
    }
    let call = Call {
        engine,
        name,
        args: positional,
        named: args.named,
    };
    match owner {
        Val::Str(text) => text_method(&call, text),
        Val::Loop(state) => loop_method(&call, state),
        list if engine.is_list(list) => list_method(&call, list),
        map => dict_method(&call, map),
    }
}

struct Call<'c, 'a> {
    engine: &'c Engine<'a>,
    name: &'c str,
    args: Vec<Val<'a>>,
    named: Vec<(Arc<str>, Val<'a>)>,
}

impl<'a> Call<'_, 'a> {
    fn get(&self, index: usize, name: &str) -> Option<&Val<'a>> {
        self.args
            .get(index)
            .or_else(|| self.named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v))
    }

    fn text(&self, index: usize, name: &str) -> Res<'a, &str> {
        match self.get(index, name) {
            Some(Val::Str(text)) => Ok(text),
            Some(other) => say(format!("`{}()` takes text, not {}", self.name, other.kind())),
            None => say(format!("`{}()` needs `{name}`", self.name)),
        }
    }

    fn optional_text(&self, index: usize, name: &str) -> Res<'a, Option<&str>> {
        match self.get(index, name) {
            None | Some(Val::None) => Ok(None),
            Some(_) => self.text(index, name).map(Some),
        }
    }

    fn int(&self, index: usize, name: &str) -> Res<'a, Option<i64>> {
        match self.get(index, name) {
            None | Some(Val::None) => Ok(None),
            Some(Val::Int(i)) => Ok(Some((*i).clamp(i64::MIN.into(), i64::MAX.into()) as i64)),
            Some(Val::Bool(b)) => Ok(Some((*b).into())),
            Some(other) => say(format!("`{}()` takes an integer, not {}", self.name, other.kind())),
        }
    }

    fn first(&self) -> Res<'a, Val<'a>> {
        self.args
            .first()
            .cloned()
            .ok_or_else(|| said(format!("`{}()` needs a value", self.name)))
    }

    /// The part of a text that `start` and `end` leave, from the argument at `index` on; with the characters before it.
    fn window<'t>(&self, text: &'t str, index: usize) -> Res<'a, (&'t str, usize)> {
        let chars = text.chars().count() as i64;
        let bound = |v: Option<i64>, default: i64| match v {
            None => default,
            Some(v) if v < 0 => (v + chars).max(0),
            Some(v) => v.min(chars),
        };
        let start = bound(self.int(index, "start")?, 0);
        let end = bound(self.int(index + 1, "end")?, chars).max(start);
        let at = |n: i64| text.char_indices().nth(n as usize).map_or(text.len(), |(i, _)| i);
        Ok((&text[at(start)..at(end)], start as usize))
    }
}

fn strs<'a>(parts: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Val<'a> {
    Val::list(parts.into_iter().map(|p| Val::Str(p.into())).collect())
}

fn text_method<'a>(call: &Call<'_, 'a>, text: &str) -> Res<'a, Val<'a>> {
    let all = |test: fn(char) -> bool| Val::Bool(!text.is_empty() && text.chars().all(test));
    let cased = |wanted: fn(char) -> bool, other: fn(char) -> bool| {
        Val::Bool(text.chars().any(wanted) && !text.chars().any(other))
    };
    Ok(match call.name {
        "upper" => Val::str(text.to_uppercase()),
        "lower" | "casefold" => Val::str(text.to_lowercase()),
        "capitalize" => Val::str(capitalize(text)),
        "title" => Val::str(title(text)),
        "swapcase" => Val::str(
            text.chars()
                .map(|c| {
                    if c.is_uppercase() {
                        c.to_lowercase().to_string()
                    } else {
                        c.to_uppercase().to_string()
                    }
                })
                .collect::<String>(),
        ),
        "strip" | "lstrip" | "rstrip" => {
            let set = call.optional_text(0, "chars")?;
            let cut = |c: char| set.map_or_else(|| c.is_whitespace(), |set| set.contains(c));
            Val::str(match call.name {
                "strip" => text.trim_matches(cut),
                "lstrip" => text.trim_start_matches(cut),
                _ => text.trim_end_matches(cut),
            })
        }
        "split" | "rsplit" => {
            let separator = call.optional_text(0, "sep")?;
            let limit = call.int(1, "maxsplit")?.filter(|n| *n >= 0).map(|n| n as usize);
            if separator == Some("") {
                return say("the separator is empty");
            }
            strs(split(text, separator, limit, call.name == "rsplit"))
        }
        "splitlines" => {
            let keep = match call.get(0, "keepends") {
                Some(value) => call.engine.truth(value)?,
                None => false,
            };
            strs(split_lines(text, keep))
        }
        "partition" | "rpartition" => {
            let separator = call.text(0, "sep")?;
            let found = if call.name == "partition" {
                text.split_once(separator)
            } else {
                text.rsplit_once(separator)
            };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if call.name == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            strs(parts)
        }
        "replace" => {
            let (old, new) = (call.text(0, "old")?, call.text(1, "new")?);
            let replaced = replace(text, old, new, call.int(2, "count")?);
            sized(replaced.len())?;
            Val::str(replaced)
        }
        "removeprefix" => Val::str(text.strip_prefix(call.text(0, "prefix")?).unwrap_or(text)),
        "removesuffix" => Val::str(text.strip_suffix(call.text(0, "suffix")?).unwrap_or(text)),
        "startswith" | "endswith" => {
            let first = call.first()?;
            let (part, _) = call.window(text, 1)?;
            let mut wanted = vec![first.clone()];
            if call.engine.is_list(&first) {
                wanted = call.engine.elements(&first)?;
            }
            Val::Bool(wanted.iter().filter_map(Val::as_str).any(|w| {
                if call.name == "startswith" {
                    part.starts_with(w)
                } else {
                    part.ends_with(w)
                }
            }))
        }
        "find" | "rfind" | "index" | "rindex" => {
            let (part, before) = call.window(text, 1)?;
            let wanted = call.text(0, "sub")?;
            let found = if call.name.starts_with('r') {
                part.rfind(wanted)
            } else {
                part.find(wanted)
            };
            match found {
                Some(at) => Val::Int((before + part[..at].chars().count()) as i128),
                None if call.name.ends_with("find") => Val::Int(-1),
                None => return say(format!("`{}()` does not find the text", call.name)),
            }
        }
        "count" => {
            let (part, _) = call.window(text, 1)?;
            let wanted = call.text(0, "sub")?;
            Val::Int(match wanted {
                "" => part.chars().count() + 1,
                wanted => part.matches(wanted).count(),
            } as i128)
        }
        "join" => {
            let list = call.first()?;
            let mut parts = Vec::new();
            for item in call.engine.elements(&list)? {
                match item {
                    Val::Str(part) => parts.push(part),
                    other => {
                        return Err(said(format!("`join()` takes text, not {}", other.kind()))
                            .help("the filter takes anything: `… | join(',')`"));
                    }
                }
            }
            let joined = parts.join(text);
            sized(joined.len())?;
            Val::str(joined)
        }
        "format" => Val::str(print::braces(call.engine, text, &call.args, &call.named)?),
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        "zfill" | "ljust" | "rjust" | "center" => {
            let width = call.int(0, "width")?.unwrap_or(0).max(0) as usize;
            sized(width)?;
            let fill = call
                .optional_text(1, "fillchar")?
                .and_then(|f| f.chars().next())
                .unwrap_or(' ');
            Val::str(pad(text, width, fill, call.name))
        }
        "encode" => Val::str(text),
        other => return say(format!("text has no method `{other}`")),
    })
}

pub(super) fn pad(text: &str, width: usize, fill: char, how: &str) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let fills = |n: usize| fill.to_string().repeat(n);
    match how {
        "ljust" => format!("{text}{}", fills(missing)),
        "rjust" => format!("{}{text}", fills(missing)),
        "zfill" => {
            let at = usize::from(text.starts_with(['-', '+']));
            format!("{}{}{}", &text[..at], "0".repeat(missing), &text[at..])
        }
        _ => {
            let left = missing / 2 + (missing & width & 1);
            format!("{}{text}{}", fills(left), fills(missing - left))
        }
    }
}

pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect(),
        None => String::new(),
    }
}

fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

pub(super) fn split(text: &str, separator: Option<&str>, limit: Option<usize>, from_right: bool) -> Vec<String> {
    let pieces = limit.map_or(usize::MAX, |n| n.saturating_add(1));
    let mut parts: Vec<String> = match (separator, from_right) {
        (Some(s), false) => text.splitn(pieces, s).map(str::to_owned).collect(),
        (Some(s), true) => text.rsplitn(pieces, s).map(str::to_owned).collect(),
        (None, _) => {
            let mut parts = Vec::new();
            let mut rest = text.trim();
            while !rest.is_empty() {
                let cut = if from_right {
                    rest.rfind(char::is_whitespace)
                        .map(|i| (i, i + rest[i..].chars().next().map_or(1, char::len_utf8)))
                } else {
                    rest.find(char::is_whitespace).map(|i| (i, i))
                };
                match cut {
                    Some((before, after)) if parts.len() + 1 < pieces => {
                        if from_right {
                            parts.push(rest[after..].to_owned());
                            rest = rest[..before].trim_end();
                        } else {
                            parts.push(rest[..before].to_owned());
                            rest = rest[after..].trim_start();
                        }
                    }
                    _ => {
                        parts.push(rest.to_owned());
                        break;
                    }
                }
            }
            parts
        }
    };
    if from_right {
        parts.reverse();
    }
    parts
}

fn split_lines(text: &str, keep: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (end, next) = match rest.find(['\n', '\r']) {
            Some(at) if rest[at..].starts_with("\r\n") => (at, at + 2),
            Some(at) => (at, at + 1),
            None => (rest.len(), rest.len()),
        };
        lines.push(rest[..if keep { next } else { end }].to_owned());
        rest = &rest[next..];
    }
    lines
}

pub(super) fn replace(text: &str, old: &str, new: &str, count: Option<i64>) -> String {
    match count {
        Some(n) if n >= 0 => text.replacen(old, new, n as usize),
        _ => text.replace(old, new),
    }
}

fn list_method<'a>(call: &Call<'_, 'a>, list: &Val<'a>) -> Res<'a, Val<'a>> {
    let engine = call.engine;
    match call.name {
        "copy" => return Ok(Val::list(engine.elements(list)?)),
        "count" => {
            let wanted = call.first()?;
            let mut count = 0;
            for item in engine.elements(list)? {
                count += i128::from(engine.equal(&item, &wanted)?);
            }
            return Ok(Val::Int(count));
        }
        "index" => {
            let wanted = call.first()?;
            for (i, item) in engine.elements(list)?.iter().enumerate() {
                if engine.equal(item, &wanted)? {
                    return Ok(Val::Int(i as i128));
                }
            }
            return say("`index()` does not find the value in the list");
        }
        _ => {}
    }
    let Val::List(cell) = list else {
        return Err(said("the list of a variable cannot be changed").help("make a new one: `list + [value]`"));
    };
    let at = |index: i64, len: usize| if index < 0 { index + len as i64 } else { index };
    match call.name {
        "append" => {
            let value = call.first()?;
            sized(cell.borrow().len())?;
            cell.borrow_mut().push(value);
        }
        "extend" => {
            let more = engine.elements(&call.first()?)?;
            sized(cell.borrow().len() + more.len())?;
            cell.borrow_mut().extend(more);
        }
        "insert" => {
            let value = call
                .args
                .get(1)
                .cloned()
                .ok_or_else(|| said("`insert()` needs a position and a value"))?;
            let mut items = cell.borrow_mut();
            let len = items.len();
            let index = at(call.int(0, "index")?.unwrap_or(0), len).clamp(0, len as i64);
            items.insert(index as usize, value);
        }
        "pop" => {
            let mut items = cell.borrow_mut();
            let index = at(call.int(0, "index")?.unwrap_or(-1), items.len());
            return match usize::try_from(index).ok().filter(|i| *i < items.len()) {
                Some(index) => Ok(items.remove(index)),
                None => say("`pop()`: the list has no such element"),
            };
        }
        "remove" => {
            let wanted = call.first()?;
            let items = cell.borrow().clone();
            for (i, item) in items.iter().enumerate() {
                if engine.equal(item, &wanted)? {
                    cell.borrow_mut().remove(i);
                    return Ok(Val::None);
                }
            }
            return say("`remove()` does not find the value in the list");
        }
        "clear" => cell.borrow_mut().clear(),
        "reverse" => cell.borrow_mut().reverse(),
        "sort" => {
            let sorted = super::filter::sorted(engine, engine.elements(list)?, true)?;
            let mut items: RefMut<'_, _> = cell.borrow_mut();
            *items = sorted;
        }
        other => return say(format!("a list has no method `{other}`")),
    }
    Ok(Val::None)
}

fn dict_method<'a>(call: &Call<'_, 'a>, map: &Val<'a>) -> Res<'a, Val<'a>> {
    let engine = call.engine;
    let values = || -> Res<'a, Vec<(Key, Val<'a>)>> {
        let mut out = Vec::new();
        for (key, value) in engine.entries(map)? {
            let value = engine.force(value)?;
            out.push((key, value));
        }
        Ok(out)
    };
    match call.name {
        "keys" => {
            return Ok(Val::list(
                engine.entries(map)?.into_iter().map(|(k, _)| k.val()).collect(),
            ));
        }
        "values" => {
            return Ok(Val::list(
                values()?
                    .into_iter()
                    .map(|(_, v)| v)
                    .filter(|v| !matches!(v, Val::Omit))
                    .collect(),
            ));
        }
        "items" => {
            return Ok(Val::list(
                values()?
                    .into_iter()
                    .map(|(k, v)| Val::Tuple(std::rc::Rc::new(vec![k.val(), v])))
                    .collect(),
            ));
        }
        "get" => {
            let found = match engine.get(map, &call.first()?, false)? {
                Some(Val::Method(_)) | None => None,
                Some(found) => Some(engine.force(found)?),
            };
            return Ok(found.unwrap_or_else(|| call.args.get(1).cloned().unwrap_or(Val::None)));
        }
        "copy" => return Ok(Val::dict(values()?.into_iter().collect())),
        _ => {}
    }
    let Val::Dict(cell) = map else {
        return Err(said("the mapping of a variable cannot be changed").help("make a new one: `map | combine({…})`"));
    };
    match call.name {
        "update" => {
            let mut more = Vec::new();
            if let Some(other) = call.args.first() {
                more = engine.entries(other)?;
            }
            more.extend(call.named.iter().map(|(k, v)| (Key::Str(Arc::clone(k)), v.clone())));
            cell.borrow_mut().extend(more);
            Ok(Val::None)
        }
        "setdefault" => {
            let key = Key::of(&call.first()?)?;
            let default = call.args.get(1).cloned().unwrap_or(Val::None);
            Ok(cell.borrow_mut().entry(key).or_insert(default).clone())
        }
        "pop" => {
            let key = Key::of(&call.first()?)?;
            match (cell.borrow_mut().shift_remove(&key), call.args.get(1)) {
                (Some(value), _) => Ok(value),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) => say(format!("`pop()`: the mapping has no `{}`", key.text())),
            }
        }
        "clear" => {
            cell.borrow_mut().clear();
            Ok(Val::None)
        }
        other => say(format!("a mapping has no method `{other}`")),
    }
}

pub(super) fn loop_field<'a>(state: &Loop<'a>, name: &str) -> Option<Val<'a>> {
    let (index, len) = (state.index, state.items.len());
    let int = |n: usize| Val::Int(n as i128);
    Some(match name {
        "index" => int(index + 1),
        "index0" => int(index),
        "revindex" => int(len - index),
        "revindex0" => int(len - index - 1),
        "first" => Val::Bool(index == 0),
        "last" => Val::Bool(index + 1 == len),
        "length" => int(len),
        "depth" => int(state.depth + 1),
        "depth0" => int(state.depth),
        "previtem" => return index.checked_sub(1).and_then(|i| state.items.get(i)).cloned(),
        "nextitem" => return state.items.get(index + 1).cloned(),
        _ => return None,
    })
}

fn loop_method<'a>(call: &Call<'_, 'a>, state: &Loop<'a>) -> Res<'a, Val<'a>> {
    match call.name {
        "cycle" => match call.args.len() {
            0 => say("`loop.cycle()` needs values"),
            n => Ok(call.args[state.index % n].clone()),
        },
        _ => {
            let now = Val::list(call.args.clone());
            let before = state.changed.borrow_mut().insert(0, now.clone());
            Ok(Val::Bool(match before {
                Some(before) => !call.engine.equal(&before, &now)?,
                None => true,
            }))
        }
    }
}
