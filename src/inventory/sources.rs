//! From what `-i` names to the reader of its form.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::graph::{Graph, Origin, UNGROUPED};
use super::{address, ini, tree};
use crate::yaml::{self, Diagnostic, Diagnostics, Severity, Source, Span};

/// Folders in folders.
const MAX_DEPTH: usize = 32;

/// Reads sources into one graph.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) graph: Graph,
    /// Where group_vars and host_vars are looked up, lowest precedence first.
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: Vec<PathBuf>,
    pub(super) found: Diagnostics,
}

impl Sources {
    pub(super) fn new() -> Sources {
        Sources {
            graph: Graph::new(),
            folders: Vec::new(),
            files: Vec::new(),
            found: Diagnostics::default(),
        }
    }

    /// One source as given, relative to `folder`.
    pub(super) fn read(&mut self, given: &str, folder: &Path) {
        if given.is_empty() {
            return;
        }
        let path = below(folder, given);
        self.graph.named = false;
        if given.contains(',') && !path.exists() {
            self.host_list(given);
            return;
        }
        match fs::metadata(&path) {
            Ok(about) if about.is_dir() => {
                self.folders.push(path.clone());
                self.directory(&path, 0);
            }
            Ok(_) => {
                self.folders.push(match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                    _ => PathBuf::from("."),
                });
                self.file(&path);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.found.push(
                    Diagnostic::general(format!("no such inventory source: `{given}`"))
                        .help(format!("a list of hosts has a comma: `-i {given},`")),
                );
                return;
            }
            Err(error) => {
                self.found.push(Diagnostic::general(format!(
                    "cannot read the inventory source `{given}`: {error}"
                )));
                return;
            }
        }
        if !self.graph.named && !self.found.has_errors() {
            self.found.push(
                Diagnostic::general(format!("the inventory source `{given}` holds no host")).severity(Severity::Note),
            );
        }
        // Keeps only the last place of a folder: it is applied as a whole, so earlier ones have no effect.
        if let Some(last) = self.folders.last().cloned()
            && let Some(first) = self.folders.iter().position(|f| *f == last)
            && first + 1 < self.folders.len()
        {
            self.folders.remove(first);
        }
    }

    fn host_list(&mut self, given: &str) {
        self.graph.origin = Some(Arc::new(Origin {
            file: given.to_owned(),
            dir: None,
        }));
        let source = Source::new("-i", given);
        let mut start = 0;
        for part in given.split(',') {
            let name = part.trim();
            let begin = start + part.len() - part.trim_start().len();
            start += part.len() + 1;
            if name.is_empty() {
                continue;
            }
            let at = Span::new(&source, begin, begin + name.len());
            let (host, port) = match address::parse_address(name) {
                Some((host, port)) if !host.contains('[') => (host, port),
                _ => (name, None),
            };
            let port = match port.map(str::parse::<u16>) {
                None => None,
                Some(Ok(port)) => (port != 0).then(|| ini::port_node(port.into(), &at)),
                Some(Err(_)) => {
                    self.found.push(Diagnostic::error(&at, "this is no port"));
                    continue;
                }
            };
            if !self.graph.hosts.contains_key(host)
                && let Err(conflict) = self.graph.add_host(host, UNGROUPED, port.as_ref(), &at)
            {
                self.found.push(Diagnostic::error(&at, conflict.to_string()));
            }
        }
    }

    fn directory(&mut self, folder: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            let message = format!(
                "`{}` is nested too deeply (a link to a folder above it?)",
                folder.display()
            );
            self.found.push(Diagnostic::general(message));
            return;
        }
        let entries = match fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("cannot read the folder `{}`: {error}", folder.display());
                self.found.push(Diagnostic::general(message));
                return;
            }
        };
        let mut names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
        names.sort();
        for name in names {
            if name.to_str().is_some_and(ignored) {
                continue;
            }
            let path = folder.join(&name);
            match fs::metadata(&path) {
                Ok(about) if about.is_dir() => self.directory(&path, depth + 1),
                Ok(_) => self.file(&path),
                Err(error) => {
                    let mut wrong = Diagnostic::general(format!("cannot read `{}`: {error}", path.display()));
                    if path.is_symlink() {
                        wrong = wrong.help("the link leads nowhere");
                    }
                    self.found.push(wrong);
                }
            }
        }
    }

    fn file(&mut self, path: &Path) {
        self.files.push(path.to_owned());
        let absolute = absolute(path);
        self.graph.origin = Some(Arc::new(Origin {
            file: absolute.to_string_lossy().into_owned(),
            dir: absolute.parent().map(|dir| dir.to_string_lossy().into_owned()),
        }));
        let extension = path.extension().and_then(|e| e.to_str());
        if extension == Some("toml") {
            self.found.push(
                Diagnostic::general(format!("`{}`: Refit does not read TOML inventories", path.display())).help(
                    format!(
                        "print what it gives to a file: ansible-inventory -i {} --list --yaml > hosts.yml",
                        path.display()
                    ),
                ),
            );
            return;
        }
        if let Some(program) = program(path) {
            self.found.push(
                Diagnostic::general(format!(
                    "`{}` is executable and {program}: inventory scripts are known, not built yet",
                    path.display()
                ))
                .help("if it is no script, take the right to execute away (chmod -x)"),
            );
            return;
        }
        let tried_yaml = matches!(extension, None | Some("yml" | "yaml" | "json"));
        let source = yaml::read(path);
        let mut refused = None;
        if tried_yaml && let Ok(source) = &source {
            match tree::parse(source) {
                Ok(node) => match tree::declined(&node) {
                    None => {
                        let found = tree::read(&node, &mut self.graph);
                        self.found.extend(found);
                        return;
                    }
                    Some(reason) => refused = Some(Diagnostics::from(Diagnostic::error(&node.span, reason))),
                },
                Err(errors) => refused = Some(errors),
            }
        }
        let (source, mut found) = match source {
            Ok(source) => (source, Diagnostics::default()),
            Err(error) => match lossy(path) {
                Some(lossy) => lossy,
                None => {
                    self.found.push(error);
                    return;
                }
            },
        };
        found.extend(ini::read(&source, &mut self.graph));
        match refused {
            Some(yaml) if found.has_errors() => self.both(&source, yaml, found, extension.is_some()),
            _ => self.found.extend(found),
        }
    }

    /// No reader takes the file: the errors of the likelier form, and the first of the other.
    fn both(&mut self, source: &Arc<Source>, yaml: Diagnostics, ini: Diagnostics, named_yaml: bool) {
        let first_line = source
            .text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with(['#', ';']))
            .unwrap_or_default();
        let word = first_line.split_whitespace().next().unwrap_or_default();
        let looks_yaml =
            first_line.starts_with(['-', '{', '%']) || word.ends_with(':') || source.text.starts_with("$ANSIBLE_VAULT");
        let (likely, other, form) = if named_yaml || looks_yaml {
            (yaml, ini, "INI")
        } else {
            (ini, yaml, "YAML")
        };
        let reason = other
            .iter()
            .find(|d| d.severity == Severity::Error)
            .map(|d| match &d.at {
                Some(at) => format!("read as {form}, line {}: {}", at.line_column().0, d.message),
                None => format!("read as {form}: {}", d.message),
            });
        let mut reason = reason;
        for mut diagnostic in likely {
            if diagnostic.severity == Severity::Error {
                diagnostic.help.extend(reason.take());
            }
            self.found.push(diagnostic);
        }
    }
}

