//! Messages as their `.proto` files have them; fields that nobody reads are left out.

use std::collections::HashMap;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthRequest {
    #[prost(string, tag = "1")]
    pub(crate) service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthResponse {
    #[prost(enumeration = "Serving", tag = "1")]
    pub(crate) status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Serving {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl Serving {
    /// As grpc prints it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Serving::Unknown => "UNKNOWN",
            Serving::Serving => "SERVING",
            Serving::NotServing => "NOT_SERVING",
            Serving::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Nothing {}

/// The answer of `GetSystemInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SystemInfo {
    #[prost(string, tag = "1")]
    pub(crate) server_version: String,
}

/// The answer of `GetClusterInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ClusterInfo {
    #[prost(map = "string, string", tag = "1")]
    pub(crate) supported_clients: HashMap<String, String>,
    #[prost(string, tag = "2")]
    pub(crate) server_version: String,
    #[prost(string, tag = "3")]
    pub(crate) cluster_id: String,
    #[prost(string, tag = "5")]
    pub(crate) cluster_name: String,
    #[prost(int32, tag = "6")]
    pub(crate) history_shard_count: i32,
    #[prost(string, tag = "7")]
    pub(crate) persistence_store: String,
    #[prost(string, tag = "8")]
    pub(crate) visibility_store: String,
    #[prost(int64, tag = "9")]
    pub(crate) initial_failover_version: i64,
    #[prost(int64, tag = "10")]
    pub(crate) failover_version_increment: i64,
}
