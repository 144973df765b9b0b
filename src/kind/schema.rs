//! Brings a database's schema to a version.
//!
//!     - schema: { database: main, dir: schema/postgresql/v12/temporal/versioned, to: "1.19" }
//!
//! `dir` is on the controller and has Temporal's layout: `v1.0/manifest.json`, `v1.1/manifest.json` …, each naming the SQL
//! files of its version. `database` is a name of the playbook's `databases`. All versions after the database's own up to
//! `to` are applied, in their order. `schema_version` and `schema_update_history` are kept as Temporal's own tools keep them;
//! where they are missing from an empty database they are made first. Statements begin with CREATE, ALTER, INSERT, DROP or DO.
//!
//! PostgreSQL is reached from the controller, or through the ssh of a host (`via` of the database: a host, or a group,
//! which means its first host); TLS verifies `host` of the database either way. The statements of a version share one transaction with its record, as far as
//! a transaction can hold them; `CONCURRENTLY` stands alone, is looked up afterwards, and an index that is invalid is
//! dropped and built again. A lock that cannot be had is tried again, with whoever is in the way shown. After a crash the
//! database says what is done. A standby, a user that only reads and a pooler of transactions are refused, and so are the
//! directory of another store, a version that is missing from the chain, and a manifest that changed since it was applied.
//!
//! SQLite is a file on the host, which needs `sqlite3`; a whole version is one transaction. A new file belongs to the step's
//! account, and its folder must be there.
//!
//! With `tool`, Temporal's own program on the step's host does it, of the release that is to run; for Cassandra there is
//! no other way:
//!
//!     - schema: { database: main, tool: /opt/temporal/temporal-sql-tool, schema_name: postgresql/v12/temporal, to: "1.19" }
//!     - schema: { database: cassandra, tool: /opt/temporal/temporal-cassandra-tool, schema_name: cassandra/temporal, to: "1.13" }
//!
//! `schema_name` is a schema inside the program (1.23 and later), `dir` a directory on that host. Address, account,
//! password and TLS come from `databases` and become flags of that release; the password and the files of TLS reach the
//! program by its environment and by files that are removed at its end. What else the program knows stands in `options`:
//! connect-attributes, tls-server-name, tls-disable-host-verification; for Cassandra also timeout, datacenter,
//! allowed-authenticators, disable-initial-host-lookup, address-translator and address-translator-options. Releases before
//! 1.29 do not say which they are: `tool_version` does.
//!
//! The tool is not believed. Before it changes anything it is asked which version it finds; a SQL database is asked by
//! the controller too, before and after, and held by the same lock as without `tool`. Cassandra's nodes have to be there
//! and to agree on their schema before and after, which `nodetool` on that host says; it has no lock, so the step has to
//! be `run_once`. The log stays on the host. Where the program dies half-way, the failure says which statements are done,
//! whether it can run again, and what to do where it cannot.
//!
//! The result has `from` and `to` (versions) and `applied` (a list of versions); with `tool` also `tool` (its release) and
//! `log` (its path on the host).

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::{
    Action, BoxFuture, Changing, Context, Decision, Done, DriveAction, Failure, Kind, Param, Params, Reading, Ty,
    Verdict, list,
};
use crate::database::{Database, Engine};
use crate::id::HostName;
use crate::schema;
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Schema;
pub(super) static KIND: Schema = Schema;

const PARAMS: &[Param] = &[
    Param::required("database", Ty::Text, "name of one of the playbook's `databases`"),
    Param::new(
        "dir",
        Ty::File,
        "folder that holds v1.0, v1.1 …: on the controller; with `tool`, on the host",
    ),
    Param::required("to", Ty::Version, "the version that it is brought to"),
    Param::new(
        "tool",
        Ty::Text,
        "path of temporal-sql-tool or temporal-cassandra-tool on the host",
    ),
    Param::new(
        "schema_name",
        Ty::Text,
        "with `tool`, instead of `dir`: a schema inside the program, as postgresql/v12/temporal",
    ),
    Param::new(
        "tool_version",
        Ty::Version,
        "the tool's release, where it does not say it (before 1.29)",
    ),
    Param::new(
        "options",
        Ty::Map,
        "with `tool`: flags of the tool beside the database's settings",
    ),
    Param::new(
        "nodetool",
        Ty::Text,
        "with `tool`: text that stands before nodetool's arguments; default nodetool",
    ),
];

