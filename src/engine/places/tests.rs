use futures::FutureExt;

use super::*;

fn places(concurrency: usize) -> Arc<Places> {
    Places::new(concurrency, Observers::default())
}

/// Claims as many orders as may be claimed.
fn claim(places: &Arc<Places>) -> Vec<Place> {
    let reserved = places.reserve(usize::MAX, usize::MAX);
    reserved.map_or_else(Vec::new, |reserved| {
        let count = reserved.count();
        reserved.claimed(count)
    })
}

fn has_room(places: &Places) -> bool {
    places.room().now_or_never().is_some()
}

/// A call of no time.
fn call(place: &mut Place) {
    place.turn().now_or_never().unwrap();
    place.end();
}

fn counts(places: &Places) -> (usize, usize, usize) {
    let held = places.held();
    (held.taken, held.uncalled, held.finished)
}

#[test]
fn there_is_a_place_for_each_call_and_none_for_another_order() {
    let places = places(3);
    let first = claim(&places);
    assert_eq!(first.len(), 3);
    assert!(!has_room(&places) && claim(&places).is_empty());
    drop(first);
    assert!(has_room(&places));
}

#[test]
fn what_was_reserved_and_not_claimed_is_given_back() {
    let places = places(3);
    let one = places.reserve(usize::MAX, usize::MAX).unwrap().claimed(1);
    assert_eq!(counts(&places), (1, 1, 0));
    assert_eq!(claim(&places).len(), 2, "beside {}", one.len());
    assert_eq!(places.reserve(1, usize::MAX).unwrap().claimed(7).len(), 1, "no more than places");
}

#[test]
fn a_place_comes_back_when_the_call_ends_and_not_before() {
    let places = places(1);
    let mut first = claim(&places);
    first[0].turn().now_or_never().unwrap();
    assert!(!has_room(&places));
    first[0].end();
    assert!(has_room(&places), "although it is not settled");
    assert_eq!(counts(&places), (0, 0, 1));
    first[0].end();
    drop(first);
    assert_eq!(counts(&places), (0, 0, 0));
}

#[test]
fn an_attempt_that_ends_without_a_call_gives_its_place_back_too() {
    let places = places(1);
    let mut first = claim(&places);
    first[0].end();
    assert_eq!(counts(&places), (0, 0, 1));
    assert_eq!(claim(&places).len(), 1, "and lets none go ahead");
}

#[test]
fn ended_calls_keep_their_places_while_enough_others_wait_to_be_settled() {
    let places = places(2);
    let mut finished = Vec::new();
    while finished.len() < FINISHED {
        finished.extend(claim(&places).into_iter().take(FINISHED - finished.len()).map(|mut place| {
            call(&mut place);
            place
        }));
    }
    places.held().ended = RecentCalls::new(Instant::now());
    let mut last = claim(&places);
    assert_eq!(last.len(), 2);
    last.iter_mut().for_each(call);
    assert!(!has_room(&places), "the bound of what is finished is reached");
    finished.pop();
    assert!(!has_room(&places), "an ended call keeps its place until it is settled");
    last.pop();
    assert!(has_room(&places));
    drop((finished, last));
    assert_eq!(counts(&places), (0, 0, 0));
}

#[test]
fn as_many_orders_are_claimed_as_calls_ended_just_now_if_these_are_more_than_there_are_places() {
    let now = Instant::now();
    let table = [
        // concurrency, ended, taken: room
        (1, 0, 0, 1),
        (1, 1, 1, 0),
        (1, 5, 1, 4),
        (1, 5, 5, 0),
        (256, 200, 256, 0),
        (256, 300, 256, 44),
        (256, 9_000, 256, BATCH),
        (256, 9_000, 256 + BATCH, 0),
        (1, 9_000, 0, 1 + BATCH),
        (1, 0, 7, 0),
    ];
    for (concurrency, calls, taken, room) in table {
        let mut ended = RecentCalls::new(now);
        (0..calls).for_each(|_| ended.add(now));
        let mut held = Held { taken, claimed: taken, uncalled: 0, finished: 0, ended };
        assert_eq!(held.room(concurrency, now), room, "{concurrency} {calls} {taken}");
        assert_eq!(held.room(concurrency, now + Duration::from_millis(50)), concurrency.saturating_sub(taken), "later");
    }
}

/// Caught, when seeded: what is in hand and not called yet counts as called.
#[test]
fn what_is_in_hand_and_not_called_yet_is_part_of_what_the_fulfiller_takes() {
    let places = places(10);
    let mut first = places.reserve(usize::MAX, 4).unwrap().claimed(4);
    assert!(places.reserve(usize::MAX, 4).is_none());
    assert_eq!(places.reserve(usize::MAX, 5).unwrap().count(), 1);
    first[0].turn().now_or_never().unwrap();
    assert_eq!(places.reserve(usize::MAX, 4).unwrap().count(), 1, "of the other three nothing is known yet");
}

#[test]
fn orders_claimed_ahead_are_called_in_turn() {
    let places = places(1);
    (0..3).for_each(|_| claim(&places).iter_mut().for_each(call));
    let mut all = claim(&places);
    let [first, second, third, ..] = &mut all[..] else { panic!("more calls than that have just ended") };
    first.turn().now_or_never().unwrap();
    let (mut second, mut third) = (Box::pin(second.turn()), Box::pin(third.turn()));
    assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
    first.end();
    assert!(third.as_mut().now_or_never().is_none(), "the second comes first");
    assert!(second.as_mut().now_or_never().is_some());
}

#[test]
fn a_turn_that_is_not_waited_for_any_more_is_nobodys() {
    let places = places(1);
    claim(&places).iter_mut().for_each(call);
    (0..2).for_each(|_| places.held().ended.add(Instant::now()));
    let mut all = claim(&places);
    let (first, rest) = all.split_first_mut().unwrap();
    first.turn().now_or_never().unwrap();
    assert!(rest[0].turn().now_or_never().is_none());
    rest[0].end();
    first.end();
    rest[1].turn().now_or_never().unwrap();
    drop(all);
    assert_eq!(counts(&places), (0, 0, 0));
}

#[test]
fn nothing_is_in_hand_once_every_order_is_dropped() {
    let places = places(2);
    assert!(places.emptied().now_or_never().is_some());
    let mut both = claim(&places);
    let mut emptied = Box::pin(places.emptied());
    assert!(emptied.as_mut().now_or_never().is_none());
    call(&mut both[0]);
    assert!(emptied.as_mut().now_or_never().is_none());
    drop(both);
    assert!(emptied.as_mut().now_or_never().is_some());
}

#[test]
fn calls_are_counted_for_fifty_milliseconds_at_most() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut ended = RecentCalls::new(start);
    ended.add(at(0));
    ended.add(at(7));
    ended.add(at(7));
    let seen: Vec<usize> = [7, 44, 49, 50, 54, 55, 60].map(|ms| ended.count(at(ms))).to_vec();
    assert_eq!(seen, [3, 3, 3, 2, 2, 0, 0]);
    ended.add(at(1_000_000));
    assert_eq!(ended.count(at(1_000_010)), 1, "a long time makes it forget everything");
    assert_eq!(ended.count(at(0)), 1, "and a look back changes nothing");
}
