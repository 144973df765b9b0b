//! Which steps `--tags` and `--skip-tags` leave, as in Ansible: `always`, `never`, `all`, `tagged`, `untagged`.

use std::collections::BTreeSet;

use crate::playbook::{Body, Playbook, Stage, Step};
use crate::yaml::{Diagnostic, Diagnostics, did_you_mean};

const WORDS: [&str; 5] = ["all", "always", "never", "tagged", "untagged"];

#[derive(Clone, Debug, Default)]
pub(crate) struct Tags {
    only: Vec<String>,
    skip: Vec<String>,
}

impl Tags {
    /// A tag that no step has is an error.
    pub(crate) fn new(playbook: &Playbook, only: &[String], skip: &[String]) -> Result<Tags, Diagnostics> {
        let split = |given: &[String]| -> Vec<String> {
            given
                .iter()
                .flat_map(|text| text.split(','))
                .map(|tag| tag.trim().to_owned())
                .filter(|tag| !tag.is_empty())
                .collect()
        };
        let mut known = BTreeSet::new();
        collect(&playbook.stages, &mut known);
        let tags = Tags {
            only: split(only),
            skip: split(skip),
        };
        let mut errors = Diagnostics::default();
        for (flag, list) in [("--tags", &tags.only), ("--skip-tags", &tags.skip)] {
            for tag in list
                .iter()
                .filter(|tag| !known.contains(tag.as_str()) && !WORDS.contains(&tag.as_str()))
            {
                let mut error = Diagnostic::general(format!("{flag}: no stage and no step has the tag `{tag}`"));
                if let Some(near) = did_you_mean(tag, known.iter().map(String::as_str)) {
                    error = error.help(format!("did you mean `{near}`?"));
                }
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(tags) } else { Err(errors) }
    }

    /// Does a step with these tags (its own and its stages') run?
    pub(crate) fn take(&self, tags: &BTreeSet<String>) -> bool {
        let hit = |list: &[String]| {
            list.iter().any(|tag| match tag.as_str() {
                "all" => !tags.contains("never"),
                "tagged" => !tags.is_empty() && !tags.contains("never"),
                "untagged" => tags.is_empty(),
                tag => tags.contains(tag),
            })
        };
        let chosen = if self.only.is_empty() {
            !tags.contains("never")
        } else {
            hit(&self.only) || tags.contains("always")
        };
        chosen && !hit(&self.skip)
    }
}

/// The tags of a step inside these stages.
pub(crate) fn of(stages: &[&Stage], step: &Step) -> BTreeSet<String> {
    stages
        .iter()
        .flat_map(|stage| &stage.tags)
        .chain(&step.tags)
        .map(|tag| tag.value.clone())
        .collect()
}

fn collect(stages: &[Stage], known: &mut BTreeSet<String>) {
    for stage in stages {
        known.extend(stage.tags.iter().map(|t| t.value.clone()));
        match &stage.body {
            Body::Stages(inner) => collect(inner, known),
            Body::Steps(steps) => known.extend(steps.iter().flat_map(|s| &s.tags).map(|t| t.value.clone())),
        }
    }
}
