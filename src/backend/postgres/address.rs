//! What the URL of a database says: which servers, in which order, and how to connect to each.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs};

use super::parameters::{Ours, invalid_url};
use super::tls::TlsParameters;
use crate::config::SecretUrl;
use crate::config::require_auth::RequireAuth;
use crate::domain::worker_id::WorkerId;
use crate::port::store::StoreError;

/// Silence after which the server is asked whether it is still there, where the URL doesn't say.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// Time between two such questions, of which three are asked.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// What the driver takes for idle when a URL is silent about it.
const DRIVER_KEEPALIVE_IDLE: Duration = Duration::from_secs(2 * 60 * 60);
const DEFAULT_PORT: u16 = 5432;

/// The servers of one database.
pub(super) struct Address {
    /// Each alone, in the URL's order.
    pub(super) servers: Vec<Config>,
    /// Whether each connection begins with another server.
    pub(super) shuffled: bool,
    /// Asked for with `sslmode` and so on.
    pub(super) tls: TlsParameters,
    /// Whether TLS begins without a question (`sslnegotiation=direct`).
    pub(super) direct: bool,
    /// How a server may ask for the password.
    pub(super) auth: RequireAuth,
    /// How long each server may take for a connection.
    pub(super) connect_timeout: Duration,
}

/// How long connections may take to be made, and statements to be answered.
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) statement: Duration,
}

impl Address {
    /// Reads the URL, and sets what it leaves open.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a URL that can't be understood.
    pub(super) fn read(url: &SecretUrl, worker: &WorkerId, limits: &Limits) -> Result<Self, StoreError> {
        let mut address = url.expose().clone();
        let (ours, others) = Ours::of(url)?;
        address.set_query((!others.is_empty()).then(|| others.join("&")).as_deref());
        let mut config: Config =
            address.as_str().parse().map_err(|error| invalid_url(url, cause(&error).as_deref()))?;
        if let Some(timeout) = ours.tcp_user_timeout {
            config.tcp_user_timeout(timeout);
        }
        if config.get_application_name().is_none() {
            config.application_name(format!("fulfillment-worker {worker}"));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(limits.connect);
        }
        if config.get_keepalives_idle() == DRIVER_KEEPALIVE_IDLE {
            config.keepalives_idle(KEEPALIVE_IDLE);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(KEEPALIVE_INTERVAL);
        }
        config.keepalives_retries(ours.keepalives_count.or(config.get_keepalives_retries()).unwrap_or(3));
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(limits.statement);
        }
        let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        if direct && !ours.tls.mode.requires_tls() {
            return Err(invalid_url(url, Some("sslnegotiation=direct needs sslmode=require or a stronger one")));
        }
        // Of several servers, only one takes writes, and the first one need not be it.
        if config.get_hosts().len() > 1 && !ours.has_target {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let connect_timeout = config.get_connect_timeout().copied().unwrap_or(limits.connect);
        let shuffled = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        let servers = each_server(url, &config)?;
        Ok(Self { servers, shuffled, tls: ours.tls, direct, auth: ours.auth, connect_timeout })
    }

    /// Whether all are reached by Unix sockets, where there is no TLS.
    pub(super) fn is_local(&self) -> bool {
        self.servers.iter().all(|server| matches!(server.get_hosts(), [Host::Unix(_)]))
    }
}

/// The configuration of each server that `all` names.
///
/// The driver decides by its `ssl_mode` whether to ask our connector at all, and doesn't ask it for Unix sockets. Over TCP it
/// is told that TLS begins at once: so our connector negotiates (see [`super::negotiation`]).
fn each_server(url: &SecretUrl, all: &Config) -> Result<Vec<Config>, StoreError> {
    let (hosts, addresses, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
    if hosts.is_empty() || !matches!(addresses.len(), 0) && addresses.len() != hosts.len() {
        return Err(invalid_url(url, Some("it needs a host, and as many of hostaddr as of host")));
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(invalid_url(url, Some("it needs one port, or as many as hosts")));
    }
    let server = |(number, host): (usize, &Host)| {
        let mut one = without_servers(all);
        match host {
            Host::Tcp(name) => one.host(name).ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct),
            Host::Unix(folder) => one.host_path(folder).ssl_mode(SslMode::Disable),
        };
        if let Some(&address) = addresses.get(number) {
            one.hostaddr(address);
        }
        one.port(ports.get(number).or(ports.first()).copied().unwrap_or(DEFAULT_PORT));
        one
    };
    Ok(hosts.iter().enumerate().map(server).collect())
}

/// Everything that holds for each server.
fn without_servers(all: &Config) -> Config {
    let mut one = Config::new();
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(&timeout) = all.get_connect_timeout() {
        one.connect_timeout(timeout);
    }
    if let Some(&timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(timeout);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .target_session_attrs(all.get_target_session_attrs())
        .channel_binding(all.get_channel_binding())
        .load_balance_hosts(all.get_load_balance_hosts());
    one
}

/// What is wrong, unless that would quote what may be a piece of a password.
fn cause(error: &tokio_postgres::Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string).filter(|cause| !cause.contains('@'))
}
