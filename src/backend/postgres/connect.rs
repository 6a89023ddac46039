//! Makes connections for the pool: to the first server that takes one.

use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::Connect;
use rand::seq::SliceRandom;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error};

use super::address::Address;
use super::negotiation::MakeConnector;

/// Connects to one of the servers of a database, as the driver itself does it with several hosts.
pub(super) struct ServerConnect {
    servers: Vec<Config>,
    shuffled: bool,
    connector: MakeConnector,
    /// How long a server may take when there is another one to ask.
    each: Duration,
}

impl ServerConnect {
    /// Of a database that has at least one server.
    pub(super) fn new(address: Address, connector: MakeConnector) -> Self {
        Self { servers: address.servers, shuffled: address.shuffled, connector, each: address.connect_timeout }
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
            let last = servers.len().saturating_sub(1);
            for (number, server) in servers.into_iter().enumerate() {
                let connecting = server.connect(self.connector.clone());
                // The driver limits the first packet alone. The last server has what is left of the pool's limit.
                let connected = if number < last { timeout(self.each, connecting).await } else { Ok(connecting.await) };
                match connected {
                    Ok(Ok(connected)) => {
                        answer = Ok(connected);
                        break;
                    }
                    Ok(Err(error)) => answer = Err(Some(error)),
                    Err(_silent) => {}
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
