//! Holds what was seen against what is promised, and measures it.

use std::collections::{HashMap, HashSet};

use crate::chaos::inject::Over;
use crate::chaos::producer::{Entry, Told};
use crate::chaos::world::{Killed, LEASE};
use crate::support::evidence::{Event, Evidence};
use crate::support::promises::Findings;

/// Longest time beyond the lease until a killed worker's orders are taken over.
const TAKEOVER_GRACE_MICROS: i64 = 5_000_000;

/// What was counted and measured, and everything that is not as promised.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Lost are also requests that the producer was told are done, and that have no row.
    pub(crate) findings: Findings,
    /// From each kill to the next transition of each order that the worker had in hand: all of them, and those where
    /// nothing else was wrong.
    pub(crate) takeovers_micros: Vec<i64>,
    pub(crate) undisturbed_takeovers_micros: Vec<i64>,
    /// From each fault's end to the first fulfilment of an order placed after it.
    pub(crate) first_fulfilments_micros: Vec<i64>,
    /// From row to fulfilment, of each order.
    pub(crate) ages_micros: Vec<i64>,
}

impl Verdict {
    /// Notes something that is not as promised.
    pub(crate) fn violation(&mut self, promise: &'static str, seen: String) {
        self.findings.violation(promise, seen);
    }

    /// Checks everything that the evidence tells.
    pub(crate) fn reach(evidence: &Evidence, journal: &[Entry], killed: &[Killed], faults: &[Over]) -> Self {
        let mut verdict = Self { findings: Findings::of(evidence), ..Self::default() };
        verdict.check_journal(evidence, journal);
        verdict.check_takeovers(evidence, killed);
        verdict.measure(evidence, faults);
        verdict
    }

    /// Checks what there is to check where no warehouse keeps a record.
    pub(crate) fn without_warehouse(evidence: &Evidence, journal: &[Entry], killed: &[Killed]) -> Self {
        let mut verdict = Self { findings: Findings::without_warehouse(evidence), ..Self::default() };
        verdict.check_journal(evidence, journal);
        verdict.check_takeovers(evidence, killed);
        verdict
    }

    fn check_journal(&mut self, evidence: &Evidence, journal: &[Entry]) {
        let requests: HashSet<i32> = evidence.rows.values().map(|row| row.request).collect();
        for entry in journal {
            for request in entry.requests.clone() {
                let there = requests.contains(&request);
                if entry.inserted == Told::Done && !there {
                    self.findings.lost += 1;
                    self.violation("an order that was accepted has a row", format!("request {request}: {entry:?}"));
                }
                if entry.inserted == Told::Failed && there {
                    self.violation("a request that was refused has no row", format!("request {request}: {entry:?}"));
                }
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
        for (order, Event { at_micros, state, worker, .. }, next) in next_steps {
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
            let was_held = evidence.timeline(order).iter().filter_map(|event| event.note.as_ref());
            if kill.alone && !was_held.clone().any(|note| note.starts_with("held ")) {
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
