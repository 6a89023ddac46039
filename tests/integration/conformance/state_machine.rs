//! Random sequences of everything that may happen to queue and store together, at the real backends and in the model
//! (docs/MODEL.md): what they answer and what they hold must be the same after every step. A sequence that fails is cut
//! down to a short story.
//!
//! `make properties CASES=10000` tries many; here the seed is fixed, unless `PROPERTY_SEED` says otherwise.

use std::sync::atomic::Ordering;

use fulfillment_model::sequence::{Step, World, sequences};
use fulfillment_worker::domain::dead_letter::{DeadReason, Resolution};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};
use tokio::runtime::Runtime;

mod backends;
mod replay;

use backends::{Backend, Embedded, RedisAndPostgres};
use replay::{Difference, Replay, stores};

/// Sequences for each backend, unless `PROPERTY_CASES` says otherwise.
const USUAL_CASES: u32 = 50;
const USUAL_SEED: u64 = 1;
/// Steps of a sequence at most.
const MOST_STEPS: usize = 40;
/// Sequences that are tried to find a shorter one that fails, too.
const MOST_CUTS: u32 = 2_000;

/// Caught, when seeded: a conclusion that a worker makes with a fence from before a takeover (Postgres), a message that is
/// settled twice within a batch, a hand-back that keeps the attempt (Redis). Found: one dead letter that was marked twice
/// within a batch (Postgres), see `the_same_letter_twice_in_a_batch_is_marked_once`.
#[test]
fn redis_and_postgres_do_what_the_model_does() {
    random_sequences::<RedisAndPostgres>();
}

/// Caught, when seeded: a lease that is renewed with the receipt of an earlier claim, a discarded letter that is discarded
/// again.
#[test]
fn the_embedded_backend_does_what_the_model_does() {
    random_sequences::<Embedded>();
}

/// What once made a difference between backend and model, as it was told.
fn regression<B: Backend>(steps: &[Step]) {
    let runtime = Runtime::new().expect("a runtime");
    let told = runtime.block_on(async {
        let mut backend = B::open().await;
        let stores = stores(&backend).await;
        run(&mut backend, &stores, World::new(B::LOSES_ANSWERS), steps, || ()).await
    });
    if let Err(difference) = told {
        panic!("{}", story(steps, &difference));
    }
}

#[test]
fn regression_of_a_letter_that_was_marked_twice_within_a_batch() {
    regression::<RedisAndPostgres>(&[
        Step::Push { orders: vec![0] },
        Step::Claim { worker: 1, limit: 1_000 },
        Step::InsertLetters { worker: 1, receipts: vec![0], reason: DeadReason::UnknownOrder },
        Step::Resolve { letters: vec![0, 0], resolution: Resolution::Retried },
    ]);
}

fn random_sequences<B: Backend + 'static>() {
    let (cases, seed) = (variable("PROPERTY_CASES", USUAL_CASES), variable("PROPERTY_SEED", USUAL_SEED));
    let runtime = Runtime::new().expect("a runtime");
    let (backend, stores) = runtime.block_on(async {
        let backend = B::open().await;
        let stores = stores(&backend).await;
        (backend, stores)
    });
    let backend = std::cell::RefCell::new(backend);
    let config = Config {
        cases,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: MOST_CUTS,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let sequences = sequences(B::LOSES_ANSWERS, MOST_STEPS);
    let steps_taken = std::cell::Cell::new(0_u64);
    let outcome = runner.run(&sequences, |(world, steps, seen)| {
        let count = || {
            steps_taken.set(steps_taken.get() + 1);
            // Tells the library which steps a failure doesn't need.
            seen.as_ref().map(|seen| seen.fetch_add(1, Ordering::SeqCst))
        };
        let told = runtime.block_on(run(&mut *backend.borrow_mut(), &stores, world, &steps, count));
        told.map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => eprintln!("{cases} sequences of {} steps in all, seed {seed}: none differs", steps_taken.get()),
        Err(TestError::Fail(difference, (_, steps, _))) => panic!("{}", story(&steps, difference.message())),
        Err(TestError::Abort(reason)) => panic!("gave up: {reason}"),
    }
}

/// Takes the steps, and says at which one the backend differs from the model.
async fn run<B: Backend, T>(
    backend: &mut B,
    stores: &[crate::conformance::store::Worker],
    mut world: World,
    steps: &[Step],
    mut count: impl FnMut() -> T,
) -> Result<(), Difference> {
    let mut replay = Replay::new(backend, stores).await;
    for (position, step) in steps.iter().enumerate() {
        count();
        world.take(step);
        replay.take(step, &world).await.map_err(|difference| format!("step {}: {difference}", position + 1))?;
    }
    replay.end(&world).await.map_err(|difference| format!("at the end: {difference}"))
}

fn story(steps: &[Step], difference: &str) -> String {
    let told: Vec<String> = (1..).zip(steps).map(|(number, step)| format!("{number:>3}. {step:?}")).collect();
    format!("the backend does otherwise than the model\n{}\n{difference}", told.join("\n"))
}

fn variable<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str, usual: T) -> T {
    std::env::var(name).map_or(usual, |value| value.parse().expect("a number"))
}
