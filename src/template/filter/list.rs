//! Lists and mappings.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::rc::Rc;

use super::super::engine::Engine;
use super::super::eval::Args;
use super::super::operate::sized;
use super::super::syntax::Binary;
use super::super::test;
use super::super::value::{Absent, Dict, Halt, Key, Missing, Res, Val, said, say};
use super::Call;

/// Is an equal value in the list?
pub(in super::super) fn has<'a>(engine: &Engine<'a>, list: &[Val<'a>], wanted: &Val<'a>) -> Res<'a, bool> {
    for item in list {
        if engine.equal(item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Values seen, scalars by hash.
struct Seen<'c, 'a> {
    engine: &'c Engine<'a>,
    keys: HashSet<Key>,
    rest: Vec<Val<'a>>,
}

impl<'c, 'a> Seen<'c, 'a> {
    fn new(engine: &'c Engine<'a>) -> Seen<'c, 'a> {
        Seen {
            engine,
            keys: HashSet::new(),
            rest: Vec::new(),
        }
    }

    fn of(engine: &'c Engine<'a>, items: &[Val<'a>]) -> Res<'a, Seen<'c, 'a>> {
        let mut seen = Seen::new(engine);
        for item in items {
            seen.insert(item)?;
        }
        Ok(seen)
    }

    fn key(value: &Val<'a>) -> Option<Key> {
        match value {
            Val::Bool(b) => Some(Key::Int((*b).into())),
            other => Key::of(other).ok(),
        }
    }

    fn contains(&self, value: &Val<'a>) -> Res<'a, bool> {
        match Seen::key(value) {
            Some(key) => Ok(self.keys.contains(&key)),
            None => has(self.engine, &self.rest, value),
        }
    }

    /// True where it is new.
    fn insert(&mut self, value: &Val<'a>) -> Res<'a, bool> {
        self.engine.step()?;
        match Seen::key(value) {
            Some(key) => Ok(self.keys.insert(key)),
            None if has(self.engine, &self.rest, value)? => Ok(false),
            None => {
                self.rest.push(value.clone());
                Ok(true)
            }
        }
    }
}

/// What a value is sorted by where case does not count.
fn folded<'a>(value: &Val<'a>, case_sensitive: bool) -> Val<'a> {
    match value {
        Val::Str(text) if !case_sensitive => Val::str(text.to_lowercase()),
        other => other.clone(),
    }
}

pub(in super::super) fn sorted<'a>(
    engine: &Engine<'a>,
    items: Vec<Val<'a>>,
    case_sensitive: bool,
) -> Res<'a, Vec<Val<'a>>> {
    let keyed = items
        .into_iter()
        .map(|item| (vec![folded(&item, case_sensitive)], item))
        .collect();
    sort_keyed(engine, keyed, false)
}

fn sort_keyed<'a>(
    engine: &Engine<'a>,
    mut keyed: Vec<(Vec<Val<'a>>, Val<'a>)>,
    reverse: bool,
) -> Res<'a, Vec<Val<'a>>> {
    let mut trouble = None;
    keyed.sort_by(|(a, _), (b, _)| {
        if trouble.is_some() {
            return Ordering::Equal;
        }
        for (x, y) in a.iter().zip(b) {
            match engine.order(x, y) {
                Ok(Some(Ordering::Equal) | None) => {}
                Ok(Some(order)) => return if reverse { order.reverse() } else { order },
                Err(halt) => {
                    trouble = Some(halt);
                    return Ordering::Equal;
                }
            }
        }
        Ordering::Equal
    });
    match trouble {
        Some(halt) => Err(halt),
        None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}

pub(super) fn filter<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    match call.name {
        "length" | "count" => Ok(Val::Int(call.engine.len(&call.input)? as i128)),
        "list" => Ok(Val::list(call.items()?)),
        "first" | "last" => end(call),
        "join" => join(call),
        "map" => map(call),
        "select" | "reject" | "selectattr" | "rejectattr" => select(call),
        "sort" => sort(call),
        "min" | "max" => extreme(call),
        "sum" => sum(call),
        "unique" | "union" | "intersect" | "difference" | "symmetric_difference" => sets(call),
        "flatten" => flatten(call),
        "reverse" => match &call.input {
            Val::Str(text) => Ok(Val::str(text.chars().rev().collect::<String>())),
            _ => Ok(Val::list(call.items()?.into_iter().rev().collect())),
        },
        "batch" | "slice" => batch(call),
        "zip" | "zip_longest" => zip(call),
        "product" => product(call),
        "groupby" => group(call),
        "extract" => extract(call),
        "attr" => by_path(call, &call.input, call.need(0, "name")?),
        "subelements" => subelements(call),
        _ => mapping(call),
    }
}

fn missing<'a>(call: &Call<'_, 'a>, note: &str) -> Val<'a> {
    let (place, range) = call.engine.here();
    Val::Undefined(Rc::new(Missing {
        what: Absent::Note(note.to_owned()),
        place,
        range,
    }))
}

fn end<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let first = call.name == "first";
    let found = match &call.input {
        Val::Str(text) => {
            let mut chars = text.chars();
            if first { chars.next() } else { chars.next_back() }.map(|c| Val::str(c.to_string()))
        }
        list if call.engine.is_list(list) => {
            let index = Val::Int(if first { 0 } else { -1 });
            call.engine
                .get(list, &index, false)?
                .map(|v| call.engine.force(v))
                .transpose()?
        }
        _ => {
            let items = call.items()?;
            if first { items.first() } else { items.last() }.cloned()
        }
    };
    Ok(found.unwrap_or_else(|| missing(call, &format!("there is no {} element: the list is empty", call.name))))
}

fn join<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let separator = match call.args.first().or(call.named("d")) {
        Some(value) => call.engine.text(value)?,
        None => String::new(),
    };
    let mut out = String::new();
    for (i, item) in call.items()?.iter().enumerate() {
        if i > 0 {
            out.push_str(&separator);
        }
        match call.get(1, "attribute") {
            Some(attribute) => call.engine.write_text(&by_path(call, item, attribute)?, &mut out)?,
            None => call.engine.write_text(item, &mut out)?,
        }
        sized(out.len())?;
    }
    Ok(Val::str(out))
}

