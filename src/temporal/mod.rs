//! Temporal Server: what a server says of itself and of its cluster over gRPC, a canary, what is known of every release,
//! and the path between two.
//!
//! gRPC is without TLS; gRPC with TLS is known, not built yet. Catalog, path and configuration are pure: text in, answers
//! out.

mod calls;
mod canary;
pub(crate) mod catalog;
mod cluster;
mod grpc;
mod messages;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod release;
#[cfg(test)]
pub(crate) mod trial;

pub(crate) use cluster::{
    ANSWER, Judged, Rings, Role, Seen, Shards, View, alone, frontends, rings_complete, shards, versions, view,
};
pub(crate) use grpc::Peer;
pub(crate) use messages::{ClusterInfo, Status};
