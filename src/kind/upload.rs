//! Files for a host: their digests and sizes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::{Upload, UploadFrom};
use crate::yaml::{Diagnostic, Span};

/// A file on the controller. It is read once for all hosts, and again when its size or time changes.
pub(super) fn file(path: &Path, at: &Span) -> Result<Upload, Diagnostic> {
    let (sha256, size) = digest(path)
        .map_err(|error| Diagnostic::error(at, format!("cannot read {}: {}", path.display(), reason(&error))))?;
    Ok(Upload {
        sha256,
        size,
        from: UploadFrom::File(path.to_owned()),
    })
}

pub(super) fn bytes(content: Vec<u8>) -> Upload {
    Upload {
        sha256: hex(&Sha256::digest(&content)),
        size: content.len() as u64,
        from: UploadFrom::Bytes(Arc::new(content)),
    }
}

/// The start of what is uploaded; None where it cannot be read, or is longer than `limit`.
pub(super) fn content(upload: &Upload, limit: u64) -> Option<Vec<u8>> {
    if upload.size > limit {
        return None;
    }
    match &upload.from {
        UploadFrom::Bytes(content) => Some(content.to_vec()),
        UploadFrom::File(path) => std::fs::read(path).ok(),
    }
}

/// An operating system's words without "(os error N)".
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

type Known = HashMap<(PathBuf, u64, SystemTime), String>;
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let key = (path.to_owned(), meta.len(), meta.modified()?);
    if let Some(known) = KNOWN.lock().unwrap_or_else(|p| p.into_inner()).get(&key) {
        return Ok((known.clone(), meta.len()));
    }
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut block = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        hash.update(&block[..read]);
        size += read as u64;
    }
    let hash = hex(&hash.finalize());
    if size == meta.len() {
        KNOWN
            .lock()
            .unwrap_or_else(|p| p.into_inner())
            .insert(key, hash.clone());
    }
    Ok((hash, size))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
