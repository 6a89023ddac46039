//! Cases side by side: each lane is a thread with a ground of its own, and takes one case after the other.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::matrix::cases::{Case, Setting};
use crate::matrix::embedded::Embedded;
use crate::matrix::ground::{Ground, ORDERS, Servers};
use crate::matrix::run;

/// No case takes so long, even one that fails.
const CASE_LIMIT: Duration = Duration::from_secs(240);

/// How often a case is begun, at most.
const TRIES: i32 = 3;

/// Ids that a try uses up: one more order may be placed in the end.
const IDS: i32 = ORDERS + 1;

/// So many cases done are worth a line.
const TELL_EVERY: usize = 50;

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Result {
    pub(crate) case: Case,
    pub(crate) took: Duration,
    /// None, when all is well.
    pub(crate) violations: Vec<String>,
}

/// Runs every case, on so many lanes. `mutant` is what the workers are told to do wrong, if anything.
pub(crate) fn run_all(cases: &[Case], lanes: usize, mutant: Option<&str>) -> Vec<Result> {
    let (embedded, servers): (Vec<Case>, Vec<Case>) = cases.iter().partition(|case| case.setting == Setting::Embedded);
    let queues = (Mutex::new(VecDeque::from(servers)), Mutex::new(VecDeque::from(embedded)));
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (queues, results) = (&queues, &results);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    drain::<Servers>(lane, &queues.0, results, mutant).await;
                    drain::<Embedded>(lane, &queues.1, results, mutant).await;
                });
            });
        }
    });
    results.into_inner().expect("no lane panics while it holds the results")
}

async fn drain<G: Ground>(
    lane: usize,
    cases: &Mutex<VecDeque<Case>>,
    results: &Mutex<Vec<Result>>,
    mutant: Option<&str>,
) {
    let next = || cases.lock().expect("no lane panics while it takes a case").pop_front();
    let mut ground: Option<G> = None;
    // Ids are never used twice, so that a call that comes late is known for what it is.
    let mut first_id = 1 + i32::try_from(lane).expect("few lanes") * 1_000_000;
    while let Some(case) = next() {
        let first = first_id;
        first_id += TRIES * IDS;
        let began = Instant::now();
        let running = AssertUnwindSafe(on_ground(case, first, ground.take(), mutant)).catch_unwind();
        let (took, violations) = match tokio::time::timeout(CASE_LIMIT, running).await {
            Ok(Ok((used, took, violations))) => {
                ground = Some(used);
                (took, violations)
            }
            // The ground is left as nobody knows how: the next case gets a new one.
            Ok(Err(panic)) => (began.elapsed(), vec![message(&*panic)]),
            Err(_) => (CASE_LIMIT, vec![format!("it took longer than {CASE_LIMIT:?}")]),
        };
        if !violations.is_empty() {
            eprintln!("{case} FAILED after {took:.1?}: {}", violations.join("; "));
        }
        let mut results = results.lock().expect("no lane panics while it writes");
        results.push(Result { case, took, violations });
        if results.len().is_multiple_of(TELL_EVERY) {
            eprintln!("{} cases are done", results.len());
        }
    }
}

/// Starts a ground if there is none, whose time isn't the case's. A case whose failpoint nobody came by hasn't happened, and begins
/// again.
async fn on_ground<G: Ground>(
    case: Case,
    first_id: i32,
    ground: Option<G>,
    mutant: Option<&str>,
) -> (G, Duration, Vec<String>) {
    let mut ground = match ground {
        Some(ground) => ground,
        None => G::start().await,
    };
    let began = Instant::now();
    let mut violations = None;
    for first_id in (0..TRIES).map(|attempt| first_id + attempt * IDS) {
        violations = run::run(case, first_id..first_id + ORDERS, &mut ground, mutant).await;
        if violations.is_some() {
            break;
        }
    }
    let violations = violations.unwrap_or_else(|| vec![format!("nobody came by its failpoint in {TRIES} tries")]);
    (ground, began.elapsed(), violations)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
