//! The scripts of a swap and what they print.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::release::{Release, machine_name, runs_on};
use crate::kind::{Decision, Done, Facts, Failure, Job, Output, Probe, ShellAction, Verdict};

/// What the host does; a library of functions that the scripts below call.
const LIBRARY: &str = include_str!("swap.sh");

pub(super) struct Swap {
    pub(super) name: String,
    /// Empty for `back`.
    pub(super) version: String,
    pub(super) files: Files,
    /// `state: staged`.
    pub(super) staged: bool,
    /// With the destinations put in.
    pub(super) validate: Option<String>,
    pub(super) run: String,
    pub(super) stage: String,
    pub(super) environment: IndexMap<String, String>,
    pub(super) diff: bool,
    pub(super) quiet: bool,
}

pub(super) enum Files {
    Given(Release),
    /// Whatever was staged under the version.
    Staged,
    Back,
}

/// One word for `/bin/sh`, whatever is in it (NUL is refused before).
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl Swap {
    fn script(&self, facts: &Facts, body: &str) -> String {
        let (release, manifest, users) = match &self.files {
            Files::Given(release) => (
                release.folder.as_str(),
                release.manifest.as_str(),
                release.users().join(" "),
            ),
            _ => ("", "", String::new()),
        };
        let validate = match self.validate {
            Some(_) => "",
            None => "REFIT_VALIDATE=\n",
        };
        format!(
            "releases={}/releases name={} run={} stage={} version={}\nX={} users={}\nwant={}\n{validate}{LIBRARY}{body}",
            quote(&facts.state_dir),
            quote(&self.name),
            quote(&self.run),
            quote(&self.stage.replace(' ', "_")),
            quote(&self.version),
            quote(release),
            quote(&users),
            quote(manifest),
        )
    }

    fn staged_name(&self) -> String {
        format!("staged/{}/{}", self.name, self.version)
    }

    fn active_name(&self) -> String {
        format!("release/{}", self.name)
    }

    /// The folder of its files, where they are given.
    fn release(&self) -> Value {
        match &self.files {
            Files::Given(release) => json!(release.folder),
            Files::Staged | Files::Back => Value::Null,
        }
    }

    fn environment(&self) -> IndexMap<String, String> {
        let mut environment = self.environment.clone();
        if let Some(text) = &self.validate {
            environment.insert("REFIT_VALIDATE".into(), text.clone());
        }
        environment
    }

    fn texts(&self) -> String {
        let Files::Given(release) = &self.files else {
            return String::new();
        };
        if !self.diff || self.quiet || self.staged {
            return String::new();
        }
        release
            .entries
            .iter()
            .filter(|entry| entry.text.is_some())
            .map(|entry| format!("look_text {}\n", quote(&entry.dest)))
            .collect()
    }

    /// Only a release that may be executed needs a file system that allows it.
    fn must_execute(&self) -> bool {
        match &self.files {
            Files::Given(release) => release.executable(),
            Files::Staged => true,
            Files::Back => false,
        }
    }

    fn refusals(&self, look: &Look) -> Result<(), Failure> {
        if matches!(self.files, Files::Back) {
            return Ok(());
        }
        let mut all = Vec::new();
        if let (Some(mount), true) = (&look.noexec, self.must_execute()) {
            all.push(format!(
                "the state folder is on {mount}, which is mounted noexec: no release could be started from it \
                 (set refit_state_dir to another place)"
            ));
        }
        for (user, folder) in &look.blocked {
            all.push(format!(
                "user {user} cannot reach the releases: {folder} is closed to it (chmod o+x {folder}, or set refit_state_dir)"
            ));
        }
        if let Files::Given(release) = &self.files {
            for entry in &release.entries {
                if let Some(machine) = entry.machine.filter(|machine| !runs_on(*machine, &look.machine)) {
                    all.push(format!(
                        "{} is built for {}, and this host is {}",
                        entry.dest,
                        machine_name(machine),
                        look.machine
                    ));
                }
            }
            let needed: u64 = release
                .entries
                .iter()
                .filter(|entry| look.unstaged.contains(&entry.dest))
                .map(|entry| entry.size)
                .sum();
            if let Some(free) = look.free.filter(|free| needed > free.saturating_mul(1024)) {
                all.push(format!(
                    "{} MiB are needed for the release and {} MiB are free",
                    needed / 1024 / 1024,
                    free / 1024
                ));
            }
        }
        if let Some(folder) = &look.folder {
            all.push(format!("{folder} is a folder"));
        }
        if let Some((rc, output)) = look.validate.as_ref().filter(|(rc, _)| *rc != 0) {
            return Err(Failure::new(format!(
                "validate: the new files do not pass (exit status {rc})\n{output}"
            ))
            .with(json!({"rc": rc, "stdout": output})));
        }
        if all.is_empty() {
            Ok(())
        } else {
            Err(Failure::new(all.join("\n")))
        }
    }

    fn differs(&self, look: &Look, to: &str) -> Verdict {
        let from = version(&look.current);
        let mut diff = format!(
            "{}: {} -> {}\n",
            self.name,
            if look.current.is_empty() { "none" } else { &look.current },
            to
        );
        if self.staged {
            diff = format!("{}: {to} is staged\n", self.name);
        }
        match &self.files {
            Files::Given(release) => {
                for entry in &release.entries {
                    let new = look.unlinked.contains(&entry.dest) || look.unstaged.contains(&entry.dest);
                    let Some(text) = entry.text.as_deref().filter(|_| !self.quiet && !self.staged) else {
                        if new {
                            diff.push_str(&format!("{}: new content\n", entry.dest));
                        }
                        continue;
                    };
                    let old = look.text(&entry.dest);
                    if old.is_none() && look.current == to {
                        continue;
                    }
                    let old = old.unwrap_or_default();
                    if old.trim_end_matches('\n') != text.trim_end_matches('\n') {
                        let lines = similar::TextDiff::from_lines(old.as_str(), text);
                        let mut unified = lines.unified_diff();
                        unified.context_radius(3).header(&entry.dest, &entry.dest);
                        diff.push_str(&unified.to_string());
                    }
                }
            }
            Files::Staged => {
                for dest in &look.unlinked {
                    diff.push_str(&format!("{dest}: new content\n"));
                }
                if let Some(staged) = &look.none {
                    diff.push_str(&format!(
                        "version {} is not staged yet; staged: {staged}\n",
                        self.version
                    ));
                }
            }
            Files::Back => {}
        }
        if self.validate.is_some() && look.validate.is_none() && look.current != to {
            let why = if look.unstaged.is_empty() && look.none.is_none() {
                "not asked for"
            } else {
                "not staged"
            };
            diff.push_str(&format!("not validated: {why}\n"));
        }
        Verdict::Differs {
            predicted: json!({"from": from, "to": if self.version.is_empty() { version(to) } else { json!(self.version) }}),
            diff: (self.diff && !self.quiet).then_some(diff),
        }
    }
}

