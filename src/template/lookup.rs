//! Functions, `lookup` and `query` among them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::engine::Engine;
use super::eval::Args;
use super::filter;
use super::operate::sized;
use super::value::{Absent, Dict, Halt, Key, Missing, Res, Val, said, say};
use crate::yaml::did_you_mean;

const BUILT: &[&str] = &["env", "file", "vars"];
const NOT_BUILT: &[&str] = &[
    "config",
    "csvfile",
    "dict",
    "dig",
    "fileglob",
    "first_found",
    "indexed_items",
    "ini",
    "inventory_hostnames",
    "items",
    "lines",
    "list",
    "nested",
    "password",
    "pipe",
    "random_choice",
    "sequence",
    "subelements",
    "template",
    "together",
    "unvault",
    "url",
    "varnames",
    "passwordstore",
    "hashi_vault",
    "k8s",
    "flattened",
    "cartesian",
    "merge_variables",
    "random_string",
    "dnstxt",
    "redis",
    "etcd",
    "aws_ssm",
    "aws_secret",
    "onepassword",
    "bitwarden",
];

impl<'a> Engine<'a> {
    pub(super) fn function(&self, name: &str, args: Args<'a>, scope: usize) -> Res<'a, Val<'a>> {
        let mut positional = Vec::with_capacity(args.positional.len());
        for value in args.positional {
            positional.push(self.force(value)?);
        }
        if name != "dict" && name != "namespace" && positional.iter().any(|v| matches!(v, Val::Pending(_))) {
            return Ok(super::eval::nameless_pending());
        }
        match name {
            "range" => self.range(&positional),
            "dict" | "namespace" => {
                let mut out = Dict::new();
                if let Some(first) = positional.first() {
                    if self.is_map(first) {
                        out.extend(self.entries(first)?);
                    } else {
                        for pair in self.elements(first)? {
                            match self.elements(&pair)?.as_slice() {
                                [key, value] => {
                                    out.insert(Key::of(key)?, value.clone());
                                }
                                _ => return say("`dict` takes a mapping or pairs"),
                            }
                        }
                    }
                }
                out.extend(args.named.into_iter().map(|(k, v)| (Key::Str(k), v)));
                Ok(match name {
                    "dict" => Val::dict(out),
                    _ => Val::Namespace(Rc::new(RefCell::new(out))),
                })
            }
            "undef" => {
                let hint = positional
                    .first()
                    .or(args.named.iter().find(|(n, _)| &**n == "hint").map(|(_, v)| v));
                let note = match hint {
                    Some(hint) => self.text(hint)?,
                    None => "mandatory variable has not been overridden".to_owned(),
                };
                let (place, range) = self.here();
                Ok(Val::Undefined(Rc::new(Missing {
                    what: Absent::Note(note),
                    place,
                    range,
                })))
            }
            lookup => self.lookup(lookup, positional, args.named, scope),
        }
    }

    fn range(&self, args: &[Val<'a>]) -> Res<'a, Val<'a>> {
        let number = |value: &Val<'a>| match value {
            Val::Int(i) => Ok(*i),
            Val::Bool(b) => Ok((*b).into()),
            other => say(format!("`range` takes integers, not {}", other.kind())),
        };
        let (start, stop, step) = match args {
            [stop] => (0, number(stop)?, 1),
            [start, stop] => (number(start)?, number(stop)?, 1),
            [start, stop, step] => (number(start)?, number(stop)?, number(step)?),
            _ => return say("`range` takes one to three integers"),
        };
        let limit = i128::from(i64::MAX);
        if step == 0 || [start, stop, step].iter().any(|n| n.abs() > limit) {
            return say("`range`: the step is 0 or a number too large");
        }
        let count = if step > 0 {
            (stop - start + step - 1) / step
        } else {
            (start - stop - step - 1) / -step
        };
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        sized(count.saturating_mul(32))?;
        Ok(Val::list(
            (0..count as i128).map(|i| Val::Int(start + i * step)).collect(),
        ))
    }

