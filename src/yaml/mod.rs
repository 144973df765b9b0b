//! YAML to a tree with a span on every node; errors that show file, line, column, source line and caret.
//!
//! Two rule sets run over one tree: YAML 1.2 core for everything of Refit's own, YAML 1.1 for inventory files.

mod diagnostic;
mod node;
mod source;

pub(crate) use diagnostic::{Diagnostic, Diagnostics, Severity};
pub(crate) use node::{Node, Style, Value};
pub(crate) use source::{Source, Span};
