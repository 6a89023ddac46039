//! The cases by name, each group under a macro of its own.

/// Makes each case a test of this backend, under its name.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($port:ident, $fixture:ty: $($module:ident::$case:ident),+ $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::run($crate::conformance::$port::$module::$case::<$fixture>());
            }
        )+
    };
}

/// What an engine needs of a queue, as tests of a [`QueueFixture`](crate::conformance::queue::QueueFixture).
#[macro_export]
macro_rules! queue_conformance {
    ($fixture:ty) => {
        $crate::conformance_cases! { queue, $fixture:
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
            pushing::pushing_nothing_is_no_error,
            pushing::thousands_of_messages_are_pushed_in_order,
            pushing::depth_counts_each_kind,
            waiting::a_wait_ends_when_another_worker_pushes,
            waiting::a_wait_ends_at_once_when_there_is_something_to_claim,
            waiting::a_wait_without_work_ends_in_time,
            waiting::a_wait_takes_nothing,
            waiting::a_wait_can_be_dropped,
        }
    };
}

/// What a reconciler needs of a queue, as tests of a fixture whose queue has `QueueMaintenance`.
#[macro_export]
macro_rules! queue_maintenance_conformance {
    ($fixture:ty) => {
        $crate::conformance_cases! { queue, $fixture:
            oversized::a_longer_message_is_browsed_as_a_number_and_its_neighbours_as_they_are,
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
        }
    };
}

/// What a drain to the producers' list needs of a queue, as tests of a fixture whose queue has `HandBack` and `QueueMaintenance`.
#[macro_export]
macro_rules! hand_back_conformance {
    ($fixture:ty) => {
        $crate::conformance_cases! { queue, $fixture:
            handing_back::claimed_messages_are_described,
            handing_back::every_claimed_message_is_new_again_before_those_that_wait_and_the_oldest_first,
            handing_back::attempts_and_delays_are_forgotten_and_receipts_are_stale,
            handing_back::a_live_lease_is_left_unless_it_is_to_be_taken,
            handing_back::what_is_handed_back_twice_or_is_not_claimed_stays_as_it_is,
            handing_back::what_broke_off_goes_on_in_the_same_order,
            handing_back::thousands_of_messages_are_handed_back_in_order,
            handing_back::long_messages_are_handed_back_unchanged_and_oversized_ones_are_not_lost,
            handing_back::an_adopted_message_that_was_handed_back_can_be_adopted_again,
        }
    };
}

/// What an engine needs of a store, as tests of a fixture with [`StoreFixture`](crate::conformance::store::StoreFixture) and
/// [`StoreRecords`](crate::conformance::store::StoreRecords).
#[macro_export]
macro_rules! store_conformance {
    ($fixture:ty) => {
        $crate::conformance_cases! { store, $fixture:
            rules::every_state_answers_a_begin_as_the_rules_do,
            rules::every_state_answers_a_conclusion_as_the_rules_do,
            rules::every_state_answers_a_renewal_as_the_rules_do,
            beginning::a_pending_order_is_started,
            beginning::the_first_attempt_tells_how_long_its_order_has_waited,
            beginning::only_the_first_attempt_tells_how_long_its_order_has_waited,
            beginning::an_order_that_nobody_dated_has_not_waited,
            beginning::an_order_that_is_not_there_is_unknown,
            beginning::an_order_is_taken_over_only_after_its_lease,
            beginning::the_timeline_tells_a_takeover_from_a_start,
            beginning::an_order_in_work_is_busy_for_the_rest_of_its_lease,
            beginning::a_status_of_somebody_else_is_named_and_left_alone,
            beginning::the_same_order_twice_in_a_batch_is_started_once,
            beginning::an_order_begun_again_in_the_next_batch_is_busy,
            beginning::answers_come_by_position,
            beginning::a_row_that_the_database_refuses_does_not_harm_its_neighbours,
            beginning::a_thousand_orders_are_started_in_one_call,
            beginning::a_nul_character_in_a_correlation_id_is_no_reason_to_refuse,
            concluding::a_fulfilled_order_is_done_and_tells_its_age,
            concluding::a_released_order_is_pending_and_can_be_begun_again,
            concluding::a_failed_order_has_its_dead_letter,
            concluding::an_order_whose_transition_is_refused_has_no_dead_letter,
            concluding::an_order_that_is_superseded_has_no_dead_letter,
            concluding::a_stale_worker_can_neither_conclude_nor_renew_after_a_takeover,
            concluding::concluding_twice_is_superseded_by_what_is_found,
            concluding::concluding_again_after_a_lost_answer_is_done,
            concluding::a_lost_answer_excuses_nothing_but_the_same_conclusion,
            concluding::an_order_that_is_gone_is_superseded_by_nothing,
            concluding::an_order_whose_id_another_one_has_by_now_is_superseded_by_nothing,
            concluding::verdicts_come_by_position,
            concluding::the_same_order_twice_in_a_batch_is_concluded_once,
            concluding::a_row_that_the_database_refuses_to_conclude_does_not_harm_its_neighbours,
            concluding::what_is_told_of_an_end_is_kept,
            concluding::a_nul_character_in_a_note_is_no_reason_to_refuse,
            concluding::renewing_keeps_a_takeover_away,
            concluding::renewals_are_answered_by_position,
            concluding::a_row_whose_renewal_the_database_refuses_is_lost_and_harms_no_neighbour,
            concluding::the_fence_moves_strictly_forward,
            concluding::the_fence_moves_forward_from_a_clock_that_is_ahead,
            contention::two_workers_at_once_start_each_order_exactly_once,
            contention::two_workers_at_once_take_over_each_order_exactly_once,
            contention::overlapping_batches_in_opposite_order_never_fail,
            contention::a_conclusion_and_a_takeover_at_once_never_both_win,
            burying::poison_is_kept_with_its_bytes_and_reason,
            burying::a_claim_id_is_buried_once,
        }
    };
}
