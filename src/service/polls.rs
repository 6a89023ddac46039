//! What is asked of queue and store in the background, so that a scrape need not ask: each question by itself, so that one
//! who doesn't answer holds up nobody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::app::Opened;
use crate::event::{Dependency, Event, Observers};
use crate::store::audit::Audit;

/// How often queue and store are asked how they are while nothing else asks.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// How often open orders are counted at most.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// The pause after a count, in times of what it took: counting a long backlog takes at most a fiftieth of the time.
const COUNT_PAUSE: u32 = 49;

/// Asks until aborted. `leases` is the store that leases are renewed through.
pub(super) async fn poll(opened: Opened, leases: Arc<dyn Audit>, observers: Observers) {
    let polls = Polls { opened, leases, observers, store_is_up: AtomicBool::new(true) };
    tokio::join!(polls.queue(), polls.store(), polls.open_orders(), polls.connections());
}

struct Polls {
    opened: Opened,
    leases: Arc<dyn Audit>,
    observers: Observers,
    /// Whether the store has answered when it was last asked.
    store_is_up: AtomicBool,
}

impl Polls {
    async fn queue(&self) {
        loop {
            let under_way = self.observers.under_way(Dependency::Queue);
            let answer = self.opened.queue.depth().await;
            drop(under_way);
            match answer {
                Ok(depth) => {
                    self.observers.emit(Event::DependencyUp(Dependency::Queue));
                    self.observers.emit(Event::DepthRead(depth));
                }
                Err(error) => self.down(Dependency::Queue, &error),
            }
            sleep(POLL_EVERY).await;
        }
    }

    async fn store(&self) {
        loop {
            let under_way = self.observers.under_way(Dependency::Store);
            let answer = self.opened.store.check().await;
            drop(under_way);
            self.store_is_up.store(answer.is_ok(), Ordering::Relaxed);
            match answer {
                Ok(()) => self.observers.emit(Event::DependencyUp(Dependency::Store)),
                Err(error) => self.down(Dependency::Store, &error),
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// No call under way for the others: how long a count takes says how much is open, and not how the store is. Nor is one
    /// that fails an outage, which the other poll tells of: the last count stays, and so does the time of it.
    async fn open_orders(&self) {
        let mut failing = false;
        loop {
            if !self.store_is_up.load(Ordering::Relaxed) {
                sleep(POLL_EVERY).await;
                continue;
            }
            let began = Instant::now();
            let answer = self.opened.store.open_orders().await;
            let took = began.elapsed();
            match answer {
                Ok(open) => {
                    failing = false;
                    self.observers.emit(Event::OpenOrdersRead(open));
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "open orders can't be counted: their metrics stay as they were last read");
                    }
                }
            }
            sleep(COUNT_EVERY.max(took * COUNT_PAUSE)).await;
        }
    }

    async fn connections(&self) {
        loop {
            let mut connections = self.opened.store.connections();
            if !Arc::ptr_eq(&self.opened.store, &self.leases) {
                connections = connections + self.leases.connections();
            }
            self.observers.emit(Event::ConnectionsRead(connections));
            sleep(POLL_EVERY).await;
        }
    }

    fn down(&self, dependency: Dependency, error: &dyn std::error::Error) {
        self.observers.emit(Event::DependencyDown { dependency, error: &error.to_string(), retry_in: POLL_EVERY });
    }
}
