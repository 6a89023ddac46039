//! The HTTP client: keeps and verifies connections. It follows no redirect and repeats no request.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::address::{self, CheckedResolver};
use super::error::{HttpFulfillerError, error_chain};
use crate::config::{ClientCertificate, HttpTarget};

/// How long an idle connection is kept. Servers and proxies keep theirs longer, so an order seldom goes out on a connection
/// that is being closed.
const IDLE: Duration = Duration::from_secs(10);

/// The longest time for name, connection and TLS handshake.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// Makes the client. Nothing is contacted yet.
pub(super) fn build(target: &HttpTarget) -> Result<Client, HttpFulfillerError> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls(target)?)
        .user_agent(concat!("fulfillment-worker/", env!("CARGO_PKG_VERSION")))
        // A redirect would make a GET of the order, or carry it and its credentials elsewhere.
        .redirect(redirect::Policy::none())
        .referer(false)
        // Whether to send an order again is not the client's to decide.
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE)
        .connect_timeout(LONGEST_CONNECT.min(target.deadline / 4));
    if !target.allow_link_local {
        address::check_literal(target.url.expose())?;
        builder = builder.dns_resolver(CheckedResolver);
    }
    builder.build().map_err(|error| HttpFulfillerError::Client(error_chain(error)))
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
