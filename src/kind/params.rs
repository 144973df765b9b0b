//! Parameters of a kind: what there are, of which type, and what a step gave.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::Kind;
use crate::template::Rendered;
use crate::yaml::{Diagnostic, Diagnostics, Node, Span, Value, parse_duration};

/// One parameter of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) ty: Ty,
    pub(crate) required: bool,
    /// One line for the manual.
    pub(crate) doc: &'static str,
}

impl Param {
    /// An optional parameter.
    pub(crate) const fn new(name: &'static str, ty: Ty, doc: &'static str) -> Param {
        Param {
            name,
            ty,
            required: false,
            doc,
        }
    }

    pub(crate) const fn required(name: &'static str, ty: Ty, doc: &'static str) -> Param {
        Param {
            name,
            ty,
            required: true,
            doc,
        }
    }
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Text,
    /// A path on the host: absolute, or `~/…`.
    Path,
    /// A file or folder on the controller, relative to the folder of the file that names it.
    File,
    Bool,
    Int,
    /// `30s`, `5m`, `2h`, `1m30s`, or a number of seconds.
    Duration,
    /// A version: the scalar's text; a number that a variable gave is an error ("quote it where it is set").
    Version,
    /// A file mode: a string is octal, an integer that a variable gave is the bits, a bare integer in a playbook is an
    /// error that shows both spellings.
    Mode,
    Regex,
    /// A list of text; one text stands for a list of one.
    TextList,
    Map,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of bare expressions; one stands for a list of one. Never rendered before the step runs.
    Expressions,
    /// Text with the variables of other hosts; never rendered with those of the step's own.
    Theirs,
    Any,
}

impl Ty {
    /// The kind itself renders it.
    pub(crate) fn stays_as_written(self) -> bool {
        matches!(self, Ty::Expressions | Ty::Theirs)
    }
}

/// The permission bits of a file: 0 to 0o7777. Prints as Ansible prints it: `0644`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// What a step gave for one parameter.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) key: Span,
    /// As written.
    pub(crate) node: Node,
    pub(crate) rendered: Rendered,
}

/// The parameters of one step on one host, checked against the kind's table.
///
/// The getters cannot fail: `decode` has looked at every value. They give None where a parameter was not given, and
/// where its value is not known yet (`pending` tells which).
#[derive(Clone, Debug)]
pub(crate) struct Params {
    /// Where the step's kind stands.
    pub(crate) at: Span,
    /// Only names that the table knows (or any, for `free_names`); `omit` is left out.
    pub(crate) given: IndexMap<String, Given>,
}

impl Params {
    /// The values of all `File` parameters that are known, joined to `folder`.
    pub(crate) fn files(&self, table: &[Param], folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        table
            .iter()
            .filter(|param| param.ty == Ty::File)
            .filter_map(|param| self.given.get(param.name))
            .filter_map(|given| given.rendered.value.as_str())
            .map(|text| folder.join(text))
            .collect()
    }
    /// Renders the entries of a step's mapping and decodes them. Expressions are left as they stand.
    #[cfg(test)]
    pub(crate) fn render(
        kind: &dyn Kind,
        at: &Span,
        node: &Node,
        render: impl Fn(&Node) -> Result<Rendered, Diagnostic>,
    ) -> Result<Params, Diagnostics> {
        let mut found = Params::check_names(kind, at, node);
        let mut given = IndexMap::new();
        for (key, value) in node.as_map().unwrap_or_default() {
            let Some(name) = key.text.as_deref() else { continue };
            let expressions = table(kind, name).is_some_and(|param| param.ty.stays_as_written());
            let rendered = if expressions {
                Ok(Rendered {
                    value: Json::Null,
                    secret: false,
                    pending: Vec::new(),
                    omit: false,
                })
            } else {
                render(value)
            };
            match rendered {
                Ok(rendered) => {
                    let one = Given {
                        key: key.span.clone(),
                        node: value.clone(),
                        rendered,
                    };
                    given.insert(name.to_owned(), one);
                }
                Err(diagnostic) => found.push(diagnostic),
            }
        }
        match Params::decode(kind, at, given) {
            Ok(params) if !found.has_errors() => Ok(params),
            Ok(_) => Err(found),
            Err(more) => {
                // A parameter whose template failed is there, whatever `decode` says of it.
                let failed = |message: &str| {
                    node.as_map().unwrap_or_default().iter().any(|(key, _)| {
                        let name = key.text.as_deref().unwrap_or_default();
                        message == missing(kind, name)
                    })
                };
                found.extend(more.into_iter().filter(|diagnostic| !failed(&diagnostic.message)));
                Err(found)
            }
        }
    }

