//! What a plain scalar's text means under each rule set.

use std::sync::LazyLock;

use regex::Regex;

use super::Value;

/// Which YAML a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// YAML 1.2, core schema: playbooks and everything else of Refit's own.
    Core,
    /// YAML 1.1 as PyYAML resolves it: inventory files, group_vars and host_vars.
    Yaml11,
}

/// Why a scalar has no value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadScalar {
    #[error("the integer does not fit into 64 bits")]
    Overflow,
    #[error("no digits after the prefix `{0}`")]
    NoDigits(&'static str),
    #[error("no such date or time")]
    NoSuchDate,
    #[error("a lone `=` has no value in YAML 1.1")]
    LoneEquals,
    #[error("this is no {0}, as its tag says")]
    WrongTag(String),
}

fn pattern(text: &'static str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

/// The value of a plain, untagged scalar.
pub(super) fn plain(text: &str, rules: Rules) -> Result<Value, BadScalar> {
    match rules {
        Rules::Core => core(text),
        Rules::Yaml11 => yaml11(text),
    }
}

/// The value of a scalar with one of YAML's own tags (`int`, `float`, `bool`, `null`).
pub(super) fn tagged(text: &str, tag: &str, rules: Rules) -> Result<Value, BadScalar> {
    match (tag, plain(text, rules)?) {
        ("int", Value::Int(i)) => Ok(Value::Int(i)),
        ("float", Value::Float(f)) => Ok(Value::Float(f)),
        ("float", Value::Int(i)) => Ok(Value::Float(i as f64)),
        ("bool", Value::Bool(b)) => Ok(Value::Bool(b)),
        ("null", Value::Null) => Ok(Value::Null),
        _ => Err(BadScalar::WrongTag(tag.to_owned())),
    }
}

fn core(text: &str) -> Result<Value, BadScalar> {
    static FLOAT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"\A[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\z"));
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Ok(Value::Float(f64::NAN)),
        _ => {}
    }
    if let Some(float) = infinity(text) {
        return Ok(Value::Float(float));
    }
    let (negative, digits) = sign(text);
    let all = |digits: &str, ok: fn(&u8) -> bool| !digits.is_empty() && digits.as_bytes().iter().all(ok);
    if all(digits, u8::is_ascii_digit) {
        return integer(negative, digits, 10).map(Value::Int);
    }
    if let Some(octal) = text.strip_prefix("0o")
        && all(octal, |b| matches!(b, b'0'..=b'7'))
    {
        return integer(false, octal, 8).map(Value::Int);
    }
    if let Some(hex) = text.strip_prefix("0x")
        && all(hex, u8::is_ascii_hexdigit)
    {
        return integer(false, hex, 16).map(Value::Int);
    }
    if FLOAT.is_match(text)
        && let Ok(float) = text.parse()
    {
        return Ok(Value::Float(float));
    }
    Ok(Value::Str(text.to_owned()))
}

fn yaml11(text: &str) -> Result<Value, BadScalar> {
    static INT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"\A[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)\z")
    });
    static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"\A(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)\z",
        )
    });
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(Value::Bool(true)),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Ok(Value::Float(f64::NAN)),
        "=" => return Err(BadScalar::LoneEquals),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Ok(Value::Str(text.to_owned()));
    }
    if let Some(float) = infinity(text) {
        return Ok(Value::Float(float));
    }
    if INT.is_match(text) {
        return integer11(text).map(Value::Int);
    }
    if FLOAT.is_match(text) {
        return Ok(Value::Float(float11(text)));
    }
    Ok(Value::Str(timestamp(text)?.unwrap_or_else(|| text.to_owned())))
}

fn infinity(text: &str) -> Option<f64> {
    let (negative, rest) = sign(text);
    matches!(rest, ".inf" | ".Inf" | ".INF").then_some(if negative { f64::NEG_INFINITY } else { f64::INFINITY })
}

/// Is it negative, and what follows the sign.
fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn integer(negative: bool, digits: &str, radix: u32) -> Result<i64, BadScalar> {
    let magnitude = i128::from_str_radix(digits, radix).map_err(|_| BadScalar::Overflow)?;
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| BadScalar::Overflow)
}

