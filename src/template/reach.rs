//! Into values: elements, fields, truth, and out to JSON. What is not rendered yet is rendered on the way, and only that.

use std::rc::Rc;
use std::sync::Arc;

use super::engine::{Engine, SIZE};
use super::method;
use super::value::{Halt, Key, Res, Val, said, say};
use crate::yaml::Value;

impl<'a> Engine<'a> {
    pub(super) fn is_list(&self, value: &Val<'a>) -> bool {
        match value {
            Val::List(_) | Val::Tuple(_) => true,
            Val::Node(node, _) => matches!(node.value, Value::Seq(_)),
            Val::Data(data) => data.is_array(),
            _ => false,
        }
    }

    pub(super) fn is_map(&self, value: &Val<'a>) -> bool {
        match value {
            Val::Dict(_) | Val::Vars(_) | Val::Peers | Val::Namespace(_) => true,
            Val::Node(node, _) => matches!(node.value, Value::Map(_)),
            Val::Data(data) => data.is_object(),
            _ => false,
        }
    }

    /// What stands under a key or index, not rendered. `dotted`: methods win over keys.
    pub(super) fn get(&self, value: &Val<'a>, key: &Val<'a>, dotted: bool) -> Res<'a, Option<Val<'a>>> {
        if matches!(value, Val::Pending(_)) {
            return Err(Halt::Pending);
        }
        let bound = || {
            let name = key.as_str().filter(|name| method::exists(self, value, name))?;
            Some(Val::Method(Rc::new((value.clone(), Arc::from(name)))))
        };
        if dotted && let Some(found) = bound() {
            return Ok(Some(found));
        }
        let found = self.item(value, key)?;
        Ok(if dotted { found } else { found.or_else(bound) })
    }

    fn item(&self, value: &Val<'a>, key: &Val<'a>) -> Res<'a, Option<Val<'a>>> {
        let index = |len: usize| -> Option<usize> {
            let Val::Int(i) = key else { return None };
            let len = len as i128;
            let i = if *i < 0 { i + len } else { *i };
            (0..len).contains(&i).then_some(i as usize)
        };
        Ok(match value {
            Val::List(list) => index(list.borrow().len()).map(|i| list.borrow()[i].clone()),
            Val::Tuple(list) => index(list.len()).map(|i| list[i].clone()),
            Val::Str(text) => match index(text.chars().count()) {
                Some(i) => text.chars().nth(i).map(|c| Val::str(c.to_string())),
                None => None,
            },
            Val::Dict(dict) | Val::Namespace(dict) => match Key::of(key) {
                Ok(key) => dict.borrow().get(&key).cloned(),
                Err(_) => None,
            },
            Val::Node(node, within) => match &node.value {
                Value::Seq(items) => index(items.len()).map(|i| Val::Node(&items[i], *within)),
                Value::Map(entries) => match Key::of(key) {
                    Ok(key) => entries
                        .iter()
                        .find(|(k, _)| Key::of_node(k) == key)
                        .map(|(_, v)| Val::Node(v, *within)),
                    Err(_) => None,
                },
                _ => None,
            },
            Val::Data(data) => match (data, key) {
                (serde_json::Value::Array(items), _) => index(items.len()).map(|i| Val::Data(&items[i])),
                (serde_json::Value::Object(map), Val::Str(name)) => map.get(&**name).map(Val::Data),
                _ => None,
            },
            Val::Vars(scope) => match key.as_str() {
                Some(name) => self.variable(*scope, name)?,
                None => None,
            },
            Val::Peers => key.as_str().and_then(|host| self.peer(host)).map(Val::Vars),
            Val::Loop(state) => key.as_str().and_then(|name| method::loop_field(state, name)),
            _ => None,
        })
    }

    pub(super) fn len(&self, value: &Val<'a>) -> Res<'a, usize> {
        Ok(match value {
            Val::Str(text) => text.chars().count(),
            Val::List(list) => list.borrow().len(),
            Val::Tuple(list) => list.len(),
            Val::Dict(dict) => dict.borrow().len(),
            Val::Node(node, _) => match &node.value {
                Value::Seq(items) => items.len(),
                Value::Map(entries) => entries.len(),
                _ => return say(format!("{} has no length", value.kind())),
            },
            Val::Data(serde_json::Value::Array(items)) => items.len(),
            Val::Data(serde_json::Value::Object(map)) => map.len(),
            Val::Vars(_) | Val::Peers => self.keys(value)?.len(),
            Val::Pending(_) => return Err(Halt::Pending),
            Val::Undefined(missing) => return Err(Halt::Undefined(Rc::clone(missing))),
            other => return say(format!("{} has no length", other.kind())),
        })
    }

    /// What a loop over it gives: elements, keys, characters; each rendered.
    pub(super) fn elements(&self, value: &Val<'a>) -> Res<'a, Vec<Val<'a>>> {
        let raw: Vec<Val<'a>> = match value {
            Val::List(list) => list.borrow().clone(),
            Val::Tuple(list) => list.to_vec(),
            Val::Str(text) => text.chars().map(|c| Val::str(c.to_string())).collect(),
            Val::Node(node, within) => match &node.value {
                Value::Seq(items) => items.iter().map(|item| Val::Node(item, *within)).collect(),
                Value::Map(entries) => return Ok(entries.iter().map(|(k, _)| Key::of_node(k).val()).collect()),
                _ => {
                    let value = self.force(value.clone())?;
                    return self.elements(&value);
                }
            },
            Val::Data(serde_json::Value::Array(items)) => items.iter().map(Val::Data).collect(),
            Val::Pending(_) => return Err(Halt::Pending),
            Val::Undefined(missing) => return Err(Halt::Undefined(Rc::clone(missing))),
            map if self.is_map(map) => return Ok(self.entries(map)?.into_iter().map(|(k, _)| k.val()).collect()),
            other => return say(format!("{} is not a list", other.kind())),
        };
        if raw.len() > SIZE {
            return say("the list is too long");
        }
        let mut out = Vec::with_capacity(raw.len());
        for item in raw {
            let item = self.force(item)?;
            if !matches!(item, Val::Omit) {
                out.push(item);
            }
        }
        Ok(out)
    }

