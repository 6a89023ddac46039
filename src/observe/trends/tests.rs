use super::*;
use crate::event::Stage;
use crate::port::reports::OpenState;

fn after(seconds: u64, start: Instant) -> Instant {
    start + Duration::from_secs(seconds)
}

fn claim(took: Duration, ok: bool) -> Event<'static> {
    DependencyEvent::StageDone { stage: Stage::Claim, items: 1, took, ok }.into()
}

#[test]
fn each_event_counts_in_one_minute() {
    let counter = TrendCounter::default();
    counter.observe(&claim(Duration::from_millis(3), true));
    counter.observe(&claim(Duration::from_secs(60), false));
    for counts in [counter.now().counts, counter.now().counts, counter.turn().counts] {
        assert_eq!((counts.queue.took.0[2], counts.queue.took.0[13], counts.queue.failed), (1, 1, 1));
    }
    assert_eq!(counter.now().counts, Counts::default());
}

#[test]
fn counting_from_many_threads_loses_nothing_while_pages_are_turned() {
    let counter = TrendCounter::default();
    let turned: u64 = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| counter.observe(&claim(Duration::ZERO, true))));
        }
        (0..1_000).map(|_| counter.turn().counts.queue.took.total()).sum()
    });
    assert_eq!(turned + counter.turn().counts.queue.took.total(), 40_000);
}

/// Caught, when seeded: a page that begins with a dependency that is up.
#[test]
fn time_that_a_dependency_is_down_is_counted_in_each_minute_that_it_lasts() {
    let start = Instant::now();
    let counter = TrendCounter::new(start);
    let down_ms = |page: Page| page.counts.store.down_ms;
    counter.down(Dependency::Store, after(50, start));
    counter.down(Dependency::Store, after(55, start));
    assert_eq!(down_ms(counter.now_at(after(57, start))), 7_000);
    assert_eq!(down_ms(counter.turn_at(after(60, start))), 10_000);
    assert_eq!(down_ms(counter.turn_at(after(120, start))), 60_000);
    counter.up(Dependency::Store, after(125, start));
    counter.up(Dependency::Store, after(130, start));
    counter.down(Dependency::Store, after(140, start));
    counter.up(Dependency::Store, after(142, start));
    assert_eq!(down_ms(counter.turn_at(after(180, start))), 7_000);
    assert_eq!(down_ms(counter.turn_at(after(240, start))), 0);
}

#[test]
fn a_reading_counts_for_90_seconds() {
    let counter = TrendCounter::default();
    let state = |orders, oldest| OpenState { orders, oldest };
    let open = OpenOrders {
        pending: state(3, Some(Duration::from_secs(7))),
        processing: state(1, Some(Duration::from_secs(9))),
        ..OpenOrders::default()
    };
    counter.observe(&TelemetryEvent::OpenOrdersRead(open).into());
    let read = Readings {
        pending: Some(3),
        processing: Some(1),
        held: Some(0),
        oldest_seconds: Some(9),
        ..Readings::default()
    };
    let now = Instant::now();
    assert_eq!(counter.now_at(after(89, now)).counts.last, read);
    assert_eq!(counter.now_at(after(91, now)).counts.last, Readings::default());
}

#[test]
fn the_oldest_age_is_none_where_it_cannot_be_told_and_0_without_open_orders() {
    assert_eq!(oldest(&OpenOrders::default()), Some(0));
    let undated = OpenOrders { pending: OpenState { orders: 1, oldest: None }, ..OpenOrders::default() };
    assert_eq!(oldest(&undated), None);
    assert_eq!(oldest(&OpenOrders { held: 1, ..undated }), Some(0));
}

#[test]
fn a_page_tells_how_long_it_has_been_open() {
    let start = Instant::now();
    let counter = TrendCounter::new(start);
    assert!((counter.now_at(after(5, start)).seconds - 5.0).abs() < 1e-9);
    assert!((counter.turn_at(after(60, start)).seconds - 60.0).abs() < 1e-9);
    assert!((counter.turn_at(after(121, start)).seconds - 61.0).abs() < 1e-9);
}
