//! Bugs by which a worker doesn't follow what operators have set.

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITHOUT_RECONCILER};
use crate::mutants::scene::{Scene, link_to};
use crate::support::fault_proxy::{Behaviour, FaultProxy};
use crate::support::promises::identity_once_started;
use crate::support::version::Version;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

/// How the statement begins that asks what is in force.
const REPORT: &str = "-- Renews the entry of worker";
const NOTHING_IS_CLAIMED_UNREAD: &str = "nothing is claimed before it is known what is in force";
const A_QUIET_WORKER_CLAIMS_NOTHING: &str = "a quiet worker claims nothing";
const A_CONTROL_ENDS: &str = "what is set for a time ends by itself";
/// How long a worker must be held back by a limit that ended long before, in seconds, to say that it goes on for ever.
const FOR_EVER: f64 = 8.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_can_not_read_the_pause_at_its_start_claims_nothing() {
    let hunt = Hunt {
        mutant: Mutant::ClaimsUnread,
        case: "a_worker_that_can_not_read_the_pause_at_its_start_claims_nothing",
        breaks: NOTHING_IS_CLAIMED_UNREAD,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.operate(&["pause", "--why", "the warehouse moves"]);
        let order = scene.place().await;
        let (link, second) = scene.start_behind(Behaviour::HoldFrom(REPORT)).await;
        eventually(LONG, "the second worker serves its metrics", async || second.answers("/livez", 200)).await;
        if scene.begins_before_it_is_held_back(&second, "paused", order).await {
            scene.saw(NOTHING_IS_CLAIMED_UNREAD, format!("order {order}"));
        }
        scene.operate(&["resume", "--why", "moved"]);
        link.behave(Behaviour::Pass);
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_worker_leaves_what_comes_in_the_queue() {
    let hunt = Hunt {
        mutant: Mutant::IgnoresQuiet,
        case: "a_quiet_worker_leaves_what_comes_in_the_queue",
        breaks: A_QUIET_WORKER_CLAIMS_NOTHING,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let worker = identity_once_started(&*scene.world.workers[0].lock().await).await;
        scene.operate(&["quiet", &worker, "--why", "its host"]);
        let order = scene.place().await;
        if scene.is_begun_before_it_is_held_back(order).await {
            scene.saw(A_QUIET_WORKER_CLAIMS_NOTHING, format!("order {order}"));
        }
        scene.operate(&["resume", &worker, "--why", "it stays"]);
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_ends_when_its_time_is_over() {
    let hunt = Hunt {
        mutant: Mutant::ControlOutlivesItsTime,
        case: "a_limit_ends_when_its_time_is_over",
        breaks: A_CONTROL_ENDS,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.operate(&["limit", "rate", "0.001", "--for", "3s", "--why", "it is slow"]);
        scene.until_limited().await;
        // The first one is what the rate allows at once.
        scene.place().await;
        let order = scene.place().await;
        if !scene.is_fulfilled_within_what_is(FOR_EVER, order).await {
            scene.saw(A_CONTROL_ENDS, format!("order {order}"));
        }
        scene.operate(&["limit", "rate", "off", "--why", "it is fast"]);
        scene.play_out().await;
    })
    .await;
}

impl Scene {
    /// Starts a further worker on a link of its own to the store, and doesn't wait for it.
    async fn start_behind(&self, behaviour: Behaviour) -> (FaultProxy, WorkerProcess) {
        let (link, store) = link_to(&self.world.postgres_url).await;
        link.behave(behaviour);
        let worker = self.world.new_worker_at(Version::This, &self.world.redis_url, &store, &[]);
        (link, worker)
    }

    /// Waits until the first worker follows a rate.
    async fn until_limited(&self) {
        let worker = self.world.workers[0].lock().await;
        eventually(LONG, "the rate is in force", async || {
            match worker.metrics().value("fulfillment_claim_rate_limit") {
                rate if rate > 0.0 && rate < 1.0 => Ok(()),
                rate => Err(rate),
            }
        })
        .await;
    }

    /// Waits until an order is fulfilled, or the first worker was held back by a rate for so many seconds.
    async fn is_fulfilled_within_what_is(&self, for_ever: f64, order: i32) -> bool {
        let worker = self.world.workers[0].lock().await;
        let held_back = || worker.metrics().value(r#"fulfillment_claims_held_back_seconds_total{by="rate"}"#);
        let sql = format!("SELECT status = 'fulfilled' FROM orders WHERE id = {order}");
        let (before, mut is_fulfilled) = (held_back(), false);
        eventually(LONG, "it is fulfilled, or held back", async || {
            is_fulfilled = self.query(&sql).await[0].get(0);
            let held_back = held_back() - before;
            if is_fulfilled || held_back >= for_ever { Ok(()) } else { Err(held_back) }
        })
        .await;
        is_fulfilled
    }
}
