//! Playbook, stage, step: from YAML to a tree in which every key is known, typed and has its place.

mod blocks;
mod check;
mod load;
mod model;
mod slug;
mod stage;
mod step;
mod words;

pub(crate) use blocks::password_source;
pub(crate) use load::{load, load_partly};
pub(crate) use model::{Body, Elevation, Playbook, SecretSource, Stage, Step};

#[cfg(test)]
mod tests;

/// Can a variable have this name?
pub(crate) fn is_variable_name(name: &str) -> bool {
    words::bad_name(name).is_none()
}
