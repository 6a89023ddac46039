//! Shows the demo's progress: a bar on a terminal, else a line every few seconds.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::tally::{Counts, Tally};
use crate::cli::output;

const REDRAW_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the counts until `end` is cancelled, and then takes the bar off the terminal.
pub(super) async fn show(tally: Arc<Tally>, orders: Option<u64>, end: CancellationToken) {
    if io::stderr().is_terminal() {
        bar(&tally, orders, &end).await;
    } else {
        lines(&tally, &end).await;
    }
}

async fn bar(tally: &Tally, orders: Option<u64>, end: &CancellationToken) {
    let (bar, template) = match orders {
        Some(orders) => (ProgressBar::new(orders), "{elapsed_precise} [{bar:30}] {pos}/{len}  {msg}"),
        None => (ProgressBar::new_spinner(), "{elapsed_precise} {spinner} {msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    while end.run_until_cancelled(tokio::time::sleep(REDRAW_EVERY)).await.is_some() {
        let counts = tally.counts();
        bar.set_position(counts.finished());
        bar.set_message(in_words(counts));
        bar.tick();
    }
    bar.finish_and_clear();
}

async fn lines(tally: &Tally, end: &CancellationToken) {
    let began = Instant::now();
    while end.run_until_cancelled(tokio::time::sleep(LINE_EVERY)).await.is_some() {
        output::note(&format!("{:>4}s  {}", began.elapsed().as_secs(), in_words(tally.counts())));
    }
}

fn in_words(counts: Counts) -> String {
    format!(
        "submitted {}, in flight {}, fulfilled {}, retried {}, dead letters {}",
        counts.submitted, counts.in_flight, counts.fulfilled, counts.retried, counts.dead_letters
    )
}
