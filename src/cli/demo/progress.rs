//! Shows the demo's progress: one line on a terminal, as long as the terminal is wide; else a line every few seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::screen::Screen;
use super::tally::{Counts, Tally};
use crate::cli::output;
use crate::operations::plural;

const REDRAW_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the counts until `end` is cancelled.
pub(super) async fn show(tally: Arc<Tally>, orders: Option<u64>, screen: Screen, end: CancellationToken) {
    let began = Instant::now();
    let every = if screen.is_live() { REDRAW_EVERY } else { LINE_EVERY };
    while end.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let (counts, elapsed) = (tally.counts(), began.elapsed());
        if screen.is_live() {
            screen.draw(|room| line(counts, orders, elapsed, room));
        } else {
            output::note(&line(counts, orders, elapsed, usize::MAX));
        }
    }
}

/// As much of the counts as `room` characters can hold.
fn line(counts: Counts, orders: Option<u64>, elapsed: Duration, room: usize) -> String {
    let Counts { submitted, fulfilled, retried, in_flight, .. } = counts;
    let all = orders.unwrap_or(submitted);
    let submitted = orders.map_or(submitted.to_string(), |orders| format!("{submitted} of {orders}"));
    let dead = plural(counts.dead_letters, "dead letter");
    let long =
        format!("{submitted} submitted, {fulfilled} fulfilled, {in_flight} in flight, {retried} retried, {dead}");
    let candidates = [
        format!("{}  {long}", clock(elapsed)),
        long,
        format!("{submitted} submitted, {fulfilled} fulfilled, {dead}"),
        format!("{fulfilled} of {all} fulfilled, {dead}"),
        format!("{fulfilled} of {all} fulfilled"),
    ];
    let fitting = candidates.into_iter().find(|candidate| candidate.len() <= room);
    fitting.unwrap_or_else(|| format!("{fulfilled}/{all}").chars().take(room).collect())
}

/// `0:07`, `12:34`, `1:02:03`.
fn clock(elapsed: Duration) -> String {
    let (hours, minutes, seconds) = (elapsed.as_secs() / 3600, elapsed.as_secs() / 60 % 60, elapsed.as_secs() % 60);
    if hours == 0 { format!("{minutes}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(submitted: u64) -> Counts {
        Counts { submitted, fulfilled: submitted / 2, in_flight: 63, retried: 5, dead_letters: 1, ..Counts::default() }
    }

    #[test]
    fn the_line_says_what_the_room_allows() {
        let of = |room| line(counts(195), None, Duration::from_secs(7), room);
        assert_eq!(of(77), "0:07  195 submitted, 97 fulfilled, 63 in flight, 5 retried, 1 dead letter");
        assert_eq!(of(72), "195 submitted, 97 fulfilled, 63 in flight, 5 retried, 1 dead letter");
        assert_eq!(of(57), "195 submitted, 97 fulfilled, 1 dead letter");
        assert_eq!(of(37), "97 of 195 fulfilled, 1 dead letter");
        assert_eq!(of(20), "97 of 195 fulfilled");
        assert_eq!((of(7), of(3), of(0)), ("97/195".to_owned(), "97/".to_owned(), String::new()));
    }

    #[test]
    fn the_line_never_has_more_than_its_room() {
        for submitted in [0, 7, 12_345, 999_999_999] {
            for room in 0..120 {
                for orders in [None, Some(1_000_000)] {
                    let line = line(counts(submitted), orders, Duration::from_secs(100_000), room);
                    assert!(line.chars().count() <= room, "{room}: {line}");
                }
            }
        }
    }

    #[test]
    fn with_a_number_of_orders_the_line_says_how_many_are_to_come() {
        let line = line(counts(20), Some(200), Duration::from_secs(3723), 120);
        assert_eq!(line, "1:02:03  20 of 200 submitted, 10 fulfilled, 63 in flight, 5 retried, 1 dead letter");
    }
}
