//! YAML to a tree with a span on every node; errors that show file, line, column, source line and caret.
//!
//! Two rule sets run over one tree: YAML 1.2 core for everything of Refit's own, YAML 1.1 for inventory files.

mod compose;
pub(crate) mod decode;
mod diagnostic;
mod excerpt;
mod node;
mod render;
mod scalar;
mod source;
mod suggest;
mod syntax;

pub(crate) use compose::parse;
pub(crate) use decode::parse_duration;
pub(crate) use diagnostic::{Diagnostic, Diagnostics, Severity};
pub(crate) use node::{Node, Style, Value};
pub(crate) use scalar::Rules;
pub(crate) use source::{Source, Span, read};
pub(crate) use suggest::{did_you_mean, suggestion};

#[cfg(test)]
mod tests;
