use super::dependency::MAX_ERROR;
use super::*;
use crate::event::CallId;

fn started() -> Health {
    let health = Health::default();
    health.observe(&LifecycleEvent::Started { worker: "w", concurrency: 8 }.into());
    health
}

fn ready() -> Health {
    let health = started();
    for dependency in Dependency::all() {
        health.observe(&DependencyEvent::Up(dependency).into());
    }
    health
}

fn down(error: &str) -> Event<'_> {
    Event::Dependency(DependencyEvent::Down {
        dependency: Dependency::Queue,
        error,
        retry_in: Duration::from_millis(100),
    })
}

fn long_after() -> Instant {
    Instant::now() + SILENCE_LIMIT + Duration::from_secs(1)
}

fn failed(readiness: &Readiness) -> Vec<&'static str> {
    readiness.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect()
}

#[test]
fn before_the_start_it_is_live_however_long_that_takes() {
    assert!(Health::default().liveness_at(long_after()).live);
}

#[test]
fn a_loop_that_never_completes_a_pass_is_found_after_the_limit() {
    let health = started();
    assert!(health.liveness_at(Instant::now() + SILENCE_LIMIT - Duration::from_secs(1)).live);
    assert!(!health.liveness_at(long_after()).live);
}

#[test]
fn a_heartbeat_starts_the_limit_again() {
    let health = started();
    let now = long_after();
    Loop::all().for_each(|each| health.heartbeat(each, now));
    assert!(health.liveness_at(now).live);
}

#[test]
fn one_silent_loop_is_enough_and_is_named() {
    let health = started();
    let now = long_after();
    health.heartbeat(Loop::Worker, now);
    health.heartbeat(Loop::Completer, now);
    let Liveness { live, checks } = health.liveness_at(now);
    assert!(!live);
    assert_eq!(failures(&checks), "lease_keeper: silent for 61 s, limit 60 s");
}

#[test]
fn a_dependency_that_is_down_does_not_make_it_less_live() {
    let health = ready();
    health.observe(&down("connection refused"));
    assert_eq!(health.live(), Ok(()));
}

#[test]
fn while_draining_the_worker_loop_may_rest_and_the_completer_may_not() {
    let health = ready();
    health.observe(&LifecycleEvent::Draining { in_flight: 3 }.into());
    let Liveness { checks, .. } = health.liveness_at(long_after());
    let silent: Vec<&str> = checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
    assert_eq!(silent, ["completer", "lease_keeper"]);
}

#[test]
fn when_drained_no_loop_is_expected_any_more() {
    let health = ready();
    health.observe(&LifecycleEvent::Drained { left: 0 }.into());
    assert!(health.liveness_at(long_after()).live);
}

#[test]
fn it_is_ready_once_started_and_every_dependency_is_up() {
    let health = Health::default();
    assert_eq!(failed(&health.ready()), ["started", "queue", "store", "fulfiller", "accepts_work"]);
    health.observe(&LifecycleEvent::Started { worker: "w", concurrency: 8 }.into());
    assert_eq!(failed(&health.ready()), ["queue", "store", "fulfiller", "accepts_work"]);
    Dependency::all().for_each(|dependency| health.observe(&DependencyEvent::Up(dependency).into()));
    assert!(health.ready().ready);
}

#[test]
fn a_dependency_that_is_down_shows_its_error_until_it_is_up() {
    let health = ready();
    health.observe(&down("connection refused"));
    let readiness = health.ready();
    assert_eq!(failed(&readiness), ["queue", "accepts_work"]);
    assert!(readiness.checks.iter().any(|check| check.detail == "down for 0 s: connection refused"), "{readiness:?}");
    health.observe(&DependencyEvent::Up(Dependency::Queue).into());
    assert!(health.ready().ready);
}