impl ShellAction for Swap {
    fn check(&self, facts: &Facts) -> Option<Probe> {
        let validate = if self.diff && self.validate.is_some() {
            "[ -z \"$u\" ] && [ \"$cur\" != \"$X\" ] && look_validate\n"
        } else {
            ""
        };
        let body = match &self.files {
            Files::Given(_) if self.staged => format!(
                "look_host\nu=$(unstaged)\nprintf '%s\\n' \"$u\"\n\
                 [ \"$(cat -- \"$N/staged.$version\" 2>/dev/null)\" = \"$X\" ] || printf 'unnoted\\n'\n{validate}"
            ),
            Files::Given(_) => format!(
                "look_host\nu=$(unstaged)\nprintf '%s\\n' \"$u\"\nunlinked\n{}{validate}",
                self.texts()
            ),
            Files::Staged => format!(
                "if find_staged \"$version\"; then\nlook_host\nprintf 'release %s\\n' \"$X\"\nu=$(unstaged)\n\
                 printf '%s\\n' \"$u\"\nunlinked\n{validate}else\nlook_host\nprintf 'none %s\\n' \"$(list_staged)\"\nfi\n"
            ),
            Files::Back => "current\nprintf 'current %s\\n' \"$cur\"\nif find_record; then\n\
                 printf 'record %s %s %s\\n' \"$rf\" \"$rt\" \"$rs\"\nX=$rf\nmanifest \"$X\" && want=$m && unlinked\nfi\n"
                .to_owned(),
        };
        Some(Probe {
            environment: self.environment(),
            ..Probe::new(self.script(facts, &format!("{body}exit 0\n")))
        })
    }

    fn judge(&self, output: &Output) -> Result<Verdict, Failure> {
        if output.rc != 0 {
            return Err(failure(output));
        }
        let look = Look::parse(&output.stdout);
        self.refusals(&look)?;
        let now = version(&look.current);
        match &self.files {
            Files::Given(release) => {
                let whole = look.unstaged.is_empty();
                if self.staged {
                    if whole && !look.unnoted {
                        return Ok(Verdict::Same(json!({"from": now, "to": self.version})));
                    }
                } else if whole && look.current == release.folder && look.unlinked.is_empty() {
                    return Ok(Verdict::Same(json!({"from": self.version, "to": self.version})));
                }
                Ok(self.differs(&look, &release.folder))
            }
            Files::Staged => match &look.release {
                Some(release) if look.current == *release && look.unlinked.is_empty() && look.unstaged.is_empty() => {
                    Ok(Verdict::Same(json!({"from": self.version, "to": self.version})))
                }
                Some(release) => Ok(self.differs(&look, release)),
                None => Ok(self.differs(&look, &self.version)),
            },
            Files::Back => match &look.record {
                None => Ok(Verdict::Same(json!({"from": now, "to": now}))),
                Some((_, _, state)) if state == "back" => Ok(Verdict::Same(json!({"from": now, "to": now}))),
                Some((from, _, _)) if look.current == *from && look.unlinked.is_empty() => {
                    Ok(Verdict::Same(json!({"from": now, "to": now})))
                }
                Some((from, _, _)) => Ok(self.differs(&look, from)),
            },
        }
    }