    /// What can be said of a mapping of parameters without any host: unknown names, names that are missing.
    pub(crate) fn check_names(kind: &dyn Kind, at: &Span, node: &Node) -> Diagnostics {
        let mut found = Diagnostics::default();
        let entries = node.as_map().unwrap_or_default();
        for (key, _) in entries {
            match key.text.as_deref() {
                Some(name) => found.extend(unknown(kind, name, &key.span)),
                None => found.push(Diagnostic::error(&key.span, "the name of a parameter must be text")),
            }
        }
        for param in kind.params().iter().filter(|param| param.required) {
            if node.get(param.name).is_none() {
                found.push(Diagnostic::error(at, missing(kind, param.name)).help(param.doc));
            }
        }
        found
    }

    /// Looks at names and types; everything that is wrong is in the error.
    pub(crate) fn decode(kind: &dyn Kind, at: &Span, given: IndexMap<String, Given>) -> Result<Params, Diagnostics> {
        decode_table(
            at,
            given,
            |name| {
                table(kind, name)
                    .map(|param| param.ty)
                    .or(kind.free_names().then_some(Ty::Any))
            },
            |name, span| unknown(kind, name, span),
            kind.params(),
            |name| missing(kind, name),
        )
    }

    /// Decodes the mappings in a list (or one mapping) that a parameter gave, by a table of their own. `what` names
    /// one of them: "a file of `swap`". Empty where nothing was given, or where it is pending.
    pub(crate) fn nested(&self, name: &str, what: &str, params: &'static [Param]) -> Result<Vec<Params>, Diagnostics> {
        let Some(given) = self.known(name) else {
            return Ok(Vec::new());
        };
        let values: Vec<&Json> = match &given.rendered.value {
            Json::Array(items) => items.iter().collect(),
            Json::Null => Vec::new(),
            one => vec![one],
        };
        let nodes: Vec<&Node> = match &given.node.value {
            Value::Seq(items) if items.len() == values.len() => items.iter().collect(),
            _ => vec![&given.node; values.len()],
        };
        let mut found = Diagnostics::default();
        let mut all = Vec::new();
        for (value, node) in values.into_iter().zip(nodes) {
            let Json::Object(entries) = value else {
                found.push(expected(&node.span, name, "a list of mappings", value));
                continue;
            };
            let one = entries
                .iter()
                .map(|(key, value)| {
                    let entry = node
                        .as_map()
                        .unwrap_or_default()
                        .iter()
                        .find(|(k, _)| k.text.as_deref() == Some(key));
                    let (key_span, node) = match entry {
                        Some((k, v)) => (&k.span, v),
                        None => (&node.span, node),
                    };
                    let given = Given {
                        key: key_span.clone(),
                        node: node.clone(),
                        rendered: Rendered {
                            value: value.clone(),
                            ..given.rendered.clone()
                        },
                    };
                    (key.clone(), given)
                })
                .collect();
            let decoded = decode_table(
                &node.span,
                one,
                |name| params.iter().find(|param| param.name == name).map(|param| param.ty),
                |name, span| {
                    let known = params.iter().any(|param| param.name == name);
                    (!known).then(|| unknown_name(what, name, span, params))
                },
                params,
                |name| format!("{what} needs `{name}`"),
            );
            match decoded {
                Ok(params) => all.push(params),
                Err(more) => found.extend(more),
            }
        }
        if found.has_errors() { Err(found) } else { Ok(all) }
    }