    /// Keys and values, the values not rendered.
    pub(super) fn entries(&self, value: &Val<'a>) -> Res<'a, Vec<(Key, Val<'a>)>> {
        Ok(match value {
            Val::Dict(dict) | Val::Namespace(dict) => {
                dict.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect()
            }
            Val::Node(node, within) => match &node.value {
                Value::Map(entries) => entries
                    .iter()
                    .map(|(k, v)| (Key::of_node(k), Val::Node(v, *within)))
                    .collect(),
                _ => return say(format!("{} is not a mapping", value.kind())),
            },
            Val::Data(serde_json::Value::Object(map)) => map
                .iter()
                .map(|(k, v)| (Key::Str(k.as_str().into()), Val::Data(v)))
                .collect(),
            Val::Vars(scope) => {
                let mut out = Vec::new();
                for name in self.keys(value)? {
                    if let Some(found) = self.variable(*scope, &name)? {
                        out.push((Key::Str(name.into()), found));
                    }
                }
                out
            }
            Val::Peers => self
                .keys(value)?
                .into_iter()
                .filter_map(|host| Some((Key::Str(host.as_str().into()), Val::Vars(self.peer(&host)?))))
                .collect(),
            Val::Pending(_) => return Err(Halt::Pending),
            Val::Undefined(missing) => return Err(Halt::Undefined(Rc::clone(missing))),
            other => return say(format!("{} is not a mapping", other.kind())),
        })
    }

    pub(super) fn keys(&self, value: &Val<'a>) -> Res<'a, Vec<String>> {
        Ok(match value {
            Val::Vars(scope) => {
                let scope = self.scope(*scope);
                let mut names: indexmap::IndexSet<String> = indexmap::IndexSet::new();
                for layer in &scope.layers {
                    names.extend(layer.keys().cloned());
                }
                names.into_iter().collect()
            }
            Val::Peers => self.scope(0).peers.as_ref().map(|p| p.names()).unwrap_or_default(),
            other => self.entries(other)?.into_iter().map(|(k, _)| k.text()).collect(),
        })
    }

    pub(super) fn truth(&self, value: &Val<'a>) -> Res<'a, bool> {
        Ok(match value {
            value if value.is_no_else() => false,
            Val::Undefined(missing) => return Err(Halt::Undefined(Rc::clone(missing))),
            Val::Pending(_) => return Err(Halt::Pending),
            Val::None => false,
            Val::Bool(b) => *b,
            Val::Int(i) => *i != 0,
            Val::Float(f) => *f != 0.0,
            Val::Str(text) => !text.is_empty(),
            Val::List(_) | Val::Tuple(_) | Val::Dict(_) | Val::Data(_) => self.len(value)? > 0,
            Val::Node(node, _) => match &node.value {
                Value::Seq(_) | Value::Map(_) => self.len(value)? > 0,
                _ => return self.truth(&self.force(value.clone())?),
            },
            Val::Omit => return say("`omit` is neither true nor false"),
            Val::Vars(_) | Val::Peers | Val::Namespace(_) | Val::Loop(_) => true,
            Val::Macro(_) | Val::Method(_) | Val::Function(_) => true,
        })
    }

    /// The whole value; what is `omit` is left out of lists and mappings.
    pub(super) fn to_json(&self, value: &Val<'a>) -> Res<'a, serde_json::Value> {
        self.step()?;
        Ok(match value {
            Val::Undefined(missing) => return Err(Halt::Undefined(Rc::clone(missing))),
            Val::Pending(_) => return Err(Halt::Pending),
            Val::None | Val::Omit => serde_json::Value::Null,
            Val::Bool(b) => (*b).into(),
            Val::Int(i) => match (i64::try_from(*i), u64::try_from(*i)) {
                (Ok(i), _) => i.into(),
                (_, Ok(u)) => u.into(),
                _ => return say("the number is too large"),
            },
            Val::Float(f) => match serde_json::Number::from_f64(*f) {
                Some(number) => serde_json::Value::Number(number),
                None => return say("the number is not finite"),
            },
            Val::Str(text) => (**text).into(),
            list if self.is_list(list) => self.nested(|| {
                let mut out = Vec::new();
                for item in self.elements(list)? {
                    out.push(self.to_json(&item)?);
                }
                Ok(serde_json::Value::Array(out))
            })?,
            map if self.is_map(map) => self.nested(|| {
                let mut out = serde_json::Map::new();
                for (key, value) in self.entries(map)? {
                    let value = self.force(value)?;
                    if !matches!(value, Val::Omit) {
                        out.insert(key.text(), self.to_json(&value)?);
                    }
                }
                Ok(serde_json::Value::Object(out))
            })?,
            Val::Node(..) | Val::Data(_) => {
                let value = self.force(value.clone())?;
                return self.to_json(&value);
            }
            other => {
                let halt = said(format!("{} is not a value", other.kind()));
                return Err(match other {
                    Val::Method(method) => halt.help(format!("call it: `{}()`", method.1)),
                    Val::Function(name) => halt.help(format!("call it: `{name}(…)`")),
                    _ => halt,
                });
            }
        })
    }
}
