//! Holds what was seen once all is quiet against what is promised, whatever went wrong before.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::evidence::{Event, Evidence, REJECTED_PRODUCT};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

/// What was counted, and everything that is not as promised.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Rows by status.
    pub(crate) by_status: BTreeMap<String, usize>,
    /// Rows without an end, and whatever else somebody finds lost.
    pub(crate) lost: usize,
    /// Orders fulfilled more than once, by their timelines.
    pub(crate) double_in_table: usize,
    /// Keys that the warehouse shipped more than once.
    pub(crate) double_at_warehouse: usize,
    pub(crate) keys: usize,
    pub(crate) calls: usize,
    pub(crate) effects: usize,
    pub(crate) poison_kept: usize,
    /// Each names what it is about; the first of a kind says it all, so that there are few of each.
    violations: BTreeMap<&'static str, Vec<String>>,
}

impl Findings {
    /// Notes something that is not as promised.
    pub(crate) fn violation(&mut self, promise: &'static str, seen: String) {
        self.violations.entry(promise).or_default().push(seen);
    }

    /// What is not as promised, a line each, with the first few cases.
    pub(crate) fn violations(&self) -> Vec<String> {
        let line = |(promise, cases): (&&str, &Vec<String>)| {
            let first: Vec<&str> = cases.iter().take(3).map(String::as_str).collect();
            format!("{promise}: {} cases, such as {}", cases.len(), first.join("; "))
        };
        self.violations.iter().map(line).collect()
    }

    /// Checks rows, timelines, dead letters and the warehouse's record.
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let mut findings = Self::without_warehouse(evidence);
        findings.check_warehouse(evidence);
        findings
    }

    /// Checks what there is to check where no warehouse keeps a record.
    pub(crate) fn without_warehouse(evidence: &Evidence) -> Self {
        let mut findings = Self::default();
        findings.check_rows(evidence);
        findings.check_timelines(evidence);
        findings.check_dead_letters(evidence);
        findings
    }

    fn check_rows(&mut self, evidence: &Evidence) {
        for (&order, row) in &evidence.rows {
            *self.by_status.entry(row.status.clone()).or_default() += 1;
            let expected = if row.product == REJECTED_PRODUCT { "failed" } else { "fulfilled" };
            if !["fulfilled", "failed", "cancelled"].contains(&row.status.as_str()) {
                self.lost += 1;
                self.violation("every order comes to an end", evidence.story(order));
            } else if row.status != expected && row.status != "cancelled" {
                self.violation("an order fails if and only if the warehouse rejects it", evidence.story(order));
            }
        }
    }

    fn check_timelines(&mut self, evidence: &Evidence) {
        for (&order, row) in &evidence.rows {
            let timeline = evidence.timeline(order);
            let fulfilled = timeline.iter().filter(|event| event.state == "fulfilled").count();
            if fulfilled > 1 {
                self.double_in_table += 1;
            }
            if fulfilled != usize::from(row.status == "fulfilled") {
                self.violation("an order is fulfilled once", evidence.story(order));
            }
            let mut state = "pending";
            for event in timeline {
                if !is_a_step(state, &event.state) {
                    self.violation("an order only takes steps that there are", evidence.story(order));
                }
                state = &event.state;
            }
            // The entry that ends an attempt has its number, and the worker of the one before it.
            let holder = |event: &Event| (event.attempt, event.worker.clone());
            let taken_from_its_holder = |pair: &[Event]| {
                // An operator cancels whoever holds it.
                !["processing", "cancelled"].contains(&pair[1].state.as_str()) && holder(&pair[0]) != holder(&pair[1])
            };
            if timeline.windows(2).any(|pair| pair[0].state == "processing" && taken_from_its_holder(pair)) {
                self.violation("only who holds an order ends its attempt", evidence.story(order));
            }
            if is_begun_while_held(timeline) {
                self.violation("no order is begun while it is held", evidence.story(order));
            }
            if timeline.last().is_some_and(|last| last.at_micros != row.updated_micros || last.state != row.status) {
                self.violation("the timeline ends as the row does", evidence.story(order));
            }
            if timeline.windows(2).any(|pair| pair[0].at_micros >= pair[1].at_micros) {
                self.violation("a fence only moves forward", evidence.story(order));
            }
        }
        for &order in evidence.timelines.keys().filter(|order| !evidence.rows.contains_key(order)) {
            self.violation("a timeline belongs to an order", evidence.story(order));
        }
    }

    fn check_warehouse(&mut self, evidence: &Evidence) {
        let mut effects: HashMap<&str, usize> = HashMap::new();
        let mut keys_of: HashMap<i64, HashSet<&str>> = HashMap::new();
        let mut shipped: HashMap<i64, usize> = HashMap::new();
        for call in &evidence.calls {
            let (Some(key), Some(order)) = (call["key"].as_str(), call["order_id"].as_i64()) else {
                self.violation("calls keep to the contract", call.to_string());
                continue;
            };
            self.calls += 1;
            keys_of.entry(order).or_default().insert(key);
            if call["effect"] == Value::Bool(true) {
                *effects.entry(key).or_default() += 1;
                *shipped.entry(order).or_default() += 1;
            }
        }
        self.keys = effects.len();
        self.effects = effects.values().sum();
        for (key, _) in effects.iter().filter(|(_, count)| **count > 1) {
            self.double_at_warehouse += 1;
            self.violation("a key is shipped once", (*key).to_owned());
        }
        for (order, _) in shipped.iter().filter(|(_, count)| **count > 1) {
            self.violation("an order is shipped once", evidence.story(*order));
        }
        for (order, keys) in keys_of.iter().filter(|(_, keys)| keys.len() > 1) {
            self.violation("an order has one key", format!("order {order}: {keys:?}"));
        }
        for (&order, row) in &evidence.rows {
            let (is_shipped, is_called) = (shipped.contains_key(&order), keys_of.contains_key(&order));
            if row.status == "cancelled" {
                // During a call nobody knows; before it there is none.
                let is_begun = evidence.timeline(order).iter().any(|event| event.state == "processing");
                if is_called && !is_begun {
                    self.violation("no call is made for what was cancelled before", evidence.story(order));
                }
            } else if (row.status == "fulfilled") != is_shipped {
                self.violation("an order is shipped if and only if it is fulfilled", evidence.story(order));
            }
        }
    }

    fn check_dead_letters(&mut self, evidence: &Evidence) {
        let mut rejected: HashMap<i64, usize> = HashMap::new();
        for (reason, order) in &evidence.dead_letters {
            match (reason.as_str(), order) {
                ("invalid_message", None) => self.poison_kept += 1,
                ("rejected", Some(order)) => *rejected.entry(*order).or_default() += 1,
                _ => self.violation("nothing is given up without need", format!("order {order:?}: {reason}")),
            }
        }
        for (&order, row) in &evidence.rows {
            let letters = rejected.get(&order).copied().unwrap_or_default();
            if letters != usize::from(row.status == "failed") {
                self.violation("a failed order has one dead letter", format!("{letters}: {}", evidence.story(order)));
            }
        }
    }
}

