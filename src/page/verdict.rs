//! The state of the service in one sentence, and what else is to be looked at: what matters most comes first.

use std::time::Duration;

use super::html::{duration, number};
use crate::domain::dead_letter::{DeadReason, StoredReason};
use crate::observe::health::{Check, Readiness};
use crate::observe::latest::Known;
use crate::operations::plural;
use crate::port::controls::Control;

#[cfg(test)]
mod tests;

/// Orders should be fulfilled within so long.
const SLOW: f64 = 60.0;

/// Orders given up in a minute, and their share of those that are done, from which on something is wrong with most orders.
const GIVEN_UP: f64 = 5.0;
const GIVEN_UP_SHARE: f64 = 0.1;

/// A reading is made anew within so long.
const STALE: Duration = Duration::from_secs(90);

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Nothing is to be done.
    Good,
    /// Somebody should look.
    Warn,
    /// Orders wait, or are about to.
    Bad,
}

impl Level {
    /// Its class.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// Something that is so, and where to look.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) text: String,
    pub(super) link: Option<&'static str>,
}

/// The sentence, and everything besides it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) first: Finding,
    pub(super) others: Vec<Finding>,
}

/// What the verdict is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The checks of this worker, without texts for those who may not see them.
    pub(super) readiness: Option<Readiness>,
    /// What this worker knows.
    pub(super) known: Known,
    /// Whether names and reasons may be shown.
    pub(super) with_texts: bool,
    /// Orders fulfilled in the last minute by all workers.
    pub(super) fulfilled_per_minute: Option<f64>,
    /// Orders given up in the last minute by all workers.
    pub(super) given_up_per_minute: Option<f64>,
    /// How many orders were open ten minutes ago, and a minute or two ago.
    pub(super) open_before: Option<u64>,
    pub(super) open_lately: Option<u64>,
    /// Workers that died with orders in their hands, within a lease and a bit.
    pub(super) dead_workers: u64,
}

/// Says what is so.
pub(super) fn verdict(facts: &Facts) -> Verdict {
    let mut findings = Vec::new();
    let mut add = |level, link, text: Option<String>| findings.extend(text.map(|text| Finding { level, text, link }));
    add(Level::Bad, Some("/livez"), facts.wedged());
    add(Level::Bad, None, facts.starting());
    add(Level::Bad, Some("/dependencies"), facts.down());
    add(Level::Warn, Some("/workers"), facts.paused());
    add(Level::Bad, Some("/dependencies"), facts.breaker());
    add(Level::Bad, Some("/dead-letters"), facts.given_up());
    add(Level::Bad, Some("/dead-letters"), facts.rows_gone());
    add(Level::Bad, Some("/orders?state=pending"), facts.without_message());
    add(Level::Bad, Some("/dependencies"), facts.slow());
    add(Level::Bad, None, facts.controls_unread());
    add(Level::Warn, Some("/orders?state=pending"), facts.backlog());
    add(Level::Warn, Some("/dead-letters"), facts.dead_letters());
    add(Level::Warn, None, facts.draining());
    add(Level::Warn, Some("/workers"), facts.dead_workers());
    add(Level::Warn, Some("/workers"), facts.limited());
    add(Level::Warn, Some("/jobs"), facts.stuck_job());
    add(Level::Warn, None, facts.left_alone());
    add(Level::Warn, None, facts.clocks());
    facts.old_readings().into_iter().for_each(|text| add(Level::Warn, None, Some(text)));
    // What is bad comes first; else they stay in this order.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let mut findings = findings.into_iter();
    let first = findings.next().unwrap_or_else(|| Finding { level: Level::Good, text: facts.well(), link: None });
    Verdict { first, others: findings.collect() }
}

impl Facts {
    fn check(&self, name: &str) -> Option<&Check> {
        self.readiness.as_ref()?.checks.iter().find(|check| check.name == name)
    }

    fn failing(&self, name: &str) -> Option<&Check> {
        self.check(name).filter(|check| !check.ok)
    }

    fn open(&self) -> Option<u64> {
        self.known.open.map(|(open, _)| open.pending.orders + open.processing.orders)
    }

    /// Open orders that could be worked on.
    fn waiting(&self) -> String {
        match self.open() {
            Some(0) | None => String::new(),
            Some(open) => format!("; {} open", are(open, "order")),
        }
    }

    /// In seconds; `None` also where it can't be told.
    fn oldest(&self) -> Option<f64> {
        let (open, _) = self.known.open?;
        // As it was read: an order that was the oldest then may be done by now.
        open.pending.oldest.max(open.processing.oldest).map(|oldest| oldest.as_secs_f64())
    }

