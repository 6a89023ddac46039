//! Finds the server that holds the queue, anew for each connection, as it may be another one than before.
//!
//! Each way ends with a question to the very connection that will be used, so that no stale knowledge of ours or of a
//! sentinel leads to a server that isn't the primary.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, Value,
};

use super::address::Address;
use super::cluster::Cluster;
use super::error::{Credentials, said_by};
use super::sentinel::Sentinels;
use crate::config::SecretUrl;
use crate::config::redis_url::RedisServers;
use crate::event::{Backend, DependencyEvent, Observers};

/// Longest time from the first packet to the answer to the password.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time for a connection to the right server, whoever has to be asked for it.
const FIND_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is noticed after this much silence and three probes, 5 s apart; the same for
/// bytes that nobody acknowledges.
const SILENCE: Duration = Duration::from_secs(10);
/// Most nodes that send us on to another one, as in a Cluster whose nodes don't agree yet.
const MOST_REDIRECTIONS: usize = 4;

/// The way to the server that holds a queue.
pub(super) struct Servers {
    /// The queue's list; all its keys are where this one is.
    key: String,
    guide: Guide,
    observers: Observers,
}

/// Who knows where the server is.
enum Guide {
    Url(ConnectionInfo),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

impl Servers {
    /// Sets what every connection has in common. Connects to nothing.
    pub(super) fn new(servers: &RedisServers, key: &str, observers: Observers) -> RedisResult<Self> {
        let each = |urls: &[SecretUrl]| urls.iter().map(connection_info).collect::<RedisResult<Vec<_>>>();
        let guide = match servers {
            RedisServers::One(url) => Guide::Url(connection_info(url)?),
            RedisServers::Sentinel { sentinels, master, server } => {
                Guide::Sentinels(Sentinels::new(each(sentinels)?, master.clone(), connection_info(server)?))
            }
            RedisServers::Cluster(nodes) => Guide::Cluster(Cluster::new(each(nodes)?)),
        };
        Ok(Self { key: key.to_owned(), guide, observers })
    }

    /// A connection to the server that holds the queue and takes writes.
    pub(super) async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        let found = async {
            match &self.guide {
                Guide::Url(server) => follow(server, &self.key, config).await.map(|(_, connection)| connection),
                Guide::Sentinels(sentinels) => sentinels.connect(config).await,
                Guide::Cluster(cluster) => cluster.connect(&self.key, config).await,
            }
        };
        let found = tokio::time::timeout(FIND_TIMEOUT, found).await.unwrap_or_else(|_| {
            let problem = format!("found no server to talk to within {} s: timed out", FIND_TIMEOUT.as_secs());
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, problem).into())
        });
        if found.is_ok() {
            self.observers.emit(DependencyEvent::ConnectionOpened(Backend::Queue));
        }
        found
    }

    /// Whether another server may take over without a word on our connections: sentinels replace a master that they
    /// can't reach, and nobody tells it. A node of a Cluster in that place soon refuses by itself.
    pub(super) fn may_change_unnoticed(&self) -> bool {
        matches!(self.guide, Guide::Sentinels(_))
    }
}

fn connection_info(url: &SecretUrl) -> RedisResult<ConnectionInfo> {
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(Duration::from_secs(5)).with_retries(3);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE);
    let info = url.expose().clone().into_connection_info()?.set_tcp_settings(tcp);
    // Says at once what can't work.
    Client::open(info.clone())?;
    Ok(info)
}

pub(super) async fn open(info: ConnectionInfo, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
    Client::open(info)?.get_multiplexed_async_connection_with_config(config).await
}

/// The same user, TLS and so on at another address.
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
    config: &AsyncConnectionConfig,
) -> RedisResult<(Option<Address>, MultiplexedConnection)> {
    let mut at_start = true;
    let mut server = start.clone();
    for _ in 0..=MOST_REDIRECTIONS {
        let address = Address::of(&server);
        let who = address.as_ref().filter(|_| !at_start).map(|address| format!("node {address}"));
        let explained = |error: RedisError| match &who {
            Some(who) => said_by(who, &error, Credentials::Server),
            None => error,
        };
        let mut connection = open(server.clone(), config).await.map_err(explained)?;
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
