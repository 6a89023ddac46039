use super::*;
use crate::operations::documents::orders::OrderDocument;
use crate::port::store::TAKEN_OVER;

/// So many seconds after the order was placed.
fn at(seconds: f64) -> Option<String> {
    let micros = 1_700_000_000_000_000 + (seconds * 1e6) as i64;
    crate::domain::order::iso_8601(micros)
}

fn entry(seconds: f64, state: &str, attempt: u32, worker: &str, note: &str) -> EntryDocument {
    EntryDocument {
        at: at(seconds),
        state: state.to_owned(),
        attempt,
        worker: worker.to_owned(),
        correlation_id: None,
        note: Some(note.to_owned()).filter(|note| !note.is_empty()),
    }
}

/// An order that was placed at 0 and changed last at its last entry, 5 s before now.
fn history(state: &str, timeline: Vec<EntryDocument>) -> HistoryDocument {
    let updated_at = timeline.last().map_or(at(0.0), |last| last.at.clone());
    let order = OrderDocument {
        order_id: 7,
        state: state.to_owned(),
        product_id: 3,
        product: None,
        quantity: 1,
        created_at: at(0.0),
        age_seconds: None,
        updated_at,
        idle_seconds: Some(5.0),
    };
    HistoryDocument { order, idempotency_key: "order-7".to_owned(), timeline, dead_letters: Vec::new() }
}

/// Lane, look, and seconds from and to.
fn shown(history: &HistoryDocument) -> Vec<(Lane, Look, f64, f64)> {
    let drawn = bars(history).expect("bars");
    let since = |micros| seconds(micros - 1_700_000_000_000_000);
    drawn.bars.iter().map(|bar| (bar.lane, bar.look, since(bar.from), since(bar.to))).collect()
}

fn titles(history: &HistoryDocument) -> String {
    bars(history).expect("bars").bars.iter().map(|bar| format!("{}\n", bar.title)).collect()
}

#[test]
fn an_order_that_goes_straight_through_waits_once_and_has_one_attempt() {
    let history = history(
        "fulfilled",
        vec![entry(1.0, "processing", 1, "00ff", ""), entry(3.5, "fulfilled", 1, "00ff", "shipment 17")],
    );
    assert_eq!(shown(&history), [(Lane::Waiting, Look::Wait, 0.0, 1.0), (Lane::Attempts, Look::Good, 1.0, 3.5)]);
    assert_eq!(titles(&history), "Waiting: 1.0 s\nAttempt 1 by worker 00ff: 2.5 s, fulfilled: shipment 17\n");
}

#[test]
fn three_retries_are_waits_and_attempts_in_turn() {
    let mut timeline = Vec::new();
    for attempt in 1..=3_u32 {
        let began = f64::from(attempt) * 10.0;
        timeline.push(entry(began, "processing", attempt, "00ff", ""));
        timeline.push(entry(began + 1.0, "pending", attempt, "00ff", "503: come again"));
    }
    timeline.push(entry(40.0, "processing", 4, "00ff", ""));
    timeline.push(entry(41.0, "fulfilled", 4, "00ff", ""));
    let retried = |from: f64| {
        [(Lane::Attempts, Look::Retry, from, from + 1.0), (Lane::Retries, Look::Wait, from + 1.0, from + 10.0)]
    };
    let mut expected = vec![(Lane::Waiting, Look::Wait, 0.0, 10.0)];
    expected.extend([10.0, 20.0, 30.0].into_iter().flat_map(retried));
    expected.push((Lane::Attempts, Look::Good, 40.0, 41.0));
    let history = history("fulfilled", timeline);
    assert_eq!(shown(&history), expected);
    assert!(titles(&history).contains("Attempt 2 by worker 00ff: 1.0 s, to be tried again: 503: come again\n"));
}

#[test]
fn a_takeover_ends_the_attempt_of_the_worker_that_fell_silent() {
    let history = history(
        "fulfilled",
        vec![
            entry(1.0, "processing", 1, "dead", ""),
            entry(31.0, "processing", 2, "00ff", TAKEN_OVER),
            entry(32.0, "fulfilled", 2, "00ff", ""),
        ],
    );
    let expected = [
        (Lane::Waiting, Look::Wait, 0.0, 1.0),
        (Lane::Attempts, Look::Lost, 1.0, 31.0),
        (Lane::Takeovers, Look::Mark, 31.0, 31.0),
        (Lane::Attempts, Look::Good, 31.0, 32.0),
    ];
    assert_eq!(shown(&history), expected);
    assert!(titles(&history).contains("Attempt 1 by worker dead: 30 s, taken over"), "{}", titles(&history));
}

