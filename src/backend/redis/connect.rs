//! Connects to one server, and follows a Cluster's redirections.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind,
    TlsCertificates, Value,
};

use super::address::Address;
use super::error::said_by_node;

/// Longest time from the first packet to the answer to the password.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most nodes that send us on to another one, as in a Cluster whose nodes don't agree yet.
const MOST_REDIRECTIONS: usize = 4;

/// The limits of a connection whose server may take `longest` for an answer.
pub(super) fn config(longest: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(Some(longest))
}

/// How connections are made, wherever they lead.
#[derive(Clone)]
pub(super) struct Dialing {
    pub(super) config: AsyncConnectionConfig,
    /// Authorities to trust instead of the system's, and the client's own certificate, for TLS.
    pub(super) certificates: Arc<TlsCertificates>,
}

/// The one way to a server, be it named, found or redirected to: so no connection is without the certificates.
pub(super) async fn open(info: ConnectionInfo, dialing: &Dialing) -> RedisResult<MultiplexedConnection> {
    let client = match info.addr() {
        ConnectionAddr::TcpTls { .. } => Client::build_with_tls(info, TlsCertificates::clone(&dialing.certificates))?,
        _ => Client::open(info)?,
    };
    client.get_multiplexed_async_connection_with_config(&dialing.config).await
}

/// The same user, TLS and so on at another address; the certificates are those of [`open`].
pub(super) fn at(server: &ConnectionInfo, address: &Address) -> ConnectionInfo {
    let Address { host, port } = address.clone();
    let addr = match server.addr() {
        ConnectionAddr::TcpTls { insecure, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    server.clone().set_addr(addr)
}

/// Connects to a server, and where that is a node of a Cluster that doesn't hold `key`, to the node that it names.
///
/// `TYPE` is what every server answers, a replica in a Cluster as well, with the primary's address.
pub(super) async fn follow(
    start: &ConnectionInfo,
    key: &str,
    dialing: &Dialing,
) -> RedisResult<(Option<Address>, MultiplexedConnection)> {
    let mut at_start = true;
    let mut server = start.clone();
    for _ in 0..=MOST_REDIRECTIONS {
        let address = Address::of(&server);
        let explained = |error: RedisError| said_by_node(address.as_ref().filter(|_| !at_start), error);
        let mut connection = open(server.clone(), dialing).await.map_err(explained)?;
        let answer: RedisResult<Value> = redis::cmd("TYPE").arg(key).query_async(&mut connection).await;
        match answer {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                let here = address.as_ref().map(|address| address.host.as_str()).unwrap_or_default();
                let next = error.redirect_node().and_then(|(node, _slot)| Address::redirected(node, here));
                let Some(next) = next else { return Err(explained(error)) };
                server = at(start, &next);
                at_start = false;
            }
            // The slot is on its way to another node, and this one is still its owner.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Ask) => return Ok((address, connection)),
            Err(error) => return Err(explained(error)),
            Ok(_) => return Ok((address, connection)),
        }
    }
    Err(std::io::Error::other("the nodes of the Cluster send us in a circle: they don't agree who holds the slot")
        .into())
}
