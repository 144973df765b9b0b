//! Refit upgrades stateful services on VMs and bare metal over SSH, one stage at a time.
//!
//! ```text
//! load ─► check ─► survey ─► probes ─► digests ─► lock ─► stage after stage ─► finally ─► recap
//!  YAML    all      every host, read-only           │       per batch: guard; per host: one frame of checks,
//!  + spans errors                                   │       intents into the journal, one frame of jobs,
//!          at once                                  │       results as they come; then the barrier
//!                                                   └ nothing is touched before this
//! ```
//!
//! Rooms import downwards only; `tests/arrows.rs` holds the table of arrows and tests it.
//!
//! ```text
//! cli ─► engine ─► plan ─► playbook ─► kind ─► schema, database, temporal
//!  │       │         └─► inventory ─► template ─► yaml ─► secret
//!  │       └─► connection ─► job, journal ─► event ─► id
//!  └─► report ─► event
//! ```
//!
//! What always holds:
//! - What will change a host is committed to the journal before its first byte leaves.
//! - The state of a run is a fold over its events. Recap, progress, exit code and resume read nothing else.
//! - One task writes the journal; an append of a controller that was superseded is refused.
//! - Whoever claims a job on its host runs it, and nobody claims it twice.
//! - A stage begins after the end of the one before is in the journal.
//! - What cannot be known is *unknown*, and stops the run.
//! - A check is given a type that cannot change a host.
//! - A secret is a type; text goes through the redactor before it is written or shown.
//!
//! ARCHITECTURE.md says the rest, and why.

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
pub(crate) mod tls;
pub(crate) mod yaml;
