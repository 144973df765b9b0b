//! The filters that playbooks use, with Ansible's results.

mod data;
mod digest;
mod list;
mod path;
mod regex;
mod text;
mod version;
mod yaml;

pub(super) use list::{has, sorted};
pub(super) use regex::pattern;
pub(super) use version::version;

use std::sync::Arc;

use super::engine::Engine;
use super::eval::{Args, nameless_pending};
use super::syntax::Fault;
use super::value::{Halt, Res, Val, said, say};
use crate::yaml::did_you_mean;

const KNOWN: &[&str] = &[
    "abs",
    "attr",
    "b64decode",
    "b64encode",
    "basename",
    "batch",
    "bool",
    "capitalize",
    "center",
    "checksum",
    "combine",
    "count",
    "d",
    "default",
    "dict2items",
    "dictsort",
    "difference",
    "dirname",
    "extract",
    "first",
    "flatten",
    "float",
    "format",
    "from_json",
    "from_yaml",
    "groupby",
    "hash",
    "indent",
    "int",
    "intersect",
    "items",
    "items2dict",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "mandatory",
    "map",
    "max",
    "md5",
    "min",
    "normpath",
    "path_join",
    "pow",
    "product",
    "quote",
    "random",
    "regex_escape",
    "regex_findall",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sha1",
    "slice",
    "sort",
    "split",
    "splitext",
    "string",
    "subelements",
    "sum",
    "symmetric_difference",
    "ternary",
    "title",
    "to_json",
    "to_nice_json",
    "to_nice_yaml",
    "to_yaml",
    "tojson",
    "trim",
    "truncate",
    "type_debug",
    "union",
    "unique",
    "upper",
    "urlencode",
    "zip",
    "zip_longest",
    "failed",
    "changed",
    "success",
    "succeeded",
    "skipped",
    "version",
    "version_compare",
];

/// Names that are right elsewhere: no typo, and no work of ours yet.
const NOT_BUILT: &[&str] = &[
    "ansible.netcommon.ipaddr",
    "ansible.utils.ipaddr",
    "ansible.utils.ipsubnet",
    "ansible.utils.ipv4",
    "ansible.utils.ipv6",
    "ansible.utils.ipwrap",
    "ansible.utils.nthhost",
    "combinations",
    "comment",
    "community.crypto.x509_certificate_info",
    "community.general.dict",
    "community.general.from_ini",
    "community.general.json_query",
    "community.general.random_mac",
    "community.general.version_sort",
    "escape",
    "e",
    "expanduser",
    "expandvars",
    "filesizeformat",
    "fileglob",
    "forceescape",
    "from_ini",
    "from_toml",
    "from_yaml_all",
    "human_readable",
    "human_to_bytes",
    "ipaddr",
    "ipmath",
    "ipsubnet",
    "ipv4",
    "ipv6",
    "ipwrap",
    "json_query",
    "log",
    "lists_union",
    "nthhost",
    "password_hash",
    "permutations",
    "pprint",
    "random_mac",
    "realpath",
    "rekey_on_member",
    "relpath",
    "root",
    "safe",
    "shuffle",
    "split_at",
    "strftime",
    "striptags",
    "to_datetime",
    "to_toml",
    "to_uuid",
    "unvault",
    "urldecode",
    "urlize",
    "urlsplit",
    "vault",
    "version_sort",
    "win_basename",
    "win_dirname",
    "win_splitdrive",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

/// Without the collection that Ansible's own filters and tests live in.
pub(super) fn short(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.")
        .or_else(|| name.strip_prefix("ansible.legacy."))
        .unwrap_or(name)
}

pub(super) fn known(name: &str) -> Result<(), Fault> {
    let plain = short(name);
    if KNOWN.contains(&plain) {
        return Ok(());
    }
    let fault = |message, help: Option<String>| Fault {
        range: 0..0,
        message,
        help: help.into_iter().collect(),
    };
    if NOT_BUILT.contains(&plain) {
        return Err(fault(format!("the filter `{name}`: known, not built yet"), None));
    }
    let near = did_you_mean(plain, KNOWN.iter().copied()).map(|n| format!("did you mean `{n}`?"));
    Err(fault(format!("unknown filter `{name}`"), near))
}

/// A filter with what it was given; every value is rendered and known.
pub(super) struct Call<'c, 'a> {
    pub(super) engine: &'c Engine<'a>,
    pub(super) name: &'c str,
    pub(super) input: Val<'a>,
    pub(super) args: Vec<Val<'a>>,
    pub(super) named: Vec<(Arc<str>, Val<'a>)>,
}

pub(super) fn apply<'a>(engine: &Engine<'a>, name: &str, input: Val<'a>, args: Args<'a>) -> Res<'a, Val<'a>> {
    let name = short(name);
    let input = engine.force(input)?;
    match name {
        "default" | "d" => return default(engine, input, &args),
        "mandatory" => return mandatory(engine, input, &args),
        "type_debug" => return Ok(Val::str(engine.known(input)?.type_name())),
        _ => {}
    }
    if let Val::Pending(_) = input {
        return Ok(input);
    }
    let mut call = Call {
        engine,
        name,
        input: engine.defined(input)?,
        args: Vec::with_capacity(args.positional.len()),
        named: Vec::with_capacity(args.named.len()),
    };
    // What `ternary` and `map(default=…)` do not choose may be anything.
    let lenient = matches!(name, "ternary" | "map");
    for value in args.positional {
        let value = engine.force(value)?;
        if !lenient && matches!(value, Val::Pending(_)) {
            return Ok(nameless_pending());
        }
        call.args.push(if lenient { value } else { engine.defined(value)? });
    }
    for (key, value) in args.named {
        let value = engine.force(value)?;
        if !lenient && matches!(value, Val::Pending(_)) {
            return Ok(nameless_pending());
        }
        call.named
            .push((key, if lenient { value } else { engine.defined(value)? }));
    }
    match run(&call) {
        Err(Halt::Pending) => Ok(nameless_pending()),
        other => other,
    }
}

fn run<'a>(call: &Call<'_, 'a>) -> Res<'a, Val<'a>> {
    match call.name {
        "bool" | "int" | "float" | "string" | "abs" | "round" | "pow" | "ternary" | "random" => data::scalar(call),
        "to_json" | "tojson" | "to_nice_json" | "from_json" | "b64encode" | "b64decode" => data::coded(call),
        "to_yaml" | "to_nice_yaml" | "from_yaml" => yaml::filter(call),
        "hash" | "checksum" | "md5" | "sha1" => digest::filter(call),
        "basename" | "dirname" | "splitext" | "path_join" | "normpath" => path::filter(call),
        "regex_escape" | "regex_findall" | "regex_replace" | "regex_search" => regex::filter(call),
        "capitalize" | "center" | "format" | "indent" | "lower" | "quote" | "replace" | "split" | "title" | "trim"
        | "truncate" | "upper" | "urlencode" => text::filter(call),
        "failed" | "changed" | "success" | "succeeded" | "skipped" | "version" | "version_compare" => {
            let args = Args {
                positional: call.args.clone(),
                named: call.named.clone(),
            };
            super::test::apply(call.engine, call.name, call.input.clone(), args).map(Val::Bool)
        }
        _ => list::filter(call),
    }
}

