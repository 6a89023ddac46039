//! Fulfilment over HTTP: each order is posted to one URL, and the answer decides.
//!
//! On its way a call passes the limits, then the circuit breaker; what failed is repeated later, as the retry budget
//! allows. Nothing is ever sent twice in here: the engine repeats, with the same key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use url::Url;

use crate::config::HttpTarget;
use crate::domain::order::{IdempotencyKey, Order};
use crate::domain::retry;
use crate::event::{FulfillerEvent, Observers};
use crate::port::fulfiller::{Fulfiller, Outcome};

use answer::{Answer, Meaning, RequestKind};
use exchange::Exchange;
use gate::{BreakerOpen, Gate};
use limits::Limits;
use pending_orders::PendingOrders;
use request::{Request, Requests};
use retry_budget::{Allowance, RetryBudget};

pub mod address;
pub mod answer;
pub mod breaker;
mod client;
mod error;
mod exchange;
mod gate;
mod limits;
mod pending_orders;
mod redaction;
mod request;
pub mod retry_budget;
pub mod signature;

pub use error::HttpFulfillerError;

/// Repeats each second that need not be earned by other calls.
const REPEATS_FLOOR: f64 = 10.0;

/// From an acceptance to the first question how the order is getting on, unless the warehouse names a time; doubled
/// with each question.
const FIRST_POLL: Duration = Duration::from_secs(1);
/// The shortest time between two questions, whatever the warehouse names.
const FASTEST_POLL: Duration = Duration::from_millis(100);
/// The longest time between two questions, unless the warehouse names a longer one.
const SLOWEST_POLL: Duration = Duration::from_secs(5);
/// The shortest time that an order is left alone which the warehouse says is in work; as much again by chance.
const IN_PROGRESS: Duration = Duration::from_secs(3);
/// How long an order stays away whose call failed as the first probe.
const PROBE_ASIDE: Duration = Duration::from_secs(2);
/// Failed probes that an order is not charged for.
const FREE_PROBES: u32 = 3;
/// The longest time that an order stays away which is not done yet, or has failed as a probe.
const LONGEST_ASIDE: Duration = Duration::from_secs(300);

/// Posts orders to a warehouse.
///
/// Sends each call's request once at most, with credentials to the configured origin only. Ends within the target's
/// deadline. What it returns holds neither the URL's user, password and query, nor the token or a signing secret.
pub struct HttpFulfiller {
    /// Replaced as a whole; a call under way keeps those that it began with.
    requests: RwLock<Arc<Requests>>,
    limits: Limits,
    gate: Gate,
    budget: Mutex<RetryBudget>,
    pending_orders: PendingOrders,
    deadline: Duration,
    /// How long an accepted order is followed within a call.
    patience: Duration,
    observers: Observers,
}

/// A request that was not made: the limits or the breaker did not allow it.
struct Withheld {
    reason: String,
    after: Option<Duration>,
}

/// A request that was made.
struct Made {
    exchange: Exchange,
    /// What the breaker makes of it, if it failed and calls are refused now.
    open: Option<BreakerOpen>,
}

impl HttpFulfiller {
    /// Prepares everything; nothing is contacted yet.
    ///
    /// # Errors
    /// When the target's URL, secrets or files can't be used.
    pub fn new(target: &HttpTarget, observers: Observers) -> Result<Self, HttpFulfillerError> {
        let allowance = Allowance { share: target.retry_budget, floor: REPEATS_FLOOR };
        Ok(Self {
            requests: RwLock::new(Arc::new(Requests::new(client::build(target)?, target, None)?)),
            limits: Limits::new(target.concurrency, target.rate, target.deadline / 2, observers.clone()),
            gate: Gate::new(observers.clone()),
            budget: Mutex::new(RetryBudget::new(allowance, Instant::now())),
            pending_orders: PendingOrders::default(),
            deadline: target.deadline,
            patience: target.patience,
            observers,
        })
    }

    /// Makes the next calls with the token, signing secrets and certificates of `target`, and over connections of their own.
    /// Calls under way end as they began. Reads the files of certificates, so it may block.
    ///
    /// # Errors
    /// As [`Self::new`]. Everything stays as it was.
    pub fn reload(&self, target: &HttpTarget) -> Result<(), HttpFulfillerError> {
        let client = client::build(target)?;
        let before = self.requests();
        let requests = Arc::new(Requests::new(client, target, Some(&before.redaction))?);
        *self.requests.write() = requests;
        Ok(())
    }

    fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests.read())
    }

    /// Makes one request as soon as rate and breaker allow, which has to be before `send_by`. It is built, and signed,
    /// only then.
    async fn request(
        &self,
        kind: RequestKind,
        build: impl FnOnce(&Requests) -> Request,
        send_by: Instant,
        deadline: Instant,
    ) -> Result<Made, Withheld> {
        if !self.limits.acquire_rate(send_by).await {
            return Err(Withheld { reason: no_room("--fulfiller-rate"), after: None });
        }
        // Last, so that a probe waits for nothing.
        let pass = self.gate.enter().map_err(|refused| Withheld {
            reason: format!("circuit breaker open: {}", refused.reason),
            after: Some(refused.retry_in),
        })?;
        let began = Instant::now();
        let requests = self.requests();
        let exchange = exchange::exchange(&requests, kind, build(&requests), deadline).await;
        self.observers.emit(FulfillerEvent::RequestEnded { class: exchange.class, took: began.elapsed() });
        if kind == RequestKind::Order && exchange.was_sent() {
            // Now, and not when it was sent: calls that hang for long earn their repeats, too.
            self.budget.lock().call(Instant::now());
        }
        let answer = &exchange.answer;
        let open = if answer.counts_against_breaker {
            pass.fail(answer.meaning.reason().unwrap_or_default(), answer.retry_after)
        } else {
            pass.succeed();
            None
        };
        Ok(Made { exchange, open })
    }

    /// Asks at `url` until the order is done, or patience is at its end.
    async fn follow(
        &self,
        order: &Order,
        key: &IdempotencyKey,
        url: Url,
        mut asked_pause: Option<Duration>,
        until: Instant,
    ) -> Outcome {
        let mut pause = FIRST_POLL;
        loop {
            let wait = asked_pause.unwrap_or(pause).max(FASTEST_POLL);
            if wait >= until.saturating_duration_since(Instant::now()) {
                return self.not_done_yet(key, &url, asked_pause);
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(SLOWEST_POLL);
            match self.ask(order, key, &url, until).await {
                Ok(pause) => asked_pause = pause,
                Err(outcome) => return outcome,
            }
        }
    }

    /// Asks once about an accepted order. Returns the pause that the warehouse asks for if the order is not done yet,
    /// and the call's outcome as the error otherwise.
    async fn ask(
        &self,
        order: &Order,
        key: &IdempotencyKey,
        url: &Url,
        by: Instant,
    ) -> Result<Option<Duration>, Outcome> {
        match self.request(RequestKind::Status, |requests| requests.status(url, order, key), by, by).await {
            Ok(made) if matches!(made.exchange.answer.meaning, Meaning::Accepted(_)) => {
                Ok(made.exchange.answer.retry_after)
            }
            result => Err(self.since_accepted(key, result)),
        }
    }

    /// The order goes back to the queue, for longer each time, so that orders that are not done don't crowd out new ones.
    fn not_done_yet(&self, key: &IdempotencyKey, url: &Url, asked: Option<Duration>) -> Outcome {
        let pause = doubled(FIRST_POLL, self.pending_orders.accepted(key, url));
        let reason = "the warehouse accepted the order and is not done yet".to_owned();
        Outcome::InProgress { reason, after: asked.max(Some(pause)) }
    }

    /// What an answer about an accepted order makes of it: the warehouse has the order, so nothing says that it was not
    /// done, unless the warehouse says so.
    fn since_accepted(&self, key: &IdempotencyKey, result: Result<Made, Withheld>) -> Outcome {
        let made = match result {
            Ok(made) => made,
            Err(Withheld { reason, after }) => return Outcome::InProgress { reason, after },
        };
        let answered = made.exchange.was_answered();
        if matches!(made.exchange.answer.meaning, Meaning::InProgress(_) | Meaning::Rejected(_)) {
            // Where the status can't be had there, the order is posted again.
            self.pending_orders.forget(key);
        }
        match self.outcome(key, made) {
            Outcome::Unavailable { reason, after } => Outcome::InProgress { reason, after },
            Outcome::Ambiguous { reason, after, .. } if !answered => Outcome::InProgress { reason, after },
            other => other,
        }
    }

    fn outcome(&self, key: &IdempotencyKey, made: Made) -> Outcome {
        let put_off = self.put_off(&made.exchange);
        let Made { exchange: Exchange { answer: Answer { meaning, retry_after, .. }, .. }, open } = made;
        let after = retry_after.max(put_off);
        match (meaning, open) {
            (Meaning::Fulfilled { reference }, _) => {
                self.pending_orders.forget(key);
                Outcome::Fulfilled { reference }
            }
            // Accepted orders are followed before it comes to this.
            (Meaning::InProgress(reason), _) => {
                let after = if retry_after.is_some() {
                    after
                } else {
                    after.max(Some(IN_PROGRESS + retry::jittered(IN_PROGRESS)))
                };
                Outcome::InProgress { reason, after }
            }
            (Meaning::Accepted(url), _) => self.not_done_yet(key, &url, retry_after),
            (Meaning::Failed(reason), None) => Outcome::Retry { reason, after },
            (Meaning::Rejected(reason), None) => Outcome::Rejected { reason },
            (Meaning::Unavailable(reason), None) => Outcome::Unavailable { reason, after },
            (Meaning::Ambiguous(reason), None) => Outcome::Ambiguous { reason, after, spent: true },
            // All calls fail now: that says nothing about this order.
            (Meaning::Failed(reason) | Meaning::Rejected(reason) | Meaning::Unavailable(reason), Some(open)) => {
                Outcome::Unavailable { reason, after: after.max(Some(self.put_aside(key, open).0)) }
            }
            (Meaning::Ambiguous(reason), Some(open)) => {
                let (aside, spent) = self.put_aside(key, open);
                Outcome::Ambiguous { reason, after: after.max(Some(aside)), spent }
            }
        }
    }

    /// How long an order stays away whose call failed with all others, and whether it has to do with the order.
    ///
    /// An order whose probe failed makes room for another one, for longer each time: else a few that the warehouse
    /// can't digest would be all it ever sees. And after [`FREE_PROBES`] they spend their attempts, so that it ends.
    fn put_aside(&self, key: &IdempotencyKey, open: BreakerOpen) -> (Duration, bool) {
        if !open.of_a_probe {
            return (open.wait, false);
        }
        let before = self.pending_orders.failed_as_probe(key);
        (open.wait.max(doubled(PROBE_ASIDE, before)), before >= FREE_PROBES)
    }

    /// Draws on the retry budget for a request that the warehouse saw and that will be repeated.
    fn put_off(&self, exchange: &Exchange) -> Option<Duration> {
        let Answer { meaning, retry_after, .. } = &exchange.answer;
        let repeated = !matches!(meaning, Meaning::Fulfilled { .. } | Meaning::Accepted(_) | Meaning::Rejected(_));
        if !repeated || !exchange.was_sent() {
            return None;
        }
        let put_off = Some(self.budget.lock().put_off(Instant::now())).filter(|put_off| !put_off.is_zero())?;
        if retry_after.is_none_or(|asked| asked < put_off) {
            self.observers.emit(FulfillerEvent::RepeatPutOff { after: put_off });
        }
        Some(put_off)
    }
}

