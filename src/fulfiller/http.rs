//! Fulfilment over HTTP: each order is posted to one URL, and the answer decides.
//!
//! On its way a call passes the limits, then the circuit breaker; what failed is repeated later, as the retry budget
//! allows. Nothing is ever sent twice in here: the engine repeats, with the same key.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use reqwest::Request;
use url::Url;

use super::{Fulfiller, Outcome};
use crate::config::HttpTarget;
use crate::event::{Event, Observers};
use crate::order::{IdempotencyKey, Order};

use answer::{Answer, Asked, Meaning};
use exchange::Exchange;
use gate::Gate;
use limits::Limits;
use request::Requests;
use retry_budget::{Allowance, RetryBudget};

pub mod address;
pub mod answer;
pub mod breaker;
mod client;
mod exchange;
mod gate;
mod limits;
mod request;
pub mod retry_budget;
pub mod signature;

pub use client::HttpFulfillerError;

/// Repeats each second that need not be earned by other calls.
const REPEATS_FLOOR: f64 = 10.0;

/// From an acceptance to the first question how the order is getting on, unless the warehouse names a time; doubled
/// with each question.
const FIRST_POLL: Duration = Duration::from_secs(1);
/// The shortest time between two questions, whatever the warehouse names.
const FASTEST_POLL: Duration = Duration::from_millis(100);
/// The longest time between two questions, unless the warehouse names a longer one.
const SLOWEST_POLL: Duration = Duration::from_secs(5);

/// Posts orders to a warehouse.
///
/// Sends each call's request once at most, with credentials to the configured origin only. Ends within the target's
/// deadline. What it returns holds neither the URL's user, password and query, nor the token or a signing secret.
pub struct HttpFulfiller {
    requests: Requests,
    limits: Limits,
    gate: Gate,
    budget: Mutex<RetryBudget>,
    deadline: Duration,
    observers: Observers,
}

/// How one request of a call ended.
enum Step {
    /// Not made: the limits or the breaker did not allow it.
    Withheld { reason: String, after: Option<Duration> },
    Made {
        exchange: Exchange,
        /// For how long the breaker now refuses calls, if this one failed and it does.
        refused_for: Option<Duration>,
    },
}

impl HttpFulfiller {
    /// Prepares everything; nothing is contacted yet.
    ///
    /// # Errors
    /// When the target's URL, secrets or files can't be used.
    pub fn new(target: &HttpTarget, observers: Observers) -> Result<Self, HttpFulfillerError> {
        let allowance = Allowance { share: target.retry_budget, floor: REPEATS_FLOOR };
        Ok(Self {
            requests: Requests::new(client::build(target)?, target)?,
            limits: Limits::new(target.concurrency, target.rate, target.deadline / 2, observers.clone()),
            gate: Gate::new(observers.clone()),
            budget: Mutex::new(RetryBudget::new(allowance, Instant::now())),
            deadline: target.deadline,
            observers,
        })
    }

    /// Makes one request as soon as rate and breaker allow, which has to be before `send_by`.
    async fn step(&self, asked: Asked, request: Request, send_by: Instant, deadline: Instant) -> Step {
        if !self.limits.turn(send_by).await {
            return Step::Withheld { reason: no_room("--fulfiller-rate"), after: None };
        }
        // Last, so that a probe waits for nothing.
        let pass = match self.gate.enter() {
            Ok(pass) => pass,
            Err(refused) => {
                let reason = format!("circuit breaker open: {}", refused.reason);
                return Step::Withheld { reason, after: Some(refused.retry_in) };
            }
        };
        if asked == Asked::Order {
            self.budget().call(Instant::now());
        }
        let began = Instant::now();
        let exchange = exchange::exchange(&self.requests, asked, request, deadline).await;
        self.observers.emit(Event::RequestEnded { class: exchange.class, took: began.elapsed() });
        let answer = &exchange.answer;
        let refused_for = if answer.speaks_of_the_warehouse {
            pass.fail(answer.meaning.reason().unwrap_or_default(), answer.retry_after)
        } else {
            pass.succeed();
            None
        };
        Step::Made { exchange, refused_for }
    }

