//! The two ways to a command's document: queue and store, or a running worker's API.

use std::time::Duration;

use clap::Args;

use super::api_client::ApiClient;
use super::connect::ConnectOptions;
use super::failure::Failure;
use crate::config::Origins;
use crate::config::server::ServerOptions;

/// Where queue and store are, or the worker that is asked instead.
#[derive(Debug, Args)]
pub(super) struct ReachOptions {
    #[command(flatten)]
    connect: ConnectOptions,

    #[command(flatten)]
    server: ServerOptions,
}

/// One of them.
pub(super) enum Way<'a> {
    /// To be opened.
    Stores(&'a ConnectOptions),
    /// To be asked.
    Server(ApiClient),
}

/// A duration as the API takes it, in whole seconds.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl ReachOptions {
    /// The way that is set.
    ///
    /// # Errors
    /// `--server` can't be used.
    pub(super) fn way(&self, origins: &Origins) -> Result<Way<'_>, Failure> {
        Ok(match self.server.resolve(origins)? {
            Some(server) => Way::Server(ApiClient::new(server, self.server.server_ca.as_deref(), self.connect.wait)?),
            None => Way::Stores(&self.connect),
        })
    }
}
