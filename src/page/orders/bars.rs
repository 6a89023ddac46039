//! The timeline of an order as bars: when it waited, when it was in whose hands and how that ended, and what people did.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::steps::{Step, steps};
use crate::operations::documents::orders::{EntryDocument, HistoryDocument};
use crate::page::html::duration;

/// Bars and marks that are drawn, at most. Of more, the newest are.
const MOST: usize = 200;

/// Characters of others' words at a bar. The table has them all.
const MOST_WORDS: usize = 200;

/// What happened in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Nobody had begun it.
    Waiting,
    /// A worker had it in hand, and called the warehouse.
    Attempts,
    /// It waited for its next attempt.
    Retries,
    /// A worker took it from one that had fallen silent.
    Takeovers,
    /// People decided about it.
    Decisions,
}

impl Lane {
    pub(super) const ALL: [Self; 5] = [Self::Waiting, Self::Attempts, Self::Retries, Self::Takeovers, Self::Decisions];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Attempts => "Attempts",
            Self::Retries => "Waiting for the next attempt",
            Self::Takeovers => "Taken over",
            Self::Decisions => "Decisions",
        }
    }
}

/// How it went, which gives the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Wait,
    Call,
    Good,
    Retry,
    Bad,
    /// Nobody knows how the call went.
    Lost,
    Mark,
}

impl Look {
    /// The class in the style.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Call => "call",
            Self::Good => "good",
            Self::Retry => "retry",
            Self::Bad => "bad",
            Self::Lost => "lost",
            Self::Mark => "mark",
        }
    }
}

/// A span of time, or a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) lane: Lane,
    pub(super) look: Look,
    /// In microseconds of the database's own clock.
    pub(super) from: i64,
    /// Not before `from`.
    pub(super) to: i64,
    /// What it is, in words.
    pub(super) title: String,
}

/// The whole picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bars {
    /// In the order in which they ended.
    pub(super) bars: Vec<Bar>,
    /// Bars that are older than these and not drawn.
    pub(super) left_out: usize,
    /// The axis.
    pub(super) from: i64,
    pub(super) to: i64,
}

/// The bars of an order. `None` where nothing is known that has a time.
pub(super) fn bars(history: &HistoryDocument) -> Option<Bars> {
    let waiting = time(history.order.created_at.as_deref()).map(|at| (at, Lane::Waiting));
    let mut drawing = Drawing { waiting, ..Drawing::default() };
    for (entry, step) in history.timeline.iter().zip(steps(&history.timeline)) {
        if let Some(at) = time(entry.at.as_deref()) {
            drawing.put(entry, step, at);
        }
    }
    drawing.end(history);
    let Drawing { mut bars, .. } = drawing;
    let left_out = bars.len().saturating_sub(MOST);
    bars.drain(..left_out);
    let from = bars.iter().map(|bar| bar.from).min()?;
    let to = bars.iter().map(|bar| bar.to).max()?;
    Some(Bars { bars, left_out, from, to })
}

/// A time of the database's own clock, in microseconds.
pub(super) fn time(text: Option<&str>) -> Option<i64> {
    let at: DateTime = text?.parse().ok()?;
    Some(Offset::UTC.to_timestamp(at).ok()?.as_microsecond())
}

/// An attempt whose end has not been seen yet.
struct InHand {
    since: i64,
    attempt: u32,
    worker: String,
}

#[derive(Default)]
struct Drawing {
    bars: Vec<Bar>,
    waiting: Option<(i64, Lane)>,
    in_hand: Option<InHand>,
}