fn is_a_step(from: &str, to: &str) -> bool {
    match from {
        // A hold, and its end, are noted.
        "pending" => ["processing", "pending", "cancelled"].contains(&to),
        "processing" => ["processing", "pending", "fulfilled", "failed", "cancelled"].contains(&to),
        _ => false,
    }
}

/// Whether an attempt begins between a hold and its end.
fn is_begun_while_held(timeline: &[Event]) -> bool {
    let mut until = i64::MIN;
    for event in timeline {
        let note = event.note.as_deref().unwrap_or_default();
        if let Some(how) = note.strip_prefix("held ") {
            until = end_of_hold(how, event.at_micros);
        } else if note.starts_with("released by ") {
            until = i64::MIN;
        } else if event.state == "processing" && event.at_micros < until {
            return true;
        }
    }
    false
}

/// As the note has it, to be on the safe side: the hold is a little older than its entry, or younger.
fn end_of_hold(how: &str, at_micros: i64) -> i64 {
    const SLACK_MICROS: i64 = 100_000;
    let words: Vec<&str> = how.split(' ').collect();
    match words[..] {
        ["by", ..] => i64::MAX,
        ["for", time, "by", ..] => {
            let time: jiff::SignedDuration = time.parse().unwrap_or_else(|error| panic!("{how}: {error}"));
            at_micros + i64::try_from(time.as_micros()).expect("a short hold") - SLACK_MICROS
        }
        ["until", time, "by", ..] => {
            let time: jiff::Timestamp = time.parse().unwrap_or_else(|error| panic!("{how}: {error}"));
            time.as_microsecond() - SLACK_MICROS
        }
        _ => panic!("what hold is this: {how}"),
    }
}

/// Whether what a worker says of itself fits to the rows.
pub(crate) fn plausible(worker: &WorkerProcess, evidence: &Evidence) -> Result<(), String> {
    let name = identity(worker).ok_or("the worker has not started")?;
    let metrics = worker.metrics();
    for series in ["fulfillment_orders_in_flight", "fulfillment_queue_depth"] {
        if metrics.value(series) != 0.0 {
            return Err(format!("{name}: {series} is {} at rest", metrics.value(series)));
        }
    }
    let (own, taken_over) = fulfilled(evidence, &name);
    let told = metrics.processed("success");
    // An order that was taken over meanwhile may count here once more, if the answer to our own conclusion was lost: from
    // the row nobody can tell whose it was.
    if told >= own as f64 && told <= (own + taken_over) as f64 {
        return Ok(());
    }
    Err(format!("{name} fulfilled {own} orders, lost {taken_over} that were fulfilled then, and it counts {told}"))
}

/// How many orders a worker fulfilled; and how many that it had begun were taken over, be it by itself, and fulfilled.
fn fulfilled(evidence: &Evidence, worker: &str) -> (usize, usize) {
    let (mut own, mut taken_over) = (0, 0);
    for timeline in evidence.timelines.values() {
        let is_begun = |event: &Event| event.state == "processing" && event.worker == worker;
        if let Some(last) = timeline.iter().find(|event| event.state == "fulfilled") {
            own += usize::from(last.worker == worker);
            let from_itself = timeline.windows(2).any(|pair| is_begun(&pair[0]) && is_begun(&pair[1]));
            let from_others = last.worker != worker && timeline.iter().any(is_begun);
            taken_over += usize::from(from_itself || from_others);
        }
    }
    (own, taken_over)
}

/// What a worker calls itself in the timeline; nothing before it has told.
pub(crate) fn identity(worker: &WorkerProcess) -> Option<String> {
    let output = worker.output();
    let started = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    started.filter(|line| message(line) == Some("started")).find_map(|line| {
        let fields = line.get("fields").unwrap_or(&line);
        fields.get("worker").and_then(Value::as_str).map(str::to_owned)
    })
}

/// Waits until a worker has started, and has one.
pub(crate) async fn identity_once_started(worker: &WorkerProcess) -> String {
    eventually(LONG, "the worker has started", async || identity(worker).ok_or("it has not")).await
}

fn message(line: &Value) -> Option<&str> {
    line.get("message").or_else(|| line.get("fields")?.get("message")).and_then(Value::as_str)
}