/// The database that a parameter names; None where the name or the database is not known yet.
pub(super) fn database(params: &Params, context: &Context<'_>) -> Result<Option<Arc<Database>>, Diagnostic> {
    match params.text("database") {
        Some(name) => named(params, "database", &name, context),
        None => Ok(None),
    }
}

/// The database of this name, which the parameter `of` gave; None where it is not known yet.
pub(super) fn named(
    params: &Params,
    of: &str,
    name: &str,
    context: &Context<'_>,
) -> Result<Option<Arc<Database>>, Diagnostic> {
    if let Some(database) = context.databases.get(name) {
        return Ok(Some(Arc::clone(database)));
    }
    if context.database_names.iter().any(|known| known == name) {
        return Ok(None);
    }
    let error = params.error(of, format!("there is no database `{name}`"));
    let nearest = context
        .database_names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    Err(match nearest {
        Some((_, meant)) => error.help(format!("did you mean `{meant}`?")),
        None if context.database_names.is_empty() => error.help("the playbook has no `databases`"),
        None => error.help(format!("known: {}", context.database_names.join(", "))),
    })
}

mod tool;

/// `via` of the database.
fn ways(params: &Params, context: &Context<'_>) -> Vec<HostName> {
    let database = database(params, context).ok().flatten();
    database.and_then(|database| database.via.clone()).into_iter().collect()
}

struct Update {
    database: Arc<Database>,
    dir: PathBuf,
    to: String,
}

impl Update {
    async fn plan(&self, host: &dyn Reading) -> Result<schema::Plan, Failure> {
        let plan = schema::plan(&self.database, &self.dir, Some(&self.to), Some(host)).await?;
        schema::foresee(&plan, &self.database, host);
        Ok(plan)
    }
}

impl DriveAction for Update {
    fn check<'a>(&'a self, host: &'a dyn Reading) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(async move {
            let plan = self.plan(host).await?;
            let result = json!({"from": plan.from.as_str(), "to": plan.to.as_str(), "applied": plan.applied()});
            Ok(match plan.done() {
                true => Verdict::Same(result),
                false => Verdict::Differs {
                    predicted: result,
                    diff: Some(plan.to_string()),
                },
            })
        })
    }

    fn apply<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(schema::apply(&self.database, &self.dir, Some(&self.to), host))
    }

    fn settle<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Option<Done>, Failure>> {
        Box::pin(schema::settle(&self.database, &self.dir, Some(&self.to), host))
    }

    fn decides(&self) -> bool {
        true
    }

    fn decide<'a>(&'a self, host: &'a dyn Reading) -> BoxFuture<'a, Result<Option<Decision>, Failure>> {
        Box::pin(async move { Ok(Some(self.plan(host).await?.decision())) })
    }

    fn stop<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.database.engine == Engine::Postgres {
                // Whether it worked shows in what `settle` finds.
                let _ = schema::cancel(&self.database, host.tag(), host.reading()).await;
            }
        })
    }
}