#[test]
fn the_time_a_dependency_is_down_counts_from_the_first_failure() {
    let health = ready();
    health.observe(&down("first"));
    let later = Instant::now() + Duration::from_secs(5);
    health.observe(&down("second"));
    let readiness = health.readiness_at(later, &[]);
    let detail = &readiness.checks.iter().find(|check| check.name == "queue").unwrap().detail;
    assert!(detail.starts_with("down for 5 s: second"), "{detail}");
}

#[test]
fn an_endless_error_is_cut() {
    let health = ready();
    health.observe(&down(&"x".repeat(100_000)));
    assert!(health.ready().checks.iter().all(|check| check.detail.len() < MAX_ERROR + 50));
}

#[test]
fn a_draining_worker_is_not_ready() {
    let health = ready();
    health.observe(&LifecycleEvent::Draining { in_flight: 0 }.into());
    assert_eq!(failed(&health.ready()), ["accepts_work"]);
}

#[test]
fn a_wedged_worker_is_not_ready() {
    assert_eq!(failed(&ready().readiness_at(long_after(), &[])), ["progress"]);
}

/// A call to a dependency that takes so long.
fn call(health: &Health, to: Dependency, took: Duration) {
    let call = CallId::fresh();
    let began = Instant::now();
    let times = &mut health.dependency(to).times;
    times.begin(call, began);
    times.end(call, began + took);
}

fn detail(readiness: &Readiness, name: &str) -> String {
    readiness.checks.iter().find(|check| check.name == name).unwrap().detail.clone()
}

/// Caught, when seeded: readiness that knows up and down only.
#[test]
fn a_backend_that_takes_a_third_of_a_lease_to_answer_is_too_slow_to_be_ready() {
    for backend in [Dependency::Queue, Dependency::Store] {
        let health = ready();
        call(&health, backend, Duration::from_millis(4_900));
        assert_eq!(detail(&health.ready(), backend.as_str()), "answers within 4900 ms");
        assert!(health.ready().ready);
        call(&health, backend, Duration::from_millis(5_100));
        assert_eq!(failed(&health.ready()), [backend.as_str(), "accepts_work"]);
        let expected = "too slow to keep leases: took 5.1 s to answer, slow from 5.0 s";
        assert_eq!(detail(&health.ready(), backend.as_str()), expected);
        assert!(health.readiness_at(Instant::now() + Duration::from_secs(16), &[]).ready, "it is forgotten");
    }
}

/// Caught, when seeded: the same.
#[test]
fn a_call_that_hangs_without_an_error_shows_before_it_fails() {
    let health = ready();
    let call = CallId::fresh();
    health.observe(&DependencyEvent::CallBegan { call, to: Dependency::Store }.into());
    let later = health.readiness_at(Instant::now() + Duration::from_secs(7), &[]);
    assert_eq!(failed(&later), ["store", "accepts_work"]);
    let detail = detail(&later, "store");
    assert!(detail.starts_with("too slow to keep leases: a call has had no answer for 7.0 s"), "{detail}");
    let calls = later.checks.iter().find(|check| check.name == "store").unwrap().calls.unwrap();
    assert_eq!((calls.under_way, calls.slow_from_ms), (1, 5_000));
    assert!(health.live().is_ok());
    health.observe(&DependencyEvent::CallOver { call, to: Dependency::Store }.into());
    assert!(health.ready().ready);
}

#[test]
fn a_slow_fulfiller_is_told_and_left_to_its_circuit_breaker() {
    let health = ready();
    call(&health, Dependency::Fulfiller, Duration::from_secs(6));
    assert!(health.ready().ready);
    assert_eq!(detail(&health.ready(), "fulfiller"), "slow: took 6.0 s to answer, slow from 5.0 s");
}

#[test]
fn what_is_slow_follows_lease_and_call_timeout() {
    let health = Health::default().expecting(Duration::from_secs(3), Duration::from_secs(60));
    for to in [Dependency::Store, Dependency::Fulfiller] {
        health.observe(&DependencyEvent::Up(to).into());
        call(&health, to, Duration::from_millis(1_100));
    }
    let readiness = health.ready();
    assert!(detail(&readiness, "store").starts_with("too slow to keep leases"), "{readiness:?}");
    assert_eq!(detail(&readiness, "fulfiller"), "answers within 1100 ms");
}

