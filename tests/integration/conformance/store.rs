//! What every store must do.

use std::time::Duration;

use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::order::{Fence, Order, OrderId};
use fulfillment_worker::port::activity::ActivityLog;
use fulfillment_worker::port::audit::Audit;
use fulfillment_worker::port::controls::Controls;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters};
use fulfillment_worker::port::decisions::OrderDecisions;
use fulfillment_worker::port::horizon::Horizons;
use fulfillment_worker::port::intake::Intake;
use fulfillment_worker::port::jobs::Jobs;
use fulfillment_worker::port::reconciliation::Reconciliation;
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::retention::Retention;
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::search::{Feed, Notes, OrderSearch};
use fulfillment_worker::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Renewal, Renewed, Target, Verdict,
};
use fulfillment_worker::port::trends::Trends;
pub(crate) use fulfillment_worker_testkit::conformance::store as testkit;
pub(crate) use fulfillment_worker_testkit::conformance::store::Row;
use fulfillment_worker_testkit::conformance::store::{Letter, Transition, When};

mod ahead;
mod alike;
mod auditing;
mod controls;
mod correlating;
mod dead_letters;
mod deciding;
mod horizon;
mod inserting;
pub(crate) mod jobs;
mod open_dead_letters;
mod open_orders;
mod orphans;
pub(crate) mod postgres_fixture;
mod redriving;
mod reporting;
mod retaining;
mod schema;
mod searching;
pub(crate) mod sqlite_fixture;
mod sweeping;
mod trends;

/// A store in each of its roles.
pub(crate) trait AnyStore:
    OrderStore
    + DeadLetters
    + OrderDecisions
    + Reports
    + OrderSearch
    + Feed
    + Notes
    + Reconciliation
    + Retention
    + Audit
    + Horizons
    + Controls
    + ActivityLog
    + Jobs
    + Trends
    + Intake
    + Schema
{
}

impl<S> AnyStore for S where
    S: OrderStore
        + DeadLetters
        + OrderDecisions
        + Reports
        + OrderSearch
        + Feed
        + Notes
        + Reconciliation
        + Retention
        + Audit
        + Horizons
        + Controls
        + ActivityLog
        + Jobs
        + Trends
        + Intake
        + Schema
{
}

/// A fixture of the suite, with the means for what only the worker's own stores do.
pub(crate) trait StoreFixture: testkit::StoreFixture<Store = dyn AnyStore> + testkit::StoreRecords {
    /// Makes a database without the worker's own tables.
    async fn unmigrated() -> Self;

    /// As a worker that keeps no timeline.
    async fn without_events(&self, lease: Duration) -> Worker;

    /// Sets an order's status, as somebody who knows no rules.
    async fn set_status(&self, order_id: OrderId, status: &str);

    /// Deletes an order's row, and nothing else.
    async fn remove(&self, order_id: OrderId);

    /// Removes every order, and whatever is kept of orders.
    async fn empty(&self);

    /// Makes an order's transitions look as if they had been so much longer ago.
    async fn age_timeline(&self, order_id: OrderId, by: Duration);

    /// Makes the cutoff lie so much further back, and look as if it had been moved so much longer ago.
    async fn age_cutoff(&self, by: Duration, moved: Duration);

    /// Puts in a row of the history, `ago` minutes old, as another version might.
    async fn put_minute(&self, worker: &str, seq: i64, ago: i64, counts: &str);

    /// Makes it look as if arrivals had been counted so much longer ago.
    async fn age_arrivals(&self, by: Duration);

    /// Removes the table of dead letters.
    async fn lose_dead_letters(&self);

    /// Sets an order's `updated_at` this far ahead of the clock.
    async fn set_ahead(&self, order_id: OrderId, ahead: Duration) {
        self.set_updated(order_id, When::Ahead(ahead)).await;
    }

