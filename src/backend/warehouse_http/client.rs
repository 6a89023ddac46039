//! The HTTP client: keeps and verifies connections. It follows no redirect and repeats no request that was written.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_http::decompression::Decompression;
use tower_service::Service;

use super::address::{self, CheckedResolver};
use super::error::HttpFulfillerError;
use crate::config::{ClientCertificate, HttpTarget};

/// How long an idle connection is kept. Servers and proxies keep theirs longer, so an order seldom goes out on a connection
/// that is being closed.
const IDLE: Duration = Duration::from_secs(10);

/// The longest time for name, connection and TLS handshake.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// The largest head of an answer, in bytes.
const LARGEST_HEAD: usize = 64 * 1024;

/// Between the probes of a silent connection, and how many are not answered before it counts as lost.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// Undoes the compression of answers.
pub(super) type Client = Decompression<legacy::Client<Connector, Full<Bytes>>>;

/// Makes the client. Nothing is contacted yet.
pub(super) fn build(target: &HttpTarget) -> Result<Client, HttpFulfillerError> {
    if !target.allow_link_local {
        address::check_literal(target.url.expose())?;
    }
    let mut connector = HttpConnector::new_with_resolver(CheckedResolver { allow_link_local: target.allow_link_local });
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE));
    connector.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    let connector = Connector {
        connector: HttpsConnector::from((connector, tls(target)?)),
        limit: LONGEST_CONNECT.min(target.deadline / 4),
    };
    let client = legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(LARGEST_HEAD)
        .build(connector);
    Ok(Decompression::new(client))
}

/// Connects within a limit.
#[derive(Clone)]
pub(super) struct Connector {
    connector: HttpsConnector<HttpConnector<CheckedResolver>>,
    limit: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.connector.call(uri), self.limit);
        Box::pin(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {limit:?}"));
            tokio::time::timeout(limit, connecting).await.map_err(|_| late())?
        })
    }
}

fn tls(target: &HttpTarget) -> Result<ClientConfig, HttpFulfillerError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: rustls::Error| HttpFulfillerError::Client(error.to_string());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots(target)?);
    let mut config = match &target.client_certificate {
        Some(ClientCertificate { certificate: path, key }) => {
            let option = "--fulfiller-certificate";
            let chain = certificates(option, path)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable("--fulfiller-key", key, error, "private key"))?;
            config.with_client_auth_cert(chain, key).map_err(|error| unusable_file(option, path, error))?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The authorities of the file alone where one is given, the system's otherwise.
fn roots(target: &HttpTarget) -> Result<RootCertStore, HttpFulfillerError> {
    let mut roots = RootCertStore::empty();
    match &target.ca {
        Some(path) => {
            let option = "--fulfiller-ca";
            for certificate in certificates(option, path)? {
                roots.add(certificate).map_err(|error| unusable_file(option, path, error))?;
            }
        }
        None if target.url.expose().scheme() == "https" => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(HttpFulfillerError::NobodyTrusted);
            }
        }
        None => {}
    }
    Ok(roots)
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpFulfillerError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let some = read.and_then(|read| if read.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(read) });
    some.map_err(|error| unreadable(option, path, error, "certificate"))
}

/// Leaves out the parser's own error, which would quote the file and thus a key.
fn unreadable(option: &'static str, path: &Path, error: pem::Error, wanted: &str) -> HttpFulfillerError {
    let problem = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("holds no {wanted} in PEM form"),
        _ => "is not well-formed PEM".to_owned(),
    };
    HttpFulfillerError::File { option, path: path.to_owned(), problem }
}

fn unusable_file(option: &'static str, path: &Path, error: rustls::Error) -> HttpFulfillerError {
    HttpFulfillerError::File { option, path: path.to_owned(), problem: error.to_string() }
}
