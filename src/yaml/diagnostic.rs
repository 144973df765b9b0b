//! What is wrong, where, and what to do about it.

use super::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Note,
    Warning,
    Error,
}

/// One message for the person who wrote the file.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    pub(crate) severity: Severity,
    /// One sentence without a full stop: "unknown key `nmae` in a step".
    pub(crate) message: String,
    /// Where; None where no file is to blame (a flag, a host).
    pub(crate) at: Option<Span>,
    /// A few words under the caret; may be empty.
    pub(crate) label: String,
    /// Other places that belong to it (the first of two duplicates).
    pub(crate) also: Vec<(Span, String)>,
    /// What to do: "did you mean `name`?".
    pub(crate) help: Vec<String>,
}

impl Diagnostic {
    pub(crate) fn error(at: &Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            at: Some(at.clone()),
            ..Diagnostic::general(message)
        }
    }

    /// An error that no place in a file explains.
    pub(crate) fn general(message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            at: None,
            label: String::new(),
            also: Vec::new(),
            help: Vec::new(),
        }
    }

    pub(crate) fn severity(mut self, severity: Severity) -> Diagnostic {
        self.severity = severity;
        self
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    pub(crate) fn also(mut self, at: &Span, label: impl Into<String>) -> Diagnostic {
        self.also.push((at.clone(), label.into()));
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help.push(help.into());
        self
    }
}

/// Diagnostics in the order in which they were found; all are shown at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one, unless the same message stands at the same place already (a template is looked at once per host).
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let same_place = |d: &Diagnostic| match (&d.at, &diagnostic.at) {
            (None, None) => true,
            (Some(a), Some(b)) => (a.start, a.end) == (b.start, b.end) && a.source.path == b.source.path,
            _ => false,
        };
        let known = self
            .list
            .iter()
            .any(|d| same_place(d) && d.message == diagnostic.message);
        if !known {
            self.list.push(diagnostic);
        }
    }

    pub(crate) fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in other {
            self.push(diagnostic);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Diagnostics {
        Diagnostics { list: vec![one] }
    }
}