    /// Makes an order look as if it had been left as it is for so long, however old it is.
    async fn set_idle(&self, order_id: OrderId, idle: Duration) {
        self.set_updated(order_id, When::Ago(idle)).await;
    }

    /// Removes an order's `created_at`.
    async fn forget_creation(&self, order_id: OrderId) {
        self.set_created(order_id, When::Never).await;
    }

    /// Removes both times of an order.
    async fn forget_times(&self, order_id: OrderId) {
        self.set_created(order_id, When::Never).await;
        self.set_updated(order_id, When::Never).await;
    }

    /// Sets an order's `created_at` this far ahead of the clock.
    async fn create_ahead(&self, order_id: OrderId, ahead: Duration) {
        self.set_created(order_id, When::Ahead(ahead)).await;
    }
}

/// A store opened by a worker.
pub(crate) type Worker = testkit::Worker<dyn AnyStore>;

/// Its dead letters.
async fn letters(store: &dyn AnyStore) -> Vec<Letter> {
    let kept = store.list(&DeadLetterFilter::default(), 0, 1_000).await.unwrap().into_iter();
    kept.map(|kept| Letter {
        order_id: kept.order_id,
        payload: kept.payload,
        reason: kept.reason,
        detail: kept.detail,
        attempts: kept.attempts,
    })
    .collect()
}

/// An order's transitions.
async fn timeline(store: &dyn AnyStore, order_id: OrderId) -> Vec<Transition> {
    let entries = store.timeline(order_id).await.unwrap().into_iter();
    entries.map(|entry| Transition { state: entry.state, note: entry.note }).collect()
}

