//! `secrets:` and `databases:`. No message repeats a value that may be a secret.

use indexmap::IndexMap;

use super::load::Loader;
use super::model::{SecretSource, Spanned};
use crate::template::Layer;
use crate::yaml::decode::{self, Fields, has_template};
use crate::yaml::{Diagnostic, Node, Value, suggestion};

const ORIGINS: [&str; 4] = ["file", "env", "prompt", "command"];
const WRITE: &str =
    "say where it comes from: `{ file: PATH }`, `{ env: NAME }`, `{ prompt: TEXT }` or `{ command: TEXT }`";

/// Names and where each secret comes from.
pub(super) fn secrets(loader: &mut Loader<'_>, node: &Node, vars: &Layer) -> IndexMap<String, Spanned<SecretSource>> {
    let mut secrets = IndexMap::new();
    let Some(entries) = mapping(loader, node, "secrets") else {
        return secrets;
    };
    for (key, value) in entries {
        let name = loader.name(key, "a secret");
        let source = origin(loader, value, name.as_deref().unwrap_or_default());
        if let Some(name) = &name
            && vars.contains_key(name)
        {
            let message = format!("`{name}` is a variable and a secret");
            loader.found.push(Diagnostic::error(&key.span, message));
        }
        if let (Some(name), Some(value)) = (name, source) {
            let span = key.span.clone();
            secrets.insert(name, Spanned { value, span });
        }
    }
    secrets
}

fn mapping<'n>(loader: &mut Loader<'_>, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        Value::Null => None,
        _ => {
            loader.found.push(Diagnostic::error(
                &node.span,
                format!("`{what}` is a mapping, found {}", node.kind_name()),
            ));
            None
        }
    }
}

/// `{file | env | prompt | command: TEXT}`.
fn origin(loader: &mut Loader<'_>, node: &Node, name: &str) -> Option<SecretSource> {
    let found = &mut loader.found;
    let entries = match &node.value {
        Value::Map(entries) => entries,
        Value::Null => {
            found.push(Diagnostic::error(&node.span, format!("`{name}` has no source")).help(WRITE));
            return None;
        }
        _ => {
            found.push(
                Diagnostic::error(
                    &node.span,
                    format!("the text of the secret `{name}` may not stand here"),
                )
                .help(WRITE),
            );
            return None;
        }
    };
    for (key, _) in entries {
        let word = key.text.as_deref().unwrap_or_default();
        if !ORIGINS.contains(&word) {
            let mut unknown = Diagnostic::error(&key.span, format!("unknown key `{word}` in a secret"));
            unknown
                .help
                .push(suggestion(word, ORIGINS).unwrap_or_else(|| WRITE.to_owned()));
            found.push(unknown);
            return None;
        }
    }
    let [(key, value)] = entries.as_slice() else {
        found.push(Diagnostic::error(&node.span, format!("the secret `{name}` needs exactly one source")).help(WRITE));
        return None;
    };
    let text = match decode::text(value) {
        Ok(text) if has_template(&text) => {
            found.push(
                Diagnostic::error(&value.span, "a secret's source may not hold a template")
                    .help("secrets are read before any variable is known"),
            );
            return None;
        }
        Ok(text) if text.trim().is_empty() => {
            found.push(Diagnostic::error(&value.span, "a secret's source may not be empty"));
            return None;
        }
        Ok(text) => text,
        Err(wrong) => {
            found.push(wrong);
            return None;
        }
    };
    Some(match key.text.as_deref() {
        Some("file") => SecretSource::File(loader.folder.join(text)),
        Some("env") => SecretSource::Env(text),
        Some("prompt") => SecretSource::Prompt(text),
        _ => SecretSource::Command(text),
    })
}

/// The databases' parameters; what needs a host to be known is left as it is written.
pub(super) fn databases(loader: &mut Loader<'_>, node: &Node) -> IndexMap<String, Node> {
    let mut databases = IndexMap::new();
    let Some(entries) = mapping(loader, node, "databases") else {
        return databases;
    };
    for (key, value) in entries {
        let name = key.text.clone().unwrap_or_default();
        if name.is_empty() || has_template(&name) {
            let message = "the name of a database is plain text";
            loader.found.push(Diagnostic::error(&key.span, message));
            continue;
        }
        database(loader, key, value);
        databases.insert(name, value.clone());
    }
    databases
}

