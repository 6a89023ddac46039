//! The server on a thread of its own.

use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{ConnectionLimits, Listener, Routes, serve_within};
use crate::threads::Threads;

/// Serves until it is stopped or dropped. Its answers wait neither for orders, which at full speed keep every other thread
/// busy, nor for a program around the worker that blocks its own threads.
pub struct Server {
    _threads: Threads,
    serving: JoinHandle<()>,
    stop: CancellationToken,
}

impl Server {
    /// Serves on `listeners`.
    ///
    /// # Errors
    /// When the thread can't be started, or a listener can't be moved to it.
    pub fn start(listeners: Vec<Listener>, routes: Routes) -> io::Result<Self> {
        let threads = Threads::start("http", Some(1))?;
        let stop = CancellationToken::new();
        let serving = {
            let _entered = threads.handle().enter();
            let listeners = listeners.into_iter().map(Listener::moved).collect::<io::Result<_>>()?;
            let limits = ConnectionLimits::default().within_open_files();
            threads.handle().spawn(serve_within(limits, listeners, routes, stop.clone()))
        };
        Ok(Self { _threads: threads, serving, stop })
    }

    /// Accepts no more requests, and gives those under way at most `limit`.
    pub async fn stop(mut self, limit: Duration) {
        self.stop.cancel();
        if let Ok(Err(error)) = timeout(limit, &mut self.serving).await {
            tracing::error!(%error, "the metrics server ended badly");
        }
    }
}
