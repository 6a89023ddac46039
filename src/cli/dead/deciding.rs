//! `dead retry` and `dead discard`, a batch after the other.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bulk;
use super::outcome::Outcome;
use super::selection::DecideOptions;
use super::source::Source;
use crate::cli::api_client::ApiClient;
use crate::cli::failure::Failure;
use crate::cli::reach::Way;
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::operations::letters::{self, DecidedLetters};
use crate::operations::plural;
use crate::operations::redrive::Redrive;
use crate::port::activity::ActivityLog;
use crate::port::dead_letters::{DeadLetters, Decision};
use crate::port::jobs::JobKind;
use crate::port::retrying::Retrying;
use crate::service::drain_on_signals;

/// Largest number of dead letters in one transaction.
const BATCH: u32 = 100;

/// More than these by a filter are a job: it goes on if the process is killed.
const MOST_AT_ONCE: usize = 1_000;

/// Who decides.
enum Decider {
    /// With the path and the reason.
    Server(ApiClient, &'static str, String),
    Retry(Redrive),
    Discard(Arc<dyn DeadLetters>, Arc<dyn ActivityLog>, Decision),
}

impl Decider {
    async fn decide(&self, ids: &[i64], dry_run: bool) -> Result<DecidedLetters, Failure> {
        let decided = match self {
            Self::Server(server, path, why) => {
                return server.post(path, &json!({ "ids": ids, "why": why, "dry_run": dry_run })).await;
            }
            Self::Retry(redrive) => letters::retry(redrive, ids, dry_run).await,
            Self::Discard(store, log, decision) => letters::discard(&**store, &**log, decision, ids, dry_run).await,
        };
        decided.map_err(Failure::work)
    }
}

pub(super) async fn decide(
    kind: JobKind,
    options: DecideOptions,
    rate: Option<NonZeroU32>,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let (source, decider, stop) = open(kind, &options, origins, environment).await?;
    let selection = options.selection.selection();
    let first = match &selection.filter.ids {
        Some(_) => None,
        None => Some(source.page(&selection, 0, MOST_AT_ONCE).await?),
    };
    let most = if options.detach { 0 } else { MOST_AT_ONCE as u64 };
    if let Some(first) = &first
        && !options.dry_run
        && (first.matching > most || first.is_partial)
    {
        return bulk::carry_out(kind, &options, rate.map(NonZeroU32::get), origins, environment).await;
    }
    let mut outcome = Outcome::new(&options.selection.ids, options.dry_run);
    let limit = rate.map_or(BATCH, |rate| (rate.get() / 10).clamp(1, BATCH));
    let limit = usize::try_from(limit).unwrap_or(1);
    let mut batches = Batches { decider, rate, limit, stop, next: Instant::now() };
    let deciding = async {
        let Some(mut page) = first else {
            let mut seen = HashSet::new();
            let ids: Vec<i64> = options.selection.ids.iter().copied().filter(|id| seen.insert(*id)).collect();
            return batches.decide(&ids, &mut outcome).await;
        };
        loop {
            let ids: Vec<i64> = page.dead_letters.iter().map(|letter| letter.id).collect();
            batches.decide(&ids, &mut outcome).await?;
            match page.next_after.filter(|_| options.dry_run) {
                Some(after) => page = source.page(&selection, after, MOST_AT_ONCE).await?,
                None => return Ok(()),
            }
        }
    };
    let done = match deciding.await {
        Err(Failure::Work(problem)) => Err(problem),
        Err(failure) => return Err(failure),
        Ok(()) => Ok(()),
    };
    let parts = in_words(&outcome);
    outcome.report(done, options.format.is_json(), &parts)
}

/// Who has the letters, who decides, and what ends it.
async fn open(
    kind: JobKind,
    options: &DecideOptions,
    origins: &Origins,
    environment: &Environment,
) -> Result<(Source, Decider, CancellationToken), Failure> {
    Ok(match options.reach.way(origins)? {
        Way::Server(server) => {
            let path = if kind == JobKind::DeadRetry { "/dead-letters/retry" } else { "/dead-letters/discard" };
            let decider = Decider::Server(server.clone(), path, options.author.why()?.to_owned());
            (Source::Server(server), decider, drain_on_signals()?)
        }
        Way::Stores(connect) if kind == JobKind::DeadRetry => {
            let decision = options.author.decision(environment)?;
            let (_, opened) = connect.open(origins).await?;
            let (queue, store) = (opened.queue.producer, opened.store.dead_letters);
            let activity = Some(opened.store.activity);
            let stop = drain_on_signals()?;
            let retrying = Retrying { limit: connect.wait, stop: stop.clone() };
            (Source::Store(store.clone()), Decider::Retry(Redrive { queue, store, activity, decision, retrying }), stop)
        }
        Way::Stores(connect) => {
            let decision = options.author.decision(environment)?;
            let opened = connect.open_store(origins).await?.1;
            let (store, log) = (opened.dead_letters, opened.activity);
            (Source::Store(store.clone()), Decider::Discard(store, log, decision), drain_on_signals()?)
        }
    })
}

struct Batches {
    decider: Decider,
    rate: Option<NonZeroU32>,
    /// Letters in one of them.
    limit: usize,
    stop: CancellationToken,
    /// When the next batch is due.
    next: Instant,
}

impl Batches {
    async fn decide(&mut self, ids: &[i64], outcome: &mut Outcome) -> Result<(), Failure> {
        for batch in ids.chunks(self.limit) {
            if self.stop.is_cancelled() {
                return Err(Failure::Work("interrupted".to_owned()));
            }
            if !outcome.dry_run {
                self.pause(batch.len()).await;
            }
            let decided = self.decider.decide(batch, outcome.dry_run).await?;
            outcome.add(&decided);
            if let Some(problem) = decided.problem {
                return Err(Failure::Work(problem));
            }
        }
        Ok(())
    }

    /// Waits until the next batch of `letters` is due, or `stop` is cancelled.
    async fn pause(&mut self, letters: usize) {
        let Some(rate) = self.rate else { return };
        let due = self.next.max(Instant::now());
        self.stop.run_until_cancelled(tokio::time::sleep_until(due.into())).await;
        let letters = u32::try_from(letters).unwrap_or(u32::MAX);
        self.next = due + Duration::from_secs(1).saturating_mul(letters) / rate.get();
    }
}

fn in_words(outcome: &Outcome) -> [(u64, String); 5] {
    [
        (outcome.redriven, format!("{} moved to pending", plural(outcome.redriven, "order"))),
        (outcome.pushed, format!("{} pushed", plural(outcome.pushed, "message"))),
        (outcome.pushed_again, format!("{} pushed again", plural(outcome.pushed_again, "message"))),
        (outcome.discarded, format!("{} discarded", plural(outcome.discarded, "dead letter"))),
        (outcome.skipped, format!("{} skipped", outcome.skipped)),
    ]
}
