//! The latest readings and states that events tell of, for the page: no I/O, and nothing on the way of an order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::event::{
    BreakerState, ControlsEvent, Event, FulfillerEvent, JobsEvent, LifecycleEvent, Observer, OrderEvent,
    ReconcilerEvent, TelemetryEvent,
};
use crate::port::controls::InForce;
use crate::port::queue::Depth;
use crate::port::reports::{OpenDeadLetters, OpenOrders};

/// Readings in a row that show more open orders than messages, before that is believed: one may only be older than the other.
const BELIEVED: u32 = 2;

/// The queue is asked every two seconds; a reading that is much older says nothing.
const DEPTH_LASTS: Duration = Duration::from_secs(6);

/// A reading and its age.
pub type Aged<T> = Option<(T, Duration)>;

/// What was known at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// How full the queue was.
    pub depth: Aged<Depth>,
    /// The orders that were open.
    pub open: Aged<OpenOrders>,
    /// The dead letters that nobody had decided about.
    pub dead_letters: Aged<OpenDeadLetters>,
    /// The breaker in front of the fulfiller, if it is not closed, and since when.
    pub breaker: Aged<BreakerState>,
    /// What operators have set for this worker, and since when it was so read.
    pub controls: Aged<InForce>,
    /// Open orders, which are not held, without a message: more than readings at different times explain.
    pub without_message: Option<u64>,
    /// Open orders that the reconciler leaves alone, as they are too old.
    pub left_alone: u64,
    /// A job that isn't getting on, and why.
    pub stuck_job: Option<(i64, String)>,
    /// Orders that this worker has claimed and not settled.
    pub in_flight: u64,
    /// How long ago it began to drain.
    pub draining: Option<Duration>,
}

/// Follows the events of one worker.
#[derive(Debug, Default)]
pub struct Latest {
    in_flight: AtomicU64,
    seldom: Mutex<Seldom>,
}

/// What changes every second or more seldom.
#[derive(Debug, Default)]
struct Seldom {
    depth: Option<(Depth, Instant)>,
    open: Option<(OpenOrders, Instant)>,
    dead_letters: Option<(OpenDeadLetters, Instant)>,
    breaker: Option<(BreakerState, Instant)>,
    controls: Option<(InForce, Instant)>,
    surplus_readings: u32,
    stale: u64,
    before_horizon: u64,
    stuck_job: Option<(i64, String)>,
    draining: Option<Instant>,
}

impl Latest {
    /// What is known now.
    pub fn known(&self) -> Known {
        let seldom = self.seldom.lock();
        let now = Instant::now();
        let age = |at: Instant| now.saturating_duration_since(at);
        Known {
            depth: seldom.depth.map(|(depth, at)| (depth, age(at))),
            open: seldom.open.map(|(open, at)| (open, age(at))),
            dead_letters: seldom.dead_letters.map(|(letters, at)| (letters, age(at))),
            breaker: seldom.breaker.map(|(state, at)| (state, age(at))),
            controls: seldom.controls.clone().map(|(in_force, at)| (in_force, age(at))),
            without_message: (seldom.surplus_readings >= BELIEVED).then(|| seldom.surplus()).flatten(),
            left_alone: seldom.stale.saturating_add(seldom.before_horizon),
            stuck_job: seldom.stuck_job.clone(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            draining: seldom.draining.map(age),
        }
    }
}

impl Seldom {
    /// By how many orders the open ones exceed the messages.
    fn surplus(&self) -> Option<u64> {
        // A queue that doesn't answer has said nothing of what is in it now.
        let (depth, _) = self.depth.filter(|(_, at)| at.elapsed() < DEPTH_LASTS)?;
        let (open, _) = self.open?;
        let orders = open.pending.orders + open.processing.orders;
        let messages = depth.waiting + depth.in_flight + depth.due + depth.retrying;
        let more = orders.saturating_sub(open.held).saturating_sub(messages);
        let noise = if messages == 0 { 0 } else { (orders / 10).max(10) };
        (more > noise).then_some(more)
    }

    fn read_open(&mut self, open: OpenOrders) {
        self.open = Some((open, Instant::now()));
        self.surplus_readings = if self.surplus().is_some() { self.surplus_readings.saturating_add(1) } else { 0 };
    }

