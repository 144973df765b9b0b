//! Fails where a condition does not hold.
//!
//!     - assert: { that: [r.rc == 0, "'ready' in r.stdout"], fail_msg: "the node is not ready: {{ r.stdout }}" }
//!
//! Each entry of `that` is a bare expression that gives true or false. They are worked out when the step's turn comes, and
//! the first that does not hold is named. Nothing is changed.

use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, Kind, Param, Params, Ty, list, process};
use crate::yaml::Diagnostics;

pub(super) struct Assert;
pub(super) static KIND: Assert = Assert;

const PARAMS: &[Param] = &[
    Param::required("that", Ty::Expressions, "conditions that must all hold"),
    Param::new("msg", Ty::Text, "what to say where one does not"),
    Param::new("fail_msg", Ty::Text, "the same as `msg`"),
    Param::new("success_msg", Ty::Text, "what to say where all hold"),
    Param::new("quiet", Ty::Bool, "say nothing where all hold; default no"),
];

impl Kind for Assert {
    fn name(&self) -> &'static str {
        "assert"
    }

    fn manual(&self) -> &'static str {
        list::manual!("assert.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["msg", "assertion", "evaluated_to"]
    }

    fn reads_only(&self) -> bool {
        true
    }

    fn lint(&self, params: &Params, context: &Context<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if params.has("msg") && params.has("fail_msg") {
            found.push(params.error("fail_msg", "`assert` takes only one of `msg`, `fail_msg`"));
        }
        for node in params.expressions("that") {
            if let Err(diagnostic) = context.templates.condition(node, context.scope) {
                found.push(diagnostic);
            }
        }
        found
    }

    fn waits(&self, params: &Params, context: &Context<'_>) -> Vec<String> {
        let outcomes = params.expressions("that").into_iter();
        outcomes
            .filter_map(|node| context.templates.condition(node, context.scope).ok())
            .flat_map(|outcome| outcome.pending)
            .collect()
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let said = params.text("fail_msg").or_else(|| params.text("msg"));
        for node in params.expressions("that") {
            let outcome = context.templates.condition(node, context.scope)?;
            let expression = process::written(node);
            if !outcome.pending.is_empty() {
                let names = outcome.pending.join(", ");
                let message = format!("`{expression}` depends on what is not known: {names}");
                return Ok(Action::Answer(Err(Failure::new(message))));
            }
            if outcome.value != Value::Bool(true) {
                let message = match &said {
                    Some(said) => format!("{said} (`{expression}` does not hold)"),
                    None => format!("`{expression}` does not hold"),
                };
                let result = json!({
                    "msg": said.unwrap_or_else(|| "Assertion failed".to_owned()),
                    "assertion": expression,
                    "evaluated_to": false,
                });
                return Ok(Action::Answer(Err(Failure::new(message).with(result))));
            }
        }
        let said = params.text("success_msg");
        let quiet = params.bool("quiet").unwrap_or(false);
        Ok(Action::Answer(Ok(Done {
            changed: false,
            result: json!({ "msg": said.clone().unwrap_or_else(|| "All assertions passed".to_owned()) }),
            diff: None,
            message: said.filter(|_| !quiet),
        })))
    }
}
