//! The numbers of a stage: batches, how many hosts may fail, how many run at once.

use std::sync::Arc;

use serde_json::Value;

use super::loaded::Loaded;
use super::scope::Place;
use super::serial::{self, BadSize};
use super::stages::Instance;
use crate::yaml::{Diagnostic, Diagnostics, Node};

const DEFAULT_FORKS: usize = 50;

pub(crate) struct Limits {
    /// Sizes of the batches, in order; their sum is the number of hosts.
    pub(crate) batches: Vec<usize>,
    /// More failed hosts than this fail the stage.
    pub(crate) max_fail: usize,
    pub(crate) forks: usize,
}

/// `serial`, `max_fail` and `forks` of a stage for the hosts of this instance.
pub(crate) fn limits(loaded: &Arc<Loaded>, instance: &Instance<'_>) -> Result<Limits, Diagnostics> {
    let stage = instance.stage();
    let hosts = instance.hosts.len();
    let scope = instance.hosts.first().map(|host| {
        loaded.scope(Place {
            instance: Some(instance),
            ..Place::host(host)
        })
    });
    let render = |node: &Option<Node>| -> Result<Option<(Node, Value)>, Diagnostics> {
        match (node, &scope) {
            (Some(node), Some(scope)) => {
                let rendered = loaded.templates.value(node, scope)?;
                if rendered.pending.is_empty() {
                    Ok(Some((node.clone(), rendered.value)))
                } else {
                    Err(Diagnostic::error(
                        &node.span,
                        format!("this number cannot wait for {}", rendered.pending.join(", ")),
                    )
                    .into())
                }
            }
            _ => Ok(None),
        }
    };
    let wrong = |node: &Node, error: BadSize| Diagnostics::from(Diagnostic::error(&node.span, error.to_string()));
    let batches = match render(&stage.serial)? {
        None => vec![hosts],
        Some((node, value)) => {
            let sizes = serial::parse_serial(&value).map_err(|e| wrong(&node, e))?;
            serial::batches(&sizes, hosts)
        }
    };
    let max_fail = match render(&stage.max_fail)? {
        None => 0,
        Some((node, value)) => {
            let budget = serial::parse_max_fail(&value).map_err(|e| wrong(&node, e))?;
            serial::max_fail(budget, hosts)
        }
    };
    let forks = match render(&stage.forks)? {
        None => loaded.options.forks.unwrap_or(DEFAULT_FORKS),
        Some((node, value)) => match value
            .as_u64()
            .or_else(|| value.as_str().and_then(|t| t.trim().parse().ok()))
        {
            Some(n) if n > 0 => usize::try_from(n).unwrap_or(usize::MAX),
            _ => return Err(Diagnostic::error(&node.span, "`forks` takes a whole number of at least 1").into()),
        },
    };
    Ok(Limits {
        batches: batches.into_iter().filter(|n| *n > 0).collect(),
        max_fail,
        forks,
    })
}
