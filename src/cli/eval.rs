use clap::Args;

use super::common::{Here, show};
use crate::id::HostName;
use crate::inventory::Inventory;
use crate::template::{Scope, Templates};
use crate::yaml::{Diagnostic, Node, Severity, Source, Span};

/// Evaluate an expression with a host's variables; the value as JSON
#[derive(Debug, Args)]
pub(super) struct Eval {
    /// An inventory: a file, a folder, or `a,b,`
    #[arg(short = 'i', long = "inventory", value_name = "SRC")]
    inventory: Vec<String>,
    /// The host
    #[arg(long, value_name = "H")]
    host: String,
    /// The expression, with or without `{{ }}`
    expression: String,
}

pub(super) fn eval(verb: Eval) -> u8 {
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    let sources = match here.sources(&verb.inventory) {
        Ok(sources) => sources,
        Err(code) => return code,
    };
    let inventory = match Inventory::load(&sources, &here.folder, None) {
        Ok((inventory, notes)) => {
            show(&notes, None);
            std::sync::Arc::new(inventory)
        }
        Err(e) => {
            show(&e, None);
            return 1;
        }
    };
    let Some(host) = inventory.hosts().find(|host| host.as_str() == verb.host).cloned() else {
        let mut error = Diagnostic::general(format!("no host `{}` in this inventory", verb.host.escape_debug()));
        let names: Vec<&str> = inventory.hosts().map(HostName::as_str).collect();
        if let Some(near) = crate::yaml::did_you_mean(&verb.host, names) {
            error = error.help(format!("did you mean `{near}`?"));
        }
        show(&error.into(), None);
        return 1;
    };
    let scope = crate::plan::inventory_scope(&inventory, &host);
    let templates = Templates::new(here.folder.clone(), crate::secret::Redactor::default());
    match evaluate(&templates, &verb.expression, &scope) {
        Ok(text) => {
            super::say(&text);
            0
        }
        Err(e) => {
            show(&e.severity(Severity::Error).into(), None);
            1
        }
    }
}

fn evaluate(templates: &Templates, expression: &str, scope: &Scope) -> Result<String, Diagnostic> {
    let rendered = if expression.contains("{{") || expression.contains("{%") {
        let source = Source::new("EXPRESSION", expression.to_owned());
        templates.value(
            &Node::string(Span::new(&source, 0, expression.len()), expression),
            scope,
        )?
    } else {
        templates.expression(expression, scope)?
    };
    Ok(rendered.value.to_string())
}
