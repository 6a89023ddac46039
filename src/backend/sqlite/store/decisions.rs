//! Carries out what operators decide about orders, and keeps the holds.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::batch::{Batch, Entry, OrderRow};
use super::row_by_row::row_by_row;
use super::{SqliteStore, SqliteStoreOptions};
use crate::backend::sqlite::database::{micros, now_micros};
use crate::domain::order::{Fence, OrderId, State, Step, admit};
use crate::domain::text::truncate_detail;
use crate::port::decisions::{Decided, HoldEnd, Kind, OrderDecisions, Ruling};
use crate::port::store::{BY_MESSAGE, NotBefore, StoreError};

/// Until when an order is held: no row unless it is, and null without an end.
const HELD: &str = "SELECT until FROM fulfillment_holds WHERE order_id = ?1 AND (until IS NULL OR until > ?2)";

/// Whether it is held so already.
const SAME: &str = "
SELECT 1 FROM fulfillment_holds
WHERE order_id = :order_id AND held_by = :by AND why = :why AND until IS :until AND (until IS NULL OR until > :at)";

const HOLD: &str = "
INSERT INTO fulfillment_holds (order_id, until, held_by, why, at) VALUES (:order_id, :until, :by, :why, :at)
ON CONFLICT (order_id) DO UPDATE
SET until = excluded.until, held_by = excluded.held_by, why = excluded.why, at = excluded.at";

/// A time that was noted before changes nothing, and an operator's hold is only made longer.
const NOT_BEFORE: &str = "
INSERT INTO fulfillment_holds (order_id, until, held_by, why, at, not_before)
SELECT :order_id, :at_micros, :by, 'not_before', :now, :at_micros
WHERE EXISTS (SELECT 1 FROM orders WHERE id = :order_id AND status = 'pending')
ON CONFLICT (order_id) DO UPDATE
SET until = CASE WHEN until IS NOT NULL THEN max(until, excluded.not_before) END, not_before = excluded.not_before
WHERE not_before IS NOT excluded.not_before";

const RELEASE: &str =
    "UPDATE fulfillment_holds SET until = :now WHERE order_id = :order_id AND (until IS NULL OR until > :now)";

const UNHOLD: &str = "DELETE FROM fulfillment_holds WHERE order_id = ?1";

/// Removes holds that are over at `:now` and whose orders have moved since, or are done.
const FORGET: &str = "
DELETE FROM fulfillment_holds AS h
WHERE NOT EXISTS (
    SELECT 1 FROM orders o
    WHERE o.id = h.order_id AND o.status IN ('pending', 'processing', 'failed')
      AND (h.until < min(o.updated_at, :now) AND coalesce(h.not_before, 0) < :now) IS NOT TRUE
)";

const LAST: &str = "SELECT at, state, attempt FROM fulfillment_events WHERE order_id = ?1 ORDER BY at DESC LIMIT 1";

const CORRELATION_ID: &str = "
SELECT correlation_id FROM fulfillment_events WHERE order_id = ?1 AND correlation_id IS NOT NULL ORDER BY at DESC LIMIT 1";

#[async_trait]
impl OrderDecisions for SqliteStore {
    /// The table is the worker's own here.
    async fn can_cancel(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn cancel(&self, order_ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        self.decide(Kind::Cancel, order_ids, HoldEnd::Never, ruling).await
    }

    async fn hold(&self, order_ids: &[OrderId], end: HoldEnd, ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        self.decide(Kind::Hold, order_ids, end, ruling).await
    }

    async fn release(&self, order_ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        self.decide(Kind::Release, order_ids, HoldEnd::Never, ruling).await
    }
}

impl SqliteStore {
    async fn decide(
        &self,
        kind: Kind,
        order_ids: &[OrderId],
        end: HoldEnd,
        ruling: &Ruling,
    ) -> Result<Vec<Decided>, StoreError> {
        let (ids, ruling, options) = (order_ids.to_vec(), ruling.clone(), self.options.clone());
        let decide = move |connection: &Connection| {
            let deciding =
                Deciding { connection, batch: Batch::new(connection, &options), options: &options, ruling: &ruling };
            row_by_row(connection, &ids, Decided::Refused, |&order_id| deciding.one(kind, order_id, end))
        };
        Ok(self.database.write(decide).await?)
    }

    /// Removes holds that hold nothing any more. Writes only where there are any.
    pub(super) async fn forget_holds(&self) -> Result<(), StoreError> {
        let any = |connection: &Connection| {
            connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM fulfillment_holds)")?
                .query_row([], |row| row.get(0))
        };
        if self.database.read(any).await? {
            let forget = |connection: &Connection| {
                connection.prepare_cached(FORGET)?.execute(named_params! { ":now": now_micros() }).map(drop)
            };
            self.database.write(forget).await?;
        }
        Ok(())
    }
}

struct Deciding<'c> {
    connection: &'c Connection,
    batch: Batch<'c>,
    options: &'c SqliteStoreOptions,
    ruling: &'c Ruling,
}