/// Makes every case a test of this backend.
macro_rules! conformance {
    ($backend:ident: $fixture:ty) => {
        mod $backend {
            fulfillment_worker_testkit::store_conformance!($fixture);
            cases! { $fixture:
                ahead::an_order_is_taken_over_once_the_same_fence_was_seen_for_a_lease,
                ahead::an_order_that_was_just_seen_is_busy_for_a_lease,
                ahead::what_one_worker_has_seen_counts_for_all_and_outlives_it,
                ahead::a_fence_that_has_moved_is_seen_anew,
                ahead::an_order_may_have_lost_its_message_once_the_same_fence_was_seen_for_long,
                dead_letters::letters_come_in_pages_in_order_of_id,
                deciding::every_state_answers_a_cancel_as_the_rules_do,
                deciding::the_worker_of_a_cancelled_order_is_superseded,
                deciding::an_order_that_was_taken_over_is_cancelled_for_both_of_its_workers,
                deciding::decisions_are_kept_in_the_timeline_with_author_and_reason,
                deciding::a_held_order_is_not_begun_until_it_is_released,
                deciding::a_hold_ends_by_itself_at_its_time,
                deciding::a_hold_of_an_order_in_work_takes_effect_when_its_attempt_has_ended,
                deciding::a_held_order_has_not_lost_its_message,
                deciding::a_hold_leaves_the_number_of_spent_attempts_as_it_was,
                deciding::a_time_that_a_message_names_holds_its_order_until_somebody_releases_it,
                deciding::what_cannot_be_held_or_released_is_told_with_its_state,
                deciding::a_dry_run_changes_nothing_and_answers_as_the_run_does,
                deciding::an_order_that_the_database_refuses_to_cancel_does_not_harm_its_neighbours,
                deciding::held_orders_are_counted_and_are_no_part_of_an_age,
                deciding::of_a_cancel_and_a_worker_at_once_never_both_win,
                deciding::operators_at_once_cancel_each_order_once,
                deciding::an_order_that_a_hold_found_pending_is_begun_by_nobody_after_it,
                redriving::every_state_answers_a_redrive_as_the_model_does,
                redriving::a_redrive_is_kept_with_actor_and_reason_and_the_letter_stays,
                redriving::a_redriven_order_that_fails_again_has_another_letter,
                redriving::a_letter_is_redriven_once_and_pushed_again_while_its_order_is_pending,
                redriving::a_letter_of_before_does_not_redrive_an_order_that_failed_again,
                redriving::two_letters_of_an_order_move_it_once,
                redriving::a_letter_without_a_failed_order_is_left_to_be_pushed_first,
                redriving::a_letter_whose_row_is_gone_moves_no_row_that_has_its_id,
                redriving::a_letter_that_is_not_there_is_unknown_among_its_neighbours,
                redriving::a_discarded_letter_leaves_its_order_and_can_be_retried_with_both_decisions_kept,
                redriving::the_same_letter_twice_in_a_batch_is_marked_once,
                redriving::an_order_that_the_database_refuses_to_redrive_does_not_harm_its_neighbours,
                redriving::operators_at_once_redrive_each_order_once,
                redriving::a_redrive_moves_the_fence_forward_from_a_clock_that_is_ahead,
                redriving::letters_are_found_by_each_filter_and_by_all_of_them,
                reporting::the_timeline_has_an_entry_per_transition,
                reporting::a_refused_step_leaves_no_entry,
                reporting::with_events_off_there_is_no_timeline,
                reporting::an_order_is_reported_as_its_row_has_it,
                reporting::an_order_that_is_not_there_is_not_reported,
                reporting::an_empty_database_is_summed_up_as_such,
                reporting::the_summary_counts_orders_by_state_and_finds_the_oldest,
                retaining::timelines_that_ended_before_the_cutoff_are_deleted_whole_whatever_the_size_of_a_page,
                retaining::an_order_that_is_open_or_waits_for_a_decision_keeps_its_timeline,
                retaining::nobody_deletes_timelines_but_the_leader,
                retaining::a_clock_that_jumps_moves_the_cutoff_by_a_day_an_hour,
                retaining::the_first_cutoff_is_a_day_after_the_oldest_entry_at_most,
                controls::a_pause_is_in_force_for_every_worker_until_it_is_cleared,
                controls::one_worker_is_quiet_alone_and_an_unknown_one_is_refused,
                controls::the_lowest_limit_is_in_force,
                controls::a_control_ends_by_the_clock_of_the_store,
                controls::two_operators_pause_once_and_both_are_in_the_activity,
                controls::what_people_did_comes_newest_first_and_each_once,
                controls::the_registry_has_what_a_worker_last_said_until_it_leaves,
                inserting::orders_are_answered_by_position,
                inserting::a_product_is_made_once_and_used_again,
                inserting::an_order_that_is_invalid_leaves_nothing_behind,
                inserting::thousands_of_orders_are_inserted_in_one_call,
                inserting::two_submitters_at_once_share_their_products,
                inserting::an_order_whose_key_was_inserted_before_is_passed_over,
                inserting::a_key_is_remembered_with_its_order_or_not_at_all,
                inserting::two_submitters_of_one_file_insert_each_order_once,
                inserting::a_request_is_taken_once_and_answered_as_before,
                inserting::of_two_at_once_under_one_key_one_inserts,
                inserting::inserting_nothing_is_no_error,
                orphans::a_pending_order_left_alone_for_the_grace_is_one,
                orphans::a_pending_order_touched_lately_is_none,
                orphans::a_pending_order_that_nobody_has_passed_yet_is_none,
                orphans::an_order_in_work_is_one_only_after_lease_and_grace,
                orphans::orders_that_are_done_or_not_ours_are_none,
                orphans::an_order_left_alone_for_too_long_is_counted_instead,
                orphans::orphans_come_in_pages_in_order_of_id,
                orphans::an_orphan_has_the_newest_correlation_id_of_its_timeline,
                orphans::the_attempts_of_an_orphan_that_were_not_ended_are_spent,
                horizon::of_many_first_starts_one_notes_the_horizon_and_it_stays,
                horizon::a_horizon_behind_everything_leaves_alone_what_is_there_and_nothing_that_comes,
                horizon::the_first_open_order_counts_and_those_created_up_to_a_minute_before_it,
                horizon::an_older_order_is_left_alone_until_it_is_begun,
                horizon::an_older_order_that_a_person_redrives_is_looked_after,
                horizon::an_order_without_any_time_is_judged_by_its_id,
                horizon::an_installation_without_a_horizon_takes_in_every_order_and_gets_none,
                horizon::moving_the_horizon_takes_orders_in_or_leaves_them_but_never_one_that_was_begun,
                horizon::open_orders_are_judged_with_their_ages,
                auditing::the_lead_is_held_by_one_worker_and_renewed_by_it,
                auditing::the_lead_of_a_dead_worker_is_taken_after_its_term,
                auditing::a_lead_that_was_given_up_is_free_at_once,
                auditing::several_workers_at_once_get_one_leader,
                auditing::every_row_is_judged,
                auditing::an_audit_comes_in_pages,
                auditing::an_order_fulfilled_twice_is_found,
                auditing::states_are_answered_by_position,
                open_dead_letters::letters_count_by_reason_until_somebody_decides,
                correlating::orders_are_found_by_correlation_id_whatever_the_size_of_a_page,
                searching::orders_are_listed_by_each_filter_and_by_all_of_them_newest_first,
                searching::pages_follow_each_other_without_a_gap_whatever_their_size,
                searching::a_cursor_of_other_filters_is_refused,
                searching::an_empty_table_is_an_empty_page,
                searching::a_list_by_age_leaves_out_no_order_and_takes_none_that_does_not_match,
                searching::every_transition_is_read_once_in_order,
                searching::a_note_stands_in_the_timeline_of_pending_orders_alone,
                correlating::an_order_is_found_by_an_id_that_was_cut_when_it_was_kept,
                open_orders::none_are_counted_where_there_are_none,
                open_orders::one_is_counted_with_its_age,
                open_orders::several_are_counted_by_state_with_the_age_of_the_oldest,
                open_orders::one_without_created_at_is_counted_and_has_no_age,
                open_orders::what_is_done_or_not_ours_is_not_counted,
                open_orders::one_that_was_created_in_the_future_has_no_age_that_could_be_told,
                sweeping::sweeping_changes_nothing_that_is_told_of_open_orders,
                jobs::a_job_is_kept_as_it_was_made_and_is_in_the_activity,
                jobs::two_operators_with_one_selection_make_one_job_until_it_has_ended,
                jobs::a_job_is_one_workers_until_its_lease_is_over_and_the_old_one_writes_nothing_more,
                jobs::a_cancelled_job_is_nobodys_and_both_are_in_the_activity,
                jobs::letters_are_retried_once_each_when_whoever_did_it_died_before_the_push,
                jobs::letters_are_discarded_once_each_and_those_that_came_later_are_left_alone,
                jobs::orders_are_held_once_each_when_whoever_did_it_died_half_way,
                jobs::a_repeated_page_counts_what_its_own_job_has_decided_alone,
                jobs::orders_are_cancelled_and_released_in_bulk_with_a_message_for_each,
                jobs::a_rate_spreads_a_job_and_a_stop_leaves_it_to_others_at_once,
                trends::a_row_that_is_written_again_replaces_itself_and_keeps_its_minute,
                trends::a_write_that_comes_late_takes_nothing_back,
                trends::minutes_are_by_the_clock_of_the_store,
                trends::a_row_of_a_minute_that_is_over_is_told,
                trends::rows_of_all_workers_come_in_pages_of_any_size,
                trends::rows_of_other_versions_are_read_as_far_as_they_are_known,
                trends::each_order_is_counted_once_however_many_workers_count,
                trends::orders_that_nobody_counted_for_an_hour_count_in_their_minutes,
                trends::where_the_highest_id_went_down_counting_starts_anew,
                trends::old_rows_are_deleted_a_bounded_number_at_a_time,
                trends::one_worker_leads,
                alike::letters_with_the_same_error_are_found_in_pages_and_counted,
                alike::a_job_decides_about_those_with_the_same_error_and_about_no_other,
                alike::a_letter_that_somebody_decides_about_meanwhile_is_left_to_that,
                schema::migrating_twice_applies_nothing_more,
                schema::several_workers_may_migrate_at_once,
                schema::check_passes_after_migrating,
                schema::check_names_what_is_missing,
                schema::a_call_that_misses_a_table_names_it,
            }
        }
    };
}

