//! The text of a file, and places in it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Diagnostic;

/// Larger files are refused.
const MAX_BYTES: u64 = 64 << 20;

/// Reads a text file. The error has no place: who named the file may add one.
pub(crate) fn read(path: &Path) -> Result<Arc<Source>, Diagnostic> {
    let shown = from_here(path).display();
    let wrong = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => Diagnostic::general(format!("no such file: `{shown}`")),
        io::ErrorKind::PermissionDenied => Diagnostic::general(format!("no right to read `{shown}`")),
        io::ErrorKind::IsADirectory => Diagnostic::general(format!("`{shown}` is a folder, not a file")),
        _ => Diagnostic::general(format!("cannot read `{shown}`: {error}")),
    };
    let file = File::open(path).map_err(|error| wrong(&error))?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err(Diagnostic::general(format!("`{shown}` is a folder, not a file")));
    }
    let mut bytes = Vec::new();
    // A limit on what is read, not on the stated length: a pipe states none.
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Diagnostic::general(format!("`{shown}` is larger than 64 MiB")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(path, text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
            Err(
                Diagnostic::general(format!("`{shown}` is not UTF-8 text: byte {} in line {line}", good + 1))
                    .help("save the file as UTF-8"),
            )
        }
    }
}

/// A file's text, kept for as long as a span points into it.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path as the user gave it or would find it; what errors print.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Source> {
        Arc::new(Source {
            path: path.into(),
            text: text.into(),
        })
    }

    /// The folder that relative paths in this file start from.
    pub(crate) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

/// A range of bytes in a source.
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) source: Arc<Source>,
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte; equal to `start` for a point.
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(source: &Arc<Source>, start: usize, end: usize) -> Span {
        Span {
            source: Arc::clone(source),
            start,
            end: end.max(start),
        }
    }

    /// Line and column of the start, both from 1; columns count characters, a byte order mark is none.
    pub(crate) fn line_column(&self) -> (usize, usize) {
        let start = self.start.min(self.source.text.len());
        let before = &self.source.text.as_bytes()[..start];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let column = String::from_utf8_lossy(&before[line_start..])
            .trim_start_matches('\u{feff}')
            .chars()
            .count()
            + 1;
        (line, column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `FILE:LINE:COL`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.path.display())
    }
}

/// As a person would type it: from the current folder on, where the file is below it.
pub(super) fn from_here(path: &Path) -> &Path {
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here).or_else(|_| path.strip_prefix(".")) {
        Ok(short) if !short.as_os_str().is_empty() => short,
        _ => path,
    }
}
