//! Text that must never show, and the one place that hides it in everything that is written.

mod forms;
mod read;
mod redact;

pub(crate) use read::{from_command, from_env, from_file, from_prompt};
pub(crate) use redact::{HIDDEN, Redactor};

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
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

/// What stands for a secret in a digest: HMAC-SHA256 under the journal's key, 64 lower-case hex digits.
pub(crate) fn hmac(key: &[u8; 32], text: &str) -> String {
    // HMAC takes a key of any length, so 32 bytes never fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;
