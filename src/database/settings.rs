//! What a playbook says of a database.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::id::HostName;
use crate::job::Tunnel;
use crate::secret::Secret;
use crate::tls::{Tls, Verify};
use crate::yaml::{Diagnostic, Diagnostics, Node, Span};

/// One entry of `databases:`, rendered and decoded for one host.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// The playbook's name for it.
    pub(crate) label: String,
    pub(crate) engine: Engine,
    /// PostgreSQL: where it listens; also the name that TLS verifies. A path is the folder of a unix socket.
    /// Cassandra: one or more nodes, with commas between them.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The database's own name, which is also the `db_name` of `schema_version`. SQLite: may be empty, and then the
    /// file's name without its extension stands for it. Cassandra: the keyspace.
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) tls: Tls,
    /// The host of the inventory whose ssh leads there; as decoded, it may be a group.
    pub(crate) via: Option<HostName>,
    /// Open, once the database was `reached` through `via`.
    pub(crate) tunnel: Option<Arc<Tunnel>>,
    /// SQLite: the file, on the host of the unit.
    pub(crate) path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
    /// Reached by the programs of a host only: Temporal's own tool and `nodetool`.
    Cassandra,
}

impl Engine {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::Sqlite => "sqlite",
            Engine::Cassandra => "cassandra",
        }
    }
}

const KEYS: [&str; 9] = [
    "engine", "host", "port", "name", "user", "password", "tls", "via", "path",
];

impl Database {
    /// Decodes an entry. `node` is the entry as written, for places; `value` is what it renders to. `password` is the
    /// resolved secret; None while there is none yet (lint). `folder` is where relative PEM files start from.
    pub(crate) fn decode(
        label: &str,
        node: &Node,
        value: &Value,
        password: Option<Secret>,
        folder: &Path,
    ) -> Result<Database, Diagnostics> {
        let mut entry = Entry {
            label,
            node,
            value,
            found: Diagnostics::default(),
        };
        let database = entry.database(password, folder);
        match database {
            Some(database) if !entry.found.has_errors() => Ok(database),
            _ => Err(entry.found),
        }
    }

    /// `HOST:PORT`, with `via HOST` where there is one, the socket's folder, or the file.
    pub(crate) fn place(&self) -> String {
        match self.engine {
            Engine::Sqlite => self.path.clone(),
            Engine::Postgres if self.host.starts_with('/') => self.host.clone(),
            Engine::Postgres | Engine::Cassandra => match &self.via {
                Some(via) => format!("{}:{} via {via}", self.host, self.port),
                None => format!("{}:{}", self.host, self.port),
            },
        }
    }
}

struct Entry<'a> {
    label: &'a str,
    node: &'a Node,
    value: &'a Value,
    found: Diagnostics,
}

