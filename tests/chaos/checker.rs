//! Holds what was seen against what is promised.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::evidence::{Event, Evidence};
use crate::inject::Over;
use crate::producer::{Entry, Told};
use crate::world::{Killed, LEASE, REJECTED_PRODUCT};

/// Longest time beyond the lease until a killed worker's orders are taken over.
const TAKEOVER_GRACE_MICROS: i64 = 5_000_000;

/// What was counted, and everything that is not as promised.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Rows by status.
    pub(crate) by_status: BTreeMap<String, usize>,
    /// Requests that the producer was told are done, without a row or without an end; and rows without an end.
    pub(crate) lost: usize,
    /// Orders fulfilled more than once, by their timelines.
    pub(crate) double_in_table: usize,
    /// Keys that the warehouse shipped more than once.
    pub(crate) double_at_warehouse: usize,
    pub(crate) keys: usize,
    pub(crate) calls: usize,
    pub(crate) effects: usize,
    pub(crate) poison_kept: usize,
    /// From each kill to the next transition of each order that the worker had in hand: all of them, and those where
    /// nothing else was wrong.
    pub(crate) takeovers_micros: Vec<i64>,
    pub(crate) undisturbed_takeovers_micros: Vec<i64>,
    /// From each fault's end to the first fulfilment of an order placed after it.
    pub(crate) first_fulfilments_micros: Vec<i64>,
    /// From row to fulfilment, of each order.
    pub(crate) ages_micros: Vec<i64>,
    /// Each names what it is about; the first of a kind says it all, so that there are few of each.
    violations: BTreeMap<&'static str, Vec<String>>,
}

impl Verdict {
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

    /// Checks everything that the evidence tells.
    pub(crate) fn reach(evidence: &Evidence, journal: &[Entry], killed: &[Killed], faults: &[Over]) -> Self {
        let mut verdict = Self::default();
        verdict.check_rows(evidence);
        verdict.check_journal(evidence, journal);
        verdict.check_timelines(evidence);
        verdict.check_warehouse(evidence);
        verdict.check_dead_letters(evidence);
        verdict.check_takeovers(evidence, killed);
        verdict.measure(evidence, faults);
        verdict
    }

    fn check_rows(&mut self, evidence: &Evidence) {
        for (&order, row) in &evidence.rows {
            *self.by_status.entry(row.status.clone()).or_default() += 1;
            let expected = if row.product == REJECTED_PRODUCT { "failed" } else { "fulfilled" };
            if !["fulfilled", "failed"].contains(&row.status.as_str()) {
                self.lost += 1;
                self.violation("every order comes to an end", evidence.story(order));
            } else if row.status != expected {
                self.violation("an order fails if and only if the warehouse rejects it", evidence.story(order));
            }
        }
    }

    fn check_journal(&mut self, evidence: &Evidence, journal: &[Entry]) {
        let requests: HashSet<i32> = evidence.rows.values().map(|row| row.request).collect();
        for entry in journal {
            for request in entry.requests.clone() {
                let there = requests.contains(&request);
                if entry.inserted == Told::Done && !there {
                    self.lost += 1;
                    self.violation("an order that was accepted has a row", format!("request {request}: {entry:?}"));
                }
                if entry.inserted == Told::Failed && there {
                    self.violation("a request that was refused has no row", format!("request {request}: {entry:?}"));
                }
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
            let taken_from_its_holder =
                |pair: &[Event]| pair[1].state != "processing" && pair[0].worker != pair[1].worker;
            if timeline.windows(2).any(|pair| pair[0].state == "processing" && taken_from_its_holder(pair)) {
                self.violation("only who holds an order ends its attempt", evidence.story(order));
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
        let mut shipped: HashSet<i64> = HashSet::new();
        for call in &evidence.calls {
            let (Some(key), Some(order)) = (call["key"].as_str(), call["order_id"].as_i64()) else {
                self.violation("calls keep to the contract", call.to_string());
                continue;
            };
            self.calls += 1;
            keys_of.entry(order).or_default().insert(key);
            if call["effect"] == Value::Bool(true) {
                *effects.entry(key).or_default() += 1;
                shipped.insert(order);
            }
        }
        self.keys = effects.len();
        self.effects = effects.values().sum();
        for (key, _) in effects.iter().filter(|(_, count)| **count > 1) {
            self.double_at_warehouse += 1;
            self.violation("a key is shipped once", (*key).to_owned());
        }
        for (order, keys) in keys_of.iter().filter(|(_, keys)| keys.len() > 1) {
            self.violation("an order has one key", format!("order {order}: {keys:?}"));
        }
        for (&order, row) in &evidence.rows {
            if (row.status == "fulfilled") != shipped.contains(&order) {
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

    fn check_takeovers(&mut self, evidence: &Evidence, killed: &[Killed]) {
        let limit = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX) + TAKEOVER_GRACE_MICROS;
        let kills: HashMap<&str, &Killed> = killed.iter().map(|killed| (killed.worker.as_str(), killed)).collect();
        let next_steps = evidence
            .timelines
            .iter()
            .flat_map(|(order, timeline)| timeline.windows(2).map(move |pair| (*order, &pair[0], &pair[1])));
        for (order, Event { at_micros, state, worker }, next) in next_steps {
            if state != "processing" || next.worker == *worker {
                continue;
            }
            let Some(kill) = kills.get(worker.as_str()) else { continue };
            // The worker had lost this one before: it was not in hand any more.
            if next.at_micros < kill.at_micros {
                continue;
            }
            let took = next.at_micros - kill.at_micros.max(*at_micros);
            self.takeovers_micros.push(took);
            if kill.alone {
                self.undisturbed_takeovers_micros.push(took);
                if took > limit {
                    self.violation("orders of a killed worker are taken over in time", evidence.story(order));
                }
            }
        }
    }

    fn measure(&mut self, evidence: &Evidence, faults: &[Over]) {
        let mut fulfilled: Vec<(i64, i64)> = Vec::new();
        for (&order, row) in &evidence.rows {
            let at = evidence.timeline(order).iter().find(|event| event.state == "fulfilled");
            fulfilled.extend(at.map(|event| (row.created_micros, event.at_micros)));
        }
        self.ages_micros = fulfilled.iter().map(|(created, at)| at - created).collect();
        fulfilled.sort_unstable();
        // Of all orders from here on, the first that was fulfilled.
        let mut earliest = i64::MAX;
        for (_, at) in fulfilled.iter_mut().rev() {
            earliest = earliest.min(*at);
            *at = earliest;
        }
        for over in faults.iter().filter(|over| !over.fault.is_input()) {
            let next = fulfilled.partition_point(|(created, _)| *created < over.at_micros);
            self.first_fulfilments_micros.extend(fulfilled.get(next).map(|(_, at)| at - over.at_micros));
        }
    }
}

fn is_a_step(from: &str, to: &str) -> bool {
    match from {
        "pending" => to == "processing",
        "processing" => ["processing", "pending", "fulfilled", "failed"].contains(&to),
        _ => false,
    }
}
