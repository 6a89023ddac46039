//! How long a row has been left alone although its fence lies in the future, as when the clock was put back: since this very
//! fence was first seen.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::backend::sqlite::database::{elapsed, micros};
use crate::domain::order::{Fence, OrderId};

const FIRST_SEEN: &str =
    "SELECT first_seen FROM fulfillment_observed_fences WHERE order_id = :id AND fence = :fence AND first_seen <= :now";

/// A time that lies in the future itself counts from now on.
const NOTE: &str = "
INSERT INTO fulfillment_observed_fences (order_id, fence, first_seen) VALUES (:id, :fence, :now)
ON CONFLICT (order_id) DO UPDATE SET fence = excluded.fence, first_seen = excluded.first_seen
WHERE fence <> excluded.fence OR first_seen > excluded.first_seen";

/// Whether there is an open order whose fence lies in the future. The condition on 'fulfilled' lets the index of open orders
/// be used.
const ANY_AHEAD: &str = "
SELECT EXISTS (
    SELECT 1 FROM orders
    WHERE status IS NOT 'fulfilled' AND status IN ('pending', 'processing') AND updated_at > :now
)";

/// Notes every one of them that is new.
const NOTE_ALL: &str = "
INSERT INTO fulfillment_observed_fences (order_id, fence, first_seen)
SELECT id, updated_at, :now FROM orders
WHERE status IS NOT 'fulfilled' AND status IN ('pending', 'processing') AND updated_at > :now
ON CONFLICT (order_id) DO UPDATE SET fence = excluded.fence, first_seen = excluded.first_seen
WHERE fence <> excluded.fence OR first_seen > excluded.first_seen";

/// Removes what nobody has needed since `:before`.
const FORGET: &str = "DELETE FROM fulfillment_observed_fences WHERE first_seen < :before";

/// Returns for how long the fence has been seen at `now`, and notes it if it is new.
pub(super) fn seen_for(
    connection: &Connection,
    order_id: OrderId,
    fence: Fence,
    now: i64,
) -> rusqlite::Result<Duration> {
    let values = named_params! { ":id": order_id.0, ":fence": fence.0, ":now": now };
    let first_seen: Option<i64> =
        connection.prepare_cached(FIRST_SEEN)?.query_row(values, |row| row.get(0)).optional()?;
    match first_seen {
        Some(first_seen) => Ok(elapsed(first_seen, now)),
        None => connection.prepare_cached(NOTE)?.execute(values).map(|_| Duration::ZERO),
    }
}

/// Whether [`note_all`] would find anything. Reads only.
pub(super) fn any_ahead(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached(ANY_AHEAD)?.query_row(named_params! { ":now": now }, |row| row.get(0))
}

/// Notes every open order whose fence lies in the future, and removes notes older than `age`.
pub(super) fn note_all(connection: &Connection, age: Duration, now: i64) -> rusqlite::Result<()> {
    connection.prepare_cached(NOTE_ALL)?.execute(named_params! { ":now": now })?;
    let before = now.saturating_sub(micros(age));
    connection.prepare_cached(FORGET)?.execute(named_params! { ":before": before }).map(drop)
}
