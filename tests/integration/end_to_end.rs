//! The real binary against real servers, one topic a module. Started by `make test`, which starts the servers.

mod alerts;
mod clocks;
mod demo;
mod demo_commands;
mod embedded_horizon;
mod foreign_producer;
mod formats;
mod horizon;
mod outages;
mod prometheus;
mod readings;
mod real_orders;
mod reconciliation;
mod replacing;
mod shutdown;
mod stopped;
