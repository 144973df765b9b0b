//! Flips the files of one version of a service (binary, configuration, unit) together, and back.
//!
//!     - swap:
//!         name: widget
//!         version: "1.1"
//!         files:
//!           - { dest: /usr/local/bin/widget, src: files/widget-1.1 }
//!           - { dest: /etc/widget.yml, template: widget.yml.j2, owner: root, group: widget, mode: "0640" }
//!           - { dest: /etc/systemd/system/widget.service, src: files/widget.service }
//!         validate: "{/usr/local/bin/widget} check --config {/etc/widget.yml}"
//!
//! Releases are kept below the host's state folder, in `releases/NAME/VERSION-DIGEST/`, each file under its whole
//! destination path. The digest is of content, owners and modes, so one version with two configurations is two
//! releases. Every destination is a symbolic link through `releases/NAME/current`, and all of them change by one rename
//! of that link: a destination is never missing. Only systemd units (in a `systemd/system` or `systemd/user` folder, or
//! named `*.service`, `*.timer` …) are plain files, written by rename and followed by `systemctl daemon-reload`.
//!
//! A file of a release has exactly one of `src` (a file), `template` (a template file, rendered for the host) and
//! `content` (text). `sha256` is what the content must have; a `src` that has another is refused before any host is
//! asked. Without `mode` a `src` keeps whether it is executable (0755, else 0644), `template` and `content` are 0644, or
//! 0600 where a secret is in them. Without `owner` and `group` a file belongs to the account of the step.
//!
//! What stands at a destination at first is adopted: it becomes the release `adopted-DIGEST` with owner and mode, and is
//! what `back` goes to. A destination that a later version does not list any more becomes a plain file and is left alone.
//!
//! `state: staged` sends and verifies the files and changes nothing that runs. A step with `version` and without `files`
//! flips what was staged last under that version.
//!
//! `validate` is a command for `/bin/sh` that must exit with 0. It runs on the host as the step's account before the
//! flip, and after staging with `state: staged`; not where the release is active already. It runs in the folder of the
//! new release, and REFIT_RELEASE is that folder. `{/DEST}` stands for the new file of that destination, as
//! `${REFIT_RELEASE}/DEST` would (quote it as you quote a variable). In check mode it runs where the release is staged.
//!
//! `back: true` goes back to what the same stage of the same run replaced on the host. Where it replaced nothing (the
//! swap was not reached, did not pass `validate`, or was the first release ever with nothing to adopt), nothing is done.
//! Destinations that the old release did not have go away.
//!
//! Refused: a state folder that is mounted noexec, one that a user of the service cannot reach (owners of files, `User=`
//! of the unit, who runs the executable now), a binary for another machine, too little space.
//!
//! `from` and `to` are versions; `from` is null where there was none. Restart the service with the kind `service`, which
//! compares the running executable with the release.

mod action;
mod release;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use self::action::{Files, Swap};
use self::release::{Content, Entry, Release, unit_user};
use super::{Action, Context, Kind, Param, Params, Ty, UploadFrom};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct SwapKind;
pub(super) static KIND: SwapKind = SwapKind;

const PARAMS: &[Param] = &[
    Param::required("name", Ty::Text, "the service; one folder of releases on the host"),
    Param::new("version", Ty::Version, "the version; needed unless `back` is given"),
    Param::new(
        "files",
        Ty::Any,
        "list of {dest, src | template | content, mode, owner, group, sha256}; without it, what was staged is flipped",
    ),
    Param::new(
        "state",
        Ty::Choice(&["active", "staged"]),
        "`staged` only puts the files on the host; `active` (default) flips them too.",
    ),
    Param::new(
        "validate",
        Ty::Text,
        "command that must accept the new files before they are flipped; `{/DEST}` is the new file of a destination",
    ),
    Param::new("back", Ty::Bool, "go back to what this stage of this run replaced"),
];

const FILE: &[Param] = &[
    Param::required("dest", Ty::Path, "where the file stands on the host; an absolute path"),
    Param::new("src", Ty::File, "a file on the controller"),
    Param::new("template", Ty::File, "a template file on the controller"),
    Param::new("content", Ty::Text, "the text itself"),
    Param::new("mode", Ty::Mode, "its mode"),
    Param::new("owner", Ty::Text, "its user"),
    Param::new("group", Ty::Text, "its group"),
    Param::new("sha256", Ty::Text, "what the content must have"),
];