/// `a.b.0`: fields and indexes; undefined where one of them is not there.
fn by_path<'a>(call: &Call<'_, 'a>, value: &Val<'a>, path: &Val<'a>) -> Res<'a, Val<'a>> {
    let keys: Vec<Val<'a>> = match path {
        Val::Str(path) => path
            .split('.')
            .map(|part| part.parse::<i128>().map_or_else(|_| Val::str(part), Val::Int))
            .collect(),
        other => vec![other.clone()],
    };
    let mut value = value.clone();
    for key in keys {
        match &value {
            Val::Undefined(_) | Val::Pending(_) => return Ok(value),
            _ => {}
        }
        let found = match call.engine.get(&value, &key, false)? {
            None if matches!(key, Val::Int(_)) => {
                let text = Val::str(call.engine.text(&key)?);
                call.engine.get(&value, &text, false)?
            }
            found => found,
        };
        value = match found {
            Some(found) => call.engine.force(found)?,
            None => {
                let (place, range) = call.engine.here();
                Val::Undefined(Rc::new(Missing {
                    what: Absent::Field("an element".to_owned(), value, call.engine.text(&key)?),
                    place,
                    range,
                }))
            }
        };
    }
    Ok(value)
}

fn map<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let mut out = Vec::new();
    if let Some(attribute) = call.named("attribute") {
        for item in call.items()? {
            let value = by_path(call, &item, attribute)?;
            out.push(match (&value, call.named("default")) {
                (Val::Undefined(_), Some(default)) => default.clone(),
                _ => value,
            });
        }
        return Ok(Val::list(out));
    }
    let Some(Val::Str(name)) = call.args.first() else {
        return Err(said("`map` needs the name of a filter, or `attribute=`"));
    };
    if let Err(fault) = super::known(name) {
        let halt = said(fault.message);
        return Err(fault.help.into_iter().fold(halt, Halt::help));
    }
    for item in call.items()? {
        let args = Args {
            positional: call.args[1..].to_vec(),
            named: call.named.clone(),
        };
        out.push(super::apply(call.engine, name, item, args)?);
    }
    Ok(Val::list(out))
}

