//! group_vars and host_vars: which files belong to a name, and their variables.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::graph::Graph;
use super::tree;
use crate::template::{Binding, Layer};
use crate::yaml::{self, Diagnostic, Diagnostics, Severity, Value};

/// The variables that stand in one folder's group_vars and host_vars, by the name that they are for.
#[derive(Debug, Default)]
pub(super) struct Beside {
    groups: HashMap<String, Vec<Arc<Layer>>>,
    hosts: HashMap<String, Vec<Arc<Layer>>>,
}

/// Names that are this machine where the inventory has no such host.
pub(super) const LOCALHOST: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

impl Beside {
    /// Reads what `folder` holds for the groups and hosts of the graph.
    pub(super) fn read(folder: &Path, graph: &Graph, files: &mut Vec<PathBuf>, found: &mut Diagnostics) -> Beside {
        let mut reader = Reader { files, found };
        let hosts = graph.hosts.keys().map(String::as_str);
        let local = LOCALHOST.into_iter().filter(|name| !graph.hosts.contains_key(*name));
        Beside {
            groups: reader.folder(&folder.join("group_vars"), graph.groups.keys().map(String::as_str)),
            hosts: reader.folder(&folder.join("host_vars"), hosts.chain(local)),
        }
    }

    pub(super) fn group(&self, name: &str) -> &[Arc<Layer>] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn host(&self, name: &str) -> &[Arc<Layer>] {
        self.hosts.get(name).map_or(&[], Vec::as_slice)
    }
}

struct Reader<'a> {
    files: &'a mut Vec<PathBuf>,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn folder<'n>(&mut self, folder: &Path, names: impl Iterator<Item = &'n str>) -> HashMap<String, Vec<Arc<Layer>>> {
        let mut layers = HashMap::new();
        if !folder.is_dir() {
            if folder.exists() {
                self.found.push(
                    Diagnostic::general(format!(
                        "`{}` is not a folder, so nothing is read from it",
                        folder.display()
                    ))
                    .severity(Severity::Warning),
                );
            }
            return layers;
        }
        let Some(entries) = self.entries(folder) else {
            return layers;
        };
        let entries: HashSet<String> = entries.into_iter().collect();
        for name in names {
            // A name that is a path is no name of a file (chroot connections are called `/path`).
            if name.starts_with('/') {
                continue;
            }
            let paths = self.paths(folder, name, &entries);
            let of_name: Vec<Arc<Layer>> = paths.iter().filter_map(|path| self.file(path)).collect();
            if !of_name.is_empty() {
                layers.insert(name.to_owned(), of_name);
            }
        }
        layers
    }

    /// Sorted by name.
    fn entries(&mut self, folder: &Path) -> Option<Vec<String>> {
        let read = || -> std::io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(folder)? {
                names.extend(entry?.file_name().into_string().ok());
            }
            names.sort();
            Ok(names)
        };
        read()
            .map_err(|error| {
                let message = format!("cannot read the folder `{}`: {error}", folder.display());
                self.found.push(Diagnostic::general(message));
            })
            .ok()
    }

    /// The first of NAME, NAME.yml, NAME.yaml, NAME.json that is there; a folder stands for the files in it.
    fn paths(&mut self, folder: &Path, name: &str, entries: &HashSet<String>) -> Vec<PathBuf> {
        for end in ["", ".yml", ".yaml", ".json"] {
            let file = format!("{name}{end}");
            if !name.contains('/') && !entries.contains(&file) {
                continue;
            }
            let path = folder.join(file);
            // A dangling link is not there.
            match fs::metadata(&path) {
                Ok(about) if about.is_dir() => {
                    let mut paths = Vec::new();
                    self.below(&path, &mut paths, 0);
                    return paths;
                }
                Ok(_) => return vec![path],
                Err(_) => {}
            }
        }
        Vec::new()
    }

    fn below(&mut self, folder: &Path, paths: &mut Vec<PathBuf>, depth: usize) {
        if depth > 32 {
            let message = format!(
                "`{}` is nested too deeply (a link to a folder above it?)",
                folder.display()
            );
            self.found.push(Diagnostic::general(message));
            return;
        }
        for name in self.entries(folder).unwrap_or_default() {
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let path = folder.join(&name);
            let extension = Path::new(&name).extension().and_then(|e| e.to_str());
            match fs::metadata(&path) {
                Ok(about) if about.is_dir() && extension.is_none() => self.below(&path, paths, depth + 1),
                Ok(about) if about.is_file() && matches!(extension, None | Some("yml" | "yaml" | "json")) => {
                    paths.push(path);
                }
                _ => {}
            }
        }
    }

    /// None for a file that is empty or wrong.
    fn file(&mut self, path: &Path) -> Option<Arc<Layer>> {
        self.files.push(path.to_owned());
        let parsed = yaml::read(path)
            .map_err(Diagnostics::from)
            .and_then(|s| tree::parse(&s));
        let node = match parsed {
            Ok(node) => node,
            Err(errors) => {
                self.found.extend(errors);
                return None;
            }
        };
        tree::refuse_vaults(&node, self.found);
        match node.value {
            Value::Map(entries) => {
                let mut layer = Layer::with_capacity(entries.len());
                for (key, value) in entries {
                    layer.insert(key.text.unwrap_or_default(), Binding::Template(Arc::new(value)));
                }
                (!layer.is_empty()).then(|| Arc::new(layer))
            }
            _ if !tree::truthy(&node) => None,
            _ => {
                self.found.push(Diagnostic::error(
                    &node.span,
                    format!("a file of variables must be a mapping, found {}", node.kind_name()),
                ));
                None
            }
        }
    }
}
