//! TLS of a gRPC connection, from what a playbook says of it.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::grpc::GrpcError;
use crate::tls::{Tls, Verify};

/// Gives an endpoint its TLS. `name` is what the certificate must be for.
pub(super) fn endpoint(endpoint: Endpoint, tls: &Tls, name: &str) -> Result<Endpoint, GrpcError> {
    let mut config = ClientTlsConfig::new().domain_name(name);
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        config = config.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    let configured = match (&tls.ca, tls.verify) {
        (ca, Verify::Ca) => {
            let verifier = AnyName::new(roots(ca.as_deref())?)?;
            endpoint.tls_config_with_verifier(config, Arc::new(verifier))
        }
        (Some(ca), _) => {
            roots(Some(ca))?;
            endpoint.tls_config(config.ca_certificate(Certificate::from_pem(read(ca)?)))
        }
        (None, _) => endpoint.tls_config(config.with_native_roots()),
    };
    configured.map_err(|error| GrpcError::Tls(super::grpc::innermost(&error)))
}

fn read(path: &Path) -> Result<Vec<u8>, GrpcError> {
    std::fs::read(path).map_err(|error| GrpcError::Tls(format!("{}: {error}", path.display())))
}

/// The certificates of a file, or what this machine trusts.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, GrpcError> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let wrong = |why: String| GrpcError::Tls(format!("{}: {why}", path.display()));
    for certificate in CertificateDer::pem_slice_iter(&read(path)?) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    match store.is_empty() {
        true => Err(wrong("no certificate in it".to_owned())),
        false => Ok(store),
    }
}

/// Looks at who signed a certificate, and not at the name that it is for (`verify: ca`).
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl AnyName {
    fn new(roots: RootCertStore) -> Result<AnyName, GrpcError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        built.map(AnyName).map_err(|error| GrpcError::Tls(error.to_string()))
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is looked at last, when all else was found good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// rustls' words with what to do about them; None where the words are not its. An error that comes after the handshake
/// (a client certificate is missing) has gone through HTTP/2, which keeps the text alone.
pub(super) fn explain(words: &str) -> Option<String> {
    let has = |text: &str| words.contains(text);
    let hint = if has("not valid for name") || has("NotValidForName") {
        "the certificate is for another name, which `tls: { name: … }` can give"
    } else if has("UnknownIssuer") || has("BadSignature") {
        "it was signed by another than `tls: { ca: FILE }`"
    } else if has("alert: CertificateRequired") {
        "the server wants a client certificate: `tls: { cert: FILE, key: FILE }`"
    } else if [
        "UnknownCA",
        "BadCertificate",
        "CertificateUnknown",
        "DecryptError",
        "CertificateExpired",
    ]
    .iter()
    .any(|alert| has(&format!("alert: {alert}")))
    {
        "the server does not take this client certificate"
    } else if has("received corrupt message") {
        "the server does not speak TLS there"
    } else if has("invalid peer certificate") || has("received fatal alert") || has("HTTP/2 was not negotiated") {
        return Some(words.to_owned());
    } else {
        return None;
    };
    Some(format!("{words}: {hint}"))
}