    /// Was it given, be it known or not?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Was it given, and is it not known yet?
    pub(crate) fn pending(&self, name: &str) -> bool {
        self.given
            .get(name)
            .is_some_and(|given| !given.rendered.pending.is_empty())
    }

    /// Was a secret used in its value?
    pub(crate) fn secret(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|given| given.rendered.secret)
    }

    /// Errors for those of these parameters that hold a secret although they become part of a script.
    pub(crate) fn refuse_secrets(&self, names: &[&str]) -> Diagnostics {
        let mut found = Diagnostics::default();
        for name in names.iter().filter(|name| self.secret(name)) {
            found.push(self.error(
                name,
                format!("`{name}` holds a secret, and would stand in a script on the host"),
            ));
        }
        found
    }

    /// Where the value stands; the kind's name where it was not given.
    pub(crate) fn span(&self, name: &str) -> &Span {
        self.given.get(name).map_or(&self.at, |given| &given.node.span)
    }

    /// An error at the value of a parameter.
    pub(crate) fn error(&self, name: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span(name), message)
    }

    /// The value; None where it is null.
    pub(crate) fn value(&self, name: &str) -> Option<&Json> {
        self.known(name)
            .map(|given| &given.rendered.value)
            .filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let given = self.known(name)?;
        text(&given.node, &given.rendered.value)
    }

    /// For parameters that the table requires and that are known; an error at the kind's name otherwise.
    pub(crate) fn required_text(&self, name: &str) -> Result<String, Diagnostic> {
        self.text(name)
            .ok_or_else(|| self.error(name, format!("`{name}` has no value")))
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        boolean(&self.known(name)?.rendered.value)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        integer(&self.known(name)?.rendered.value)
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        duration(&self.known(name)?.rendered.value)
    }

    pub(crate) fn version(&self, name: &str) -> Option<String> {
        self.text(name)
    }

    pub(crate) fn mode(&self, name: &str) -> Option<Mode> {
        let given = self.known(name)?;
        mode(name, &given.node, &given.rendered.value).ok()
    }

    pub(crate) fn regex(&self, name: &str) -> Option<regex::Regex> {
        self.text(name).and_then(|text| regex::Regex::new(&text).ok())
    }

    /// The word that was given.
    pub(crate) fn choice(&self, name: &str) -> Option<String> {
        self.text(name)
    }

    /// A path on the host, as given: absolute or `~/…`.
    pub(crate) fn path(&self, name: &str) -> Option<String> {
        self.text(name)
    }

    /// A file on the controller, joined to the folder that the step's relative paths start from. A slash at its end
    /// is kept (`text` tells).
    pub(crate) fn file(&self, name: &str, folder: &Path) -> Option<PathBuf> {
        self.text(name).map(|text| folder.join(text))
    }

    pub(crate) fn text_list(&self, name: &str) -> Option<Vec<String>> {
        let given = self.known(name)?;
        text_list(&given.node, &given.rendered.value).ok()
    }

    pub(crate) fn map(&self, name: &str) -> Option<&serde_json::Map<String, Json>> {
        self.value(name)?.as_object()
    }

    /// The expressions as written.
    pub(crate) fn expressions(&self, name: &str) -> Vec<&Node> {
        match self.given.get(name).map(|given| &given.node) {
            None => Vec::new(),
            Some(node) => node.as_seq().map_or_else(|| vec![node], |items| items.iter().collect()),
        }
    }

    fn known(&self, name: &str) -> Option<&Given> {
        self.given.get(name).filter(|given| given.rendered.pending.is_empty())
    }
}

