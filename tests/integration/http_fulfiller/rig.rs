//! Fulfillers, orders, and what was observed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fulfillment_worker::backend::warehouse_http::HttpFulfiller;
use fulfillment_worker::config::{HttpTarget, Secret, SecretUrl};
use fulfillment_worker::domain::order::{Order, OrderId};
use fulfillment_worker::event::{
    BreakerState, Dependency, DependencyEvent, Event, FulfillerEvent, Limiter, Observer, Observers, RequestClass,
};
use fulfillment_worker::port::fulfiller::{Fulfiller, Outcome};

pub(crate) const TOKEN: &str = "hush-token-8d1f";
pub(crate) const SECRETS: [&str; 2] =
    ["whsec_aHVzaC1maXJzdC1zZWNyZXQtb2YtdGhlLXRlc3Q=", "whsec_aHVzaC1zZWNvbmQtc2VjcmV0LW9mLXRoZS10ZXN0"];

/// Without token and secrets, and with all the time that a test takes.
pub(crate) fn target(url: &str) -> HttpTarget {
    let minute = Duration::from_secs(60);
    let url = SecretUrl::new(url.parse().unwrap());
    HttpTarget { deadline: minute, patience: minute, ..HttpTarget::new(url, minute) }
}

pub(crate) fn with_secrets(target: HttpTarget) -> HttpTarget {
    let signing_secrets = SECRETS.map(|secret| Secret::new(secret.to_owned())).to_vec();
    HttpTarget { token: Some(Secret::new(TOKEN.to_owned())), signing_secrets, ..target }
}

pub(crate) fn order(id: i64) -> Order {
    Order {
        id: OrderId(id),
        product_id: 7,
        product: Some("WHITE METAL LANTERN".to_owned()),
        quantity: 6,
        created_at_micros: Some(1_291_192_260_000_001),
        attempt: 1,
        correlation_id: Some("c-1".to_owned()),
        traceparent: None,
    }
}

/// What a fulfiller told its observers, without what borrows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Request(RequestClass),
    Breaker(BreakerState),
    Down(String, Duration),
    Up,
    Waited(Limiter),
    PutOff(Duration),
}

#[derive(Default)]
pub(crate) struct Diary(Mutex<Vec<Told>>);

impl Observer for Diary {
    fn observe(&self, event: &Event<'_>) {
        let told = match *event {
            Event::Fulfiller(FulfillerEvent::RequestEnded { class, .. }) => Told::Request(class),
            Event::Fulfiller(FulfillerEvent::BreakerMoved(state)) => Told::Breaker(state),
            Event::Dependency(DependencyEvent::Down { dependency: Dependency::Fulfiller, error, retry_in }) => {
                Told::Down(error.to_owned(), retry_in)
            }
            Event::Dependency(DependencyEvent::Up(Dependency::Fulfiller)) => Told::Up,
            Event::Fulfiller(FulfillerEvent::LimiterWaited { limiter, .. }) => Told::Waited(limiter),
            Event::Fulfiller(FulfillerEvent::RepeatPutOff { after }) => Told::PutOff(after),
            ref other => panic!("not a fulfiller's: {other:?}"),
        };
        self.0.lock().unwrap().push(told);
    }
}

pub(crate) struct Rig {
    pub(crate) fulfiller: Arc<HttpFulfiller>,
    diary: Arc<Diary>,
}

impl Rig {
    pub(crate) fn new(target: &HttpTarget) -> Self {
        let diary = Arc::new(Diary::default());
        let fulfiller = HttpFulfiller::new(target, Observers::new(vec![diary.clone()])).unwrap();
        Self { fulfiller: Arc::new(fulfiller), diary }
    }

    pub(crate) async fn call(&self, order: &Order) -> Outcome {
        self.fulfiller.fulfil(order, &order.idempotency_key()).await
    }

    /// A call that goes on beside the test.
    pub(crate) fn begin(&self, id: i64) -> tokio::task::JoinHandle<Outcome> {
        let fulfiller = self.fulfiller.clone();
        tokio::spawn(async move {
            let order = order(id);
            fulfiller.fulfil(&order, &order.idempotency_key()).await
        })
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.diary.0.lock().unwrap().clone()
    }

    /// The classes of all requests so far.
    pub(crate) fn classes(&self) -> Vec<RequestClass> {
        let class = |told| if let Told::Request(class) = told { Some(class) } else { None };
        self.told().into_iter().filter_map(class).collect()
    }
}

pub(crate) fn fulfilled(reference: Option<&str>) -> Outcome {
    Outcome::Fulfilled { reference: reference.map(str::to_owned) }
}