    fn wedged(&self) -> Option<String> {
        let stuck = self.failing("progress")?;
        Some(format!("This worker is stuck and should be restarted: {}", stuck.detail))
    }

    fn starting(&self) -> Option<String> {
        self.failing("started").map(|_| "This worker is starting: it waits for queue and store".to_owned())
    }

    /// Queue and store.
    fn down(&self) -> Option<String> {
        let down: Vec<&Check> = ["queue", "store"].iter().filter_map(|name| self.failing(name)).collect();
        let down: Vec<&Check> = down.into_iter().filter(|check| is_down(check)).collect();
        let names: Vec<String> = down.iter().map(|check| format!("the {} does not answer", check.name)).collect();
        let details: Vec<String> = down.iter().map(|check| format!("{}: {}", check.name, check.detail)).collect();
        let all = format!("Orders wait, as {} ({}){}", names.join(" and "), details.join("; "), self.waiting());
        (!down.is_empty()).then_some(all)
    }

    fn slow(&self) -> Option<String> {
        let slow: Vec<String> = ["queue", "store"]
            .iter()
            .filter_map(|name| self.failing(name))
            .filter(|check| !is_down(check))
            .map(|check| format!("{}: {}", check.name, check.detail))
            .collect();
        (!slow.is_empty()).then(|| format!("Orders wait, as servers are slow ({}){}", slow.join("; "), self.waiting()))
    }

    fn breaker(&self) -> Option<String> {
        let (_, since) = self.known.breaker?;
        let detail = match self.failing("fulfiller") {
            Some(check) if self.with_texts => format!(": {}", check.detail),
            _ => String::new(),
        };
        let since = duration(since.as_secs_f64());
        Some(format!(
            "Orders wait, as the warehouse takes none: the circuit breaker has been open for {since}{detail}{}",
            self.waiting()
        ))
    }

    fn controls_unread(&self) -> Option<String> {
        self.failing("controls").map(|check| format!("This worker {}", check.detail))
    }

    /// The fleet, or this worker.
    fn paused(&self) -> Option<String> {
        let (in_force, read) = self.known.controls.as_ref()?;
        let (whom, set) = match (in_force.pause(), in_force.quiet()) {
            (Some(set), _) => ("Every worker has been paused", set),
            (None, Some(set)) => ("Others may work, but this worker has been paused", set),
            (None, None) => return None,
        };
        let who =
            if self.with_texts { format!(", by {}: {}", set.decision.by, set.decision.reason) } else { String::new() };
        let since = duration((set.age + *read).as_secs_f64());
        let left = set.left.map(|left| left.saturating_sub(*read).as_secs_f64());
        let left = left.map(|left| format!(", and is for {} more", duration(left))).unwrap_or_default();
        Some(format!("{whom} for {since}{left}{who}{}", self.waiting()))
    }

    fn limited(&self) -> Option<String> {
        let (in_force, _) = self.known.controls.as_ref()?;
        let concurrency = in_force.limit(Control::Concurrency).map(|most| format!("{most} calls at once"));
        let rate = in_force.limit(Control::Rate).map(|most| format!("{most} claims per second"));
        let limits: Vec<String> = concurrency.into_iter().chain(rate).collect();
        (!limits.is_empty()).then(|| format!("Operators have limited this worker to {}", limits.join(" and ")))
    }

    fn without_message(&self) -> Option<String> {
        let lost = self.known.without_message?;
        let (have, are) = if lost == 1 { ("has", "is") } else { ("have", "are") };
        Some(format!(
            "{} {have} no message in the queue, so that no worker comes to them; the reconciler puts messages in for those that {are} \
             old enough",
            plural_shown(lost, "open order")
        ))
    }

    /// A few orders that are given up are dead letters; many are a warehouse that refuses.
    fn given_up(&self) -> Option<String> {
        let given_up = self.given_up_per_minute.filter(|given_up| *given_up >= GIVEN_UP)?;
        let fulfilled = self.fulfilled_per_minute.unwrap_or_default();
        (given_up >= (given_up + fulfilled) * GIVEN_UP_SHARE).then(|| {
            let (given_up, fulfilled) = (given_up.round() as u64, fulfilled.round().max(0.0) as u64);
            format!(
                "Orders are being given up: {} in the last minute, beside {} fulfilled",
                number(given_up),
                number(fulfilled)
            )
        })
    }

