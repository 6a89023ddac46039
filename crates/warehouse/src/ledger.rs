//! What was asked for and what was shipped: by key, in numbers, and in the record.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::record::{Done, Line, Record, RecordError};
use super::shipment::Shipment;

/// What a warehouse did since it was opened, and before that by its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Calls to ship something, answered or not.
    pub calls: u64,
    /// Shipments.
    pub effects: u64,
    /// Different keys in calls that keep to the contract.
    pub keys: u64,
    /// Calls with a key that was seen before.
    pub repeated_deliveries: u64,
    /// Shipments beyond the first one of their key: 0, unless keys are not honoured.
    pub double_effects: u64,
    /// Calls under way now.
    pub in_flight: u64,
    /// Most calls that were under way at once, since the start.
    pub in_flight_highest: u64,
    /// Calls by what was done about them, as in the record; and orders finished after a 202.
    pub done: BTreeMap<Done, u64>,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not taken.
    Unknown,
    /// Taken and being worked on.
    InProgress,
    /// Shipped, under this number.
    Shipped(u64),
}

#[derive(Debug, Default)]
struct Entry {
    calls: u64,
    effects: u64,
    /// Calls or background work that hold the order at this moment.
    working: u32,
    number: u64,
}

/// One at a time changes it, so that lines are in the order of what happened.
pub(super) struct Ledger {
    entries: HashMap<Arc<str>, Entry>,
    record: Option<Record>,
    calls: u64,
    effects: u64,
    repeated_deliveries: u64,
    double_effects: u64,
    done: BTreeMap<Done, u64>,
}

/// How callers see the number of a shipment.
pub(super) fn reference(number: u64) -> String {
    format!("WH-{number}")
}

impl Ledger {
    /// With what `record` tells, if there is one.
    pub(super) fn open(record: Option<&Path>) -> Result<Self, RecordError> {
        let mut ledger = Self {
            entries: HashMap::new(),
            record: None,
            calls: 0,
            effects: 0,
            repeated_deliveries: 0,
            double_effects: 0,
            done: BTreeMap::new(),
        };
        ledger.record = record.map(|path| Record::open(path, |line| ledger.remember(line))).transpose()?;
        Ok(ledger)
    }

    fn remember(&mut self, line: Line) {
        if let Some(key) = line.key {
            let key = Arc::from(key);
            if line.done != Done::Finished {
                self.arrive(&key);
            }
            if line.effect {
                self.count_effect(&key);
            }
        }
        self.count(line.done);
    }

    /// Notes a call with a key, and tells how many came before.
    pub(super) fn arrive(&mut self, key: &Arc<str>) -> u64 {
        let entry = self.entries.entry(Arc::clone(key)).or_default();
        let before = entry.calls;
        entry.calls += 1;
        self.repeated_deliveries += u64::from(before > 0);
        before
    }

    pub(super) fn standing(&self, key: &str) -> Standing {
        match self.entries.get(key) {
            Some(entry) if entry.effects > 0 => Standing::Shipped(entry.number),
            Some(entry) if entry.working > 0 => Standing::InProgress,
            _ => Standing::Unknown,
        }
    }

    /// Takes an order to work on, until [`Ledger::ship`].
    pub(super) fn take(&mut self, key: &Arc<str>) {
        self.entries.entry(Arc::clone(key)).or_default().working += 1;
    }

    /// Ships an order that was taken, and gives its number. On an error it is not shipped and no longer taken.
    pub(super) fn ship(&mut self, shipment: &Shipment, done: Done, status: Option<u16>) -> io::Result<u64> {
        if let Some(entry) = self.entries.get_mut(&shipment.key) {
            entry.working = entry.working.saturating_sub(1);
        }
        self.write(Some(shipment), done, status, Some(self.effects + 1))?;
        self.count_effect(&shipment.key);
        self.count(done);
        Ok(self.effects)
    }

    /// Notes what was done about a call that shipped nothing.
    pub(super) fn note(&mut self, shipment: Option<&Shipment>, done: Done, status: Option<u16>) -> io::Result<()> {
        self.write(shipment, done, status, None)?;
        self.count(done);
        Ok(())
    }

    fn write(
        &mut self,
        shipment: Option<&Shipment>,
        done: Done,
        status: Option<u16>,
        number: Option<u64>,
    ) -> io::Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        record.append(&Line {
            at_micros: jiff::Timestamp::now().as_microsecond(),
            key: shipment.map(|shipment| shipment.key.to_string()),
            order_id: shipment.map(|shipment| shipment.order_id),
            attempt: shipment.map(|shipment| shipment.attempt),
            done,
            status,
            effect: number.is_some(),
            reference: number.map(reference),
        })
    }

    fn count_effect(&mut self, key: &Arc<str>) {
        self.effects += 1;
        let entry = self.entries.entry(Arc::clone(key)).or_default();
        entry.effects += 1;
        entry.number = self.effects;
        self.double_effects += u64::from(entry.effects > 1);
    }

    fn count(&mut self, done: Done) {
        self.calls += u64::from(done != Done::Finished);
        *self.done.entry(done).or_default() += 1;
    }

    pub(super) fn stats(&self, in_flight: u64, in_flight_highest: u64) -> Stats {
        Stats {
            calls: self.calls,
            effects: self.effects,
            keys: self.entries.len() as u64,
            repeated_deliveries: self.repeated_deliveries,
            double_effects: self.double_effects,
            in_flight,
            in_flight_highest,
            done: self.done.clone(),
        }
    }
}
