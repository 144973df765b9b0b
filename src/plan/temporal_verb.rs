//! `refit temporal status`: a playbook cut down to its `temporal` probes.

use super::schema_verb::one_stage;
use crate::kind;
use crate::playbook::{Playbook, Step};
use crate::yaml::{Diagnostic, Diagnostics, Node, Value};

/// Replaces the stages of a playbook by its own `temporal` probes, which show all that they find. Probes before the first
/// of them stay: they may give it values.
pub(crate) fn only(playbook: &mut Playbook) -> Result<(), Diagnostics> {
    let is_look = |step: &Step| step.kind.name() == "temporal";
    let Some(first) = playbook.probes.iter().position(is_look) else {
        return Err(
            Diagnostic::general("the playbook has no `temporal` probe, which would say where the cluster is")
                .help("write one: `probes: [{ temporal: { databases: [main, visibility] }, run_once: true }]`")
                .into(),
        );
    };
    let mut steps: Vec<Step> = playbook.probes.split_off(first).into_iter().filter(is_look).collect();
    for step in &mut steps {
        step.kind = kind::temporal_status();
        step.run_once = true;
        target_may_be_missing(&mut step.params);
    }
    let place = steps[0].span.clone();
    playbook.finally.clear();
    playbook.stages = vec![one_stage("status", Node::string(place, "Look at the cluster"), steps)];
    Ok(())
}

/// `to: "{{ to }}"` without `-e to=…`: a look needs no target.
fn target_may_be_missing(params: &mut Node) {
    let Value::Map(entries) = &mut params.value else { return };
    for (key, node) in entries {
        if key.text.as_deref() != Some("to") {
            continue;
        }
        let expression = node.text.as_deref().map(str::trim).and_then(|text| {
            let inside = text.strip_prefix("{{")?.strip_suffix("}}")?;
            (!inside.contains("{{")).then(|| inside.trim().to_owned())
        });
        if let Some(expression) = expression {
            *node = Node::string(node.span.clone(), format!("{{{{ ({expression}) | default(omit) }}}}"));
        }
    }
}
