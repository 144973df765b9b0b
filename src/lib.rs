//! Refit upgrades stateful services on VMs and bare metal over SSH.

pub mod cli;
pub(crate) mod connection;
pub(crate) mod database;
pub(crate) mod engine;
pub(crate) mod event;
pub(crate) mod id;
pub(crate) mod inventory;
pub(crate) mod job;
pub(crate) mod journal;
pub(crate) mod kind;
pub(crate) mod plan;
pub(crate) mod playbook;
pub(crate) mod project;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod secret;
pub(crate) mod template;
pub(crate) mod temporal;
pub(crate) mod yaml;
