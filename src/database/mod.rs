//! Databases that a playbook names: settings, TLS, connections.

mod settings;

pub(crate) use settings::{Database, Engine, Tls, Verify};
