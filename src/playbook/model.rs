//! The loaded playbook. Values that may hold templates stay nodes; they are rendered per host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::kind::Kind;
use crate::template::Layer;
use crate::yaml::{Node, Source, Span};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Playbook {
    /// The playbook's own file; `sources[0]`.
    pub(crate) source: Arc<Source>,
    /// Every file that was read: the playbook, its `vars_files`, its includes. Part of the recipe's digest.
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) name: String,
    /// Pattern, or list of patterns.
    pub(crate) hosts: Node,
    /// `vars` first, then `vars_files`, which win.
    pub(crate) vars: Arc<Layer>,
    pub(crate) secrets: IndexMap<String, Spanned<SecretSource>>,
    /// Parameters of each database; rendered per host, decoded by `database`.
    pub(crate) databases: IndexMap<String, Node>,
    /// A mapping, or a template that gives one.
    pub(crate) environment: Option<Node>,
    pub(crate) requires_environment: Option<Spanned<String>>,
    pub(crate) elevation: Elevation,
    pub(crate) probes: Vec<Step>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) finally: Vec<Step>,
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub(crate) enum SecretSource {
    /// A file on the controller, absolute or already joined to the playbook's folder; one trailing newline is dropped.
    File(PathBuf),
    Env(String),
    Prompt(String),
    /// Run by `/bin/sh -c` on the controller in the playbook's folder; for plan and run, never for lint.
    Command(String),
}

/// `become` and `become_user`, each a literal or a template; absent where the key is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elevation {
    pub(crate) become_: Option<Node>,
    pub(crate) user: Option<Node>,
}

#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// The slug of the name, unique among its siblings (`-2`, `-3` …).
    pub(crate) id: String,
    /// May hold templates.
    pub(crate) name: Node,
    /// None: the hosts of what encloses it.
    pub(crate) hosts: Option<Node>,
    pub(crate) vars: Arc<Layer>,
    pub(crate) when: Option<Node>,
    /// A number, `N%`, or a list of these.
    pub(crate) serial: Option<Node>,
    pub(crate) forks: Option<Node>,
    /// A count or `N%`.
    pub(crate) max_fail: Option<Node>,
    pub(crate) elevation: Elevation,
    pub(crate) tags: Vec<Spanned<String>>,
    pub(crate) run_once: bool,
    pub(crate) for_each: Option<Node>,
    /// Default `item`.
    pub(crate) as_: Option<Spanned<String>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) lockstep: bool,
    pub(crate) environment: Option<Node>,
    pub(crate) guard: Vec<Step>,
    pub(crate) rollback: Vec<Step>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Steps(Vec<Step>),
    Stages(Vec<Stage>),
}

#[derive(Clone)]
pub(crate) struct Step {
    /// `id:`, else the slug of the name, else the kind; unique inside its list of steps.
    pub(crate) id: String,
    /// As written, or the kind's name; may hold templates.
    pub(crate) name: Node,
    pub(crate) span: Span,
    pub(crate) kind: &'static dyn Kind,
    /// Where the kind's name stands.
    pub(crate) kind_span: Span,
    /// A mapping of parameters; text was turned into one already (`command: a b` is `{cmd: "a b"}`).
    pub(crate) params: Node,
    /// A condition, or a list of conditions that all must hold.
    pub(crate) when: Option<Node>,
    pub(crate) register: Option<Spanned<String>>,
    pub(crate) loop_: Option<Node>,
    pub(crate) until: Option<Node>,
    pub(crate) retries: Option<Node>,
    pub(crate) delay: Option<Node>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) elevation: Elevation,
    pub(crate) delegate_to: Option<Node>,
    pub(crate) run_once: bool,
    pub(crate) tags: Vec<Spanned<String>>,
    pub(crate) reads: bool,
    pub(crate) changed_when: Option<Node>,
    pub(crate) failed_when: Option<Node>,
    pub(crate) ignore_errors: Option<Node>,
    pub(crate) environment: Option<Node>,
    pub(crate) no_log: bool,
    pub(crate) vars: Arc<Layer>,
    pub(crate) verify: Option<Box<Step>>,
    pub(crate) idempotent: bool,
    /// What puts back a temporary state that the step brings about.
    pub(crate) undo: Vec<Step>,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}) at {}", self.id, self.kind.name(), self.span)
    }
}
