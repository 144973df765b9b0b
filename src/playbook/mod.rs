//! Playbook, stage, step: from YAML to a tree in which every key is known, typed and has its place.

mod model;

pub(crate) use model::{Body, Elevation, Playbook, SecretSource, Spanned, Stage, Step};
