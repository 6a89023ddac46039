//! The real binary against real servers, one topic a module. Started by `make test`, which starts the servers.

mod alerts;
mod clocks;
mod dead_letters_open;
mod demo;
mod demo_commands;
mod drain_time;
mod embedded_horizon;
mod foreign_producer;
mod formats;
mod handing_back;
mod horizon;
mod odd_fields;
mod outages;
mod oversized;
mod page;
mod places;
mod prometheus;
mod readings;
mod real_orders;
mod reconciliation;
mod replacing;
mod retention;
mod shutdown;
mod stopped;
mod without_status_index;
mod zone_changes;
