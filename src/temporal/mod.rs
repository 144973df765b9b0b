//! What a server says of itself over gRPC: health, and Temporal's version; with TLS or without, over TCP or
//! through a unix socket that leads there.

mod grpc;
mod messages;
mod tls;
#[cfg(test)]
pub(crate) mod trial;

pub(crate) use grpc::{Address, Peer};
pub(crate) use messages::Status;
