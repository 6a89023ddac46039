//! The real binary against real servers, one topic a module. Started by `make test`, which starts the servers.

#[path = "../support/mod.rs"]
mod support;

mod foreign_producer;
mod outages;
mod prometheus;
mod real_orders;
mod shutdown;
