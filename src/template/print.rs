//! Python's two ways to fill text: `%` and `format`.

use super::engine::Engine;
use super::operate::Number;
use super::value::{Res, Val, python_quoted, said, say};

/// How one field is written.
#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: bool,
    zero: bool,
    grouped: bool,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

const WIDEST: usize = 10_000;

/// Python's `%`: `args` for the positions, `whole` for `%(name)s`.
pub(super) fn percent<'a>(engine: &Engine<'a>, format: &str, args: &[Val<'a>], whole: &Val<'a>) -> Res<'a, String> {
    let mut out = String::with_capacity(format.len());
    let mut chars = format.chars().peekable();
    let mut next = args.iter();
    let mut used_names = false;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut named = None;
        if chars.peek() == Some(&'(') {
            chars.next();
            let name: String = chars.by_ref().take_while(|c| *c != ')').collect();
            used_names = true;
            named = Some(match engine.get(whole, &Val::str(name.as_str()), false)? {
                Some(value) => engine.force(value)?,
                None => return say(format!("there is no `{name}` for `%({name})`")),
            });
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.peek().filter(|c| "-0+ #".contains(**c)) {
            match flag {
                '-' => spec.align = Some('<'),
                '0' => spec.zero = true,
                '+' => spec.sign = true,
                _ => {}
            }
            chars.next();
        }
        let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut number = 0_usize;
            while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
                number = (number * 10 + d as usize).min(WIDEST);
                chars.next();
            }
            number
        };
        spec.width = digits(&mut chars);
        if chars.peek() == Some(&'.') {
            chars.next();
            spec.precision = Some(digits(&mut chars));
        }
        let Some(kind) = chars.next() else {
            return say("the text for `%` ends in the middle of a field");
        };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match named.or_else(|| next.next().cloned()) {
            Some(value) => engine.force(value)?,
            None => return say("there are more fields in the text than values"),
        };
        spec.kind = Some(if kind == 'i' || kind == 'u' { 'd' } else { kind });
        if !matches!(kind, 's' | 'r' | 'a') && spec.align.is_none() {
            spec.align = Some('>');
        }
        out.push_str(&field(engine, &spec, &value, true)?);
    }
    if !used_names && next.next().is_some() && !engine.is_map(whole) {
        return say("there are more values than fields in the text");
    }
    Ok(out)
}

/// `str.format`.
pub(super) fn braces<'a>(
    engine: &Engine<'a>,
    format: &str,
    args: &[Val<'a>],
    named: &[(std::sync::Arc<str>, Val<'a>)],
) -> Res<'a, String> {
    let mut out = String::with_capacity(format.len());
    let mut rest = format;
    let mut auto = 0_usize;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let Some(end) = rest.find('}').filter(|_| brace == "{") else {
            return say("a single brace in the text for `format`");
        };
        let inside = &rest[..end];
        rest = &rest[end + 1..];
        let (head, spec) = inside.split_once(':').unwrap_or((inside, ""));
        let (head, conversion) = head.split_once('!').unwrap_or((head, ""));
        let cut = head.find(['.', '[']).unwrap_or(head.len());
        let (name, mut path) = head.split_at(cut);
        let mut value = if name.is_empty() {
            auto += 1;
            args.get(auto - 1).cloned()
        } else if let Ok(index) = name.parse::<usize>() {
            args.get(index).cloned()
        } else {
            named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v.clone())
        }
        .ok_or_else(|| said(format!("`format` was given nothing for `{{{inside}}}`")))?;
        while !path.is_empty() {
            let (key, after) = match path.strip_prefix('[') {
                Some(tail) => tail.split_once(']').unwrap_or((tail, "")),
                None => {
                    let tail = &path[1..];
                    tail.split_at(tail.find(['.', '[']).unwrap_or(tail.len()))
                }
            };
            let key = key.parse::<i128>().map_or_else(|_| Val::str(key), Val::Int);
            value = engine
                .get(&value, &key, false)?
                .ok_or_else(|| said(format!("`format` finds nothing at `{{{inside}}}`")))?;
            path = after;
        }
        let mut value = engine.defined(engine.force(value)?)?;
        if conversion == "r" {
            let mut text = String::new();
            match &value {
                Val::Str(s) => python_quoted(s, &mut text),
                other => text = engine.text(other)?,
            }
            value = Val::str(text);
        } else if conversion == "s" {
            value = Val::str(engine.text(&value)?);
        }
        out.push_str(&field(engine, &parse(spec)?, &value, false)?);
    }
    out.push_str(rest);
    Ok(out)
}