    fn lookup(
        &self,
        function: &str,
        mut args: Vec<Val<'a>>,
        named: Vec<(Arc<str>, Val<'a>)>,
        scope: usize,
    ) -> Res<'a, Val<'a>> {
        if args.is_empty() {
            return say(format!("`{function}` needs the name of a lookup"));
        }
        let plugin = self.text(&args.remove(0))?;
        let plain = filter::short(&plugin).to_owned();
        if !BUILT.contains(&plain.as_str()) {
            let last = plain.rsplit('.').next().unwrap_or_default();
            if NOT_BUILT.contains(&last) {
                return say(format!("the lookup `{plugin}`: known, not built yet"));
            }
            let halt = said(format!("unknown lookup `{plugin}`"));
            return Err(match did_you_mean(&plain, BUILT.iter().chain(NOT_BUILT).copied()) {
                Some(near) => halt.help(format!("did you mean `{near}`?")),
                None => halt,
            });
        }
        let option = |name: &str| option(&named, name);
        let mut terms = Vec::new();
        for arg in args {
            match self.is_list(&arg) {
                true => terms.extend(self.elements(&arg)?),
                false => terms.push(arg),
            }
        }
        let mut found = Vec::new();
        for term in terms {
            let term = match self.known(term)? {
                Val::Str(term) => term,
                other => return say(format!("the lookup `{plugin}` takes text, not {}", other.kind())),
            };
            match self.look_at(&plain, &term, &named, scope) {
                Ok(value) => found.push(value),
                Err(Halt::Say(_)) if option("errors").and_then(Val::as_str) == Some("ignore") => {
                    return Ok(if function == "lookup" {
                        Val::None
                    } else {
                        Val::list(Vec::new())
                    });
                }
                Err(other) => return Err(other),
            }
        }
        let as_list = match option("wantlist") {
            Some(value) => self.truth(value)?,
            None => function != "lookup",
        };
        if as_list {
            return Ok(Val::list(found));
        }
        if found.len() == 1 {
            return Ok(found.remove(0));
        }
        if found.iter().all(|v| matches!(v, Val::Str(_))) {
            let parts: Vec<&str> = found.iter().filter_map(Val::as_str).collect();
            return Ok(Val::str(parts.join(",")));
        }
        Ok(Val::list(found))
    }

    fn look_at(&self, plugin: &str, term: &str, named: &[(Arc<str>, Val<'a>)], scope: usize) -> Res<'a, Val<'a>> {
        let default = option(named, "default");
        match plugin {
            "env" => match std::env::var(term) {
                Ok(value) => Ok(Val::str(value)),
                Err(std::env::VarError::NotPresent) => match default {
                    Some(value) => Ok(value.clone()),
                    None => Ok(Val::str("")),
                },
                Err(std::env::VarError::NotUnicode(_)) => {
                    say(format!("the environment variable `{term}` is not text in UTF-8"))
                }
            },
            "vars" => match (self.variable(scope, term)?, default) {
                (Some(value), _) => self.defined(value),
                (None, Some(value)) => Ok(value.clone()),
                (None, None) => {
                    let halt = said(format!("there is no variable `{term}`"));
                    let keys = self.keys(&Val::Vars(scope))?;
                    Err(match did_you_mean(term, keys.iter().map(String::as_str)) {
                        Some(near) => halt.help(format!("did you mean `{near}`?")),
                        None => halt,
                    })
                }
            },
            _ => {
                let folder = self.templates.folder();
                let paths = [folder.join("files").join(term), folder.join(term)];
                let path = paths.iter().find(|p| p.is_file()).unwrap_or(&paths[1]);
                let text = std::fs::read_to_string(path).map_err(|e| {
                    said(format!("cannot read {}: {e}", path.display()))
                        .help("a relative path starts at the playbook's folder, or at `files` in it")
                })?;
                let flag = |name: &str, default: bool| match option(named, name) {
                    Some(value) => self.truth(value),
                    None => Ok(default),
                };
                let text = if flag("rstrip", true)? { text.trim_end() } else { &text };
                Ok(Val::str(if flag("lstrip", false)? {
                    text.trim_start()
                } else {
                    text
                }))
            }
        }
    }
}

fn option<'v, 'a>(named: &'v [(Arc<str>, Val<'a>)], name: &str) -> Option<&'v Val<'a>> {
    named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
}
