//! The URLs of `--queue` for Redis: a server, sentinels that know its address, or nodes of a Cluster.
//!
//! Parameters have the names that the client fred gives them; several hosts are separated by commas, as Lettuce and the
//! drivers of other databases have it, or follow as `node=HOST:PORT`. Errors never quote the value.

use std::fmt;

use url::Url;

use super::secret::SecretUrl;

/// Most sentinels or nodes that a URL may name.
const MOST_NODES: usize = 100;
const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const NODE: &str = "node";
const SERVICE: &str = "sentinelServiceName";
const SENTINEL_USER: &str = "sentinelUsername";
const SENTINEL_PASSWORD: &str = "sentinelPassword";
/// Understood by redis-rs.
const PROTOCOL: &str = "protocol";

/// The servers that a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// This server, or whichever node of its Cluster it sends us to.
    One(SecretUrl),
    /// The server that sentinels call the master.
    Sentinel {
        /// At least one, each with the sentinels' own user and password.
        sentinels: Vec<SecretUrl>,
        /// The name that the sentinels know it by.
        master: String,
        /// How to speak to a master; the host is to be replaced by its address.
        server: SecretUrl,
    },
    /// The node of a Cluster that holds the slot of the queue's keys: some nodes to ask, at least one.
    Cluster(Vec<SecretUrl>),
}

impl RedisServers {
    /// Reads a URL, as [`parse`] makes it of text.
    ///
    /// # Errors
    /// Says what is wrong with it, without quoting it.
    pub fn of(url: &SecretUrl) -> Result<Self, String> {
        let url = url.expose();
        let Some(kind) = Kind::of(url.scheme()) else { return Ok(Self::One(SecretUrl::new(url.clone()))) };
        if url.fragment().is_some() {
            return Err("the part after `#` has no meaning here; remove it".to_owned());
        }
        let parameters = Parameters::of(url, kind)?;
        match kind {
            Kind::Sentinel => parameters.sentinel(url),
            Kind::Cluster => parameters.cluster(url),
        }
    }
}

/// Parses a URL. Hosts after the first become parameters, as a URL can hold one only.
///
/// # Errors
/// For text that is no URL.
pub fn parse(text: &str) -> Result<SecretUrl, url::ParseError> {
    let several = text.split_once("://").filter(|(scheme, _)| Kind::of(scheme).is_some());
    let Some((scheme, rest)) = several else { return Url::parse(text).map(SecretUrl::new) };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let hosts = authority.rfind('@').map_or(0, |at| at + 1);
    let (credentials, hosts) = authority.split_at(hosts);
    let mut hosts = hosts.split(',');
    let first = hosts.next().unwrap_or_default();
    let mut url = Url::parse(&format!("{scheme}://{credentials}{first}{tail}"))?;
    for host in hosts {
        url.query_pairs_mut().append_pair(NODE, host);
    }
    Ok(SecretUrl::new(url))
}

/// Shows such a URL as people write it, without passwords; `false` if it is none.
pub(super) fn show(url: &Url, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
    if Kind::of(url.scheme()).is_none() {
        return Ok(false);
    }
    write!(f, "{}://", url.scheme())?;
    if url.password().is_some() {
        write!(f, "{}:***@", url.username())?;
    } else if !url.username().is_empty() {
        write!(f, "{}@", url.username())?;
    }
    f.write_str(url.host_str().unwrap_or_default())?;
    if let Some(port) = url.port() {
        write!(f, ":{port}")?;
    }
    for (_, node) in url.query_pairs().filter(|(name, _)| name == NODE) {
        // What is no address may be a password that was not percent-encoded.
        write!(f, ",{}", if address(&node).is_ok() { &node } else { "***" })?;
    }
    f.write_str(url.path())?;
    if let Some((_, master)) = url.query_pairs().find(|(name, _)| name == SERVICE) {
        write!(f, "?{SERVICE}={master}")?;
    }
    Ok(true)
}

/// What is asked for the server's address.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sentinel,
    Cluster,
}

