//! Finds the server that holds the queue, anew for each connection, as it may be another one than before.
//!
//! Each way ends with a question to the very connection that will be used, so that no stale knowledge of ours or of a
//! sentinel leads to a server that isn't the primary.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisResult,
};

use super::cluster::Cluster;
use super::connect::follow;
use super::sentinel::Sentinels;
use crate::config::SecretUrl;
use crate::config::redis_url::RedisServers;
use crate::event::{Backend, DependencyEvent, Observers};

/// Longest time for a connection to the right server, whoever has to be asked for it.
const FIND_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is noticed after this much silence and three probes, 5 s apart; the same for
/// bytes that nobody acknowledges.
const SILENCE: Duration = Duration::from_secs(10);

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
            RedisServers::Sentinel { sentinels, master, server } => Guide::Sentinels(Sentinels {
                sentinels: each(sentinels)?,
                master: master.clone(),
                server: connection_info(server)?,
            }),
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
    let is_encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    if is_encrypted && rustls_native_certs::load_native_certs().certs.is_empty() {
        let problem = "install the system's CA certificates, or name a file of some in SSL_CERT_FILE".to_owned();
        return Err((ErrorKind::InvalidClientConfig, "no authority is trusted for TLS", problem).into());
    }
    Ok(info)
}