fn table(kind: &dyn Kind, name: &str) -> Option<&'static Param> {
    kind.params().iter().find(|param| param.name == name)
}

fn missing(kind: &dyn Kind, name: &str) -> String {
    format!("`{}` needs `{name}`", kind.name())
}

fn unknown(kind: &dyn Kind, name: &str, at: &Span) -> Option<Diagnostic> {
    if kind.free_names() || table(kind, name).is_some() {
        return None;
    }
    let kind_name = kind.name();
    if kind.later().contains(&name) {
        return Some(Diagnostic::error(
            at,
            format!("`{name}` of `{kind_name}` is known, not built yet"),
        ));
    }
    Some(unknown_name(&format!("`{kind_name}`"), name, at, kind.params()))
}

fn unknown_name(what: &str, name: &str, at: &Span, params: &[Param]) -> Diagnostic {
    let close = params
        .iter()
        .map(|param| (strsim::damerau_levenshtein(name, param.name), param.name))
        .filter(|(distance, _)| *distance <= (name.chars().count() / 3).clamp(1, 3))
        .min();
    let help = match close {
        Some((_, close)) => format!("did you mean `{close}`?"),
        None if params.is_empty() => "it has no parameters".to_owned(),
        None => {
            let names: Vec<&str> = params.iter().map(|param| param.name).collect();
            format!("it has {}", names.join(", "))
        }
    };
    Diagnostic::error(at, format!("unknown parameter `{name}` of {what}")).help(help)
}

fn decode_table(
    at: &Span,
    given: IndexMap<String, Given>,
    ty: impl Fn(&str) -> Option<Ty>,
    unknown: impl Fn(&str, &Span) -> Option<Diagnostic>,
    params: &[Param],
    missing: impl Fn(&str) -> String,
) -> Result<Params, Diagnostics> {
    let mut found = Diagnostics::default();
    let mut kept = IndexMap::new();
    for (name, one) in given {
        if one.rendered.omit {
            continue;
        }
        found.extend(unknown(&name, &one.key));
        if let Some(ty) = ty(&name) {
            if one.rendered.pending.is_empty()
                && let Err(diagnostic) = check(&name, ty, &one)
            {
                found.push(diagnostic);
            }
            kept.insert(name, one);
        }
    }
    for param in params.iter().filter(|param| param.required) {
        if !kept.contains_key(param.name) {
            found.push(Diagnostic::error(at, missing(param.name)).help(param.doc));
        }
    }
    if found.has_errors() {
        return Err(found);
    }
    Ok(Params {
        at: at.clone(),
        given: kept,
    })
}