impl Deciding<'_> {
    fn one(&self, kind: Kind, order_id: OrderId, end: HoldEnd) -> rusqlite::Result<Decided> {
        let Some(row) = self.batch.read(order_id)? else { return Ok(Decided::Unknown) };
        let may = match kind {
            Kind::Release => held(self.connection, order_id, self.batch.now)?.is_some(),
            // What may be cancelled may be held.
            Kind::Cancel | Kind::Hold => admit(&row.view, Step::Cancel).is_ok(),
        };
        if !may {
            return Ok(kind.not_done(row.view.state));
        }
        if !self.ruling.dry_run {
            self.write(kind, order_id, &row, end)?;
        }
        let correlation_id = match kind {
            Kind::Release => {
                self.connection.prepare_cached(CORRELATION_ID)?.query_row([order_id.0], |row| row.get(0)).optional()?
            }
            Kind::Cancel | Kind::Hold => None,
        };
        Ok(Decided::Done(row.into_open_order(correlation_id)))
    }

    fn write(&self, kind: Kind, order_id: OrderId, row: &OrderRow, end: HoldEnd) -> rusqlite::Result<()> {
        let (state, fence, now) = (&row.view.state, row.view.fence, self.batch.now);
        let is_pending = *state == State::Pending;
        match kind {
            Kind::Cancel => {
                let at = self.batch.enter(order_id, &State::Cancelled, fence)?;
                self.connection.prepare_cached(UNHOLD)?.execute([order_id.0])?;
                return self.note(kind, order_id, at, &State::Cancelled, 0, true, end);
            }
            Kind::Hold => {
                let until = match end {
                    HoldEnd::Never => None,
                    HoldEnd::After(time) => Some(now.saturating_add(micros(time))),
                    HoldEnd::At(at) => Some(at),
                };
                let (by, why) = (&self.ruling.decision.by, &self.ruling.decision.reason);
                let (by, why) = (truncate_detail(by), truncate_detail(why));
                let hold = named_params! {
                    ":order_id": order_id.0, ":until": until, ":by": by, ":why": why, ":at": now,
                };
                // A batch may be repeated.
                if self.connection.prepare_cached(SAME)?.exists(hold)? {
                    return Ok(());
                }
                self.connection.prepare_cached(HOLD)?.execute(hold)?;
            }
            Kind::Release => {
                let parameters = named_params! { ":order_id": order_id.0, ":now": now };
                self.connection.prepare_cached(RELEASE)?.execute(parameters)?;
            }
        }
        if !matches!(state, State::Pending | State::Processing) {
            return Ok(());
        }
        // As in Postgres, where a hold needs it.
        let moved = if is_pending && kind == Kind::Hold { self.batch.enter(order_id, state, fence)?.0 } else { now };
        let last = self.connection.prepare_cached(LAST)?.query_row([order_id.0], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
        });
        let (at, attempt) = match last.optional()? {
            Some((at, last, attempt)) => {
                // Whoever counts attempts by the timeline counts as before.
                (moved.max(at.saturating_add(1)), if last == state.as_str() { attempt } else { 0 })
            }
            None => (moved, 0),
        };
        self.note(kind, order_id, Fence(at), state, attempt, is_pending, end)
    }

    /// What concludes an attempt has the worker of the entry before it, so that one of an order in work has none.
    #[expect(clippy::too_many_arguments, reason = "an entry has as many fields")]
    fn note(
        &self,
        kind: Kind,
        order_id: OrderId,
        at: Fence,
        state: &State,
        attempt: u32,
        is_ours: bool,
        end: HoldEnd,
    ) -> rusqlite::Result<()> {
        self.batch.note(&Entry {
            order_id,
            at,
            state,
            attempt,
            worker: if is_ours { self.options.worker.as_str() } else { "" },
            correlation_id: None,
            note: Some(&self.ruling.decision.note_on(kind, end)),
        })
    }
}

/// How long the order is held from `now` on: `None` unless it is, and `Some(None)` without an end.
pub(super) fn held(connection: &Connection, order_id: OrderId, now: i64) -> rusqlite::Result<Option<Option<Duration>>> {
    let until = connection.prepare_cached(HELD)?.query_row([order_id.0, now], |row| row.get::<_, Option<i64>>(0));
    let left = |until: i64| Duration::from_micros(until.saturating_sub(now).unsigned_abs());
    Ok(until.optional()?.map(|until| until.map(left)))
}

pub(super) fn note_not_before(connection: &Connection, times: &[NotBefore]) -> rusqlite::Result<()> {
    let now = now_micros();
    let mut note = connection.prepare_cached(NOT_BEFORE)?;
    times.iter().filter(|time| time.at_micros > now).try_for_each(|time| {
        note.execute(named_params! {
            ":order_id": time.order_id.0, ":at_micros": time.at_micros, ":by": BY_MESSAGE, ":now": now,
        })
        .map(drop)
    })
}
