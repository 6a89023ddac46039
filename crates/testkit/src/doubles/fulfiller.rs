//! A fulfiller that answers by a script.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use fulfillment_worker::domain::order::{IdempotencyKey, Order, OrderId};
use fulfillment_worker::port::fulfiller::{Fulfiller, Outcome};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// What a call comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done, without a reference.
    Fulfilled,
    /// It will never be done, for this reason.
    Rejected(&'static str),
    /// It failed this time, for this reason.
    Retry(&'static str),
    /// Nobody knows whether it was done, for this reason; counts as an attempt.
    Ambiguous(&'static str),
    /// Any other outcome.
    Outcome(Outcome),
    /// The call panics. The engine takes that for an ambiguous call.
    Panic,
    /// The call hangs until [`ScriptedFulfiller::release`], and is fulfilled then.
    Hang,
}

/// A call as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What is to be fulfilled.
    pub order: Order,
    /// The same on every attempt.
    pub key: IdempotencyKey,
}

/// Answers calls by a script, and notes each. What is not in the script is fulfilled.
///
/// ```
/// use fulfillment_worker::domain::order::OrderId;
/// use fulfillment_worker_testkit::doubles::{Answer, ScriptedFulfiller};
///
/// let warehouse = ScriptedFulfiller::answering([Answer::Retry("out of tape"), Answer::Panic]);
/// warehouse.answer(OrderId(7), [Answer::Rejected("no such address")]);
/// assert_eq!(warehouse.calls(), []);
/// ```
#[derive(Debug)]
pub struct ScriptedFulfiller {
    script: Mutex<Script>,
    called: Notify,
    released: Semaphore,
}

#[derive(Debug, Default)]
struct Script {
    of_order: HashMap<OrderId, VecDeque<Answer>>,
    of_all: VecDeque<Answer>,
    calls: Vec<Call>,
}

impl Default for ScriptedFulfiller {
    fn default() -> Self {
        Self::answering([])
    }
}

impl ScriptedFulfiller {
    /// Gives these answers, one after the other, whichever orders it is called for.
    pub fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Script { of_all: answers.into_iter().collect(), ..Script::default() };
        Self { script: Mutex::new(script), called: Notify::new(), released: Semaphore::new(0) }
    }

    /// Gives these answers to the next calls for one order, before those that are for all.
    pub fn answer(&self, order_id: OrderId, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().of_order.entry(order_id).or_default().extend(answers);
    }

    /// Lets one call end that hangs, or the next one that would.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    /// The calls so far, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.script.lock().calls.clone()
    }

    /// Waits until there were at least `calls`. Returns whether there were by the end of `patience`.
    pub async fn called(&self, calls: usize, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let called = self.called.notified();
            tokio::pin!(called);
            called.as_mut().enable();
            if self.script.lock().calls.len() >= calls {
                return true;
            }
            if tokio::time::timeout_at(deadline, called).await.is_err() {
                return false;
            }
        }
    }

    /// Notes a call, and finds its answer.
    fn next(&self, order: &Order, key: &IdempotencyKey) -> Answer {
        let mut script = self.script.lock();
        script.calls.push(Call { order: order.clone(), key: key.clone() });
        let own = script.of_order.get_mut(&order.id).and_then(VecDeque::pop_front);
        let answer = own.or_else(|| script.of_all.pop_front()).unwrap_or(Answer::Fulfilled);
        drop(script);
        self.called.notify_waiters();
        answer
    }
}

#[async_trait]
impl Fulfiller for ScriptedFulfiller {
    #[expect(clippy::panic, reason = "the script asks for it")]
    async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome {
        let after = None;
        match self.next(order, key) {
            Answer::Fulfilled => Outcome::Fulfilled { reference: None },
            Answer::Rejected(reason) => Outcome::Rejected { reason: reason.to_owned() },
            Answer::Retry(reason) => Outcome::Retry { reason: reason.to_owned(), after },
            Answer::Ambiguous(reason) => Outcome::Ambiguous { reason: reason.to_owned(), after, spent: true },
            Answer::Outcome(outcome) => outcome,
            Answer::Panic => panic!("by the script, for order {}", order.id),
            Answer::Hang => {
                // It is never closed.
                if let Ok(permit) = self.released.acquire().await {
                    permit.forget();
                }
                Outcome::Fulfilled { reference: None }
            }
        }
    }
}
