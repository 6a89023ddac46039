//! The decisions as tables: what is answered, and what comes of it.

use super::*;
use crate::domain::order::OrderId;

const SECOND: Duration = Duration::from_secs(1);
const RETRIES: RetryPolicy =
    RetryPolicy { max_attempts: 3, base: SECOND, cap: Duration::from_secs(60), when_ambiguous: WhenAmbiguous::Retry };
const PARKS: RetryPolicy = RetryPolicy { when_ambiguous: WhenAmbiguous::Park, ..RETRIES };

fn started(takeover: bool) -> Begun {
    let order = Order {
        id: OrderId(7),
        product_id: 1,
        product: None,
        quantity: 1,
        created_at_micros: None,
        attempt: 1,
        correlation_id: None,
        traceparent: None,
    };
    Begun::Started { order, fence: crate::domain::order::Fence(1), takeover, waited: None }
}

/// An outcome in short: what it is, its reason, its shortest and longest delay in seconds.
fn short(outcome: &AttemptOutcome) -> String {
    match outcome {
        AttemptOutcome::Retry { reason, delay: Delay { ceiling, at_least }, spent, .. } => {
            let spent = if *spent { "spent" } else { "unspent" };
            let longest = (*ceiling).max(*at_least);
            format!("{} {spent} {}..{}", reason.as_str(), at_least.as_secs_f64(), longest.as_secs_f64())
        }
        AttemptOutcome::DeadLetter { reason, .. } => format!("dead {}", reason.as_str()),
        other => <&str>::from(other).to_owned(),
    }
}

fn end(begun: Begun, attempt: u32, handing_back: bool, policy: &RetryPolicy) -> String {
    match after_begin(begun, attempt, handing_back, policy) {
        Next::Call(_) => "call".to_owned(),
        Next::End(outcome) => short(&outcome),
    }
}

#[test]
fn an_order_that_was_begun_is_called_for_while_it_has_attempts_left() {
    assert_eq!(end(started(false), 3, false, &RETRIES), "call");
    assert_eq!(end(started(true), 3, false, &RETRIES), "call");
    assert_eq!(end(started(false), 4, false, &RETRIES), "dead attempts_exhausted");
}

#[test]
fn a_drain_that_hands_back_calls_for_nothing_more() {
    assert_eq!(end(started(false), 1, true, &RETRIES), "handed_back unspent 0..0");
    assert_eq!(end(started(false), 4, true, &RETRIES), "handed_back unspent 0..0");
}

#[test]
fn with_parking_an_order_that_was_taken_over_is_never_called_for_nor_handed_back() {
    assert_eq!(end(started(true), 1, false, &PARKS), "dead ambiguous");
    assert_eq!(end(started(true), 1, true, &PARKS), "dead ambiguous");
    assert_eq!(end(started(false), 1, false, &PARKS), "call");
}

#[test]
fn an_order_that_could_not_be_begun_is_looked_at_again_or_given_up() {
    let busy = |millis| Begun::Busy(Duration::from_millis(millis));
    assert_eq!(end(busy(0), 1, false, &RETRIES), "busy unspent 0.05..0.05", "no tight loop");
    assert_eq!(end(busy(700), 1, false, &RETRIES), "busy unspent 0.7..0.7");
    assert_eq!(end(busy(9_000), 1, false, &RETRIES), "busy unspent 2..2", "not much too late");
    assert_eq!(end(Begun::Locked, 9, false, &RETRIES), "row_locked unspent 0..1");
    assert_eq!(end(Begun::AlreadyFinal(State::Failed), 1, false, &RETRIES), "already_final");
    assert_eq!(end(Begun::NotOurs("cancelled".to_owned()), 1, false, &RETRIES), "skipped");
    assert_eq!(end(Begun::Unknown, 2, false, &RETRIES), "unknown_order spent 0..2");
    assert_eq!(end(Begun::Unknown, 3, false, &RETRIES), "dead unknown_order");
    assert_eq!(end(Begun::Refused("no".to_owned()), 1, false, &RETRIES), "store_refused spent 0..1");
    assert_eq!(end(Begun::Refused("no".to_owned()), 3, false, &RETRIES), "dead store_refused");
}

