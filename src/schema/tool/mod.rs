//! The *tool* way: `update-schema` of Temporal's own temporal-sql-tool or temporal-cassandra-tool, as a job on a host.
//!
//! The tool is never believed. Before it changes anything it is asked, with the same flags, which version it finds; on
//! SQL the controller asks the database itself, before and after. Its log stays on the host and says how far it came.

mod flags;
mod ledger;
mod log;
mod replay;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;
use serde_json::{Value, json};

pub(crate) use flags::{lint_database, lint_options, lint_place};
use ledger::Held;
use log::Log;

use super::{SchemaError, Version};
use crate::database::{Database, Engine};
use crate::event::{Segment, SegmentState};
use crate::job::{Changing, Decision, Done, Failure, Job, Output, Probe, Reading};

const FUNCTIONS: &str = include_str!("tool.sh");

/// How long the look before may take: two starts of Java, and the tool's wait for a database.
const LOOK: std::time::Duration = std::time::Duration::from_secs(150);

/// Which database the tool speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    Postgres,
    Mysql,
    Cassandra,
}

impl Plugin {
    fn of(database: &Database) -> Result<Plugin, String> {
        match database.engine {
            Engine::Postgres => Ok(Plugin::Postgres),
            Engine::Mysql => Ok(Plugin::Mysql),
            Engine::Cassandra => Ok(Plugin::Cassandra),
            Engine::Sqlite => Err("Temporal's tools do not update SQLite; leave `tool` out".into()),
        }
    }

    /// As the program calls itself.
    fn program(self) -> &'static str {
        match self {
            Plugin::Cassandra => "temporal-cassandra-tool",
            _ => "temporal-sql-tool",
        }
    }

    /// Schemas inside the program, since 1.23.
    fn schema_names(self) -> &'static [&'static str] {
        match self {
            Plugin::Postgres => &["postgresql/v12/temporal", "postgresql/v12/visibility"],
            Plugin::Mysql => &["mysql/v8/temporal", "mysql/v8/visibility"],
            Plugin::Cassandra => &["cassandra/temporal"],
        }
    }
}

/// Where the tool takes the versions from.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A directory on the host that holds v1.0, v1.1 …
    Dir(String),
    /// A schema inside the program.
    Embedded(String),
}

/// What a step asks of the tool.
pub(crate) struct Request {
    pub(crate) database: Arc<Database>,
    /// The program's path on the host, absolute or `~/…`.
    pub(crate) program: String,
    pub(crate) place: Place,
    pub(crate) to: String,
    /// The release, where the program does not say it.
    pub(crate) release: Option<String>,
    /// Options of the tool beside the database's settings, as the step names them.
    pub(crate) options: serde_json::Map<String, Value>,
    /// Text before our arguments.
    pub(crate) nodetool: String,
    /// Variables of the step's process.
    pub(crate) environment: IndexMap<String, String>,
}

pub(crate) struct Tool {
    asked: Request,
    /// What the last look found: the engine looks right before it applies.
    seen: Mutex<Option<Look>>,
}

/// The program that is there, and what it is given beside the database's settings.
#[derive(Clone, Debug)]
struct Program {
    release: Version,
    options: IndexMap<String, Value>,
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.release.fmt(f)
    }
}

/// What a look found.
#[derive(Clone, Debug)]
struct Look {
    release: Program,
    now: Version,
}

/// What the step would do, for the plan.
pub(crate) struct Outlook {
    /// None: nobody can ask Cassandra before its tool is there.
    pub(crate) from: Option<Version>,
    pub(crate) to: Version,
    /// Empty where the program is not there yet.
    pub(crate) release: String,
    /// `temporal-sql-tool 1.31.5`.
    by: String,
    label: String,
    missing: Option<String>,
}

impl Outlook {
    /// Nothing to do.
    pub(crate) fn done(&self) -> bool {
        self.from.as_ref() == Some(&self.to) && self.missing.is_none()
    }

    pub(crate) fn decision(&self) -> Decision {
        Decision {
            about: format!("database {}", self.label),
            from: self.from.as_ref().map(Version::to_string),
            to: self.to.to_string(),
            changes: !self.done(),
            versions: Vec::new(),
            statements: 0,
            cautions: Vec::new(),
        }
    }
}

