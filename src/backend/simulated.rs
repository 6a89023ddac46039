//! Stands in for a warehouse: waits as long as one would, and fails as often as told.

use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::config::Simulation;
use crate::domain::order::{IdempotencyKey, Order};
use crate::port::fulfiller::{Fulfiller, Outcome};

/// See [`Simulation`] for what it can be told.
pub struct SimulatedFulfiller(Simulation);

impl SimulatedFulfiller {
    /// Behaves as `simulation` says.
    pub fn new(simulation: Simulation) -> Self {
        Self(simulation)
    }

    /// How long the call takes and whether it fails. With a seed this depends on the order and attempt alone, so
    /// that a run repeats itself however its orders are spread over workers.
    fn draw(&self, order: &Order) -> (Duration, bool) {
        let Simulation { shortest, longest, failures, seed } = self.0;
        if shortest == longest && failures == 0.0 {
            // There is nothing to draw, and to seed a generator takes longer than a call that takes no time.
            return (shortest, false);
        }
        let of_attempt = order.id.0.unsigned_abs().rotate_left(32) ^ u64::from(order.attempt);
        let mut random = StdRng::seed_from_u64(seed.map_or_else(rand::random, |seed| seed ^ of_attempt));
        (random.random_range(shortest..=longest), random.random_bool(failures))
    }
}

#[async_trait]
impl Fulfiller for SimulatedFulfiller {
    async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome {
        let (latency, fails) = self.draw(order);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if fails {
            return Outcome::Retry { reason: "simulated failure".to_owned(), after: None };
        }
        Outcome::Fulfilled { reference: Some(format!("simulated-{key}")) }
    }
}