/// The rows: an answer, and what comes of it at the second attempt, at the last one, and with parking.
#[test]
fn every_answer_of_a_fulfiller_has_its_outcome() {
    let reason = || "why".to_owned();
    let after = None;
    let ambiguous = |spent| Answer::Outcome(Outcome::Ambiguous { reason: reason(), after, spent });
    let rows = [
        (Answer::Outcome(Outcome::Fulfilled { reference: None }), ["fulfilled"; 3]),
        (Answer::Outcome(Outcome::Rejected { reason: reason() }), ["dead rejected"; 3]),
        (
            Answer::Outcome(Outcome::Retry { reason: reason(), after }),
            ["fulfiller_failed spent 0..2", "dead attempts_exhausted", "fulfiller_failed spent 0..2"],
        ),
        (
            Answer::Outcome(Outcome::Unavailable { reason: reason(), after }),
            [
                "fulfiller_unavailable unspent 0..2",
                "fulfiller_unavailable unspent 0..4",
                "fulfiller_unavailable unspent 0..2",
            ],
        ),
        (
            Answer::Outcome(Outcome::InProgress { reason: reason(), after }),
            ["fulfiller_in_progress unspent 0..2", "fulfiller_in_progress unspent 0..4", "dead ambiguous"],
        ),
        (ambiguous(true), ["fulfiller_ambiguous spent 0..2", "dead attempts_exhausted", "dead ambiguous"]),
        (
            ambiguous(false),
            ["fulfiller_unavailable unspent 0..2", "fulfiller_unavailable unspent 0..4", "dead ambiguous"],
        ),
        (Answer::Panicked(reason()), ["fulfiller_panicked spent 0..2", "dead attempts_exhausted", "dead ambiguous"]),
        (Answer::TimedOut(SECOND), ["fulfiller_timeout spent 0..2", "dead attempts_exhausted", "dead ambiguous"]),
        (Answer::LeaseLost, ["lease_lost unspent 2..2"; 3]),
        (Answer::BrokenOff, ["handed_back unspent 0..0", "handed_back unspent 0..0", "dead ambiguous"]),
    ];
    for (answer, expected) in rows {
        let outcome = |attempt, policy| short(&after_call(answer.clone(), attempt, policy).attempt);
        assert_eq!([outcome(2, &RETRIES), outcome(3, &RETRIES), outcome(2, &PARKS)], expected, "{answer:?}");
    }
}

#[test]
fn a_delay_that_the_fulfiller_asks_for_is_kept_to_for_a_day_at_most() {
    let asked = |seconds| {
        let outcome = Outcome::Retry { reason: "why".to_owned(), after: Some(Duration::from_secs(seconds)) };
        short(&after_call(Answer::Outcome(outcome), 1, &RETRIES).attempt)
    };
    assert_eq!(asked(30), "fulfiller_failed spent 30..30");
    assert_eq!(asked(100_000), "fulfiller_failed spent 86400..86400");
    let delay = Delay { ceiling: SECOND, at_least: SECOND / 2 };
    assert!((0..100).all(|_| (SECOND / 2..=SECOND).contains(&delay.draw())));
}

fn ended(number: u32, call: Option<CallOutcome>) -> Attempt {
    Attempt { number, key: IdempotencyKey::of(OrderId(7), Some(1_000)), call, reference: None }
}

