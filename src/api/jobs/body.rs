//! What a job is made of: its kind, the filter, who and why.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use utoipa::openapi::schema::{OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::admin::Problem;
use crate::api::body::{HoldSeconds, Id, Plain, Text, Time, Whole, parse};
use crate::api::hold_end;
use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::domain::order::{OrderId, State as OrderState};
use crate::port::dead_letters::{DeadLetterFilter, DeadLetterSelection};
use crate::port::jobs::Task;
use crate::port::search::OrderFilter;

/// Seconds, of ten years at most.
type Age = Whole<0, 315_576_000>;

/// Things per second.
type Rate = Whole<1, 10_000>;

/// What a job does with dead letters.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum LettersKind {
    /// Retries their orders.
    DeadRetry,
    /// Closes them without a retry.
    DeadDiscard,
}

/// What a job does with orders.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum OrdersKind {
    /// Cancels them.
    Cancel,
    /// Releases them.
    Release,
}

/// That a job holds orders.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum HoldKind {
    /// Holds them.
    Hold,
}

/// A state in which something can be decided about an order.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum OpenState {
    /// No worker has it.
    Pending,
    /// A worker has it.
    Processing,
}

/// Which dead letters, among those without a decision: one filter at least. `{"older_than_seconds": 0}` selects all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub(in crate::api) struct LetterSelection {
    /// With one of these reasons.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Vec<crate::api::reason::Reason>, required = false, min_items = 1, max_items = 20)]
    reasons: Option<Vec<ReasonName>>,
    /// Stored longer ago than this, by the database's clock.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 315576000)]
    older_than_seconds: Option<Age>,
    /// Stored at most this long ago.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 315576000)]
    newer_than_seconds: Option<Age>,
    /// Of orders of this product.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = i64, required = false, minimum = 1, maximum = 9223372036854775807_i64)]
    product_id: Option<Id>,
    /// Of this order.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = i64, required = false, minimum = 1, maximum = 9223372036854775807_i64)]
    order_id: Option<Id>,
    /// Whose errors have this in common, as `/dead-letter-groups` shows it.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    fingerprint: Option<Text<1, 200>>,
}

/// Which orders, among those that are not done: one filter at least. `{"states": ["pending", "processing"]}` selects all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub(in crate::api) struct OrderSelection {
    /// In one of these states; in both if it is missing.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Vec<OpenState>, required = false, min_items = 1, max_items = 20)]
    states: Option<Vec<OpenState>>,
    /// Created longer ago than this, by the database's clock.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 315576000)]
    older_than_seconds: Option<Age>,
    /// Created at most this long ago.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 315576000)]
    newer_than_seconds: Option<Age>,
    /// Of this product.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = i64, required = false, minimum = 1, maximum = 9223372036854775807_i64)]
    product_id: Option<Id>,
    /// Whose message had this correlation id.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 256, pattern = "^[^\\u0000]*$")]
    correlation_id: Option<Text<1, 256>>,
}

/// A filter that is there has a value. To take null for "any" would select more than whoever sent it meant.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::api) struct ReasonName(DeadReason);

impl TryFrom<String> for ReasonName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let known = || DeadReason::all().map(DeadReason::as_str).collect::<Vec<_>>().join(", ");
        DeadReason::from_label(&text).map(Self).ok_or_else(|| format!("must be one of {}", known()))
    }
}

/// A job about dead letters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct LettersJob {
    kind: LettersKind,
    selection: LetterSelection,
    /// Reason, in your words: kept with each dead letter.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// Dead letters per second, at most; as fast as it goes if it is missing or null.
    #[schema(inline)]
    rate: Option<Rate>,
    /// Count what matches, and make no job.
    #[serde(default)]
    dry_run: bool,
}

/// A job about orders.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct OrdersJob {
    kind: OrdersKind,
    selection: OrderSelection,
    /// Reason, in your words: kept in the timelines.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// Orders per second, at most; as fast as it goes if it is missing or null.
    #[schema(inline)]
    rate: Option<Rate>,
    /// Count what matches, and make no job.
    #[serde(default)]
    dry_run: bool,
}

/// A job that holds orders.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct HoldJob {
    kind: HoldKind,
    selection: OrderSelection,
    /// Reason, in your words: kept in the timelines.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// From when the job is made on, by the database's clock; without an end if it is missing or null.
    #[schema(inline)]
    for_seconds: Option<HoldSeconds>,
    /// Until this time instead.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Time>,
    /// Orders per second, at most; as fast as it goes if it is missing or null.
    #[schema(inline)]
    rate: Option<Rate>,
    /// Count what matches, and make no job.
    #[serde(default)]
    dry_run: bool,
}

