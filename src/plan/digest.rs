//! Two digests. The *recipe*: playbook, its files, artefacts, this program's version. The *plan*: the recipe, the
//! hosts, every unit's parameters with secrets by HMAC, and what looks decided: versions, never raw readings.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::check::{Checked, Look, Planned};
use super::loaded::Loaded;
use crate::event::Digests;
use crate::id::hex;
use crate::yaml::{Diagnostic, Diagnostics};

impl Loaded {
    /// A secret's place in a digest: HMAC under the journal's key, so that the digest cannot be used to guess it.
    pub(crate) fn keyed(&self, value: &str) -> String {
        crate::secret::hmac(&self.key, value)
    }
}

/// The recipe of a playbook whose units were looked at. Reads every artefact.
pub(crate) fn recipe(loaded: &Arc<Loaded>, checked: &Checked) -> Result<Digests, Diagnostics> {
    let mut parts = BTreeMap::new();
    parts.insert("refit".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    for source in &loaded.playbook.sources {
        parts.insert(name(&source.path), hex(&Sha256::digest(source.text.as_bytes())));
    }
    let mut errors = Diagnostics::default();
    for path in checked.artefacts.keys() {
        match digest_of(path) {
            Ok(digest) => {
                parts.insert(name(path), digest);
            }
            Err(e) => errors.push(Diagnostic::general(format!("{}: {e}", path.display()))),
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    let whole = fold(parts.iter().flat_map(|(name, digest)| [name.as_str(), digest.as_str()]));
    // No part of the recipe, which staging and production share; but a resume names what changed in it.
    for path in loaded.inventory.files() {
        if let Ok(digest) = digest_of(path) {
            parts.insert(format!("inventory {}", name(path)), digest);
        }
    }
    Ok(Digests { whole, parts })
}

/// The plan of a run, with what was decided by looking: what an approval would bind to.
pub(crate) fn plan_digest(recipe: &Digests, checked: &Checked) -> String {
    let mut parts: Vec<String> = vec![recipe.whole.clone()];
    for stage in &checked.stages {
        parts.push(stage.path.clone());
        parts.extend(stage.hosts.iter().map(|h| h.as_str().to_owned()));
        parts.push(stage.skipped.clone().unwrap_or_default());
        for unit in &stage.units {
            parts.push(unit.unit.to_string());
            parts.push(match &unit.state {
                Planned::Known { digest, .. } => digest.clone(),
                Planned::Decided(names) => format!("when {} known", names.join(",")),
                Planned::Skipped(_) => "skipped".into(),
            });
            parts.extend(match &unit.look {
                Look::Decided(decision) => serde_json::to_string(decision).ok(),
                Look::Open(_) => Some("not decided yet".into()),
                Look::None | Look::Due(_) => None,
            });
        }
    }
    fold(parts.iter().map(String::as_str))
}

/// Parts that differ, for a person.
pub(crate) fn difference(old: &Digests, new: &Digests) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, digest) in &old.parts {
        match new.parts.get(name) {
            None => lines.push(format!("{name} is gone")),
            Some(now) if now != digest && name == "refit" => lines.push(format!("refit was {digest}, is {now}")),
            Some(now) if now != digest => lines.push(format!("{name} changed")),
            Some(_) => {}
        }
    }
    lines.extend(
        new.parts
            .keys()
            .filter(|name| !old.parts.contains_key(*name))
            .map(|name| format!("{name} is new")),
    );
    lines
}

fn name(path: &Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_path_buf())
        .display()
        .to_string()
}

fn fold<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// Of a file's bytes; of a folder's files with their names, in order.
fn digest_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut files = Vec::new();
    list(path, &mut files)?;
    files.sort();
    for file in files {
        let inner = file.strip_prefix(path).unwrap_or(&file);
        hash.update(inner.as_os_str().as_encoded_bytes());
        hash.update([0]);
        let mut reader = fs::File::open(&file)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = reader.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
        }
    }
    Ok(hex(&hash.finalize()))
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            list(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_path_buf());
    }
    Ok(())
}
