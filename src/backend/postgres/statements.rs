//! The statements, written for the tables that are there.
//!
//! The files of SQL say `{…}` where the order API's columns decide, and where several of them need the same piece.

use std::borrow::Cow;

use tokio_postgres::types::Type;

use super::given_tables::Dialect;
use super::search;
use super::sql::Sql;
#[cfg(feature = "internals")]
use super::transition::Form;
use super::transition::Transition;
use crate::domain::text::truncate_detail;
use crate::testing::mutant::source;

/// What every worker of these tables agrees on: in which zone a fence without one is written. The names of UTC are one.
const ZONE: &str = r"CASE
        WHEN current_setting('TimeZone') ~* '^(etc/)?(utc|uct|gmt([+-]?0)?|zulu|universal|greenwich)$' THEN 'UTC'
        ELSE current_setting('TimeZone')
    END";

/// The same where fences have a zone of their own.
const NO_ZONE: &str = "'with time zone'";

/// A day after it was used, a zone is noted again, and after two it no longer counts: a fence that was written in it before
/// that is old by every zone's clock.
const CLOCK: &str = "clock AS MATERIALIZED (
    SELECT coalesce(bool_or(c.zone <> {zone}), false) AS zones_disagree,
           coalesce(
               bool_or(c.zone <> {zone} OR c.behind_at > clock_timestamp() - interval '2 days'), false
           ) AS doubted
    FROM fulfillment.clocks c
    WHERE c.noted_at > clock_timestamp() - interval '2 days'
)";

/// Whether a fence came back well behind the clock that was written.
const BEHIND: &str = "o.updated_at {<} clock_timestamp()::{time} - interval '1.5 seconds'";

/// Notes the zone of the fences that `written` wrote, and whether they came back behind the clock. Writes once a day.
const NOTED: &str = "noted AS (
    INSERT INTO fulfillment.clocks AS c (zone, noted_at, behind_at)
    SELECT {zone}, clock_timestamp(), CASE WHEN bool_or(w.behind) THEN clock_timestamp() END
    FROM written w
    HAVING count(*) > 0 AND NOT EXISTS (
        SELECT
        FROM fulfillment.clocks known
        WHERE known.zone = {zone}
          AND known.noted_at > clock_timestamp() - interval '1 day'
          AND (NOT bool_or(w.behind) OR known.behind_at > clock_timestamp() - interval '1 day')
    )
    ON CONFLICT (zone) DO UPDATE
    SET noted_at = excluded.noted_at, behind_at = coalesce(excluded.behind_at, c.behind_at)
),
";

/// Notes that a fence came back behind the clock.
const NOTE_BEHIND: &str = "WITH written AS (SELECT true AS behind), {noted}done AS (SELECT 1) SELECT FROM done";

/// Orders among which the open ones are, where no index leads to them: see `sweep.sql`. The array's length is hidden from the
/// planner, as in `begin.sql`.
const FROM_LOW_WATER_MARK: &str = "(
        SELECT id, product_id, quantity, status, created_at, updated_at
        FROM {orders}
        WHERE id {>} coalesce((SELECT m.closed_up_to FROM fulfillment.low_water_mark m), '-9223372036854775808'::int8)
        UNION ALL
        SELECT id, product_id, quantity, status, created_at, updated_at
        FROM {orders}
        WHERE id {=} ANY (ARRAY(SELECT s.order_id FROM fulfillment.stragglers s))
          AND id {<=} coalesce((SELECT m.closed_up_to FROM fulfillment.low_water_mark m), '-9223372036854775808'::int8)
    )";

/// Notes orders that `redriven` opened again, wherever the low-water mark is by then.
const STRAGGLING: &str = "straggling AS (
    INSERT INTO fulfillment.stragglers AS s (order_id, noted_at)
    SELECT r.id, clock_timestamp() FROM redriven r ORDER BY r.id
    ON CONFLICT (order_id) DO UPDATE SET noted_at = excluded.noted_at
),
";

/// How many seconds order `o` is held for: null unless it is. Without any hold, which is nearly always, no order is asked about.
const HELD: &str = "CASE
        WHEN (SELECT true FROM fulfillment.holds LIMIT 1) THEN (
            SELECT coalesce(extract(epoch FROM h.until - clock_timestamp())::float8, 'infinity')
            FROM fulfillment.holds h
            WHERE h.order_id = o.id::int8 AND (h.until IS NULL OR h.until > clock_timestamp())
        )
    END";