    fn predicted(&self) -> Value {
        json!({"from": null, "to": self.version})
    }

    fn decides(&self) -> bool {
        !matches!(self.files, Files::Back)
    }

    fn decision(&self, found: &Verdict) -> Option<Decision> {
        let (result, changes) = match found {
            Verdict::Same(result) => (result, false),
            Verdict::Differs { predicted, .. } => (predicted, true),
        };
        let staged = if self.staged { ", staged" } else { "" };
        self.decides().then(|| Decision {
            about: format!("release {}{staged}", self.name),
            from: result["from"].as_str().map(str::to_owned),
            to: self.version.clone(),
            changes,
            versions: Vec::new(),
            statements: 0,
            cautions: Vec::new(),
        })
    }

    fn after(&self, found: Verdict, left: &dyn Fn(&str) -> Option<Value>) -> Verdict {
        if matches!(self.files, Files::Back) {
            return found;
        }
        let staged = left(&self.staged_name());
        let active = left(&self.active_name());
        if self.staged {
            let now = match &active {
                Some(active) => active["version"].clone(),
                None => match &found {
                    Verdict::Same(result) => result["from"].clone(),
                    Verdict::Differs { predicted, .. } => predicted["from"].clone(),
                },
            };
            let result = json!({"from": now, "to": self.version});
            return match found {
                _ if staged.as_ref() == Some(&self.release()) => Verdict::Same(result),
                Verdict::Same(_) => Verdict::Same(result),
                Verdict::Differs { diff, .. } => Verdict::Differs {
                    predicted: result,
                    diff,
                },
            };
        }
        let release = match &self.files {
            Files::Staged => staged.clone().unwrap_or(Value::Null),
            _ => self.release(),
        };
        let Some(active) = active else {
            return match found {
                // It will be staged by then.
                Verdict::Differs { predicted, diff } if staged.is_some() && matches!(self.files, Files::Staged) => {
                    let kept = |line: &&str| !line.contains(" is not staged yet") && !line.starts_with("not validated");
                    let diff = diff.map(|diff| diff.lines().filter(kept).map(|line| format!("{line}\n")).collect());
                    Verdict::Differs { predicted, diff }
                }
                found => found,
            };
        };
        let from = active["version"].clone();
        let result = json!({"from": from, "to": self.version});
        let same = from == json!(self.version)
            && (active["release"] == release || release.is_null() || active["release"].is_null());
        match same {
            true => Verdict::Same(result),
            false => Verdict::Differs {
                diff: (self.diff && !self.quiet).then(|| {
                    let from = from.as_str().unwrap_or("none");
                    format!("{}: {from} -> {}\n", self.name, self.version)
                }),
                predicted: result,
            },
        }
    }

    fn leaves(&self, _found: &Verdict) -> Vec<(String, Value)> {
        match &self.files {
            Files::Back => Vec::new(),
            Files::Given(_) if self.staged => vec![(self.staged_name(), self.release())],
            Files::Given(release) => {
                let files = release
                    .entries
                    .iter()
                    .map(|entry| (format!("file{}", entry.dest), json!({"sha256": entry.sha256})));
                let active = json!({"version": self.version, "release": self.release()});
                files.chain([(self.active_name(), active)]).collect()
            }
            Files::Staged => vec![(
                self.active_name(),
                json!({"version": self.version, "release": Value::Null}),
            )],
        }
    }