/// Caught on the code before: `accepts_work` was true, "claims orders", whatever was down.
#[test]
fn a_worker_accepts_no_work_while_a_dependency_that_it_needs_fails() {
    let health = ready();
    let is_down = |dependency| DependencyEvent::Down { dependency, error: "gone", retry_in: Duration::ZERO }.into();
    health.observe(&is_down(Dependency::Store));
    assert_eq!(detail(&health.ready(), "accepts_work"), "held up by store");
    health.observe(&is_down(Dependency::Fulfiller));
    assert_eq!(detail(&health.ready(), "accepts_work"), "held up by store and fulfiller");
    assert!(failed(&health.ready()).contains(&"accepts_work"));
}

#[test]
fn a_claim_that_waits_says_what_for_until_the_wait_is_over() {
    let health = ready();
    let waited = |took| Event::Order(OrderEvent::ClaimsThrottled { reason: Throttle::Concurrency, took });
    health.observe(&waited(Duration::from_millis(1_001)));
    let expected = "waits before its next claim: as many calls are under way as --concurrency allows";
    assert_eq!(detail(&health.ready(), "accepts_work"), expected);
    assert!(health.ready().ready, "a full worker is ready");
    let later = health.readiness_at(Instant::now() + Duration::from_secs(4), &[]);
    assert_eq!(detail(&later, "accepts_work"), "claims orders", "nothing has been reported since");
    health.observe(&waited(Duration::from_millis(20)));
    assert_eq!(detail(&health.ready(), "accepts_work"), "claims orders");
}

/// Caught on the code before: "answers", of a fulfiller that was never called.
#[test]
fn a_fulfiller_that_nobody_called_is_not_said_to_answer() {
    assert_eq!(detail(&ready().ready(), "fulfiller"), "not called lately");
    assert_eq!(detail(&ready().ready(), "queue"), "answers");
}

#[test]
fn clocks_that_dont_tell_ages_are_shown_and_leave_the_worker_ready() {
    use crate::port::reports::OpenOrders;
    let health = ready();
    for (doubt, shown) in
        [(Some(ClockDoubt::ZonesDiffer), "unknown: workers write times in different"), (None, "nothing is")]
    {
        let open = OpenOrders { doubt, ..OpenOrders::default() };
        health.observe(&TelemetryEvent::OpenOrdersRead(open).into());
        let readiness = health.readiness_at(Instant::now(), &[]);
        assert!(readiness.ready && detail(&readiness, "clocks").contains(shown), "{readiness:?}");
    }
}

#[test]
fn an_excluded_dependency_is_reported_and_does_not_count() {
    let health = ready();
    health.observe(&down("connection refused"));
    assert_eq!(failed(&health.ready()), ["queue", "accepts_work"]);
    let readiness = health.ready_except(&[Dependency::Queue]);
    assert!(readiness.ready, "{readiness:?}");
    assert_eq!(failed(&readiness), ["queue"]);
    let excluded: Vec<&str> = readiness.checks.iter().filter(|check| check.excluded).map(|check| check.name).collect();
    assert_eq!(excluded, ["queue"]);
    assert!(!health.ready_except(&[Dependency::Store, Dependency::Fulfiller]).ready, "the queue is down");
}

#[test]
fn a_worker_that_has_not_started_or_drains_is_not_ready_whatever_is_excluded() {
    let everything: Vec<Dependency> = Dependency::all().collect();
    assert_eq!(failed(&Health::default().ready_except(&everything))[0], "started");
    let health = ready();
    health.observe(&LifecycleEvent::Draining { in_flight: 3 }.into());
    let readiness = health.ready_except(&everything);
    assert!(!readiness.ready && failed(&readiness) == ["accepts_work"], "{readiness:?}");
}
