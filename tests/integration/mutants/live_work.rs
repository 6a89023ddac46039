//! Bugs that take an order from a worker that is alive and at work on it.

use std::time::Duration;

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::Hunt;
use crate::mutants::scene::{BEGIN, CONCLUSION, FENCED, Scene};
use crate::support::fault_proxy::Behaviour;

/// A machine that stands still for some seconds costs nobody a lease.
const PATIENT_LEASE: Duration = Duration::from_secs(8);
const PATIENT: &[(&str, &str)] = &[("--reconcile-interval", "0"), ("--lease", "8s")];

const LIVE_WORK_IS_LEFT_ALONE: &str = "live work is left to who does it";

/// The lease counts from when the order is taken into work, not from when its worker asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_begins_after_a_wait_for_the_table_is_a_whole_one() {
    let hunt = Hunt {
        mutant: Mutant::NowInsteadOfClock,
        case: "a_lease_that_begins_after_a_wait_for_the_table_is_a_whole_one",
        breaks: LIVE_WORK_IS_LEFT_ALONE,
        options: PATIENT,
    };
    hunt.play(async |scene| {
        scene.all_alive = true;
        // A renewal would make up for it soon.
        scene.start_second(Behaviour::HoldFrom(FENCED)).await;
        scene.hold_conclusions_and_renewals();
        let order = scene.insert().await;
        let lock = scene.lock_table().await;
        scene.push(order).await;
        scene.until_waiting(BEGIN, PATIENT_LEASE + Duration::from_millis(200)).await;
        drop(lock);
        scene.until_held().await;
        scene.let_second_take_orders();
        scene.push(order).await;
        scene.until_put_back_or_begun_again(order).await;
        scene.let_through();
        scene.let_second_through();
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_does_not_take_an_order_from_who_works_on_it() {
    let hunt = Hunt {
        mutant: Mutant::TakeoverWithoutLease,
        case: "a_message_that_comes_again_does_not_take_an_order_from_who_works_on_it",
        breaks: LIVE_WORK_IS_LEFT_ALONE,
        options: PATIENT,
    };
    hunt.play(async |scene| {
        scene.all_alive = true;
        scene.start_second(Behaviour::HoldFrom(CONCLUSION)).await;
        scene.hold_conclusions();
        let order = scene.place().await;
        scene.until_held().await;
        scene.let_second_take_orders();
        scene.push(order).await;
        scene.until_put_back_or_begun_again(order).await;
        scene.let_through();
        scene.let_second_through();
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_longer_than_its_lease_is_left_to_its_worker() {
    let hunt = Hunt {
        mutant: Mutant::IdleRenewals,
        case: "a_call_longer_than_its_lease_is_left_to_its_worker",
        breaks: LIVE_WORK_IS_LEFT_ALONE,
        options: &[
            ("--reconcile-interval", "0"),
            ("--lease", "8s"),
            ("--fulfiller", "simulated"),
            ("--call-timeout", "1m"),
            ("--simulate-latency", "12s"),
        ],
    };
    hunt.play(async |scene| {
        scene.all_alive = true;
        scene.start_second(Behaviour::Pass).await;
        let order = scene.place().await;
        scene.until(order, "processing").await;
        scene.let_both_take_orders();
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_a_trigger_writes_by_another_clock_does_not_take_an_order_from_who_works_on_it() {
    let hunt = Hunt {
        mutant: Mutant::ClocksTrusted,
        case: "a_fence_that_a_trigger_writes_by_another_clock_does_not_take_an_order_from_who_works_on_it",
        breaks: LIVE_WORK_IS_LEFT_ALONE,
        options: PATIENT,
    };
    hunt.play(async |scene| {
        scene.all_alive = true;
        write_updated_at(scene, "NEW.updated_at - interval '2 hours'").await;
        scene.start_second(Behaviour::HoldFrom(CONCLUSION)).await;
        scene.hold_conclusions();
        let order = scene.place().await;
        scene.until_held().await;
        scene.let_second_take_orders();
        scene.push(order).await;
        scene.until_put_back_or_begun_again(order).await;
        scene.let_through();
        scene.let_second_through();
        scene.play_out().await;
    })
    .await;
}

/// Has a trigger write `updated_at` from now on.
async fn write_updated_at(scene: &Scene, time: &str) {
    let client = scene.world.connect().await.expect("a connection to Postgres");
    let trigger = format!(
        "DROP TRIGGER IF EXISTS touch ON orders;
         CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN NEW.updated_at = {time}; RETURN NEW; END$$;
         CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()"
    );
    client.batch_execute(&trigger).await.expect("a trigger");
}
