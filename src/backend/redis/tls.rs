//! TLS to Redis: whom to trust, and what to show, for every server, sentinel and node alike.

use std::sync::Arc;

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::RootCertStore;

use crate::backend::pem_files::{Named, PemContents, PemFiles, Reloaded};
use crate::config::{ClientCertificate, QueueTls};

const CA: &str = "--queue-tls-ca";
const CERTIFICATE: &str = "--queue-tls-certificate";
const PRIVATE_KEY: &str = "--queue-tls-private-key";

/// Reads the files, for a URL that `is_encrypted`.
///
/// # Errors
/// Names the option, and the file that can't be used.
pub(super) fn certificates(tls: &QueueTls, is_encrypted: bool) -> Result<Reloaded<Arc<TlsCertificates>>, String> {
    let named = |name, path: &std::path::PathBuf| Named { name, path: path.clone() };
    let client = tls.client_certificate.as_ref();
    let files = PemFiles {
        authorities: tls.ca.as_ref().map(|path| named(CA, path)),
        client: client
            .map(|ClientCertificate { certificate, key }| (named(CERTIFICATE, certificate), named(PRIVATE_KEY, key))),
        refuses_open_keys: false,
    };
    if let Some(file) = files.authorities.as_ref().or(files.client.as_ref().map(|(certificate, _)| certificate))
        && !is_encrypted
    {
        return Err(format!(
            "{}: has no effect, as the URL of --queue asks for no TLS: begin it with rediss",
            file.name
        ));
    }
    if is_encrypted && files.authorities.is_none() && rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(format!(
            "no authority is trusted for TLS: name a file of some with {CA} or in SSL_CERT_FILE, or install the system's CA \
             certificates"
        ));
    }
    Reloaded::new(files, |contents| make(contents).map(Arc::new))
}

/// As redis-rs reads them, once they are known to be sound: its own errors would name no file.
fn make(contents: &PemContents) -> Result<TlsCertificates, String> {
    let mut roots = RootCertStore::empty();
    for authority in contents.authorities()?.unwrap_or_default() {
        roots.add(authority).map_err(|error| format!("{CA}: one of the certificates is no authority's: {error}"))?;
    }
    contents.client()?;
    let client_tls = contents
        .client_pem()
        .map(|[certificate, key]| ClientTlsConfig { client_cert: certificate.to_vec(), client_key: key.to_vec() });
    Ok(TlsCertificates { client_tls, root_cert: contents.authorities_pem().map(<[u8]>::to_vec) })
}
