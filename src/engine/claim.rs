//! The main loop: claims messages as admission allows, and hands each batch to the executor.
//!
//! Batches form by themselves: while one is being begun, places come back, and the next claim takes that many more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::admission::{Admission, AdmissionControl};
use super::backends::Backends;
use super::delivery::Delivery;
use super::execute::Executor;
use super::lease_keeper::LeaseKeeper;
use super::places::{Place, Reserved};
use super::progress::Progress;
use crate::domain::message::Message;
use crate::event::{Loop, Stage};
use crate::observe::trace::attempt::Tracer;
use crate::port::queue::{Claim, Claimed};

/// The longest wait for a message before the next look: how late the retries and hand-backs of other workers may be seen.
const WAIT_LIMIT: Duration = Duration::from_secs(1);

/// Claims until the drain begins.
pub(crate) struct ClaimLoop {
    pub(crate) admission: AdmissionControl,
    pub(crate) backends: Backends,
    pub(crate) executor: Arc<Executor>,
    pub(crate) keeper: Arc<LeaseKeeper>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) tracer: Tracer,
    pub(crate) drain: CancellationToken,
}

impl ClaimLoop {
    /// Returns once the drain has begun and no claim is left that this worker does not know of.
    pub(crate) async fn run(self) {
        let mut failures = 0;
        while let Some(Admission { slot, places, pass }) = self.next_admission().await {
            // Never dropped half way: messages that it has claimed would have to wait for their leases.
            let claim = self.backends.queue.claim(places.count());
            let answer = self.backends.call(Stage::Claim, |claimed: &Claimed| claimed.claims.len(), claim).await;
            pass.claimed(answer.as_ref().map_or(0, |claimed| claimed.claims.len()));
            drop(pass);
            match answer {
                Ok(Claimed { claims, next_due }) if claims.is_empty() => {
                    failures = 0;
                    drop((slot, places));
                    self.idle(next_due).await;
                }
                Ok(Claimed { claims, .. }) => {
                    failures = 0;
                    self.executor.start(self.deliveries(claims, places), slot);
                }
                Err(error) => {
                    failures += 1;
                    drop((slot, places));
                    self.backends.pause_after(Stage::Claim, failures, &error, &self.drain).await;
                }
            }
        }
        if let Err(error) = self.backends.queue.release_unanswered().await {
            tracing::warn!(%error, "claims whose answers never arrived are left to their leases");
        }
    }

    /// `None` once the drain has begun.
    async fn next_admission(&self) -> Option<Admission> {
        self.drain.run_until_cancelled(self.progress.with_heartbeat(Loop::Worker, self.admission.admit())).await
    }

    /// Waits until there may be something to claim.
    async fn idle(&self, next_due: Option<Duration>) {
        let at_most = next_due.map_or(WAIT_LIMIT, |due| due.min(WAIT_LIMIT));
        self.drain.run_until_cancelled(self.backends.queue.wait(at_most)).await;
    }

    #[expect(clippy::vec_box, reason = "each is handed on by itself")]
    fn deliveries(&self, claims: Vec<Claim>, places: Reserved) -> Vec<Box<Delivery>> {
        let claimed_at = Instant::now();
        // A claim brings at most as many messages as there are places; one too many would come back with its lease.
        let places = places.claimed(claims.len());
        self.progress.claimed(places.len());
        claims.into_iter().zip(places).map(|(claim, place)| self.delivery(claim, claimed_at, place)).collect()
    }

    fn delivery(&self, claim: Claim, claimed_at: Instant, place: Place) -> Box<Delivery> {
        let message = claim.message();
        let order_id = message.as_ref().ok().map(Message::order_id);
        let span = self.tracer.attempt(&claim, message.as_ref().ok());
        let Claim { receipt, payload, attempt, .. } = claim;
        let lease = self.keeper.keep(receipt, attempt, order_id, span.context());
        let waiting = Some(self.backends.backpressure.wait());
        Box::new(Delivery {
            payload,
            attempt,
            message,
            claimed_at,
            lease,
            span,
            created_at_micros: None,
            call: None,
            waiting,
            place,
        })
    }
}
