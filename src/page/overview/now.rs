//! The numbers of now.

use maud::{Markup, html};

use super::day::per_minute;
use super::{card, count, seconds};
use crate::operations::plural;
use crate::operations::trends::Bin;
use crate::page::html::{duration, number};
use crate::page::sampler::Sample;

/// Orders should be fulfilled within so long.
const SLOW: f64 = 60.0;

/// The numbers of now, of all workers.
pub(super) fn cards(sample: &Sample) -> Markup {
    html! {
        dl.cards {
            (open(sample))
            (fulfilled(sample))
            (failed(sample))
            (time(sample))
            (in_flight(sample))
            (queue(sample))
            (dead_letters(sample))
        }
    }
}

fn lately(sample: &Sample, minutes: u32) -> Option<Bin> {
    Some(sample.day.as_deref()?.total(minutes))
}

fn open(sample: &Sample) -> Markup {
    let open = sample.known.open;
    let orders = open.map(|(open, _)| open.pending.orders + open.processing.orders);
    let oldest =
        open.and_then(|(open, _)| open.pending.oldest.max(open.processing.oldest)).map(|oldest| oldest.as_secs_f64());
    let held = open.map(|(open, _)| open.held).filter(|held| *held > 0);
    let held = held.map(|held| format!(", {} held", number(held))).unwrap_or_default();
    let note = match (orders, oldest) {
        (None, _) => "not counted yet".to_owned(),
        (Some(0), _) => "none waits".to_owned(),
        (Some(_), Some(oldest)) => format!("oldest placed {} ago{held}", duration(oldest)),
        (Some(_), None) => format!("age unknown{held}"),
    };
    let class = if oldest.is_some_and(|oldest| oldest > SLOW) { "warn" } else { "" };
    card("open", "Open orders", &count(orders), class, &note)
}

fn fulfilled(sample: &Sample) -> Markup {
    let lately = lately(sample, 2);
    let out = lately.as_ref().and_then(|bin| per_minute(bin, |counts| counts.fulfilled));
    let day = sample.day.as_deref().map(|day| day.total(u32::MAX));
    let day = day.and_then(|bin| bin.merged).map(|merged| merged.counts.fulfilled);
    let note = day.map_or_else(|| "not counted yet".to_owned(), |day| format!("{} in the last 24 h", number(day)));
    card("fulfilled", "Fulfilled a minute", &rate(out), "", &note)
}

fn failed(sample: &Sample) -> Markup {
    let lately = lately(sample, 2);
    let failed = lately.as_ref().and_then(|bin| per_minute(bin, |counts| counts.attempts_failed));
    let given_up = sample.day.as_deref().map(|day| day.total(u32::MAX)).and_then(|bin| bin.merged);
    let given_up = given_up.map(|merged| format!("{} given up in 24 h", number(merged.counts.dead_lettered)));
    card(
        "failed",
        "Failed attempts a minute",
        &rate(failed),
        "",
        &given_up.unwrap_or_else(|| "not counted yet".to_owned()),
    )
}

fn time(sample: &Sample) -> Markup {
    let merged = lately(sample, 15).and_then(|bin| bin.merged);
    let [half, most] = [0.5, 0.95].map(|share| merged.as_ref().and_then(|merged| merged.age(share)));
    card("age", "Placed to fulfilled", &seconds(half), "", &format!("95 % within {}; last 15 min", seconds(most)))
}

fn in_flight(sample: &Sample) -> Markup {
    let alive: Vec<_> = sample.workers.iter().filter(|worker| !worker.is_dead()).collect();
    let orders = match alive.is_empty() {
        true => sample.known.in_flight,
        // This worker is asked itself; the others say it every few seconds.
        false => {
            let others = alive.iter().filter(|worker| *worker.worker != *sample.worker);
            others.map(|worker| worker.last.in_flight).sum::<u64>() + sample.known.in_flight
        }
    };
    card("in-flight", "In hand", &number(orders), "", &format!("of {}", plural(alive.len().max(1) as u64, "worker")))
}

fn queue(sample: &Sample) -> Markup {
    let Some((depth, _)) = sample.known.depth else {
        return card("waiting", "Messages waiting", "–", "", "not counted yet");
    };
    let note = format!("{} due again, {} to be retried later", number(depth.due), number(depth.retrying));
    card("waiting", "Messages waiting", &number(depth.waiting), "", &note)
}

fn dead_letters(sample: &Sample) -> Markup {
    let letters = sample.known.dead_letters.map(|(letters, _)| letters.all());
    let class = if letters.is_some_and(|letters| letters > 0) { "bad" } else { "" };
    card(
        "dead",
        "Dead letters",
        &count(letters),
        class,
        if letters.is_some() { "to decide" } else { "not counted yet" },
    )
}

/// Things per minute.
fn rate(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value > 0.0 && value < 10.0 => format!("{value:.1}"),
        Some(value) => number(value.round().max(0.0) as u64),
    }
}
