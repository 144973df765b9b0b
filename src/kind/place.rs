//! How files get to their place on a host: copy and template.
//!
//! A new file is written beside its destination, gets its owner and mode there and its checksum compared, and is
//! renamed: whoever reads the destination sees the old file or the new one. What is not given stays as it was.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::sh::{self, HostPath, PLACE, Report, four_digits, get, quote};
use super::{Context, Done, Facts, Failure, Job, Mode, Output, Params, Probe, ShellAction, Upload, Verdict};
use super::{params::Param, params::Ty, upload};
use crate::yaml::{Diagnostic, Diagnostics};
use indexmap::IndexMap;

const PUT: &str = include_str!("put.sh");

/// The longest text of which a diff is shown.
const DIFF_LIMIT: u64 = 64 * 1024;

pub(super) const DEST: Param = Param::required(
    "dest",
    Ty::Path,
    "where it goes; a folder that is there, or a name with a slash at its end, keeps the name of `src`",
);
pub(super) const OWNER: Param = Param::new("owner", Ty::Text, "name or number of the user who owns it");
pub(super) const GROUP: Param = Param::new("group", Ty::Text, "name or number of its group");
pub(super) const MODE: Param = Param::new("mode", Ty::Mode, "permissions as octal digits in quotes: \"0644\"");
pub(super) const FORCE: Param = Param::new(
    "force",
    Ty::Bool,
    "no: what is there already is left alone; default yes",
);
pub(super) const FOLLOW: Param = Param::new(
    "follow",
    Ty::Bool,
    "yes: a link at `dest` stays and its target is written; default no",
);
pub(super) const VALIDATE: Param = Param::new(
    "validate",
    Ty::Text,
    "command that must accept the new file, `%s` in it, before it takes its place",
);
pub(super) const RESULTS: &[&str] = &[
    "dest", "path", "state", "sha256", "size", "mode", "owner", "group", "uid", "gid", "files",
];

/// One file.
struct Item {
    upload: Upload,
    /// Below the destination; empty where the destination is the file itself.
    below: String,
}

/// Files that are to be on a host.
pub(super) struct Placement {
    dest: HostPath,
    items: Vec<Item>,
    /// A folder with what is below it, rather than one file.
    tree: bool,
    /// Folders below the destination, the outer ones first; `""` is the destination.
    folders: Vec<String>,
    /// The name that the file keeps where the destination turns out to be a folder.
    name: Option<String>,
    mode: Option<Mode>,
    folder_mode: Option<Mode>,
    new_mode: Option<Mode>,
    owner: Option<String>,
    group: Option<String>,
    force: bool,
    /// What is sent is secret: its digest would confirm a guess, and is not told.
    secret: bool,
    follow: bool,
    validate: Option<String>,
    diff: bool,
    environment: IndexMap<String, String>,
    words: Words,
}

/// Quoted once, when the parameters are at hand.
struct Words {
    below: Vec<String>,
    folders: Vec<String>,
    name: String,
    owner: String,
    group: String,
}

/// What is to be placed.
pub(super) enum What {
    /// `name`: the name of the source, for a destination that is a folder.
    One { upload: Upload, name: Option<String> },
    /// Paths below the destination. `folders` has the outer ones first.
    Tree {
        files: Vec<(String, Upload)>,
        folders: Vec<String>,
    },
}

