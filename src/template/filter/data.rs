//! Numbers, booleans, JSON, base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::engine::Engine;
use super::super::operate::{Number, sized};
use super::super::value::{Key, Res, Val, python_float, said, say};
use super::{Call, digest};

pub(super) fn scalar<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let input = &call.input;
    Ok(match call.name {
        "bool" => match input {
            Val::None => Val::Bool(false),
            Val::Bool(b) => Val::Bool(*b),
            Val::Int(i) => Val::Bool(*i == 1),
            Val::Float(f) => Val::Bool(*f == 1.0),
            Val::Str(text) => Val::Bool(matches!(text.to_lowercase().as_str(), "yes" | "on" | "1" | "true")),
            other => return say(format!("the filter `bool` cannot take {}", other.kind())),
        },
        "string" => Val::str(call.input_text()?),
        "int" => int(call)?,
        "float" => {
            let default = match call.get(0, "default") {
                Some(value) => value.clone(),
                None => Val::Float(0.0),
            };
            match input {
                Val::Str(text) => python_number(text).map_or(default, Val::Float),
                other => Number::of(other).map_or(default, |n| Val::Float(n.float())),
            }
        }
        "abs" => match input {
            Val::Int(i) => Val::Int(i.checked_abs().ok_or_else(|| said("the number is too large"))?),
            Val::Float(f) => Val::Float(f.abs()),
            other => return say(format!("the filter `abs` takes a number, not {}", other.kind())),
        },
        "round" => round(call)?,
        "pow" => {
            let base = number(call, input)?;
            let exponent = number(call, call.need(0, "y")?)?;
            Val::Float(base.powf(exponent))
        }
        "ternary" => {
            let chosen = if matches!(input, Val::None) && call.args.get(2).or(call.named("none_val")).is_some() {
                call.args.get(2).or(call.named("none_val"))
            } else if call.engine.truth(input)? {
                call.args.first().or(call.named("true_val"))
            } else {
                call.args.get(1).or(call.named("false_val"))
            };
            chosen
                .cloned()
                .ok_or_else(|| said("the filter `ternary` needs two values"))?
        }
        _ => random(call)?,
    })
}

fn number<'a>(call: &Call<'_, 'a>, value: &Val<'a>) -> Res<'a, f64> {
    match Number::of(value) {
        Some(n) => Ok(n.float()),
        None => say(format!(
            "the filter `{}` takes numbers, not {}",
            call.name,
            value.kind()
        )),
    }
}

/// As Python's `float()`.
fn python_number(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    let plain = text.replace('_', "");
    let allowed = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let named = matches!(
        plain.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str(),
        "inf" | "infinity" | "nan"
    );
    if !named && !plain.chars().all(allowed) {
        return None;
    }
    plain.parse().ok()
}

fn int<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let default = call.get(0, "default").cloned().unwrap_or(Val::Int(0));
    let base = call.int_arg(1, "base")?.unwrap_or(10);
    Ok(match &call.input {
        Val::Int(i) => Val::Int(*i),
        Val::Bool(b) => Val::Int((*b).into()),
        Val::Float(f) if f.is_finite() => Val::Int(*f as i128),
        Val::Str(text) => {
            let digits = text.trim();
            let (negative, digits) = match digits.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, digits.strip_prefix('+').unwrap_or(digits)),
            };
            let lower = digits.to_ascii_lowercase();
            let (base, digits) = match base {
                16 => (16, lower.strip_prefix("0x").unwrap_or(&lower)),
                8 => (8, lower.strip_prefix("0o").unwrap_or(&lower)),
                2 => (2, lower.strip_prefix("0b").unwrap_or(&lower)),
                0 => match lower.get(..2) {
                    Some("0x") => (16, &lower[2..]),
                    Some("0o") => (8, &lower[2..]),
                    Some("0b") => (2, &lower[2..]),
                    _ => (10, lower.as_str()),
                },
                3..=36 => (base as u32, lower.as_str()),
                _ => return say("a base is from 2 to 36"),
            };
            let clean = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
            let parsed = i128::from_str_radix(&digits.replace('_', ""), base)
                .ok()
                .filter(|_| clean);
            match parsed {
                Some(i) => Val::Int(if negative { -i } else { i }),
                None => match python_number(text) {
                    Some(f) if f.is_finite() => Val::Int(f as i128),
                    _ => default,
                },
            }
        }
        _ => default,
    })
}

fn round<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let places = call.int_arg(0, "precision")?.unwrap_or(0).clamp(-300, 300) as i32;
    let method = call.text_arg(1, "method")?.unwrap_or("common");
    let value = number(call, &call.input)?;
    if matches!(method, "common") {
        if let Val::Int(i) = &call.input
            && places >= 0
        {
            return Ok(Val::Int(*i));
        }
        // Formatting rounds the exact binary value half to even, as Python does.
        let rounded = if places >= 0 {
            format!("{value:.*}", places as usize).parse().unwrap_or(value)
        } else {
            let scale = 10_f64.powi(-places);
            (value / scale).round_ties_even() * scale
        };
        return Ok(Val::Float(rounded));
    }
    let scale = 10_f64.powi(places);
    Ok(Val::Float(match method {
        "ceil" => (value * scale).ceil() / scale,
        "floor" => (value * scale).floor() / scale,
        other => return say(format!("`round` knows common, ceil and floor, not `{other}`")),
    }))
}

