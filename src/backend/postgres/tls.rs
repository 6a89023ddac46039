//! TLS to Postgres: certificates are always verified, against the system's trusted roots.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::port::store::StoreError;

/// Makes the connector. The system's roots are read only if the mode may need them: `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name others.
pub(super) fn connector(mode: SslMode) -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = RootCertStore::empty();
    if mode != SslMode::Disable {
        // A root that can't be read is one that can't be trusted: a server that needs it is told so by its handshake.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Refused(format!("TLS can't be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Asked for by `sslnegotiation=direct`, ignored by every other server.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}