impl Entry<'_> {
    fn database(&mut self, password: Option<Secret>, folder: &Path) -> Option<Database> {
        let label = self.label;
        let Some(map) = self.value.as_object() else {
            self.wrong(&self.node.span.clone(), format!("database `{label}` must be a mapping"));
            return None;
        };
        for key in map.keys() {
            if !KEYS.contains(&key.as_str()) {
                let error = Diagnostic::error(&self.key(key), format!("unknown key `{key}` in database `{label}`"));
                self.found.push(match nearest(key, &KEYS) {
                    Some(meant) => error.help(format!("did you mean `{meant}`?")),
                    None => error.help(format!("known: {}", KEYS.join(", "))),
                });
            }
        }
        let engine = match self.text("engine").as_deref() {
            Some("postgres" | "postgresql") => Engine::Postgres,
            Some("sqlite") => Engine::Sqlite,
            Some("cassandra") => Engine::Cassandra,
            Some(word @ ("mysql" | "mariadb")) => {
                let message = format!("engine `{word}` is known, not built yet");
                self.wrong(&self.key("engine"), message);
                return None;
            }
            Some(word) => {
                let error = Diagnostic::error(&self.key("engine"), format!("unknown engine `{word}`"));
                self.found.push(error.help("postgres, cassandra or sqlite"));
                return None;
            }
            None => {
                self.missing("engine", "postgres, cassandra or sqlite");
                return None;
            }
        };
        let mut database = Database {
            label: label.to_owned(),
            engine,
            host: String::new(),
            port: 0,
            name: self.text("name").unwrap_or_default(),
            user: String::new(),
            password: None,
            tls: Tls::new(Verify::None),
            via: None,
            tunnel: None,
            path: String::new(),
        };
        let foreign: &[&str] = match engine {
            Engine::Postgres => &["path"],
            Engine::Cassandra => &["path", "via"],
            Engine::Sqlite => &["host", "port", "user", "password", "tls", "via"],
        };
        for key in foreign.iter().filter(|key| map.contains_key(**key)) {
            let message = format!("`{key}` does not belong to a database of engine {}", engine.word());
            self.wrong(&self.key(key), message);
        }
        match engine {
            Engine::Sqlite => {
                database.path = self.required("path", "the file on the host");
                if !database.path.is_empty() && !database.path.starts_with('/') {
                    self.wrong(
                        &self.key("path"),
                        "`path` must be absolute: it is a file on the host".into(),
                    );
                }
            }
            Engine::Postgres => {
                database.host = self.required("host", "where it listens");
                database.port = self.port(5432);
                database.user = self.required("user", "the account that logs in");
                if database.name.is_empty() {
                    self.missing("name", "the database's own name");
                }
                database.password = self.password(password);
                database.tls = self.tls(folder, database.host.starts_with('/'));
                database.via = self.via(database.host.starts_with('/'));
            }
            Engine::Cassandra => {
                database.host = self.nodes();
                database.port = self.port(9042);
                // A cluster without authentication knows no accounts.
                database.user = self.text("user").unwrap_or_default();
                if database.name.is_empty() {
                    self.missing("name", "the keyspace");
                }
                database.password = self.password(password);
                database.tls = self.tls(folder, false);
            }
        }
        Some(database)
    }

    fn wrong(&mut self, at: &Span, message: String) {
        self.found.push(Diagnostic::error(at, message));
    }

    fn missing(&mut self, key: &str, what: &str) {
        let message = format!("database `{}` has no `{key}` ({what})", self.label);
        self.wrong(&self.node.span.clone(), message);
    }

    /// Where the value of a key stands; the entry where a template gave all of it.
    fn key(&self, key: &str) -> Span {
        self.node.get(key).map_or(&self.node.span, |node| &node.span).clone()
    }

    /// A scalar's text: numbers and booleans as they were written.
    fn text(&mut self, key: &str) -> Option<String> {
        match self.value.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Object(_) | Value::Array(_) => {
                let message = format!("`{key}` of database `{}` must be text", self.label);
                self.wrong(&self.key(key), message);
                None
            }
            other => Some(match self.node.get(key).and_then(|node| node.text.clone()) {
                Some(text) if !text.contains("{{") => text,
                _ => other.to_string(),
            }),
        }
    }

    fn required(&mut self, key: &str, what: &str) -> String {
        let text = self.text(key);
        let given = self.value.get(key).is_some_and(|value| !value.is_null());
        match text {
            Some(text) if text.is_empty() || text.chars().any(char::is_control) => {
                let message = format!(
                    "`{key}` of database `{}` is empty or holds control characters",
                    self.label
                );
                self.wrong(&self.key(key), message);
                String::new()
            }
            Some(text) => text,
            None => {
                if !given {
                    self.missing(key, what);
                }
                String::new()
            }
        }
    }

    /// Cassandra's `host`: a node, or some of them as a list or with commas.
    fn nodes(&mut self) -> String {
        let nodes: Vec<String> = match self.value.get("host") {
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().unwrap_or_default().trim().to_owned())
                .collect(),
            _ => {
                let text = self.required("host", "a node, or a list of nodes");
                if text.is_empty() {
                    return text;
                }
                text.split(',').map(|node| node.trim().to_owned()).collect()
            }
        };
        let plain = |node: &String| !node.is_empty() && !node.contains(|c: char| c == ',' || c.is_whitespace());
        if nodes.is_empty() || !nodes.iter().all(plain) {
            let message = format!("`host` of database `{}` must be a node, or a list of nodes", self.label);
            self.wrong(&self.key("host"), message);
        }
        nodes.join(",")
    }

    fn port(&mut self, usual: u16) -> u16 {
        let Some(text) = self.text("port") else { return usual };
        match text.parse() {
            Ok(port) if port > 0 => port,
            _ => {
                self.wrong(&self.key("port"), format!("`{text}` is no port"));
                usual
            }
        }
    }

    fn password(&mut self, resolved: Option<Secret>) -> Option<Secret> {
        match self.value.get("password") {
            None | Some(Value::Null) => resolved,
            Some(Value::Object(map)) => {
                let known = ["file", "env", "prompt", "command"];
                if map.len() != 1 || !map.keys().all(|key| known.contains(&key.as_str())) {
                    let error = Diagnostic::error(&self.key("password"), "a password comes from one place");
                    self.found
                        .push(error.help("write { file: PATH }, { env: NAME }, { prompt: TEXT } or { command: TEXT }"));
                }
                resolved
            }
            Some(_) if resolved.is_some() => resolved,
            Some(_) => {
                let error = Diagnostic::error(&self.key("password"), "a password does not stand in a playbook");
                self.found.push(error.help("write { file: PATH }, { env: NAME }, { prompt: TEXT } or { command: TEXT }, or use an entry of `secrets`"));
                None
            }
        }
    }

    fn via(&mut self, socket: bool) -> Option<HostName> {
        let text = self.text("via")?;
        let at = self.key("via");
        if socket {
            let error = Diagnostic::error(&at, "a tunnel leads to a host and a port, and `host` is a unix socket");
            self.found
                .push(error.help("name in `host` what the host of `via` calls the server: localhost"));
        }
        match HostName::new(&text) {
            Ok(name) => Some(name),
            Err(e) => {
                self.wrong(&at, e.to_string());
                None
            }
        }
    }

    fn tls(&mut self, folder: &Path, socket: bool) -> Tls {
        let default = if socket { Verify::None } else { Verify::Full };
        let at = self.key("tls");
        match self.value.get("tls") {
            None | Some(Value::Null) => Tls::new(default),
            Some(value) => Tls::decode(value, self.node.get("tls"), &at, folder, default, &[], &mut self.found),
        }
    }
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), *k))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, k)| k)
}