conformance!(postgres: crate::conformance::store::postgres_fixture::PostgresFixture);
conformance!(planted: crate::conformance::store::postgres_fixture::PlantedFixture);
conformance!(sqlite: crate::conformance::store::sqlite_fixture::SqliteFixture);

mod memory {
    fulfillment_worker_testkit::store_conformance!(crate::conformance::memory::InMemory);
}

/// A lease that no test outlives.
const LEASE: Duration = Duration::from_secs(3_600);

/// First attempt, without a correlation id.
fn request(order_id: OrderId) -> BeginRequest {
    BeginRequest { order_id, attempt: 1, correlation_id: None }
}

/// First attempts, without correlation ids.
fn requests(order_ids: &[OrderId]) -> Vec<BeginRequest> {
    order_ids.iter().copied().map(request).collect()
}

/// End of a first attempt, without a correlation id.
fn conclusion(order_id: OrderId, fence: Fence, to: Target) -> Conclusion {
    Conclusion { order_id, fence, attempt: 1, to, maybe_applied: false, created_at_micros: None }
}

fn fulfilled() -> Target {
    Target::Fulfilled { reference: Some("shipment 1".to_owned()) }
}

fn pending() -> Target {
    Target::Pending { reason: "the fulfiller is closed".to_owned() }
}