fn select<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let keep = call.name.starts_with("select");
    let (attribute, rest) = match call.name {
        "selectattr" | "rejectattr" => match call.args.split_first() {
            Some((attribute, rest)) => (Some(attribute), rest),
            None => return say(format!("`{}` needs the name of a field", call.name)),
        },
        _ => (None, call.args.as_slice()),
    };
    let test = match rest.first() {
        None => None,
        Some(Val::Str(name)) => {
            if let Err(fault) = test::known(name) {
                let halt = said(fault.message);
                return Err(fault.help.into_iter().fold(halt, Halt::help));
            }
            Some(name)
        }
        Some(other) => return say(format!("the name of a test is text, not {}", other.kind())),
    };
    let mut out = Vec::new();
    for item in call.items()? {
        call.engine.step()?;
        let value = match attribute {
            Some(attribute) => by_path(call, &item, attribute)?,
            None => item.clone(),
        };
        let answer = match test {
            None => call.engine.truth(&value)?,
            Some(name) => {
                let args = Args {
                    positional: rest[1..].to_vec(),
                    named: call.named.clone(),
                };
                test::apply(call.engine, name, value, args)?
            }
        };
        if answer == keep {
            out.push(item);
        }
    }
    Ok(Val::list(out))
}

fn sort<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let reverse = call.flag(0, "reverse", false)?;
    let case_sensitive = call.flag(1, "case_sensitive", false)?;
    let paths: Vec<String> = match call.get(2, "attribute") {
        Some(Val::Int(i)) => vec![i.to_string()],
        Some(value) => call
            .engine
            .text(value)?
            .split(',')
            .map(|p| p.trim().to_owned())
            .collect(),
        None => Vec::new(),
    };
    let mut keyed = Vec::new();
    for item in call.items()? {
        let mut key = Vec::with_capacity(paths.len().max(1));
        for path in &paths {
            let value = by_path(call, &item, &Val::str(path.as_str()))?;
            key.push(folded(&call.engine.defined(value)?, case_sensitive));
        }
        if paths.is_empty() {
            key.push(folded(&item, case_sensitive));
        }
        keyed.push((key, item));
    }
    Ok(Val::list(sort_keyed(call.engine, keyed, reverse)?))
}

fn extreme<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let wanted = if call.name == "min" {
        Ordering::Less
    } else {
        Ordering::Greater
    };
    let case_sensitive = call.flag(0, "case_sensitive", false)?;
    let mut best: Option<(Val<'a>, Val<'a>)> = None;
    for item in call.items()? {
        let key = match call.get(1, "attribute") {
            Some(attribute) => call.engine.defined(by_path(call, &item, attribute)?)?,
            None => item.clone(),
        };
        let key = folded(&key, case_sensitive);
        let better = match &best {
            None => true,
            Some((known, _)) => call.engine.order(&key, known)? == Some(wanted),
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(match best {
        Some((_, item)) => item,
        None => missing(call, &format!("there is no `{}`: the list is empty", call.name)),
    })
}

fn sum<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let mut total = call.get(1, "start").cloned().unwrap_or(Val::Int(0));
    for item in call.items()? {
        let value = match call.get(0, "attribute") {
            Some(attribute) => call.engine.defined(by_path(call, &item, attribute)?)?,
            None => item,
        };
        total = call.engine.binary(Binary::Add, total, value)?;
    }
    Ok(total)
}