fn default<'a>(engine: &Engine<'a>, input: Val<'a>, args: &Args<'a>) -> Res<'a, Val<'a>> {
    let named = |name: &str| args.named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v);
    if let Val::Pending(_) = input {
        return Ok(input);
    }
    let falsy_too = match args.positional.get(1).or_else(|| named("boolean")) {
        Some(Val::Pending(_)) => return Ok(nameless_pending()),
        Some(value) => engine.truth(&engine.force(value.clone())?)?,
        None => false,
    };
    let missing = match &input {
        Val::Undefined(_) => true,
        other => falsy_too && !engine.truth(other)?,
    };
    if !missing {
        return Ok(input);
    }
    match args.positional.first().or_else(|| named("default_value")) {
        Some(value) => engine.force(value.clone()),
        None => Ok(Val::str("")),
    }
}

fn mandatory<'a>(engine: &Engine<'a>, input: Val<'a>, args: &Args<'a>) -> Res<'a, Val<'a>> {
    if !matches!(input, Val::Undefined(_)) {
        return Ok(input);
    }
    let named = args.named.iter().find(|(n, _)| &**n == "msg").map(|(_, v)| v);
    match args.positional.first().or(named) {
        Some(Val::Str(message)) => say(message.to_string()),
        Some(message) => say(engine.text(message)?),
        None => engine.defined(input),
    }
}

impl<'a> Call<'_, 'a> {
    pub(super) fn named(&self, name: &str) -> Option<&Val<'a>> {
        self.named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
    }

    /// An argument by place or name; `None` counts as not given.
    pub(super) fn get(&self, index: usize, name: &str) -> Option<&Val<'a>> {
        self.args
            .get(index)
            .or_else(|| self.named(name))
            .filter(|v| !matches!(v, Val::None))
    }

    pub(super) fn need(&self, index: usize, name: &str) -> Res<'a, &Val<'a>> {
        self.get(index, name)
            .ok_or_else(|| said(format!("the filter `{}` needs `{name}`", self.name)))
    }

    pub(super) fn text_arg(&self, index: usize, name: &str) -> Res<'a, Option<&str>> {
        match self.get(index, name) {
            None => Ok(None),
            Some(Val::Str(text)) => Ok(Some(text)),
            Some(other) => say(format!("`{name}` of `{}` is text, not {}", self.name, other.kind())),
        }
    }

    pub(super) fn int_arg(&self, index: usize, name: &str) -> Res<'a, Option<i64>> {
        match self.get(index, name) {
            None => Ok(None),
            Some(Val::Int(i)) => Ok(Some((*i).clamp(i64::MIN.into(), i64::MAX.into()) as i64)),
            Some(Val::Bool(b)) => Ok(Some((*b).into())),
            Some(other) => say(format!(
                "`{name}` of `{}` is an integer, not {}",
                self.name,
                other.kind()
            )),
        }
    }

    pub(super) fn flag(&self, index: usize, name: &str, default: bool) -> Res<'a, bool> {
        match self.get(index, name) {
            None => Ok(default),
            Some(value) => self.engine.truth(value),
        }
    }

    /// The input as text, as Ansible makes it of anything.
    pub(super) fn input_text(&self) -> Res<'a, String> {
        self.engine.text(&self.input)
    }

    /// The input, which must be text.
    pub(super) fn text_only(&self) -> Res<'a, &str> {
        match &self.input {
            Val::Str(text) => Ok(text),
            other => {
                let halt = said(format!("the filter `{}` takes text, not {}", self.name, other.kind()));
                Err(halt.help("`| string` makes text of anything"))
            }
        }
    }

    pub(super) fn items(&self) -> Res<'a, Vec<Val<'a>>> {
        self.list_of(&self.input)
    }

    pub(super) fn list_of(&self, value: &Val<'a>) -> Res<'a, Vec<Val<'a>>> {
        self.engine.elements(value).map_err(|halt| match halt {
            Halt::Say(_) => said(format!("the filter `{}` takes a list, not {}", self.name, value.kind())),
            other => other,
        })
    }
}