/// `[[fill]align][sign][0][width][,][.precision][type]`
fn parse<'a>(text: &str) -> Res<'a, Spec> {
    let mut spec = Spec::default();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    let is_align = |c: Option<&char>| c.is_some_and(|c| "<>^=".contains(*c));
    if is_align(chars.get(1)) {
        spec.fill = Some(chars[0]);
        spec.align = Some(chars[1]);
        at = 2;
    } else if is_align(chars.first()) {
        spec.align = Some(chars[0]);
        at = 1;
    }
    if let Some('+' | '-' | ' ') = chars.get(at) {
        spec.sign = chars[at] == '+';
        at += 1;
    }
    if chars.get(at) == Some(&'#') {
        at += 1;
    }
    if chars.get(at) == Some(&'0') {
        spec.zero = true;
        at += 1;
    }
    let number = |at: &mut usize| {
        let mut n = 0_usize;
        while let Some(d) = chars.get(*at).and_then(|c| c.to_digit(10)) {
            n = (n * 10 + d as usize).min(WIDEST);
            *at += 1;
        }
        n
    };
    spec.width = number(&mut at);
    if let Some(',' | '_') = chars.get(at) {
        spec.grouped = true;
        at += 1;
    }
    if chars.get(at) == Some(&'.') {
        at += 1;
        spec.precision = Some(number(&mut at));
    }
    spec.kind = chars.get(at).copied();
    if at + usize::from(spec.kind.is_some()) != chars.len() {
        return say(format!("`{text}` is not a format"));
    }
    Ok(spec)
}

fn field<'a>(engine: &Engine<'a>, spec: &Spec, value: &Val<'a>, percent: bool) -> Res<'a, String> {
    let number = Number::of(value);
    let mut text = match (spec.kind, number) {
        (Some('s'), _) => limited(engine.text(value)?, spec.precision),
        (Some('r' | 'a'), _) => match value {
            Val::Str(s) => {
                let mut quoted = String::new();
                python_quoted(s, &mut quoted);
                quoted
            }
            other => engine.text(other)?,
        },
        (Some('c'), _) => engine.text(value)?.chars().take(1).collect(),
        (Some('d'), Some(Number::Int(i))) => i.to_string(),
        (Some('d'), Some(Number::Float(f))) if percent => format!("{}", f.trunc()),
        (Some('x'), Some(Number::Int(i))) => signed(i, format!("{:x}", i.unsigned_abs())),
        (Some('X'), Some(Number::Int(i))) => signed(i, format!("{:X}", i.unsigned_abs())),
        (Some('o'), Some(Number::Int(i))) => signed(i, format!("{:o}", i.unsigned_abs())),
        (Some('b'), Some(Number::Int(i))) => signed(i, format!("{:b}", i.unsigned_abs())),
        (Some('f' | 'F'), Some(n)) => format!("{:.*}", spec.precision.unwrap_or(6), n.float()),
        (Some('%'), Some(n)) => format!("{:.*}%", spec.precision.unwrap_or(6), n.float() * 100.0),
        (Some('e' | 'E'), Some(n)) => exponent(n.float(), spec.precision.unwrap_or(6), spec.kind == Some('E')),
        (Some('g' | 'G'), Some(n)) => general(n.float(), spec.precision.unwrap_or(6)),
        (None, Some(Number::Float(f))) if spec.precision.is_some() => general(f, spec.precision.unwrap_or(6)),
        (None, _) => limited(engine.text(value)?, spec.precision),
        (Some(kind), _) => return say(format!("a field of the kind `{kind}` cannot take {}", value.kind())),
    };
    let numeric = number.is_some() && spec.kind != Some('s');
    if spec.grouped && numeric {
        text = group(&text);
    }
    if spec.sign && numeric && !text.starts_with('-') {
        text.insert(0, '+');
    }
    let missing = spec.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return Ok(text);
    }
    if spec.zero && numeric && spec.align != Some('<') {
        let at = usize::from(text.starts_with(['-', '+']));
        text.insert_str(at, &"0".repeat(missing));
        return Ok(text);
    }
    let fill = spec.fill.unwrap_or(' ');
    let pad = |n: usize| fill.to_string().repeat(n);
    let default = if numeric || percent { '>' } else { '<' };
    Ok(match spec.align.unwrap_or(default) {
        '<' => text + &pad(missing),
        '^' => pad(missing / 2) + &text + &pad(missing - missing / 2),
        _ => pad(missing) + &text,
    })
}

fn signed(i: i128, digits: String) -> String {
    if i < 0 { format!("-{digits}") } else { digits }
}

fn limited(text: String, precision: Option<usize>) -> String {
    match precision {
        Some(n) => text.chars().take(n).collect(),
        None => text,
    }
}

fn exponent(f: f64, precision: usize, upper: bool) -> String {
    let text = format!("{f:.precision$e}");
    let (digits, exp) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exp) = exp.strip_prefix('-').map_or(('+', exp), |rest| ('-', rest));
    format!("{digits}{}{sign}{exp:0>2}", if upper { 'E' } else { 'e' })
}

fn general(f: f64, precision: usize) -> String {
    let precision = precision.max(1);
    let exp = if f == 0.0 { 0 } else { f.abs().log10().floor() as i32 };
    let strip = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    if exp < -4 || exp >= i32::try_from(precision).unwrap_or(i32::MAX) {
        let text = exponent(f, precision - 1, false);
        return match text.split_once('e') {
            Some((digits, tail)) => format!("{}e{tail}", strip(digits.to_owned())),
            None => text,
        };
    }
    let places = usize::try_from(i32::try_from(precision).unwrap_or(i32::MAX) - 1 - exp).unwrap_or(0);
    strip(format!("{f:.places$}"))
}

fn group(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, tail) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    format!("{sign}{out}{tail}")
}
