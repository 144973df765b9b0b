//! Who may import whom. Rooms stand in the order of the house: an arrow goes up the list only, so there is no cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A room, and the rooms that it may import. Code for tests alone (`#[cfg(test)]`) is not looked at.
const ARROWS: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("secret", &[]),
    ("event", &["id"]),
    ("yaml", &["secret"]),
    ("template", &["secret", "yaml"]),
    ("inventory", &["id", "template", "yaml"]),
    ("project", &["yaml"]),
    ("journal", &["event", "id"]),
    ("job", &["event", "id"]),
    ("connection", &["id", "job", "secret", "yaml"]),
    ("tls", &["yaml"]),
    ("database", &["id", "job", "secret", "tls", "yaml"]),
    ("schema", &["database", "event", "id", "job"]),
    ("temporal", &["schema", "tls", "yaml"]),
    (
        "kind",
        &["database", "id", "job", "schema", "template", "temporal", "tls", "yaml"],
    ),
    ("playbook", &["kind", "template", "yaml"]),
    (
        "plan",
        &[
            "database",
            "event",
            "id",
            "inventory",
            "kind",
            "playbook",
            "secret",
            "template",
            "yaml",
        ],
    ),
    (
        "engine",
        &[
            "connection",
            "event",
            "id",
            "job",
            "journal",
            "kind",
            "plan",
            "playbook",
            "secret",
            "template",
            "yaml",
        ],
    ),
    ("report", &["event", "id"]),
    (
        "cli",
        &[
            "engine",
            "event",
            "id",
            "inventory",
            "journal",
            "kind",
            "plan",
            "playbook",
            "project",
            "report",
            "secret",
            "template",
            "temporal",
            "yaml",
        ],
    ),
];

/// The one home of a third-party crate; a second where the design names two.
const HOMES: &[(&str, &[&str])] = &[
    ("clap", &["cli"]),
    ("granit_parser", &["yaml"]),
    ("hyper_util", &["temporal"]),
    ("indicatif", &["report"]),
    ("minijinja", &["template"]),
    ("openssh", &["connection"]),
    ("rustls", &["temporal"]),
    ("sqlx", &["database", "journal"]),
    ("tonic", &["temporal"]),
];

struct File {
    room: String,
    path: PathBuf,
    /// Modules between the crate's root and the file's own, its own included.
    depth: usize,
    text: String,
}

fn room_of(path: &Path) -> String {
    let first = path
        .components()
        .next()
        .map(|c| c.as_os_str().to_string_lossy().into_owned());
    first.unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// The files of src/ that are compiled into the program, without comments and without what is `#[cfg(test)]`.
fn files() -> Vec<File> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut all, mut only_for_tests) = (Vec::new(), BTreeSet::new());
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let (text, tests) = program_text(&std::fs::read_to_string(&path).unwrap());
                let inside = match path.file_name().unwrap().to_str().unwrap() {
                    "mod.rs" | "lib.rs" | "main.rs" => path.parent().unwrap().to_owned(),
                    _ => path.with_extension(""),
                };
                only_for_tests.extend(tests.iter().map(|name| inside.join(name)));
                all.push((path, inside, text));
            }
        }
    }
    let kept = all
        .into_iter()
        .filter(|(_, inside, _)| !inside.ancestors().any(|p| only_for_tests.contains(p)));
    kept.map(|(path, inside, text)| {
        let depth = inside.strip_prefix(&src).unwrap().components().count();
        let path = path.strip_prefix(&src).unwrap().to_owned();
        File {
            room: room_of(&path),
            path,
            depth,
            text,
        }
    })
    .collect()
}

/// The text without comments, and without items that stand under `#[cfg(test)]`; modules declared so come by name.
fn program_text(text: &str) -> (String, Vec<String>) {
    let (mut kept, mut tests) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let bare = line.trim_start();
        if bare.starts_with("//") {
            continue;
        }
        if !bare.starts_with("#[cfg(test)]") {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let indent = &line[..line.len() - bare.len()];
        for line in lines.by_ref() {
            let bare = line.trim();
            if let Some(name) = bare.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
                tests.push(name.to_owned());
            }
            // rustfmt's indentation tells where an item ends.
            let outside = line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' '));
            if outside && bare.ends_with([';', '}', ',']) {
                break;
            }
        }
    }
    (kept, tests)
}

/// What follows each `word` that stands alone.
fn after<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(word) {
        let before = text[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            found.push(&text[at + word.len()..]);
        }
    }
    found
}

