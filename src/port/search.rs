//! Orders by what is known of them, and the transitions as they happen.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::order::{OrderId, State};
use crate::port::reports::{OrderReport, TimelineEntry};
use crate::port::store::StoreError;

/// How long each statement of these traits may keep a server, or the thread of an embedded database, busy.
pub const SEARCH_LIMIT: Duration = Duration::from_secs(5);

/// The most orders that [`Source::States`] looks at. Where there are more, [`Looked::looked`] says so.
pub const MOST_BY_STATE: usize = 100_000;

/// Selects orders. An order must match every field that is set; the default selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderFilter {
    /// Those in one of these states; in any state if this is empty.
    pub states: Vec<State>,
    /// Those of this product.
    pub product_id: Option<i64>,
    /// Those whose message had this correlation id.
    pub correlation_id: Option<String>,
    /// Those created longer ago than this, by the database's clock.
    pub older_than: Option<Duration>,
    /// Those created at most this long ago, by the database's clock.
    pub newer_than: Option<Duration>,
}

/// Ids strictly between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    /// Every id is greater than this.
    pub above: i64,
    /// Every id is less than this.
    pub below: i64,
}

impl Between {
    /// All ids but the least and the greatest that there can be.
    pub const ALL: Self = Self { above: i64::MIN, below: i64::MAX };
}

/// Where a search looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At so many orders with the greatest ids, at most.
    Newest(usize),
    /// At the orders in the filter's states, by what leads to them, at most one more than [`MOST_BY_STATE`].
    States,
    /// At these orders.
    Ids(Vec<OrderId>),
}

/// What was found in one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// The orders that match, the one with the greatest id first.
    pub orders: Vec<OrderReport>,
    /// How many orders were looked at.
    pub looked: u64,
    /// The lowest id among them.
    pub lowest: Option<OrderId>,
}

/// Finds orders. No method reads the whole table, and each ends within [`SEARCH_LIMIT`].
///
/// ```
/// # use fulfillment_worker::domain::order::State;
/// # use fulfillment_worker::port::search::{Between, Looked, OrderFilter, OrderSearch, Source};
/// # use fulfillment_worker::port::store::StoreError;
/// /// Up to 20 failed orders among the newest 10,000.
/// async fn failed(store: &dyn OrderSearch) -> Result<Looked, StoreError> {
///     let filter = OrderFilter { states: vec![State::Failed], ..OrderFilter::default() };
///     store.look(&filter, &Source::Newest(10_000), Between::ALL, 20).await
/// }
/// ```
#[async_trait]
pub trait OrderSearch: Send + Sync {
    /// Bounds the ids of the orders that were created so long ago, as far as ids grow with `created_at`: of orders out of
    /// order by less than ten minutes, none is left out.
    async fn bounds(&self, filter: &OrderFilter) -> Result<Between, StoreError>;

    /// Whether [`Source::States`] leads to the orders in these states without looking at others.
    async fn leads_to(&self, states: &[State]) -> Result<bool, StoreError>;

    /// Looks for orders with an id between these that match `filter`, whose correlation id is not looked at, and returns at
    /// most `limit` of them.
    async fn look(
        &self,
        filter: &OrderFilter,
        source: &Source,
        between: Between,
        limit: usize,
    ) -> Result<Looked, StoreError>;
}

/// Reads transitions in the order in which they were made visible.
///
/// ```
/// # use fulfillment_worker::port::search::{Feed, Position};
/// # use fulfillment_worker::port::store::StoreError;
/// /// Prints what happens from now on, until the store fails.
/// async fn follow(store: &dyn Feed) -> Result<(), StoreError> {
///     let mut position = Position::default();
///     loop {
///         for transition in store.next(&mut position, 500).await? {
///             println!("order {} is {}", transition.order_id, transition.entry.state.as_str());
///         }
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     }
/// }
/// ```
#[async_trait]
pub trait Feed: Send + Sync {
    /// Reads the next transitions, at most `limit`, and moves `position` behind them. The first call finds out where the
    /// feed is, and returns none. A transition that becomes visible later than one with a later time is not left out, unless
    /// its transaction took more than ten minutes.
    ///
    /// # Errors
    /// `position` is where it was. [`StoreError::Refused`] where nothing leads to the newest transitions.
    async fn next(&self, position: &mut Position, limit: usize) -> Result<Vec<Transition>, StoreError>;
}

/// Takes down what people did that moved no row.
///
/// ```
/// # use fulfillment_worker::domain::order::OrderId;
/// # use fulfillment_worker::port::search::Notes;
/// # use fulfillment_worker::port::store::StoreError;
/// async fn note(store: &dyn Notes, order_id: OrderId) -> Result<(), StoreError> {
///     store.note_pending(&[order_id], "put into the queue again by ada").await
/// }
/// ```
#[async_trait]
pub trait Notes: Send + Sync {
    /// Puts a note into the timeline of each of these orders that is `pending` and that nobody is about to move, unless events
    /// are off.
    async fn note_pending(&self, order_ids: &[OrderId], note: &str) -> Result<(), StoreError>;
}

/// A transition of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Key of the order's row.
    pub order_id: OrderId,
    /// What happened.
    pub entry: TimelineEntry,
}

/// How far a feed was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The last snapshot of the database of which everything was read; `None` before the first call.
    pub(crate) read: Option<String>,
    /// The snapshot that is being read.
    pub(crate) reading: Option<String>,
    /// Time and order of the last transition read of it.
    pub(crate) after: Option<(i64, i64)>,
    /// Numbers of transactions that had not begun at a time, with that time, both growing.
    pub(crate) floors: VecDeque<(i64, i64)>,
}

impl Position {
    /// Beyond this, every second one is left out, which only makes a floor lower.
    const MOST_FLOORS: usize = 1_000;

    /// Notes that no transaction from number `first` on had begun at a time.
    pub(crate) fn note_floor(&mut self, first: i64, at: i64) {
        if self.floors.back().is_some_and(|(last, _)| *last >= first) {
            self.floors.pop_back();
        }
        self.floors.push_back((first, at));
        if self.floors.len() > Self::MOST_FLOORS {
            self.leave_out();
        }
    }

    /// The same with `most` floors at most, to be kept elsewhere.
    pub(crate) fn with_few_floors(mut self, most: usize) -> Self {
        while self.floors.len() > most {
            self.leave_out();
        }
        self
    }

    fn leave_out(&mut self) {
        let mut keep = true;
        self.floors.retain(|_| {
            keep = !keep;
            !keep
        });
    }

    /// A time before which no transaction from number `oldest` on had begun; forgets what is no longer needed.
    pub(crate) fn floor(&mut self, oldest: i64) -> i64 {
        while self.floors.get(1).is_some_and(|(first, _)| *first <= oldest) {
            self.floors.pop_front();
        }
        self.floors.front().map_or(i64::MIN, |(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_the_latest_time_at_which_no_such_transaction_had_begun() {
        let mut position = Position::default();
        for (first, at) in [(0, 100), (10, 200), (10, 250), (20, 300), (30, 400)] {
            position.note_floor(first, at);
        }
        assert_eq!([5, 10, 19, 20].map(|oldest| position.floor(oldest)), [100, 250, 250, 300]);
        assert_eq!(position.floors, [(20, 300), (30, 400)]);
    }

    #[test]
    fn a_transaction_that_never_ends_takes_no_more_than_so_much_memory() {
        let mut position = Position::default();
        (0..100_000).for_each(|number| position.note_floor(number, number));
        assert!(position.floors.len() <= Position::MOST_FLOORS);
        assert_eq!(position.floor(0), 0);
    }
}
