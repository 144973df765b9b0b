//! `refit schema`: a playbook cut down to one schema step.

use std::sync::Arc;

use crate::event::OneSchema;
use crate::kind;
use crate::playbook::{Body, Elevation, Playbook, Stage, Step};
use crate::template::Layer;
use crate::yaml::{Diagnostic, Diagnostics, Node, Source, Span, Style, Value, suggestion};

/// Replaces the stages of a playbook by one that updates this database's schema; what is not given comes from the
/// playbook's own schema step for it.
pub(crate) fn only(playbook: &mut Playbook, verb: &OneSchema) -> Result<(), Diagnostics> {
    if !playbook.databases.contains_key(&verb.database) {
        let names = playbook.databases.keys().map(String::as_str);
        let mut error = Diagnostic::general(format!(
            "--database `{}`: the playbook names no such database",
            verb.database.escape_debug()
        ));
        error.help.extend(suggestion(&verb.database, names));
        return Err(error.into());
    }
    let mut found = None;
    find(&playbook.stages, &verb.database, &[], &mut found);
    let source = Source::new("refit schema", format!("{verb:?}"));
    let span = Span::new(&source, 0, source.text.len());
    let mut params = vec![("database", Some(Node::string(span.clone(), verb.database.clone())))];
    let given = |text: &Option<String>| text.as_ref().map(|text| Node::string(span.clone(), text.clone()));
    let from = |name: &str| found.as_ref().and_then(|(_, step)| step.params.get(name).cloned());
    let dir = given(&verb.dir).or_else(|| from("dir"));
    // With `tool` the directory is on the host, and the controller has none to compare with.
    let tool = from("tool");
    match verb.status && tool.is_some() {
        true => {}
        false => params.push(("dir", dir.clone())),
    }
    params.push(("to", given(&verb.to).or_else(|| from("to"))));
    if !verb.status {
        params.push(("tool", tool));
        if verb.dir.is_none() {
            params.push(("schema_name", from("schema_name")));
        }
        for name in ["tool_version", "options", "nodetool"] {
            params.push((name, from(name)));
        }
    }
    let placed = params
        .iter()
        .any(|(name, node)| ["dir", "schema_name"].contains(name) && node.is_some());
    if !placed && !verb.status {
        return Err(Diagnostic::general(format!(
            "no step of the playbook updates `{}`, so its schema directory is not known",
            verb.database
        ))
        .help("name it with `--dir DIR`")
        .into());
    }
    let node = Node {
        span: span.clone(),
        value: Value::Map(
            params
                .into_iter()
                .filter_map(|(name, node)| Some((Node::string(span.clone(), name), node?)))
                .collect(),
        ),
        text: None,
        style: Style::None,
        tag: None,
    };
    let kind = if verb.status {
        kind::schema_status()
    } else if let Some(kind) = kind::find("schema") {
        kind
    } else {
        return Err(Diagnostic::general("this refit has no kind `schema`").into());
    };
    let place = found
        .as_ref()
        .map_or_else(|| playbook.hosts.span.clone(), |(_, step)| step.span.clone());
    let step = Step {
        id: "schema".into(),
        name: Node::string(place.clone(), format!("schema of {}", verb.database)),
        span: place.clone(),
        kind,
        kind_span: place.clone(),
        params: node,
        when: None,
        register: None,
        loop_: None,
        until: None,
        retries: None,
        delay: None,
        timeout: None,
        elevation: found
            .as_ref()
            .map(|(_, step)| step.elevation.clone())
            .unwrap_or_default(),
        delegate_to: None,
        run_once: true,
        tags: Vec::new(),
        reads: false,
        changed_when: None,
        failed_when: None,
        ignore_errors: None,
        environment: None,
        no_log: false,
        vars: Arc::new(Layer::new()),
        verify: None,
        idempotent: false,
        undo: Vec::new(),
    };
    let stages: Vec<Stage> = found.as_ref().map(|(stages, _)| stages.clone()).unwrap_or_default();
    let vars: Layer = stages
        .iter()
        .flat_map(|stage| stage.vars.iter())
        .map(|(n, b)| (n.clone(), b.clone()))
        .collect();
    let title = match verb.status {
        true => format!("Look at the schema of {}", verb.database),
        false => format!("Update the schema of {}", verb.database),
    };
    let stage = Stage {
        hosts: stages.iter().rev().find_map(|stage| stage.hosts.clone()),
        vars: Arc::new(vars),
        elevation: stages
            .last()
            .map_or_else(Elevation::default, |stage| stage.elevation.clone()),
        ..one_stage("schema", Node::string(place.clone(), title), vec![step])
    };
    playbook.probes.clear();
    playbook.finally.clear();
    playbook.stages = vec![stage];
    Ok(())
}

/// A stage of a verb that runs nothing else of the playbook: once, on the playbook's own hosts.
pub(super) fn one_stage(id: &str, name: Node, steps: Vec<Step>) -> Stage {
    Stage {
        id: id.into(),
        name,
        hosts: None,
        vars: Arc::default(),
        when: None,
        serial: None,
        forks: None,
        max_fail: None,
        elevation: Elevation::default(),
        tags: Vec::new(),
        run_once: true,
        for_each: None,
        as_: None,
        timeout: None,
        lockstep: false,
        environment: None,
        guard: Vec::new(),
        rollback: Vec::new(),
        body: Body::Steps(steps),
    }
}

/// The first schema step of a database, and the stages around it.
type Found = Option<(Vec<Stage>, Step)>;

fn find(stages: &[Stage], database: &str, outer: &[Stage], found: &mut Found) {
    for stage in stages {
        let chain: Vec<Stage> = outer.iter().chain([stage]).cloned().collect();
        match &stage.body {
            Body::Stages(inner) => find(inner, database, &chain, found),
            Body::Steps(steps) => {
                let step = steps.iter().find(|step| {
                    step.kind.name() == "schema"
                        && step.params.get("database").and_then(|node| node.text.as_deref()) == Some(database)
                });
                if let (Some(step), None) = (step, &found) {
                    *found = Some((chain.clone(), step.clone()));
                }
            }
        }
    }
}
