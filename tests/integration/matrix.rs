//! The failpoint matrix: a worker is killed, stopped, told that its call failed, or held up, just before and just after
//! each of its durable steps; alone, while Redis comes back empty, while Postgres crashes, and with everything embedded.
//! Another worker is there by then. Each case ends with everything checked that is promised. `make chaos-matrix` runs all
//! of it; every run of the tests runs a slice. docs/RELIABILITY.md says what came of it.

mod cases;
mod embedded;
mod ground;
mod lanes;
mod operators;
mod run;
mod table;

use std::time::Instant;

use cases::Case;
use fulfillment_worker::testing::failpoint::Place;
use table::Table;

/// Cases of the slice beside a kill at each point.
const OTHERS: usize = 12;
/// Cases are mostly waiting for leases.
const LANES: usize = 6;

/// Caught, when seeded, each in the cases that docs/RELIABILITY.md names: an acknowledgement although the conclusion failed;
/// a repeated conclusion that doesn't say so; a conclusion without the fence; a key per attempt; an acknowledgement although
/// poison was not buried; a start that gives up at a lost answer of the store; a turn that is never given back; a call without a
/// turn; a place that an order keeps beyond its end.
///
/// `MATRIX=all` runs every case, `MATRIX_ONLY` those whose name has one of these texts in it, `MATRIX_SEED` draws another
/// slice. `MATRIX_MUTANT` is passed on to the workers.
#[test]
fn whatever_befalls_a_worker_between_two_steps_no_order_is_lost_nor_done_twice() {
    let text = |variable: &str| std::env::var(variable).ok().filter(|text| !text.is_empty());
    let number = |variable: &str, unless_set: u64| {
        text(variable).map_or(unless_set, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: {text}")))
    };
    let cases: Vec<Case> = match (text("MATRIX_ONLY"), text("MATRIX")) {
        (Some(only), _) => {
            let is_meant = |case: &Case| only.split(',').any(|part| case.to_string().contains(part));
            cases::all().into_iter().filter(is_meant).collect()
        }
        (None, Some(all)) if all == "all" => cases::all(),
        (None, Some(other)) => panic!("MATRIX is `all`, or not set: {other}"),
        (None, None) => cases::slice(number("MATRIX_SEED", 1), OTHERS),
    };
    assert!(!cases.is_empty(), "no case is meant");
    let lanes = usize::try_from(number("MATRIX_LANES", LANES as u64)).expect("few lanes");
    let began = Instant::now();
    let results = lanes::run_all(&cases, lanes.clamp(1, cases.len()), text("MATRIX_MUTANT").as_deref());
    let table = Table { results, took: began.elapsed() };
    println!("{table}");
    if let Some(path) = text("MATRIX_JSON") {
        let json = serde_json::to_string_pretty(&table.json()).expect("results are JSON");
        std::fs::write(&path, json + "\n").unwrap_or_else(|error| panic!("{path} can't be written: {error}"));
    }
    assert_eq!(table.results.len(), cases.len(), "each case has a result");
    let failed: Vec<String> = table.failed().map(|result| result.case.to_string()).collect();
    assert!(failed.is_empty(), "{} cases failed: {}; see above", failed.len(), failed.join(", "));
}

#[test]
fn each_case_has_a_name_of_its_own_and_is_read_back_from_it() {
    let names: std::collections::HashSet<String> = cases::all().iter().map(Case::to_string).collect();
    assert_eq!(names.len(), 52 * (4 * 3 + 3) + 2 * 4);
    for Case { place, .. } in cases::all() {
        assert_eq!(place.to_string().parse(), Ok(place));
    }
}

#[test]
fn a_name_that_is_no_failpoint_is_turned_away() {
    for text in ["", "conclude=kill", "after-conclude", "after-concludes=kill", "after-conclude=kills"] {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
}
