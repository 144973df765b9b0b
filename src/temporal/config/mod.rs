//! The server's own configuration: what it says of stores, ports and clusters, and what a release makes of it.
//!
//! Pure: whoever asks brings the text of the files, of the unit and of the environment.

mod launch;
mod lint;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::json;

pub(crate) use launch::Launch;
pub(crate) use lint::{Change, Finding, lint};

use crate::yaml::{self, Diagnostic, Diagnostics, Node, Rules, Source, Span, Value};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) at: Span,
}

/// What Refit reads in a server's configuration. Passwords are not among it.
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    pub(crate) default: Option<StoreConfig>,
    pub(crate) visibility: Option<StoreConfig>,
    pub(crate) secondary_visibility: Option<StoreConfig>,
    pub(crate) shards: Option<Placed<i64>>,
    pub(crate) clusters: Clusters,
    /// By role.
    pub(crate) ports: IndexMap<String, Ports>,
    /// Do members speak TLS with each other?
    pub(crate) internode_tls: bool,
    /// Does the frontend speak TLS with clients?
    pub(crate) frontend_tls: bool,
    /// `enabled`, `disabled`, `paused`, or nothing.
    pub(crate) archival: Archival,
    root: Node,
}

/// A store by its entry in `persistence.datastores`.
#[derive(Clone, Debug)]
pub(crate) struct StoreConfig {
    pub(crate) name: Placed<String>,
    /// What `refit temporal path --store` takes: the `pluginName`, cassandra, elasticsearch; custom where it is none.
    pub(crate) store: Placed<String>,
    /// Database, keyspace, or index.
    pub(crate) database: Option<Placed<String>>,
    /// `host:port`; of Cassandra the list of hosts, with the port.
    pub(crate) address: Option<Placed<String>>,
    pub(crate) user: Option<String>,
    pub(crate) tls: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Clusters {
    pub(crate) current: Option<Placed<String>>,
    pub(crate) main: Option<Placed<String>>,
    /// Every cluster that it knows; more than one where clusters replicate.
    pub(crate) names: Vec<Placed<String>>,
    pub(crate) increment: Option<Placed<i64>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Ports {
    pub(crate) grpc: Option<u16>,
    pub(crate) membership: Option<u16>,
    pub(crate) http: Option<u16>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Archival {
    pub(crate) history: Option<Placed<String>>,
    pub(crate) visibility: Option<Placed<String>>,
}

impl ServerConfig {
    /// `{default, visibility, secondary_visibility, shards, clusters, ports, internode_tls, frontend_tls, archival}`; a
    /// store is `{name, store, database, address, user, tls}`.
    pub(crate) fn json(&self) -> serde_json::Value {
        let text = |placed: &Option<Placed<String>>| placed.as_ref().map(|placed| placed.value.clone());
        let int = |placed: &Option<Placed<i64>>| placed.as_ref().map(|placed| placed.value);
        let store = |store: &Option<StoreConfig>| {
            store.as_ref().map(|store| {
                json!({
                    "name": store.name.value, "store": store.store.value, "database": text(&store.database),
                    "address": text(&store.address), "user": store.user, "tls": store.tls,
                })
            })
        };
        let names: Vec<&str> = self.clusters.names.iter().map(|name| name.value.as_str()).collect();
        json!({
            "default": store(&self.default),
            "visibility": store(&self.visibility),
            "secondary_visibility": store(&self.secondary_visibility),
            "shards": int(&self.shards),
            "clusters": {
                "current": text(&self.clusters.current), "main": text(&self.clusters.main), "names": names,
                "increment": int(&self.clusters.increment),
            },
            "ports": self.ports,
            "internode_tls": self.internode_tls,
            "frontend_tls": self.frontend_tls,
            "archival": { "history": text(&self.archival.history), "visibility": text(&self.archival.visibility) },
        })
    }
}

/// Why a file is no configuration yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// `# enable-template`: the server renders it, from 1.28 on.
    Server,
    /// Rendered by another program (dockerize) before the server starts.
    Other,
}

/// Is this text a template? The server looks for its comment in the first KB.
pub(crate) fn template(text: &str) -> Option<Template> {
    if !text.contains("{{") {
        return None;
    }
    let first: Vec<&str> = text
        .split_inclusive('\n')
        .scan(0, |bytes, line| {
            *bytes += line.len();
            (*bytes <= 1024).then_some(line.trim())
        })
        .collect();
    let asked = first
        .iter()
        .any(|line| line.starts_with('#') && line.contains("enable-template"));
    Some(if asked { Template::Server } else { Template::Other })
}

/// Reads the files of a configuration, a later one over the ones before, as the server does with `base.yaml` and
/// `ENV.yaml`.
///
/// # Errors
/// A template (what to read instead is said), text that is no YAML, values of the wrong type.
pub(crate) fn read(sources: &[Arc<Source>]) -> Result<ServerConfig, Diagnostics> {
    let mut found = Diagnostics::default();
    let mut root: Option<Node> = None;
    for source in sources {
        if let Some(template) = template(&source.text) {
            found.push(is_template(source, template));
            continue;
        }
        match yaml::parse(source, Rules::Core) {
            Ok(node) => {
                root = Some(
                    root.take()
                        .map_or_else(|| node.clone(), |below| over(&below, &node, true)),
                )
            }
            Err(wrong) => found.extend(wrong),
        }
    }
    let Some(root) = root.filter(|_| !found.has_errors()) else {
        return Err(found);
    };
    if root.as_map().is_none() {
        let message = format!("a server's configuration is a mapping, found {}", root.kind_name());
        return Err(Diagnostic::error(&root.span, message).into());
    }
    let config = Reader { found }.config(root)?;
    Ok(config)
}

fn is_template(source: &Arc<Source>, template: Template) -> Diagnostic {
    let at = source.text.find("{{").unwrap_or_default();
    let (who, what) = match template {
        Template::Server => (
            "the server renders it at start",
            "read what `temporal-server … render-config` prints (1.28 and newer), with the environment of the service",
        ),
        Template::Other => (
            "another program, such as dockerize, renders it before the server starts",
            "read the file that it writes; the server itself renders only files with `# enable-template` in their first KB",
        ),
    };
    Diagnostic::error(
        &Span::new(source, at, at + 2),
        format!("this configuration is a template: {who}"),
    )
    .help(what)
}

/// Entries of these are replaced whole, as the server's own reader does with maps by name.
const BY_NAME: [&str; 3] = ["datastores", "services", "clusterInformation"];

fn over(below: &Node, above: &Node, deep: bool) -> Node {
    let (Some(lower), Some(upper)) = (below.as_map(), above.as_map()) else {
        return match above.value {
            Value::Null => below.clone(),
            _ => above.clone(),
        };
    };
    let mut entries = lower.to_vec();
    for (key, value) in upper {
        match entries.iter_mut().find(|(known, _)| known.text == key.text) {
            Some(entry) => {
                let name = key.text.as_deref().unwrap_or_default();
                let merged = match deep {
                    true => over(&entry.1, value, !BY_NAME.contains(&name)),
                    false => value.clone(),
                };
                *entry = (key.clone(), merged);
            }
            None => entries.push((key.clone(), value.clone())),
        }
    }
    Node {
        value: Value::Map(entries),
        ..above.clone()
    }
}

/// The node under a dotted path.
fn at<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
    let found = path.split('.').try_fold(node, |node, key| node.get(key))?;
    (!matches!(found.value, Value::Null)).then_some(found)
}

struct Reader {
    found: Diagnostics,
}

impl Reader {
    fn config(mut self, root: Node) -> Result<ServerConfig, Diagnostics> {
        let store = |reader: &mut Reader, key: &str| {
            let name = reader.text(&root, &format!("persistence.{key}"))?;
            reader.store(&root, name)
        };
        let default = store(&mut self, "defaultStore");
        let visibility = store(&mut self, "visibilityStore");
        let secondary_visibility = store(&mut self, "secondaryVisibilityStore");
        let group = |group: &str, server: &str| {
            let given = |key: &str| {
                at(&root, &format!("global.tls.{group}.{key}")).is_some_and(|node| match &node.value {
                    Value::Seq(items) => !items.is_empty(),
                    _ => node
                        .text
                        .as_deref()
                        .is_some_and(|text| !text.is_empty() && text != "false"),
                })
            };
            ["certFile", "certData"]
                .iter()
                .any(|key| given(&format!("{server}.{key}")))
        };
        let config = ServerConfig {
            shards: self.int(&root, "persistence.numHistoryShards"),
            clusters: Clusters {
                current: self.text(&root, "clusterMetadata.currentClusterName"),
                main: self.text(&root, "clusterMetadata.masterClusterName"),
                names: names(at(&root, "clusterMetadata.clusterInformation")),
                increment: self.int(&root, "clusterMetadata.failoverVersionIncrement"),
            },
            ports: self.ports(&root),
            internode_tls: group("internode", "server"),
            frontend_tls: group("frontend", "server"),
            archival: Archival {
                history: self.text(&root, "archival.history.state"),
                visibility: self.text(&root, "archival.visibility.state"),
            },
            default,
            visibility,
            secondary_visibility,
            root: root.clone(),
        };
        match self.found.has_errors() {
            true => Err(self.found),
            false => Ok(config),
        }
    }