fn failed(claim_id: &str) -> Target {
    Target::Failed(letter(claim_id))
}

fn letter(claim_id: &str) -> DeadLetter {
    DeadLetter {
        claim_id: claim_id.to_owned(),
        order_id: None,
        payload: b"{\"order_id\": 1}".to_vec(),
        reason: DeadReason::AttemptsExhausted,
        detail: "no more attempts".to_owned(),
        attempts: 3,
    }
}

/// Puts in pending orders, a minute old.
async fn pending_orders<F: StoreFixture>(fixture: &F, count: usize) -> Vec<OrderId> {
    let mut order_ids = Vec::with_capacity(count);
    for _ in 0..count {
        order_ids.push(fixture.put("pending", Duration::from_secs(60)).await);
    }
    order_ids
}

/// Begins one order, which must start.
async fn start(worker: &Worker, order_id: OrderId) -> (Order, Fence) {
    let answers = worker.store.begin(&[request(order_id)]).await.unwrap();
    match answers.as_slice() {
        [Begun::Started { order, fence, .. }] => (order.clone(), *fence),
        other => panic!("order {order_id} does not start: {other:?}"),
    }
}

/// Begins one order, and answers what became of it.
async fn begin(worker: &Worker, order_id: OrderId) -> Begun {
    let mut answers = worker.store.begin(&[request(order_id)]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// Ends one attempt, and answers what became of it.
async fn conclude(worker: &Worker, conclusion: Conclusion) -> Verdict {
    let mut verdicts = worker.store.conclude(&[conclusion]).await.unwrap();
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

/// Renews one lease, and answers the new fence if it is still ours.
async fn renew(worker: &Worker, order_id: OrderId, fence: Fence) -> Option<Fence> {
    let answers = worker.store.renew(&[Renewal { order_id, fence }]).await.unwrap();
    match answers.as_slice() {
        [Renewed::Kept(fence)] => Some(*fence),
        [Renewed::Lost] => None,
        other => panic!("nobody has locked order {order_id}: {other:?}"),
    }
}

fn is_started(answer: &Begun) -> bool {
    matches!(answer, Begun::Started { .. })
}

fn is_done(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Done { .. })
}