#[async_trait]
impl Fulfiller for HttpFulfiller {
    async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome {
        let began = Instant::now();
        let deadline = began + self.deadline;
        // What goes out later has too little time to be answered.
        let send_by = began + self.deadline / 2;
        let Ok(_permit) = self.limits.acquire_concurrency(send_by).await else {
            return Outcome::Unavailable { reason: no_room("--fulfiller-concurrency"), after: None };
        };
        if let Some(url) = self.pending_orders.status_url(key) {
            return match self.ask(order, key, &url, deadline).await {
                Ok(pause) => self.not_done_yet(key, &url, pause),
                Err(outcome) => outcome,
            };
        }
        match self.request(RequestKind::Order, |requests| requests.order(order, key), send_by, deadline).await {
            Err(Withheld { reason, after }) => Outcome::Unavailable { reason, after },
            Ok(made) => match made.exchange.answer.meaning {
                Meaning::Accepted(url) => {
                    let until = deadline.min(Instant::now() + self.patience);
                    self.follow(order, key, url, made.exchange.answer.retry_after, until).await
                }
                _ => self.outcome(key, made),
            },
        }
    }

    async fn capacity(&self) -> usize {
        loop {
            self.gate.capacity().await;
            let within_limits = self.limits.capacity().await;
            // The breaker may have opened meanwhile.
            if let Some(calls) = self.gate.capacity().now_or_never() {
                return calls.min(within_limits);
            }
        }
    }
}

fn no_room(option: &str) -> String {
    format!("nothing was sent: {option} left no room for half of the time")
}

/// `first` doubled `times` times, at most [`LONGEST_ASIDE`].
fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(LONGEST_ASIDE)
}
