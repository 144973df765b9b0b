//! Templates: strict, typed, lazy; a variable is rendered when it is used, never twice, and never as a template again
//! where it came from a host.

mod scope;

pub(crate) use scope::{Binding, Layer, Peers, Pending, Rendered, Scope};

use std::path::Path;

use crate::yaml::{Diagnostic, Node, Span};

/// The template engine: one for all hosts of a run.
pub(crate) struct Templates {}

impl Templates {
    /// Renders every string below `node` with the scope; a scalar that is wholly one `{{ expression }}` keeps its type.
    pub(crate) fn value(&self, _node: &Node, _scope: &Scope) -> Result<Rendered, Diagnostic> {
        unimplemented!()
    }

    /// Evaluates a bare expression (`when`, `until`), which must give a boolean; true and false in `value`.
    pub(crate) fn condition(&self, _node: &Node, _scope: &Scope) -> Result<Rendered, Diagnostic> {
        unimplemented!()
    }

    /// Renders a template file on the controller; `at` is where it is named.
    pub(crate) fn file(&self, _path: &Path, _at: &Span, _scope: &Scope) -> Result<Rendered, Diagnostic> {
        unimplemented!()
    }
}