/// A job to be made, as `kind` says.
#[derive(Debug)]
pub(in crate::api) struct NewJob {
    pub(in crate::api) task: Task,
    pub(in crate::api) why: Plain<500>,
    pub(in crate::api) rate: Option<u32>,
    pub(in crate::api) dry_run: bool,
}

impl PartialSchema for NewJob {
    fn schema() -> RefOr<Schema> {
        let of = Ref::from_schema_name;
        OneOfBuilder::new().item(of("LettersJob")).item(of("OrdersJob")).item(of("HoldJob")).into()
    }
}

impl ToSchema for NewJob {}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnyKind {
    DeadRetry,
    DeadDiscard,
    Cancel,
    Release,
    Hold,
}

#[derive(Debug, Deserialize)]
struct OfKind {
    kind: AnyKind,
}

impl NewJob {
    /// # Errors
    /// The field that can't be used.
    pub(in crate::api) fn read(json: &[u8]) -> Result<Self, Problem> {
        let OfKind { kind } = parse(json)?;
        match kind {
            AnyKind::DeadRetry | AnyKind::DeadDiscard => {
                let LettersJob { kind, selection, why, rate, dry_run } = parse(json)?;
                let selection = selection.read()?;
                let task = match kind {
                    LettersKind::DeadRetry => Task::DeadRetry(selection),
                    LettersKind::DeadDiscard => Task::DeadDiscard(selection),
                };
                Ok(Self::new(task, why, rate, dry_run))
            }
            AnyKind::Cancel | AnyKind::Release => {
                let OrdersJob { kind, selection, why, rate, dry_run } = parse(json)?;
                let filter = selection.filter()?;
                let task = match kind {
                    OrdersKind::Cancel => Task::Cancel(filter),
                    OrdersKind::Release => Task::Release(filter),
                };
                Ok(Self::new(task, why, rate, dry_run))
            }
            AnyKind::Hold => {
                let HoldJob { kind: HoldKind::Hold, selection, why, for_seconds, until, rate, dry_run } = parse(json)?;
                let end = hold_end(for_seconds, until)?;
                Ok(Self::new(Task::Hold(selection.filter()?, end), why, rate, dry_run))
            }
        }
    }

    fn new(task: Task, why: Plain<500>, rate: Option<Rate>, dry_run: bool) -> Self {
        Self { task, why, rate: rate.and_then(|rate| u32::try_from(rate.0).ok()), dry_run }
    }
}

impl LetterSelection {
    fn read(self) -> Result<DeadLetterSelection, Problem> {
        let Self { reasons, older_than_seconds, newer_than_seconds, product_id, order_id, fingerprint } = self;
        let is_missing = [older_than_seconds.is_none(), newer_than_seconds.is_none(), product_id.is_none()];
        if reasons.is_none() && order_id.is_none() && fingerprint.is_none() && is_missing == [true; 3] {
            return Err(without_filter("{\"older_than_seconds\": 0}"));
        }
        let filter = DeadLetterFilter {
            reasons: some_of("selection.reasons", reasons)?.into_iter().map(|reason| reason.0).collect(),
            older_than: older_than_seconds.map(seconds),
            newer_than: newer_than_seconds.map(seconds),
            product_id: product_id.map(|id| id.0),
            order_id: order_id.map(|id| OrderId(id.0)),
            resolved: Some(false),
            ..DeadLetterFilter::default()
        };
        Ok(DeadLetterSelection { filter, fingerprint: fingerprint.map(|text| text.0) })
    }
}

impl OrderSelection {
    fn filter(self) -> Result<OrderFilter, Problem> {
        let Self { states, older_than_seconds, newer_than_seconds, product_id, correlation_id } = self;
        let is_missing = [older_than_seconds.is_none(), newer_than_seconds.is_none(), product_id.is_none()];
        if states.is_none() && correlation_id.is_none() && is_missing == [true; 3] {
            return Err(without_filter("{\"states\": [\"pending\", \"processing\"]}"));
        }
        let state = |state: OpenState| match state {
            OpenState::Pending => OrderState::Pending,
            OpenState::Processing => OrderState::Processing,
        };
        let states: Vec<OrderState> = some_of("selection.states", states)?.into_iter().map(state).collect();
        Ok(OrderFilter {
            states: if states.is_empty() { vec![OrderState::Pending, OrderState::Processing] } else { states },
            product_id: product_id.map(|id| id.0),
            correlation_id: correlation_id.map(|id| id.0),
            older_than: older_than_seconds.map(seconds),
            newer_than: newer_than_seconds.map(seconds),
        })
    }
}