impl Placement {
    /// Reads `dest owner group mode directory_mode force follow validate`. `secret`: the content is.
    pub(super) fn new(
        params: &Params,
        context: &Context<'_>,
        what: What,
        secret: bool,
    ) -> Result<Placement, Diagnostics> {
        let found = lint(params);
        if found.has_errors() {
            return Err(found);
        }
        let at = params.span("dest");
        let dest = params.required_text("dest")?;
        let owner = params.text("owner");
        let group = params.text("group");
        let tree = matches!(what, What::Tree { .. });
        let (items, mut folders, mut name) = match what {
            What::One { upload, name } => {
                let below = String::new();
                (vec![Item { upload, below }], Vec::new(), name)
            }
            What::Tree { files, folders } => {
                let items = files.into_iter().map(|(below, upload)| Item { upload, below });
                (items.collect(), folders, None)
            }
        };
        let mut items: Vec<Item> = items;
        if dest.ends_with('/')
            && let Some(kept) = name.take()
        {
            folders = vec![String::new()];
            items[0].below = kept;
        }
        let trimmed = match dest.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        let words = Words {
            below: items
                .iter()
                .map(|item| quote(&item.below, at))
                .collect::<Result<_, _>>()?,
            folders: folders
                .iter()
                .map(|folder| quote(folder, at))
                .collect::<Result<_, _>>()?,
            name: quote(name.as_deref().unwrap_or_default(), at)?,
            owner: quote(owner.as_deref().unwrap_or_default(), params.span("owner"))?,
            group: quote(group.as_deref().unwrap_or_default(), params.span("group"))?,
        };
        let mode = params.mode("mode");
        Ok(Placement {
            dest: HostPath::new(trimmed, at)?,
            items,
            tree,
            folders,
            name,
            mode,
            folder_mode: params.mode("directory_mode"),
            new_mode: secret.then_some(Mode(0o600)),
            owner,
            group,
            force: params.bool("force").unwrap_or(true),
            secret: secret || context.quiet,
            follow: params.bool("follow").unwrap_or(false),
            validate: match params.text("validate") {
                Some(command) => Some(validation(params, &command)?),
                None => None,
            },
            diff: context.diff && !context.quiet && !secret,
            environment: sh::environment(context),
            words,
        })
    }

    /// Sets `dest`, which the lines after it use.
    fn destination(&self, facts: &Facts) -> String {
        let mut text = format!("dest={}\nin=\n", self.dest.word(facts));
        if self.follow {
            text.push_str("follow \"$dest\"\ndest=$path\n");
        }
        if self.name.is_some() {
            let name = &self.words.name;
            let _ = write!(
                text,
                "if [ -d \"$dest\" ]; then\n  follow \"$dest\"\n  dest=${{dest%/}}/{name} in=1\nfi\n"
            );
        }
        text
    }

    /// The item's path, in double quotes.
    fn path_of(&self, index: usize) -> String {
        match self.items[index].below.is_empty() {
            true => "\"$dest\"".to_owned(),
            false => format!("\"${{dest%/}}\"/{}", self.words.below[index]),
        }
    }

    fn folder_path(&self, index: usize) -> String {
        match self.folders[index].is_empty() {
            true => "\"$dest\"".to_owned(),
            false => format!("\"${{dest%/}}\"/{}", self.words.folders[index]),
        }
    }

    /// The name of the one file that it places.
    fn fact(&self, result: &Value) -> Option<String> {
        let path = result.get("path").filter(|_| !self.tree)?;
        Some(format!("file{}", path.as_str()?))
    }

    fn leaving(&self) -> Value {
        json!({
            "sha256": self.items[0].upload.sha256,
            "mode": self.mode.map(|mode| mode.0),
            "owner": self.owner,
            "group": self.group,
        })
    }

    fn same_attributes(&self, seen: &HashMap<String, String>) -> bool {
        let is = |wanted: &Option<String>, name: &str, id: &str| {
            wanted
                .as_deref()
                .is_none_or(|wanted| wanted == get(seen, name) || wanted == get(seen, id))
        };
        self.mode
            .is_none_or(|mode| u32::from_str_radix(get(seen, "mode"), 8) == Ok(mode.0))
            && is(&self.owner, "user", "uid")
            && is(&self.group, "group", "gid")
    }

    fn same(&self, item: &Item, seen: &HashMap<String, String>) -> bool {
        if !self.force && get(seen, "kind") != "absent" {
            return true;
        }
        get(seen, "kind") == "file" && get(seen, "sum") == item.upload.sha256 && self.same_attributes(seen)
    }

