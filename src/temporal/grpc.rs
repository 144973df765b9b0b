//! One connection to one gRPC server.

use std::error::Error;
use std::time::Duration;

use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::messages::{HealthRequest, HealthResponse, Nothing, Status, SystemInfo};

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SYSTEM: &str = "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo";

#[derive(Debug, thiserror::Error)]
pub(crate) enum GrpcError {
    #[error("`{0}` is no HOST:PORT")]
    Address(String),
    /// In the operating system's words.
    #[error("{0}")]
    Connect(String),
    /// The server's answer was an error: its code, and its message.
    #[error("{}{}", code_name(.0.code()), if .0.message().is_empty() { String::new() } else { format!(": {}", .0.message()) })]
    Status(Box<tonic::Status>),
}

/// gRPC's own spelling, for the codes that a server that is up gives.
fn code_name(code: tonic::Code) -> String {
    match code {
        tonic::Code::Unavailable => "UNAVAILABLE".into(),
        tonic::Code::Unimplemented => "UNIMPLEMENTED".into(),
        tonic::Code::NotFound => "NOT_FOUND".into(),
        tonic::Code::PermissionDenied => "PERMISSION_DENIED".into(),
        tonic::Code::Unauthenticated => "UNAUTHENTICATED".into(),
        tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED".into(),
        other => format!("{other:?}"),
    }
}

/// A server that answered a connection.
pub(crate) struct Peer {
    grpc: Grpc<Channel>,
    limit: Duration,
}

impl Peer {
    /// Connects without TLS. `limit` is for the connection, and for every call.
    pub(crate) async fn connect(address: &str, limit: Duration) -> Result<Peer, GrpcError> {
        let wrong = || GrpcError::Address(address.to_owned());
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| wrong())?
            .connect_timeout(limit)
            .timeout(limit);
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| GrpcError::Connect(innermost(&error)))?;
        Ok(Peer {
            grpc: Grpc::new(channel),
            limit,
        })
    }

    /// `grpc.health.v1`; the empty name stands for the server as a whole. A service that the server does not know is
    /// an error (NOT_FOUND).
    pub(crate) async fn health(&mut self, service: &str) -> Result<Status, GrpcError> {
        let request = HealthRequest {
            service: service.to_owned(),
        };
        let response: HealthResponse = self.call(HEALTH, request).await?;
        Ok(Status::try_from(response.status).unwrap_or(Status::Unknown))
    }

    /// The version that is compiled into this very Temporal frontend. It answers from memory, also without a database.
    pub(crate) async fn temporal_version(&mut self) -> Result<String, GrpcError> {
        let response: SystemInfo = self.call(SYSTEM, Nothing {}).await?;
        Ok(response.server_version)
    }

    pub(super) async fn call<Q, A>(&mut self, path: &'static str, request: Q) -> Result<A, GrpcError>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.grpc
            .ready()
            .await
            .map_err(|error| GrpcError::Connect(innermost(&error)))?;
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let path = path.parse().map_err(|_| GrpcError::Address(path.to_owned()))?;
        let mut request = tonic::Request::new(request);
        // The server is told as well: Temporal refuses a long poll that names no deadline.
        request.set_timeout(self.limit);
        match self.grpc.unary(request, path, codec).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => match status.source() {
                Some(source) => Err(GrpcError::Connect(innermost(source))),
                None => Err(GrpcError::Status(Box::new(status))),
            },
        }
    }
}

/// The reason below all wrappers: "Connection refused" and not "transport error".
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