/// When the step `s` was, as the timeline has it: its fence, or where something else kept that from moving, after the step
/// before.
const EVENT_AT: &str = "CASE
               WHEN s.updated_at {<=} s.left_fence THEN greatest(
                   (s.updated_at{utc}),
                   (SELECT max(e.at) FROM fulfillment.events e WHERE e.order_id {=} s.id) + interval '1 microsecond'
               )
               ELSE (s.updated_at{utc})
           END";

/// An entry whose place in the timeline is taken makes the statement fail, and it is run again with what this has commented out:
/// see [`Sql::passing_over`]. Written down at once, it would cost each entry a second record in Postgres' log.
const IF_TAKEN: &str = "/* ON CONFLICT DO NOTHING */";

/// The age of a time in seconds; null where it is null or infinite, well in the future, or in an hour that the zone repeats.
/// `extract` would make a numeric of it first, which takes as long as all the rest.
const AGE: &str = "CASE
               WHEN isfinite({at}) AND {at}::timestamptz < clock_timestamp() + interval '2 seconds'{told}
               THEN greatest(date_part('epoch', clock_timestamp() - {at}::timestamptz), 0)
           END";

/// That an hour is not repeated: a time without a zone is read as the later one of two.
const TOLD_ONCE: &str = " AND ({at}::timestamptz - interval '1 hour')::timestamp {<>} {at}";

/// Every statement that depends on the order API's columns.
pub(super) struct Statements {
    pub(super) dialect: Dialect,
    pub(super) begin: Transition,
    /// The same, and notes the clock behind the fences that it writes.
    pub(super) begin_and_note: Transition,
    pub(super) note_behind: Sql,
    pub(super) take_over: Sql,
    pub(super) note_not_before: Sql,
    pub(super) cancel: Sql,
    pub(super) hold: Sql,
    pub(super) release: Sql,
    pub(super) renew: Transition,
    pub(super) conclude: Transition,
    pub(super) lost_orders: Sql,
    pub(super) insert_dead_letters: Sql,
    pub(super) dead_letters: Sql,
    pub(super) dead_letters_without_messages: Sql,
    pub(super) count_dead_letters: Sql,
    pub(super) resolve: Sql,
    pub(super) redrive: Sql,
    pub(super) open_orders: Sql,
    pub(super) summary: Sql,
    pub(super) order: Sql,
    pub(super) timeline: Sql,
    pub(super) correlated: Sql,
    pub(super) correlated_by_index: Sql,
    pub(super) search_newest: Sql,
    pub(super) search_by_state: Sql,
    pub(super) search_by_id: Sql,
    pub(super) bounds: Sql,
    pub(super) snapshot: Sql,
    pub(super) feed: Sql,
    pub(super) note_pending: Sql,
    pub(super) open_dead_letters: Sql,
    pub(super) states: Sql,
    pub(super) stale_orders: Sql,
    pub(super) before_horizon: Sql,
    pub(super) behind_everything: Sql,
    pub(super) oldest_open: Sql,
    pub(super) horizon: Sql,
    pub(super) note_horizon: Sql,
    pub(super) move_horizon: Sql,
    /// Only where no index leads to open orders.
    pub(super) sweep: Sql,
    pub(super) lead: Sql,
    pub(super) resign: Sql,
    pub(super) move_cutoff: Sql,
    pub(super) delete_events: Sql,
    pub(super) insert_orders: Sql,
    pub(super) insert_products: Sql,
    pub(super) find_products: Sql,
    pub(super) remember_keys: Sql,
    pub(super) count_arrivals: Sql,
}

