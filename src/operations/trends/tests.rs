use super::*;
use crate::port::trends::{CALL_BOUNDS, CallCounts};

fn row(minute: i64, worker: &str, seq: u64, counts: Counts) -> StoredMinute {
    StoredMinute { key: RowKey { minute: Minute(minute), worker: worker.to_owned(), seq }, seconds: 60.0, counts }
}

fn fulfilled(orders: u64) -> Counts {
    Counts { fulfilled: orders, ..Counts::default() }
}

fn down(down_ms: u64) -> Counts {
    Counts { store: DependencyCounts { down_ms, ..DependencyCounts::default() }, ..Counts::default() }
}

fn orders_by_minute(day: &Day) -> Vec<Option<u64>> {
    day.minutes().iter().map(|minute| minute.as_ref().map(|merged| merged.counts.fulfilled)).collect()
}

fn near(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() < 1e-9)
}

#[test]
fn rows_of_several_workers_add_up_and_a_minute_without_any_is_a_gap() {
    let mut day = Day::empty(Minute(10), 4);
    day.add([
        row(9, "a", 0, fulfilled(100)),
        row(10, "a", 1, fulfilled(1)),
        row(10, "b", 1, fulfilled(2)),
        row(12, "a", 2, fulfilled(0)),
        row(14, "a", 3, fulfilled(100)),
    ]);
    assert_eq!(orders_by_minute(&day), [Some(3), None, Some(0), None]);
    assert_eq!(day.minutes()[0].as_ref().map(|merged| merged.workers), Some(2));
}

#[test]
fn a_worker_with_two_rows_in_a_minute_counts_once_as_a_worker() {
    let mut day = Day::empty(Minute(10), 1);
    day.add([row(10, "a", 1, fulfilled(1)), row(10, "a", 2, fulfilled(2)), row(10, "b", 0, fulfilled(4))]);
    let merged = day.minutes()[0].clone().expect("was recorded");
    assert_eq!((merged.workers, merged.counts.fulfilled), (2, 7));
}