impl Drawing {
    fn put(&mut self, entry: &EntryDocument, step: Step, at: i64) {
        match step {
            Step::Began | Step::TookOver => {
                self.waited(at, "");
                if step == Step::TookOver {
                    self.ended(at, Look::Lost, "taken over: how its call went is not known", None);
                    self.mark(Lane::Takeovers, at, format!("taken over by worker {}", entry.worker));
                }
                self.ended(at, Look::Lost, "has no end", None);
                self.in_hand = Some(InHand { since: at, attempt: entry.attempt, worker: entry.worker.clone() });
            }
            Step::Retried => {
                self.ended(at, Look::Retry, "to be tried again", entry.note.as_deref());
                self.waiting = Some((at, Lane::Retries));
            }
            Step::Fulfilled | Step::Failed => {
                let (look, how) =
                    if step == Step::Fulfilled { (Look::Good, "fulfilled") } else { (Look::Bad, "given up") };
                self.waited(at, "");
                if self.in_hand.is_none() {
                    self.push(Lane::Attempts, look, at, at, with_words(how, entry.note.as_deref()));
                }
                self.ended(at, look, how, entry.note.as_deref());
            }
            Step::Cancelled => {
                self.waited(at, ", then cancelled");
                self.ended(at, Look::Lost, "cancelled meanwhile: whether it was shipped is not known", None);
                self.mark(Lane::Decisions, at, with_words("cancelled", entry.note.as_deref()));
            }
            Step::Decided => {
                self.mark(Lane::Decisions, at, with_words("decision", entry.note.as_deref()));
                if entry.state == "pending" {
                    self.ended(at, Look::Lost, "has no end", None);
                    self.waiting = self.waiting.or(Some((at, Lane::Waiting)));
                }
            }
        }
    }

    /// What goes on until now, or until the row was last changed.
    fn end(&mut self, history: &HistoryDocument) {
        let order = &history.order;
        let updated = time(order.updated_at.as_deref());
        let last = self.bars.last().map(|bar| bar.to).max(updated);
        let now = now(history).max(last).unwrap_or_default();
        let until = last.unwrap_or(now);
        match order.state.as_str() {
            "pending" => {
                self.waited(now, " so far");
                self.ended(until, Look::Lost, "has no end; the order is pending", None);
            }
            "processing" => self.ended(now, Look::Call, "in hand now", None),
            state => {
                if !history.timeline.is_empty() {
                    self.waited(until, &format!(", then {state}"));
                }
                self.ended(until, Look::Lost, &format!("has no end; the order is {state}"), None);
            }
        }
    }

    /// A wait is over.
    fn waited(&mut self, until: i64, then: &str) {
        if let Some((since, lane)) = self.waiting.take().filter(|(since, _)| *since <= until) {
            let title = format!("{}: {}{then}", lane.name(), span(since, until));
            self.push(lane, Look::Wait, since, until, title);
        }
    }

    /// An attempt is over.
    fn ended(&mut self, until: i64, look: Look, how: &str, words: Option<&str>) {
        if let Some(InHand { since, attempt, worker }) = self.in_hand.take() {
            let until = until.max(since);
            let how = with_words(how, words);
            let title = format!("Attempt {attempt} by worker {worker}: {}, {how}", span(since, until));
            self.push(Lane::Attempts, look, since, until, title);
        }
    }

    fn mark(&mut self, lane: Lane, at: i64, title: String) {
        self.push(lane, Look::Mark, at, at, title);
    }

    fn push(&mut self, lane: Lane, look: Look, from: i64, to: i64, title: String) {
        self.bars.push(Bar { lane, look, from, to, title });
    }
}

/// By the database's clock.
fn now(history: &HistoryDocument) -> Option<i64> {
    let order = &history.order;
    let after = |at: &Option<String>, seconds: Option<f64>| {
        // Saturates.
        let micros = (seconds? * 1e6) as i64;
        Some(time(at.as_deref())?.saturating_add(micros))
    };
    after(&order.updated_at, order.idle_seconds).or_else(|| after(&order.created_at, order.age_seconds))
}

/// Whether a hold was for a time that has passed.
pub(super) fn is_over(hold: &EntryDocument, history: &HistoryDocument) -> bool {
    let lasted = || {
        let (lasts, _) = hold.note.as_deref()?.strip_prefix("held for ")?.split_once(" by ")?;
        let lasts = i64::try_from(humantime::parse_duration(lasts).ok()?.as_micros()).ok()?;
        Some(time(hold.at.as_deref())?.saturating_add(lasts) <= now(history)?)
    };
    lasted().unwrap_or(false)
}

fn span(from: i64, to: i64) -> String {
    duration(seconds(to.saturating_sub(from)))
}

/// Of microseconds.
pub(super) fn seconds(micros: i64) -> f64 {
    let micros = micros as f64;
    micros / 1e6
}

fn with_words(how: &str, words: Option<&str>) -> String {
    match words {
        Some(words) if words.chars().count() > MOST_WORDS => {
            format!("{how}: {} …", words.chars().take(MOST_WORDS).collect::<String>())
        }
        Some(words) => format!("{how}: {words}"),
        None => how.to_owned(),
    }
}

#[cfg(test)]
mod tests;
