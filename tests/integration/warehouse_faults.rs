//! Workers and a warehouse as real processes, on Redis and Postgres, while things go wrong. `make storm` and
//! `make outage` run the same tests at full size, and print the figures that docs/BENCHMARKS.md keeps.

mod limits;
mod locked_rows;
mod outage;
mod retry_budget;
mod secrets;
mod storm;

/// A number from the environment, for running a test at another size.
fn size(variable: &str, unless_set: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a whole number: {text}")),
        Err(_) => unless_set,
    }
}