    /// The result, as far as it is known from what was seen (`there`: it is as it should be).
    fn result(&self, report: &Report, there: bool) -> Value {
        let mut fields = Map::new();
        if self.tree {
            let path = self.dest.as_str();
            fields.insert("dest".to_owned(), json!(path));
            fields.insert("path".to_owned(), json!(path));
            fields.insert("state".to_owned(), json!("directory"));
            let names: Vec<&str> = self.items.iter().map(|item| item.below.as_str()).collect();
            fields.insert("files".to_owned(), json!(names));
            return Value::Object(fields);
        }
        let item = &self.items[0];
        let path = self.path(report);
        fields.insert("dest".to_owned(), json!(path));
        fields.insert("path".to_owned(), json!(path));
        fields.insert("state".to_owned(), json!("file"));
        let empty = HashMap::new();
        let seen = report.items().first().unwrap_or(&empty);
        let kept = there && !self.force && get(seen, "sum") != item.upload.sha256;
        let sum = if kept { get(seen, "sum") } else { &item.upload.sha256 };
        if !self.secret {
            fields.insert("sha256".to_owned(), json!(sum));
        }
        if !kept {
            fields.insert("size".to_owned(), json!(item.upload.size));
        }
        attributes(&mut fields, seen);
        if !there {
            if let Some(mode) = self.mode {
                fields.insert("mode".to_owned(), json!(mode.to_string()));
            }
            if let Some(owner) = &self.owner {
                fields.insert("owner".to_owned(), json!(owner));
            }
            if let Some(group) = &self.group {
                fields.insert("group".to_owned(), json!(group));
            }
        }
        Value::Object(fields)
    }

    /// Where the one file goes.
    fn path(&self, report: &Report) -> String {
        let kept = self.name.as_deref().filter(|_| report.get("in") == "1");
        let dest = self.dest.as_str();
        match kept.unwrap_or(&self.items[0].below) {
            "" => dest.to_owned(),
            name => format!("{}/{name}", dest.trim_end_matches('/')),
        }
    }

    fn diff(&self, report: &Report) -> Option<String> {
        if !self.diff {
            return None;
        }
        if self.tree {
            let seen = report.items();
            let lines = self.items.iter().enumerate().filter_map(|(index, item)| {
                let seen = seen.get(index)?;
                let sign = match get(seen, "kind") {
                    "absent" => '+',
                    _ if self.same(item, seen) => return None,
                    _ => '~',
                };
                Some(format!("{sign} {}\n", item.below))
            });
            return Some(lines.collect());
        }
        let item = &self.items[0];
        let seen = report.items().first()?;
        let mut text = String::new();
        if get(seen, "sum") != item.upload.sha256 {
            let old_size = get(seen, "size").parse::<u64>().unwrap_or(0);
            let old = match get(seen, "kind") {
                "file" => report.raw.clone(),
                _ => Some(String::new()),
            };
            text = content_diff(&self.path(report), old, old_size, &item.upload);
        }
        let there = get(seen, "kind") == "file";
        let mut change = |what: &str, old: &str, new: Option<String>| {
            if let Some(new) = new.filter(|new| there && new != old) {
                let _ = writeln!(text, "{what}: {old} → {new}");
            }
        };
        change(
            "mode",
            &four_digits(get(seen, "mode")),
            self.mode.map(|mode| mode.to_string()),
        );
        let numeric = |name: &Option<String>| name.as_deref().is_some_and(|name| name.parse::<u32>().is_ok());
        let owner = if numeric(&self.owner) { "uid" } else { "user" };
        change("owner", get(seen, owner), self.owner.clone());
        let group = if numeric(&self.group) { "gid" } else { "group" };
        change("group", get(seen, group), self.group.clone());
        Some(text)
    }
}

/// `mode owner group uid gid size` of what a script showed.
pub(super) fn attributes(fields: &mut Map<String, Value>, seen: &HashMap<String, String>) {
    let texts = [("owner", "user"), ("group", "group")];
    for (field, key) in texts {
        if !get(seen, key).is_empty() {
            fields.insert(field.to_owned(), json!(get(seen, key)));
        }
    }
    for key in ["uid", "gid", "size"] {
        if let Ok(number) = get(seen, key).parse::<u64>() {
            fields.insert(key.to_owned(), json!(number));
        }
    }
    if !get(seen, "mode").is_empty() {
        fields.insert("mode".to_owned(), json!(four_digits(get(seen, "mode"))));
    }
}