impl Kind for Schema {
    fn name(&self) -> &'static str {
        "schema"
    }

    fn manual(&self) -> &'static str {
        list::manual!("schema.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["from", "to", "applied", "tool", "log"]
    }

    fn artefacts(&self, params: &Params, context: &Context<'_>) -> Vec<PathBuf> {
        match params.has("tool") {
            true => Vec::new(),
            false => params.files(PARAMS, context.folder),
        }
    }

    fn one_writer(&self, params: &Params) -> bool {
        params.has("tool")
    }

    fn ways(&self, params: &Params, context: &Context<'_>) -> Vec<HostName> {
        ways(params, context)
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        let database = match database(params, context) {
            Ok(database) => database,
            Err(diagnostic) => {
                found.push(diagnostic);
                None
            }
        };
        if params.has("tool") {
            found.extend(tool::lint(params, database.as_deref()));
            return found;
        }
        for name in ["schema_name", "tool_version", "options", "nodetool"] {
            if params.has(name) {
                let error = params.error(name, format!("`{name}` belongs to `tool`"));
                found.push(error.help("write `tool: PATH`: Temporal's own program on the host"));
            }
        }
        if database
            .as_ref()
            .is_some_and(|database| database.engine == Engine::Cassandra)
        {
            let error = params.error("database", schema::TOOL_ONLY);
            found.push(error.help(
                "write `tool: /opt/temporal/temporal-cassandra-tool` (its path on the step's host) and `schema_name: cassandra/temporal`",
            ));
            return found;
        }
        if !params.has("dir") {
            found.push(
                Diagnostic::error(&params.at, "`schema` needs `dir`")
                    .help("folder on the controller that holds v1.0, v1.1 …"),
            );
        }
        if let (Some(database), Some(dir)) = (database, params.file("dir", context.folder)) {
            let to = params.version("to");
            for (about_to, message) in schema::lint(&dir, database.engine, to.as_deref()) {
                found.push(params.error(if about_to { "to" } else { "dir" }, message));
            }
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let Some(database) = database(params, context)? else {
            return Err(params
                .error("database", "the database's settings are not known yet")
                .into());
        };
        if params.has("tool") {
            return Ok(Action::Drive(Box::new(tool::ByTool::new(database, params, context)?)));
        }
        let Some(dir) = params.file("dir", context.folder) else {
            return Err(params.error("dir", "`dir` has no value").into());
        };
        Ok(Action::Drive(Box::new(Update {
            database,
            dir,
            to: params.required_text("to")?,
        })))
    }
}

/// `refit schema status`: only looks. It stands in no playbook.
pub(super) struct Status;
pub(super) static STATUS: Status = Status;

const STATUS_PARAMS: &[Param] = &[
    Param::required("database", Ty::Text, "name of one of the playbook's `databases`"),
    Param::new("dir", Ty::File, "folder on the controller that holds v1.0, v1.1 …"),
    Param::new(
        "to",
        Ty::Version,
        "the version that it is compared with; default the newest",
    ),
];

struct Look {
    database: Arc<Database>,
    dir: Option<PathBuf>,
    to: Option<String>,
}

impl Look {
    async fn look(&self, host: &dyn Reading) -> Result<Done, Failure> {
        let status = schema::status(&self.database, Some(host)).await?;
        let mut text = status.to_string().trim_end().to_owned();
        let mut pending = json!(null);
        if let Some(dir) = &self.dir {
            // What is there is said even where the directory does not fit it.
            text.push_str(
                &match schema::plan(&self.database, dir, self.to.as_deref(), Some(host)).await {
                    Ok(plan) => {
                        pending = json!(plan.applied());
                        match plan.applied().as_slice() {
                            [] => format!("\n  pending up to {}: nothing", plan.to),
                            list => format!("\n  pending up to {}: {}", plan.to, list.join(", ")),
                        }
                    }
                    Err(e) => format!("\n  pending: {e}"),
                },
            );
        }
        Ok(Done {
            changed: false,
            result: json!({
                "msg": text,
                "server": status.server,
                "version": status.version.map(|version| version.to_string()),
                "history": status.history.iter().map(|(version, _)| version).collect::<Vec<_>>(),
                "pending": pending,
            }),
            diff: None,
            message: Some(text),
        })
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

impl Kind for Status {
    fn name(&self) -> &'static str {
        "schema"
    }

    fn manual(&self) -> &'static str {
        ""
    }