fn database(loader: &mut Loader<'_>, name: &Node, node: &Node) {
    let Some(mut fields) = Fields::of(node, "a database", &mut loader.found) else {
        return;
    };
    let engine = match fields.node("engine") {
        None => {
            loader.found.push(
                Diagnostic::error(&name.span, "the database has no `engine`")
                    .help("write `engine: postgres`, `engine: cassandra` or `engine: sqlite`"),
            );
            None
        }
        Some(node) => engine(loader, node),
    };
    // A list of nodes, which `Database::decode` looks at.
    let nodes = engine == Some("cassandra") && fields.node("host").is_some_and(|host| host.as_seq().is_some());
    for key in ["host", "name", "user", "path", "via"] {
        if !(nodes && key == "host") {
            fields.get(key, decode::text, &mut loader.found);
        }
    }
    if let Some(port) = fields.node("port")
        && !port.as_str().is_some_and(has_template)
        && !decode::int(port).is_ok_and(|port| (1..=65_535).contains(&port))
    {
        let message = "`port` is a number from 1 to 65535";
        loader.found.push(Diagnostic::error(&port.span, message));
    }
    if let Some(password) = fields.node("password")
        && !is_template(password)
    {
        origin(loader, password, "password");
    }
    if let Some(tls) = fields.node("tls")
        && !is_template(tls)
    {
        check_tls(loader, tls);
    }
    let needed: &[&'static str] = match engine {
        Some("postgres") => &["host", "name", "user"],
        Some("cassandra") => &["host", "name"],
        Some("sqlite") => &["path"],
        _ => &[],
    };
    for key in needed {
        if fields.node(key).is_none() {
            let message = format!("the database needs `{key}`");
            loader.found.push(Diagnostic::error(&name.span, message));
        }
    }
    fields.finish(&mut loader.found);
}

/// A text that is one whole template.
fn is_template(node: &Node) -> bool {
    node.as_str().is_some_and(|text| {
        let text = text.trim();
        text.starts_with("{{") && text.ends_with("}}")
    })
}

fn engine(loader: &mut Loader<'_>, node: &Node) -> Option<&'static str> {
    let text = match decode::text(node) {
        Ok(text) => text,
        Err(wrong) => {
            loader.found.push(wrong);
            return None;
        }
    };
    match text.as_str() {
        "postgres" => Some("postgres"),
        "sqlite" => Some("sqlite"),
        "cassandra" => Some("cassandra"),
        "mysql" => {
            let message = format!("the engine `{text}` is known, not built yet");
            loader.found.push(Diagnostic::error(&node.span, message));
            None
        }
        _ if has_template(&text) => None,
        "postgresql" | "pgsql" => {
            loader
                .found
                .push(Diagnostic::error(&node.span, format!("unknown engine `{text}`")).help("write `postgres`"));
            None
        }
        _ => {
            let mut unknown = Diagnostic::error(&node.span, format!("unknown engine `{text}`"));
            let help = suggestion(&text, ["postgres", "sqlite", "mysql", "cassandra"]);
            unknown
                .help
                .push(help.unwrap_or_else(|| "there are postgres, cassandra and sqlite".to_owned()));
            loader.found.push(unknown);
            None
        }
    }
}

fn check_tls(loader: &mut Loader<'_>, node: &Node) {
    let Some(mut fields) = Fields::of(node, "`tls`", &mut loader.found) else {
        return;
    };
    if let Some(verify) = fields.node("verify") {
        match decode::text(verify) {
            Ok(word) if has_template(&word) || ["none", "ca", "full"].contains(&word.as_str()) => {}
            Ok(word) => loader.found.push(
                Diagnostic::error(&verify.span, format!("`verify` cannot be `{word}`"))
                    .help("it is `full` (the default), `ca` or `none`"),
            ),
            Err(wrong) => loader.found.push(wrong),
        }
    }
    for key in ["ca", "cert", "key"] {
        fields.get(key, decode::text, &mut loader.found);
    }
    fields.finish(&mut loader.found);
}

/// Where the password of a database comes from: `{file | env | prompt | command: TEXT}` as `load` checked it; None for
/// a template.
pub(crate) fn password_source(node: &Node, folder: &std::path::Path) -> Option<SecretSource> {
    let [(key, value)] = node.as_map()? else { return None };
    let text = value.text.clone()?;
    match key.text.as_deref()? {
        "file" => Some(SecretSource::File(folder.join(text))),
        "env" => Some(SecretSource::Env(text)),
        "prompt" => Some(SecretSource::Prompt(text)),
        "command" => Some(SecretSource::Command(text)),
        _ => None,
    }
}