/// A unified diff; for what is no text, or too long, one line with both sizes. `old`: None where it was not sent.
fn content_diff(path: &str, old: Option<String>, old_size: u64, new: &Upload) -> String {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().filter(|text| is_text(text));
    let old = old.filter(|text| is_text(text));
    let new_text = upload::content(new, DIFF_LIMIT).and_then(text);
    match (old, new_text) {
        (Some(old), Some(new)) => similar::TextDiff::from_lines(&old, &new)
            .unified_diff()
            .header(&format!("{path} (before)"), &format!("{path} (after)"))
            .to_string(),
        _ if old_size > DIFF_LIMIT || new.size > DIFF_LIMIT => {
            format!("{path}: {old_size} bytes → {} bytes, too long for a diff\n", new.size)
        }
        _ => format!("{path}: binary, {old_size} bytes → {} bytes\n", new.size),
    }
}

fn is_text(text: &str) -> bool {
    !text.contains(['\0', '\u{fffd}'])
}

/// What is wrong with the parameters that all placements share, as far as they are known.
pub(super) fn lint(params: &Params) -> Diagnostics {
    let mut found = params.refuse_secrets(&["dest", "owner", "group"]);
    found.extend(account_names(params));
    if let Some(command) = params.text("validate") {
        found.extend(validation(params, &command).err());
    }
    found
}

/// `owner` and `group`, where they are known.
pub(super) fn account_names(params: &Params) -> Diagnostics {
    let mut found = Diagnostics::default();
    for name in ["owner", "group"] {
        let bad = |text: &String| text.is_empty() || text.starts_with('-') || text.contains([':', '\n', '\0']);
        if let Some(text) = params.text(name).filter(bad) {
            found.push(params.error(name, format!("`{name}` cannot be \"{}\"", text.escape_debug())));
        }
    }
    found
}

/// The command as words of the shell, `"$1"` for `%s`.
fn validation(params: &Params, command: &str) -> Result<String, Diagnostic> {
    if params.secret("validate") {
        return Err(params.error(
            "validate",
            "`validate` holds a secret, which every process on the host could read",
        ));
    }
    let words = shlex::split(command)
        .filter(|words| !words.is_empty())
        .ok_or_else(|| params.error("validate", "`validate` has an open quote, or is empty"))?;
    if !words.iter().any(|word| word.contains("%s")) {
        return Err(params.error("validate", "`validate` must name the new file as `%s`"));
    }
    let at = params.span("validate");
    let mut text = Vec::new();
    for word in &words {
        let parts: Result<Vec<String>, Diagnostic> = word
            .split("%s")
            .map(|part| {
                if part.is_empty() {
                    Ok(String::new())
                } else {
                    quote(part, at)
                }
            })
            .collect();
        let parts = parts?;
        text.push(if word.is_empty() {
            "''".to_owned()
        } else {
            parts.join("\"$1\"")
        });
    }
    Ok(text.join(" "))
}

impl ShellAction for Placement {
    fn check(&self, facts: &Facts) -> Option<Probe> {
        let mut text = format!("{PLACE}{}", self.destination(facts));
        text.push_str("printf 'in=%s\\n' \"$in\"\n");
        for index in 0..self.folders.len() {
            let _ = writeln!(text, "[ -d {} ] || echo folders=1", self.folder_path(index));
        }
        text.push_str("look_at() {\n  look \"$1\"\n  sum=\n  [ \"$kind\" != file ] || sum \"$1\"\n");
        text.push_str("  printf 'item=\\n'\n  show\n  printf 'sum=%s\\n' \"$sum\"\n}\n");
        for index in 0..self.items.len() {
            let _ = writeln!(text, "look_at {}", self.path_of(index));
        }
        if self.diff && !self.tree {
            let _ = writeln!(
                text,
                "if [ \"$kind\" = file ] && [ \"$sum\" != {} ] && [ \"$size\" -le {DIFF_LIMIT} ]; then\n  echo raw\n  cat <{}\nfi",
                self.items[0].upload.sha256,
                self.path_of(0)
            );
        }
        Some(Probe {
            environment: self.environment.clone(),
            // A large tree is read to its end before the answer comes.
            timeout: Some(Duration::from_secs(300)),
            ..Probe::new(text)
        })
    }

    fn judge(&self, output: &Output) -> Result<Verdict, Failure> {
        let report = Report::parse(output)?;
        if report.items().len() != self.items.len() {
            return Err(Failure::new(
                "the script that looks at the files did not come to its end",
            ));
        }
        let same = report.get("folders").is_empty()
            && self
                .items
                .iter()
                .zip(report.items())
                .all(|(item, seen)| self.same(item, seen));
        if same {
            return Ok(Verdict::Same(self.result(&report, true)));
        }
        Ok(Verdict::Differs {
            predicted: self.result(&report, false),
            diff: self.diff(&report),
        })
    }

