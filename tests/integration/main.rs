//! Every test of the worker as a whole: one binary, so that one pool of threads runs all of them and what they share is
//! compiled once. Each module says what its tests need. `scripts/with-servers.sh` starts the servers that they share.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at the first thing that isn't as it should be, and says what it saw"
)]
#![cfg_attr(not(feature = "faults"), expect(dead_code, reason = "made for the matrix and the mutants, too"))]

mod access;
mod api;
mod book;
mod build_info;
mod chaos;
mod cli;
mod compose;
mod config_and_run;
mod configuration;
mod configuring;
mod conformance;
mod dashboards;
mod dead_letters;
mod decisions;
mod doctor;
mod embedding;
mod end_to_end;
mod engine;
mod exposition;
mod failover;
mod file_access;
mod first_contact;
mod foreign_text;
mod http_fulfiller;
mod http_server;
mod image;
mod incidents;
mod jobs;
mod kubernetes;
mod lists;
mod log_filter;
mod logging;
#[cfg(feature = "faults")]
mod matrix;

#[cfg(feature = "faults")]
mod mutants;
mod page;
mod postgres_store;
mod pressure;
mod producers;
mod redis_queue;
mod secrets;
mod sqlite_durability;
mod sqlite_sharing;
mod stack;
mod stalled_log;
mod status;
mod strange_requests;
mod submission;
mod submitting;
mod support;
mod systemd;
mod tracing;
mod upgrading;
mod warehouse;
mod warehouse_faults;
mod without_threads;

/// Otherwise they would be missing without a word.
#[cfg(not(feature = "faults"))]
#[test]
fn the_matrix_and_the_mutants_are_there() {
    panic!(
        "they need failpoints: `make test` runs every test, and `cargo test --workspace --features faults` has them"
    );
}