impl Kind for SwapKind {
    fn name(&self) -> &'static str {
        "swap"
    }

    fn manual(&self) -> &'static str {
        super::list::manual!("mod.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["from", "to"]
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        match decode(params, context, true) {
            Ok(_) => Diagnostics::default(),
            Err(found) => found,
        }
    }

    fn artefacts(&self, params: &Params, context: &Context<'_>) -> Vec<PathBuf> {
        let files = params.nested("files", "a file of `swap`", FILE).unwrap_or_default();
        files.iter().flat_map(|file| file.files(FILE, context.folder)).collect()
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        Ok(Action::Shell(Box::new(decode(params, context, false)?)))
    }
}

/// `lint`: what is pending is no error.
fn decode(params: &Params, context: &Context<'_>, lint: bool) -> Result<Swap, Diagnostics> {
    let mut found = Diagnostics::default();
    let back = params.bool("back").unwrap_or(false);
    for name in ["name", "version"] {
        if let Some(Err(why)) = params.text(name).map(|text| check_name(&text)) {
            found.push(params.error(name, format!("`{name}` {why}")));
        }
    }
    if back {
        for name in ["version", "files", "validate", "state"] {
            if params.has(name) {
                found.push(params.error(name, format!("`{name}` has no meaning with `back: true`")));
            }
        }
    } else if !params.has("version") && !params.pending("back") {
        found.push(
            Diagnostic::error(&params.at, "`swap` needs `version`")
                .help("or `back: true`, which goes back to what this stage replaced"),
        );
    }
    if params.text("version").as_deref() == Some("adopted") {
        found.push(params.error(
            "version",
            "`version` cannot be `adopted`: releases that were found are called so",
        ));
    }
    let staged = params.choice("state").as_deref() == Some("staged");
    if staged && !params.has("files") {
        found.push(params.error("state", "`state: staged` needs `files`"));
    }
    let entries = match params.nested("files", "a file of `swap`", FILE) {
        Ok(files) => entries(&files, params, context, lint, &mut found),
        Err(more) => {
            found.extend(more);
            Vec::new()
        }
    };
    let known_files = params.has("files") && !params.pending("files") && !found.has_errors();
    if known_files && entries.is_empty() && !lint {
        found.push(params.error("files", "`files` is empty"));
    }
    let mut seen: Vec<&str> = Vec::new();
    for entry in &entries {
        let parent = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with('/'));
        if seen.contains(&entry.dest.as_str()) {
            found.push(params.error("files", format!("{} is a destination twice", entry.dest)));
        } else if let Some(other) = seen
            .iter()
            .find(|other| parent(other, &entry.dest) || parent(&entry.dest, other))
        {
            found.push(params.error("files", format!("{} and {other} cannot both be files", entry.dest)));
        }
        seen.push(&entry.dest);
    }
    let validate = match params.text("validate") {
        None => None,
        Some(text) if text.contains('\0') => {
            found.push(params.error("validate", "a NUL character cannot be part of a command"));
            None
        }
        Some(text) => match with_destinations(&text, known_files.then_some(&seen[..])) {
            Ok(text) => Some(text),
            Err(wrong) => {
                let mut error = params.error("validate", format!("`{{{wrong}}}` is no destination of `files`"));
                if let Some(close) = seen.iter().min_by_key(|dest| strsim::levenshtein(dest, &wrong)) {
                    error = error.help(format!("did you mean `{{{close}}}`?"));
                }
                found.push(error);
                None
            }
        },
    };
    if found.has_errors() {
        return Err(found);
    }
    let version = params.version("version").unwrap_or_default();
    let files = if back {
        Files::Back
    } else if params.has("files") {
        Files::Given(Release::new(&version, entries))
    } else {
        Files::Staged
    };
    Ok(Swap {
        name: params.text("name").unwrap_or_default(),
        version,
        files,
        staged,
        validate,
        run: context.run.as_str().to_owned(),
        stage: context.stage.to_owned(),
        environment: context
            .environment
            .iter()
            .map(|(name, (value, _))| (name.clone(), value.clone()))
            .collect(),
        diff: context.diff,
        quiet: context.quiet,
    })
}

fn entries(
    files: &[Params],
    params: &Params,
    context: &Context<'_>,
    lint: bool,
    found: &mut Diagnostics,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    for file in files {
        match entry(file, params, context, lint) {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => {}
            Err(error) => found.push(error),
        }
    }
    entries
}