    fn text(&mut self, root: &Node, path: &str) -> Option<Placed<String>> {
        let node = at(root, path)?;
        match (&node.value, &node.text) {
            (Value::Seq(_) | Value::Map(_), _) | (_, None) => {
                let message = format!("`{path}`: expected text, found {}", node.kind_name());
                self.found.push(Diagnostic::error(&node.span, message));
                None
            }
            (_, Some(text)) if text.is_empty() => None,
            (_, Some(text)) => Some(Placed {
                value: text.clone(),
                at: node.span.clone(),
            }),
        }
    }

    fn int(&mut self, root: &Node, path: &str) -> Option<Placed<i64>> {
        let node = at(root, path)?;
        match yaml::decode::int(node) {
            Ok(value) => Some(Placed {
                value,
                at: node.span.clone(),
            }),
            Err(wrong) => {
                self.found.push(yaml::decode::named(path, wrong));
                None
            }
        }
    }

    fn store(&mut self, root: &Node, name: Placed<String>) -> Option<StoreConfig> {
        let datastores = at(root, "persistence.datastores");
        let known = datastores.and_then(|node| node.get(&name.value));
        let Some(entry) = known else {
            let names = names(datastores);
            let mut missing = Diagnostic::error(&name.at, format!("no datastore `{}`", name.value));
            if let Some(help) = yaml::suggestion(&name.value, names.iter().map(|name| name.value.as_str())) {
                missing = missing.help(help);
            }
            self.found.push(missing);
            return None;
        };
        let place = |text: &str, node: &Node| Placed {
            value: text.to_owned(),
            at: node.span.clone(),
        };
        if let Some(sql) = at(entry, "sql") {
            let store = self.text(sql, "pluginName").unwrap_or_else(|| place("", sql));
            return Some(StoreConfig {
                name,
                store,
                database: self.text(sql, "databaseName"),
                address: self.text(sql, "connectAddr"),
                user: self.text(sql, "user").map(|user| user.value),
                tls: enabled(sql),
            });
        }
        if let Some(cassandra) = at(entry, "cassandra") {
            let port = self.int(cassandra, "port").map_or(9042, |port| port.value);
            let address = self.text(cassandra, "hosts").map(|hosts| Placed {
                value: hosts
                    .value
                    .split(',')
                    .map(|host| format!("{}:{port}", host.trim()))
                    .collect::<Vec<_>>()
                    .join(","),
                at: hosts.at,
            });
            return Some(StoreConfig {
                name,
                store: place("cassandra", cassandra),
                database: self.text(cassandra, "keyspace"),
                address,
                user: self.text(cassandra, "user").map(|user| user.value),
                tls: enabled(cassandra),
            });
        }
        if let Some(search) = at(entry, "elasticsearch") {
            return Some(StoreConfig {
                name,
                store: place("elasticsearch", search),
                database: self.text(search, "indices.visibility"),
                address: self.text(search, "url.host"),
                user: self.text(search, "username").map(|user| user.value),
                tls: self
                    .text(search, "url.scheme")
                    .is_some_and(|scheme| scheme.value == "https"),
            });
        }
        Some(StoreConfig {
            store: place("custom", entry),
            name,
            database: None,
            address: None,
            user: None,
            tls: false,
        })
    }