    fn apply(&self, facts: &Facts) -> Option<Job> {
        let refuse = "b=$(blocked)\n[ -z \"$b\" ] || die \"a user of the service cannot reach the releases: $b\"\n";
        let noexec = if self.must_execute() {
            "noexec && die \"the state folder is on $mp, which is mounted noexec\"\n"
        } else {
            ""
        };
        let flip = "current\n[ \"$cur\" = \"$X\" ] || must_validate\nactivate forward\nreport \"$X\"\n";
        let body = match &self.files {
            Files::Given(_) if self.staged => format!(
                "{noexec}{refuse}stage\nmust_validate\nnote_staged \"$version\"\ncurrent\nfrom=$cur\nreport \"$X\"\n"
            ),
            Files::Given(_) => format!("{noexec}{refuse}stage\nnote_staged \"$version\"\n{flip}"),
            Files::Staged => format!(
                "find_staged \"$version\" || die \"version $version of $name is not staged; staged: $(list_staged)\"\n\
                 {noexec}{refuse}must_be_whole\n{flip}"
            ),
            Files::Back => "current\nfrom=$cur\nif find_record && [ \"$rs\" = flipped ]; then\n\
                 case $cur in \"$rf\"|\"$rt\") ;; *) die \"$cur is active, and this stage had put $rt there\" ;; esac\n\
                 X=$rf\nmanifest \"$X\" || die \"release $X is not on the host any more\"\nwant=$m\nmust_be_whole\n\
                 activate back\nput_record \"$rf\" \"$rt\" back\nfi\nreport \"${X:-$cur}\"\n"
                .to_owned(),
        };
        Some(Job {
            environment: self.environment(),
            uploads: match &self.files {
                Files::Given(release) => release.uploads(),
                _ => Vec::new(),
            },
            ..Job::new(self.script(facts, &format!("did=0 from=\n{body}exit 0\n")))
        })
    }

    fn parse(&self, output: &Output) -> Result<Done, Failure> {
        if output.rc != 0 {
            return Err(failure(output));
        }
        let field = |name: &str| {
            output
                .stdout
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        let (Some(from), Some(to), Some(did)) = (field("from"), field("to"), field("did")) else {
            return Err(Failure::new("the host's answer is not complete").with(json!({"stdout": output.stdout})));
        };
        Ok(Done {
            changed: did == "1",
            result: json!({"from": version(from), "to": version(to)}),
            diff: None,
            message: (did == "1" && !self.staged && from != to)
                .then(|| format!("{} -> {to}", if from.is_empty() { "none" } else { from })),
        })
    }
}

/// The last line says it, what stands before it is the program's.
fn failure(output: &Output) -> Failure {
    let text = output.stderr.trim_end();
    let message = match text.rsplit_once('\n') {
        _ if text.is_empty() => format!("exit status {}", output.rc),
        Some((before, last)) if last.starts_with("validate: ") => format!("{last}\n{before}"),
        _ => text.to_owned(),
    };
    Failure::new(message).with(json!({"rc": output.rc, "stdout": output.stdout, "stderr": output.stderr}))
}

/// The version of a release's folder; null for none, the folder's name for what was adopted.
fn version(folder: &str) -> Value {
    if folder.is_empty() {
        return Value::Null;
    }
    match folder.rsplit_once('-') {
        Some((version, digest))
            if version != "adopted" && digest.len() == 12 && digest.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            json!(version)
        }
        _ => json!(folder),
    }
}

/// What a check found.
#[derive(Default)]
struct Look {
    machine: String,
    noexec: Option<String>,
    /// KiB.
    free: Option<u64>,
    blocked: Vec<(String, String)>,
    current: String,
    /// The staged release of the version.
    release: Option<String>,
    /// There is none; what is staged.
    none: Option<String>,
    unnoted: bool,
    unstaged: Vec<String>,
    unlinked: Vec<String>,
    folder: Option<String>,
    record: Option<(String, String, String)>,
    validate: Option<(i32, String)>,
    texts: Vec<(String, String)>,
}

impl Look {
    fn parse(text: &str) -> Look {
        let mut look = Look::default();
        let mut quoted: Option<&mut String> = None;
        for line in text.lines() {
            if let Some(line) = line.strip_prefix('|') {
                if let Some(text) = quoted.as_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
                continue;
            }
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let own = rest.to_owned();
            match word {
                "machine" => look.machine = own,
                "noexec" => look.noexec = Some(own),
                "free" => look.free = rest.parse().ok(),
                "blocked" => {
                    let (user, folder) = rest.split_once(' ').unwrap_or((rest, ""));
                    look.blocked.push((user.to_owned(), folder.to_owned()));
                }
                "current" => look.current = own,
                "release" => look.release = Some(own),
                "none" => look.none = Some(own),
                "unnoted" => look.unnoted = true,
                "file" => look.unstaged.push(own),
                "dest" => look.unlinked.push(own),
                "folder" => look.folder = Some(own),
                "record" => {
                    let mut words = rest.split(' ').map(str::to_owned);
                    look.record = match (words.next(), words.next(), words.next()) {
                        (Some(from), Some(to), Some(state)) => Some((from, to, state)),
                        _ => None,
                    };
                }
                "validate" => {
                    let (_, text) = look.validate.insert((rest.parse().unwrap_or(1), String::new()));
                    quoted = Some(text);
                }
                "text" => {
                    look.texts.push((own, String::new()));
                    quoted = look.texts.last_mut().map(|(_, text)| text);
                }
                _ => {}
            }
        }
        look
    }

    fn text(&self, dest: &str) -> Option<String> {
        self.texts
            .iter()
            .find(|(at, _)| at == dest)
            .map(|(_, text)| text.clone())
    }
}