/// None where the content is not known yet.
fn entry(file: &Params, params: &Params, context: &Context<'_>, lint: bool) -> Result<Option<Entry>, Diagnostic> {
    let Some(dest) = file.path("dest") else {
        return Err(Diagnostic::error(&file.at, "a file of `swap` needs `dest`"));
    };
    if let Err(why) = check_dest(&dest) {
        return Err(file.error("dest", format!("`dest` {why}")));
    }
    for name in ["owner", "group"] {
        let text = file.text(name).unwrap_or_else(|| "root".into());
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-$@".contains(c);
        if text.starts_with('-') || text.is_empty() || !text.chars().all(plain) {
            return Err(file.error(name, format!("`{name}` is no name: {}", text.escape_debug())));
        }
    }
    let sources: Vec<&str> = ["src", "template", "content"]
        .into_iter()
        .filter(|name| file.has(name))
        .collect();
    let [source] = sources[..] else {
        let message = match sources.first() {
            None => "a file of `swap` needs one of `src`, `template` and `content`".to_owned(),
            Some(_) => format!("only one of `{}` can be given", sources.join("` and `")),
        };
        return Err(Diagnostic::error(&file.at, message));
    };
    let (content, from, text, secret) = match source {
        "src" => {
            let path = file.file("src", context.folder).unwrap_or_default();
            let content = Content::of_file(&path, file.span("src"))?;
            let text = small_text(&path, &content);
            (content, UploadFrom::File(path), text, false)
        }
        _ => {
            let (text, secret) = if source == "template" {
                let path = file.file("template", context.folder).unwrap_or_default();
                let rendered = context.render_file(&path, file.span("template"))?;
                if !rendered.pending.is_empty() {
                    if lint {
                        return Ok(None);
                    }
                    let names = rendered.pending.join(", ");
                    return Err(file.error("template", format!("the template needs {names}, not known yet")));
                }
                let text = rendered.value.as_str().unwrap_or_default().to_owned();
                (text, rendered.secret)
            } else {
                (file.text("content").unwrap_or_default(), params.secret("files"))
            };
            let bytes = text.clone().into_bytes();
            let shown = (!secret).then(|| Arc::from(text.as_str()));
            (
                Content::of_bytes(&bytes),
                UploadFrom::Bytes(Arc::new(bytes)),
                shown,
                secret,
            )
        }
    };
    if let Some(wanted) = file.text("sha256") {
        let wanted = wanted.trim().to_lowercase();
        if wanted.len() != 64 || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(file.error("sha256", "`sha256` must be 64 hex digits"));
        }
        if wanted != content.sha256 {
            return Err(file
                .error("sha256", format!("the content of {dest} has another sha256"))
                .help(format!("it is {}", if secret { "<secret>" } else { &content.sha256 })));
        }
    }
    let mode = match file.mode("mode") {
        Some(mode) => mode.0,
        None if content.executable => 0o755,
        None if secret => 0o600,
        None => 0o644,
    };
    let user = match &from {
        UploadFrom::Bytes(bytes) if release::is_unit(&dest) => unit_user(&String::from_utf8_lossy(bytes)),
        UploadFrom::File(_) if release::is_unit(&dest) => text.as_deref().and_then(unit_user),
        _ => None,
    };
    Ok(Some(Entry {
        dest,
        mode,
        owner: file.text("owner"),
        group: file.text("group"),
        sha256: content.sha256,
        size: content.size,
        from,
        machine: content.machine,
        text,
        user,
    }))
}

/// The text of a file that is small enough for a diff.
fn small_text(path: &std::path::Path, content: &Content) -> Option<Arc<str>> {
    if content.size > 64 * 1024 || content.machine.is_some() {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    (!text.contains('\0')).then(|| text.into())
}

/// Names and versions are parts of file names on the host, and words in its records.
fn check_name(text: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-~".contains(c);
    if text.is_empty() || text.len() > 100 {
        Err("must have 1 to 100 characters")
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Err("must begin with a letter or a digit")
    } else if !text.chars().all(plain) {
        Err("can hold only letters, digits and `. _ + - ~`")
    } else {
        Ok(())
    }
}

fn check_dest(dest: &str) -> Result<(), &'static str> {
    let Some(below) = dest.strip_prefix('/') else {
        return Err("must be an absolute path");
    };
    if dest.contains(char::is_control) {
        return Err("holds a control character");
    }
    if dest.trim() != dest {
        return Err("ends in white space");
    }
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("must name a file, without `.`, `..` and `//`");
    }
    if below == ".manifest" || below.ends_with(".refit-new") {
        return Err("is a name of Refit's own");
    }
    Ok(())
}

/// `{/etc/x}` becomes `${REFIT_RELEASE}/etc/x`. The error is the path that is no destination.
fn with_destinations(text: &str, known: Option<&[&str]>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{/") {
        let Some(end) = rest[at..].find('}') else { break };
        let dest = &rest[at + 1..at + end];
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at + end + 1]);
        } else {
            if known.is_some_and(|known| !known.contains(&dest)) {
                return Err(dest.to_owned());
            }
            out.push_str(&rest[..at]);
            out.push_str("${REFIT_RELEASE}");
            out.push_str(dest);
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
