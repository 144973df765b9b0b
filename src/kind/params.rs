//! Parameters of a kind: what there are, of which type, and what a step gave.

use indexmap::IndexMap;

use crate::template::Rendered;
use crate::yaml::{Node, Span};

/// One parameter of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) ty: Ty,
    pub(crate) required: bool,
    /// One line for the manual.
    pub(crate) doc: &'static str,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Text,
    /// A path on the host: absolute, or `~/…`.
    Path,
    /// A file or folder on the controller, relative to the folder of the file that names it.
    File,
    Bool,
    Int,
    /// `30s`, `5m`, `2h`, `1m30s`, or a number of seconds.
    Duration,
    /// A version: the scalar's text; a number that a variable gave is an error ("quote it where it is set").
    Version,
    /// A file mode: a string is octal, an integer that a variable gave is the bits, a bare integer in a playbook is an
    /// error that shows both spellings.
    Mode,
    Regex,
    /// A list of text; one text stands for a list of one.
    TextList,
    List,
    Map,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of bare expressions; one stands for a list of one. Never rendered before the step runs.
    Expressions,
    Any,
}

/// What a step gave for one parameter.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) key: Span,
    /// As written.
    pub(crate) node: Node,
    pub(crate) rendered: Rendered,
}

/// The parameters of one step on one host, checked against the kind's table.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    /// Where the step's kind stands.
    pub(crate) at: Span,
    /// Only names that the table knows (or any, for `free_names`); `omit` is left out.
    pub(crate) given: IndexMap<String, Given>,
}

impl Params {
    /// The values of all `File` parameters that are known, joined to `folder`.
    pub(crate) fn files(&self, table: &[Param], folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        table
            .iter()
            .filter(|param| param.ty == Ty::File)
            .filter_map(|param| self.given.get(param.name))
            .filter_map(|given| given.rendered.value.as_str())
            .map(|text| folder.join(text))
            .collect()
    }
}