fn seconds(age: Age) -> Duration {
    Duration::from_secs(age.0.unsigned_abs())
}

/// Nothing where it isn't named; a list that is named has something in it.
fn some_of<T>(field: &str, named: Option<Vec<T>>) -> Result<Vec<T>, Problem> {
    match named {
        Some(named) if !(1..=20).contains(&named.len()) => Err(Problem::of_field(field, "must name 1 to 20")),
        named => Ok(named.unwrap_or_default()),
    }
}

fn without_filter(all: &str) -> Problem {
    Problem::of_field("selection", format!("must have one filter at least; {all} selects all"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::decisions::HoldEnd;

    #[test]
    fn a_body_is_read_by_its_kind_and_each_problem_names_its_field() {
        for (json, field) in [
            (r#"{"kind":"retry","selection":{"order_id":1},"why":"x"}"#, "kind"),
            (r#"{"kind":"hold","selection":{"order_id":1},"why":"x"}"#, "selection.order_id"),
            (r#"{"kind":"dead_retry","selection":{"states":["pending"]},"why":"x"}"#, "selection.states"),
            (r#"{"kind":"dead_retry","selection":{"reasons":["sleepy"]},"why":"x"}"#, "selection.reasons[0]"),
            (r#"{"kind":"dead_retry","selection":{"reasons":[]},"why":"x"}"#, "selection.reasons"),
            (r#"{"kind":"dead_retry","selection":{"fingerprint":""},"why":"x"}"#, "selection.fingerprint"),
            (r#"{"kind":"cancel","selection":{"fingerprint":"x"},"why":"x"}"#, "selection.fingerprint"),
            (r#"{"kind":"cancel","selection":{},"why":"x"}"#, "selection"),
            (r#"{"kind":"dead_discard","selection":{},"why":"x"}"#, "selection"),
            (r#"{"kind":"cancel","selection":{"product_id":null},"why":"x"}"#, "selection.product_id"),
            (r#"{"kind":"cancel","selection":{"states":["fulfilled"]},"why":"x"}"#, "selection.states[0]"),
            (r#"{"kind":"cancel","selection":{"product_id":7},"why":"x","for_seconds":5}"#, "for_seconds"),
            (r#"{"kind":"release","selection":{"product_id":7},"why":"x","rate":0}"#, "rate"),
        ] {
            let problem = serde_json::to_value(NewJob::read(json.as_bytes()).unwrap_err()).unwrap();
            assert_eq!((&problem["field"], &problem["status"]), (&field.into(), &422.into()), "{json}: {problem}");
        }
        for json in
            [r#"{"kind":"cancel","kind":"hold","selection":{"product_id":7},"why":"x"}"#, r#"{"why":"x"}"#, "[]"]
        {
            assert!(NewJob::read(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn without_a_state_it_is_about_all_orders_that_are_not_done_and_about_letters_without_a_decision() {
        let task = |json: &str| NewJob::read(json.as_bytes()).unwrap().task;
        let cancel = task(r#"{"kind":"cancel","selection":{"product_id":7.0},"why":"x"}"#);
        let states = vec![OrderState::Pending, OrderState::Processing];
        assert_eq!(cancel, Task::Cancel(OrderFilter { states, product_id: Some(7), ..OrderFilter::default() }));
        let retry = task(r#"{"kind":"dead_retry","selection":{"older_than_seconds":0},"why":"x"}"#);
        let open = || DeadLetterFilter { resolved: Some(false), ..DeadLetterFilter::default() };
        assert_eq!(retry, Task::DeadRetry(DeadLetterFilter { older_than: Some(Duration::ZERO), ..open() }.into()));
        let alike = task(r#"{"kind":"dead_discard","selection":{"fingerprint":"422: no #"},"why":"x"}"#);
        let fingerprint = Some("422: no #".to_owned());
        assert_eq!(alike, Task::DeadDiscard(DeadLetterSelection { filter: open(), fingerprint }));
        let hold = task(r#"{"kind":"hold","selection":{"product_id":7},"why":"x","for_seconds":60}"#);
        assert!(matches!(hold, Task::Hold(_, HoldEnd::After(time)) if time == Duration::from_secs(60)), "{hold:?}");
    }
}
