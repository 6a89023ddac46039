//! What only the queue in Redis promises: its keys, its scripts, and how it lives with a server that is killed, full,
//! demoted or locked. What every queue promises is in `crates/testkit`.
//!
//! Each test starts a server of its own, as it stops it or changes its configuration.

mod access;
mod cluster;
mod configuration;
mod keys;
mod lost_answers;
mod nodes;
mod outages;
mod replication;
mod scripts;
mod sentinel;
mod server;
mod tls;
mod tls_files;
mod urls;
mod valkey;
