//! Values that several levels have: conditions, elevation, environment, tags, counts.

use super::load::Loader;
use super::model::{Elevation, Spanned};
use crate::yaml::decode::{self, Fields, has_template};
use crate::yaml::{Diagnostic, Node, Value};

/// A condition, or a list of conditions that all must hold.
pub(super) fn condition(loader: &mut Loader<'_>, key: &Node, node: &Node) -> Option<Node> {
    let fine = match &node.value {
        Value::Str(_) | Value::Bool(_) => true,
        Value::Seq(items) => {
            !items.is_empty() && items.iter().all(|i| matches!(i.value, Value::Str(_) | Value::Bool(_)))
        }
        _ => false,
    };
    if fine {
        return Some(node.clone());
    }
    let name = key.text.as_deref().unwrap_or_default();
    loader.found.push(
        Diagnostic::error(
            &node.span,
            format!(
                "`{name}` is a condition or a list of conditions, found {}",
                node.kind_name()
            ),
        )
        .help(format!("write an expression: `{name}: version == \"1.2\"`")),
    );
    None
}

/// `become`, `become_user`; `become_method` where it is sudo.
pub(super) fn elevation(loader: &mut Loader<'_>, fields: &mut Fields<'_>) -> Elevation {
    let become_ = fields.entry("become").and_then(|(key, node)| flag(loader, key, node));
    let user = fields
        .entry("become_user")
        .and_then(|(_, node)| match decode::text(node) {
            Ok(_) => Some(node.clone()),
            Err(wrong) => {
                loader.found.push(wrong);
                None
            }
        });
    if let Some(node) = fields.node("become_method")
        && node.as_str() != Some("sudo")
    {
        loader.found.push(
            Diagnostic::error(&node.span, "become methods other than sudo are known, not built yet")
                .help("remove it, or write `become_method: sudo`"),
        );
    }
    Elevation { become_, user }
}

/// A node that is text, as it stands: it may hold templates.
pub(super) fn text_node(node: &Node) -> Result<Node, Diagnostic> {
    decode::text(node).map(|_| node.clone())
}

/// A boolean or a template that gives one; `yes` and `on` become true.
pub(super) fn flag(loader: &mut Loader<'_>, key: &Node, node: &Node) -> Option<Node> {
    if node.as_str().is_some_and(has_template) {
        return Some(node.clone());
    }
    match decode::boolean(node) {
        Ok(value) => {
            let mut node = node.clone();
            node.value = Value::Bool(value);
            Some(node)
        }
        Err(wrong) => {
            let key = key.text.as_deref().unwrap_or_default();
            loader.found.push(decode::named(key, wrong));
            None
        }
    }
}

/// A mapping of text, or a template that gives one.
pub(super) fn environment(loader: &mut Loader<'_>, node: &Node) -> Option<Node> {
    match &node.value {
        Value::Str(text) if has_template(text) => return Some(node.clone()),
        Value::Map(entries) => {
            for (key, value) in entries {
                let name = key.text.as_deref().unwrap_or_default();
                let fine = name
                    .chars()
                    .enumerate()
                    .all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()));
                if name.is_empty() || !fine {
                    loader.found.push(Diagnostic::error(
                        &key.span,
                        format!("`{name}` cannot be the name of a variable of the process"),
                    ));
                }
                if matches!(value.value, Value::Seq(_) | Value::Map(_)) {
                    loader.found.push(Diagnostic::error(
                        &value.span,
                        format!("the value of `{name}` must be text, found {}", value.kind_name()),
                    ));
                }
            }
            return Some(node.clone());
        }
        Value::Seq(_) => loader.found.push(
            Diagnostic::error(&node.span, "`environment` is a mapping, found a list")
                .help("write `NAME: VALUE` without the `-`"),
        ),
        Value::Null => {}
        _ => loader.found.push(Diagnostic::error(
            &node.span,
            format!("`environment` is a mapping, found {}", node.kind_name()),
        )),
    }
    None
}

/// A list of words; one text may hold several, with commas between them.
pub(super) fn tags(loader: &mut Loader<'_>, node: &Node) -> Vec<Spanned<String>> {
    let items = match decode::list(node) {
        Ok(items) => items,
        Err(wrong) => {
            loader.found.push(decode::named("tags", wrong));
            return Vec::new();
        }
    };
    let mut tags = Vec::new();
    for item in items {
        match decode::literal(item) {
            Ok(text) => {
                for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                    tags.push(Spanned {
                        value: tag.to_owned(),
                        span: item.span.clone(),
                    });
                }
            }
            Err(wrong) => loader.found.push(decode::named("tags", wrong)),
        }
    }
    tags
}

/// What a literal count may be.
pub(super) struct Count {
    pub(super) key: &'static str,
    pub(super) least: i64,
    pub(super) percent: bool,
}

/// A whole number, `N%`, or a template; None and an error for anything else.
pub(super) fn count(loader: &mut Loader<'_>, node: &Node, what: &Count) -> Option<Node> {
    let wanted = match what.percent {
        true => "a whole number or `N%`",
        false => "a whole number",
    };
    let key = what.key;
    let wrong = |message: String| Some(Diagnostic::error(&node.span, message));
    let problem = match &node.value {
        Value::Str(text) if has_template(text) => None,
        Value::Int(_) | Value::Str(_) => {
            let text = node.text.as_deref().unwrap_or_default().trim();
            match (text.strip_suffix('%'), what.percent) {
                (Some(number), true) => match number.trim().parse::<i64>() {
                    Ok(percent) if percent > 100 => wrong(format!("`{key}` is more than 100%")),
                    Ok(percent) if percent < what.least => wrong(format!("`{key}` must be at least {}%", what.least)),
                    Ok(_) => None,
                    Err(_) if number.trim().parse::<f64>().is_ok() => wrong(format!("`{key}` takes whole per cents")),
                    Err(_) => wrong(format!("`{key}` is {wanted}")),
                },
                _ => match decode::int(node) {
                    Ok(number) if number < what.least => wrong(format!("`{key}` must be at least {}", what.least)),
                    Ok(_) => None,
                    Err(_) => wrong(format!("`{key}` is {wanted}")),
                },
            }
        }
        _ => wrong(format!("`{key}` is {wanted}, found {}", node.kind_name())),
    };
    match problem {
        Some(problem) => {
            loader.found.push(problem);
            None
        }
        None => Some(node.clone()),
    }
}

/// A list, or a template that gives one.
pub(super) fn items(loader: &mut Loader<'_>, key: &Node, node: &Node) -> Option<Node> {
    let name = key.text.as_deref().unwrap_or_default();
    match &node.value {
        Value::Seq(_) => return Some(node.clone()),
        Value::Str(text) if has_template(text) => return Some(node.clone()),
        Value::Str(text) => loader.found.push(
            Diagnostic::error(&node.span, format!("`{name}` is a list, found text")).help(format!(
                "write `{name}: \"{{{{ {} }}}}\"` if it is a variable",
                text.trim()
            )),
        ),
        Value::Map(_) => loader.found.push(
            Diagnostic::error(&node.span, format!("`{name}` is a list, found a mapping"))
                .help("`mapping | dict2items` makes a list of a mapping"),
        ),
        _ => loader.found.push(Diagnostic::error(
            &node.span,
            format!("`{name}` is a list, found {}", node.kind_name()),
        )),
    }
    None
}