impl Statements {
    /// Writes all of them.
    pub(super) fn new(dialect: Dialect) -> Self {
        let write = |text: &str| dialect.write(text);
        let transition = |text: &str| Transition::write(&dialect, text);
        let letters = include_str!("dead_letters.sql");
        let search = |source: &str| write(&include_str!("search_orders.sql").replace("{candidates}", source));
        Self {
            begin: transition(&source!("begin.sql").replace("{noted}", "")),
            begin_and_note: transition(source!("begin.sql")),
            note_behind: write(NOTE_BEHIND),
            take_over: write(source!("take_over.sql")),
            note_not_before: write(source!("note_not_before.sql")),
            cancel: write(source!("cancel.sql")),
            hold: write(source!("hold.sql")),
            release: write(include_str!("release.sql")),
            renew: transition(source!("renew.sql")),
            conclude: transition(source!("conclude.sql")),
            lost_orders: write(source!("lost_orders.sql")),
            insert_dead_letters: write(include_str!("insert_dead_letters.sql")),
            count_dead_letters: write(&format!(
                "SELECT count(*) AS letters, coalesce(max(id), 0) AS last_id FROM (\n{letters}) AS matching"
            )),
            dead_letters: write(letters),
            dead_letters_without_messages: write(&letters.replace("l.payload ", "''::bytea ")),
            resolve: write(include_str!("resolve.sql")),
            redrive: write(include_str!("redrive.sql")),
            open_orders: write(include_str!("open_orders.sql")),
            summary: write(include_str!("summary.sql")),
            order: write(include_str!("order.sql")),
            timeline: write(include_str!("timeline.sql")),
            correlated: write(include_str!("correlated.sql")),
            correlated_by_index: write(include_str!("correlated_by_index.sql")),
            search_newest: search(search::NEWEST),
            search_by_state: search(search::BY_STATE),
            search_by_id: search(search::BY_ID),
            bounds: write(include_str!("bounds.sql")),
            snapshot: write(include_str!("snapshot.sql")),
            feed: write(include_str!("feed.sql")),
            note_pending: write(include_str!("note_pending.sql")),
            open_dead_letters: write(include_str!("open_dead_letters.sql")),
            states: write(include_str!("states.sql")),
            stale_orders: write(include_str!("stale_orders.sql")),
            before_horizon: write(include_str!("before_horizon.sql")),
            behind_everything: write(include_str!("behind_everything.sql")),
            oldest_open: write(include_str!("oldest_open.sql")),
            horizon: write(include_str!("noted_horizon.sql")),
            note_horizon: write(include_str!("note_horizon.sql")),
            move_horizon: write(include_str!("move_horizon.sql")),
            sweep: write(source!("sweep.sql")),
            lead: write(include_str!("lead.sql")),
            resign: write(include_str!("resign.sql")),
            move_cutoff: write(include_str!("move_cutoff.sql")),
            delete_events: write(source!("delete_events.sql")),
            insert_orders: write(include_str!("insert_orders.sql")),
            insert_products: write(include_str!("insert_products.sql")),
            find_products: write(include_str!("find_products.sql")),
            remember_keys: write(include_str!("remember_keys.sql")),
            count_arrivals: write(source!("trends/count_arrivals.sql")),
            dialect,
        }
    }
}

impl Statements {
    /// A text of ours as the database can hold it: no reason to refuse a row.
    pub(super) fn storable<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let is_unicode = self.dialect.is_unicode;
        if !text.contains('\0') && (is_unicode || text.is_ascii()) {
            return text.into();
        }
        let cant_hold = |letter: char| letter == '\0' || !(is_unicode || letter.is_ascii());
        text.replace(cant_hold, if is_unicode { "\u{fffd}" } else { "?" }).into()
    }

    /// A detail for a person, likewise, and no longer than details may be.
    pub(super) fn detail(&self, text: &str) -> String {
        self.storable(&truncate_detail(text)).into_owned()
    }
}

impl Dialect {
    #[cfg(feature = "internals")]
    fn given() -> Self {
        Self {
            tables: Default::default(),
            status: "text".to_owned(),
            updated_at_has_zone: false,
            created_at_has_zone: false,
            step_micros: 1,
            open_by_index: true,
            is_unicode: true,
        }
    }

    /// The type of fences in parameters.
    pub(super) fn fences(&self) -> Type {
        if self.updated_at_has_zone { Type::TIMESTAMPTZ_ARRAY } else { Type::TIMESTAMP_ARRAY }
    }

    /// The type of a `created_at` as a parameter.
    pub(super) fn created_at(&self) -> Type {
        if self.created_at_has_zone { Type::TIMESTAMPTZ } else { Type::TIMESTAMP }
    }

    /// Writes one statement. Pieces may have pieces, and the times of ages are told by their columns.
    pub(super) fn write(&self, text: &str) -> Sql {
        let has_zone = self.updated_at_has_zone;
        let choose = |with: &'static str, without: &'static str| if has_zone { with } else { without };
        let type_of = |has_zone| if has_zone { "timestamptz" } else { "timestamp" };
        let pieces = [
            ("{clock}", CLOCK.to_owned()),
            ("{open}", if self.open_by_index { "{orders}" } else { FROM_LOW_WATER_MARK }.to_owned()),
            ("{straggling}", if self.open_by_index { "" } else { STRAGGLING }.to_owned()),
            ("{noted}", NOTED.to_owned()),
            ("{held}", HELD.to_owned()),
            ("{behind}", BEHIND.to_owned()),
            ("{event_at}", EVENT_AT.to_owned()),
            ("{if_taken}", IF_TAKEN.to_owned()),
            ("{zone}", choose(NO_ZONE, ZONE).to_owned()),
            ("{time}", type_of(has_zone).to_owned()),
            ("{created}", type_of(self.created_at_has_zone).to_owned()),
            ("{status}", self.status.clone()),
            ("{orders}", self.tables.orders().to_owned()),
            ("{products}", self.tables.products().to_owned()),
            ("{step}", format!("interval '{} microseconds'", self.step_micros)),
            // The worker's own tables have times without a zone: the database's, or UTC beside fences that have one.
            ("{utc}", choose(" AT TIME ZONE 'UTC'", "").to_owned()),
            ("{zoned}", choose(" AT TIME ZONE 'UTC'", "::timestamptz").to_owned()),
            ("{now}", choose("(clock_timestamp() AT TIME ZONE 'UTC')", "clock_timestamp()::timestamp").to_owned()),
            // Before any lock that the statement takes, so that no transition that waits for one of them is earlier.
            (
                "{asked}",
                choose("(statement_timestamp() AT TIME ZONE 'UTC')", "statement_timestamp()::timestamp").to_owned(),
            ),
        ];
        let written = pieces.iter().fold(text.to_owned(), |text, (name, piece)| text.replace(name, piece));
        Sql::new(&self.write_ages(&written))
    }

