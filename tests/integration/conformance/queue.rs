//! What every queue must do.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::port::queue::{Claim, Disposition, Producer, Queue, QueueReports, Settlement};
use fulfillment_worker::port::queue_maintenance::{HandBack, QueueMaintenance};
use tokio::time::Instant;

mod claiming;
mod due;
mod fixtures;
mod handing_back;
mod inventory;
mod oversized;
mod pushing;
mod settling;
mod waiting;

/// A queue in each of its roles.
pub(crate) trait AnyQueue: Queue + Producer + QueueReports + QueueMaintenance + HandBack {}

impl<Q: Queue + Producer + QueueReports + QueueMaintenance + HandBack> AnyQueue for Q {}

/// One queue of a backend, fresh and used by nobody else.
pub(crate) trait QueueFixture: Sized + Send + Sync {
    /// Makes an empty queue.
    async fn fresh() -> Self;

    /// Opens it as a worker with an identity of its own, whose claims are leased for `lease`.
    async fn worker(&self, lease: Duration) -> Arc<dyn AnyQueue>;
}

/// Makes every case a test of this backend.
macro_rules! conformance {
    ($backend:ident: $fixture:ty) => {
        mod $backend {
            cases! { $fixture:
                claiming::a_claimed_message_is_not_claimed_again,
                claiming::two_workers_at_once_get_each_message_exactly_once,
                claiming::an_empty_queue_gives_nothing_and_has_nothing_scheduled,
                claiming::messages_are_claimed_in_the_order_they_were_pushed,
                claiming::no_more_than_the_limit_is_claimed,
                claiming::equal_payloads_are_separate_messages,
                claiming::after_its_lease_a_message_is_delivered_again_as_the_next_attempt,
                claiming::expired_leases_come_before_due_retries_and_those_before_new_messages,
                claiming::renewing_keeps_a_claim_from_redelivery,
                claiming::next_due_is_zero_while_more_can_be_claimed,
                claiming::next_due_is_the_earliest_of_leases_and_retries,
                settling::an_acknowledged_message_leaves_nothing_behind,
                settling::a_stale_worker_can_neither_settle_nor_renew,
                settling::a_lease_that_ran_out_unnoticed_can_still_be_renewed_and_settled,
                settling::verdicts_come_by_position,
                settling::settling_twice_changes_nothing_more,
                settling::the_same_message_twice_in_a_batch_is_settled_once,
                settling::a_retry_comes_at_its_time_and_not_before,
                settling::a_spent_retry_counts_as_an_attempt,
                settling::an_unspent_retry_gives_the_attempt_back,
                settling::a_retry_after_zero_is_claimable_at_once,
                settling::a_retry_later_than_the_lease_is_not_delivered_early,
                settling::a_message_that_waits_for_its_retry_can_not_be_renewed,
                settling::a_thousand_messages_are_settled_and_renewed_in_one_call,
                pushing::binary_and_empty_payloads_come_back_unchanged,
                oversized::sixty_four_kibibytes_come_back_unchanged,
                oversized::of_a_longer_message_the_beginning_the_length_and_the_hash_come_back,
                oversized::a_longer_message_is_delivered_again_and_settled_as_any_other,
                oversized::a_longer_message_is_browsed_as_a_number_and_its_neighbours_as_they_are,
                pushing::pushing_nothing_is_no_error,
                pushing::thousands_of_messages_are_pushed_in_order,
                pushing::depth_counts_each_kind,
                due::what_is_handed_back_or_adopted_is_due_and_what_waits_for_its_time_is_not,
                inventory::every_waiting_message_is_browsed,
                inventory::every_claimed_message_is_browsed_whatever_it_waits_for,
                inventory::browsing_takes_nothing,
                inventory::waiting_messages_come_oldest_first,
                inventory::an_adopted_message_is_claimed_at_once_as_the_first_attempt,
                inventory::the_attempts_of_an_adopted_message_go_on_from_those_that_are_spent,
                inventory::an_adopted_message_comes_before_new_ones,
                inventory::adopting_twice_makes_one_message,
                inventory::two_reconcilers_at_once_make_one_message,
                inventory::a_settled_adoption_leaves_nothing_behind,
                inventory::a_thousand_messages_are_adopted_in_one_call,
                inventory::a_queue_in_use_has_no_strays,
                handing_back::claimed_messages_are_described,
                handing_back::every_claimed_message_is_new_again_before_those_that_wait_and_the_oldest_first,
                handing_back::attempts_and_delays_are_forgotten_and_receipts_are_stale,
                handing_back::a_live_lease_is_left_unless_it_is_to_be_taken,
                handing_back::what_is_handed_back_twice_or_is_not_claimed_stays_as_it_is,
                handing_back::what_broke_off_goes_on_in_the_same_order,
                handing_back::thousands_of_messages_are_handed_back_in_order,
                handing_back::long_messages_are_handed_back_unchanged_and_oversized_ones_are_not_lost,
                handing_back::an_adopted_message_that_was_handed_back_can_be_adopted_again,
                waiting::a_wait_ends_when_another_worker_pushes,
                waiting::a_wait_ends_at_once_when_there_is_something_to_claim,
                waiting::a_wait_without_work_ends_in_time,
                waiting::a_wait_takes_nothing,
                waiting::a_wait_can_be_dropped,
            }
        }
    };
}

