//! Text that must never show, and the one place that hides it in everything that is written.

mod redact;

pub(crate) use redact::Redactor;

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
