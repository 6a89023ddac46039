//! The order API: inserts rows, pushes their messages, and keeps a journal of what it was told.
//!
//! A row's quantity is the number of the request that it came from, so that a request whose answer was lost can be
//! looked up afterwards.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::chaos::world::World;
use crate::support::evidence::REJECTED_PRODUCT;
use crate::support::redis::QUEUE_KEY;

const EVERY: Duration = Duration::from_millis(50);
const FLOOD: i32 = 1_000;
/// Of so many orders one is of the product that the warehouse rejects.
const REJECTED_EVERY: i32 = 50;
/// The orders that are remembered, to send their messages again.
const REMEMBERED: usize = 200;

/// What the producer knows of something that it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It was done.
    Done,
    /// It was not done.
    Failed,
    /// The answer never came.
    Unknown,
    /// It didn't ask.
    NotAsked,
}

/// One insertion and one push.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) requests: RangeInclusive<i32>,
    pub(crate) inserted: Told,
    pub(crate) pushed: Told,
}

/// Something out of the ordinary.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Surprise {
    /// A thousand orders at once.
    Flood,
    /// The producer dies after its next INSERT.
    Death,
    /// The messages of the last orders, once more.
    Repetition,
}

/// See the module.
pub(crate) struct Producer {
    world: Arc<World>,
    next_request: i32,
    store: Option<Client>,
    queue: Option<MultiplexedConnection>,
    recent: VecDeque<i32>,
    journal: Vec<Entry>,
}

impl Producer {
    /// Has placed nothing yet.
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, next_request: 1, store: None, queue: None, recent: VecDeque::new(), journal: Vec::new() }
    }

    /// Places orders at a rate per second until told to stop; returns the journal.
    pub(crate) async fn run(
        mut self,
        rate: u32,
        mut surprises: mpsc::UnboundedReceiver<Surprise>,
        stop: CancellationToken,
    ) -> Vec<Entry> {
        let size = i32::try_from(rate / 20).expect("a rate of this world").max(1);
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            ticks.tick().await;
            match surprises.try_recv() {
                Ok(Surprise::Flood) => self.place(FLOOD, false).await,
                Ok(Surprise::Death) => self.place(size, true).await,
                Ok(Surprise::Repetition) => {
                    let recent: Vec<i32> = self.recent.iter().copied().collect();
                    // A repetition that doesn't arrive is none.
                    let _ = self.push(&recent).await;
                }
                Err(_) => self.place(size, false).await,
            }
        }
        self.journal
    }

    async fn place(&mut self, count: i32, dies: bool) {
        let requests = self.next_request..=self.next_request + count - 1;
        self.next_request += count;
        let (inserted, orders) = self.insert(&requests).await;
        // Nothing is asked for twice: an order whose message is lost is the reconciler's.
        let pushed = if dies || orders.is_empty() {
            Told::NotAsked
        } else {
            self.push(&orders).await.map_or(Told::Unknown, |()| Told::Done)
        };
        if dies {
            (self.store, self.queue) = (None, None);
        }
        self.recent.extend(orders);
        self.recent.drain(..self.recent.len().saturating_sub(REMEMBERED));
        self.journal.push(Entry { requests, inserted, pushed });
    }

    async fn insert(&mut self, requests: &RangeInclusive<i32>) -> (Told, Vec<i32>) {
        let store = match self.store.take() {
            Some(store) => store,
            None => match self.world.connect().await {
                Ok(store) => store,
                Err(_) => return (Told::Failed, Vec::new()),
            },
        };
        let sql = "INSERT INTO orders (product_id, quantity) SELECT CASE WHEN n % $3 = 0 THEN $4 ELSE 1 END, n \
                   FROM generate_series($1::int, $2) n RETURNING id";
        match store.query(sql, &[requests.start(), requests.end(), &REJECTED_EVERY, &REJECTED_PRODUCT]).await {
            Ok(rows) => {
                self.store = Some(store);
                (Told::Done, rows.iter().map(|row| row.get(0)).collect())
            }
            Err(_) => (Told::Unknown, Vec::new()),
        }
    }

    async fn push(&mut self, orders: &[i32]) -> redis::RedisResult<()> {
        let mut queue = match self.queue.take() {
            Some(queue) => queue,
            None => self.world.connect_redis().await?,
        };
        let mut command = redis::cmd("LPUSH");
        command.arg(QUEUE_KEY);
        for id in orders {
            command.arg(json!({"order_id": id, "product_id": 1, "quantity": 1}).to_string());
        }
        if orders.is_empty() {
            return Ok(());
        }
        command.query_async::<i64>(&mut queue).await?;
        self.queue = Some(queue);
        Ok(())
    }
}