fn integer11(text: &str) -> Result<i64, BadScalar> {
    let (negative, digits) = sign(text);
    let digits = digits.replace('_', "");
    if let Some(binary) = digits.strip_prefix("0b") {
        return match binary {
            "" => Err(BadScalar::NoDigits("0b")),
            _ => integer(negative, binary, 2),
        };
    }
    if let Some(hex) = digits.strip_prefix("0x") {
        return match hex {
            "" => Err(BadScalar::NoDigits("0x")),
            _ => integer(negative, hex, 16),
        };
    }
    if digits.starts_with('0') {
        return integer(negative, &digits, 8);
    }
    let mut sum: i128 = 0;
    for part in digits.split(':') {
        let part: i128 = part.parse().map_err(|_| BadScalar::Overflow)?;
        sum = sum
            .checked_mul(60)
            .and_then(|sum| sum.checked_add(part))
            .ok_or(BadScalar::Overflow)?;
    }
    i64::try_from(if negative { -sum } else { sum }).map_err(|_| BadScalar::Overflow)
}

fn float11(text: &str) -> f64 {
    let (negative, digits) = sign(text);
    let digits = digits.replace('_', "");
    // The patterns admit only what parses; a part such as "5." does so too.
    let magnitude = digits
        .split(':')
        .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap_or(f64::NAN));
    if negative { -magnitude } else { magnitude }
}

/// ISO text as Ansible prints a timestamp; None where it is none.
fn timestamp(text: &str) -> Result<Option<String>, BadScalar> {
    static RESOLVED: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"\A(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)\z",
        )
    });
    static PARTS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"\A([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?(?:[ \t]*(Z|([-+])([0-9]{1,2})(?::([0-9]{2}))?))?)?\z",
        )
    });
    if !RESOLVED.is_match(text) {
        return Ok(None);
    }
    let Some(parts) = PARTS.captures(text) else {
        return Ok(None);
    };
    let number = |i: usize| parts.get(i).map_or(0, |m| m.as_str().parse::<i16>().unwrap_or(0));
    let small = |i: usize| i8::try_from(number(i)).map_err(|_| BadScalar::NoSuchDate);
    let bad = |_| BadScalar::NoSuchDate;
    // Python's dates begin with year 1.
    if number(1) == 0 {
        return Err(BadScalar::NoSuchDate);
    }
    let date = jiff::civil::Date::new(number(1), small(2)?, small(3)?).map_err(bad)?;
    if parts.get(4).is_none() {
        return Ok(Some(date.to_string()));
    }
    let time = jiff::civil::Time::new(small(4)?, small(5)?, small(6)?, 0).map_err(bad)?;
    let mut iso = format!("{date}T{time}");
    let fraction = parts.get(7).map_or("", |m| m.as_str());
    let micros = format!("{:0<6.6}", fraction);
    if micros != "000000" {
        iso.push('.');
        iso.push_str(&micros);
    }
    if parts.get(9).is_some() {
        let (hours, minutes) = (number(10), number(11));
        let total = i32::from(hours) * 60 + i32::from(minutes);
        if total >= 24 * 60 {
            return Err(BadScalar::NoSuchDate);
        }
        let sign = if &parts[9] == "-" && total != 0 { '-' } else { '+' };
        iso.push_str(&format!("{sign}{:02}:{:02}", total / 60, total % 60));
    } else if parts.get(8).is_some() {
        iso.push_str("+00:00");
    }
    Ok(Some(iso))
}

/// A key's text as Ansible makes a string of it: `1.50` is `1.5`, `on` is `true`, `~` is `null`.
pub(super) fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("null".to_owned()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Int(i) => Some(i.to_string()),
        Value::Float(f) => Some(float_text(*f)),
        Value::Str(text) => Some(text.clone()),
        Value::Seq(_) | Value::Map(_) => None,
    }
}

/// As Python's `repr` writes it.
fn float_text(float: f64) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{float:?}")
}
