//! Makes connections for the pool: to the first server that takes one.

use std::pin::Pin;

use deadpool_postgres::Connect;
use rand::seq::SliceRandom;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};

use super::address::Address;
use super::negotiation::MakeConnector;

/// Connects to one of the servers of a database, as the driver itself does it with several hosts.
pub(super) struct ServerConnect {
    servers: Vec<Config>,
    shuffled: bool,
    connector: MakeConnector,
}

impl ServerConnect {
    /// Of a database that has at least one server.
    pub(super) fn new(address: Address, connector: MakeConnector) -> Self {
        Self { servers: address.servers, shuffled: address.shuffled, connector }
    }
}

impl Connect for ServerConnect {
    /// The pool's configuration is passed over: each server has one of its own.
    fn connect(
        &self,
        pool_config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let pool_config = pool_config.clone();
        Box::pin(async move {
            let mut servers: Vec<&Config> = self.servers.iter().collect();
            if self.shuffled {
                servers.shuffle(&mut rand::rng());
            }
            let mut answer = Err(None);
            for server in servers {
                match server.connect(self.connector.clone()).await {
                    Ok(connected) => {
                        answer = Ok(connected);
                        break;
                    }
                    Err(error) => answer = Err(Some(error)),
                }
            }
            let (client, connection) = match answer {
                Ok(connected) => connected,
                Err(Some(error)) => return Err(error),
                // No server at all: the driver says so.
                Err(None) => pool_config.connect(self.connector.clone()).await?,
            };
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(%error, "a connection to Postgres was lost");
                }
            });
            Ok((client, task))
        })
    }
}
