//! Which kinds there are.

use super::{Kind, Ty, all};

/// Declares the module of each kind (its file has the same name and a `KIND`), and `all`.
macro_rules! kinds {
    ($($name:ident)*) => {
        $(mod $name;)*

        /// All kinds, in the order of the manual.
        pub(crate) fn all() -> &'static [&'static dyn Kind] {
            static ALL: &[&dyn Kind] = &[$(&$name::KIND),*];
            ALL
        }
    };
}
pub(super) use kinds;

/// The manual page of a kind: `manual!("copy.rs")` is the `//!` text at the top of that file.
macro_rules! manual {
    ($file:literal) => {{
        const SOURCE: &str = include_str!($file);
        const BYTES: [u8; $crate::kind::list::manual_len(SOURCE)] = $crate::kind::list::manual_bytes(SOURCE);
        const TEXT: &str = match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("the manual page is cut inside a character"),
        };
        TEXT
    }};
}
pub(super) use manual;

/// Kinds that design.md names and that are not there yet.
const LATER: &[&str] = &[
    "line", "fetch", "download", "unpack", "package", "user", "reboot", "restore", "approve", "gate", "load", "soak",
];

/// Names under which Ansible has what a kind does.
const SPELLED: &[(&str, &str)] = &[
    ("apt", "package"),
    ("dnf", "package"),
    ("get_url", "download"),
    ("lineinfile", "line"),
    ("raw", "shell"),
    ("set_fact", "set"),
    ("systemd", "service"),
    ("systemd_service", "service"),
    ("unarchive", "unpack"),
    ("uri", "http"),
    ("wait_for", "health"),
    ("yum", "package"),
];

/// The name without `ansible.builtin.` or `ansible.legacy.`.
fn bare(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.")
        .or_else(|| name.strip_prefix("ansible.legacy."))
        .unwrap_or(name)
}

/// The kind of this name, with or without `ansible.builtin.` before it.
pub(crate) fn find(name: &str) -> Option<&'static dyn Kind> {
    let name = bare(name);
    all().iter().copied().find(|kind| kind.name() == name)
}

/// Is this a kind that is known, but not built yet?
pub(crate) fn known_later(name: &str) -> bool {
    let name = bare(name);
    LATER.contains(&name) && find(name).is_none()
}

/// What Refit calls the kind that Ansible has under this name: `set` for `set_fact`.
pub(crate) fn spelled(name: &str) -> Option<&'static str> {
    let name = bare(name);
    SPELLED
        .iter()
        .find(|(theirs, _)| *theirs == name)
        .map(|(_, ours)| *ours)
}

/// What `refit kinds NAME` prints: the manual, the table of parameters, the result fields.
pub(crate) fn page(kind: &dyn Kind) -> String {
    let mut text = format!("{}\n\n{}", kind.name(), kind.manual());
    if !kind.params().is_empty() {
        text.push_str("\nParameters\n");
        let rows: Vec<(String, String)> = kind
            .params()
            .iter()
            .map(|param| {
                let required = if param.required { ", required" } else { "" };
                (param.name.to_owned(), format!("{}{required}", words(param.ty)))
            })
            .collect();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (param, (name, ty)) in kind.params().iter().zip(&rows) {
            text.push_str(&format!("  {name:width$}  {ty}\n"));
            text.push_str(&format!("  {:width$}      {}\n", "", param.doc));
        }
    }
    if let Some(name) = kind.text_param() {
        text.push_str(&format!("\nPlain text stands for `{name}`.\n"));
    }
    let fields = ["changed", "failed", "skipped"];
    let fields: Vec<&str> = kind.results().iter().copied().chain(fields).collect();
    text.push_str(&format!("\nResult\n  {}\n", fields.join(", ")));
    text
}

