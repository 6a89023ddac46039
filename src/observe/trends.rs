//! Counts what the history keeps of this worker's current minute.
//!
//! Counting an event costs additions to atomic numbers; readings and the page itself have locks that are never held for long. Each
//! event counts in one minute: turning the page takes each number and leaves 0.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use enum_map::{Enum, EnumMap};
use parking_lot::Mutex;

use crate::event::{
    CallOutcome, Dependency, DependencyEvent, Event, FulfillerEvent, Observer, OrderEvent, TelemetryEvent,
};
use crate::port::reports::OpenOrders;
use crate::port::trends::{AGE_BOUNDS, Buckets, CALL_BOUNDS, CallCounts, Counts, DependencyCounts, Readings, bucket};

/// A reading that is older isn't this minute's any more. Polls are up to a minute apart, and may take some time.
const READING_COUNTS: Duration = Duration::from_secs(90);

/// Stands for a dependency that is up.
const UP: u64 = u64::MAX;

/// Counts for the history; an [`Observer`].
#[derive(Debug)]
pub struct TrendCounter {
    created: Instant,
    began: Mutex<Instant>,
    orders: EnumMap<Counted, AtomicU64>,
    age: [AtomicU64; 17],
    calls: EnumMap<CallOutcome, AtomicU64>,
    dependencies: EnumMap<Dependency, Calls>,
    last: Mutex<Last>,
}

/// What was counted since the current minute began.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// How long ago that was, in seconds.
    pub seconds: f64,
    /// What was counted.
    pub counts: Counts,
}

#[derive(Debug, Clone, Copy, Enum)]
enum Counted {
    Started,
    Fulfilled,
    Failed,
    DeadLettered,
    Retried,
}

#[derive(Debug)]
struct Calls {
    took: [AtomicU64; 14],
    failed: AtomicU64,
    down_micros: AtomicU64,
    /// When it went down, or when this minute began: microseconds since the counter was made, or [`UP`].
    down_since: AtomicU64,
}

impl Default for Calls {
    fn default() -> Self {
        let (took, failed, down_micros) = (array::from_fn(|_| AtomicU64::new(0)), AtomicU64::new(0), AtomicU64::new(0));
        Self { took, failed, down_micros, down_since: AtomicU64::new(UP) }
    }
}

/// Readings, and when they were taken.
#[derive(Debug, Default)]
struct Last {
    open: Option<(OpenOrders, Instant)>,
    dead_letters: Option<(u64, Instant)>,
    queued: Option<(u64, Instant)>,
}

impl Default for TrendCounter {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl TrendCounter {
    fn new(now: Instant) -> Self {
        Self {
            created: now,
            began: Mutex::new(now),
            orders: EnumMap::default(),
            age: array::from_fn(|_| AtomicU64::new(0)),
            calls: EnumMap::default(),
            dependencies: EnumMap::default(),
            last: Mutex::default(),
        }
    }

    /// What was counted so far in the current minute. Cheap, and does no I/O.
    pub fn now(&self) -> Page {
        self.now_at(Instant::now())
    }

    /// Ends the current minute and begins the next one. Returns what was counted.
    pub(crate) fn turn(&self) -> Page {
        self.turn_at(Instant::now())
    }

    fn now_at(&self, now: Instant) -> Page {
        let seconds = now.saturating_duration_since(*self.began.lock()).as_secs_f64();
        let down = |calls: &Calls| {
            let since = calls.down_since.load(Ordering::Relaxed);
            let going_on = if since == UP { 0 } else { self.micros_at(now).saturating_sub(since) };
            calls.down_micros.load(Ordering::Relaxed).saturating_add(going_on)
        };
        Page { seconds, counts: self.counts(|number| number.load(Ordering::Relaxed), down, now) }
    }

    fn turn_at(&self, now: Instant) -> Page {
        let seconds = now.saturating_duration_since(std::mem::replace(&mut *self.began.lock(), now)).as_secs_f64();
        let down = |calls: &Calls| {
            let turned = self.micros_at(now);
            let from_now_on = |since| (since != UP).then_some(turned);
            let since = calls.down_since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, from_now_on);
            let going_on = since.map_or(0, |since| turned.saturating_sub(since));
            calls.down_micros.swap(0, Ordering::Relaxed).saturating_add(going_on)
        };
        Page { seconds, counts: self.counts(|number| number.swap(0, Ordering::Relaxed), down, now) }
    }

