//! What a server says of itself over gRPC: health, and Temporal's version and cluster.
//!
//! Without TLS; gRPC with TLS is known, not built yet.

mod grpc;
mod messages;
#[cfg(test)]
pub(crate) mod trial;

pub(crate) use grpc::{GrpcError, Peer};
pub(crate) use messages::{ClusterInfo, Serving};
