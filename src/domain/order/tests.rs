use std::time::Duration;

use proptest::prelude::*;

use super::*;

const LEASE: Duration = Duration::from_secs(15);

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Pending),
        Just(State::Processing),
        Just(State::Fulfilled),
        Just(State::Failed),
        Just(State::Cancelled),
        "[a-z]{1,20}".prop_map(|status| State::from(status.as_str())),
    ]
}

fn row() -> impl Strategy<Value = RowView> {
    (state(), 0..5_i64, 0..30_u64).prop_map(|(state, fence, idle)| RowView {
        state,
        fence: Fence(fence),
        idle: Duration::from_secs(idle),
    })
}

fn step() -> impl Strategy<Value = Step> {
    (0..5_i64).prop_map(Fence).prop_flat_map(|fence| {
        prop_oneof![
            Just(Step::Begin { lease: LEASE }),
            Just(Step::Renew(fence)),
            Just(Step::Fulfil(fence)),
            Just(Step::Release(fence)),
            Just(Step::Fail(fence)),
            Just(Step::Redrive),
            Just(Step::Cancel),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_leaves_fulfilled(mut row in row(), step in step()) {
        row.state = State::Fulfilled;
        prop_assert!(admit(&row, step).is_err());
    }

    #[test]
    fn nothing_leaves_cancelled(mut row in row(), step in step()) {
        row.state = State::Cancelled;
        prop_assert!(admit(&row, step).is_err());
    }

    #[test]
    fn nothing_touches_a_foreign_state(mut row in row(), step in step()) {
        row.state = State::Foreign("on hold".to_owned());
        prop_assert!(admit(&row, step).is_err());
    }

    #[test]
    fn only_the_holder_of_the_fence_ends_or_keeps_an_attempt(row in row(), held in (0..5_i64).prop_map(Fence)) {
        for step in [Step::Renew(held), Step::Fulfil(held), Step::Release(held), Step::Fail(held)] {
            let admitted = admit(&row, step).is_ok();
            prop_assert_eq!(admitted, row.state == State::Processing && row.fence == held);
        }
    }

    #[test]
    fn a_takeover_waits_for_the_lease(mut row in row()) {
        row.state = State::Processing;
        let begun = admit(&row, Step::Begin { lease: LEASE });
        if row.idle > LEASE {
            prop_assert_eq!(begun, Ok(State::Processing));
        } else {
            prop_assert_eq!(begun, Err(Refusal::Busy(LEASE - row.idle)));
        }
    }

    #[test]
    fn a_failed_order_moves_only_by_redrive(mut row in row(), step in step()) {
        row.state = State::Failed;
        prop_assert_eq!(admit(&row, step).is_ok(), step == Step::Redrive);
    }

    #[test]
    fn an_admitted_step_enters_a_state_of_ours(row in row(), step in step()) {
        if let Ok(entered) = admit(&row, step) {
            prop_assert_eq!(&entered, &step.enters());
            prop_assert!(!matches!(entered, State::Foreign(_)));
        }
    }

    #[test]
    fn a_status_survives_the_way_through_the_table(state in state()) {
        prop_assert_eq!(State::from(state.as_str()), state);
    }
}

#[test]
fn the_key_depends_on_nothing_but_the_row() {
    let first = Order {
        id: OrderId(7),
        product_id: 1,
        product: Some("LANTERN".to_owned()),
        quantity: 2,
        created_at_micros: Some(1_700_000_000_000_000),
        attempt: 1,
        correlation_id: Some("a".to_owned()),
        traceparent: None,
    };
    let later = Order { attempt: 9, correlation_id: None, ..first.clone() };
    assert_eq!(first.idempotency_key(), later.idempotency_key());
    assert_eq!(first.idempotency_key().to_string(), "order-7-1700000000000000");
}

#[test]
fn times_are_iso_8601_with_microseconds_and_without_a_zone() {
    assert_eq!(iso_8601(1_700_000_000_000_001).as_deref(), Some("2023-11-14T22:13:20.000001"));
    assert_eq!(iso_8601(-1).as_deref(), Some("1969-12-31T23:59:59.999999"));
    assert_eq!(iso_8601(i64::MAX), None);
}

#[test]
fn an_attempt_is_spent_if_it_began_and_did_not_end() {
    let spent = |state: &str, last: Option<(&str, u32)>| {
        attempts_spent(&State::from(state), last.map(|(state, attempt)| (State::from(state), attempt)))
    };
    assert_eq!(spent("processing", Some(("processing", 3))), 3);
    assert_eq!(spent("pending", Some(("pending", 3))), 2, "perhaps handed back");
    assert_eq!(spent("pending", Some(("pending", 0))), 0, "redriven");
    assert_eq!(spent("pending", Some(("processing", 3))), 0, "put back by a person");
    assert_eq!(spent("pending", Some(("failed", 5))), 0, "put back by a person, or redriven without a timeline");
    assert_eq!(spent("processing", Some(("pending", 2))), 0, "begun without a timeline");
    assert_eq!(spent("pending", None), 0);
}
