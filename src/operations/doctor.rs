//! Examines queue and store: what was found, what it costs, and what to do about it. Changes nothing; whatever there is to do
//! is for a person to paste.
//!
//! A check is a function from facts to a finding, and knows no server. [`crate::port::diagnosis`] gathers the facts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::port::controls::Controls;
use crate::port::diagnosis::{QueueDiagnosis, QueueFacts, StoreDiagnosis, StoreFacts};
use crate::port::jobs::{Jobs, MOST_JOBS};
use crate::port::schema::Schema;

mod access;
mod clocks;
mod embedded;
mod jobs;
mod paused;
mod redis;
mod server;
mod session;
mod vacuum;
mod words;
mod writes;

#[cfg(test)]
mod tests;

/// How much a finding matters, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It costs much, or risks something.
    Warning,
    /// Better otherwise, or good to know.
    Notice,
    /// It could not be seen, or there is too little to judge by.
    Unknown,
    /// As it should be.
    Ok,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The check's name, which stays.
    pub check: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What was found, with its numbers.
    pub found: String,
    /// What it costs or risks, unless that is nothing.
    pub costs: Option<String>,
    /// Statements and settings to paste.
    #[serde(rename = "do")]
    pub remedy: Vec<String>,
    /// What to know before.
    pub caution: Option<String>,
    /// The numbers that it was judged by.
    pub values: BTreeMap<&'static str, Value>,
}

impl Finding {
    fn new(check: &'static str, level: Level, found: impl Into<String>) -> Self {
        Self {
            check,
            level,
            found: found.into(),
            costs: None,
            remedy: Vec::new(),
            caution: None,
            values: BTreeMap::new(),
        }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, found)
    }

    fn notice(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Notice, found)
    }

    fn warning(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, found)
    }

    /// That something could not be seen, and why.
    fn unknown(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Level::Unknown, why)
    }

    fn costs(self, costs: impl Into<String>) -> Self {
        Self { costs: Some(costs.into()), ..self }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.push(remedy.into());
        self
    }

    fn caution(self, caution: impl Into<String>) -> Self {
        Self { caution: Some(caution.into()), ..self }
    }

    fn value(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.insert(name, value.into());
        self
    }
}

/// An examination. [`Report::unanswered`] and warnings make the exit code.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What the store is; `None` where it did not answer.
    pub store: Option<String>,
    /// What the queue is, likewise.
    pub queue: Option<String>,
    /// How many findings there are of each level.
    #[serde(flatten)]
    pub counts: Counts,
    /// The findings, those that matter most first.
    pub findings: Vec<Finding>,
    /// Why queue or store could not be looked at.
    pub unanswered: Vec<String>,
}

/// How many findings there are of each level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// [`Level::Warning`]
    pub warnings: usize,
    /// [`Level::Notice`]
    pub notices: usize,
    /// [`Level::Unknown`]
    pub unknown: usize,
    /// [`Level::Ok`]
    pub ok: usize,
}

/// Examines both. One that doesn't answer hides nothing of the other. What changes in the store is counted for `sample`.
pub async fn examine(
    queue: &dyn QueueDiagnosis,
    store: &dyn StoreDiagnosis,
    schema: &dyn Schema,
    controls: &dyn Controls,
    jobs: &dyn Jobs,
    sample: Duration,
) -> Report {
    let tables = async {
        let (set, listed) = (controls.controls().await, jobs.jobs(MOST_JOBS).await);
        (schema.check().await, schema.warning().await, set, listed)
    };
    let (queue, store, (checked, warning, set, listed)) =
        tokio::join!(queue.queue_facts(), store.store_facts(sample), tables);
    let mut report = Report::default();
    let mut findings = Vec::new();
    let queue = queue.map_err(|error| report.unanswered.push(error.to_string())).ok();
    let store = store.map_err(|error| report.unanswered.push(error.to_string())).ok();
    if let Some(store) = &store {
        report.store = Some(name_of_store(store));
        findings.extend(of_store(store));
        let role = match store {
            StoreFacts::Postgres(facts) => Some(facts.role.name.as_str()),
            StoreFacts::Embedded(_) => None,
        };
        findings.push(access::tables(role, &checked, &warning));
        findings.push(paused::controls(&set));
        findings.push(jobs::jobs(&listed));
    }
    if let Some(queue) = &queue {
        report.queue = Some(name_of_queue(queue));
        findings.extend(of_queue(queue, store.as_ref()));
    }
    findings.extend(clocks::clocks(store.as_ref(), queue.as_ref()));
    // Stable: what is told in one go stays together.
    findings.sort_by_key(|finding| finding.level);
    let of = |level| findings.iter().filter(|finding| finding.level == level).count();
    report.counts = Counts {
        warnings: of(Level::Warning),
        notices: of(Level::Notice),
        unknown: of(Level::Unknown),
        ok: of(Level::Ok),
    };
    Report { findings, ..report }
}

fn name_of_store(facts: &StoreFacts) -> String {
    match facts {
        StoreFacts::Postgres(facts) => {
            let (version, database, role) = (&facts.version_name, &facts.database, &facts.role.name);
            format!("Postgres {version}, database {database}, role {role}")
        }
        StoreFacts::Embedded(facts) => format!("SQLite, {}", facts.path.display()),
    }
}

fn name_of_queue(facts: &QueueFacts) -> String {
    match facts {
        QueueFacts::Redis(facts) => facts.name(),
        QueueFacts::Embedded(facts) => format!("SQLite, {}", facts.path.display()),
    }
}

fn of_store(facts: &StoreFacts) -> Vec<Finding> {
    match facts {
        StoreFacts::Embedded(facts) => embedded::all(facts),
        StoreFacts::Postgres(facts) => {
            let checks = [
                writes::hot_updates,
                writes::written_indexes,
                writes::fillfactor,
                writes::wal_per_order,
                vacuum::transactions,
                vacuum::replication_slots,
                vacuum::prepared_transactions,
                vacuum::dead_rows,
                vacuum::autovacuum,
                server::checkpoints,
                server::durability,
                session::settings,
                server::connections,
                server::store_latency,
                clocks::time_zone,
                access::excess_rights,
                access::store_transport,
            ];
            checks.iter().map(|check| check(facts)).collect()
        }
    }
}

fn of_queue(facts: &QueueFacts, store: Option<&StoreFacts>) -> Vec<Finding> {
    match (facts, store) {
        (QueueFacts::Embedded(file), Some(StoreFacts::Embedded(other))) if file.path == other.path => Vec::new(),
        (QueueFacts::Embedded(file), _) => embedded::all(file),
        (QueueFacts::Redis(facts), _) => redis::all(facts),
    }
}
