//! Temporal Server: what a server says of itself over gRPC, what is known of every release, and the path between two.
//!
//! gRPC is without TLS; gRPC with TLS is known, not built yet. Catalog, path and configuration are pure: text in, answers
//! out.

pub(crate) mod catalog;
pub(crate) mod config;
mod grpc;
mod messages;
mod page;
pub(crate) mod path;
pub(crate) mod release;
#[cfg(test)]
pub(crate) mod trial;

pub(crate) use grpc::Peer;
pub(crate) use messages::Status;