/// Ansible's sets have no order of their own; ours is that of first appearance.
fn sets<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let engine = call.engine;
    let items = call.items()?;
    let mut out = Vec::new();
    if call.name == "unique" {
        let case_sensitive = call.flag(0, "case_sensitive", false)?;
        let mut seen = Seen::new(engine);
        for item in items {
            let key = match call.get(1, "attribute") {
                Some(attribute) => engine.defined(by_path(call, &item, attribute)?)?,
                None => item.clone(),
            };
            if seen.insert(&folded(&key, case_sensitive))? {
                out.push(item);
            }
        }
        return Ok(Val::list(out));
    }
    let other = call.list_of(call.need(0, "the other list")?)?;
    let in_other = Seen::of(engine, &other)?;
    let in_first = Seen::of(engine, &items)?;
    let mut seen = Seen::new(engine);
    for item in &items {
        let wanted = match call.name {
            "union" => true,
            "intersect" => in_other.contains(item)?,
            _ => !in_other.contains(item)?,
        };
        if wanted && seen.insert(item)? {
            out.push(item.clone());
        }
    }
    if matches!(call.name, "union" | "symmetric_difference") {
        for item in &other {
            let wanted = call.name == "union" || !in_first.contains(item)?;
            if wanted && seen.insert(item)? {
                out.push(item.clone());
            }
        }
    }
    Ok(Val::list(out))
}

fn flatten<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let levels = call.int_arg(0, "levels")?.unwrap_or(i64::from(u32::MAX));
    let skip = call.flag(1, "skip_nulls", true)?;
    let mut out = Vec::new();
    flatten_into(call, call.items()?, levels, skip, &mut out)?;
    Ok(Val::list(out))
}

fn flatten_into<'a>(
    call: &Call<'_, 'a>,
    items: Vec<Val<'a>>,
    levels: i64,
    skip: bool,
    out: &mut Vec<Val<'a>>,
) -> Res<'a, ()> {
    for item in items {
        call.engine.step()?;
        let null = match &item {
            Val::None => true,
            Val::Str(text) => matches!(&**text, "None" | "null"),
            _ => false,
        };
        if skip && null {
            continue;
        }
        if call.engine.is_list(&item) && levels > 0 {
            let inner = call.engine.elements(&item)?;
            call.engine
                .nested(|| flatten_into(call, inner, levels - 1, skip, out))?;
        } else {
            out.push(item);
        }
    }
    Ok(())
}

fn batch<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let name = if call.name == "batch" { "linecount" } else { "slices" };
    let size = match call.int_arg(0, name)? {
        Some(n) if n > 0 => n as usize,
        _ => return say(format!("`{}` needs a number above 0", call.name)),
    };
    let fill = call.get(1, "fill_with").cloned();
    let items = call.items()?;
    let mut out = Vec::new();
    if call.name == "batch" {
        for chunk in items.chunks(size) {
            let mut row = chunk.to_vec();
            if let Some(fill) = &fill {
                sized(size)?;
                row.resize(size, fill.clone());
            }
            out.push(Val::list(row));
        }
        return Ok(Val::list(out));
    }
    sized(size)?;
    let (each, more) = (items.len() / size, items.len() % size);
    let mut rest = items.into_iter();
    for i in 0..size {
        let mut row: Vec<Val<'a>> = rest.by_ref().take(each + usize::from(i < more)).collect();
        if let Some(fill) = &fill
            && i >= more
            && more > 0
        {
            row.push(fill.clone());
        }
        out.push(Val::list(row));
    }
    Ok(Val::list(out))
}

fn columns<'a>(call: &Call<'_, 'a>) -> Res<'a, Vec<Vec<Val<'a>>>> {
    let mut columns = vec![call.items()?];
    for arg in &call.args {
        columns.push(call.list_of(arg)?);
    }
    Ok(columns)
}

fn zip<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let columns = columns(call)?;
    let lengths = columns.iter().map(Vec::len);
    let rows = if call.name == "zip" {
        lengths.min()
    } else {
        lengths.max()
    }
    .unwrap_or(0);
    let fill = call.named("fillvalue").cloned().unwrap_or(Val::None);
    let row = |i: usize| Val::list(columns.iter().map(|c| c.get(i).unwrap_or(&fill).clone()).collect());
    Ok(Val::list((0..rows).map(row).collect()))
}