    fn params(&self) -> &'static [Param] {
        STATUS_PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["server", "version", "history", "pending"]
    }

    fn ways(&self, params: &Params, context: &Context<'_>) -> Vec<HostName> {
        ways(params, context)
    }

    fn reads_only(&self) -> bool {
        true
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Err(diagnostic) = database(params, context) {
            found.push(diagnostic);
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let Some(database) = database(params, context)? else {
            return Err(params
                .error("database", "the database's settings are not known yet")
                .into());
        };
        Ok(Action::Drive(Box::new(Look {
            database,
            dir: params.file("dir", context.folder),
            to: params.version("to"),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::trial::{Host, Place};

    #[test]
    fn mistakes_are_found_before_any_host_is_asked() {
        let host = Host::new();
        let mut place = Place::new("schema", host.folder.path());
        let database = Database {
            label: "main".into(),
            engine: Engine::Sqlite,
            host: String::new(),
            port: 0,
            name: String::new(),
            user: String::new(),
            password: None,
            tls: crate::database::Tls {
                verify: crate::database::Verify::None,
                ca: None,
                cert: None,
                key: None,
            },
            via: None,
            tunnel: None,
            path: "/var/lib/app.db".into(),
        };
        place.databases.insert("main".into(), Arc::new(database));
        let manifest = r#"{"CurrVersion":"1.0","MinCompatibleVersion":"1.0","SchemaUpdateCqlFiles":["a.sql","b.sql"]}"#;
        host.write("bad/v1.0/manifest.json", manifest, 0o644);
        host.write("bad/v1.0/a.sql", "SELECT 1", 0o644);
        host.write("good/v1.0/manifest.json", &manifest.replace(",\"b.sql\"", ""), 0o644);
        host.write("good/v1.0/a.sql", "CREATE TABLE a(i)", 0o644);
        for (given, expected) in [
            (
                json!({"database": "mian", "dir": "good", "to": "1.0"}),
                &["no database `mian`: did you mean `main`?"][..],
            ),
            (
                json!({"database": "main", "dir": "none", "to": "1.0"}),
                &["none: No such file"],
            ),
            (
                json!({"database": "main", "dir": "bad", "to": "1.0"}),
                &["v1.0: a.sql: `SELECT 1`", "v1.0: b.sql: No such file"],
            ),
            (
                json!({"database": "main", "dir": "good", "to": "1.1"}),
                &["no version 1.1; its newest is 1.0"],
            ),
            (
                json!({"database": "main", "dir": "good", "to": "new"}),
                &["`new` is no version"],
            ),
            (json!({"database": "main", "dir": "good"}), &["`schema` needs `to`"]),
        ] {
            let found = place.lint(&KIND, &given).join("\n");
            for words in expected {
                assert!(found.contains(words), "{given}: {found}");
            }
        }
        let tool = "/opt/temporal-cassandra-tool";
        let cassandra = Database {
            engine: Engine::Cassandra,
            host: "n1".into(),
            port: 9042,
            name: "temporal".into(),
            ..(*place.databases["main"]).clone()
        };
        place.databases.insert("nodes".into(), Arc::new(cassandra));
        for (given, expected) in [
            (json!({"database": "main", "to": "1.0"}), &["`schema` needs `dir`"][..]),
            (
                json!({"database": "main", "dir": "good", "to": "1.0", "options": {}, "nodetool": "x"}),
                &["`options` belongs to `tool`", "`nodetool` belongs to `tool`"],
            ),
            (
                json!({"database": "nodes", "dir": "good", "to": "1.0"}),
                &[
                    "by Temporal's own tool only",
                    "write `tool: /opt/temporal/temporal-cassandra-tool`",
                ],
            ),
            (
                json!({"database": "nodes", "tool": tool, "to": "1.13"}),
                &["`schema` needs one of `dir`, `schema_name`"],
            ),
            (
                json!({"database": "nodes", "tool": "temporal-cassandra-tool", "dir": "good", "to": "x",
                       "options": {"timeout": "long", "quiet": true}}),
                &[
                    "`temporal-cassandra-tool` must be absolute",
                    "`good` must be absolute",
                    "`x` is no version",
                    "`timeout` takes a number",
                    "`quiet` is no option",
                ],
            ),
            (
                json!({"database": "main", "tool": tool, "schema_name": "cassandra/temporal", "to": "1.13"}),
                &["do not update SQLite"],
            ),
        ] {
            let found = place.lint(&KIND, &given).join("\n");
            for words in expected {
                assert!(found.contains(words), "{given}: {found}");
            }
        }
        let given = json!({"database": "nodes", "tool": tool, "schema_name": "cassandra/temporal", "to": "1.13"});
        assert_eq!(place.lint(&KIND, &given), Vec::<String>::new());
        assert!(matches!(place.action(&KIND, &given), Action::Drive(_)));
        let given = json!({"database": "main", "dir": "good", "to": "1.0"});
        assert_eq!(place.lint(&KIND, &given), Vec::<String>::new());
        assert!(matches!(place.action(&KIND, &given), Action::Drive(_)));
    }
}
