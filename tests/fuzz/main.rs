//! Whatever reads bytes of others, fed with bytes that nobody would send: examples from `corpus`, and many times each of
//! them with pieces replaced, repeated, left out or put in. `make fuzz` does it millions of times.
//!
//! An input that fails is shown; put into the corpus, it is tried first from then on.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed, and says how much was tried"
)]

mod mutation;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::{env, fs};

use mutation::Mutator;

/// Executions of each target, unless `FUZZ_EXECUTIONS` says otherwise.
const USUAL_EXECUTIONS: u64 = 10_000;

/// Caught, when seeded: a quantity of 0 that is let through.
#[test]
fn any_bytes_are_a_message_or_poison() {
    run("message", targets::message);
}

/// Caught, when seeded: lines behind an open quote that are read in another order.
#[test]
fn any_csv_file_is_read_to_its_end() {
    run("csv", targets::csv);
}

/// Caught, when seeded: a slice beyond the end of a line.
#[test]
fn any_json_lines_file_is_read_to_its_end() {
    run("jsonl", targets::jsonl);
}

/// Caught, when seeded: a line number that is one too high.
#[test]
fn any_configuration_file_is_read_or_refused_with_its_line() {
    run("config", targets::config);
}

/// Caught, when seeded: more verdicts than receipts.
#[test]
fn any_answer_of_redis_is_understood_or_refused() {
    run("redis_reply", targets::redis_reply);
}

/// Caught, when seeded: a status URL of another host.
#[test]
fn any_answer_of_a_warehouse_has_a_meaning() {
    run("http_answer", targets::http_answer);
}

/// Caught, when seeded: seconds without a limit.
#[test]
fn any_retry_after_is_a_pause_of_a_day_at_most_or_none() {
    run("retry_after", targets::retry_after);
}

fn run(name: &str, target: fn(&[u8])) {
    let examples = corpus(name);
    for example in &examples {
        execute(name, target, example);
    }
    let (executions, seed) = (number("FUZZ_EXECUTIONS", USUAL_EXECUTIONS), number("FUZZ_SEED", 1));
    let mut mutator = Mutator::new(seed, &examples);
    for _ in 0..executions {
        execute(name, target, &mutator.next_input());
    }
    println!("{name}: {} examples, {executions} executions with seed {seed}, none failed", examples.len());
}

fn execute(name: &str, target: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        println!("{name} fails with \"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The same order everywhere: a seed stands for the same inputs.
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

fn number(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |value| value.parse().unwrap())
}
