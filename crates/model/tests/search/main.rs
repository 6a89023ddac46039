//! The protocol of worker and completer, searched from end to end by a model checker (stateright): every order of
//! steps, with a crash, a lost answer or the end of a lease between any two. docs/MODEL.md says what is modelled.
//!
//! Without one of its guards each, the protocol fails, and the shortest way there is told.
//!
//! Caught, when seeded in the engine's decisions: an order that was taken over is called for although ambiguous ones are
//! parked, or is handed back by a drain before it is parked (`after_begin`); one in other hands is acknowledged
//! (`after_begin`); an attempt ends as intended although its row has moved on (`after_verdict`); a call that timed out,
//! that a drain broke off or that the warehouse has in work is made again although ambiguous orders are parked
//! (`after_call`).

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't go on has failed, and stories are told"
)]

mod protocol;
mod setting;
mod steps;
mod story;
mod world;

use std::env;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use protocol::{KEPT, NOTHING_LOST, Protocol};
use setting::{Guard, Setting};
use world::Promise;

#[test]
fn one_order_keeps_every_promise_however_much_goes_wrong() {
    holds(Setting { messages: from_environment("MODEL_MESSAGES", 1).into(), ..Setting::default() });
}

#[test]
fn one_order_keeps_every_promise_of_parking_however_much_goes_wrong() {
    holds(Setting { messages: from_environment("MODEL_MESSAGES", 1).into(), parking: true, ..Setting::default() });
}

#[test]
fn one_order_with_two_messages_that_others_may_cancel_keeps_every_promise() {
    for parking in [false, true] {
        let most_faults = Some(from_environment("MODEL_FAULTS", 3));
        holds(Setting { messages: 2, cancellation: true, parking, most_faults, ..Setting::default() });
    }
}

#[test]
fn one_order_that_operators_cancel_hold_and_release_keeps_every_promise() {
    let most_faults = Some(from_environment("MODEL_FAULTS", 3));
    holds(Setting { cancellation: true, holding: true, most_faults, ..Setting::default() });
}

#[test]
fn a_cancel_that_looks_first_and_writes_then_cancels_what_is_finished() {
    let setting = Setting { cancellation: true, ..Setting::default() };
    let story = fails(Guard::CancelUnderLock, Promise::FinalChanged, setting);
    story.has_in_order(&["an operator finds order 1 open"]);
    story.ends("the operator cancels what was found open");
}

#[test]
fn without_state_and_fence_a_conclusion_overwrites_what_is_cancelled() {
    let setting =
        Setting { cancellation: true, lossy: false, reconciler: false, max_attempts: 1, ..Setting::default() };
    let story = fails(Guard::StateAndFence, Promise::FinalChanged, setting);
    story.has_in_order(&["cancels order 1"]);
    story.ends("Ann writes order 1, cancelled → ");
}

#[test]
fn a_begin_that_looks_for_no_hold_begins_what_is_held() {
    let story = fails(Guard::Hold, Promise::HeldBegun, Setting { holding: true, ..Setting::default() });
    story.has_in_order(&["an operator holds order 1"]);
    story.ends("Ann takes order 1");
}

#[test]
fn one_order_whose_row_vanishes_keeps_every_promise() {
    for parking in [false, true] {
        let most_faults = Some(from_environment("MODEL_FAULTS", 3));
        holds(Setting { vanishing: true, parking, most_faults, ..Setting::default() });
    }
}

#[test]
fn without_a_letter_of_a_row_that_is_gone_its_order_is_forgotten() {
    let setting = Setting { vanishing: true, ..Setting::default() };
    let story = fails(Guard::LetterOfGoneRow, Promise::GoneUntold, setting);
    story.has_in_order(&["Ann takes order 1", "the row of order 1 vanishes", "Ann finds the row of order 1 gone"]);
    story.ends("Ann acknowledges the message of order 1");
}

#[test]
fn without_a_look_at_a_row_that_was_lost_nobody_knows_that_it_had_been_begun() {
    let setting = Setting { vanishing: true, ..Setting::default() };
    let story = fails(Guard::LookAtLostRow, Promise::GoneUnnamed, setting);
    story.has_in_order(&["Ann takes order 1", "the row of order 1 vanishes", "Ann finds that it lost order 1"]);
    story.ends("Ann has nothing to write");
}