    fn counts(&self, read: impl Fn(&AtomicU64) -> u64, down: impl Fn(&Calls) -> u64, now: Instant) -> Counts {
        let order = |counted: Counted| read(&self.orders[counted]);
        let call = |outcome: CallOutcome| read(&self.calls[outcome]);
        let dependency = |dependency: Dependency| {
            let calls = &self.dependencies[dependency];
            let took = Buckets(array::from_fn(|at| calls.took.get(at).map_or(0, &read)));
            DependencyCounts { took, failed: read(&calls.failed), down_ms: down(calls) / 1_000 }
        };
        Counts {
            attempts_started: order(Counted::Started),
            fulfilled: order(Counted::Fulfilled),
            attempts_failed: order(Counted::Failed),
            dead_lettered: order(Counted::DeadLettered),
            retried: order(Counted::Retried),
            age: Buckets(array::from_fn(|at| self.age.get(at).map_or(0, &read))),
            calls: CallCounts {
                fulfilled: call(CallOutcome::Fulfilled),
                rejected: call(CallOutcome::Rejected),
                failed: call(CallOutcome::Failed),
                unavailable: call(CallOutcome::Unavailable),
                in_progress: call(CallOutcome::InProgress),
                ambiguous: call(CallOutcome::Ambiguous),
                broken_off: call(CallOutcome::BrokenOff),
            },
            queue: dependency(Dependency::Queue),
            store: dependency(Dependency::Store),
            fulfiller: dependency(Dependency::Fulfiller),
            last: self.last.lock().readings(now),
        }
    }

    fn order(&self, counted: Counted) {
        self.orders[counted].fetch_add(1, Ordering::Relaxed);
    }

    fn call(&self, to: Dependency, took: Duration, ok: bool) {
        let calls = &self.dependencies[to];
        add_to(&calls.took, bucket(&CALL_BOUNDS, took.as_secs_f64()));
        calls.failed.fetch_add(u64::from(!ok), Ordering::Relaxed);
    }

    fn down(&self, dependency: Dependency, now: Instant) {
        let since = &self.dependencies[dependency].down_since;
        // One that is down already has been since then.
        let _ = since.compare_exchange(UP, self.micros_at(now), Ordering::Relaxed, Ordering::Relaxed);
    }

    fn up(&self, dependency: Dependency, now: Instant) {
        let calls = &self.dependencies[dependency];
        // Nearly every event of this kind says that nothing has changed.
        if calls.down_since.load(Ordering::Relaxed) == UP {
            return;
        }
        let since = calls.down_since.swap(UP, Ordering::Relaxed);
        if since != UP {
            calls.down_micros.fetch_add(self.micros_at(now).saturating_sub(since), Ordering::Relaxed);
        }
    }

    fn micros_at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.created).as_micros()).unwrap_or(0)
    }
}

impl Last {
    fn readings(&self, now: Instant) -> Readings {
        fn fresh<T: Copy>(reading: Option<(T, Instant)>, now: Instant) -> Option<T> {
            reading.filter(|(_, at)| now.saturating_duration_since(*at) < READING_COUNTS).map(|(value, _)| value)
        }
        let open = fresh(self.open, now);
        Readings {
            pending: open.map(|open| open.pending.orders),
            processing: open.map(|open| open.processing.orders),
            held: open.map(|open| open.held),
            oldest_seconds: open.and_then(|open| oldest(&open)),
            dead_letters: fresh(self.dead_letters, now),
            queued: fresh(self.queued, now),
        }
    }
}

/// In seconds; 0 without open orders, or if all are held. `None` if it can't be told.
fn oldest(open: &OpenOrders) -> Option<u64> {
    let oldest = open.pending.oldest.max(open.processing.oldest);
    let orders = open.pending.orders.saturating_add(open.processing.orders);
    let none = open.doubt.is_none() && orders <= open.held;
    oldest.map(|oldest| oldest.as_secs()).or(none.then_some(0))
}