/// As earlier versions wrote it.
#[test]
fn a_takeover_without_a_note_is_known_by_its_worker() {
    let mut history =
        history("processing", vec![entry(1.0, "processing", 1, "dead", ""), entry(31.0, "processing", 2, "00ff", "")]);
    history.order.updated_at = at(40.0);
    let expected = [
        (Lane::Waiting, Look::Wait, 0.0, 1.0),
        (Lane::Attempts, Look::Lost, 1.0, 31.0),
        (Lane::Takeovers, Look::Mark, 31.0, 31.0),
        (Lane::Attempts, Look::Call, 31.0, 45.0),
    ];
    assert_eq!(shown(&history), expected, "until now, by the row's renewals");
}

#[test]
fn a_redriven_order_waits_again_from_the_decision_on() {
    let history = history(
        "fulfilled",
        vec![
            entry(1.0, "processing", 1, "00ff", ""),
            entry(2.0, "failed", 1, "00ff", "422: no such colour"),
            entry(60.0, "pending", 0, "anna's", "dead letter 4 retried by anna: in stock"),
            entry(61.0, "processing", 1, "00ff", ""),
            entry(62.0, "fulfilled", 1, "00ff", ""),
        ],
    );
    let expected = [
        (Lane::Waiting, Look::Wait, 0.0, 1.0),
        (Lane::Attempts, Look::Bad, 1.0, 2.0),
        (Lane::Decisions, Look::Mark, 60.0, 60.0),
        (Lane::Waiting, Look::Wait, 60.0, 61.0),
        (Lane::Attempts, Look::Good, 61.0, 62.0),
    ];
    assert_eq!(shown(&history), expected);
}

#[test]
fn an_order_that_is_cancelled_in_its_call_says_that_nobody_knows_how_the_call_went() {
    let history = history(
        "cancelled",
        vec![
            entry(1.0, "processing", 1, "00ff", ""),
            entry(2.0, "cancelled", 0, "bob's", "cancelled by bob: recalled"),
        ],
    );
    let expected = [
        (Lane::Waiting, Look::Wait, 0.0, 1.0),
        (Lane::Attempts, Look::Lost, 1.0, 2.0),
        (Lane::Decisions, Look::Mark, 2.0, 2.0),
    ];
    assert_eq!(shown(&history), expected);
    let titles = titles(&history);
    assert!(titles.contains("whether it was shipped is not known") && titles.contains("cancelled by bob"), "{titles}");
}

#[test]
fn holds_are_marks_and_end_neither_waits_nor_attempts() {
    let held = vec![
        entry(1.0, "pending", 0, "bob's", "held by bob: stock"),
        entry(2.0, "pending", 0, "bob's", "released by bob: stock is in"),
        entry(3.0, "processing", 1, "00ff", ""),
        entry(4.0, "processing", 1, "00ff", "held for 1h by bob: address"),
        entry(5.0, "pending", 1, "00ff", "timed out"),
        entry(6.0, "pending", 1, "bob's", "held by bob: still"),
    ];
    let history = history("pending", held);
    let expected = [
        (Lane::Decisions, Look::Mark, 1.0, 1.0),
        (Lane::Decisions, Look::Mark, 2.0, 2.0),
        (Lane::Waiting, Look::Wait, 0.0, 3.0),
        (Lane::Decisions, Look::Mark, 4.0, 4.0),
        (Lane::Attempts, Look::Retry, 3.0, 5.0),
        (Lane::Decisions, Look::Mark, 6.0, 6.0),
        (Lane::Retries, Look::Wait, 5.0, 11.0),
    ];
    assert_eq!(shown(&history), expected, "and it waits until now");
    let hold =
        |entries: usize| crate::page::orders::steps::hold(&history.timeline[..entries]).map(|entry| entry.at.clone());
    assert_eq!([0, 1, 2, 3].map(hold), [None, Some(at(1.0)), None, None]);
    assert_eq!([4, 5, 6].map(hold), [Some(at(4.0)), Some(at(4.0)), Some(at(6.0))]);
}

