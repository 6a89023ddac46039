//! Where a server is.

use std::fmt;

use redis::{ConnectionAddr, ConnectionInfo};

/// A host, without brackets if it is an IPv6 address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// That of a server; `None` for a Unix socket.
    pub(super) fn of(server: &ConnectionInfo) -> Option<Self> {
        match server.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Self { host: host.clone(), port: *port })
            }
            _ => None,
        }
    }

    /// The `HOST:PORT` of a redirection. An IPv6 address has no brackets there, a node that knows no host of its own
    /// leaves it empty, and then it is `here`, the host that was asked.
    pub(super) fn redirected(node: &str, here: &str) -> Option<Self> {
        let (host, port) = node.rsplit_once(':')?;
        Self::known(host, port.parse().ok()?, here)
    }

    /// Redis says `?` for a host that it doesn't know.
    pub(super) fn known(host: &str, port: u16, here: &str) -> Option<Self> {
        let host = if host.is_empty() { here } else { host };
        (!host.is_empty() && host != "?" && port != 0).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn redirections_name_a_host_or_none() {
        let redirected = |node| Address::redirected(node, "here").map(|address| address.to_string());
        assert_eq!(redirected("there:6379").as_deref(), Some("there:6379"));
        assert_eq!(redirected("::1:6379").as_deref(), Some("[::1]:6379"));
        assert_eq!(redirected(":6379").as_deref(), Some("here:6379"));
        for unusable in ["?:6379", "there", "there:", "there:x", "there:65536", "there:0", ""] {
            assert_eq!(redirected(unusable), None, "{unusable}");
        }
    }
}
