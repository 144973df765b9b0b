//! Databases that a playbook names: settings, TLS, sessions, and what goes wrong with them in clear words.

mod error;
mod mysql;
mod postgres;
mod reach;
mod session;
mod settings;

#[cfg(test)]
pub(crate) mod lab;
#[cfg(test)]
pub(crate) mod mysql_lab;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use crate::tls::Tls;
pub(crate) use crate::tls::Verify;
pub(crate) use error::DatabaseError;
pub(crate) use session::{Product, Server, Session};
pub(crate) use settings::{Database, Engine};
