use super::*;

/// The largest row: a minute with 999,999 orders, calls and failures of every kind, spread over all buckets, and a backlog of 99,999,999.
pub(crate) fn largest() -> Counts {
    let (count, reading) = (999_999, Some(99_999_999));
    let dependency = DependencyCounts { took: Buckets([71_428; 14]), failed: count, down_ms: 60_000 };
    Counts {
        attempts_started: count,
        fulfilled: count,
        attempts_failed: count,
        dead_lettered: count,
        retried: count,
        age: Buckets([58_823; 17]),
        calls: CallCounts {
            fulfilled: count,
            rejected: count,
            failed: count,
            unavailable: count,
            in_progress: count,
            ambiguous: count,
            broken_off: count,
        },
        queue: dependency.clone(),
        store: dependency.clone(),
        fulfiller: dependency,
        last: Readings {
            pending: reading,
            processing: reading,
            held: reading,
            oldest_seconds: reading,
            dead_letters: reading,
            queued: reading,
        },
    }
}

#[test]
fn what_is_zero_is_left_out_and_read_as_zero() {
    let quiet = Counts { fulfilled: 3, ..Counts::default() };
    let json = serde_json::to_string(&quiet).expect("is JSON");
    assert_eq!(json, r#"{"fulfilled":3}"#);
    assert_eq!(serde_json::from_str::<Counts>(&json).expect("can be read"), quiet);
}

#[test]
fn all_counts_survive_their_json() {
    let json = serde_json::to_string(&largest()).expect("is JSON");
    assert_eq!(serde_json::from_str::<Counts>(&json).expect("can be read"), largest());
}

/// In Postgres a row of this size takes 1,195 bytes with its header, its entries in two indexes and what waits for autovacuum; see
/// ADR 26.
#[test]
fn the_largest_row_leaves_a_day_of_a_worker_within_2_mb() {
    let json = serde_json::to_string(&largest()).expect("is JSON");
    assert!(json.len() <= 950, "{} bytes", json.len());
}

#[test]
fn what_other_versions_count_is_ignored_and_buckets_above_ours_count_as_the_highest() {
    let json =
        r#"{"fulfilled":1,"teleported":2,"queue":{"took":[1,0,0,0,0,0,0,0,0,0,0,0,0,2,3],"x":[{}]},"last":{"y":null}}"#;
    let counts: Counts = serde_json::from_str(json).expect("can be read");
    assert_eq!((counts.fulfilled, counts.queue.took.0[0], counts.queue.took.0[13]), (1, 1, 5));
}

#[test]
fn a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
    assert_eq!(
        [0.0, 0.001, 0.0011, 10.0, 10.1, f64::INFINITY].map(|value| bucket(&CALL_BOUNDS, value)),
        [0, 0, 1, 12, 13, 13]
    );
}

#[test]
fn a_minute_is_the_same_before_and_after_1970() {
    for minute in [Minute(-1), Minute(0), Minute(29_000_000)] {
        assert_eq!(Minute::of(minute.start()), minute);
        assert_eq!(Minute::of(minute.start() + Duration::from_secs(59)), minute);
    }
}