#[test]
fn a_verdict_confirms_the_outcome_or_says_what_came_before_it() {
    let verdict = |verdict: Verdict, number| {
        let attempt = ended(number, Some(CallOutcome::Fulfilled));
        short(&after_verdict(&verdict, AttemptOutcome::Fulfilled { reference: None }, &attempt, &RETRIES))
    };
    assert_eq!(verdict(Verdict::Done { age: None }, 1), "fulfilled");
    assert_eq!(verdict(Verdict::Locked, 1), "fulfilled");
    assert_eq!(verdict(Verdict::Superseded(Some(State::Fulfilled)), 1), "already_final");
    assert_eq!(verdict(Verdict::Superseded(Some(State::Processing)), 1), "lease_lost unspent 1..1");
    assert_eq!(verdict(Verdict::Superseded(None), 1), "dead row_gone");
    assert_eq!(verdict(Verdict::Refused("no".to_owned()), 1), "store_refused spent 0..1");
    assert_eq!(verdict(Verdict::Refused("no".to_owned()), 3), "dead store_refused");
}

/// The rows: how the call ended, and how the detail of the letter begins.
///
/// Caught, when seeded: a rejected order whose message was acknowledged, as nothing was shipped for it.
#[test]
fn whatever_a_call_came_to_an_order_whose_row_is_gone_is_kept_with_its_key() {
    let nothing = "not fulfilled by this attempt, and";
    let rows = [
        (Some(CallOutcome::Fulfilled), "fulfilled, and"),
        (Some(CallOutcome::Ambiguous), "perhaps fulfilled, and"),
        (Some(CallOutcome::InProgress), "perhaps fulfilled, and"),
        (Some(CallOutcome::BrokenOff), "perhaps fulfilled, and"),
        (Some(CallOutcome::Rejected), nothing),
        (Some(CallOutcome::Failed), nothing),
        (Some(CallOutcome::Unavailable), nothing),
        (None, nothing),
    ];
    assert_eq!(rows.len(), CallOutcome::all().count() + 1);
    for (call, beginning) in rows {
        for intended in [AttemptOutcome::handed_back(), AttemptOutcome::lease_lost(), parked("why")] {
            let ends = after_verdict(&Verdict::Superseded(None), intended, &ended(1, call), &PARKS);
            let AttemptOutcome::DeadLetter { reason: DeadReason::RowGone, detail } = ends else { panic!("{ends:?}") };
            assert!(detail.starts_with(beginning), "{call:?}: {detail}");
            assert!(detail.contains("idempotency key \"order-7-1000\"; "), "{call:?}: {detail}");
        }
    }
}

#[test]
fn letters_of_rows_that_are_gone_have_the_reference_and_are_of_one_kind_whatever_it_is() {
    let detail = |key: i64, name: &str| {
        let key = IdempotencyKey::of(OrderId(key), Some(key));
        let attempt = Attempt { key, reference: Some(name.to_owned()), ..ended(1, Some(CallOutcome::Fulfilled)) };
        let intended = AttemptOutcome::Fulfilled { reference: attempt.reference.clone() };
        let ends = after_verdict(&Verdict::Superseded(None), intended, &attempt, &RETRIES);
        ends.reason().unwrap().1.to_owned()
    };
    let first = detail(7, "shipment A-1");
    let whole = "fulfilled, and the order's row is gone: idempotency key \"order-7-7\", reference \"shipment A-1\"";
    assert_eq!(first, whole);
    let kinds = [first, detail(12, "B of Tuesday")].map(|detail| crate::domain::fingerprint::fingerprint(&detail));
    assert_eq!(kinds[0], kinds[1]);
}

#[test]
fn an_order_that_gets_no_place_spends_no_attempt_and_is_never_ambiguous() {
    let table = [
        (Unplaced::LeaseLost, RetryReason::LeaseLost),
        (Unplaced::Draining, RetryReason::HandedBack),
        (Unplaced::TooLong, RetryReason::NoPlace),
    ];
    for (why, reason) in table {
        let outcome = without_place(why);
        assert!(
            matches!(outcome, AttemptOutcome::Retry { spent: false, reason: of, .. } if of == reason),
            "{outcome:?}"
        );
    }
}