fn name(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// First names of `a::b` and of each entry of `{a::b, c::{d, e}}`.
fn first_names(text: &str) -> Vec<String> {
    let Some(group) = text.strip_prefix('{') else {
        return vec![name(text)];
    };
    let (mut depth, mut names, mut start) = (0, vec![name(group)], false);
    for (at, c) in group.char_indices() {
        if std::mem::take(&mut start) {
            names.push(name(&group[at..]));
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn arrows() -> BTreeMap<String, BTreeMap<String, PathBuf>> {
    let mut found: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for file in files()
        .into_iter()
        .filter(|f| !["lib", "main"].contains(&f.room.as_str()))
    {
        let room = found.entry(file.room.clone()).or_default();
        for name in after(&file.text, "crate::").into_iter().flat_map(first_names) {
            if name != file.room {
                room.entry(name).or_insert_with(|| file.path.clone());
            }
        }
        // A path that climbs to the root by `super` would be an arrow that nobody sees.
        let climb = "super::".repeat(file.depth);
        assert!(
            after(&file.text, &climb).is_empty(),
            "src/{}: write crate::, not {climb}",
            file.path.display()
        );
    }
    found
}

#[test]
fn every_arrow_is_allowed_and_every_entry_is_used() {
    let found = arrows();
    let mut wrong = Vec::new();
    for (room, used) in &found {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == room) else {
            wrong.push(format!("the room {room} is not in the table"));
            continue;
        };
        for (to, file) in used.iter().filter(|(to, _)| !allowed.contains(&to.as_str())) {
            wrong.push(format!("{room} may not import {to}, and src/{} does", file.display()));
        }
        for to in allowed.iter().filter(|to| !used.contains_key(**to)) {
            wrong.push(format!("{room} does not import {to}: remove the entry"));
        }
    }
    for (room, _) in ARROWS.iter().filter(|(room, _)| !found.contains_key(*room)) {
        wrong.push(format!("there is no room {room}: remove the entry"));
    }
    assert!(
        wrong.is_empty(),
        "\n{}\nas it is:\n{}",
        wrong.join("\n"),
        as_rows(&found)
    );
}

/// What the table would hold.
fn as_rows(found: &BTreeMap<String, BTreeMap<String, PathBuf>>) -> String {
    let rows = found
        .iter()
        .map(|(room, used)| format!("    (\"{room}\", &{:?}),", used.keys().collect::<Vec<_>>()));
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn arrows_make_no_cycle() {
    let place: BTreeMap<&str, usize> = ARROWS.iter().enumerate().map(|(at, (room, _))| (*room, at)).collect();
    for (room, allowed) in ARROWS {
        for to in *allowed {
            let below = place.get(to).is_some_and(|to| *to < place[room]);
            assert!(
                below,
                "{room} imports {to}, which does not stand before it in the table"
            );
        }
    }
}

#[test]
fn a_crate_has_one_home() {
    let files = files();
    for (library, homes) in HOMES {
        let mut lived = BTreeSet::new();
        for file in &files {
            let named = |after: &&str| {
                after.starts_with("::")
                    || after.starts_with([';', ' ']) && file.text.contains(&format!("use {library}"))
            };
            if after(&file.text, library).iter().any(named) {
                assert!(
                    homes.contains(&file.room.as_str()),
                    "{library} lives in {homes:?}, and src/{} names it",
                    file.path.display()
                );
                lived.insert(file.room.as_str());
            }
        }
        for home in *homes {
            assert!(
                lived.contains(home),
                "{library} is not in {home} any more: remove the entry"
            );
        }
    }
}

#[test]
fn what_is_left_out_is_only_for_tests() {
    let text = "use crate::a;\n// use crate::b;\n#[cfg(test)]\nmod tests;\nfn f() {\n    #[cfg(test)]\n    fn g() {\n        crate::c::x();\n    }\n    crate::d::{e::f, g}\n}\n#[cfg(test)]\npub(crate) use h::{\n    i,\n};\nuse crate::{j::k, l::{m, n}, o};\n#[cfg(test)]\nmod more {\n    use crate::p;\n}\nfn q() {\n    crate::r();\n}\n";
    let (kept, tests) = program_text(text);
    assert_eq!(tests, ["tests"]);
    let names: Vec<String> = after(&kept, "crate::").into_iter().flat_map(first_names).collect();
    assert_eq!(names, ["a", "d", "j", "l", "o", "r"]);
}
