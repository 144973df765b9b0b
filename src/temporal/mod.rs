//! What a server says of itself over gRPC: health, and Temporal's version.
//!
//! Without TLS; gRPC with TLS is known, not built yet.

mod grpc;
mod messages;
#[cfg(test)]
pub(crate) mod trial;

pub(crate) use grpc::Peer;
pub(crate) use messages::Status;
