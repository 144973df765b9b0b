//! Every resolved secret goes into one set; every sink passes its text through it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use super::Secret;
use super::forms::forms;

/// What is put in place of a secret.
pub(crate) const HIDDEN: &str = "<secret>";

/// Hides secrets (and their base64, URL-encoded, JSON and shell-quoted forms) in text; shared by all sinks of a run.
/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    secrets: HashSet<String>,
    forms: HashSet<String>,
    /// None: not built since the last secret was added, or there is nothing to look for.
    automaton: Option<AhoCorasick>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    pub(crate) fn add(&self, secret: &Secret) {
        let text = secret.reveal();
        if self.read(|known| known.secrets.contains(text)) {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if known.secrets.insert(text.to_owned()) {
            known.forms.extend(forms(text));
            known.automaton = None;
        }
    }

    /// `text` with every known secret of four characters or more replaced by `<secret>`.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.cleaned(text).into_owned()
    }

    /// The same for every string in a value, keys included, and for numbers that are a secret.
    pub(crate) fn clean_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.clean(text)),
            Value::Array(items) => items.iter().map(|item| self.clean_value(item)).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (self.clean(key), self.clean_value(value)))
                .collect(),
            Value::Number(number) => match self.cleaned(&number.to_string()) {
                Cow::Borrowed(_) => value.clone(),
                Cow::Owned(hidden) => Value::String(hidden),
            },
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn automaton(&self) -> Option<AhoCorasick> {
        let (built, wanted) = self.read(|known| (known.automaton.clone(), !known.forms.is_empty()));
        if built.is_some() || !wanted {
            return built;
        }
        let mut known = self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if known.automaton.is_none() {
            known.automaton = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(&known.forms)
                .ok();
        }
        known.automaton.clone()
    }

    fn cleaned<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(automaton) = self.automaton() else {
            // Forms without an automaton cannot be searched: then nothing may be shown.
            return match self.read(|known| known.forms.is_empty()) {
                true => Cow::Borrowed(text),
                false => Cow::Owned(HIDDEN.to_owned()),
            };
        };
        // Overlapping finds become one: two secrets that share characters leave no rest of either.
        let mut ranges: Vec<(usize, usize)> = automaton
            .find_overlapping_iter(text)
            .map(|found| (found.start(), found.end()))
            .collect();
        if ranges.is_empty() {
            return Cow::Borrowed(text);
        }
        ranges.sort_unstable();
        let mut out = String::with_capacity(text.len());
        let mut shown = 0;
        let mut open: Option<(usize, usize)> = None;
        for (start, end) in ranges {
            match &mut open {
                Some((_, last)) if start < *last => *last = end.max(*last),
                _ => {
                    if let Some((from, to)) = open {
                        out.push_str(&text[shown..from]);
                        out.push_str(HIDDEN);
                        shown = to;
                    }
                    open = Some((start, end));
                }
            }
        }
        if let Some((from, to)) = open {
            out.push_str(&text[shown..from]);
            out.push_str(HIDDEN);
            shown = to;
        }
        out.push_str(&text[shown..]);
        Cow::Owned(out)
    }
}
