use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::event::BreakerState;
use crate::observe::health::Health;
use crate::port::controls::{Control, InForce, SetControl, Target};
use crate::port::dead_letters::Decision;
use crate::port::reports::{ClockDoubt, OpenDeadLetters, OpenOrders, OpenState};

fn checks(failing: &[(&'static str, &str)]) -> Option<Readiness> {
    let mut readiness = Health::default().ready();
    for check in &mut readiness.checks {
        let found = failing.iter().find(|(name, _)| *name == check.name);
        (check.ok, check.detail) = found.map_or((true, "fine".to_owned()), |(_, detail)| (false, (*detail).to_owned()));
    }
    Some(readiness)
}

fn open(orders: u64, oldest: u64) -> Option<(OpenOrders, Duration)> {
    let pending = OpenState { orders, oldest: (orders > 0).then(|| Duration::from_secs(oldest)) };
    Some((OpenOrders { pending, ..OpenOrders::default() }, Duration::ZERO))
}

fn letters(rejected: u64) -> Option<(OpenDeadLetters, Duration)> {
    let mut letters = OpenDeadLetters::default();
    if let Some((_, count)) = letters.by_reason.iter_mut().next() {
        *count = rejected;
    }
    Some((letters, Duration::ZERO))
}

fn gone(rows: u64) -> Option<(OpenDeadLetters, Duration)> {
    let mut letters = OpenDeadLetters::default();
    letters.by_reason[StoredReason::Known(DeadReason::RowGone)] = rows;
    Some((letters, Duration::ZERO))
}

fn pause(target: Target) -> Option<(InForce, Duration)> {
    let decision = Decision { by: "anna".to_owned(), reason: "stocktaking".to_owned() };
    let (control, age) = (Control::Pause, Duration::from_secs(300));
    let set = SetControl { control, target, value: None, decision, since: Timestamp::UNIX_EPOCH, age, left: None };
    Some((InForce { controls: vec![set] }, Duration::ZERO))
}

fn facts(known: Known) -> Facts {
    Facts { readiness: checks(&[]), known, with_texts: true, ..Facts::default() }
}

fn first(facts: &Facts) -> (Level, String) {
    let verdict = verdict(facts);
    (verdict.first.level, verdict.first.text)
}

#[test]
fn an_idle_or_busy_service_is_well() {
    let idle = facts(Known { open: open(0, 0), ..Known::default() });
    assert_eq!(
        first(&idle),
        (Level::Good, "All is well: no order is open, no order was fulfilled in the last minute".into())
    );
    let known = Known { open: open(1_200, 3), ..Known::default() };
    let busy = Facts { fulfilled_per_minute: Some(3_000.4), ..facts(known) };
    let text = "All is well: 3,000 orders were fulfilled in the last minute, 1,200 orders are open, the oldest placed 3.0 s ago";
    assert_eq!(first(&busy), (Level::Good, text.into()));
}

/// Caught, when seeded: a verdict without the pause, the lost messages or the breaker.
#[test]
fn each_trouble_is_named_with_what_waits() {
    let known = Known { open: open(120, 5), ..Known::default() };
    for (facts, level, part) in [
        (
            Facts { readiness: checks(&[("store", "down for 40 s: refused")]), ..facts(known.clone()) },
            Level::Bad,
            "Orders wait, as the store does not answer (store: down for 40 s: refused); 120 orders are open",
        ),
        (
            Facts {
                readiness: checks(&[("queue", "down for 1 s: x"), ("store", "down for 2 s: y")]),
                ..facts(known.clone())
            },
            Level::Bad,
            "the queue does not answer and the store does not answer",
        ),
        (
            Facts { readiness: checks(&[("queue", "too slow to keep leases: took 6 s")]), ..facts(known.clone()) },
            Level::Bad,
            "Orders wait, as servers are slow (queue: too slow",
        ),
        (
            facts(Known { breaker: Some((BreakerState::HalfOpen, Duration::from_secs(200))), ..known.clone() }),
            Level::Bad,
            "the circuit breaker has been open for 3 min; 120 orders are open",
        ),
        (
            facts(Known { controls: pause(Target::Fleet), ..known.clone() }),
            Level::Warn,
            "Every worker has been paused for 5 min, by anna: stocktaking; 120 orders are open",
        ),
        (
            facts(Known { controls: pause(Target::Worker("w".into())), ..known.clone() }),
            Level::Warn,
            "Others may work, but this worker has been paused",
        ),
        (
            facts(Known { without_message: Some(1), ..known.clone() }),
            Level::Bad,
            "1 open order has no message in the queue",
        ),
        (facts(Known { dead_letters: letters(11), ..known.clone() }), Level::Warn, "11 dead letters need a decision"),
        (
            facts(Known { dead_letters: gone(2), ..known.clone() }),
            Level::Bad,
            "2 orders were begun and their rows are gone: they may have been shipped, compare with the warehouse",
        ),
        (
            Facts { open_before: Some(20), ..facts(Known { open: open(120, 240), ..Known::default() }) },
            Level::Warn,
            "The backlog grows: 120 orders are open, 100 more than there were ten minutes ago, the oldest placed 4 min ago; none was fulfilled",
        ),
        (
            Facts {
                open_before: Some(118),
                fulfilled_per_minute: Some(60.0),
                ..facts(Known { open: open(120, 240), ..Known::default() })
            },
            Level::Warn,
            "Orders are late: 120 orders are open, the oldest placed 4 min ago; 2 min of work at the pace",
        ),
        (
            Facts {
                open_before: Some(20),
                open_lately: Some(120),
                ..facts(Known { open: open(120, 240), ..Known::default() })
            },
            Level::Warn,
            "Orders are late: 120 orders are open",
        ),
        (
            Facts { given_up_per_minute: Some(31.0), fulfilled_per_minute: Some(207.0), ..facts(known.clone()) },
            Level::Bad,
            "Orders are being given up: 31 in the last minute, beside 207 fulfilled",
        ),
        (Facts { readiness: checks(&[("progress", "claim: silent")]), ..facts(known.clone()) }, Level::Bad, "is stuck"),
        (Facts { readiness: checks(&[("started", "starting")]), ..facts(Known::default()) }, Level::Bad, "is starting"),
        (Facts { dead_workers: 1, ..facts(known.clone()) }, Level::Warn, "1 worker has died with orders in hand"),
        (facts(Known { stuck_job: Some((7, "x".into())), ..known.clone() }), Level::Warn, "Job 7 isn't getting on: x"),
        (facts(Known { left_alone: 2, ..known.clone() }), Level::Warn, "2 open orders are too old for the reconciler"),
        (
            facts(Known {
                depth: Some((crate::port::queue::Depth::default(), Duration::from_secs(200))),
                ..known.clone()
            }),
            Level::Warn,
            "The last count of messages is 3 min old",
        ),
    ] {
        let (found, text) = first(&facts);
        assert_eq!(found, level, "{text}");
        assert!(text.contains(part), "{text}");
    }
}

/// Caught, when seeded: a verdict without the pause.
#[test]
fn what_is_bad_comes_before_what_is_to_be_looked_at() {
    let known =
        Known { open: open(500, 600), dead_letters: letters(2), controls: pause(Target::Fleet), ..Known::default() };
    let facts = Facts { readiness: checks(&[("queue", "down for 9 s: refused")]), ..facts(known) };
    let Verdict { first, others } = verdict(&facts);
    assert!(first.text.contains("the queue does not answer"), "{first:?}");
    let others: Vec<&str> = others.iter().map(|finding| finding.text.split(':').next().unwrap_or_default()).collect();
    assert!(others[0].starts_with("Every worker has been paused"), "{others:?}");
    assert!(others[1].starts_with("Orders are late") && others[2].starts_with("2 dead letters need"), "{others:?}");
}

#[test]
fn without_a_login_neither_names_nor_reasons_are_told() {
    let known = Known {
        controls: pause(Target::Fleet),
        stuck_job: Some((7, "secret".into())),
        open: open(1, 1),
        ..Known::default()
    };
    let verdict = verdict(&Facts { with_texts: false, ..facts(known) });
    let text = format!("{verdict:?}");
    assert!(!text.contains("anna") && !text.contains("stocktaking") && !text.contains("secret"), "{text}");
}

#[test]
fn an_age_that_can_not_be_told_is_no_zero() {
    let (mut open, read) = open(5, 100).unwrap();
    (open.pending.oldest, open.doubt) = (None, Some(ClockDoubt::Ambiguous));
    let (level, text) = first(&facts(Known { open: Some((open, read)), ..Known::default() }));
    assert!(level == Level::Warn && text.starts_with("It is unknown how old the oldest open order is"), "{text}");
}