fn add_to(buckets: &[AtomicU64], at: usize) {
    if let Some(bucket) = buckets.get(at) {
        bucket.fetch_add(1, Ordering::Relaxed);
    }
}

impl Observer for TrendCounter {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::Order(event) => self.observe_order(&event),
            Event::Dependency(DependencyEvent::StageDone { stage, took, ok, .. }) => {
                self.call(stage.dependency(), took, ok);
            }
            Event::Dependency(DependencyEvent::Down { dependency, .. }) => self.down(dependency, Instant::now()),
            Event::Dependency(DependencyEvent::Up(dependency)) => self.up(dependency, Instant::now()),
            Event::Fulfiller(FulfillerEvent::CallEnded { outcome, took, .. }) => {
                self.calls[outcome].fetch_add(1, Ordering::Relaxed);
                self.call(Dependency::Fulfiller, took, was_answered(outcome));
            }
            Event::Telemetry(TelemetryEvent::OpenOrdersRead(open)) => {
                self.last.lock().open = Some((open, Instant::now()));
            }
            Event::Telemetry(TelemetryEvent::OpenDeadLettersRead(open)) => {
                self.last.lock().dead_letters = Some((open.all(), Instant::now()));
            }
            Event::Telemetry(TelemetryEvent::DepthRead(depth)) => {
                self.last.lock().queued = Some((depth.waiting, Instant::now()));
            }
            Event::Dependency(
                DependencyEvent::CallBegan { .. }
                | DependencyEvent::CallOver { .. }
                | DependencyEvent::RowsLocked { .. }
                | DependencyEvent::FencesStuck { .. }
                | DependencyEvent::ConnectionOpened(_)
                | DependencyEvent::ConnectionAwaited { .. },
            )
            | Event::Fulfiller(
                FulfillerEvent::RequestEnded { .. }
                | FulfillerEvent::BreakerMoved(_)
                | FulfillerEvent::LimiterWaited { .. }
                | FulfillerEvent::RepeatPutOff { .. },
            )
            | Event::Telemetry(
                TelemetryEvent::ConnectionsRead(_)
                | TelemetryEvent::SchedulingDelay { .. }
                | TelemetryEvent::TracesExported
                | TelemetryEvent::SpansSent { .. }
                | TelemetryEvent::SpanDropped,
            )
            | Event::Lifecycle(_)
            | Event::Controls(_)
            | Event::Reconciler(_)
            | Event::Retention(_)
            | Event::Jobs(_)
            | Event::Api(_)
            | Event::Trends(_) => {}
        }
    }
}

impl TrendCounter {
    fn observe_order(&self, event: &OrderEvent<'_>) {
        match *event {
            OrderEvent::AttemptStarted { .. } => self.order(Counted::Started),
            OrderEvent::Fulfilled { age, .. } => {
                self.order(Counted::Fulfilled);
                if let Some(age) = age {
                    add_to(&self.age, bucket(&AGE_BOUNDS, age.as_secs_f64()));
                }
            }
            OrderEvent::AttemptFailed { .. } => self.order(Counted::Failed),
            OrderEvent::DeadLettered { .. } => self.order(Counted::DeadLettered),
            OrderEvent::Retried { .. } => self.order(Counted::Retried),
            OrderEvent::ClaimsThrottled { .. }
            | OrderEvent::InFlight(_)
            | OrderEvent::CallPlacesTaken(_)
            | OrderEvent::AlreadyFinal { .. }
            | OrderEvent::Skipped { .. }
            | OrderEvent::Cancelled { .. }
            | OrderEvent::Superseded { .. }
            | OrderEvent::LeaseLost { .. } => {}
        }
    }
}

/// Whether the fulfiller gave an answer about the order.
fn was_answered(outcome: CallOutcome) -> bool {
    match outcome {
        CallOutcome::Fulfilled | CallOutcome::Rejected | CallOutcome::InProgress | CallOutcome::BrokenOff => true,
        CallOutcome::Failed | CallOutcome::Unavailable | CallOutcome::Ambiguous => false,
    }
}

#[cfg(test)]
mod tests;
