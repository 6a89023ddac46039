//! Two real Postgres servers, one a standby of the other, and workers whose URL names both. `make failover` runs the lossy one at
//! full size, and prints the figures that docs/FAILOVER.md keeps.

mod figures;
mod lossy;
mod reused_ids;
mod switchover;

use crate::support::postgres::PostgresServer;
use crate::support::{LONG, eventually, expect_equal};

/// A primary and its standby, with the given schema.
pub(crate) struct Pair {
    pub(crate) primary: PostgresServer,
    pub(crate) standby: PostgresServer,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let primary = PostgresServer::start().await;
        primary.database().await;
        let standby = primary.standby().await;
        Self { primary, standby }
    }

    /// The URL of both.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/orders", self.primary.port(), self.standby.port())
    }

    /// The same, as the worker's own configuration hands it on.
    pub(crate) fn parsed_url(&self) -> String {
        let (primary, standby) = (self.primary.port(), self.standby.port());
        format!("postgres://postgres@127.0.0.1:{primary}/orders?host=127.0.0.1&port={standby}")
    }

    /// From now on nothing that is committed reaches the standby.
    pub(crate) async fn part(&self) {
        self.standby.set(&["ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"]).await;
        let database = self.primary.same_database();
        eventually(LONG, "the standby receives nothing more", async || {
            expect_equal(database.number("SELECT count(*) FROM pg_stat_replication").await, 0)
        })
        .await;
    }

    /// The primary takes no writes any more, and answers what is asked.
    pub(crate) async fn demote(&self) {
        self.primary.set(&["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"]).await;
    }

    /// Waits until the standby has whatever was committed.
    pub(crate) async fn catch_up(&self) {
        let database = self.primary.same_database();
        let behind = "SELECT count(*) FILTER (WHERE replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication";
        eventually(LONG, "the standby has everything", async || expect_equal(database.number(behind).await, 1)).await;
    }
}

/// A number from the environment, for running the test at another size.
fn size(variable: &str, unless_set: i32) -> i32 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a whole number: {text}")),
        Err(_) => unless_set,
    }
}