/// `given` below `folder`, kept as given where that is the current one.
pub(super) fn below(folder: &Path, given: &str) -> PathBuf {
    if folder.as_os_str().is_empty() || folder == Path::new(".") {
        PathBuf::from(given)
    } else {
        folder.join(given)
    }
}

/// Absolute, without `.` and `..`, links left alone.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for part in full.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Entries of a folder that are no inventories.
fn ignored(name: &str) -> bool {
    const ENDS: [&str; 12] = [
        ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry",
    ];
    name.starts_with('.')
        || ["host_vars", "group_vars", "vars_plugins"].contains(&name)
        || ENDS.iter().any(|end| name.ends_with(end))
}

/// What an executable file would run as; None where starting it fails and the other readers have their turn.
fn program(path: &Path) -> Option<&'static str> {
    let about = fs::metadata(path).ok()?;
    if !about.is_file() || about.permissions().mode() & 0o111 == 0 {
        return None;
    }
    let mut start = [0; 4];
    let length = std::io::Read::read(&mut fs::File::open(path).ok()?, &mut start).ok()?;
    match &start[..length] {
        [b'#', b'!', ..] => Some("begins with `#!`"),
        b"\x7fELF" => Some("a program"),
        _ => None,
    }
}

/// A file that is not UTF-8 as INI allows it: other bytes stand in comment lines alone.
fn lossy(path: &Path) -> Option<(Arc<Source>, Diagnostics)> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let source = Source::new(path, text);
    let mut found = Diagnostics::default();
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let shown = String::from_utf8_lossy(line);
        if std::str::from_utf8(line).is_err() && !shown.trim_start().starts_with(['#', ';']) {
            let bad = shown.find('\u{fffd}').unwrap_or(0);
            found.push(
                Diagnostic::error(&Span::new(&source, at + bad, at + bad + 3), "this is not UTF-8")
                    .help("save the file as UTF-8"),
            );
        }
        at += shown.len();
    }
    Some((source, found))
}