fn check(name: &str, ty: Ty, given: &Given) -> Result<(), Diagnostic> {
    let (node, value) = (&given.node, &given.rendered.value);
    let shown = |what: &str| Err(wrong(given, name, what));
    match ty {
        Ty::Any => Ok(()),
        Ty::Text => match text(node, value) {
            Some(_) => Ok(()),
            None => shown("text"),
        },
        Ty::Path => match text(node, value) {
            Some(path) => check_path(name, &path, &node.span, given.rendered.secret),
            None => shown("a path"),
        },
        Ty::File => match text(node, value) {
            Some(path) if path.is_empty() || path.contains('\0') => shown("a file"),
            Some(_) => Ok(()),
            None => shown("a file"),
        },
        Ty::Bool => match boolean(value) {
            Some(_) => Ok(()),
            None => shown("true or false"),
        },
        Ty::Int => match integer(value) {
            Some(_) => Ok(()),
            None => shown("an integer"),
        },
        Ty::Duration => match duration(value) {
            Some(_) => Ok(()),
            None => {
                Err(wrong(given, name, "a duration").help("write `30s`, `5m`, `2h`, `1m30s`, or a number of seconds"))
            }
        },
        Ty::Version => match (&node.value, value) {
            (Value::Int(_) | Value::Float(_), _) => Ok(()),
            (_, Json::Number(number)) => Err(Diagnostic::error(
                &node.span,
                format!(
                    "`{name}` must be a version, found the number {}",
                    hidden(given, &number.to_string())
                ),
            )
            .help("a number has no text (1.10 would be 1.1): quote it where it is set")),
            (_, Json::String(text)) if !text.trim().is_empty() => Ok(()),
            _ => shown("a version"),
        },
        Ty::Mode if given.rendered.secret => match mode(name, node, value) {
            Ok(_) => Ok(()),
            Err(_) => shown("a mode"),
        },
        Ty::Mode => mode(name, node, value).map(|_| ()),
        Ty::Regex => match text(node, value) {
            None => shown("a regular expression"),
            Some(pattern) => regex::Regex::new(&pattern).map(|_| ()).map_err(|error| {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Diagnostic::error(&node.span, format!("`{name}` is no regular expression: {reason}"))
            }),
        },
        Ty::TextList => text_list(node, value).map(|_| ()).map_err(|item| match item {
            None => wrong(given, name, "a list of text"),
            Some(index) => {
                let span = match &node.value {
                    Value::Seq(items) => items.get(index).map_or(&node.span, |item| &item.span),
                    _ => &node.span,
                };
                let found = value.get(index).map_or("nothing", json_name);
                Diagnostic::error(
                    span,
                    format!("item {} of `{name}` must be text, found {found}", index + 1),
                )
            }
        }),
        Ty::Map => match value {
            Json::Object(_) => Ok(()),
            _ => shown("a mapping"),
        },
        Ty::Choice(words) => match text(node, value) {
            Some(word) if words.contains(&word.as_str()) => Ok(()),
            Some(word) => {
                let message = format!("`{name}` cannot be `{}`", hidden(given, &word));
                Err(Diagnostic::error(&node.span, message).help(format!("one of {}", words.join(", "))))
            }
            None => Err(wrong(given, name, "a word").help(format!("one of {}", words.join(", ")))),
        },
        Ty::Theirs => Ok(()),
        Ty::Expressions => {
            let items = node.as_seq().unwrap_or(std::slice::from_ref(node));
            match items
                .iter()
                .find(|item| !matches!(item.value, Value::Str(_) | Value::Bool(_)))
            {
                None if items.is_empty() => Err(Diagnostic::error(&node.span, format!("`{name}` is empty"))),
                None => Ok(()),
                Some(item) => {
                    let message = format!("`{name}` must be an expression, found {}", item.kind_name());
                    Err(Diagnostic::error(&item.span, message))
                }
            }
        }
    }
}

/// "`x` must be an integer, found text": the value itself only where it is short and no secret.
fn wrong(given: &Given, name: &str, what: &str) -> Diagnostic {
    let value = &given.rendered.value;
    match value {
        Json::String(text) if !given.rendered.secret && text.chars().count() <= 40 => Diagnostic::error(
            &given.node.span,
            format!("`{name}` must be {what}, found \"{}\"", text.escape_debug()),
        ),
        _ => expected(&given.node.span, name, what, value),
    }
}

fn expected(at: &Span, name: &str, what: &str, value: &Json) -> Diagnostic {
    Diagnostic::error(at, format!("`{name}` must be {what}, found {}", json_name(value)))
}

fn hidden<'a>(given: &Given, text: &'a str) -> &'a str {
    if given.rendered.secret { HIDDEN } else { text }
}

const HIDDEN: &str = "<secret>";

fn json_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.is_f64() => "a number",
        Json::Number(_) => "an integer",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a mapping",
    }
}

