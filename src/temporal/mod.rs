//! What a server says of itself over gRPC: health, Temporal's version, its cluster's rings and shards; and the canary.
//!
//! Without TLS; gRPC with TLS is known, not built yet.

mod calls;
mod canary;
mod cluster;
mod grpc;
mod messages;
#[cfg(test)]
pub(crate) mod trial;

pub(crate) use cluster::{
    ANSWER, FRONTEND_SERVICE, Judged, Rings, Role, Seen, Shards, View, alone, frontends, rings_complete, shards,
    versions, view,
};
pub(crate) use grpc::Peer;
pub(crate) use messages::{ClusterInfo, Status};
