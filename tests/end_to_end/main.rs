//! The real binary against real servers, one topic a module. Started by `make test`, which starts the servers.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test that can't go on has failed")]

#[path = "../support/prometheus.rs"]
#[expect(dead_code, reason = "shared with the tests of the dashboards, which ask for rules, too")]
mod prometheus_server;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the soak, which fills disks, too")]
mod support;
#[path = "../support/warehouse.rs"]
#[expect(dead_code, reason = "shared with the tests of the warehouse itself, which use all of it")]
mod warehouse;

mod alerts;
mod clocks;
mod demo;
mod demo_commands;
mod foreign_producer;
mod formats;
mod outages;
mod prometheus;
mod readings;
mod real_orders;
mod reconciliation;
mod shutdown;
mod stopped;