/// A scalar's text: as written where a file spells it (`1.10`), else as Ansible prints it (`True`).
fn text(node: &Node, value: &Json) -> Option<String> {
    match (&node.value, value) {
        (Value::Int(_) | Value::Float(_) | Value::Bool(_), _) if node.text.is_some() => node.text.clone(),
        (_, Json::String(text)) => Some(text.clone()),
        (_, Json::Bool(true)) => Some("True".to_owned()),
        (_, Json::Bool(false)) => Some("False".to_owned()),
        (_, Json::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

fn check_path(name: &str, path: &str, at: &Span, secret: bool) -> Result<(), Diagnostic> {
    if path.contains('\0') {
        return Err(Diagnostic::error(at, format!("`{name}` holds a NUL character")));
    }
    if path.starts_with('/') || path == "~" || path.starts_with("~/") {
        return Ok(());
    }
    let shown = if secret { HIDDEN } else { path };
    let message = format!(
        "`{name}` must be an absolute path on the host, found \"{}\"",
        shown.escape_debug()
    );
    Err(Diagnostic::error(at, message).help("begin it with `/` or `~/`"))
}

fn boolean(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(known) => Some(*known),
        Json::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Json::String(text) => match text.trim().to_lowercase().as_str() {
            "yes" | "on" | "true" | "t" | "y" | "1" => Some(true),
            "no" | "off" | "false" | "f" | "n" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn integer(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64(),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn duration(value: &Json) -> Option<Duration> {
    match value {
        Json::Number(number) => Duration::try_from_secs_f64(number.as_f64()?).ok(),
        Json::String(text) => parse_duration(text).ok(),
        _ => None,
    }
}

fn mode(name: &str, node: &Node, value: &Json) -> Result<Mode, Diagnostic> {
    let error = |message: String| Diagnostic::error(&node.span, message);
    match (&node.value, value) {
        (Value::Int(number), _) => {
            let written = node.text.clone().unwrap_or_else(|| number.to_string());
            let digits = written.trim_start_matches("0o").trim_start_matches('0');
            let mut diagnostic = error(format!("`{name}: {written}` is an integer, and its base is not clear"));
            if u32::from_str_radix(digits, 8).is_ok_and(|bits| bits <= 0o7777) {
                diagnostic = diagnostic.help(format!("write `\"{digits:0>4}\"` if these are the octal digits"));
            }
            if let Some(bits) = u32::try_from(*number)
                .ok()
                .filter(|bits| *bits <= 0o7777 && !written.starts_with('0'))
            {
                diagnostic = diagnostic.help(format!("write `\"{}\"` if it is the number {number}", Mode(bits)));
            }
            Err(diagnostic)
        }
        (_, Json::Number(number)) => match number.as_u64().filter(|bits| *bits <= 0o7777) {
            Some(bits) => Ok(Mode(u32::try_from(bits).unwrap_or_default())),
            None => Err(error(format!("`{name}` must be a mode, found the number {number}"))
                .help("the largest mode is 0o7777, which is 4095")),
        },
        (_, Json::String(text)) => {
            let digits = text.strip_prefix("0o").unwrap_or(text);
            let octal = !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
            match u32::from_str_radix(digits, 8) {
                Ok(bits) if octal && bits <= 0o7777 => Ok(Mode(bits)),
                _ if text.contains(['=', '+', '-']) || text == "preserve" => {
                    Err(error(format!("`{name}: {text}` is known, not built yet"))
                        .help("write octal digits: `\"0644\"`"))
                }
                _ => Err(
                    error(format!("`{name}` must be a mode, found \"{}\"", text.escape_debug()))
                        .help("write octal digits: `\"0644\"`"),
                ),
            }
        }
        (_, other) => Err(expected(&node.span, name, "a mode", other).help("write octal digits: `\"0644\"`")),
    }
}

/// The error is the index of the item that is no text, or None where it is no list at all.
fn text_list(node: &Node, value: &Json) -> Result<Vec<String>, Option<usize>> {
    let Json::Array(items) = value else {
        return text(node, value).map(|one| vec![one]).ok_or(None);
    };
    let nodes = node.as_seq().filter(|nodes| nodes.len() == items.len());
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let node = nodes.map_or(node, |nodes| &nodes[index]);
            text(node, item).ok_or(Some(index))
        })
        .collect()
}
