//! refit.yml: default inventory, journal, release catalog, environments. There is no other global configuration.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::yaml::decode::{self, Fields, has_template};
use crate::yaml::{self, Diagnostic, Diagnostics, Node, Rules, Source, Span, Value};

const FILE: &str = "refit.yml";

/// The project file that is nearest to a folder, upward. Paths in it are joined to its folder.
#[derive(Debug)]
pub(crate) struct Project {
    /// What `-i` would be given; taken where no `-i` is.
    pub(crate) inventory: Vec<String>,
    pub(crate) journal: Option<PathBuf>,
    /// A release catalog of the team's, over the shipped one.
    pub(crate) catalog: Option<PathBuf>,
    pub(crate) environments: IndexMap<String, Environment>,
}

#[derive(Debug)]
pub(crate) struct Environment {
    /// Sources that make a run belong to it.
    pub(crate) inventory: Vec<String>,
    /// Its name must be typed, or given by `--yes`, before a run.
    pub(crate) protected: bool,
}

impl Project {
    /// None where no folder up to the root has a `refit.yml`.
    pub(crate) fn find(folder: &Path) -> Result<Option<Project>, Diagnostics> {
        let whole = std::path::absolute(folder).map_err(|error| {
            Diagnostic::general(format!("no way from `{}` to its project: {error}", folder.display()))
        })?;
        // The path as the user would write it, where that is the folder itself.
        let near = match folder == Path::new(".") || folder == Path::new("") {
            true => PathBuf::from(FILE),
            false => folder.join(FILE),
        };
        std::iter::once(near)
            .chain(whole.ancestors().skip(1).map(|above| above.join(FILE)))
            .find(|path| path.symlink_metadata().is_ok())
            .map(|path| Project::read(&path))
            .transpose()
    }

    fn read(path: &Path) -> Result<Project, Diagnostics> {
        let source = yaml::read(path)?;
        let root = yaml::parse(&source, Rules::Core)?;
        let mut found = Diagnostics::default();
        let mut project = Project {
            inventory: Vec::new(),
            journal: None,
            catalog: None,
            environments: IndexMap::new(),
        };
        if !matches!(root.value, Value::Null)
            && let Some(mut fields) = Fields::of(&root, "refit.yml", &mut found)
        {
            project.inventory = sources(&source, fields.node("inventory"), &mut found);
            project.journal = fields
                .get("journal", path_text, &mut found)
                .map(|text| source.folder().join(text));
            if let Some(node) = fields.node("environments") {
                project.environments = environments(&source, node, &mut found);
            }
            if let Some(node) = fields.node("temporal")
                && let Some(mut fields) = Fields::of(node, "`temporal`", &mut found)
            {
                let path = fields.get("catalog", path_text, &mut found);
                project.catalog = path.map(|text| source.folder().join(text));
                fields.finish(&mut found);
            }
            if let Some((key, _)) = fields.entry("notifications") {
                let message = "`notifications` is known, not built yet";
                found.push(Diagnostic::error(&key.span, message));
            }
            fields.finish(&mut found);
        }
        if found.has_errors() { Err(found) } else { Ok(project) }
    }

    /// The environment that lists one of the sources, or a folder above it, and whether it is protected. Of several a
    /// protected one. Paths are compared with links resolved.
    pub(crate) fn environment_of(&self, sources: &[String]) -> Option<(&str, bool)> {
        let real = |path: &String| Path::new(path).canonicalize().ok();
        let given: Vec<PathBuf> = sources.iter().filter_map(real).collect();
        let mut mine = self
            .environments
            .iter()
            .filter(|(_, environment)| {
                environment.inventory.iter().any(|listed| {
                    sources.contains(listed)
                        || real(listed).is_some_and(|listed| given.iter().any(|source| source.starts_with(&listed)))
                })
            })
            .map(|(name, environment)| (name.as_str(), environment.protected))
            .collect::<Vec<_>>();
        mine.sort_by_key(|(_, protected)| !protected);
        mine.first().copied()
    }
}

fn path_text(node: &Node) -> Result<String, Diagnostic> {
    let text = decode::literal(node)?;
    match text.is_empty() {
        true => Err(Diagnostic::error(&node.span, "a path may not be empty")),
        false => Ok(text),
    }
}

/// A source or a list of them. A list of hosts (`a,b,`) is no path.
fn sources(source: &Source, node: Option<&Node>, found: &mut Diagnostics) -> Vec<String> {
    let items = match node.map(decode::list) {
        None => return Vec::new(),
        Some(Ok(items)) => items,
        Some(Err(wrong)) => {
            found.push(wrong);
            return Vec::new();
        }
    };
    let mut sources = Vec::new();
    for item in items {
        match path_text(item) {
            Ok(text) => {
                let path = source.folder().join(&text);
                sources.push(match text.contains(',') && !path.exists() {
                    true => text,
                    false => path.strip_prefix("./").unwrap_or(&path).to_string_lossy().into_owned(),
                });
            }
            Err(wrong) => found.push(wrong),
        }
    }
    sources
}

