//! Messages as their `.proto` files have them; fields that nobody reads are left out.

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthRequest {
    #[prost(string, tag = "1")]
    pub(crate) service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthResponse {
    #[prost(enumeration = "Status", tag = "1")]
    pub(crate) status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Status {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl Status {
    /// As grpc prints it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Unknown => "UNKNOWN",
            Status::Serving => "SERVING",
            Status::NotServing => "NOT_SERVING",
            Status::ServiceUnknown => "SERVICE_UNKNOWN",
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
