//! Makes connections for the pool: to the first server that takes one.

use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::Connect;
use rand::seq::SliceRandom;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Connection, Error, Socket};

use super::address::Address;
use super::negotiation::{MakeConnector, Stream, wants_the_other_way};
use super::refusal::Refusal;

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

    /// By TLS or without, and where the server has a rule against that, the other way round, if `sslmode` leaves it open.
    async fn connect_to(&self, server: &Config) -> Result<(Client, Connection<Socket, Stream>), Error> {
        let (first, second) = self.connector.ways(server);
        let answer = server.connect(first).await;
        let (refused, second) = match (answer, second) {
            (Err(error), Some(second)) if wants_the_other_way(&error, &second) => (error, second),
            (answer, _) => return answer,
        };
        let is_by_tls = second.insists();
        match server.connect(second).await {
            // What was said by TLS says more; a server that has none said all before.
            Err(again) if is_by_tls && !matches!(Refusal::cause_of(&again), Some(Refusal::NoTls(_))) => Err(again),
            Err(_) => Err(refused),
            connected => connected,
        }
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
                let connecting = self.connect_to(server);
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