    fn breaker(&mut self, state: BreakerState) {
        let since = self.breaker.map(|(_, since)| since);
        self.breaker = match state {
            BreakerState::Closed => None,
            // It goes to and fro between open and half open while the fulfiller doesn't answer.
            BreakerState::Open | BreakerState::HalfOpen => Some((state, since.unwrap_or_else(Instant::now))),
        };
    }
}

impl Observer for Latest {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Order(OrderEvent::InFlight(orders)) => self.in_flight.store(*orders as u64, Ordering::Relaxed),
            Event::Telemetry(TelemetryEvent::DepthRead(depth)) => {
                self.seldom.lock().depth = Some((*depth, Instant::now()))
            }
            Event::Telemetry(TelemetryEvent::OpenOrdersRead(open)) => self.seldom.lock().read_open(*open),
            Event::Telemetry(TelemetryEvent::OpenDeadLettersRead(letters)) => {
                self.seldom.lock().dead_letters = Some((*letters, Instant::now()));
            }
            Event::Fulfiller(FulfillerEvent::BreakerMoved(to)) => self.seldom.lock().breaker(*to),
            Event::Controls(ControlsEvent::InForce(in_force)) => {
                self.seldom.lock().controls = Some(((*in_force).clone(), Instant::now()));
            }
            Event::Reconciler(ReconcilerEvent::StaleOrders { orders, .. }) => self.seldom.lock().stale = *orders,
            Event::Reconciler(ReconcilerEvent::OrdersBeforeHorizon { orders, .. }) => {
                self.seldom.lock().before_horizon = *orders;
            }
            // Another worker leads, and says it.
            Event::Reconciler(ReconcilerEvent::Leads(false)) => {
                let mut seldom = self.seldom.lock();
                (seldom.stale, seldom.before_horizon) = (0, 0);
            }
            Event::Jobs(JobsEvent::Stuck { id, problem }) => {
                self.seldom.lock().stuck_job = Some((*id, (*problem).to_owned()));
            }
            Event::Jobs(JobsEvent::Decided { .. } | JobsEvent::Ended { .. } | JobsEvent::Open(0)) => {
                self.seldom.lock().stuck_job = None;
            }
            Event::Lifecycle(LifecycleEvent::Draining { .. }) => self.seldom.lock().draining = Some(Instant::now()),
            Event::Lifecycle(_)
            | Event::Dependency(_)
            | Event::Order(_)
            | Event::Fulfiller(_)
            | Event::Controls(_)
            | Event::Reconciler(_)
            | Event::Retention(_)
            | Event::Trends(_)
            | Event::Jobs(_)
            | Event::Api(_)
            | Event::Telemetry(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::reports::OpenState;

    fn open(pending: u64, held: u64) -> TelemetryEvent<'static> {
        let pending = OpenState { orders: pending, oldest: None };
        TelemetryEvent::OpenOrdersRead(OpenOrders { pending, held, ..OpenOrders::default() })
    }

    fn told(events: impl IntoIterator<Item = TelemetryEvent<'static>>) -> Known {
        let latest = Latest::default();
        events.into_iter().for_each(|event| latest.observe(&event.into()));
        latest.known()
    }

    #[test]
    fn orders_lack_a_message_when_two_readings_in_a_row_say_so() {
        let messages = |waiting| TelemetryEvent::DepthRead(Depth { waiting, ..Depth::default() });
        assert_eq!(told([messages(0), open(650, 0)]).without_message, None);
        assert_eq!(told([messages(0), open(650, 0), open(650, 0)]).without_message, Some(650));
        assert_eq!(told([messages(0), open(3, 0), open(3, 0)]).without_message, Some(3));
        assert_eq!(told([messages(0), open(3, 3), open(3, 3)]).without_message, None);
        assert_eq!(told([messages(1), open(11, 0), open(11, 0)]).without_message, None);
        assert_eq!(told([messages(0), open(650, 0), messages(650), open(650, 0)]).without_message, None);
        assert_eq!(told([open(650, 0), open(650, 0)]).without_message, None);
    }

    #[test]
    fn a_breaker_that_probes_is_open_since_it_first_opened() {
        let latest = Latest::default();
        for state in [BreakerState::Open, BreakerState::HalfOpen] {
            latest.observe(&FulfillerEvent::BreakerMoved(state).into());
            assert_eq!(latest.known().breaker.map(|(state, _)| state), Some(state));
        }
        latest.observe(&FulfillerEvent::BreakerMoved(BreakerState::Closed).into());
        assert_eq!(latest.known().breaker, None);
    }
}
