//! Bugs by which bulk work is done twice, not at all, or although it was called off. Each job cancels orders, one at a time, and ten
//! a second.

use std::collections::BTreeSet;
use std::time::Duration;

use fulfillment_worker::testing::mutant::Mutant;

use crate::chaos::plan::Link;
use crate::mutants::hunt::{Hunt, WITHOUT_RECONCILER};
use crate::mutants::scene::Scene;
use crate::support::fault_proxy::Behaviour;
use crate::support::process::Signal;
use crate::support::{LONG, eventually};

/// How statements begin.
const CANCEL: &str = "-- Calls orders off";
const ADVANCE: &str = "-- Writes how far worker";

const EACH_IS_COUNTED_ONCE: &str = "a job counts each order once";
const IT_IS_LEFT_TO_WHO_HAS_IT: &str = "a job is left to the worker that has it";
const IT_ENDS_WHEN_IT_IS_CANCELLED: &str = "a job ends when it is cancelled";
/// Long enough that a machine which stands still for some seconds costs nobody a job.
const PATIENT: &[(&str, &str)] = &[("--reconcile-interval", "0"), ("--lease", "8s")];

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_not_taken_from_a_worker_that_gets_on_with_it() {
    let hunt = Hunt {
        mutant: Mutant::JobTakenFromTheLiving,
        case: "a_job_is_not_taken_from_a_worker_that_gets_on_with_it",
        breaks: IT_IS_LEFT_TO_WHO_HAS_IT,
        options: PATIENT,
    };
    hunt.play(async |scene| {
        scene.start_second(Behaviour::Pass).await;
        let job = scene.make_job(50).await;
        let mut holders = BTreeSet::new();
        eventually(LONG, "the job has ended", async || {
            let row = scene.job(job).await;
            holders.extend((!row.holder.is_empty()).then_some(row.holder));
            // Workers that take it from each other may never end it.
            if row.ended || holders.len() > 1 { Ok(()) } else { Err(row.done) }
        })
        .await;
        if holders.len() > 1 {
            scene.saw(IT_IS_LEFT_TO_WHO_HAS_IT, format!("job {job} was with {holders:?}"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_job_writes_nothing_more_about_it() {
    let hunt = Hunt {
        mutant: Mutant::JobWrittenWithoutLease,
        case: "a_worker_that_lost_its_job_writes_nothing_more_about_it",
        breaks: EACH_IS_COUNTED_ONCE,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let job = scene.make_job(60).await;
        let before = scene.until_done(job, 3).await;
        scene.signal(0, Signal::Stop).await;
        scene.start_second(Behaviour::Pass).await;
        scene.until_taken_from(job, &before.holder).await;
        scene.until_done(job, scene.job(job).await.done + 3).await;
        // What the first one has in mind by now was done by the second one.
        scene.signal(1, Signal::Stop).await;
        scene.signal(0, Signal::Continue).await;
        scene.each_is_counted_once(job, 60).await;
        scene.signal(1, Signal::Continue).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_works_on_a_job_that_was_cancelled() {
    let hunt = Hunt {
        mutant: Mutant::JobGoesOnCancelled,
        case: "nobody_works_on_a_job_that_was_cancelled",
        breaks: IT_ENDS_WHEN_IT_IS_CANCELLED,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let job = scene.make_job(40).await;
        scene.until_done(job, 3).await;
        scene.operate(&["jobs", "cancel", &job.to_string(), "--why", "the wrong product"]);
        let so_far = scene.cancelled().await;
        scene.until_without_job().await;
        // That of the moment, whose page may still be decided about.
        let more = scene.cancelled().await - so_far;
        if more > 1 {
            scene.saw(IT_ENDS_WHEN_IT_IS_CANCELLED, format!("{more} orders later"));
        }
        scene.operate(&["cancel", "--product", "1", "--state", "pending", "--why", "all the same"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_dies_with_in_hand_is_counted_by_who_comes_after_it() {
    let hunt = Hunt {
        mutant: Mutant::JobCountsAhead,
        case: "what_a_worker_dies_with_in_hand_is_counted_by_who_comes_after_it",
        breaks: EACH_IS_COUNTED_ONCE,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| dies_at(scene, CANCEL).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_has_decided_before_it_died_counts_for_its_job() {
    let hunt = Hunt {
        mutant: Mutant::JobForgetsPage,
        case: "what_a_worker_has_decided_before_it_died_counts_for_its_job",
        breaks: EACH_IS_COUNTED_ONCE,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| dies_at(scene, ADVANCE).await).await;
}

/// The worker dies while this statement of its job is on its way.
async fn dies_at(scene: &mut Scene, statement: &'static str) {
    let job = scene.make_job(20).await;
    scene.until_done(job, 3).await;
    scene.world.link(Link::Postgres).behave(Behaviour::HoldFrom(statement));
    scene.until_held().await;
    scene.kill().await;
    scene.each_is_counted_once(job, 20).await;
}

/// A job's row.
struct Job {
    holder: String,
    done: i64,
    others: i64,
    ended: bool,
}

impl Scene {
    /// Inserts so many orders, and leaves it to the workers to cancel them.
    async fn make_job(&mut self, orders: i32) -> i64 {
        for _ in 0..orders {
            self.insert().await;
        }
        let job = ["cancel", "--product", "1", "--state", "pending", "--rate", "10", "--detach", "--why", "recalled"];
        self.operate(&job);
        self.query("SELECT max(id) FROM fulfillment.jobs").await[0].get(0)
    }

    async fn signal(&self, worker: usize, signal: Signal) {
        self.world.workers[worker].lock().await.signal(signal);
    }

    async fn job(&self, id: i64) -> Job {
        let sql = format!(
            "SELECT holder, done, skipped + refused, ended_at IS NOT NULL FROM fulfillment.jobs WHERE id = {id}"
        );
        let row = self.query(&sql).await.remove(0);
        Job { holder: row.get(0), done: row.get(1), others: row.get(2), ended: row.get(3) }
    }

    async fn until_done(&self, job: i64, enough: i64) -> Job {
        eventually(LONG, "the job gets on", async || {
            let row = self.job(job).await;
            if row.done >= enough { Ok(row) } else { Err(row.done) }
        })
        .await
    }

    async fn until_taken_from(&self, job: i64, holder: &str) {
        eventually(LONG, "somebody else has the job", async || {
            let row = self.job(job).await;
            if !row.holder.is_empty() && row.holder != holder { Ok(()) } else { Err(row.holder) }
        })
        .await;
    }

    /// Waits until the first worker has no job, and there is none.
    async fn until_without_job(&self) {
        let worker = self.world.workers[0].lock().await;
        eventually(Duration::from_secs(60), "the worker finds no job", async || {
            let open = worker.metrics().value("fulfillment_jobs_open");
            if open == 0.0 { Ok(()) } else { Err(open) }
        })
        .await;
    }

    /// Waits for the job's end.
    async fn each_is_counted_once(&mut self, job: i64, orders: i64) {
        let row = eventually(LONG, "the job has ended", async || {
            let row = self.job(job).await;
            if row.ended { Ok(row) } else { Err(row.done) }
        })
        .await;
        if (row.done, row.others) != (orders, 0) {
            self.saw(EACH_IS_COUNTED_ONCE, format!("{} of {orders}, and {} that are none", row.done, row.others));
        }
    }

    async fn cancelled(&self) -> i64 {
        self.query("SELECT count(*) FROM orders WHERE status = 'cancelled'").await[0].get(0)
    }
}