fn product<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let columns = columns(call)?;
    let repeat = call.named("repeat").map_or(1, |v| match v {
        Val::Int(i) => usize::try_from(*i).unwrap_or(0),
        _ => 1,
    });
    sized(repeat)?;
    let mut rows: Vec<Vec<Val<'a>>> = vec![Vec::new()];
    for column in std::iter::repeat_n(&columns, repeat).flatten() {
        sized(rows.len().saturating_mul(column.len()).saturating_mul(columns.len()))?;
        rows = rows
            .iter()
            .flat_map(|row| {
                column.iter().map(move |item| {
                    let mut row = row.clone();
                    row.push(item.clone());
                    row
                })
            })
            .collect();
    }
    Ok(Val::list(rows.into_iter().map(Val::list).collect()))
}

fn group<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let attribute = call.need(0, "attribute")?;
    let case_sensitive = call.flag(2, "case_sensitive", false)?;
    let mut keyed = Vec::new();
    for item in call.items()? {
        let mut value = by_path(call, &item, attribute)?;
        if let (Val::Undefined(_), Some(default)) = (&value, call.get(1, "default")) {
            value = default.clone();
        }
        let value = call.engine.defined(value)?;
        keyed.push((
            vec![folded(&value, case_sensitive)],
            Val::Tuple(Rc::new(vec![value, item])),
        ));
    }
    let mut groups: Vec<(Val<'a>, Val<'a>, Vec<Val<'a>>)> = Vec::new();
    for pair in sort_keyed(call.engine, keyed, false)? {
        let Val::Tuple(pair) = pair else { continue };
        let key = folded(&pair[0], case_sensitive);
        match groups.last_mut() {
            Some((known, _, items)) if call.engine.equal(known, &key)? => items.push(pair[1].clone()),
            _ => groups.push((key, pair[0].clone(), vec![pair[1].clone()])),
        }
    }
    Ok(Val::list(
        groups
            .into_iter()
            .map(|(_, key, items)| Val::list(vec![key, Val::list(items)]))
            .collect(),
    ))
}

fn extract<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let mut path = vec![call.input.clone()];
    if let Some(more) = call.get(1, "morekeys") {
        match call.engine.is_list(more) {
            true => path.extend(call.engine.elements(more)?),
            false => path.push(more.clone()),
        }
    }
    let mut value = call.need(0, "container")?.clone();
    for key in path {
        value = match call.engine.get(&value, &key, false)? {
            Some(found) => call.engine.force(found)?,
            None => {
                return Ok(missing(
                    call,
                    &format!("`extract` finds no `{}`", call.engine.text(&key)?),
                ));
            }
        };
    }
    Ok(value)
}

fn subelements<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let path = call.need(0, "subelements")?;
    let skip = call.flag(1, "skip_missing", false)?;
    let items = match call.engine.is_map(&call.input) {
        true => call
            .engine
            .entries(&call.input)?
            .into_iter()
            .map(|(_, v)| call.engine.force(v))
            .collect::<Res<'a, Vec<_>>>()?,
        false => call.items()?,
    };
    let mut out = Vec::new();
    for item in items {
        let inner = by_path(call, &item, path)?;
        if matches!(inner, Val::Undefined(_)) && skip {
            continue;
        }
        for part in call.list_of(&call.engine.defined(inner)?)? {
            out.push(Val::list(vec![item.clone(), part]));
        }
    }
    Ok(Val::list(out))
}

fn mapping<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let engine = call.engine;
    match call.name {
        "combine" => combine(call),
        "dict2items" => {
            let key_name = call.text_arg(0, "key_name")?.unwrap_or("key");
            let value_name = call.text_arg(1, "value_name")?.unwrap_or("value");
            let mut out = Vec::new();
            for (key, value) in entries(call, &call.input)? {
                let pair: Dict<'a> = [
                    (Key::Str(key_name.into()), key.val()),
                    (Key::Str(value_name.into()), value),
                ]
                .into_iter()
                .collect();
                out.push(Val::dict(pair));
            }
            Ok(Val::list(out))
        }
        "items2dict" => {
            let key_name = Val::str(call.text_arg(0, "key_name")?.unwrap_or("key"));
            let value_name = Val::str(call.text_arg(1, "value_name")?.unwrap_or("value"));
            let mut out = Dict::new();
            for item in call.items()? {
                let field = |name: &Val<'a>| match engine.get(&item, name, false)? {
                    Some(found) => engine.force(found),
                    None => say(format!(
                        "an element of `items2dict` has no `{}`",
                        name.as_str().unwrap_or_default()
                    )),
                };
                out.insert(Key::of(&engine.known(field(&key_name)?)?)?, field(&value_name)?);
            }
            Ok(Val::dict(out))
        }
        "items" => Ok(Val::list(
            entries(call, &call.input)?
                .into_iter()
                .map(|(k, v)| Val::Tuple(Rc::new(vec![k.val(), v])))
                .collect(),
        )),
        _ => {
            let case_sensitive = call.flag(0, "case_sensitive", false)?;
            let by_value = call.text_arg(1, "by")? == Some("value");
            let reverse = call.flag(2, "reverse", false)?;
            let keyed = entries(call, &call.input)?
                .into_iter()
                .map(|(k, v)| {
                    let by = if by_value { v.clone() } else { k.val() };
                    (vec![folded(&by, case_sensitive)], Val::list(vec![k.val(), v]))
                })
                .collect();
            Ok(Val::list(sort_keyed(engine, keyed, reverse)?))
        }
    }
}

