//! For tests: a server on loopback that speaks gRPC health and says a version, as a Temporal frontend does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_prost::ProstCodec;

use super::Address;
use super::grpc::GrpcError;
use super::messages::{Nothing, SystemInfo};
use super::{Peer, Status};
use crate::tls::{Tls, Verify};

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
        Server::with(version, None).await
    }

    /// The same over TLS.
    pub(crate) async fn with(version: &str, tls: Option<ServerTlsConfig>) -> Server {
        let (health, service) = tonic_health::server::health_reporter();
        health.set_service_status(FRONTEND, ServingStatus::Serving).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("address");
        // Given back at once: tonic binds by itself.
        drop(listener);
        let mut builder = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            builder = builder.tls_config(tls).expect("TLS");
        }
        let router = builder.add_service(service).add_service(Frontend(version.to_owned()));
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

/// Certificates that tests/lab/certs.sh makes: a CA, the server's for `frontend.lab.internal`, localhost and 127.0.0.1,
/// a client's; and another CA that knows nothing of them.
pub(crate) struct Certificates {
    pub(crate) folder: tempfile::TempDir,
}

impl Certificates {
    /// None where openssl is missing, which CI must not accept.
    pub(crate) fn make() -> Option<Certificates> {
        let folder = tempfile::tempdir().expect("folder");
        for (name, server) in [("lab", "frontend.lab.internal"), ("other", "other.lab.internal")] {
            let output = std::process::Command::new("bash")
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/certs.sh"))
                .arg(folder.path().join(name))
                .arg(server)
                .output()
                .expect("bash");
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.code() == Some(77) {
                assert!(std::env::var_os("CI").is_none(), "this is CI, and {said}");
                eprintln!("skipped: {}", said.trim());
                return None;
            }
            assert!(output.status.success(), "{said}");
        }
        Some(Certificates { folder })
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn pem(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("PEM")
    }

    /// A server with them; `mutual`: clients must show a certificate of the lab's CA.
    pub(crate) async fn server(&self, mutual: bool) -> Server {
        let identity = Identity::from_pem(self.pem("lab/server.pem"), self.pem("lab/server.key"));
        let mut tls = ServerTlsConfig::new().identity(identity);
        if mutual {
            tls = tls.client_ca_root(Certificate::from_pem(self.pem("lab/ca.pem")));
        }
        Server::with("1.30.6", Some(tls)).await
    }
}

fn plain(at: &str) -> Address {
    Address {
        at: at.to_owned(),
        tls: Tls::new(Verify::None),
        name: None,
    }
}

const LIMIT: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_frontend_says_health_and_version() {
    let server = Server::start("1.30.6").await;
    let mut peer = Peer::connect(&plain(&server.address.to_string()), None, LIMIT)
        .await
        .expect("peer");
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
    let error = Peer::connect(&plain(&address), None, LIMIT)
        .await
        .err()
        .expect("an error")
        .to_string();
    assert_eq!(error, "Connection refused");
    let error = Peer::connect(&plain("not an address"), None, LIMIT)
        .await
        .err()
        .expect("an error");
    assert!(matches!(error, GrpcError::Address(_)), "{error}");
    // It accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = silent.local_addr().expect("address").to_string();
    let started = std::time::Instant::now();
    let answer = match Peer::connect(&plain(&address), None, Duration::from_millis(300)).await {
        Ok(mut peer) => peer.health("").await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(answer.is_err() && started.elapsed() < Duration::from_secs(3));
}

/// Health over this address, or the reason why not.
async fn health(address: &Address, through: Option<&std::path::Path>) -> Result<Status, String> {
    let mut peer = Peer::connect(address, through, LIMIT)
        .await
        .map_err(|e| e.to_string())?;
    let status = peer.health(FRONTEND).await.map_err(|e| e.to_string())?;
    assert_eq!(peer.temporal_version().await.expect("version"), "1.30.6");
    Ok(status)
}

#[tokio::test]
async fn tls_is_verified_and_every_refusal_has_its_reason() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let server = certificates.server(false).await;
    let port = server.address.port();
    let with = |host: &str, verify: Verify, ca: Option<&str>, name: Option<&str>| Address {
        at: format!("{host}:{port}"),
        tls: Tls {
            ca: ca.map(|ca| certificates.path(ca)),
            ..Tls::new(verify)
        },
        name: name.map(str::to_owned),
    };
    let (full, ca) = (Verify::Full, Verify::Ca);
    let lab = Some("lab/ca.pem");
    for good in [
        with("127.0.0.1", full, lab, None),
        with("localhost", full, lab, None),
        with("127.0.0.1", full, lab, Some("frontend.lab.internal")),
        // Another name is as good where the name is not looked at.
        with("127.0.0.1", ca, lab, Some("other.lab.internal")),
    ] {
        assert_eq!(health(&good, None).await, Ok(Status::Serving), "{good:?}");
    }
    let broken = certificates.path("broken.pem");
    std::fs::write(&broken, "no PEM at all").expect("file");
    for (bad, words) in [
        (
            with("127.0.0.1", full, lab, Some("other.lab.internal")),
            "the certificate is for another name",
        ),
        (
            with("127.0.0.1", full, Some("other/ca.pem"), None),
            "it was signed by another",
        ),
        (
            with("127.0.0.1", ca, Some("other/ca.pem"), None),
            "it was signed by another",
        ),
        // What this machine trusts does not know the lab.
        (with("127.0.0.1", full, None, None), "UnknownIssuer"),
        (with("127.0.0.1", ca, None, None), "UnknownIssuer"),
        (
            with("127.0.0.1", full, Some("broken.pem"), None),
            "broken.pem: no certificate in it",
        ),
        (
            with("127.0.0.1", full, Some("gone.pem"), None),
            "gone.pem: No such file",
        ),
    ] {
        let refused = health(&bad, None).await.expect_err("an error");
        assert!(
            refused.starts_with("TLS: ") && refused.contains(words),
            "{bad:?}: {refused}"
        );
    }
    // Without TLS at a server that wants it, and with TLS at one that does not know it.
    let refused = health(&with("127.0.0.1", Verify::None, None, None), None).await;
    let refused = refused.expect_err("an error");
    assert!(refused.contains("does the server want TLS"), "{refused}");
    let clear = Server::start("1.30.6").await;
    let address = Address {
        at: clear.address.to_string(),
        ..with("127.0.0.1", full, lab, None)
    };
    let refused = health(&address, None).await.expect_err("an error");
    assert!(refused.contains("does not speak TLS"), "{refused}");
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_one_or_says_so() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let server = certificates.server(true).await;
    let with = |client: Option<&str>| Address {
        at: server.address.to_string(),
        tls: Tls {
            ca: Some(certificates.path("lab/ca.pem")),
            cert: client.map(|client| certificates.path(&format!("{client}.pem"))),
            key: client.map(|client| certificates.path(&format!("{client}.key"))),
            ..Tls::new(Verify::Full)
        },
        name: None,
    };
    assert_eq!(health(&with(Some("lab/client")), None).await, Ok(Status::Serving));
    let refused = health(&with(None), None).await.expect_err("an error");
    assert!(refused.contains("the server wants a client certificate"), "{refused}");
    let refused = health(&with(Some("other/client")), None).await.expect_err("an error");
    assert!(refused.contains("does not take this client certificate"), "{refused}");
}

#[tokio::test]
async fn a_unix_socket_leads_there_and_the_name_is_still_the_address() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let server = certificates.server(false).await;
    let socket = certificates.path("socket");
    let listener = tokio::net::UnixListener::bind(&socket).expect("socket");
    let address = server.address;
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(address).await.expect("server");
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    // Neither name leads anywhere by itself.
    let with = |host: &str| Address {
        at: format!("{host}:7233"),
        tls: Tls {
            ca: Some(certificates.path("lab/ca.pem")),
            ..Tls::new(Verify::Full)
        },
        name: None,
    };
    let right = with("frontend.lab.internal");
    assert_eq!(health(&right, Some(&socket)).await, Ok(Status::Serving));
    let refused = health(&with("other.lab.internal"), Some(&socket))
        .await
        .expect_err("an error");
    assert!(refused.contains("another name"), "{refused}");
    let clear = Server::start("1.30.6").await;
    assert_eq!(
        health(&plain(&clear.address.to_string()), None).await,
        Ok(Status::Serving)
    );
}