    /// Asks at `url` until the order is done, or time is up.
    async fn follow(
        &self,
        order: &Order,
        key: &IdempotencyKey,
        url: Url,
        mut asked_pause: Option<Duration>,
        deadline: Instant,
    ) -> Outcome {
        let mut pause = FIRST_POLL;
        loop {
            let wait = asked_pause.unwrap_or(pause).max(FASTEST_POLL);
            if wait >= deadline.saturating_duration_since(Instant::now()) {
                let reason = "the warehouse accepted the order and is not done yet".to_owned();
                return Outcome::InProgress { reason, after: Some(wait) };
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(SLOWEST_POLL);
            let request = self.requests.status(&url, order, key);
            match self.step(Asked::Status, request, deadline, deadline).await {
                Step::Withheld { reason, after } => return Outcome::InProgress { reason, after },
                Step::Made { exchange, .. } if matches!(exchange.answer.meaning, Meaning::Accepted(_)) => {
                    asked_pause = exchange.answer.retry_after;
                }
                Step::Made { exchange, refused_for } => {
                    let answered = exchange.was_answered();
                    return since_accepted(self.outcome(exchange, refused_for), answered);
                }
            }
        }
    }

    fn outcome(&self, exchange: Exchange, refused_for: Option<Duration>) -> Outcome {
        let put_off = self.put_off(&exchange);
        let Answer { meaning, retry_after, .. } = exchange.answer;
        let after = retry_after.max(put_off);
        match (meaning, refused_for) {
            (Meaning::Fulfilled { reference }, _) => Outcome::Fulfilled { reference },
            (Meaning::InProgress(reason), _) => Outcome::InProgress { reason, after },
            // Followed before it comes to this.
            (Meaning::Accepted(_), _) => {
                let reason = "the warehouse accepted the order and is not done yet".to_owned();
                Outcome::InProgress { reason, after }
            }
            (Meaning::Unavailable(reason), refused_for) => {
                Outcome::Unavailable { reason, after: after.max(refused_for) }
            }
            // All calls fail now: that says nothing about this order.
            (Meaning::Failed(reason) | Meaning::Rejected(reason), Some(refused_for)) => {
                Outcome::Unavailable { reason, after: after.max(Some(refused_for)) }
            }
            (Meaning::Failed(reason), None) => Outcome::Retry { reason, after },
            (Meaning::Ambiguous(reason), refused_for) => {
                Outcome::Ambiguous { reason, after: after.max(refused_for), spent: refused_for.is_none() }
            }
            (Meaning::Rejected(reason), None) => Outcome::Rejected { reason },
        }
    }

    /// Draws on the retry budget for a request that the warehouse saw and that will be repeated.
    fn put_off(&self, exchange: &Exchange) -> Option<Duration> {
        let Answer { meaning, retry_after, .. } = &exchange.answer;
        let failed = matches!(meaning, Meaning::Unavailable(_) | Meaning::Failed(_) | Meaning::Ambiguous(_));
        if !failed || !exchange.was_sent() {
            return None;
        }
        let put_off = self.budget().put_off(Instant::now());
        if put_off.is_zero() {
            return None;
        }
        if retry_after.is_none_or(|asked| asked < put_off) {
            self.observers.emit(Event::RepeatPutOff { after: put_off });
        }
        Some(put_off)
    }

    fn budget(&self) -> std::sync::MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Fulfiller for HttpFulfiller {
    async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome {
        let began = Instant::now();
        let deadline = began + self.deadline;
        // What goes out later has too little time to be answered.
        let send_by = began + self.deadline / 2;
        let Some(_place) = self.limits.place(send_by).await else {
            return Outcome::Unavailable { reason: no_room("--fulfiller-concurrency"), after: None };
        };
        match self.step(Asked::Order, self.requests.order(order, key), send_by, deadline).await {
            Step::Withheld { reason, after } => Outcome::Unavailable { reason, after },
            Step::Made { exchange, refused_for } => match exchange.answer.meaning {
                Meaning::Accepted(url) => self.follow(order, key, url, exchange.answer.retry_after, deadline).await,
                _ => self.outcome(exchange, refused_for),
            },
        }
    }

    async fn capacity(&self) -> usize {
        loop {
            self.gate.room().await;
            let within_limits = self.limits.room().await;
            // The breaker may have opened meanwhile.
            if let Some(calls) = self.gate.room().now_or_never() {
                return calls.min(within_limits);
            }
        }
    }
}

fn no_room(option: &str) -> String {
    format!("nothing was sent: {option} left no room for half of the time")
}

/// What an answer about an accepted order makes of it: the warehouse has the order, so nothing says that it was not
/// done, unless the warehouse says so.
fn since_accepted(outcome: Outcome, answered: bool) -> Outcome {
    match outcome {
        Outcome::Unavailable { reason, after } => Outcome::InProgress { reason, after },
        Outcome::Ambiguous { reason, after, .. } if !answered => Outcome::InProgress { reason, after },
        Outcome::Retry { reason, after } => Outcome::Ambiguous { reason, after, spent: true },
        other => other,
    }
}
