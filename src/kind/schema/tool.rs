//! `tool`: Temporal's own program does it.

use std::sync::Arc;

use serde_json::{Map, json};

use super::super::{
    BoxFuture, Changing, Context, Decision, Done, DriveAction, Failure, Params, Reading, Verdict, process, sh,
};
use crate::database::{Database, Engine};
use crate::schema;
use crate::schema::tool::{Place, Request, Tool, lint_database, lint_options, lint_place};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) fn lint(params: &Params, database: Option<&Database>) -> Diagnostics {
    let mut found = process::one_of(params, "schema", &["dir", "schema_name"]);
    found.extend(params.refuse_secrets(&["tool", "dir", "schema_name", "tool_version", "options", "nodetool"]));
    let mut wrong = |name: &str, (message, help): (String, String)| {
        let error = params.error(name, message);
        found.push(match help.is_empty() {
            true => error,
            false => error.help(help),
        });
    };
    if let Some(tool) = params.text("tool") {
        if tool.split_whitespace().any(|word| word.starts_with('-')) {
            let message = "`tool` is the program's path, without flags".to_owned();
            let help = "address, account and TLS come from `databases`, the rest stands in `options`";
            wrong("tool", (message, help.to_owned()));
        } else if !tool.starts_with('/') && !tool.starts_with("~/") {
            wrong(
                "tool",
                (format!("`{tool}` must be absolute: it is on the host"), String::new()),
            );
        }
    }
    if let Some(dir) = params
        .text("dir")
        .filter(|dir| !dir.starts_with('/') && !dir.starts_with("~/"))
    {
        let message = format!("`{dir}` must be absolute: with `tool` the directory is on the host");
        wrong("dir", (message, String::new()));
    }
    for name in ["to", "tool_version"] {
        if let Some(text) = params
            .version(name)
            .filter(|text| schema::Version::parse(text).is_none())
        {
            wrong(name, (format!("`{text}` is no version (1.10)"), String::new()));
        }
    }
    if let Some(options) = params.map("options") {
        lint_options(options, database)
            .into_iter()
            .for_each(|one| wrong("options", one));
    }
    if params.text("nodetool").is_some_and(|text| text.trim().is_empty()) {
        wrong("nodetool", ("`nodetool` is empty".to_owned(), String::new()));
    }
    let Some(database) = database else { return found };
    lint_database(database)
        .into_iter()
        .for_each(|one| wrong("database", one));
    for name in ["dir", "schema_name"] {
        if let Some(text) = params.text(name)
            && let Some(one) = lint_place(database, &text, name == "schema_name")
        {
            wrong(name, one);
        }
    }
    if params.has("nodetool") && database.engine != Engine::Cassandra {
        let message = format!(
            "`nodetool` is Cassandra's, and the database is {}",
            database.engine.word()
        );
        wrong("nodetool", (message, String::new()));
    }
    found
}

pub(super) struct ByTool {
    database: Arc<Database>,
    tool: Tool,
}

impl ByTool {
    pub(super) fn new(database: Arc<Database>, params: &Params, context: &Context<'_>) -> Result<ByTool, Diagnostic> {
        let place = match params.text("schema_name") {
            Some(name) => Place::Embedded(name),
            None => Place::Dir(params.required_text("dir")?),
        };
        let request = Request {
            database: Arc::clone(&database),
            program: params.required_text("tool")?,
            place,
            to: params.required_text("to")?,
            release: params.version("tool_version"),
            options: params.map("options").cloned().unwrap_or_else(Map::new),
            nodetool: params.text("nodetool").unwrap_or_else(|| "nodetool".to_owned()),
            environment: sh::environment(context),
        };
        Ok(ByTool {
            database,
            tool: Tool::new(request),
        })
    }
}

impl DriveAction for ByTool {
    fn check<'a>(&'a self, host: &'a dyn Reading) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(async move {
            let outlook = self.tool.outlook(host).await?;
            let mut result = json!({
                "from": outlook.from.as_ref().map_or("", |from| from.as_str()), "to": outlook.to.as_str(), "applied": [],
                "tool": outlook.release, "log": "",
            });
            Ok(match outlook.done() {
                true => {
                    result["msg"] = format!("no schema change: {} is at {}", self.database.label, outlook.to).into();
                    Verdict::Same(result)
                }
                false => Verdict::Differs {
                    predicted: result,
                    diff: Some(outlook.to_string()),
                },
            })
        })
    }

    fn apply<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(self.tool.apply(host))
    }

    fn settle<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Option<Done>, Failure>> {
        Box::pin(self.tool.settle(host))
    }

    fn decides(&self) -> bool {
        true
    }

    fn decide<'a>(&'a self, host: &'a dyn Reading) -> BoxFuture<'a, Result<Option<Decision>, Failure>> {
        Box::pin(async move { Ok(Some(self.tool.outlook(host).await?.decision())) })
    }

    fn stop<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.database.engine == Engine::Postgres {
                // The job has the same limit and ends the tool; this ends the statement that goes on in the server.
                let _ = schema::cancel(&self.database, host.tag(), host.reading()).await;
            }
        })
    }
}