#[test]
fn a_hold_for_a_time_is_over_when_that_has_passed() {
    for (note, is_over) in [
        ("held for 5s by bob: stock", true),
        ("held for 6s by bob: stock", false),
        ("held by bob: held for 1s by anna", false),
        ("held until 2026-11-28T03:00:00Z by bob: stock", false),
    ] {
        let history = history("pending", vec![entry(1.0, "pending", 0, "bob's", note)]);
        assert_eq!(super::is_over(&history.timeline[0], &history), is_over, "{note}");
    }
}

#[test]
fn without_a_timeline_a_pending_order_waits_and_nothing_is_said_of_others() {
    assert_eq!(shown(&history("pending", Vec::new())), [(Lane::Waiting, Look::Wait, 0.0, 5.0)]);
    for state in ["processing", "fulfilled", "failed", "cancelled", "on its way"] {
        assert_eq!(bars(&history(state, Vec::new())), None, "{state}");
    }
    let mut timeless = history("pending", Vec::new());
    (timeless.order.created_at, timeless.order.updated_at) = (None, None);
    assert_eq!(bars(&timeless), None);
}

#[test]
fn what_has_no_end_in_the_timeline_ends_when_the_row_was_last_changed() {
    let mut begun = history("cancelled", vec![entry(1.0, "processing", 1, "00ff", "")]);
    begun.order.updated_at = at(9.0);
    assert_eq!(shown(&begun)[1], (Lane::Attempts, Look::Lost, 1.0, 9.0));
    let entries = vec![entry(1.0, "processing", 1, "00ff", ""), entry(2.0, "pending", 1, "00ff", "503")];
    let mut waiting = history("cancelled", entries);
    waiting.order.updated_at = at(9.0);
    assert_eq!(shown(&waiting)[2], (Lane::Retries, Look::Wait, 2.0, 9.0));
}

#[test]
fn entries_of_the_same_time_and_times_that_run_back_are_moments() {
    let history = history(
        "failed",
        vec![
            entry(0.0, "processing", 1, "00ff", ""),
            entry(0.0, "pending", 1, "00ff", "503"),
            entry(0.0, "processing", 2, "00ff", ""),
            entry(-3.0, "failed", 2, "00ff", "422"),
        ],
    );
    let expected = [
        (Lane::Waiting, Look::Wait, 0.0, 0.0),
        (Lane::Attempts, Look::Retry, 0.0, 0.0),
        (Lane::Retries, Look::Wait, 0.0, 0.0),
        (Lane::Attempts, Look::Bad, 0.0, 0.0),
    ];
    assert_eq!(shown(&history), expected);
}

#[test]
fn an_order_that_was_placed_after_its_beginning_as_its_clock_has_it_waits_for_no_negative_time() {
    let mut history =
        history("fulfilled", vec![entry(1.0, "processing", 1, "w", ""), entry(2.0, "fulfilled", 1, "w", "")]);
    history.order.created_at = at(3_600.0);
    assert_eq!(shown(&history), [(Lane::Attempts, Look::Good, 1.0, 2.0)]);
}

#[test]
fn of_a_thousand_entries_the_newest_two_hundred_bars_are_drawn_and_the_rest_is_counted() {
    let mut timeline = Vec::new();
    for attempt in 1..=500_u32 {
        let began = f64::from(attempt) * 10.0;
        timeline.push(entry(began, "processing", attempt, "00ff", ""));
        timeline.push(entry(began + 1.0, "pending", attempt, "00ff", "503"));
    }
    let drawn = bars(&history("pending", timeline)).expect("bars");
    assert_eq!((drawn.bars.len(), drawn.left_out), (200, 801));
    let last = drawn.bars.last().expect("a bar");
    assert_eq!((last.lane, seconds(last.to - 1_700_000_000_000_000)), (Lane::Retries, 5_006.0));
    assert_eq!(drawn.to, last.to);
    assert_eq!(drawn.from, drawn.bars[0].from, "the axis begins with the first of them");
}

#[test]
fn long_words_are_cut_at_a_bar() {
    let said = "x".repeat(1_000);
    let history = history("failed", vec![entry(1.0, "processing", 1, "w", ""), entry(2.0, "failed", 1, "w", &said)]);
    let longest = bars(&history).expect("bars").bars.into_iter().map(|bar| bar.title.len()).max();
    assert!(longest.is_some_and(|longest| longest < 300), "{longest:?}");
}
