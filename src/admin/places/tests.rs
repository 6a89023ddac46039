use std::net::SocketAddr;

use futures::FutureExt;
use tokio::runtime::Handle;

use super::*;
use crate::observe::metrics::LogMessages;

fn limits() -> ConnectionLimits {
    ConnectionLimits { connections: 4, one_peer: 4, requests: 2, fresh: Duration::ZERO, ..ConnectionLimits::default() }
}

fn places(limits: ConnectionLimits) -> Arc<Places> {
    Places::new(limits, Arc::new(Metrics::new(Handle::current(), "test", LogMessages::default())))
}

fn peer(text: &str) -> Peer {
    let address: SocketAddr = text.parse().unwrap();
    Peer::Network(address)
}

/// One address for each connection, as far as this matters.
fn somebody(number: usize) -> Peer {
    peer(&format!("10.0.0.{number}:1"))
}

async fn all_taken(places: &Arc<Places>) -> Vec<Place> {
    let mut taken = Vec::new();
    for number in 0..places.limits.connections {
        taken.push(places.take(somebody(number)).await);
        // Two instants may be the same otherwise.
        std::thread::sleep(Duration::from_millis(1));
    }
    taken
}

fn idle(place: &Place) {
    assert!(place.begin(false));
    place.answered();
    place.flushed();
    std::thread::sleep(Duration::from_millis(1));
}

/// Which of them has to make room for one more.
async fn who_makes_room(places: &Arc<Places>, taken: &[Place], newcomer: Peer) -> Vec<usize> {
    let waiting = places.take(newcomer);
    let mut waiting = pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none(), "no place was free, and there is one");
    taken.iter().enumerate().filter(|(_, place)| place.close.is_cancelled()).map(|(number, _)| number).collect()
}

/// Caught, when seeded: the newest makes room, who is the probe that has just come.
#[tokio::test]
async fn who_has_waited_longest_without_a_head_makes_room_first() {
    let places = places(limits());
    let taken = all_taken(&places).await;
    idle(&taken[0]);
    assert_eq!(who_makes_room(&places, &taken, somebody(9)).await, [1]);
}

#[tokio::test]
async fn then_who_has_been_idle_longest() {
    let places = places(limits());
    let taken = all_taken(&places).await;
    for number in [2, 0, 1, 3] {
        idle(&taken[number]);
    }
    assert_eq!(who_makes_room(&places, &taken, somebody(9)).await, [2]);
}

/// Caught, when seeded: a new connection ranks before idle ones, so that a flood of connections keeps out a probe although
/// everybody else is idle.
#[tokio::test]
async fn a_connection_whose_head_may_be_on_its_way_stays_while_there_are_idle_ones() {
    let places = places(ConnectionLimits { fresh: Duration::from_secs(3600), ..limits() });
    let taken = all_taken(&places).await;
    idle(&taken[3]);
    assert_eq!(who_makes_room(&places, &taken, somebody(9)).await, [3]);
}

#[tokio::test]
async fn then_the_client_that_has_not_taken_its_answer_for_longest_and_a_request_at_work_comes_last() {
    let places = places(ConnectionLimits { requests: 4, ..limits() });
    let taken = all_taken(&places).await;
    for number in [0, 3, 2, 1] {
        assert!(taken[number].begin(false));
        if number != 0 {
            taken[number].answered();
            taken[number].blocked();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(who_makes_room(&places, &taken, somebody(9)).await, [3]);
}

#[tokio::test]
async fn whoever_is_told_to_leave_is_not_asked_twice_and_only_so_many_are() {
    let places = places(limits());
    let taken = all_taken(&places).await;
    let mut first = pin!(places.take(somebody(8)));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(first.as_mut().now_or_never().is_none());
    assert_eq!(taken.iter().filter(|place| place.close.is_cancelled()).count(), 1);
    drop(taken);
    first.await;
}

/// Caught, when seeded: no share of one peer.
#[tokio::test]
async fn a_peer_over_its_share_loses_its_own_longest_waiter_although_others_have_waited_longer() {
    let places = places(ConnectionLimits { one_peer: 2, ..limits() });
    let mut taken = vec![places.take(somebody(1)).await];
    for port in 0..2 {
        std::thread::sleep(Duration::from_millis(1));
        taken.push(places.take(peer(&format!("10.0.0.2:{port}"))).await);
    }
    assert_eq!(who_makes_room(&places, &taken, peer("10.0.0.2:7")).await, [1]);
}

#[tokio::test]
async fn one_network_of_ipv6_is_one_peer_and_unix_sockets_are_another() {
    let group = |text| Group::from(peer(text));
    assert_eq!(group("[2001:db8:0:1::1]:1"), group("[2001:db8:0:1:ffff::2]:2"));
    assert_ne!(group("[2001:db8:0:1::1]:1"), group("[2001:db8:0:2::1]:1"));
    assert_eq!(group("10.0.0.1:1"), group("[::ffff:10.0.0.1]:2"));
    assert_ne!(group("10.0.0.1:1"), group("10.0.0.2:1"));
    assert_ne!(Group::from(Peer::Socket), Group::from(Peer::AdminSocket));
}

/// Caught, when seeded: probes are refused as everything else is.
#[tokio::test]
async fn with_too_many_requests_under_way_only_probes_are_let_through() {
    let places = places(limits());
    let taken = all_taken(&places).await;
    assert!(taken[0].begin(false) && taken[1].begin(false));
    assert!(!taken[2].begin(false));
    assert!(taken[3].begin(true));
}

#[tokio::test]
async fn a_request_makes_room_for_another_if_its_client_does_not_take_the_answer() {
    let places = places(limits());
    let taken = all_taken(&places).await;
    for place in &taken[..2] {
        assert!(place.begin(false));
        place.answered();
        place.blocked();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(taken[2].begin(false));
    assert_eq!(taken.iter().map(|place| place.close.is_cancelled()).collect::<Vec<_>>(), [true, false, false, false]);
    // Taken after all.
    taken[1].flushed();
    assert!(taken[3].begin(false));
    assert!(!taken[1].close.is_cancelled());
}

#[tokio::test]
async fn an_answer_in_pieces_is_under_way_until_its_end() {
    let places = places(ConnectionLimits { requests: 1, ..limits() });
    let taken = all_taken(&places).await;
    assert!(taken[0].begin(false));
    taken[0].answered();
    taken[0].flushed();
    taken[0].blocked();
    assert!(taken[1].begin(false), "the first one makes room");
    assert!(taken[0].close.is_cancelled());
}

#[tokio::test]
async fn where_the_system_has_no_resources_one_is_given_up_if_there_is_one() {
    let places = places(limits());
    assert!(!places.give_one_up().await);
    let taken = places.take(somebody(1)).await;
    let mut giving_up = pin!(places.give_one_up());
    assert!(giving_up.as_mut().now_or_never().is_none());
    assert!(taken.close.is_cancelled());
    drop(taken);
    assert!(giving_up.await);
}
