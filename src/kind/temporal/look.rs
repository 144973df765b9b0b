//! The look: every frontend, host and database is asked once.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::ask;
use super::host::{self, HostSays};
use super::members::Members;
use super::report::{Named, Report};
use super::stores;
use crate::database::{Database, Engine};
use crate::kind::{BoxFuture, Changing, Done, DriveAction, Failure, Reading, Verdict};
use crate::temporal::ANSWER;
use crate::temporal::catalog::{Catalog, Side};
use crate::temporal::config::{self, ServerConfig};
use crate::yaml::{Diagnostic, Source};

pub(super) struct Look {
    pub(super) members: Members,
    /// The default store, then visibility.
    pub(super) databases: Vec<(Side, Arc<Database>)>,
    pub(super) catalog: Catalog,
    /// The release to go to.
    pub(super) to: Option<String>,
    /// Show the whole table.
    pub(super) table: bool,
}

impl Look {
    async fn report(&self, host: &dyn Reading) -> Report<'_> {
        let frontends = async {
            let (seen, mut peers) = ask::frontends(&self.members, host, ANSWER).await;
            let cluster = ask::cluster(&seen, &mut peers).await;
            let others = ask::others(&mut peers).await;
            (seen, cluster, others)
        };
        let hosts = join_all(self.members.list.iter().map(|member| async move {
            let says = match host.probe_on(&member.name, &host::probe(member)).await {
                Ok(output) if output.rc == 0 => Ok(host::parse(&output, member.config.as_deref())),
                Ok(output) => Err(format!("exit status {}: {}", output.rc, output.stderr.trim())),
                Err(failure) => Err(failure.message),
            };
            (member.name.clone(), says)
        }));
        let databases = join_all(self.databases.iter().map(|(side, database)| async move {
            Named {
                label: database.label.clone(),
                side: *side,
                plugin: plugin(database.engine),
                name: database.name.clone(),
                store: stores::store(database, host).await,
            }
        }));
        let heartbeats = async {
            let default = self.databases.iter().find(|(side, _)| *side == Side::Default);
            match default {
                Some((_, database)) => stores::heartbeats(database, host).await,
                None => None,
            }
        };
        let ((seen, cluster, others), (hosts, (databases, heartbeats))) =
            join(frontends, join(hosts, join(databases, heartbeats))).await;
        let hosts: IndexMap<String, Result<HostSays, String>> = hosts.into_iter().collect();
        let configs = hosts
            .iter()
            .filter_map(|(host, says)| Some((host.clone(), configuration(says.as_ref().ok()?.config.as_deref()?))))
            .collect();
        Report {
            members: &self.members,
            catalog: &self.catalog,
            seen,
            cluster,
            others,
            hosts,
            databases,
            heartbeats,
            configs,
            to: self.to.as_deref(),
        }
    }

    async fn look(&self, host: &dyn Reading) -> Result<Done, Failure> {
        let report = self.report(host).await;
        let mut result = report.json();
        let path = self.to.as_ref().map(|to| report.path(to));
        let known = path.as_ref().and_then(|path| path.as_ref().ok());
        let text = match self.table {
            true => report.page(known),
            false => short(&result, known.map(|path| path.hops.len())),
        };
        result.insert("msg".into(), json!(text));
        result.insert("path".into(), known.map_or(json!([]), |path| json!(path.hops)));
        match path {
            Some(Err(why)) => Err(Failure::new(why).with(Value::Object(result))),
            _ if self.to.is_none() && !self.table && report.version().is_none() => {
                let why = "no frontend answers, and no host has a program that says its version";
                Err(Failure::new(why).with(Value::Object(result)))
            }
            _ => Ok(Done {
                changed: false,
                result: Value::Object(result),
                diff: None,
                message: Some(text),
            }),
        }
    }
}

/// Only messages are taken over: an excerpt of the file could show a password.
fn configuration(text: &str) -> Result<ServerConfig, String> {
    config::read(&[Source::new("configuration", text)]).map_err(|wrong| {
        let one = |one: Diagnostic| [vec![one.message], one.help].concat().join(": ");
        wrong.into_iter().map(one).collect::<Vec<_>>().join("; ")
    })
}

/// One line: what runs, how far it is, what is wrong.
fn short(result: &serde_json::Map<String, Value>, hops: Option<usize>) -> String {
    let mut parts = vec![format!(
        "runs {}",
        result["version"].as_str().unwrap_or("nothing that is known")
    )];
    parts.extend(result["shards"]["text"].as_str().map(str::to_owned));
    for (label, schema) in result["schema"].as_object().into_iter().flatten() {
        parts.push(format!("{label} {}", schema["version"].as_str().unwrap_or("unknown")));
    }
    parts.extend(hops.map(|hops| match hops {
        1 => "1 hop to go".to_owned(),
        hops => format!("{hops} hops to go"),
    }));
    let warnings = result["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.extend(
        warnings
            .iter()
            .filter_map(Value::as_str)
            .map(|text| format!("note: {text}")),
    );
    parts.join("; ")
}

/// The store that an engine means today.
fn plugin(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgres12",
        Engine::Mysql => "mysql8",
        Engine::Sqlite => "sqlite",
        Engine::Cassandra => "cassandra",
    }
}

impl DriveAction for Look {
    fn check<'a>(&'a self, host: &'a dyn Reading) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(async move { Ok(Verdict::Same(self.look(host).await?.result)) })
    }

    fn apply<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(self.look(host.reading()))
    }

    fn reads_only(&self) -> bool {
        true
    }
}

/// The team's catalog over the shipped one.
pub(super) fn catalog(file: Option<PathBuf>) -> Result<Catalog, crate::yaml::Diagnostics> {
    match file {
        None => Ok(Catalog::shipped()),
        Some(file) => Catalog::extended(&crate::yaml::read(&file)?),
    }
}
