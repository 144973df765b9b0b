//! Puts a file, a folder or a text from the controller onto a host.
//!
//!     - copy: { src: files/app.conf, dest: /etc/app/app.conf, owner: root, group: app, mode: "0640" }
//!     - copy: { content: "{{ motd }}", dest: /etc/motd }
//!     - copy: { src: conf.d/, dest: /etc/app/conf.d }
//!
//! The destination's folder must be there (`dest` with a slash at its end, and a folder, are made). A folder is copied
//! with what is below it; with a slash at the end of `src`, what is in it without itself. Links in it are followed.
//! `content` that is a mapping or a list is written as JSON. (As in Ansible, one newline at the end of a template is not part
//! of its value: end the text with two, or use `template`.)
//!
//! A file is written beside its destination, gets owner and mode, is compared by sha256 and renamed, so that a reader sees
//! the old one or the new one. What is not given stays as it was. A new file has what the umask leaves of 0666, or 0600
//! where its content is a secret. Secret content shows no diff, and the result has no `sha256` of it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::place::{self, Placement, What};
use super::process::one_of;
use super::{Action, Context, Kind, Param, Params, Ty, Upload, list, upload};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Copy;
pub(super) static KIND: Copy = Copy;

const PARAMS: &[Param] = &[
    Param::new("src", Ty::File, "file or folder on the controller"),
    Param::new("content", Ty::Any, "what the file holds, instead of `src`"),
    place::DEST,
    place::OWNER,
    place::GROUP,
    place::MODE,
    Param::new("directory_mode", Ty::Mode, "permissions of folders that are made"),
    place::FORCE,
    place::FOLLOW,
    place::VALIDATE,
];

/// Files that one step may send: a mistyped folder is more likely.
const MAX_FILES: usize = 10_000;

fn what(params: &Params, context: &Context<'_>) -> Result<Option<What>, Diagnostic> {
    if params.has("content") {
        if params.text("dest").is_some_and(|dest| dest.ends_with('/')) {
            return Err(params.error("dest", "`content` has no name: `dest` must be a file"));
        }
        let upload = params
            .given
            .get("content")
            .filter(|given| given.rendered.pending.is_empty());
        return Ok(upload.map(|given| What::One {
            upload: upload::bytes(content(&given.rendered.value, params).into_bytes()),
            name: None,
        }));
    }
    let Some(path) = params.file("src", context.folder) else {
        return Ok(None);
    };
    let at = params.span("src");
    let slash = params.text("src").is_some_and(|text| text.ends_with('/'));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    if !path.is_dir() {
        return Ok(Some(What::One {
            upload: upload::file(&path, at)?,
            name,
        }));
    }
    let top = match (slash, name) {
        (false, Some(name)) => name,
        _ => String::new(),
    };
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    if !top.is_empty() {
        folders.push(top.clone());
    }
    walk(&path, &top, &mut Vec::new(), &mut files, &mut folders).map_err(|message| params.error("src", message))?;
    let files = files
        .into_iter()
        .map(|(below, path)| Ok((below, upload::file(&path, at)?)))
        .collect::<Result<Vec<(String, Upload)>, Diagnostic>>()?;
    Ok(Some(What::Tree { files, folders }))
}

/// Collects what is below a folder, in the order of the names.
fn walk(
    folder: &Path,
    below: &str,
    above: &mut Vec<PathBuf>,
    files: &mut Vec<(String, PathBuf)>,
    folders: &mut Vec<String>,
) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("cannot read {}: {}", folder.display(), upload::reason(&error));
    let real = folder.canonicalize().map_err(problem)?;
    if above.contains(&real) {
        return Err(format!("{} is a link to a folder that it stands in", folder.display()));
    }
    above.push(real);
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        .map_err(problem)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            return Err(format!("the name of {} is not UTF-8", path.display()));
        };
        let below = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        if path.is_dir() {
            folders.push(below.clone());
            walk(&path, &below, above, files, folders)?;
        } else {
            files.push((below, path));
        }
        if files.len() > MAX_FILES {
            return Err(format!("more than {MAX_FILES} files"));
        }
    }
    above.pop();
    Ok(())
}

/// Text as it is; a mapping or a list as Python's `json.dumps` writes it.
fn content(value: &Value, params: &Params) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(_) | Value::Object(_) => {
            let mut text = Vec::new();
            let mut writer = serde_json::Serializer::with_formatter(&mut text, Spaced);
            match value.serialize(&mut writer) {
                Ok(()) => String::from_utf8_lossy(&text).into_owned(),
                Err(_) => value.to_string(),
            }
        }
        _ => params.text("content").unwrap_or_default(),
    }
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

impl Kind for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn manual(&self) -> &'static str {
        list::manual!("copy.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        place::RESULTS
    }

    fn later(&self) -> &'static [&'static str] {
        &[
            "attributes",
            "backup",
            "checksum",
            "decrypt",
            "local_follow",
            "remote_src",
            "selevel",
            "serole",
            "setype",
            "seuser",
            "unsafe_writes",
        ]
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = one_of(params, "copy", &["src", "content"]);
        found.extend(place::lint(params));
        if !found.has_errors() {
            found.extend(what(params, context).err());
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = one_of(params, "copy", &["src", "content"]);
        if found.has_errors() {
            return Err(found);
        }
        let Some(what) = what(params, context)? else {
            return Err(params.error("src", "`src` has no value").into());
        };
        let placement = Placement::new(params, context, what, params.secret("content"))?;
        Ok(Action::Shell(Box::new(placement)))
    }
}
