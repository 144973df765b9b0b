//! What a playbook says of TLS: `{ verify: none | ca | full, ca: FILE, cert: FILE, key: FILE }`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::yaml::{Diagnostic, Diagnostics, Node, Span, suggestion};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) verify: Verify,
    /// PEM files on the controller. Without `ca`, what this machine trusts.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// How far the server's certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// No TLS at all.
    None,
    /// Who signed it.
    Ca,
    /// And for which name.
    Full,
}

const KEYS: [&str; 4] = ["verify", "ca", "cert", "key"];

impl Tls {
    pub(crate) fn new(verify: Verify) -> Tls {
        Tls {
            verify,
            ca: None,
            cert: None,
            key: None,
        }
    }

    /// Decodes the value of a key `tls`, which is a mapping; what is not in it is as in `default`. `node` is the mapping as
    /// written, None where a template gave it; `at` stands for it then. Relative files start from `folder`. `more` are keys
    /// that the caller reads.
    pub(crate) fn decode(
        value: &Value,
        node: Option<&Node>,
        at: &Span,
        folder: &Path,
        default: Verify,
        more: &[&str],
        found: &mut Diagnostics,
    ) -> Tls {
        let mut tls = Tls::new(default);
        let Some(map) = value.as_object() else {
            let error = Diagnostic::error(at, "`tls` must be a mapping");
            found.push(error.help("write { verify: none | ca | full, ca: FILE, cert: FILE, key: FILE }"));
            return tls;
        };
        for (key, value) in map {
            let at = node.and_then(|node| node.get(key)).map_or(at, |node| &node.span);
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.as_str(),
                _ => "",
            };
            match key.as_str() {
                "verify" => match text {
                    "none" => tls.verify = Verify::None,
                    "ca" => tls.verify = Verify::Ca,
                    "full" => tls.verify = Verify::Full,
                    _ => found.push(Diagnostic::error(at, "`verify` is none, ca or full")),
                },
                "ca" | "cert" | "key" => {
                    let path = folder.join(text);
                    if text.is_empty() {
                        found.push(Diagnostic::error(at, format!("`{key}` must be a path")));
                    } else if let Err(e) = std::fs::File::open(&path) {
                        found.push(Diagnostic::error(at, format!("{}: {e}", path.display())));
                    }
                    match key.as_str() {
                        "ca" => tls.ca = Some(path),
                        "cert" => tls.cert = Some(path),
                        _ => tls.key = Some(path),
                    }
                }
                key if more.contains(&key) => {}
                _ => {
                    let known: Vec<&str> = KEYS.iter().chain(more).copied().collect();
                    let mut error = Diagnostic::error(at, format!("unknown key `{key}` in `tls`"));
                    error.help.push(
                        suggestion(key, known.iter().copied())
                            .unwrap_or_else(|| format!("known: {}", known.join(", "))),
                    );
                    found.push(error);
                }
            }
        }
        if tls.cert.is_some() != tls.key.is_some() {
            found.push(Diagnostic::error(at, "`cert` and `key` belong together"));
        }
        if tls.verify == Verify::None && (tls.ca.is_some() || tls.cert.is_some()) {
            found.push(Diagnostic::error(
                at,
                "`verify: none` means no TLS at all: `ca` and `cert` have no use",
            ));
        }
        tls
    }
}
