//! Text that must never show, and the one place that hides it in everything that is written.

mod redact;

pub(crate) use redact::{HIDDEN, Redactor};

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A secret's text. Printing it in any way gives `<secret>`; only `reveal` gives the text.
#[derive(Clone)]
pub(crate) struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Secret {
        Secret(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text: for the one call that needs it, never for a message.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

pub(crate) fn from_file(path: &std::path::Path) -> Result<Secret, std::io::Error> { std::fs::read_to_string(path).map(|t| Secret::new(t.trim_end_matches('\n'))) }
pub(crate) fn from_env(name: &str) -> Result<Secret, std::io::Error> { std::env::var(name).map(Secret::new).map_err(std::io::Error::other) }
pub(crate) fn from_prompt(_: &str) -> Result<Secret, std::io::Error> { Err(std::io::Error::other("no")) }
pub(crate) fn from_command(_: &str, _: &std::path::Path) -> Result<Secret, std::io::Error> { Err(std::io::Error::other("no")) }
pub(crate) fn hmac(_: &[u8;32], t: &str) -> String { t.len().to_string() }
