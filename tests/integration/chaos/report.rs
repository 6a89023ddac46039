//! The figures, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::chaos::world::World;
use crate::support::evidence::Evidence;
use crate::support::version::Version;

/// One soak.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) workers: usize,
    pub(crate) lease_seconds: u64,
    pub(crate) orders: usize,
    pub(crate) by_status: BTreeMap<String, usize>,
    /// Requests by what the producer was told of their row, and of their message.
    pub(crate) inserted: BTreeMap<String, usize>,
    pub(crate) pushed: BTreeMap<String, usize>,
    pub(crate) faults: usize,
    pub(crate) faults_by_kind: BTreeMap<String, usize>,
    /// Kinds of faults that can't be brought about on this machine.
    pub(crate) left_out: Vec<String>,
    pub(crate) lost: Zero,
    pub(crate) double_in_table: Zero,
    pub(crate) double_at_warehouse: Zero,
    pub(crate) calls: usize,
    pub(crate) deliveries_per_effect: f64,
    pub(crate) poison_kept: usize,
    /// From a fault's end to the first fulfilment of an order that was placed after it.
    pub(crate) first_fulfilment: Spread,
    /// From the end of a phase's last fault until every order that was accepted before is final.
    pub(crate) all_final: Spread,
    /// From SIGKILL to the next transition of an order in hand, where nothing else was wrong.
    pub(crate) takeover: Spread,
    /// The same, whatever else was wrong.
    pub(crate) takeover_among_other_faults: Spread,
    /// From row to fulfilment.
    pub(crate) age: Spread,
    /// What operators decided and set: commands that were carried out, and those that were not.
    pub(crate) decisions: BTreeMap<String, (usize, usize)>,
    /// Orders by the version of who fulfilled them, where there were two.
    pub(crate) fulfilled_by_version: BTreeMap<String, usize>,
    /// Workers that came in place of one of the other version, by theirs.
    pub(crate) changes_of_version: BTreeMap<String, usize>,
    pub(crate) violations: Vec<String>,
}

impl Report {
    /// Notes what each version has done, where there were two.
    pub(crate) async fn note_versions(&mut self, world: &World, evidence: &Evidence) {
        if world.operators_versions().len() < 2 {
            return;
        }
        let versions = world.versions().await;
        let events = evidence.timelines.values().flatten().filter(|event| event.state == "fulfilled");
        let of = |worker: &String| versions.get(worker).map_or("unknown".to_owned(), |version| version.number());
        for event in events {
            *self.fulfilled_by_version.entry(of(&event.worker)).or_default() += 1;
        }
        for version in [Version::Previous, Version::This] {
            self.changes_of_version.insert(version.number(), world.changes_to(version));
        }
    }
}

/// A count that should be 0, and what it says about the rate behind it.
#[derive(Debug, Serialize)]
pub(crate) struct Zero {
    pub(crate) count: usize,
    pub(crate) of: usize,
    /// Of a count of 0: at 95 % the true rate is below this (3/N).
    pub(crate) rate_below: Option<f64>,
}

impl Zero {
    pub(crate) fn new(count: usize, of: usize) -> Self {
        Self { count, of, rate_below: (count == 0 && of > 0).then(|| 3.0 / of as f64) }
    }
}

/// Durations in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn new(mut micros: Vec<i64>) -> Self {
        micros.sort_unstable();
        let at = |hundredths: usize| {
            let rank = (micros.len() * hundredths).div_ceil(100).saturating_sub(1);
            micros.get(rank).map_or(0.0, |&micros| micros as f64 / 1e6)
        };
        Self { count: micros.len(), p50: at(50), p99: at(99), most: at(100) }
    }
}

impl fmt::Display for Zero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.count, self.of)?;
        match self.rate_below {
            Some(rate) => write!(f, " (at 95 % below {rate:.1e})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p99, most } = self;
        write!(f, "p50 {p50:.2} s, p99 {p99:.2} s, at most {most:.2} s ({count})")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, {} s of faults, {} workers, lease {} s",
            self.seed, self.seconds, self.workers, self.lease_seconds
        )?;
        writeln!(f, "orders                     {} {:?}", self.orders, self.by_status)?;
        writeln!(f, "requests, as told          rows {:?}, messages {:?}", self.inserted, self.pushed)?;
        writeln!(f, "faults                     {} of {} kinds", self.faults, self.faults_by_kind.len())?;
        for (kind, count) in &self.faults_by_kind {
            writeln!(f, "  {kind:<24} {count}")?;
        }
        writeln!(f, "decisions                  done, not done")?;
        for (kind, (done, not_done)) in &self.decisions {
            writeln!(f, "  {kind:<24} {done}, {not_done}")?;
        }
        if !self.left_out.is_empty() {
            writeln!(
                f,
                "LEFT OUT                   {}: no right to mount a disk here, or no PREVIOUS_RELEASE",
                self.left_out.join(", ")
            )?;
        }
        for (version, fulfilled) in &self.fulfilled_by_version {
            let came = self.changes_of_version.get(version).copied().unwrap_or_default();
            writeln!(f, "version {version:<18} {fulfilled} fulfilled, came {came} times in place of the other")?;
        }
        writeln!(f, "lost                       {}", self.lost)?;
        writeln!(f, "fulfilled twice (table)    {}", self.double_in_table)?;
        writeln!(f, "shipped twice (warehouse)  {}", self.double_at_warehouse)?;
        writeln!(f, "calls                      {}, {:.3} per shipment", self.calls, self.deliveries_per_effect)?;
        writeln!(f, "poison kept                {}", self.poison_kept)?;
        writeln!(f, "first fulfilment after     {}", self.first_fulfilment)?;
        writeln!(f, "all final after            {}", self.all_final)?;
        writeln!(f, "takeover after SIGKILL     {}", self.takeover)?;
        writeln!(f, "  among other faults       {}", self.takeover_among_other_faults)?;
        writeln!(f, "order to fulfilment        {}", self.age)?;
        match self.violations.as_slice() {
            [] => writeln!(f, "violations                 none"),
            violations => writeln!(f, "VIOLATIONS\n  {}", violations.join("\n  ")),
        }
    }
}