conformance!(redis: crate::conformance::queue::fixtures::RedisFixture);
conformance!(valkey: crate::conformance::queue::fixtures::ValkeyFixture);
conformance!(sqlite: crate::conformance::queue::fixtures::SqliteFixture);

/// A lease longer than any test takes.
const LONG: Duration = Duration::from_secs(120);
/// A lease that tests wait for. Long enough that a busy machine does not lose it between two calls.
const SHORT: Duration = Duration::from_millis(400);
/// A lease that is over before anybody looks again.
const SHORTEST: Duration = Duration::from_millis(1);
/// What a test waits for something to happen before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A fresh queue with one worker that holds on to what it claims.
async fn fresh<F: QueueFixture>() -> (F, Arc<dyn AnyQueue>) {
    let fixture = F::fresh().await;
    let queue = fixture.worker(LONG).await;
    (fixture, queue)
}

async fn push(queue: &dyn AnyQueue, payloads: &[&str]) {
    let payloads: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.as_bytes().to_vec()).collect();
    queue.push(&payloads).await.unwrap();
}

/// Claims what there is to claim now.
async fn claim(queue: &dyn AnyQueue) -> Vec<Claim> {
    queue.claim(1_000).await.unwrap().claims
}

/// Claims the one message that must be there now.
async fn claim_one(queue: &dyn AnyQueue) -> Claim {
    let mut claims = claim(queue).await;
    assert_eq!(claims.len(), 1, "{claims:?}");
    claims.remove(0)
}

/// Claims as soon as there is something to claim, asking when the queue says that it is worth it.
async fn claim_when_due(queue: &dyn AnyQueue) -> Vec<Claim> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let claimed = queue.claim(1_000).await.unwrap();
        if !claimed.claims.is_empty() {
            return claimed.claims;
        }
        assert!(Instant::now() < deadline, "nothing became claimable within {PATIENCE:?}");
        queue.wait(claimed.next_due.unwrap_or(PATIENCE).max(Duration::from_millis(1))).await;
    }
}

/// Returns when a lease of this length, begun now, is over; claims nothing.
async fn outlast(queue: &dyn AnyQueue, lease: Duration) {
    // The queue counts whole milliseconds, and may count one more at either end.
    let end = Instant::now() + lease + Duration::from_millis(3);
    while Instant::now() < end {
        queue.wait(end.saturating_duration_since(Instant::now())).await;
    }
}

fn payloads(claims: &[Claim]) -> Vec<String> {
    claims.iter().map(|claim| String::from_utf8_lossy(&claim.payload).into_owned()).collect()
}

fn ack(claim: &Claim) -> Settlement {
    Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Ack }
}

fn retry(claim: &Claim, after: Duration) -> Settlement {
    Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Retry { after, spent: true } }
}

fn hand_back(claim: &Claim, after: Duration) -> Settlement {
    Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Retry { after, spent: false } }
}