/// Caught, when seeded: a sum that leaves a field out.
#[test]
fn every_count_is_added() {
    let one = Counts {
        attempts_started: 1,
        fulfilled: 2,
        attempts_failed: 3,
        dead_lettered: 4,
        retried: 5,
        age: Buckets([6; 17]),
        calls: CallCounts {
            fulfilled: 7,
            rejected: 8,
            failed: 9,
            unavailable: 10,
            in_progress: 11,
            ambiguous: 12,
            broken_off: 13,
        },
        queue: DependencyCounts { took: Buckets([14; 14]), failed: 15, down_ms: 0 },
        store: DependencyCounts { took: Buckets([16; 14]), failed: 17, down_ms: 0 },
        fulfiller: DependencyCounts { took: Buckets([18; 14]), failed: 19, down_ms: 0 },
        last: Readings::default(),
    };
    let mut sum = one.clone();
    sum.join(&one);
    let numbers = |counts: &Counts| -> Vec<u64> {
        let json = serde_json::to_string(counts).expect("is JSON");
        json.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    assert_eq!(numbers(&sum), numbers(&one).iter().map(|number| 2 * number).collect::<Vec<_>>());
}

#[test]
fn time_that_a_dependency_was_down_is_the_longest_of_a_minute_and_adds_up_over_minutes() {
    let mut day = Day::empty(Minute(10), 2);
    day.add([row(10, "a", 0, down(60_000)), row(10, "b", 0, down(20_000)), row(11, "a", 1, down(5_000))]);
    let total = day.total(2).merged.expect("was recorded");
    assert_eq!(total.counts.store.down_ms, 65_000);
    assert!((total.seconds - 120.0).abs() < 1e-9);
}

#[test]
fn of_readings_the_greatest_is_told_and_an_unknown_one_takes_nothing_away() {
    let read = |pending| Counts { last: Readings { pending, ..Readings::default() }, ..Counts::default() };
    let mut day = Day::empty(Minute(10), 1);
    day.add([row(10, "a", 0, read(None)), row(10, "b", 0, read(Some(3))), row(10, "c", 0, read(Some(2)))]);
    let merged = day.minutes()[0].clone().expect("was recorded");
    assert_eq!((merged.counts.last.pending, merged.counts.last.queued), (Some(3), None));
}

#[test]
fn a_total_covers_the_last_minutes_and_is_none_where_all_are_gaps() {
    let mut day = Day::empty(Minute(10), 3);
    day.add([row(10, "a", 0, fulfilled(1)), row(11, "a", 1, fulfilled(2))]);
    assert_eq!(day.total(1).merged, None);
    let two = day.total(2);
    assert_eq!((two.first, two.minutes, two.recorded), (Minute(11), 2, 1));
    assert_eq!(two.merged.map(|merged| merged.counts.fulfilled), Some(2));
    assert_eq!(day.total(u32::MAX).merged.map(|merged| merged.counts.fulfilled), Some(3));
}

#[test]
fn bins_begin_at_whole_multiples_and_keep_gaps() {
    let mut day = Day::empty(Minute(8), 10);
    day.add((8..13).map(|minute| row(minute, "a", 0, fulfilled(1))));
    let bins = day.bins(5);
    let found: Vec<_> = bins
        .iter()
        .map(|bin| (bin.first.0, bin.minutes, bin.recorded, bin.merged.as_ref().map(|merged| merged.counts.fulfilled)))
        .collect();
    assert_eq!(found, [(8, 2, 2, Some(2)), (10, 5, 3, Some(3)), (15, 3, 0, None)]);
    assert_eq!(day.bins(0).len(), 10);
}

#[test]
fn a_percentile_is_linear_within_its_bucket() {
    let mut took = Buckets::<14>::default();
    (took.0[1], took.0[2]) = (50, 50);
    assert!(near(quantile(&CALL_BOUNDS, &took, 0.5), 0.002_5));
    assert!(near(quantile(&CALL_BOUNDS, &took, 0.95), 0.002_5 + 0.9 * 0.002_5));
    assert!(near(quantile(&CALL_BOUNDS, &took, 0.0), 0.001));
    assert!(near(quantile(&CALL_BOUNDS, &took, 1.0), 0.005));
}

#[test]
fn the_percentile_of_no_value_is_none_and_above_all_bounds_it_is_the_highest() {
    let mut took = Buckets::<14>::default();
    assert_eq!(quantile(&CALL_BOUNDS, &took, 0.5), None);
    took.0[13] = 1;
    assert_eq!(quantile(&CALL_BOUNDS, &took, 0.5), Some(10.0));
}

#[test]
fn the_percentile_of_two_minutes_is_that_of_all_their_orders() {
    let aged = |bucket: usize, orders| {
        let mut counts = Counts::default();
        counts.age.0[bucket] = orders;
        counts
    };
    let mut day = Day::empty(Minute(10), 2);
    day.add([row(10, "a", 0, aged(0, 990)), row(11, "a", 1, aged(13, 10))]);
    let total = day.total(2).merged.expect("was recorded");
    assert!(near(total.age(0.5), 0.1 * 500.0 / 990.0));
    assert!(total.age(0.995).is_some_and(|age| age > 1_800.0));
}

#[test]
fn a_day_moves_on_and_keeps_what_was_not_read_again() {
    let mut day = Day::empty(Minute(10), 4);
    day.add((10..14).map(|minute| row(minute, "a", 0, fulfilled(1))));
    let mut newer = Day::empty(Minute(13), 2);
    newer.add([row(13, "a", 0, fulfilled(5)), row(14, "a", 1, fulfilled(6))]);
    newer.arrivals[1] = 9;
    day.take_over(newer);
    assert_eq!((day.first(), day.end().plus(-1)), (Minute(11), Minute(14)));
    assert_eq!(orders_by_minute(&day), [Some(1), Some(1), Some(5), Some(6)]);
    assert_eq!(day.arrivals, [0, 0, 0, 9]);
}

#[test]
fn a_day_that_was_not_read_for_long_has_gaps_and_one_whose_clock_went_back_forgets() {
    let mut day = Day::empty(Minute(10), 3);
    day.add((10..13).map(|minute| row(minute, "a", 0, fulfilled(1))));
    let mut much_newer = Day::empty(Minute(100), 1);
    much_newer.add([row(100, "a", 0, fulfilled(2))]);
    day.take_over(much_newer);
    assert_eq!((day.first(), orders_by_minute(&day)), (Minute(98), vec![None, None, Some(2)]));
    day.take_over(Day::empty(Minute(50), 1));
    assert_eq!((day.end().plus(-1), orders_by_minute(&day)), (Minute(50), vec![None, None, None]));
}
