-- What the worker's role needs of the worker's own tables, for every command but `submit` and `migrate`. It owns nothing.
GRANT USAGE ON SCHEMA fulfillment TO {role};
-- `xmin` is for `tail`: whether an entry's transaction had ended by then.
GRANT SELECT (order_id, at, state, attempt, worker, correlation_id, note, xmin),
      INSERT (order_id, at, state, attempt, worker, correlation_id, note)
    ON fulfillment.events TO {role};
-- The decisions are those of `dead retry` and `dead discard`.
GRANT SELECT (id, order_id, payload, reason, detail, attempts, worker, at, resolved_at, resolution, resolved_by, resolved_reason),
      INSERT (claim_id, order_id, payload, reason, detail, attempts, worker, at),
      UPDATE (resolved_at, resolution, resolved_by, resolved_reason)
    ON fulfillment.dead_letters TO {role};
GRANT SELECT (name, holder, until), INSERT (name, holder, until), UPDATE (holder, until)
    ON fulfillment.leadership TO {role};
GRANT SELECT (zone, noted_at, behind_at), INSERT (zone, noted_at, behind_at), UPDATE (noted_at, behind_at)
    ON fulfillment.clocks TO {role};
GRANT SELECT (order_id, fence, first_seen), INSERT (order_id, fence, first_seen), UPDATE (fence, first_seen), DELETE
    ON fulfillment.observed_fences TO {role};
-- The changes are those of `cancel`, `hold` and `release`, of messages with `not_before`, and of holds that are over.
GRANT SELECT (order_id, until, held_by, why, at, not_before), INSERT (order_id, until, held_by, why, at, not_before),
      UPDATE (until, held_by, why, at, not_before), DELETE
    ON fulfillment.holds TO {role};
-- The update is that of `--reconcile-from`, after the first start.
GRANT SELECT (adopt_from, last_order_id), INSERT (adopt_from, last_order_id), UPDATE (adopt_from, noted_at)
    ON fulfillment.horizon TO {role};
GRANT SELECT (order_id), INSERT (order_id) ON fulfillment.begun_orders TO {role};
GRANT SELECT (closed_up_to, swept_up_to, settling_id, settling_xid, settling_from),
      UPDATE (closed_up_to, swept_up_to, settling_id, settling_xid, settling_from)
    ON fulfillment.low_water_mark TO {role};
GRANT SELECT (order_id, noted_at), INSERT (order_id, noted_at), UPDATE (noted_at), DELETE ON fulfillment.stragglers TO {role};
-- A worker reads what is set and keeps its entry; setting is that of `pause`, `resume`, `quiet` and `limit`.
GRANT SELECT (control, target, value, set_by, why, since, expires_at),
      INSERT (control, target, value, set_by, why, since, expires_at),
      UPDATE (value, set_by, why, since, expires_at), DELETE
    ON fulfillment.controls TO {role};
GRANT SELECT (worker, host, pid, version, started_at, seen_at, lease_seconds, in_flight, row_leases, concurrency, holds_claims),
      INSERT (worker, host, pid, version, started_at, seen_at, lease_seconds, in_flight, row_leases, concurrency, holds_claims),
      UPDATE (seen_at, in_flight, row_leases, concurrency, holds_claims), DELETE
    ON fulfillment.workers TO {role};
GRANT SELECT (id, at, by, action, target, detail, why), INSERT (at, by, action, target, detail, why), DELETE
    ON fulfillment.activity TO {role};
-- Workers work off what `dead`, `cancel`, `hold` and `release` with a filter make.
GRANT SELECT (id, kind, selection, fingerprint, by, why, up_to, matching, rate, at, cursor, page, done, skipped, refused, problem,
              holder, lease_until, outcome, ended_at),
      INSERT (kind, selection, fingerprint, by, why, up_to, matching, rate, at),
      UPDATE (cursor, page, done, skipped, refused, problem, holder, lease_until, outcome, ended_at), DELETE
    ON fulfillment.jobs TO {role};
GRANT SELECT (worker, seq, minute, seconds, counts), INSERT (worker, seq, minute, seconds, counts), UPDATE (seconds, counts), DELETE
    ON fulfillment.trends TO {role};
GRANT SELECT (minute, orders), INSERT (minute, orders), UPDATE (orders), DELETE ON fulfillment.arrivals TO {role};
GRANT SELECT (counted_to, counted_at, seen, seen_at, seen_xid),
      UPDATE (counted_to, counted_at, seen, seen_at, seen_xid)
    ON fulfillment.arrivals_mark TO {role};
