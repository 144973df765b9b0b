//! Renders a file of the controller with the host's variables and puts it onto the host.
//!
//!     - template: { src: templates/app.conf.j2, dest: /etc/app/app.conf, mode: "0644", validate: "app --check-config %s" }
//!
//! The template is a Jinja file, relative to the file that names it; every variable that it uses must be defined. It is
//! rendered before anything is touched, on every host. How the file gets to its place, and what it does with owner, mode and
//! links, is as in `copy`: `refit kinds copy`. A template that uses a secret shows no diff.

use super::place::{self, Placement, What};
use super::{Action, Context, Kind, Param, Params, Ty, list, upload};
use crate::template::Rendered;
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Template;
pub(super) static KIND: Template = Template;

const PARAMS: &[Param] = &[
    Param::required("src", Ty::File, "template on the controller"),
    place::DEST,
    place::OWNER,
    place::GROUP,
    place::MODE,
    place::FORCE,
    place::FOLLOW,
    place::VALIDATE,
];

/// None while the path is not known.
fn rendered(params: &Params, context: &Context<'_>) -> Result<Option<Rendered>, Diagnostic> {
    let Some(path) = params.file("src", context.folder) else {
        return Ok(None);
    };
    let at = params.span("src");
    if let Err(error) = std::fs::metadata(&path) {
        let message = format!("cannot read {}: {}", path.display(), upload::reason(&error));
        return Err(Diagnostic::error(at, message));
    }
    context.render_file(&path, at).map(Some)
}

impl Kind for Template {
    fn name(&self) -> &'static str {
        "template"
    }

    fn manual(&self) -> &'static str {
        list::manual!("template.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        place::RESULTS
    }

    fn later(&self) -> &'static [&'static str] {
        &[
            "attributes",
            "backup",
            "block_end_string",
            "block_start_string",
            "comment_end_string",
            "comment_start_string",
            "lstrip_blocks",
            "newline_sequence",
            "output_encoding",
            "selevel",
            "serole",
            "setype",
            "seuser",
            "trim_blocks",
            "unsafe_writes",
            "variable_end_string",
            "variable_start_string",
        ]
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = place::lint(params);
        if let Err(diagnostic) = rendered(params, context) {
            found.push(diagnostic);
        }
        found
    }

    fn waits(&self, params: &Params, context: &Context<'_>) -> Vec<String> {
        match rendered(params, context) {
            Ok(Some(rendered)) => rendered.pending,
            _ => Vec::new(),
        }
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let Some(rendered) = rendered(params, context)? else {
            return Err(params.error("src", "`src` has no value").into());
        };
        if !rendered.pending.is_empty() {
            let names = rendered.pending.join(", ");
            return Err(params
                .error("src", format!("the template uses what is not known yet: {names}"))
                .into());
        }
        let text = match rendered.value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let name = params.file("src", context.folder).and_then(|path| {
            let name = path.file_name()?.to_str()?;
            Some(name.strip_suffix(".j2").unwrap_or(name).to_owned())
        });
        let what = What::One {
            upload: upload::bytes(text.into_bytes()),
            name,
        };
        let placement = Placement::new(params, context, what, rendered.secret)?;
        Ok(Action::Shell(Box::new(placement)))
    }
}