    fn ports(&mut self, root: &Node) -> IndexMap<String, Ports> {
        let mut ports = IndexMap::new();
        for (key, service) in at(root, "services").and_then(Node::as_map).unwrap_or_default() {
            let mut port = |path: &str| {
                let node = at(service, path)?;
                let port = self.int(service, path)?.value;
                if port == 0 {
                    return None;
                }
                let port = u16::try_from(port).ok();
                if port.is_none() {
                    self.found.push(Diagnostic::error(&node.span, "a port is 1 to 65535"));
                }
                port
            };
            let of_role = Ports {
                grpc: port("rpc.grpcPort"),
                membership: port("rpc.membershipPort"),
                http: port("rpc.httpPort"),
            };
            ports.insert(key.text.clone().unwrap_or_default(), of_role);
        }
        ports
    }
}

fn enabled(store: &Node) -> bool {
    at(store, "tls.enabled").is_some_and(|node| matches!(yaml::decode::boolean(node), Ok(true)))
}

fn names(node: Option<&Node>) -> Vec<Placed<String>> {
    let entries = node.and_then(Node::as_map).unwrap_or_default();
    let name = |(key, _): &(Node, Node)| Placed {
        value: key.text.clone().unwrap_or_default(),
        at: key.span.clone(),
    };
    entries.iter().map(name).collect()
}
