//! Who may do what, and behind which certificate.

use std::sync::Arc;

use rustls::ServerConfig;

/// The rights of clients.
#[derive(Debug, Default)]
pub struct Access {
    tls: Option<Arc<ServerConfig>>,
}

impl Access {
    /// For the next connection over the network; `None` for one without TLS.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }
}
