//! Operators and printing, as Python has them.

use std::cmp::Ordering;
use std::rc::Rc;

use super::engine::{Engine, SIZE};
use super::print;
use super::syntax::{Binary, Compare};
use super::value::{Halt, Res, Val, python_bool, python_float, python_quoted, said, say};

#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub(super) fn of(value: &Val<'_>) -> Option<Number> {
        Some(match value {
            Val::Bool(b) => Number::Int((*b).into()),
            Val::Int(i) => Number::Int(*i),
            Val::Float(f) => Number::Float(*f),
            _ => return None,
        })
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(f) => f,
        }
    }
}

impl<'a> Engine<'a> {
    pub(super) fn binary(&self, op: Binary, left: Val<'a>, right: Val<'a>) -> Res<'a, Val<'a>> {
        if op == Binary::Concat {
            let mut text = String::new();
            self.write_text(&left, &mut text)?;
            self.write_text(&right, &mut text)?;
            return sized(text.len()).map(|()| Val::str(text));
        }
        if let (Some(a), Some(b)) = (Number::of(&left), Number::of(&right)) {
            return arithmetic(op, a, b);
        }
        match (op, &left, &right) {
            (Binary::Add, Val::Str(a), Val::Str(b)) => {
                sized(a.len() + b.len())?;
                Ok(Val::str(format!("{a}{b}")))
            }
            (Binary::Add, Val::Tuple(a), Val::Tuple(b)) => {
                Ok(Val::Tuple(Rc::new(a.iter().chain(b.iter()).cloned().collect())))
            }
            (Binary::Add, a, b) if self.is_list(a) && self.is_list(b) => {
                let mut items = self.elements(a)?;
                items.extend(self.elements(b)?);
                sized(items.len())?;
                Ok(Val::list(items))
            }
            (Binary::Mul, a, Val::Int(n)) | (Binary::Mul, Val::Int(n), a) => self.repeat(a, *n, op, &left, &right),
            (Binary::Rem, Val::Str(format), args) => self.percent(format, args).map(Val::str),
            _ => Err(impossible(op, &left, &right)),
        }
    }

    fn repeat(&self, what: &Val<'a>, times: i128, op: Binary, left: &Val<'a>, right: &Val<'a>) -> Res<'a, Val<'a>> {
        let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
        match what {
            Val::Str(text) => {
                sized(text.len().saturating_mul(times))?;
                Ok(Val::str(text.repeat(times)))
            }
            list if self.is_list(list) => {
                let items = self.elements(list)?;
                sized(items.len().saturating_mul(times))?;
                Ok(Val::list(
                    items.iter().cloned().cycle().take(items.len() * times).collect(),
                ))
            }
            _ => Err(impossible(op, left, right)),
        }
    }