#[test]
fn two_orders_keep_every_promise() {
    holds(Setting { orders: 2, most_faults: Some(from_environment("MODEL_FAULTS", 2)), ..Setting::default() });
}

#[test]
fn two_orders_keep_every_promise_of_parking() {
    let most_faults = Some(from_environment("MODEL_FAULTS", 2));
    holds(Setting { orders: 2, parking: true, most_faults, ..Setting::default() });
}

#[test]
fn workers_with_two_orders_in_hand_and_a_place_for_one_call_keep_every_promise() {
    for parking in [false, true] {
        holds(Setting { parking, most_faults: Some(from_environment("MODEL_FAULTS_IN_HAND", 1)), ..two_in_hand() });
    }
}

#[test]
fn no_reconciler_is_needed_where_the_queue_keeps_what_it_has() {
    holds(Setting { lossy: false, reconciler: false, ..Setting::default() });
}

#[test]
fn without_the_fence_a_stale_worker_ends_the_attempt_of_another() {
    let story = fails(Guard::Fence, Promise::StaleWrite, Setting::default());
    story.has_in_order(&[
        "Ann takes order 1, pending → processing at fence 1",
        "Ann writes order 1, processing → pending at fence 2, and the answer gets lost",
        "Bob takes order 1, pending → processing at fence 3",
    ]);
    story.ends("Ann writes order 1, processing → pending at fence 4");
}

#[test]
fn without_state_and_fence_a_finished_order_is_put_back() {
    let story = fails(Guard::StateAndFence, Promise::FinalChanged, Setting::default());
    story.has_in_order(&["Bob takes over order 1", "Ann writes order 1, processing → fulfilled"]);
    story.ends("Bob writes order 1, fulfilled → pending");
}

#[test]
fn with_the_bare_clock_for_a_fence_a_stale_worker_ends_the_attempt_of_another() {
    let story = fails(Guard::FenceMovesForward, Promise::StaleWrite, Setting::default());
    story.has_in_order(&[
        "Ann takes order 1, pending → processing at fence 0",
        "Bob takes order 1, pending → processing at fence 0",
    ]);
    story.ends("Ann writes order 1, processing → pending at fence 0");
}

#[test]
fn an_acknowledgement_before_the_commit_comes_too_early() {
    let story = fails(Guard::AcknowledgeAfterCommit, Promise::AcknowledgedEarly, Setting::default());
    story.ends("Ann acknowledges the message of order 1");
}

#[test]
fn an_acknowledgement_before_the_commit_loses_the_order_of_a_worker_that_dies() {
    let story = loses(Setting { without: Some(Guard::AcknowledgeAfterCommit), ..without_reconciler() });
    story.has_in_order(&["Ann learns that it is done", "Ann acknowledges the message of order 1"]);
    story.ends("Ann is killed");
}

#[test]
fn without_a_lease_on_the_claim_a_lost_answer_loses_the_order() {
    let story = loses(Setting { without: Some(Guard::LeaseOnClaim), ..without_reconciler() });
    story.ends("the queue hands out the message of order 1, and the answer gets lost");
}

#[test]
fn without_a_reconciler_a_queue_that_loses_a_message_loses_its_order() {
    let story = loses(Setting { reconciler: false, ..Setting::default() });
    story.ends("the queue loses the message of order 1");
}

#[test]
fn a_key_for_each_attempt_ships_twice() {
    let story = fails(Guard::SameKey, Promise::DoneTwice, Setting::default());
    story.has_in_order(&["Ann calls the warehouse for order 1, which does the work", "Bob claims"]);
    story.ends("Bob calls the warehouse for order 1, which does the work");
}

#[test]
fn a_takeover_that_does_not_wait_for_the_lease_repeats_live_work() {
    let story = fails(Guard::TakeoverLease, Promise::LiveWorkRepeated, Setting::default());
    story.has_in_order(&["Ann calls the warehouse", "Bob takes over order 1, processing → processing at fence 2"]);
    story.ends("Bob calls the warehouse for order 1");
    assert!(!story.0.iter().any(|sentence| sentence.contains("the lease of the row")), "{:?}", story.0);
}

