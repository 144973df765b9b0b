//! From files to what will happen: the loaded playbook on its hosts, the scope of every template, stages with their
//! hosts, static checks of every unit, digests. Pure but for reading the files that are named.

mod check;
mod digest;
mod environment;
mod limits;
mod loaded;
mod names;
mod schema_verb;
mod scope;
pub(crate) mod serial;
mod stages;
mod tags;
mod temporal_verb;
mod unit;

pub(crate) use check::{Checked, Due, Look, Planned, PlannedUnit, check, playbook_name, title};
pub(crate) use digest::{difference, plan_digest, recipe};
pub(crate) use limits::{Limits, limits};
pub(crate) use loaded::{Loaded, Options, SecretUse, load, pattern_error};
pub(crate) use scope::{Place, inventory_scope};
pub(crate) use stages::{Instance, Items, NOTHING, instances, path as stage_path, stage_hosts};
pub(crate) use tags::of as tags_of;
pub(crate) use unit::{Prepared, Ready, ignores, item_binding, items, number, prepare, unit_scope};
