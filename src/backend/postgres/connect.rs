//! Makes connections for the pool: to the first server that takes one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use rand::seq::SliceRandom;
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config, Connection, Error, Socket};

use super::address::Address;
use super::greeting::NamedProcess;
use super::negotiation::{MakeConnector, Stream, wants_the_other_way};
use super::refusal::Refusal;
use super::served::Served;
use super::writers::{Writers, is_reader};

/// Connects to one of the servers of a database, as the driver itself does it with several hosts.
pub(super) struct ServerConnect {
    servers: Vec<Config>,
    shuffled: bool,
    connector: MakeConnector,
    /// How long a server may take when there is another one to ask.
    each: Duration,
    writers: Writers,
}

impl ServerConnect {
    /// Of a database that has at least one server.
    pub(super) fn new(address: Address, connector: MakeConnector) -> Self {
        Self {
            servers: address.servers,
            shuffled: address.shuffled,
            connector,
            each: address.connect_timeout,
            writers: Writers::default(),
        }
    }

    /// By TLS or without, and where the server has a rule against that, the other way round, if `sslmode` leaves it open.
    async fn connect_to(&self, server: &Config) -> Result<Connected, Error> {
        let (first, second) = self.connector.ways(server);
        let answer = connect(server, first).await;
        let (refused, second) = match (answer, second) {
            (Err(error), Some(second)) if wants_the_other_way(&error, &second) => (error, second),
            (answer, _) => return answer,
        };
        let is_by_tls = second.insists();
        match connect(server, second).await {
            // What was said by TLS says more; a server that has none said all before.
            Err(again) if is_by_tls && !matches!(Refusal::cause_of(&again), Some(Refusal::NoTls(_))) => Err(again),
            Err(_) => Err(refused),
            connected => connected,
        }
    }
}

/// A connection that nothing carries yet, and the process that the server named on it.
type Connected = (Client, Connection<Socket, Stream>, NamedProcess);

async fn connect(server: &Config, connector: MakeConnector) -> Result<Connected, Error> {
    let named = connector.named_process();
    let (client, connection) = server.connect(connector).await?;
    Ok((client, connection, named))
}

impl Manager for ServerConnect {
    type Type = Served;
    type Error = Error;

    async fn create(&self) -> Result<Served, Error> {
        // From before it is made, so that what is learned meanwhile counts.
        let lead = self.writers.lead();
        let mut servers = self.servers.clone();
        if self.writers.were_refused() {
            // A single server that takes no writes counts as down then, and isn't read from and left in turns.
            for server in &mut servers {
                server.target_session_attrs(TargetSessionAttrs::ReadWrite);
            }
        }
        if self.shuffled {
            servers.shuffle(&mut rand::rng());
        }
        let mut answer = None;
        let last = servers.len().saturating_sub(1);
        for (number, server) in servers.iter().enumerate() {
            let connecting = self.connect_to(server);
            // The driver limits the first packet alone. The last server has what is left of the pool's limit.
            let connected = if number < last { timeout(self.each, connecting).await } else { Ok(connecting.await) };
            if let Ok(connected) = connected {
                let has_connected = connected.is_ok();
                answer = Some(connected);
                if has_connected {
                    break;
                }
            }
        }
        let (client, connection, named) = match answer {
            Some(answer) => answer?,
            // No server at all: the driver says so.
            None => connect(&Config::new(), self.connector.clone()).await?,
        };
        let reports = lead.reports();
        reports.store(is_reader(&connection), Ordering::Release);
        let task = tokio::spawn(async move {
            let mut connection = connection;
            let ended = poll_fn(|context| {
                let poll = Pin::new(&mut connection).poll(context);
                reports.store(is_reader(&connection), Ordering::Release);
                poll
            });
            if let Err(error) = ended.await {
                tracing::warn!(%error, "a connection to Postgres was lost");
            }
        });
        Ok(Served::new(client, task, named, lead))
    }

    async fn recycle(&self, connection: &mut Served, _: &Metrics) -> RecycleResult<Error> {
        if connection.is_closed() {
            return Err(RecycleError::message("connection closed"));
        }
        if connection.leads_to_reader().await? {
            return Err(RecycleError::message("the server takes no writes"));
        }
        Ok(())
    }
}