#[test]
fn a_reconciler_that_resets_rows_puts_a_finished_order_back() {
    let story = fails(Guard::ReconcilerOnlyPushes, Promise::FinalChanged, Setting::default());
    story.has_in_order(&["the reconciler finds order 1 abandoned", "Ann writes order 1, processing → f"]);
    story.ends("the reconciler puts order 1 back, f");
}

#[test]
fn parking_without_a_look_at_takeovers_calls_twice() {
    let setting = Setting { parking: true, ..Setting::default() };
    let story = fails(Guard::ParkAfterTakeover, Promise::CalledTwice, setting);
    story.has_in_order(&["Ann calls the warehouse for order 1", "Bob takes over order 1"]);
    story.ends("Bob calls the warehouse for order 1");
}

#[test]
fn an_order_that_does_not_wait_for_its_place_is_called_for_beside_another() {
    let story = fails(Guard::Place, Promise::CalledWithoutPlace, two_in_hand());
    story.has_in_order(&["Ann claims the message of order", "Ann calls the warehouse"]);
    story.ends("Ann calls the warehouse for order");
    assert!(!story.0.iter().any(|sentence| sentence.contains("Bob")), "{:?}", story.0);
}

#[test]
fn an_order_that_is_given_up_with_its_row_in_hand_is_put_back_for_nobody() {
    let story = fails(Guard::ReleaseWhenPassedOver, Promise::PutBackHeld, two_in_hand());
    story.has_in_order(&["Ann calls the warehouse for order 1", "Ann finds no place for its call for order 2"]);
    story.ends("Ann puts the message of order 2 back");
}

#[test]
fn an_order_that_is_called_for_once_it_was_given_up_is_called_for_beside_another_worker() {
    let story = fails(Guard::NoCallOnceGivenUp, Promise::LiveWorkRepeated, two_in_hand());
    story.has_in_order(&["Ann finds no place for its call for order", "→ pending", "Bob takes order", "Bob calls"]);
    story.ends("Ann calls the warehouse for order");
}

/// Two orders, which one worker may have in hand together.
fn two_in_hand() -> Setting {
    Setting { orders: 2, hands: 2, most_faults: Some(1), ..Setting::default() }
}

fn without_reconciler() -> Setting {
    Setting { lossy: false, reconciler: false, ..Setting::default() }
}

/// The bound of a search, which may be wider where there is more time.
fn from_environment(variable: &str, usual: u8) -> u8 {
    env::var(variable).map_or(usual, |value| value.parse().unwrap())
}

/// Searches everything there is, and finds every promise kept.
fn holds(setting: Setting) {
    let checker = Protocol::new(setting).checker().threads(2).spawn_bfs().join();
    println!(
        "{} states by {} steps, at most {} from the start: {setting:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    for (name, path) in checker.discoveries() {
        if checker.model().property(name).expectation == Expectation::Always {
            let broken = path.last_state().broken;
            println!("Not true that {name}, {broken:?}:\n{}", story::tell(path).join("\n"));
        }
    }
    checker.assert_properties();
}

/// Searches for the nearest broken promise of this kind.
fn fails(without: Guard, promise: Promise, setting: Setting) -> Story {
    Story::of(Setting { without: Some(without), looked_at: Some(promise), ..setting }, KEPT)
}

/// Searches for the nearest moment from which nothing leads to a good end.
fn loses(setting: Setting) -> Story {
    // A promise that is about something else: what else is broken is not looked at.
    Story::of(Setting { looked_at: Some(Promise::CalledTwice), ..setting }, NOTHING_LOST)
}

/// How a promise comes to be broken, a sentence a step.
struct Story(Vec<String>);

impl Story {
    fn of(setting: Setting, property: &'static str) -> Self {
        // One thread: the same story every time.
        let checker = Protocol::new(setting).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let told = story::tell(checker.discovery(property).unwrap());
        println!("Not true that {property}:\n{}", told.join("\n"));
        Self(told)
    }

    /// Whether sentences with these words come in this order.
    fn has_in_order(&self, words: &[&str]) {
        let mut sentences = self.0.iter();
        for words in words {
            assert!(sentences.any(|sentence| sentence.contains(words)), "no `{words}` in its place: {:?}", self.0);
        }
    }

    fn ends(&self, words: &str) {
        assert!(
            self.0.last().is_some_and(|sentence| sentence.contains(words)),
            "no `{words}` at the end: {:?}",
            self.0
        );
    }
}
