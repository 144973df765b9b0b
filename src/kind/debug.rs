//! Says something: a text, or a variable's value.
//!
//!     - debug: "the leader is {{ leader }}"
//!     - debug: { var: r.stdout_lines }
//!
//! `msg` may be a list or a mapping. `var` is a bare expression. Secrets are shown as `<secret>`. Nothing is changed.

use serde_json::{Value, json};

use super::{Action, Context, Done, Kind, Param, Params, Ty, list};
use crate::yaml::{Diagnostics, Node};

pub(super) struct Debug;
pub(super) static KIND: Debug = Debug;

const PARAMS: &[Param] = &[
    Param::new("msg", Ty::Any, "what to say; default \"Hello world!\""),
    Param::new("var", Ty::Expressions, "an expression whose value is shown"),
];

/// The expression of `var`, and a node that renders to its value.
fn variable(params: &Params) -> Option<(String, Node)> {
    let node = *params.expressions("var").first()?;
    let expression = node.text.clone().unwrap_or_default();
    let wrapped = Node::string(node.span.clone(), format!("{{{{ {expression} }}}}"));
    Some((expression, wrapped))
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_else(|_| other.to_string()),
    }
}

impl Kind for Debug {
    fn name(&self) -> &'static str {
        "debug"
    }

    fn manual(&self) -> &'static str {
        list::manual!("debug.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["msg"]
    }

    fn text_param(&self) -> Option<&'static str> {
        Some("msg")
    }

    fn later(&self) -> &'static [&'static str] {
        &["verbosity"]
    }

    fn reads_only(&self) -> bool {
        true
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if params.has("msg") && params.has("var") {
            found.push(params.error("var", "`debug` takes only one of `msg`, `var`"));
        }
        if params.expressions("var").len() > 1 {
            found.push(params.error("var", "`var` must be one expression, found a list"));
        } else if let Some((_, node)) = variable(params) {
            found.extend(context.render(&node).err());
        }
        found
    }

    fn waits(&self, params: &Params, context: &Context<'_>) -> Vec<String> {
        let rendered = variable(params).and_then(|(_, node)| context.render(&node).ok());
        rendered.map(|rendered| rendered.pending).unwrap_or_default()
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let (value, message) = match variable(params) {
            Some((expression, node)) => {
                let value = context.render(&node)?.value;
                let message = format!("{expression}: {}", shown(&value));
                (value, message)
            }
            None => {
                let value = params.value("msg").cloned().unwrap_or_else(|| json!("Hello world!"));
                let message = shown(&value);
                (value, message)
            }
        };
        Ok(Action::Answer(Ok(Done {
            changed: false,
            result: json!({ "msg": value }),
            diff: None,
            message: Some(message),
        })))
    }
}