impl std::fmt::Display for Outlook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = self.from.as_ref().map_or("?", Version::as_str);
        writeln!(f, "{}: {from} to {} by {}", self.label, self.to, self.by)?;
        match &self.missing {
            Some(missing) => writeln!(f, "! {missing}"),
            None => Ok(()),
        }
    }
}

impl Tool {
    pub(crate) fn new(asked: Request) -> Tool {
        Tool {
            asked,
            seen: Mutex::new(None),
        }
    }

    fn plugin(&self) -> Result<Plugin, SchemaError> {
        Plugin::of(&self.asked.database).map_err(|what| self.unfit(what))
    }

    fn target(&self) -> Result<Version, SchemaError> {
        Version::parse(&self.asked.to).ok_or_else(|| self.unfit(format!("`{}` is no version (1.10)", self.asked.to)))
    }

    fn unfit(&self, what: String) -> SchemaError {
        SchemaError::Unfit {
            label: self.asked.database.label.clone(),
            what,
        }
    }

    fn failed(&self, what: String) -> SchemaError {
        SchemaError::Failed {
            label: self.asked.database.label.clone(),
            what,
        }
    }

    /// Looks, and changes nothing: the program and its release, the directory, Cassandra's nodes, the version that the
    /// tool finds and the one that the database says. An earlier step may still bring the program, and what an earlier
    /// step will have made of the schema stands in for what is there.
    pub(crate) async fn outlook(&self, host: &dyn Reading) -> Result<Outlook, SchemaError> {
        let plugin = self.plugin()?;
        let to = self.target()?;
        *self.seen() = None;
        let release = match self.ask_release(host, plugin).await? {
            Ok(release) => release,
            Err(missing) => {
                return Ok(Outlook {
                    from: match plugin {
                        Plugin::Cassandra => None,
                        _ => Some(ledger::version(&self.asked.database, host).await?),
                    },
                    to,
                    by: plugin.program().to_owned(),
                    release: String::new(),
                    label: self.asked.database.label.clone(),
                    missing: Some(missing),
                });
            }
        };
        let now = self.look(host, plugin, &release).await?;
        let fact = super::apply::fact(&self.asked.database);
        let expected = host.foreseen(&fact).and_then(|value| Version::parse(value.as_str()?));
        let from = expected.unwrap_or_else(|| now.clone());
        if from > to {
            let what = format!("its schema is at {from}, newer than {to}; there is no way down");
            return Err(self.unfit(what));
        }
        if from < to {
            host.foresee(fact, json!(to.as_str()));
        }
        *self.seen() = Some(Look {
            release: release.clone(),
            now,
        });
        Ok(Outlook {
            from: Some(from),
            to,
            by: format!("{} {release}", plugin.program()),
            release: release.to_string(),
            label: self.asked.database.label.clone(),
            missing: None,
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Look>> {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn look(&self, host: &dyn Reading, plugin: Plugin, release: &Program) -> Result<Version, SchemaError> {
        let mut text = self.prelude(plugin, release)?;
        if let Place::Dir(dir) = &self.asked.place {
            let dir = path_word(dir);
            text +=
                &format!("dir={dir}\n[ -d \"$dir\" ] || echo \"problem=there is no directory $dir on this host\"\n");
            text += &format!(
                "[ ! -d \"$dir\" ] || [ -f \"$dir\"/v{to}/manifest.json ] || echo \"problem=$dir has no version {to}; is it the \
                 directory of the release that is to run?\"\n",
                to = self.target()?
            );
        }
        if plugin == Plugin::Cassandra {
            text += &format!(
                "command -v {} >/dev/null 2>&1 || echo \"problem=nodetool is not on this host: nothing else says whether all nodes \
                 are there and agree; run the step on a node, or say in `nodetool` how it is called\"\n",
                first(&self.asked.nodetool)
            );
            text += "agreed || echo \"problem=$trouble\"\n";
        }
        text += "ask\nprintf 'version=%s\\nask_trouble=%s\\n' \"$version\" \"$ask_trouble\"\nexit 0\n";
        let report = Report::read(&self.probe(host, text).await?);
        if let Some(problem) = report.first("problem") {
            return Err(self.unfit(format!("nothing was changed: {problem}")));
        }
        let finds = report.version("version").ok_or_else(|| {
                let trouble = report.get("ask_trouble");
                let help = match trouble {
                    _ if trouble.contains("no rows in result set") => {
                        ": schema_version has no row of this name; a new database is set up with the tool's `setup-schema -v 0.0`"
                    }
                    _ if trouble.contains("keyspace") || trouble.contains("not found") => ": is it set up (`setup-schema -v 0.0`)?",
                    _ if trouble.contains("no usable database connection found") || trouble.contains("no connections were made") => {
                        ": address, password or TLS is wrong, or this host may not reach it"
                    }
                    _ => "",
                };
                self.failed(format!("{} cannot read its schema version: {trouble}{help}", self.asked.program))
            })?;
        if plugin != Plugin::Cassandra {
            let says = ledger::version(&self.asked.database, host).await?;
            if says != finds {
                return Err(self.unfit(format!(
                    "the tool on the host finds version {finds} and the controller {says}: `{}` is another server there than here",
                    self.asked.database.place()
                )));
            }
        }
        Ok(finds)
    }

    /// The release that the program is of; Ok(Err): it is not there.
    async fn ask_release(&self, host: &dyn Reading, plugin: Plugin) -> Result<Result<Program, String>, SchemaError> {
        let text = format!(
            "tool={}\nif [ -f \"$tool\" ] && [ -x \"$tool\" ]; then\n  printf 'said=%s\\n' \"$(\"$tool\" --version 2>&1 </dev/null | head -n 1)\"\n\
             else\n  echo \"problem=there is no program $tool on this host\"\nfi\nexit 0\n",
            path_word(&self.asked.program)
        );
        let report = Report::read(&self.probe(host, text).await?);
        if let Some(problem) = report.first("problem") {
            return Ok(Err(problem.to_owned()));
        }
        let release = self.release_of(plugin, report.get("said"))?;
        let mut options = flags::named(&self.asked.options);
        if ledger::mariadb(&self.asked.database, host).await? {
            let visibility = matches!(&self.asked.place, Place::Embedded(name) if name.ends_with("/visibility"));
            if visibility {
                let what = "MariaDB cannot hold Temporal's visibility (its version 1.2 fails); MySQL, PostgreSQL or Elasticsearch can";
                return Err(self.unfit(what.to_owned()));
            }
            flags::for_mariadb(&mut options);
        }
        Ok(Ok(Program { release, options }))
    }

    fn release_of(&self, plugin: Plugin, said: &str) -> Result<Version, SchemaError> {
        let (program, wanted) = (&self.asked.program, plugin.program());
        let known = ["temporal-sql-tool", "temporal-cassandra-tool"];
        let words: Vec<&str> = said.split_whitespace().collect();
        let (name, version) = match words[..] {
            [name, "version", version] if known.contains(&name) => (name, version),
            _ => return Err(self.unfit(format!("{program} is no schema tool of Temporal; it says: {said}"))),
        };
        if name != wanted {
            let engine = self.asked.database.engine.word();
            return Err(self.unfit(format!(
                "{program} is {name}, and the database is {engine}: take {wanted}"
            )));
        }
        let says = Version::parse(version).filter(|says| *says >= Version::parse("1.29").unwrap_or(Version::zero()));
        let told = self.asked.release.as_deref().and_then(Version::parse);
        match (says, told) {
            (Some(says), Some(told)) if says != told => Err(self.unfit(format!(
                "{program} is of release {says}, and `tool_version` says {told}"
            ))),
            (Some(says), _) => Ok(says),
            (None, Some(told)) if flags::before(&told, "1.29") => Ok(told),
            (None, Some(told)) => Err(self.unfit(format!(
                "{program} says {version}, as releases before 1.29 do, and `tool_version` says {told}"
            ))),
            (None, None) => Err(self.unfit(format!(
                "{program} says {version}, as all releases before 1.29 do: write the release in `tool_version`"
            ))),
        }
    }

    async fn probe(&self, host: &dyn Reading, script: String) -> Result<Output, SchemaError> {
        let probe = Probe {
            script,
            environment: self.variables()?,
            timeout: Some(LOOK),
        };
        let output = host.probe(&probe).await?;
        match output.rc {
            0 => Ok(output),
            _ => Err(self.failed(last_line(&output.stderr).to_owned())),
        }
    }

    /// Password and files of TLS, which stand in no script.
    fn variables(&self) -> Result<IndexMap<String, String>, SchemaError> {
        let mut all = self.asked.environment.clone();
        if let Some(password) = &self.asked.database.password {
            let name = match self.plugin()? {
                Plugin::Cassandra => "CASSANDRA_PASSWORD",
                _ => "SQL_PASSWORD",
            };
            all.insert(name.to_owned(), password.reveal().to_owned());
        }
        let tls = &self.asked.database.tls;
        for (name, path) in [
            ("REFIT_TLS_CA", &tls.ca),
            ("REFIT_TLS_CERT", &tls.cert),
            ("REFIT_TLS_KEY", &tls.key),
        ] {
            if let Some(path) = path {
                all.insert(name.to_owned(), self.pem(path)?);
            }
        }
        Ok(all)
    }

    fn pem(&self, path: &PathBuf) -> Result<String, SchemaError> {
        let text = std::fs::read_to_string(path).map_err(|e| self.unfit(format!("{}: {e}", path.display())))?;
        // A variable holds 128 kB on Linux; bundles of all public CAs are larger.
        match text.len() {
            0..100_000 => Ok(text),
            _ => Err(self.unfit(format!(
                "{}: larger than 100 kB; name the CA's own file",
                path.display()
            ))),
        }
    }

    /// Functions, `tool` with its flags and `nodetool`, and the files ready.
    fn prelude(&self, plugin: Plugin, program: &Program) -> Result<String, SchemaError> {
        let Program { release, options } = program;
        if let (Place::Embedded(_), true) = (&self.asked.place, flags::before(release, "1.23")) {
            let what = format!("{release} has no embedded schemas (they came with 1.23): write `dir`");
            return Err(self.unfit(what));
        }
        let global = flags::global(&self.asked.database, plugin, release, options).map_err(|what| self.unfit(what))?;
        Ok(format!(
            "{FUNCTIONS}tool() {{ {}{global} \"$@\"; }}\nnodetool() {{ {} \"$@\"; }}\nprepare\n",
            path_word(&self.asked.program),
            self.asked.nodetool
        ))
    }

    /// The job: Cassandra's nodes are looked at again, since the job may begin long after the look.
    fn job(&self, plugin: Plugin, release: &Program, tag: &str) -> Result<Job, SchemaError> {
        let from = match &self.asked.place {
            Place::Dir(dir) => format!("-d {}", path_word(dir)),
            Place::Embedded(name) => format!("-s {}", flags::word(name)),
        };
        let mut text = self.prelude(plugin, release)?;
        if plugin == Plugin::Cassandra {
            text += "agreed || die \"nothing was changed: $trouble\"\n";
        }
        text += "log=$REFIT_STATE/jobs/$REFIT_JOB.log\n";
        text += &format!(
            "(umask 077; : >\"$log\") || die \"cannot write $log\"\n\
             tool update-schema -v {} {from} >\"$log\" 2>&1 </dev/null\n\
             printf 'rc=%s\\nlog=%s\\n' \"$?\" \"$log\"\n",
            flags::word(&self.asked.to)
        );
        if plugin == Plugin::Cassandra {
            text += "settled\nprintf 'trouble=%s\\n' \"$trouble\"\nask\nprintf 'version=%s\\nask_trouble=%s\\n' \"$version\" \"$ask_trouble\"\n";
        }
        text += "echo raw\ntail -c 200000 \"$log\"\nexit 0\n";
        let mut job = Job::new(text);
        job.environment = self.variables()?;
        if plugin == Plugin::Postgres {
            // By this name its sessions are found: a statement goes on in the server when the tool is killed.
            job.environment.insert("PGAPPNAME".into(), format!("refit:{tag}"));
        }
        Ok(job)
    }

    /// The segment that announces the tool in this attempt, with the version that it began from.
    fn announced(&self, host: &dyn Changing) -> Option<Version> {
        let segments = host.segments();
        let ours = segments
            .iter()
            .find_map(|segment| segment.digest.strip_prefix(host.tag()));
        Version::parse(ours?.trim_start_matches(" from "))
    }

    pub(crate) async fn apply(&self, host: &dyn Changing) -> Result<Done, Failure> {
        if let Some(from) = self.announced(host) {
            return self.finish(host, from).await;
        }
        let plugin = self.plugin()?;
        let seen = self.seen().take();
        let Look { release, now } = match seen {
            Some(seen) => seen,
            None => {
                let release = self
                    .ask_release(host, plugin)
                    .await?
                    .map_err(|missing| self.unfit(missing))?;
                let now = self.look(host, plugin, &release).await?;
                Look { release, now }
            }
        };
        let held = Held::take(&self.asked.database, host).await?;
        let from = match &held {
            Some(held) => held.version(&self.asked.database, host).await?,
            None => now,
        };
        if from == self.target()? {
            // Somebody else, while the lock was waited for.
            return Ok(self.done(&release, &from, &from, Vec::new(), String::new(), false));
        }
        host.record(Segment {
            name: format!("{}/tool", self.asked.to),
            digest: format!("{} from {from}", host.tag()),
            state: SegmentState::Intent,
            text: format!("{} {release}: {from} to {}", plugin.program(), self.asked.to),
        })
        .await?;
        self.run(host, plugin, release, from, held).await
    }

    /// After a crash: what was announced is brought to its end. None: nothing was announced.
    pub(crate) async fn settle(&self, host: &dyn Changing) -> Result<Option<Done>, Failure> {
        match self.announced(host) {
            Some(from) => Ok(Some(self.finish(host, from).await?)),
            None => Ok(None),
        }
    }

    async fn finish(&self, host: &dyn Changing, from: Version) -> Result<Done, Failure> {
        let plugin = self.plugin()?;
        let release = self
            .ask_release(host, plugin)
            .await?
            .map_err(|missing| self.unfit(missing))?;
        let held = Held::take(&self.asked.database, host).await?;
        self.run(host, plugin, release, from, held).await
    }

    async fn run(
        &self,
        host: &dyn Changing,
        plugin: Plugin,
        release: Program,
        from: Version,
        held: Option<Held>,
    ) -> Result<Done, Failure> {
        host.progress(&format!(
            "{}: {} {release} brings {from} to {}",
            self.asked.database.label,
            plugin.program(),
            self.asked.to
        ));
        let job = self.job(plugin, &release, host.tag())?;
        let outcome = match host.job("tool", &job).await {
            Ok(output) => self.judge(host, plugin, &release, &from, held.as_ref(), &output).await,
            // What became of it is not known, or its time is over.
            Err(failure) if failure.unknown || failure.message == "timed out" => {
                self.lost(host, plugin, &release, &from, held.as_ref(), failure).await
            }
            Err(failure) => Err(failure),
        };
        if let Some(held) = held {
            held.free().await;
        }
        outcome
    }

    /// The job came to its end.
    async fn judge(
        &self,
        host: &dyn Changing,
        plugin: Plugin,
        release: &Program,
        from: &Version,
        held: Option<&Held>,
        output: &Output,
    ) -> Result<Done, Failure> {
        if output.rc != 0 {
            return Err(self.failed(last_line(&output.stderr).to_owned()).into());
        }
        let report = Report::read(output);
        let log = Log::read(&report.raw);
        let kept = report.get("log").to_owned();
        let by = format!("{} {release}", plugin.program());
        let now = match held {
            Some(held) => held.version(&self.asked.database, host).await?,
            None => report.version("version").ok_or_else(|| SchemaError::Unknown {
                label: self.asked.database.label.clone(),
                what: format!(
                    "{by} ended with {}, and afterwards its schema version could not be read: {}; log: {kept}",
                    report.get("rc"),
                    report.get("ask_trouble")
                ),
            })?,
        };
        if now != self.target()? {
            let ended = match report.get("rc").parse() {
                Ok(rc @ 129..=192) => format!("{by} was ended by signal {}", rc - 128),
                Ok(0) => format!("{by} ended without an error"),
                Ok(rc) => format!("{by} ended with {rc}"),
                Err(_) => format!("{by} ended"),
            };
            let what = replay::explain(&self.asked.database, plugin, &log, &now);
            let cluster = match report.get("trouble") {
                "" => String::new(),
                trouble => format!("; {trouble}"),
            };
            let result =
                json!({"from": from.as_str(), "to": now.as_str(), "applied": applied(from, &now, &log), "log": kept});
            let failure: Failure = self.failed(format!("{ended}: {what}{cluster}; log: {kept}")).into();
            return Err(failure.with(result));
        }
        if let Some(trouble) = report.first("trouble").filter(|trouble| !trouble.is_empty()) {
            return Err(self
                .failed(format!(
                    "its schema is at {now}, but {trouble}; start no server before all nodes show one schema version; log: {kept}"
                ))
                .into());
        }
        if let Some(held) = held
            && let Some(doubt) = held.doubts(&self.asked.database, host.reading()).await?
        {
            return Err(self
                .failed(format!("its schema is at {now}, but {doubt}; log: {kept}"))
                .into());
        }
        self.close(host, from, release).await?;
        Ok(self.done(release, from, &now, applied(from, &now, &log), kept, true))
    }

    /// Nobody knows how the job ended: its log, as far as it was written, and the database are asked.
    async fn lost(
        &self,
        host: &dyn Changing,
        plugin: Plugin,
        release: &Program,
        from: &Version,
        held: Option<&Held>,
        failure: Failure,
    ) -> Result<Done, Failure> {
        let path = format!("\"$REFIT_STATE\"/jobs/{}.tool.log", host.tag());
        let job = Job::new(format!(
            "printf 'log=%s\\n' {path}\necho raw\ntail -c 200000 {path} 2>/dev/null\nexit 0\n"
        ));
        let report = Report::read(&host.job("log", &job).await?);
        let now = match held {
            Some(held) => Some(held.version(&self.asked.database, host).await?),
            None => {
                let text = self.prelude(plugin, release)? + "ask\nprintf 'version=%s\\n' \"$version\"\n";
                Report::read(&self.probe(host, text).await?).version("version")
            }
        };
        let log = Log::read(&report.raw);
        let kept = report.get("log").to_owned();
        match now {
            Some(now) if now == self.target()? => {
                self.close(host, from, release).await?;
                let mut done = self.done(release, from, &now, applied(from, &now, &log), kept, true);
                done.message = done
                    .message
                    .map(|message| format!("{message}; found done after: {}", failure.message));
                Ok(done)
            }
            Some(now) => {
                let what = replay::explain(&self.asked.database, plugin, &log, &now);
                Err(Failure {
                    message: format!(
                        "database {}: {}: {what}; log: {kept}",
                        self.asked.database.label, failure.message
                    ),
                    ..failure
                })
            }
            None => Err(Failure {
                message: format!(
                    "database {}: {}: its schema version cannot be read; log: {kept}",
                    self.asked.database.label, failure.message
                ),
                ..failure
            }),
        }
    }

    async fn close(&self, host: &dyn Changing, from: &Version, release: &Program) -> Result<(), Failure> {
        host.record(Segment {
            name: format!("{}/tool", self.asked.to),
            digest: format!("{} from {from}", host.tag()),
            state: SegmentState::Done,
            text: format!("{release}: {from} to {}", self.asked.to),
        })
        .await
    }

    fn done(
        &self,
        release: &Program,
        from: &Version,
        now: &Version,
        applied: Vec<String>,
        log: String,
        changed: bool,
    ) -> Done {
        Done {
            changed,
            result: json!({
                "from": from.as_str(), "to": now.as_str(), "applied": applied, "tool": release.release.as_str(), "log": log,
            }),
            diff: None,
            message: Some(match changed {
                true => format!("{from} to {now} by the tool of {release}"),
                false => format!("no schema change: it is at {now}"),
            }),
        }
    }
}

/// Versions that this run of the tool recorded; those that the log does not hold any more are left out.
fn applied(from: &Version, now: &Version, log: &Log) -> Vec<String> {
    let inside = |version: &Version| version > from && version <= now;
    log.steps
        .iter()
        .filter(|(_, to)| Version::parse(to).is_some_and(|to| inside(&to)))
        .map(|(_, to)| to.clone())
        .collect()
}

/// A path of the host as a word of the shell; `~/` is the account's home.
fn path_word(path: &str) -> String {
    match path.strip_prefix("~/") {
        Some(rest) => format!("\"$HOME\"/{}", flags::word(rest)),
        None => flags::word(path),
    }
}

fn first(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or("nodetool")
}

fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("the script ended without a word")
        .trim()
}

/// `key=value` lines; after a line `raw` the rest is text of a file.
#[derive(Default)]
struct Report {
    values: HashMap<String, String>,
    raw: String,
}

impl Report {
    fn read(output: &Output) -> Report {
        let mut report = Report::default();
        let mut rest = output.stdout.as_str();
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            if line == "raw" {
                report.raw = rest.to_owned();
                break;
            }
            if let Some((key, value)) = line.split_once('=') {
                // The first problem is the cause of those after it.
                report.values.entry(key.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        report
    }

    fn get(&self, key: &str) -> &str {
        self.first(key).unwrap_or("")
    }

    fn version(&self, key: &str) -> Option<Version> {
        self.first(key).filter(|text| !text.is_empty()).and_then(Version::parse)
    }

    fn first(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}
