//! `environment` of a step (playbook, stages, step: the later wins) and the account that it runs as.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::loaded::Loaded;
use super::stages::{Instance, type_name};
use crate::playbook::{Elevation, Step};
use crate::template::{Rendered, Scope};
use crate::yaml::{Diagnostic, Diagnostics, Node};

/// Variables of the process; true: the value is secret.
pub(crate) type Environment = IndexMap<String, (String, bool)>;

/// Names that a value waits for.
pub(crate) type Waits = Vec<String>;

pub(crate) fn environment(
    loaded: &Arc<Loaded>,
    instance: Option<&Instance<'_>>,
    step: &Step,
    scope: &Scope,
) -> Result<(Environment, Waits), Diagnostics> {
    let stages = instance.map(|i| i.chain.as_slice()).unwrap_or_default();
    let nodes = std::iter::once(&loaded.playbook.environment)
        .chain(stages.iter().map(|stage| &stage.environment))
        .chain([&step.environment])
        .flatten();
    let mut variables = Environment::new();
    let mut waits = Waits::new();
    for node in nodes {
        let mapping =
            |found: &str| Diagnostic::error(&node.span, format!("`environment` takes a mapping, found {found}"));
        let Some(entries) = node.as_map() else {
            let rendered = loaded.templates.value(node, scope)?;
            waits.extend(rendered.pending.iter().cloned());
            match &rendered.value {
                Value::Object(map) => {
                    for (name, value) in map {
                        variables.insert(name.clone(), (text(value), rendered.secret));
                    }
                }
                _ if !rendered.pending.is_empty() => {}
                Value::Null => {}
                other => return Err(mapping(type_name(other)).into()),
            }
            continue;
        };
        for (key, value) in entries {
            let name = key.text.clone().unwrap_or_default();
            if name.is_empty() || name.contains(['=', '\0']) || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(Diagnostic::error(&key.span, "this is no name of an environment variable").into());
            }
            let rendered = loaded.templates.value(value, scope)?;
            waits.extend(rendered.pending.iter().cloned());
            if rendered.omit {
                continue;
            }
            remember(loaded, &rendered);
            if matches!(rendered.value, Value::Array(_) | Value::Object(_)) {
                return Err(Diagnostic::error(
                    &value.span,
                    format!(
                        "an environment variable is text, this gives {}",
                        type_name(&rendered.value)
                    ),
                )
                .into());
            }
            variables.insert(name, (text(&rendered.value), rendered.secret));
        }
    }
    Ok((variables, waits))
}

/// Every text of a secret value joins what is hidden everywhere.
pub(crate) fn remember(loaded: &Loaded, rendered: &Rendered) {
    fn walk(loaded: &Loaded, value: &Value) {
        match value {
            Value::String(text) => loaded.redactor.add(&crate::secret::Secret::new(text.clone())),
            Value::Array(items) => items.iter().for_each(|item| walk(loaded, item)),
            Value::Object(map) => map.values().for_each(|item| walk(loaded, item)),
            _ => {}
        }
    }
    if rendered.secret {
        walk(loaded, &rendered.value);
    }
}

/// The user that sudo goes to; None: the login's own account.
pub(crate) fn elevation(
    loaded: &Arc<Loaded>,
    instance: Option<&Instance<'_>>,
    step: &Step,
    scope: &Scope,
) -> Result<(Option<String>, Waits), Diagnostics> {
    let mut levels: Vec<&Elevation> = vec![&step.elevation];
    if let Some(instance) = instance {
        levels.extend(instance.chain.iter().rev().map(|stage| &stage.elevation));
    }
    levels.push(&loaded.playbook.elevation);
    let mut waits = Waits::new();
    // As in Ansible, a connection variable of the host wins over the playbook.
    let on = match variable(loaded, scope, "ansible_become")? {
        Some((value, node)) => boolean(&value, &node, false)?,
        None => match levels.iter().find_map(|level| level.become_.as_ref()) {
            Some(node) => {
                let rendered = loaded.templates.value(node, scope)?;
                waits.extend(rendered.pending.iter().cloned());
                boolean(&rendered.value, node, !rendered.pending.is_empty())?
            }
            None => false,
        },
    };
    if !on {
        return Ok((None, waits));
    }
    let user = match variable(loaded, scope, "ansible_become_user")? {
        Some((value, node)) => account_name(&value, &node, false)?,
        None => match levels.iter().find_map(|level| level.user.as_ref()) {
            Some(node) => {
                let rendered = loaded.templates.value(node, scope)?;
                waits.extend(rendered.pending.iter().cloned());
                account_name(&rendered.value, node, !rendered.pending.is_empty())?
            }
            None => "root".to_owned(),
        },
    };
    Ok((Some(user), waits))
}

fn account_name(value: &Value, node: &Node, pending: bool) -> Result<String, Diagnostics> {
    let name = text(value);
    if pending {
        return Ok("root".to_owned());
    }
    let fine = !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-$".contains(c));
    if fine {
        Ok(name)
    } else {
        Err(Diagnostic::error(&node.span, format!("`{}` is no account", name.escape_debug())).into())
    }
}

fn variable(loaded: &Arc<Loaded>, scope: &Scope, name: &str) -> Result<Option<(Value, Node)>, Diagnostics> {
    use crate::template::Binding;
    Ok(match scope.find(name) {
        Some(Binding::Template(node)) => Some((loaded.templates.value(node, scope)?.value, (**node).clone())),
        Some(Binding::Data(value)) => {
            let source = crate::yaml::Source::new("-e", value.to_string());
            let span = crate::yaml::Span::new(&source, 0, source.text.len());
            Some((value.clone(), Node::string(span, text(value))))
        }
        _ => None,
    })
}

/// A boolean, or a word that Ansible's users write for one.
pub(crate) fn boolean(value: &Value, node: &Node, pending: bool) -> Result<bool, Diagnostics> {
    match value {
        Value::Bool(on) => Ok(*on),
        Value::String(word) => match word.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Ok(true),
            "no" | "false" | "off" | "0" | "" => Ok(false),
            _ => Err(Diagnostic::error(
                &node.span,
                format!("expected yes or no, found `{}`", word.escape_debug()),
            )
            .into()),
        },
        Value::Number(n) if n.as_i64() == Some(1) => Ok(true),
        Value::Number(n) if n.as_i64() == Some(0) => Ok(false),
        Value::Null => Ok(false),
        _ if pending => Ok(false),
        other => Err(Diagnostic::error(&node.span, format!("expected yes or no, found {}", type_name(other))).into()),
    }
}

/// A value as text, as Ansible prints it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
