//! For tests: a server on loopback that speaks gRPC health and says a version, as a Temporal frontend does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_prost::ProstCodec;

use super::grpc::GrpcError;
use super::messages::{Nothing, SystemInfo};
use super::{Peer, Status};

pub(crate) const FRONTEND: &str = "temporal.api.workflowservice.v1.WorkflowService";

/// Ends with its drop.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    health: HealthReporter,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serving from the start.
    pub(crate) async fn start(version: &str) -> Server {
        let (health, service) = tonic_health::server::health_reporter();
        health.set_service_status(FRONTEND, ServingStatus::Serving).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("address");
        // Given back at once: tonic binds by itself.
        drop(listener);
        let router = tonic::transport::Server::builder()
            .add_service(service)
            .add_service(Frontend(version.to_owned()));
        let task = tokio::spawn(async move {
            router.serve(address).await.expect("serve");
        });
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Server { address, health, task }
    }

    pub(crate) async fn serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.health.set_service_status(FRONTEND, status).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Frontend(String);

impl NamedService for Frontend {
    const NAME: &'static str = FRONTEND;
}

impl Service<http::Request<Body>> for Frontend {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let own = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            let response = grpc.unary(Version(own.0), request).await;
            Ok(response)
        })
    }
}

struct Version(String);

impl Service<tonic::Request<Nothing>> for Version {
    type Response = tonic::Response<SystemInfo>;
    type Error = tonic::Status;
    type Future = std::future::Ready<Result<Self::Response, tonic::Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), tonic::Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: tonic::Request<Nothing>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(SystemInfo {
            server_version: self.0.clone(),
        })))
    }
}

const LIMIT: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_frontend_says_health_and_version() {
    let server = Server::start("1.30.6").await;
    let mut peer = Peer::connect(&server.address.to_string(), LIMIT).await.expect("peer");
    assert_eq!(peer.health(FRONTEND).await.expect("health"), Status::Serving);
    server.serving(false).await;
    assert_eq!(peer.health(FRONTEND).await.expect("health"), Status::NotServing);
    assert_eq!(peer.temporal_version().await.expect("version"), "1.30.6");
    let unknown = peer.health("no.such.Service").await.expect_err("an error").to_string();
    assert!(unknown.starts_with("NOT_FOUND"), "{unknown}");
}

#[tokio::test]
async fn what_is_no_server_is_an_error_in_plain_words() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = closed.local_addr().expect("address").to_string();
    drop(closed);
    let error = Peer::connect(&address, LIMIT)
        .await
        .err()
        .expect("an error")
        .to_string();
    assert_eq!(error, "Connection refused");
    let error = Peer::connect("not an address", LIMIT).await.err().expect("an error");
    assert!(matches!(error, GrpcError::Address(_)), "{error}");
    // It accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = silent.local_addr().expect("address").to_string();
    let started = std::time::Instant::now();
    let answer = match Peer::connect(&address, Duration::from_millis(300)).await {
        Ok(mut peer) => peer.health("").await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(answer.is_err() && started.elapsed() < Duration::from_secs(3));
}
