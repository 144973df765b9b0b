//! The text of a file, and places in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

    /// Line and column of the start, both from 1; columns count characters.
    pub(crate) fn line_column(&self) -> (usize, usize) {
        let start = self.start.min(self.source.text.len());
        let before = &self.source.text.as_bytes()[..start];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
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
