use clap::Args;

use super::common::show;
use crate::kind;
use crate::yaml::Diagnostic;

/// List the kinds of step, or show the manual page of one
#[derive(Debug, Args)]
pub(super) struct Kinds {
    name: Option<String>,
}

pub(super) fn kinds(verb: Kinds) -> u8 {
    let Some(name) = verb.name else {
        for kind in kind::all() {
            let line = kind.manual().lines().next().unwrap_or_default().trim().to_owned();
            super::say(&format!("{:<10} {line}", kind.name()));
        }
        return 0;
    };
    match kind::find(&name) {
        Some(kind) => {
            super::say(kind::page(kind).trim_end());
            0
        }
        None => {
            let mut error = if kind::known_later(&name) {
                Diagnostic::general(format!("the kind `{name}` is known, not built yet"))
            } else {
                Diagnostic::general(format!("no kind `{}`", name.escape_debug()))
            };
            if let Some(near) = crate::yaml::did_you_mean(&name, kind::all().iter().map(|kind| kind.name())) {
                error = error.help(format!("did you mean `{near}`?"));
            }
            show(&error.into(), None);
            1
        }
    }
}
