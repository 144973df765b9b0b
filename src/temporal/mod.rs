//! Temporal Server: what a server says of itself and of its cluster over gRPC (with TLS or without, over TCP or through a
//! unix socket that leads there), a canary, what is known of every release, the path between two, and what is wrong with a
//! server's configuration. Catalog, path and configuration are pure: text in, answers out.

mod calls;
mod canary;
pub(crate) mod catalog;
mod cluster;
pub(crate) mod config;
#[cfg(test)]
pub(crate) mod fake;
mod grpc;
mod messages;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod release;
mod tls;
#[cfg(test)]
pub(crate) mod trial;

pub(crate) use cluster::{
    ANSWER, Judged, Rings, Role, Seen, Shards, View, alone, frontends, rings_complete, shards, versions, view,
};
pub(crate) use grpc::{Address, Peer};
pub(crate) use messages::{ClusterInfo, Status};
