//! What a template can name: variables in layers, the later ones winning.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::secret::Secret;
use crate::yaml::Node;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Binding {
    /// From a file: its strings are templates, rendered on first use in the scope that uses it. (`!unsafe` strings
    /// and nodes below them are not.)
    Template(Arc<Node>),
    /// From a host, a result or the command line: never rendered.
    Data(serde_json::Value),
    /// What is built from it is secret too.
    Secret(Secret),
    /// Will have a value later; what depends on it is not known yet.
    Pending(Pending),
}

/// A value that is not known yet: the register of a step that has not run, the items of a `for_each` over a probe.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// The name that it is waited for under: `r`.
    pub(crate) name: String,
    /// The fields that it will have, so that `r.stdot` is an error now; None where any may come.
    pub(crate) fields: Option<&'static [&'static str]>,
    /// Fields that are known already: in check mode what the step would leave.
    pub(crate) known: Option<Arc<serde_json::Value>>,
}

/// Variables of one origin.
pub(crate) type Layer = IndexMap<String, Binding>;

/// The variables of other hosts, for `hostvars`.
pub(crate) trait Peers: Send + Sync {
    fn names(&self) -> Vec<String>;
    /// The scope of a host; None where there is no such host.
    fn scope(&self, host: &str) -> Option<Scope>;
    /// Names of the hosts of a pattern, `--limit` aside, without the excluded; None: of the playbook's `hosts`. Err: what
    /// is wrong with it.
    fn select(&self, pattern: Option<&str>) -> Result<Vec<String>, String>;
}

/// All that a template of one host can name. Cheap to clone and to extend.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    /// Lowest precedence first.
    pub(crate) layers: Vec<Arc<Layer>>,
    pub(crate) peers: Option<Arc<dyn Peers>>,
}

impl Scope {
    /// This scope with one more layer, which wins over all others.
    pub(crate) fn with(&self, layer: Arc<Layer>) -> Scope {
        let mut scope = self.clone();
        scope.layers.push(layer);
        scope
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Binding> {
        self.layers.iter().rev().find_map(|layer| layer.get(name))
    }
}

/// What became of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rendered {
    /// Null where `pending` is not empty.
    pub(crate) value: serde_json::Value,
    /// A secret was used on the way.
    pub(crate) secret: bool,
    /// Names that are not known yet and that the value depends on.
    pub(crate) pending: Vec<String>,
    /// The value is `omit`: the parameter counts as not given.
    pub(crate) omit: bool,
}