    /// Replaces each `{age COLUMN}`.
    fn write_ages(&self, text: &str) -> String {
        let mut parts = text.split("{age ");
        let mut written = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (at, rest) = part.split_once('}').unwrap_or((part, ""));
            let has_zone = if at.ends_with("updated_at") { self.updated_at_has_zone } else { self.created_at_has_zone };
            written.push_str(&AGE.replace("{told}", if has_zone { "" } else { TOLD_ONCE }).replace("{at}", at));
            written.push_str(rest);
        }
        written
    }
}

/// Writes a statement for the tables of the given schema, for tests that ask for its plan.
#[cfg(feature = "internals")]
pub fn for_given_schema(text: &str) -> String {
    in_given_schema(text, Form::Passing, Dialect::given())
}

/// The same for a table without an index on `status`.
#[cfg(feature = "internals")]
pub fn without_status_index(text: &str) -> String {
    in_given_schema(text, Form::Passing, Dialect { open_by_index: false, ..Dialect::given() })
}

/// The same for a transition in the form that waits for locked rows.
#[cfg(feature = "internals")]
pub fn waiting_for_given_schema(text: &str) -> String {
    in_given_schema(text, Form::Waiting, Dialect::given())
}

#[cfg(feature = "internals")]
fn in_given_schema(text: &str, form: Form, given: Dialect) -> String {
    given.write(&Transition::in_form(text, form)).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::postgres::given_tables::TableNames;

    fn dialect(has_zone: bool) -> Dialect {
        Dialect {
            tables: TableNames::default(),
            status: "text".to_owned(),
            updated_at_has_zone: has_zone,
            created_at_has_zone: has_zone,
            step_micros: 1,
            open_by_index: true,
            is_unicode: true,
        }
    }

    #[test]
    fn no_piece_is_left_unwritten() {
        for (has_zone, open_by_index) in [(false, true), (true, true), (false, false)] {
            let all = Statements::new(Dialect { open_by_index, ..dialect(has_zone) });
            for statement in [
                &all.begin.waiting,
                &all.begin.passing,
                &all.begin_and_note.waiting,
                &all.take_over,
                &all.note_behind,
                &all.renew.waiting,
                &all.conclude.waiting,
                &all.conclude.passing,
                &all.lost_orders,
                &all.dead_letters,
                &all.redrive,
                &all.note_not_before,
                &all.cancel,
                &all.hold,
                &all.release,
            ] {
                // `'{…}'` would be an array.
                assert!(!statement.as_str().contains('{'), "{statement:?}");
            }
            for statement in [
                &all.insert_dead_letters,
                &all.resolve,
                &all.open_orders,
                &all.summary,
                &all.order,
                &all.stale_orders,
                &all.before_horizon,
                &all.sweep,
                &all.count_arrivals,
            ] {
                assert!(!statement.as_str().contains('{'), "{statement:?}");
            }
        }
    }

    #[test]
    fn a_text_is_kept_but_for_what_the_database_cant_hold() {
        let (unicode, latin) = (dialect(false), Dialect { is_unicode: false, ..dialect(false) });
        assert_eq!(Statements::new(unicode).storable("a\0 né 🦀"), "a\u{fffd} né 🦀");
        assert_eq!(Statements::new(latin).storable("a\0 né 🦀"), "a? n? ?");
    }

    #[test]
    fn the_age_of_a_time_with_a_zone_is_told_in_every_hour() {
        let age = |has_zone| dialect(has_zone).write("{age o.created_at}").as_str().to_owned();
        assert!(!age(true).contains("1 hour"));
        assert!(age(false).contains("o.created_at::pg_catalog.timestamptz - interval '1 hour'"));
    }
}
