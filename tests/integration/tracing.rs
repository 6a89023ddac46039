//! The real binary exports traces to a collector, which may be in trouble. Started by `make test`, which starts the servers.

pub(crate) mod collector;
mod configuration;
mod exemplars;
mod place;
mod spans;
mod trouble;