fn random<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    let Some(seed) = call.named("seed").filter(|v| !matches!(v, Val::None)) else {
        return Err(said("`random` without `seed=` gives another value in every run")
            .help("a plan must not change by itself: `random(seed=inventory_hostname)`"));
    };
    let mut generator = match seed {
        Val::Str(text) => digest::Twister::from_text(text),
        Val::Int(i) => digest::Twister::from_int(i.unsigned_abs()),
        other => return say(format!("a seed is text or an integer, not {}", other.kind())),
    };
    let start = call.int_arg(0, "start")?;
    let step = call.int_arg(1, "step")?;
    if let Val::Int(end) = &call.input {
        let (start, step) = (i128::from(start.unwrap_or(0)), i128::from(step.unwrap_or(1)));
        let width = end - start;
        if step < 1 || width < 1 {
            return say("`random`: the range is empty");
        }
        let count = (width + step - 1) / step;
        let Ok(count) = u64::try_from(count) else {
            return say("`random`: the range is too large");
        };
        return Ok(Val::Int(start + step * i128::from(generator.below(count))));
    }
    if start.is_some() || step.is_some() {
        return say("`start` and `step` of `random` need a number as input");
    }
    let items = call.items()?;
    if items.is_empty() {
        return say("`random`: the list is empty");
    }
    let index = generator.below(items.len() as u64);
    Ok(items[index as usize].clone())
}

pub(super) fn coded<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    Ok(match call.name {
        "b64encode" => Val::str(STANDARD.encode(call.text_only()?)),
        "b64decode" => {
            let text: String = call.text_only()?.split_whitespace().collect();
            let bytes = STANDARD.decode(text).map_err(|e| said(format!("not base64: {e}")))?;
            match String::from_utf8(bytes) {
                Ok(text) => Val::str(text),
                Err(_) => return say("what base64 holds is not text in UTF-8"),
            }
        }
        "from_json" => {
            let text = call.input_text()?;
            let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| {
                said(format!(
                    "not JSON: {} at line {} column {}",
                    json_reason(&e),
                    e.line(),
                    e.column()
                ))
            })?;
            Val::from_json(&value)
        }
        name => {
            let nice = name == "to_nice_json";
            let indent = match call.named("indent").or(call.args.first()) {
                Some(Val::Int(i)) => usize::try_from(*i).ok().map(|i| i.min(64)),
                _ => nice.then_some(4),
            };
            let mut writer = Json {
                engine: call.engine,
                out: String::new(),
                indent,
                sort: call.flag(9, "sort_keys", nice)?,
                ascii: call.flag(9, "ensure_ascii", true)?,
            };
            writer.value(&call.input, 0)?;
            Val::str(writer.out)
        }
    })
}

/// serde_json's reason without the place, which we write ourselves; it never quotes the text.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// JSON as Python's `json.dumps` writes it.
struct Json<'c, 'a> {
    engine: &'c Engine<'a>,
    out: String,
    indent: Option<usize>,
    sort: bool,
    ascii: bool,
}

impl<'a> Json<'_, 'a> {
    fn value(&mut self, value: &Val<'a>, level: usize) -> Res<'a, ()> {
        let engine = self.engine;
        engine.step()?;
        sized(self.out.len())?;
        match value {
            Val::None => self.out.push_str("null"),
            Val::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Val::Int(i) => self.out.push_str(&i.to_string()),
            Val::Float(f) => self.out.push_str(&match f {
                f if f.is_nan() => "NaN".to_owned(),
                f if f.is_infinite() => if *f > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
                f => python_float(*f),
            }),
            Val::Str(text) => self.string(text),
            list if engine.is_list(list) => {
                let items = engine.elements(list)?;
                if items.is_empty() {
                    self.out.push_str("[]");
                    return Ok(());
                }
                self.out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.gap(i, level + 1);
                    engine.nested(|| self.value(item, level + 1))?;
                }
                self.close(level);
                self.out.push(']');
            }
            map if engine.is_map(map) => {
                let mut entries = Vec::new();
                for (key, value) in engine.entries(map)? {
                    let value = engine.force(value)?;
                    if !matches!(value, Val::Omit) {
                        entries.push((key_text(&key), value));
                    }
                }
                if entries.is_empty() {
                    self.out.push_str("{}");
                    return Ok(());
                }
                if self.sort {
                    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    self.gap(i, level + 1);
                    self.string(key);
                    self.out.push_str(": ");
                    engine.nested(|| self.value(value, level + 1))?;
                }
                self.close(level);
                self.out.push('}');
            }
            other => {
                let value = engine.known(engine.force(other.clone())?)?;
                if !matches!(
                    value,
                    Val::None | Val::Bool(_) | Val::Int(_) | Val::Float(_) | Val::Str(_)
                ) {
                    return say(format!("{} cannot be written as JSON", value.kind()));
                }
                self.value(&value, level)?;
            }
        }
        Ok(())
    }

    fn gap(&mut self, position: usize, level: usize) {
        match self.indent {
            Some(indent) => {
                self.out.push_str(if position > 0 { ",\n" } else { "\n" });
                self.out.push_str(&" ".repeat(indent * level));
            }
            None if position > 0 => self.out.push_str(", "),
            None => {}
        }
    }

    fn close(&mut self, level: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.push_str(&" ".repeat(indent * level));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.ascii && !c.is_ascii()) => {
                    let mut units = [0_u16; 2];
                    for unit in c.encode_utf16(&mut units) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn key_text(key: &Key) -> String {
    match key {
        Key::None => "null".to_owned(),
        Key::Bool(b) => b.to_string(),
        other => other.text(),
    }
}