fn words(ty: Ty) -> String {
    match ty {
        Ty::Text => "text".to_owned(),
        Ty::Path => "path on the host".to_owned(),
        Ty::File => "file on the controller".to_owned(),
        Ty::Bool => "true or false".to_owned(),
        Ty::Int => "integer".to_owned(),
        Ty::Duration => "duration (`30s`, `5m`, `1m30s`, or seconds)".to_owned(),
        Ty::Version => "version".to_owned(),
        Ty::Mode => "mode (`\"0644\"`)".to_owned(),
        Ty::Regex => "regular expression".to_owned(),
        Ty::TextList => "text, or list of text".to_owned(),
        Ty::Map => "mapping".to_owned(),
        Ty::Choice(words) => words.join(" | "),
        Ty::Theirs => "text, rendered for each of the hosts".to_owned(),
        Ty::Expressions => "expression, or list of expressions".to_owned(),
        Ty::Any => "any value".to_owned(),
    }
}

/// Calls for every byte of the manual: the `//!` lines that begin the file, without `//! `. (`const` allows neither
/// iterators nor closures.)
pub(super) const fn manual_len(source: &str) -> usize {
    let bytes = source.as_bytes();
    let (mut at, mut len) = (0, 0);
    while is_doc(bytes, at) {
        at = after_mark(bytes, at);
        while at < bytes.len() && bytes[at] != b'\n' {
            at += 1;
            len += 1;
        }
        at += 1;
        len += 1;
    }
    len
}

pub(super) const fn manual_bytes<const N: usize>(source: &str) -> [u8; N] {
    let bytes = source.as_bytes();
    let mut out = [b'\n'; N];
    let (mut at, mut len) = (0, 0);
    while is_doc(bytes, at) {
        at = after_mark(bytes, at);
        while at < bytes.len() && bytes[at] != b'\n' {
            out[len] = bytes[at];
            at += 1;
            len += 1;
        }
        at += 1;
        len += 1;
    }
    out
}

const fn is_doc(bytes: &[u8], at: usize) -> bool {
    at + 2 < bytes.len() && bytes[at] == b'/' && bytes[at + 1] == b'/' && bytes[at + 2] == b'!'
}

const fn after_mark(bytes: &[u8], at: usize) -> usize {
    if at + 3 < bytes.len() && bytes[at + 3] == b' ' {
        at + 4
    } else {
        at + 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_and_without_prefix() {
        for kind in all() {
            for prefix in ["", "ansible.builtin.", "ansible.legacy."] {
                let found = find(&format!("{prefix}{}", kind.name())).expect("found");
                assert_eq!(found.name(), kind.name());
            }
            assert!(!known_later(kind.name()));
        }
        assert!(find("set_fact").is_none());
        assert_eq!(spelled("ansible.builtin.set_fact"), Some("set"));
        assert!(known_later("reboot") && known_later("ansible.builtin.reboot") && !known_later("rebot"));
    }

    #[test]
    fn every_kind_has_a_manual_and_documented_parameters() {
        for kind in all() {
            assert!(kind.manual().trim().len() > 40, "{} has no manual", kind.name());
            let mut names: Vec<&str> = kind.params().iter().map(|param| param.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), kind.params().len(), "{}: a parameter twice", kind.name());
            assert!(kind.params().iter().all(|param| param.doc.len() > 3), "{}", kind.name());
            if let Some(text) = kind.text_param() {
                assert!(names.contains(&text));
            }
            for later in kind.later() {
                assert!(!names.contains(later), "{}: `{later}` is built", kind.name());
            }
            let page = page(*kind);
            assert!(names.iter().all(|name| page.contains(name)) && !page.contains("//!"));
        }
    }

    #[test]
    fn a_manual_is_the_text_before_the_code() {
        const SOURCE: &str = "//! One.\n//!\n//!  Two é.\n\nuse x;\n//! not this\n";
        let bytes = manual_bytes::<{ manual_len(SOURCE) }>(SOURCE);
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), "One.\n\n Two é.\n");
    }
}
