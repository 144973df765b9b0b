//! What a step does. One file a kind; `list.rs` names them all.
//!
//! A kind that works through the shell is a pure function from parameters and facts to a script, and a parser of what
//! the script prints. A kind that drives from the controller implements the wider trait. In check mode no kind can
//! reach anything that changes a host: `Reading` has no such method.

mod action;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod decoding;
mod list;
mod params;
mod place;
mod process;
mod sh;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;
mod upload;
mod wait;

pub(crate) use action::{Action, Context, DriveAction, ShellAction, Verdict};
pub(crate) use list::{find, known_later, page, spelled};
pub(crate) use params::{Given, Mode, Param, Params, Ty};

use std::path::PathBuf;

// The words of every kind.
use crate::id::HostName;
pub(crate) use crate::job::{
    BoxFuture, Changing, Decision, Done, Fact, Facts, Failure, Job, Output, Probe, Reading, Tunnel, Upload, UploadFrom,
};
use crate::yaml::{Diagnostics, Node};

// A new kind is its file and a word here. rustfmt does not see the files of this list: `make fmt` names them.
list::kinds! {
    command shell script copy template file stat http service swap backup schema health temporal set debug assert fail pause
}

/// Looks at a schema, for `refit schema status`; no word of a playbook.
pub(crate) fn schema_status() -> &'static dyn Kind {
    &schema::STATUS
}

/// Looks at a Temporal cluster and shows all of it, for `refit temporal status`.
pub(crate) fn temporal_status() -> &'static dyn Kind {
    &temporal::STATUS
}

/// A kind: its manual, its parameters, its result fields, and how parameters become an action.
pub(crate) trait Kind: Send + Sync {
    fn name(&self) -> &'static str;
    /// The manual page: the file's `//!` text (`list::manual!`).
    fn manual(&self) -> &'static str;
    fn params(&self) -> &'static [Param];
    /// Fields of the result beside `changed failed skipped` (and `results` of a loop), which all have.
    fn results(&self) -> &'static [&'static str];
    /// The parameter that plain text stands for: `command: a b c`.
    fn text_param(&self) -> Option<&'static str> {
        None
    }
    /// Any name is a parameter (`set`).
    fn free_names(&self) -> bool {
        false
    }
    /// Parameters that Ansible has and that are refused as "known, not built yet".
    fn later(&self) -> &'static [&'static str] {
        &[]
    }
    /// Never changes anything, whatever its parameters (stat, health, assert, debug, fail, pause): no job is needed.
    fn reads_only(&self) -> bool {
        false
    }
    /// Two hosts doing it at once would do harm that no lock prevents: in a stage of several hosts the step needs
    /// `run_once`.
    fn one_writer(&self, params: &Params) -> bool {
        let _ = params;
        false
    }
    /// What can be said before any host is asked: parameters that exclude one another, files that are missing. Values
    /// that are pending are left out of `params`' typed values; look at `given` for them.
    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics;
    /// Files and folders on the controller that the step will use; their content is part of the recipe.
    fn artefacts(&self, params: &Params, context: &Context<'_>) -> Vec<PathBuf> {
        params.files(self.params(), context.folder)
    }
    /// Other hosts, by their inventory names, that the step reads on (`Reading::probe_on`): they are connected as well.
    fn reaches(&self, params: &Params, context: &Context<'_>) -> Vec<String> {
        let _ = (params, context);
        Vec::new()
    }
    /// Hosts of the inventory that the step's tunnels lead through: they are reached before anything is touched.
    fn ways(&self, params: &Params, context: &Context<'_>) -> Vec<HostName> {
        let _ = (params, context);
        Vec::new()
    }
    /// Names that the step waits for beside those of its parameters (in a template file).
    fn waits(&self, params: &Params, context: &Context<'_>) -> Vec<String> {
        let _ = (params, context);
        Vec::new()
    }
    /// What to do, once every parameter is known.
    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics>;
}

/// A node of parameters that is no mapping and no text (for the loader's error).
pub(crate) fn expected(kind: &dyn Kind, node: &Node) -> String {
    let text = match kind.text_param() {
        Some(_) => " or text",
        None => "",
    };
    format!("`{}` takes a mapping{text}, found {}", kind.name(), node.kind_name())
}
