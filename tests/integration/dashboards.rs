//! The dashboards of `deploy/grafana`: they keep the rules of grafana/dashboard-linter, agree with `docs/METRICS.md`, and
//! each of their queries finds data in a real Prometheus that scrapes real workers.

mod dashboard;
mod documentation;
mod linter;
mod live;
mod present;
mod promql;
mod provisioning;
mod queries;
mod rules;
