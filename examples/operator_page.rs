//! Serves the operator's page with made-up numbers, to work on the page without a queue or a database:
//! `cargo run --example operator_page -- 127.0.0.1:2112`, with `down` behind it for a worker whose store is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::admin::{ConnectionLimits, Routes, bind, serve_within};
use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::domain::retry::jittered;
use fulfillment_worker::event::{
    AttemptRef, CallOutcome, Dependency, DependencyEvent, FulfillerEvent, LifecycleEvent, Observers, OrderEvent,
    RetryReason, Stage, TelemetryEvent,
};
use fulfillment_worker::observe::health::Health;
use fulfillment_worker::observe::metrics::{LogMessages, Metrics};
use fulfillment_worker::port::queue::Depth;
use fulfillment_worker::port::reports::{OpenDeadLetters, OpenOrders, OpenState};
use tokio_util::sync::CancellationToken;

const TICK: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().unwrap_or("127.0.0.1:2112".to_owned()).parse()?;
    let down = arguments.next().is_some_and(|word| word == "down");
    let metrics =
        Arc::new(Metrics::new(tokio::runtime::Handle::current(), "order-fulfillment", LogMessages::default()));
    let health = Arc::new(Health::default());
    let observers = Observers::new(vec![metrics.clone(), health.clone()]);
    let listener = bind(address).await?;
    tokio::spawn(make_up(observers, down));
    serve_within(
        ConnectionLimits::default(),
        vec![listener.into()],
        Routes { metrics, health, log: None, access: Arc::default(), api: axum::Router::new() },
        CancellationToken::new(),
    )
    .await;
    Ok(())
}

/// A worker's day, ten times a second.
async fn make_up(observers: Observers, down: bool) {
    observers.emit(LifecycleEvent::Started { worker: "example", concurrency: 500 });
    Dependency::all().for_each(|dependency| observers.emit(DependencyEvent::Up(dependency)));
    for tick in 0_u64.. {
        let busy = 30 + tick % 50;
        if !down || tick < 100 {
            (0..busy).for_each(|order| end_one(&observers, tick * 100 + order));
            Stage::all().filter(|stage| *stage != Stage::Bury).for_each(|stage| {
                let took = Duration::from_millis(1) + jittered(Duration::from_millis(8));
                observers.emit(DependencyEvent::StageDone { stage, items: busy as usize, took, ok: true });
            });
        } else {
            let error = "connection refused (os error 111)";
            observers.emit(DependencyEvent::StageDone { stage: Stage::Begin, items: 1, took: TICK, ok: false });
            let dependency = Dependency::Store;
            observers.emit(DependencyEvent::Down { dependency, error, retry_in: Duration::from_secs(1) });
        }
        observers.emit(OrderEvent::InFlight(300 + busy as usize * 2));
        observers.emit(TelemetryEvent::DepthRead(Depth {
            waiting: 4_000 + busy * 13,
            in_flight: 400,
            due: busy / 10,
            retrying: busy / 5,
        }));
        let pending = OpenState { orders: 4_000 + busy * 13, oldest: Some(Duration::from_secs(20 + busy)) };
        observers.emit(TelemetryEvent::OpenOrdersRead(OpenOrders { pending, ..OpenOrders::default() }));
        observers.emit(TelemetryEvent::OpenDeadLettersRead(OpenDeadLetters::default()));
        tokio::time::sleep(TICK).await;
    }
}

fn end_one(observers: &Observers, order: u64) {
    let attempt = AttemptRef { order_id: Some(OrderId(order as i64)), correlation_id: None, number: 1, trace: None };
    let took = Duration::from_millis(500) + jittered(Duration::from_millis(1_500));
    observers.emit(OrderEvent::AttemptStarted { attempt, takeover: false, waited: None });
    let outcome = if order % 40 == 7 { CallOutcome::Ambiguous } else { CallOutcome::Fulfilled };
    observers.emit(FulfillerEvent::CallEnded { attempt, outcome, took, detail: None });
    if order % 40 == 7 {
        observers.emit(OrderEvent::AttemptFailed { attempt, took, error: "no stock" });
        let reason = if order.is_multiple_of(3) { RetryReason::FulfillerTimeout } else { RetryReason::FulfillerFailed };
        observers.emit(OrderEvent::Retried { attempt, reason, after: TICK });
    } else {
        let age = Some(took + jittered(Duration::from_secs(20)));
        observers.emit(OrderEvent::Fulfilled { attempt, took, age, reference: None });
    }
    if order % 5_000 == 8 {
        let reason = DeadReason::InvalidMessage;
        observers.emit(OrderEvent::DeadLettered { attempt, reason, detail: "not JSON" });
    }
}