impl Kind {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "redis-sentinel" | "rediss-sentinel" => Some(Self::Sentinel),
            "redis-cluster" | "rediss-cluster" => Some(Self::Cluster),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Parameters {
    nodes: Vec<String>,
    service: Option<String>,
    sentinel_user: String,
    sentinel_password: Option<String>,
    /// As a query.
    protocol: Option<String>,
}

impl Parameters {
    fn of(url: &Url, kind: Kind) -> Result<Self, String> {
        let mut found = Self::default();
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            match (&*name, kind) {
                (NODE, _) => found.nodes.push(value),
                (PROTOCOL, _) => found.protocol = Some(format!("{PROTOCOL}={value}")),
                (SERVICE, Kind::Sentinel) if !value.is_empty() => found.service = Some(value),
                (SERVICE, Kind::Sentinel) => return Err(format!("{SERVICE} is empty")),
                (SENTINEL_USER, Kind::Sentinel) => found.sentinel_user = value,
                (SENTINEL_PASSWORD, Kind::Sentinel) => found.sentinel_password = Some(value),
                (_, Kind::Sentinel) => {
                    return Err(format!(
                        "unknown parameter; there are {SERVICE}, {SENTINEL_USER}, {SENTINEL_PASSWORD}, {NODE} and \
                         {PROTOCOL}"
                    ));
                }
                (_, Kind::Cluster) => {
                    return Err(format!("unknown parameter; there are {NODE} and {PROTOCOL}"));
                }
            }
        }
        if found.nodes.len() >= MOST_NODES {
            return Err(format!("more than {MOST_NODES} hosts"));
        }
        Ok(found)
    }

    fn sentinel(self, url: &Url) -> Result<RedisServers, String> {
        let master = self
            .service
            .clone()
            .ok_or_else(|| format!("no name of a master; add ?{SERVICE}=NAME, as the sentinels call it"))?;
        let mut server = plain(url)?;
        server.set_query(self.protocol.as_deref());
        let mut template = plain(url)?;
        template.set_query(None);
        template.set_path("");
        let set = template.set_username(&self.sentinel_user).is_ok()
            && template.set_password(self.sentinel_password.as_deref()).is_ok();
        if !set {
            return Err(unusable());
        }
        let sentinels = self.each(url, &template, SENTINEL_PORT)?;
        Ok(RedisServers::Sentinel { sentinels, master, server: SecretUrl::new(server) })
    }

    fn cluster(self, url: &Url) -> Result<RedisServers, String> {
        if !matches!(url.path().trim_matches('/'), "" | "0") {
            return Err("a Redis Cluster has no database but 0; remove the number after the hosts".to_owned());
        }
        let mut template = plain(url)?;
        template.set_query(self.protocol.as_deref());
        self.each(url, &template, SERVER_PORT).map(RedisServers::Cluster)
    }

    /// The template with the address of each host of `url`.
    fn each(&self, url: &Url, template: &Url, default_port: u16) -> Result<Vec<SecretUrl>, String> {
        let others = self.nodes.iter().map(|node| address(node));
        let hosts = std::iter::once(Ok(url.clone())).chain(others);
        let with_address = |host: Result<Url, String>| {
            let (host, mut one) = (host?, template.clone());
            let port = host.port().unwrap_or(default_port);
            let put = one.set_host(host.host_str()).is_ok() && one.set_port(Some(port)).is_ok();
            if put { Ok(SecretUrl::new(one)) } else { Err(unusable()) }
        };
        hosts.map(with_address).collect()
    }
}

/// The same for one server.
fn plain(url: &Url) -> Result<Url, String> {
    let mut one = url.clone();
    let scheme = if url.scheme().starts_with("rediss") { "rediss" } else { "redis" };
    one.set_scheme(scheme).map_err(|()| unusable())?;
    Ok(one)
}

/// Reads `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn address(node: &str) -> Result<Url, String> {
    let url = Url::parse(&format!("redis://{node}")).map_err(|_| unusable())?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.path().is_empty();
    let is_bare = is_bare && url.query().is_none() && url.fragment().is_none() && !node.contains(',');
    if is_bare && url.host_str().is_some_and(|host| !host.is_empty()) { Ok(url) } else { Err(unusable()) }
}

fn unusable() -> String {
    "one of the hosts is not HOST:PORT".to_owned()
}

#[cfg(test)]
mod tests;
