//! Gives variables of the host a value, for all steps that follow on it.
//!
//!     - set: { port: "{{ base_port + 1 }}", release_dir: "/srv/{{ version }}" }
//!
//! Every name is a variable's. A value keeps its type where it is wholly one `{{ expression }}`. It is worked out when the
//! step's turn comes, and wins over variables of inventory and playbook, but not over `-e`. The result has the variables
//! as its fields. Nothing is changed on the host. (Ansible calls this `set_fact`.)

use serde_json::{Map, Value};

use super::{Action, Context, Done, Kind, Param, Params, list};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Set;
pub(super) static KIND: Set = Set;

/// Names that are no variables of their own: fields that every result has, and what Refit binds itself.
const RESERVED: &[&str] = &[
    "changed",
    "failed",
    "skipped",
    "results",
    "msg",
    "attempts",
    "skip_reason",
    "hostvars",
    "groups",
    "group_names",
    "inventory_hostname",
    "omit",
    "run",
    "item",
];

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Kind for Set {
    fn name(&self) -> &'static str {
        "set"
    }

    fn manual(&self) -> &'static str {
        list::manual!("set.rs")
    }

    fn params(&self) -> &'static [Param] {
        &[]
    }

    fn results(&self) -> &'static [&'static str] {
        &[]
    }

    fn free_names(&self) -> bool {
        true
    }

    fn reads_only(&self) -> bool {
        true
    }

    fn lint(&self, params: &Params, _context: &Context<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if params.given.is_empty() {
            found.push(Diagnostic::error(&params.at, "`set` names no variable"));
        }
        for (name, given) in &params.given {
            if !is_name(name) {
                let message = format!("`{}` cannot be the name of a variable", name.escape_debug());
                let help = "a letter or `_`, then letters, digits and `_`";
                found.push(Diagnostic::error(&given.key, message).help(help));
            } else if RESERVED.contains(&name.as_str()) {
                found.push(Diagnostic::error(
                    &given.key,
                    format!("`{name}` is a name of Refit's own"),
                ));
            }
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let values = params.given.iter();
        let facts: Map<String, Value> = values
            .map(|(name, given)| (name.clone(), given.rendered.value.clone()))
            .collect();
        Ok(Action::Answer(Ok(Done {
            changed: false,
            result: Value::Object(facts),
            diff: None,
            message: None,
        })))
    }
}
