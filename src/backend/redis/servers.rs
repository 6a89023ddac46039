//! Finds the server that holds the queue, anew for each connection, as it may be another one than before.
//!
//! Each way ends with a question to the very connection that will be used, so that no stale knowledge of ours or of a
//! sentinel leads to a server that isn't the primary.

use std::sync::{Arc, Once};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult,
    TlsCertificates,
};

use super::cluster::Cluster;
use super::connect::{Dialing, follow};
use super::sentinel::Sentinels;
use super::tls;
use crate::backend::loopback::is_loopback;
use crate::backend::pem_files::Reloaded;
use crate::config::redis_url::RedisServers;
use crate::config::{QueueTls, SecretUrl};
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
    certificates: Arc<Reloaded<Arc<TlsCertificates>>>,
    /// The host that gets a password which everybody between can read.
    exposed: Option<String>,
    observers: Observers,
}

/// Who knows where the server is.
enum Guide {
    Url(ConnectionInfo),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

impl Servers {
    /// Sets what every connection has in common, and reads the files of `tls`. Connects to nothing.
    ///
    /// # Errors
    /// For a file that can't be used, or files without a server that speaks TLS.
    pub(super) fn new(
        servers: &RedisServers,
        tls: &QueueTls,
        key: &str,
        observers: Observers,
    ) -> Result<Self, ServersError> {
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
        let is_encrypted = guide.servers().iter().any(|server| matches!(server.addr(), ConnectionAddr::TcpTls { .. }));
        let certificates = tls::certificates(tls, is_encrypted).map_err(ServersError::Tls)?;
        let exposed = guide.servers().into_iter().find_map(exposed);
        Ok(Self { key: key.to_owned(), guide, certificates: Arc::new(certificates), exposed, observers })
    }

    /// A connection to the server that holds the queue and takes writes.
    pub(super) async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        if let Some(host) = &self.exposed {
            warn_of_exposed(host);
        }
        let found = async {
            let certificates = Arc::clone(&*self.certificates.current().await);
            let dialing = Dialing { config: config.clone(), certificates };
            match &self.guide {
                Guide::Url(server) => follow(server, &self.key, &dialing).await.map(|(_, connection)| connection),
                Guide::Sentinels(sentinels) => sentinels.connect(&dialing).await,
                Guide::Cluster(cluster) => cluster.connect(&self.key, &dialing).await,
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

impl Guide {
    /// Those that the URL names, and how to speak to a master.
    fn servers(&self) -> Vec<&ConnectionInfo> {
        match self {
            Self::Url(server) => vec![server],
            Self::Sentinels(Sentinels { sentinels, server, .. }) => sentinels.iter().chain([server]).collect(),
            Self::Cluster(cluster) => cluster.named.iter().collect(),
        }
    }
}

/// Why there is no way to a server.
pub(super) enum ServersError {
    /// The URL.
    Url(RedisError),
    /// The files for TLS; names the option and the file.
    Tls(String),
}

impl From<RedisError> for ServersError {
    fn from(error: RedisError) -> Self {
        Self::Url(error)
    }
}

/// The host of a server elsewhere that is told a password without TLS.
fn exposed(server: &ConnectionInfo) -> Option<String> {
    let ConnectionAddr::Tcp(host, _) = server.addr() else { return None };
    (!is_loopback(host) && server.redis_settings().password().is_some()).then(|| host.clone())
}

/// Once per process: the next connections are no better.
fn warn_of_exposed(host: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "the password for Redis at {host} is sent without encryption: whoever is between can read it, and read and \
             change messages; a URL with `rediss` encrypts the connection and verifies the server"
        );
    });
}