    pub(super) fn compare(&self, op: Compare, left: &Val<'a>, right: &Val<'a>) -> Res<'a, bool> {
        Ok(match op {
            Compare::Eq => self.equal(left, right)?,
            Compare::Ne => !self.equal(left, right)?,
            Compare::In => self.contains(right, left)?,
            Compare::NotIn => !self.contains(right, left)?,
            Compare::Lt => self.order(left, right)? == Some(Ordering::Less),
            Compare::Lte => matches!(self.order(left, right)?, Some(Ordering::Less | Ordering::Equal)),
            Compare::Gt => self.order(left, right)? == Some(Ordering::Greater),
            Compare::Gte => matches!(self.order(left, right)?, Some(Ordering::Greater | Ordering::Equal)),
        })
    }

    pub(super) fn contains(&self, holder: &Val<'a>, wanted: &Val<'a>) -> Res<'a, bool> {
        match (holder, wanted) {
            (Val::Str(text), Val::Str(part)) => Ok(text.contains(&**part)),
            (Val::Str(_), other) => say(format!("`in` looks for text in text, not for {}", other.kind())),
            (map, key) if self.is_map(map) => Ok(match map {
                Val::Peers | Val::Vars(_) => self.keys(map)?.iter().any(|k| Some(k.as_str()) == key.as_str()),
                _ => self.get(map, key, false)?.is_some_and(|v| !matches!(v, Val::Method(_))),
            }),
            (list, wanted) if self.is_list(list) => {
                for item in self.elements(list)? {
                    if self.equal(&item, wanted)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (other, _) => Err(said(format!(
                "`in` looks into text, a list or a mapping, not into {}",
                other.kind()
            ))),
        }
    }

    pub(super) fn equal(&self, left: &Val<'a>, right: &Val<'a>) -> Res<'a, bool> {
        for side in [left, right] {
            match side {
                Val::Undefined(missing) => return Err(Halt::Undefined(Rc::clone(missing))),
                Val::Pending(_) => return Err(Halt::Pending),
                _ => {}
            }
        }
        if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
            return Ok(match (a, b) {
                (Number::Int(a), Number::Int(b)) => a == b,
                (a, b) => a.float() == b.float(),
            });
        }
        match (left, right) {
            (Val::None, Val::None) | (Val::Omit, Val::Omit) => Ok(true),
            (Val::Str(a), Val::Str(b)) => Ok(a == b),
            (a, b) if self.is_list(a) && self.is_list(b) => {
                if matches!(a, Val::Tuple(_)) != matches!(b, Val::Tuple(_)) || self.len(a)? != self.len(b)? {
                    return Ok(false);
                }
                self.nested(|| {
                    let (a, b) = (self.elements(a)?, self.elements(b)?);
                    for (x, y) in a.iter().zip(&b) {
                        if !self.equal(x, y)? {
                            return Ok(false);
                        }
                    }
                    Ok(a.len() == b.len())
                })
            }
            (a, b) if self.is_map(a) && self.is_map(b) => {
                if self.len(a)? != self.len(b)? {
                    return Ok(false);
                }
                self.nested(|| {
                    for (key, value) in self.entries(a)? {
                        let Some(other) = self.get(b, &key.val(), false)? else {
                            return Ok(false);
                        };
                        if !self.equal(&self.force(value)?, &self.force(other)?)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                })
            }
            _ => Ok(false),
        }
    }

    /// None where one side is not a number (NaN).
    pub(super) fn order(&self, left: &Val<'a>, right: &Val<'a>) -> Res<'a, Option<Ordering>> {
        if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
            return Ok(match (a, b) {
                (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
                (a, b) => a.float().partial_cmp(&b.float()),
            });
        }
        match (left, right) {
            (Val::Str(a), Val::Str(b)) => Ok(Some(a.cmp(b))),
            (a, b) if self.is_list(a) && self.is_list(b) => {
                let (a, b) = (self.elements(a)?, self.elements(b)?);
                for (x, y) in a.iter().zip(&b) {
                    if !self.equal(x, y)? {
                        return self.order(x, y);
                    }
                }
                Ok(Some(a.len().cmp(&b.len())))
            }
            (Val::Undefined(missing), _) | (_, Val::Undefined(missing)) => Err(Halt::Undefined(Rc::clone(missing))),
            (Val::Pending(_), _) | (_, Val::Pending(_)) => Err(Halt::Pending),
            (a, b) => {
                let halt = said(format!("{} and {} have no order", a.kind(), b.kind()));
                Err(match (a, b) {
                    (Val::Str(_), b) if Number::of(b).is_some() => {
                        halt.help("make the text a number: `| int` or `| float`")
                    }
                    (a, Val::Str(_)) if Number::of(a).is_some() => {
                        halt.help("make the text a number: `| int` or `| float`")
                    }
                    _ => halt,
                })
            }
        }
    }

    /// As Python's `str`.
    pub(super) fn text(&self, value: &Val<'a>) -> Res<'a, String> {
        let mut out = String::new();
        self.write_text(value, &mut out)?;
        Ok(out)
    }

    pub(super) fn write_text(&self, value: &Val<'a>, out: &mut String) -> Res<'a, ()> {
        match value {
            Val::Str(text) => out.push_str(text),
            value if value.is_no_else() => {}
            Val::Node(..) | Val::Data(_) => match self.force(value.clone())? {
                Val::Str(text) => out.push_str(&text),
                other => self.write_repr(&other, out)?,
            },
            other => self.write_repr(other, out)?,
        }
        Ok(())
    }

    fn write_repr(&self, value: &Val<'a>, out: &mut String) -> Res<'a, ()> {
        self.step()?;
        sized(out.len())?;
        match value {
            Val::Undefined(missing) => return Err(Halt::Undefined(Rc::clone(missing))),
            Val::Pending(_) => return Err(Halt::Pending),
            Val::Omit => return say("`omit` cannot be part of a text"),
            Val::None => out.push_str("None"),
            Val::Bool(b) => out.push_str(python_bool(*b)),
            Val::Int(i) => out.push_str(&i.to_string()),
            Val::Float(f) => out.push_str(&python_float(*f)),
            Val::Str(text) => python_quoted(text, out),
            list if self.is_list(list) => self.nested(|| {
                out.push('[');
                for (i, item) in self.elements(list)?.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    self.write_repr(item, out)?;
                }
                out.push(']');
                Ok(())
            })?,
            map if self.is_map(map) => self.nested(|| {
                out.push('{');
                let mut first = true;
                for (key, value) in self.entries(map)? {
                    let value = self.force(value)?;
                    if matches!(value, Val::Omit) {
                        continue;
                    }
                    if !first {
                        out.push_str(", ");
                    }
                    first = false;
                    self.write_repr(&key.val(), out)?;
                    out.push_str(": ");
                    self.write_repr(&value, out)?;
                }
                out.push('}');
                Ok(())
            })?,
            Val::Node(..) | Val::Data(_) => {
                let value = self.force(value.clone())?;
                self.write_repr(&value, out)?;
            }
            Val::Method(method) => {
                return Err(said(format!("`{}` is a method; it is not called here", method.1))
                    .help(format!("call it: `{}()`", method.1)));
            }
            Val::Function(name) => {
                return Err(said(format!("`{name}` is a function; it is not called here")));
            }
            other => return say(format!("{} cannot be printed", other.kind())),
        }
        Ok(())
    }

    /// Python's `%` on text.
    pub(super) fn percent(&self, format: &str, args: &Val<'a>) -> Res<'a, String> {
        let tuple = match args {
            Val::Tuple(items) => items.to_vec(),
            other => vec![other.clone()],
        };
        let text = print::percent(self, format, &tuple, args)?;
        sized(text.len())?;
        Ok(text)
    }
}

pub(super) fn sized<'a>(len: usize) -> Res<'a, ()> {
    if len > SIZE {
        return say("the result is larger than 32 MiB");
    }
    Ok(())
}

fn arithmetic<'a>(op: Binary, a: Number, b: Number) -> Res<'a, Val<'a>> {
    let large = || said("the number is too large");
    if matches!(op, Binary::Div | Binary::FloorDiv | Binary::Rem) && b.float() == 0.0 {
        return say("division by zero");
    }
    if let (Number::Int(a), Number::Int(b)) = (a, b) {
        let result = match op {
            Binary::Add => a.checked_add(b),
            Binary::Sub => a.checked_sub(b),
            Binary::Mul => a.checked_mul(b),
            Binary::Div => return Ok(Val::Float(a as f64 / b as f64)),
            Binary::FloorDiv => a.checked_div_euclid(b).map(|q| {
                let r = a.wrapping_rem_euclid(b);
                if b < 0 && r != 0 { q - 1 } else { q }
            }),
            Binary::Rem => a
                .checked_rem(b)
                .map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
            Binary::Pow if b >= 0 => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
            Binary::Pow => return Ok(Val::Float((a as f64).powf(b as f64))),
            Binary::Concat => None,
        };
        return result.map(Val::Int).ok_or_else(large);
    }
    let (a, b) = (a.float(), b.float());
    Ok(Val::Float(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::FloorDiv => (a / b).floor(),
        Binary::Rem => a - b * (a / b).floor(),
        Binary::Pow => a.powf(b),
        Binary::Concat => return Err(large()),
    }))
}

fn impossible<'a>(op: Binary, left: &Val<'a>, right: &Val<'a>) -> Halt<'a> {
    let name = match op {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "*",
        Binary::Div => "/",
        Binary::FloorDiv => "//",
        Binary::Rem => "%",
        Binary::Pow => "**",
        Binary::Concat => "~",
    };
    let halt = said(format!("`{name}` cannot take {} and {}", left.kind(), right.kind()));
    match (op, left, right) {
        (Binary::Add, Val::Str(_), _) | (Binary::Add, _, Val::Str(_)) => halt.help("`~` joins anything as text"),
        _ => halt,
    }
}