fn environments(source: &Source, node: &Node, found: &mut Diagnostics) -> IndexMap<String, Environment> {
    let mut all = IndexMap::new();
    let mut listed: IndexMap<String, Span> = IndexMap::new();
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => &[],
        _ => {
            found.push(Diagnostic::error(
                &node.span,
                format!("`environments` is a mapping, found {}", node.kind_name()),
            ));
            &[]
        }
    };
    for (key, value) in entries {
        let name = key.text.clone().unwrap_or_default();
        if name.trim().is_empty() || has_template(&name) {
            found.push(Diagnostic::error(&key.span, "the name of an environment is plain text"));
            continue;
        }
        let Some(mut fields) = Fields::of(value, "an environment", found) else {
            continue;
        };
        let inventory = match fields.node("inventory") {
            Some(node) => sources(source, Some(node), found),
            None => {
                found.push(
                    Diagnostic::error(&key.span, format!("the environment `{name}` has no `inventory`"))
                        .help("a run belongs to the environment that lists one of its sources"),
                );
                Vec::new()
            }
        };
        for path in &inventory {
            if let Some(other) = listed.get(path) {
                found.push(
                    Diagnostic::error(&key.span, format!("two environments list `{path}`")).also(other, "the other"),
                );
            }
            listed.insert(path.clone(), key.span.clone());
        }
        let protected = fields.get("protected", decode::boolean, found).unwrap_or(false);
        if let Some((window, _)) = fields.entry("window") {
            let message = "`window` is known, not built yet";
            found.push(Diagnostic::error(&window.span, message));
        }
        fields.finish(found);
        all.insert(name, Environment { inventory, protected });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        folder
    }

    const PROJECT: &str = "\
inventory: inventories/lab
journal: .refit/journal.db
environments:
  staging: { inventory: [inventories/lab] }
  production: { inventory: [inventories/production], protected: yes }
";

    #[test]
    fn the_nearest_file_upward_is_taken() {
        let folder = folder(&[
            ("refit.yml", PROJECT),
            ("a/b/x", ""),
            ("c/refit.yml", "inventory: [h]\n"),
            ("c/d/x", ""),
        ]);
        let at = |path: &str| {
            Project::find(&folder.path().join(path))
                .expect("no error")
                .expect("a project")
        };
        let whole = |path: &str| folder.path().join(path).to_string_lossy().into_owned();
        let project = at("a/b");
        assert_eq!(project.inventory, [whole("inventories/lab")]);
        assert_eq!(project.journal, Some(folder.path().join(".refit/journal.db")));
        assert!(project.environments["production"].protected && !project.environments["staging"].protected);
        assert_eq!(at("c/d").inventory, [whole("c/h")]);
    }

    #[test]
    fn a_run_belongs_to_the_environment_of_its_sources() {
        let folder = folder(&[
            ("refit.yml", PROJECT),
            ("inventories/lab", "h"),
            ("inventories/production/hosts", "h"),
            ("other", "h"),
        ]);
        std::os::unix::fs::symlink(folder.path().join("inventories/production"), folder.path().join("link"))
            .expect("linked");
        let project = Project::find(folder.path()).expect("no error").expect("a project");
        let of = |paths: &[&str]| {
            let paths: Vec<String> = paths
                .iter()
                .map(|path| folder.path().join(path).to_string_lossy().into_owned())
                .collect();
            project.environment_of(&paths)
        };
        assert_eq!(of(&["inventories/lab"]), Some(("staging", false)));
        assert_eq!(of(&["a/../inventories/production"]), None, "a path that is not there");
        assert_eq!(of(&["inventories/../link"]), Some(("production", true)));
        assert_eq!(of(&["link/hosts"]), Some(("production", true)));
        assert_eq!(of(&["inventories/lab", "link"]), Some(("production", true)));
        assert_eq!(of(&["other"]), None);
    }

    #[test]
    fn mistakes_are_shown_together() {
        let folder = folder(&[(
            "refit.yml",
            "inventroy: x\njournal: [a]\nenvironments:\n  a: { protected: maybe, inventory: [x], window: w }\n  b: { inventory: x, protect: true }\n  c:\n  d: {}\nnotifications: {}\n",
        )]);
        let wrong = Project::find(folder.path()).expect_err("mistakes");
        let page = wrong
            .render(false, None)
            .replace(&folder.path().display().to_string(), "DIR");
        insta::assert_snapshot!(page, @r#"
        error: unknown key `inventroy` in refit.yml
         --> DIR/refit.yml:1:1
          |
        1 | inventroy: x
          | ^^^^^^^^^
          |
          = help: did you mean `inventory`?

        error: `journal`: expected text, found a list
         --> DIR/refit.yml:2:10
          |
        2 | journal: [a]
          |          ^^^

        error: `protected`: expected true or false, found text `maybe`
         --> DIR/refit.yml:4:19
          |
        4 |   a: { protected: maybe, inventory: [x], window: w }
          |                   ^^^^^

        error: `window` is known, not built yet
         --> DIR/refit.yml:4:42
          |
        4 |   a: { protected: maybe, inventory: [x], window: w }
          |                                          ^^^^^^

        error: two environments list `DIR/x`
         --> DIR/refit.yml:5:3
          |
        4 |   a: { protected: maybe, inventory: [x], window: w }
          |   - the other
        5 |   b: { inventory: x, protect: true }
          |   ^

        error: unknown key `protect` in an environment
         --> DIR/refit.yml:5:22
          |
        5 |   b: { inventory: x, protect: true }
          |                      ^^^^^^^
          |
          = help: did you mean `protected`?

        error: an environment is a mapping, found nothing
         --> DIR/refit.yml:6:4
          |
        6 |   c:
          |    ^

        error: the environment `d` has no `inventory`
         --> DIR/refit.yml:7:3
          |
        7 |   d: {}
          |   ^
          |
          = help: a run belongs to the environment that lists one of its sources

        error: `notifications` is known, not built yet
         --> DIR/refit.yml:8:1
          |
        8 | notifications: {}
          | ^^^^^^^^^^^^^

        9 errors
        "#);
    }
}
