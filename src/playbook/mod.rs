//! Playbook, stage, step: from YAML to a tree in which every key is known, typed and has its place.

mod blocks;
mod check;
mod load;
mod model;
mod slug;
mod stage;
mod step;
mod words;

pub(crate) use load::load;
pub(crate) use model::{Body, Elevation, Playbook, SecretSource, Spanned, Stage, Step};

#[cfg(test)]
mod tests;
