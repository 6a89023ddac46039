//! The dashboards of `deploy/grafana`: they keep the rules of grafana/dashboard-linter, agree with `docs/METRICS.md`, and
//! each of their queries finds data in a real Prometheus that scrapes real workers.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test that can't go on has failed")]

#[path = "../support/prometheus.rs"]
mod prometheus_server;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the other tests, which need more of it")]
mod support;
#[path = "../support/warehouse.rs"]
#[expect(dead_code, reason = "shared with the tests of the warehouse itself, which use all of it")]
mod warehouse;

mod dashboard;
mod documentation;
mod linter;
mod live;
mod present;
mod promql;
mod provisioning;
mod queries;
mod rules;