    fn after(&self, found: Verdict, left: &dyn Fn(&str) -> Option<Value>) -> Verdict {
        let (Verdict::Same(result) | Verdict::Differs { predicted: result, .. }) = &found;
        let Some(before) = self.fact(result).and_then(|name| left(&name)) else {
            return found;
        };
        let wanted = self.leaving();
        let kept = |name: &str| wanted[name].is_null() || wanted[name] == before[name];
        let mut result = result.clone();
        if !self.force {
            return Verdict::Same(result);
        }
        if let (false, Value::Object(fields)) = (self.secret, &mut result) {
            fields.insert("sha256".to_owned(), wanted["sha256"].clone());
        }
        match ["sha256", "mode", "owner", "group"].iter().all(|name| kept(name)) {
            true => Verdict::Same(result),
            // A diff would compare with what is there now.
            false => Verdict::Differs {
                predicted: result,
                diff: None,
            },
        }
    }

    fn leaves(&self, found: &Verdict) -> Vec<(String, Value)> {
        let (Verdict::Same(result) | Verdict::Differs { predicted: result, .. }) = found;
        self.fact(result)
            .map(|name| (name, self.leaving()))
            .into_iter()
            .collect()
    }

    fn apply(&self, facts: &Facts) -> Option<Job> {
        let mut text = PLACE.to_owned();
        let mut uploads: Vec<Upload> = Vec::new();
        for item in &self.items {
            if !uploads.iter().any(|known| known.sha256 == item.upload.sha256) {
                uploads.push(item.upload.clone());
            }
        }
        text.push_str("sent() {\n");
        for chunk in uploads.chunks(100) {
            let names: String = chunk
                .iter()
                .map(|one| format!(" \"$REFIT_UPLOADS\"/{}", one.sha256))
                .collect();
            let _ = writeln!(text, "  rm -f --{names}");
        }
        text.push_str("}\n");
        text.push_str(PUT);
        match &self.validate {
            Some(command) => {
                let _ = writeln!(
                    text,
                    "validate() {{\n  {command} >&2 </dev/null || die \"validate did not accept the new file (rc $?)\"\n}}"
                );
            }
            None => text.push_str("validate() {\n  :\n}\n"),
        }
        text.push_str(&self.destination(facts));
        text.push_str("printf 'in=%s\\n' \"$in\"\n");
        let octal = |mode: Option<Mode>| mode.map_or("''".to_owned(), |mode| format!("{:o}", mode.0));
        for index in 0..self.folders.len() {
            let _ = writeln!(text, "folder {} {}", self.folder_path(index), octal(self.folder_mode));
        }
        let force = if self.force { "yes" } else { "no" };
        for (index, item) in self.items.iter().enumerate() {
            let path = self.path_of(index);
            let (owner, group) = (&self.words.owner, &self.words.group);
            let (mode, new) = (octal(self.mode), octal(self.new_mode));
            let _ = writeln!(
                text,
                "put {} {path} {mode} {owner} {group} {force} {new}",
                item.upload.sha256
            );
        }
        if !self.tree {
            let _ = writeln!(text, "look {}\nprintf 'item=\\n'\nshow", self.path_of(0));
            if !self.force {
                let _ = writeln!(text, "sum {}\nprintf 'sum=%s\\n' \"$sum\"", self.path_of(0));
            } else {
                let _ = writeln!(text, "printf 'sum=%s\\n' {}", self.items[0].upload.sha256);
            }
        }
        text.push_str("printf 'item=\\nany=%s\\n' \"$any\"\n");
        Some(Job {
            brief: true,
            environment: self.environment.clone(),
            uploads,
            ..Job::new(text)
        })
    }

    fn parse(&self, output: &Output) -> Result<Done, Failure> {
        let report = Report::parse(output)?;
        let Some(last) = report.items().last().filter(|last| last.contains_key("any")) else {
            return Err(Failure::new("the script that places the files did not come to its end"));
        };
        Ok(Done {
            changed: get(last, "any") == "1",
            result: self.result(&report, true),
            diff: None,
            message: None,
        })
    }
}