fn entries<'a>(call: &Call<'_, 'a>, map: &Val<'a>) -> Res<'a, Vec<(Key, Val<'a>)>> {
    if !call.engine.is_map(map) {
        return say(format!(
            "the filter `{}` takes a mapping, not {}",
            call.name,
            map.kind()
        ));
    }
    let mut out = Vec::new();
    for (key, value) in call.engine.entries(map)? {
        let value = call.engine.force(value)?;
        if !matches!(value, Val::Omit) {
            out.push((key, value));
        }
    }
    Ok(out)
}

fn combine<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let recursive = match call.named("recursive") {
        Some(value) => call.engine.truth(value)?,
        None => false,
    };
    let lists = match call.named("list_merge") {
        Some(Val::Str(how)) => how.to_string(),
        _ => "replace".to_owned(),
    };
    if !["replace", "keep", "append", "prepend", "append_rp", "prepend_rp"].contains(&lists.as_str()) {
        return say(format!(
            "`list_merge` knows replace, keep, append, prepend, append_rp and prepend_rp, not `{lists}`"
        ));
    }
    let mut maps = Vec::new();
    for value in std::iter::once(&call.input).chain(&call.args) {
        match call.engine.is_list(value) {
            true => maps.extend(call.engine.elements(value)?),
            false => maps.push(value.clone()),
        }
    }
    let mut result = Val::dict(Dict::new());
    for map in &maps {
        result = merge(call, &result, map, recursive, &lists)?;
    }
    Ok(result)
}

fn merge<'a>(call: &Call<'_, 'a>, low: &Val<'a>, high: &Val<'a>, recursive: bool, lists: &str) -> Res<'a, Val<'a>> {
    let engine = call.engine;
    let mut out: Dict<'a> = entries(call, low)?.into_iter().collect();
    for (key, new) in entries(call, high)? {
        let value = match out.get(&key) {
            Some(old) if recursive && engine.is_map(old) && engine.is_map(&new) => {
                let old = old.clone();
                engine.nested(|| merge(call, &old, &new, recursive, lists))?
            }
            Some(old) if lists != "replace" && engine.is_list(old) && engine.is_list(&new) => {
                let (old, new) = (engine.elements(old)?, engine.elements(&new)?);
                let without = |list: Vec<Val<'a>>, other: &[Val<'a>]| -> Res<'a, Vec<Val<'a>>> {
                    let seen = Seen::of(engine, other)?;
                    let mut kept = Vec::new();
                    for item in list {
                        if !seen.contains(&item)? {
                            kept.push(item);
                        }
                    }
                    Ok(kept)
                };
                Val::list(match lists {
                    "keep" => old,
                    "append" => old.into_iter().chain(new).collect(),
                    "prepend" => new.into_iter().chain(old).collect(),
                    "append_rp" => without(old, &new)?.into_iter().chain(new).collect(),
                    _ => {
                        let kept = without(old, &new)?;
                        new.into_iter().chain(kept).collect()
                    }
                })
            }
            _ => new,
        };
        out.insert(key, value);
    }
    Ok(Val::dict(out))
}
