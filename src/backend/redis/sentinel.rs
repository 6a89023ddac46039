//! Asks sentinels for the master.
//!
//! Not by redis-rs's `Sentinel`: it can't tell a name that no sentinel knows from a master that is down, and asks
//! another connection for its role than the one that is used then. See docs/adr/0011.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, ErrorKind, RedisError, RedisResult, Role, TlsCertificates};
use tokio::task::JoinSet;

use super::address::Address;
use super::connect::{CONNECT_TIMEOUT, Dialing, at, config, open};
use super::error::{Credentials, said_by};
use super::reply;

/// Sentinels, and what to ask them for.
pub(super) struct Sentinels {
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// The name that they know the master by.
    pub(super) master: String,
    /// How to speak to the master, wherever it is.
    pub(super) server: ConnectionInfo,
}

impl Sentinels {
    /// A connection to whatever a sentinel calls the master, if it is one.
    ///
    /// All are asked at once. The first answer is tried, and the others only if they differ: a sentinel that was cut
    /// off, or is slow, may name a server that was demoted.
    pub(super) async fn connect(&self, dialing: &Dialing) -> RedisResult<MultiplexedConnection> {
        // Tasks, so that they go on while an answer is being tried. They end with the set.
        let mut asked = JoinSet::new();
        for sentinel in self.sentinels.iter().cloned() {
            asked.spawn(ask(sentinel, self.master.clone(), dialing.certificates.clone()));
        }
        let mut tried = Vec::new();
        let mut of_master = None;
        let mut of_sentinel = None;
        let mut nobody_knows_it = false;
        while let Some(answer) = asked.join_next().await {
            match answer.unwrap_or_else(|died| Err(std::io::Error::other(died).into())) {
                Ok(Some(address)) if !tried.contains(&address) => {
                    match self.connect_to(&address, dialing).await {
                        Ok(connection) => return Ok(connection),
                        Err(error) => of_master = Some(error),
                    }
                    tried.push(address);
                }
                Ok(Some(_)) => {}
                Ok(None) => nobody_knows_it = true,
                Err(error) => of_sentinel = Some(error),
            }
        }
        let unknown = || {
            let problem = format!(
                "the sentinels know no master named `{}`: check sentinelServiceName in the Redis URL",
                self.master
            );
            RedisError::from((ErrorKind::Client, "refused", problem))
        };
        Err(of_master.or_else(|| nobody_knows_it.then(unknown)).or(of_sentinel).unwrap_or_else(unknown))
    }

    async fn connect_to(&self, address: &Address, dialing: &Dialing) -> RedisResult<MultiplexedConnection> {
        let who = format!("{address}, the master `{}` by its sentinels", self.master);
        let explained = |error: RedisError| said_by(&who, &error, Credentials::Server);
        let mut connection = open(at(&self.server, address), dialing).await.map_err(explained)?;
        let role: Role = redis::cmd("ROLE").query_async(&mut connection).await.map_err(explained)?;
        match role {
            Role::Primary { .. } => Ok(connection),
            _ => Err(std::io::Error::other(format!("{who}: is none; a failover may be under way")).into()),
        }
    }
}

async fn ask(
    sentinel: ConnectionInfo,
    master: String,
    certificates: Arc<TlsCertificates>,
) -> RedisResult<Option<Address>> {
    let who = Address::of(&sentinel).map_or_else(|| "sentinel".to_owned(), |address| format!("sentinel {address}"));
    let answer = async {
        let dialing = Dialing { config: config(CONNECT_TIMEOUT), certificates };
        let mut connection = open(sentinel, &dialing).await?;
        let mut command = redis::cmd("SENTINEL");
        let command = command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        reply::master(command.query_async(&mut connection).await?)
    };
    answer.await.map_err(|error| said_by(&who, &error, Credentials::Sentinel))
}
