//! A value of `-e` that nothing reads is a typo.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::loaded::Loaded;
use crate::playbook::{Body, Elevation, Stage, Step};
use crate::template::{Binding, Layer};
use crate::yaml::{Diagnostic, Diagnostics, Node, did_you_mean};

/// An error for each `-e` name that no template, no condition and no connection variable names.
pub(crate) fn unread(loaded: &Arc<Loaded>) -> Diagnostics {
    let mut errors = Diagnostics::default();
    if loaded.extra.is_empty() {
        return errors;
    }
    let mut names = Names {
        loaded,
        read: BTreeSet::new(),
    };
    let playbook = &loaded.playbook;
    names.read.extend(loaded.templates.file_names(&playbook.name));
    names.node(&playbook.hosts);
    names.layer(&playbook.vars);
    names.layer(&loaded.extra);
    playbook.databases.values().for_each(|node| names.node(node));
    names.optional(&playbook.environment);
    names.elevation(&playbook.elevation);
    names.steps(&playbook.probes);
    names.steps(&playbook.finally);
    playbook.stages.iter().for_each(|stage| names.stage(stage));
    let mut seen = BTreeSet::new();
    for host in loaded.inventory.hosts() {
        for layer in loaded.inventory.layers(host) {
            if seen.insert(Arc::as_ptr(&layer) as usize) {
                names.layer(&layer);
            }
        }
    }
    for name in loaded.extra.keys() {
        if names.read.contains(name) || name.starts_with("ansible_") || name == "refit_state_dir" {
            continue;
        }
        let mut error = Diagnostic::general(format!("-e `{name}`: nothing reads this variable"));
        if let Some(near) = did_you_mean(name, names.read.iter().map(String::as_str)) {
            error = error.help(format!("did you mean `{near}`?"));
        }
        errors.push(error);
    }
    errors
}

struct Names<'a> {
    loaded: &'a Arc<Loaded>,
    read: BTreeSet<String>,
}

impl Names<'_> {
    fn node(&mut self, node: &Node) {
        self.read.extend(self.loaded.templates.names(node));
    }

    /// A bare expression, or a list of them.
    fn condition(&mut self, node: &Option<Node>) {
        if let Some(node) = node {
            self.read.extend(self.loaded.templates.condition_names(node));
        }
    }

    fn optional(&mut self, node: &Option<Node>) {
        if let Some(node) = node {
            self.node(node);
        }
    }

    fn layer(&mut self, layer: &Layer) {
        for binding in layer.values() {
            if let Binding::Template(node) = binding {
                self.node(node);
            }
        }
    }

    fn elevation(&mut self, elevation: &Elevation) {
        self.optional(&elevation.become_);
        self.optional(&elevation.user);
    }

    fn stage(&mut self, stage: &Stage) {
        self.node(&stage.name);
        self.layer(&stage.vars);
        self.condition(&stage.when);
        for node in [
            &stage.hosts,
            &stage.serial,
            &stage.forks,
            &stage.max_fail,
            &stage.for_each,
            &stage.environment,
        ] {
            self.optional(node);
        }
        self.elevation(&stage.elevation);
        self.steps(&stage.guard);
        self.steps(&stage.rollback);
        match &stage.body {
            Body::Stages(inner) => inner.iter().for_each(|stage| self.stage(stage)),
            Body::Steps(steps) => self.steps(steps),
        }
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.node(&step.name);
            self.layer(&step.vars);
            self.node(&step.params);
            for param in step.kind.params() {
                if let (crate::kind::Ty::Expressions, Some(node)) = (param.ty, step.params.get(param.name)) {
                    self.condition(&Some(node.clone()));
                }
            }
            for node in [&step.when, &step.until, &step.changed_when, &step.failed_when] {
                self.condition(node);
            }
            for node in [
                &step.loop_,
                &step.retries,
                &step.delay,
                &step.delegate_to,
                &step.environment,
                &step.ignore_errors,
            ] {
                self.optional(node);
            }
            self.elevation(&step.elevation);
            self.files(step);
            if let Some(verify) = &step.verify {
                self.steps(std::slice::from_ref(verify));
            }
            self.steps(&step.undo);
        }
    }

    /// Template files that a step names by a literal path.
    fn files(&mut self, step: &Step) {
        let mut stack = vec![&step.params];
        while let Some(node) = stack.pop() {
            if let Some(entries) = node.as_map() {
                for (key, value) in entries {
                    let name = key.text.as_deref().unwrap_or_default();
                    let is_template = name == "template" || (name == "src" && step.kind.name() == "template");
                    if let (true, Some(path)) = (is_template, value.as_str())
                        && let Ok(source) = crate::yaml::read(&step.span.source.folder().join(path))
                    {
                        self.read.extend(self.loaded.templates.file_names(&source.text));
                    }
                    stack.push(value);
                }
            }
            if let Some(items) = node.as_seq() {
                stack.extend(items);
            }
        }
    }
}
