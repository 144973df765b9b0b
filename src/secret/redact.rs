//! Every resolved secret goes into one set; every sink passes its text through it.

use std::sync::{Arc, RwLock};

use super::Secret;

/// What is put in place of a secret.
pub(crate) const HIDDEN: &str = "<secret>";

/// Hides secrets (and their base64 and URL-encoded forms) in text; shared by all sinks of a run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    known: Arc<RwLock<Vec<Secret>>>,
}

impl Redactor {
    pub(crate) fn clean_value(&self, value: &serde_json::Value) -> serde_json::Value {
        serde_json::from_str(&self.clean(&value.to_string())).unwrap_or_default()
    }
    pub(crate) fn add(&self, secret: &Secret) {
        let mut known = self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !known.iter().any(|k| k.reveal() == secret.reveal()) {
            known.push(secret.clone());
        }
    }

    /// `text` with every known secret of four characters or more replaced by `<secret>`.
    pub(crate) fn clean(&self, text: &str) -> String {
        let known = self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        known
            .iter()
            .filter(|secret| secret.reveal().len() >= 4)
            .fold(text.to_owned(), |text, secret| text.replace(secret.reveal(), HIDDEN))
    }
}
