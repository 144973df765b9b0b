//! One connection to one gRPC server.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Uri};
use tonic_prost::ProstCodec;
use tower_service::Service;

use super::messages::{HealthRequest, HealthResponse, Nothing, Status, SystemInfo};
use super::tls;
use crate::tls::{Tls, Verify};

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SYSTEM: &str = "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo";

#[derive(Debug, thiserror::Error)]
pub(crate) enum GrpcError {
    #[error("`{0}` is no HOST:PORT")]
    Address(String),
    /// In the operating system's words.
    #[error("{0}")]
    Connect(String),
    /// In rustls' words, and plain ones.
    #[error("TLS: {0}")]
    Tls(String),
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

/// Where a server is, and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// HOST:PORT.
    pub(crate) at: String,
    pub(crate) tls: Tls,
    /// The name in the server's certificate; None: HOST.
    pub(crate) name: Option<String>,
}

/// A server that answered a connection.
pub(crate) struct Peer {
    grpc: Grpc<Channel>,
    limit: Duration,
    secure: bool,
}

impl Peer {
    /// Connects. `through` is a unix socket that leads to HOST:PORT and is dialled in its place. `limit` is for the
    /// connection, and for every call.
    pub(crate) async fn connect(address: &Address, through: Option<&Path>, limit: Duration) -> Result<Peer, GrpcError> {
        let secure = address.tls.verify != Verify::None;
        let scheme = if secure { "https" } else { "http" };
        let wrong = || GrpcError::Address(address.at.clone());
        let host = address.at.rsplit_once(':').ok_or_else(wrong)?.0;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let uri: Uri = format!("{scheme}://{}", address.at).parse().map_err(|_| wrong())?;
        // Not `Endpoint::from`: it would set TLS up by itself, with other roots.
        let mut endpoint = Channel::builder(uri.clone()).connect_timeout(limit).timeout(limit);
        if secure {
            endpoint = tls::endpoint(endpoint, &address.tls, address.name.as_deref().unwrap_or(host))?;
        }
        let channel = match through {
            Some(socket) => endpoint.connect_with_connector(Dial(socket.to_owned())).await,
            None => endpoint.connect().await,
        };
        Ok(Peer {
            grpc: Grpc::new(channel.map_err(|error| connect_error(&error, secure))?),
            limit,
            secure,
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
            .map_err(|error| connect_error(&error, self.secure))?;
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let path = path.parse().map_err(|_| GrpcError::Address(path.to_owned()))?;
        let mut request = tonic::Request::new(request);
        // The server is told as well: Temporal refuses a long poll that names no deadline.
        request.set_timeout(self.limit);
        match self.grpc.unary(request, path, codec).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => match status.source() {
                Some(source) => Err(connect_error(source, self.secure)),
                None => Err(GrpcError::Status(Box::new(status))),
            },
        }
    }
}

/// Dials a unix socket, whatever the address.
struct Dial(PathBuf);

impl Service<Uri> for Dial {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<TokioIo<UnixStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let socket = self.0.clone();
        Box::pin(async move { UnixStream::connect(socket).await.map(TokioIo::new) })
    }
}

fn connect_error(error: &(dyn Error + 'static), secure: bool) -> GrpcError {
    let words = innermost(error);
    match secure.then(|| tls::explain(&words)).flatten() {
        Some(words) => GrpcError::Tls(words),
        None if !secure && words.contains("broken pipe") => {
            GrpcError::Connect(format!("{words}: does the server want TLS (`tls: true`)?"))
        }
        None => GrpcError::Connect(words),
    }
}

/// The reason below all wrappers: "Connection refused" and not "transport error".
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
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