    fn backlog(&self) -> Option<String> {
        let (open, oldest) = (self.open()?, self.oldest()?);
        if open == 0 || oldest <= SLOW {
            return None;
        }
        let oldest = duration(oldest);
        // One that was greater a minute ago is being worked off.
        let falls = self.open_lately.is_some_and(|lately| open <= lately);
        let grows = self.open_before.filter(|before| !falls && open > before + before / 10 + 10);
        let pace = match self.fulfilled_per_minute {
            Some(pace) if pace >= 1.0 => {
                format!("{} of work at the pace of the last minute", duration(open as f64 / pace * 60.0))
            }
            _ => "none was fulfilled in the last minute".to_owned(),
        };
        Some(match grows {
            Some(before) => format!(
                "The backlog grows: {} open, {} more than there were ten minutes ago, the oldest placed {oldest} ago; {pace}",
                are(open, "order"),
                number(open - before)
            ),
            None => format!("Orders are late: {} open, the oldest placed {oldest} ago; {pace}", are(open, "order")),
        })
    }

    /// Somebody may have lost more than these.
    fn rows_gone(&self) -> Option<String> {
        let (letters, _) = self.known.dead_letters?;
        let gone = letters.by_reason[StoredReason::Known(DeadReason::RowGone)];
        let rows = if gone == 1 { "was begun and its row is" } else { "were begun and their rows are" };
        let orders = plural_shown(gone, "order");
        (gone > 0).then(|| format!("{orders} {rows} gone: they may have been shipped, compare with the warehouse"))
    }

    fn dead_letters(&self) -> Option<String> {
        let (letters, _) = self.known.dead_letters.filter(|(letters, _)| letters.all() > 0)?;
        let need = if letters.all() == 1 { "needs" } else { "need" };
        Some(format!("{} {need} a decision", plural_shown(letters.all(), "dead letter")))
    }

    fn draining(&self) -> Option<String> {
        self.known.draining.map(|_| {
            let hand = plural_shown(self.known.in_flight, "order");
            format!("This worker is ending: it finishes {hand} and claims no more")
        })
    }

    fn dead_workers(&self) -> Option<String> {
        let died = if self.dead_workers == 1 { "worker has died" } else { "workers have died" };
        (self.dead_workers > 0)
            .then(|| format!("{} {died} with orders in hand; others take these over", self.dead_workers))
    }

    fn stuck_job(&self) -> Option<String> {
        let (id, why) = self.known.stuck_job.as_ref()?;
        let why = if self.with_texts { format!(": {why}") } else { String::new() };
        Some(format!("Job {id} isn't getting on{why}"))
    }

    fn left_alone(&self) -> Option<String> {
        let orders = self.known.left_alone;
        let are = if orders == 1 { "is" } else { "are" };
        (orders > 0).then(|| {
            format!("{} {are} too old for the reconciler; `verify` names them", plural_shown(orders, "open order"))
        })
    }

    fn clocks(&self) -> Option<String> {
        let doubt = self.known.open.and_then(|(open, _)| open.doubt)?;
        Some(format!("It is unknown how old the oldest open order is: {}", doubt.explanation()))
    }

    fn old_readings(&self) -> Vec<String> {
        let Known { depth, open, dead_letters, .. } = &self.known;
        let ages = [
            ("messages", depth.map(|(_, age)| age)),
            ("open orders", open.map(|(_, age)| age)),
            ("dead letters", dead_letters.map(|(_, age)| age)),
        ];
        let old = ages.into_iter().filter_map(|(what, age)| Some((what, age.filter(|age| *age > STALE)?)));
        old.map(|(what, age)| format!("The last count of {what} is {} old", duration(age.as_secs_f64()))).collect()
    }

    /// Nothing is to be looked at.
    fn well(&self) -> String {
        let pace = match self.fulfilled_per_minute {
            Some(pace) if pace >= 0.5 => format!("{} fulfilled in the last minute", are_number(pace.round(), "order")),
            _ => "no order was fulfilled in the last minute".to_owned(),
        };
        match (self.open(), self.oldest()) {
            (None, _) => "Ready; nothing was counted yet".to_owned(),
            (Some(0), _) => format!("All is well: no order is open, {pace}"),
            (Some(open), Some(oldest)) => {
                format!("All is well: {pace}, {} open, the oldest placed {} ago", are(open, "order"), duration(oldest))
            }
            (Some(open), None) => format!("All is well: {pace}, {} open", are(open, "order")),
        }
    }
}

fn is_down(check: &Check) -> bool {
    check.detail.starts_with("down") || check.detail.starts_with("has not answered")
}

fn are(count: u64, noun: &str) -> String {
    format!("{} {}", plural_shown(count, noun), if count == 1 { "is" } else { "are" })
}

fn are_number(count: f64, noun: &str) -> String {
    // A rate of orders is far below what a float can't say.
    let count = count.max(0.0) as u64;
    format!("{} {}", plural_shown(count, noun), if count == 1 { "was" } else { "were" })
}

fn plural_shown(count: u64, noun: &str) -> String {
    plural(count, noun).replacen(&count.to_string(), &number(count), 1)
}
