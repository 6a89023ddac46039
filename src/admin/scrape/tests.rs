use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use axum::body::to_bytes;
use prometheus_client::registry::Registry;

use super::*;

/// Scrapes whose rendering the test holds up.
struct Held {
    scrapes: Arc<Scrapes>,
    registry: Registry,
    /// Told when a rendering begins: which one it is.
    begun: Receiver<usize>,
    /// Lets one go on.
    go_on: Sender<()>,
}

fn held() -> Held {
    let mut registry = Registry::default();
    let endpoint = Endpoint::register(&mut registry);
    let (begins, begun) = channel();
    let (go_on, may_go_on) = channel();
    let (may_go_on, renderings) = (Mutex::new(may_go_on), AtomicUsize::new(0));
    let scrapes = Scrapes::new(endpoint, move |format| {
        let rendering = renderings.fetch_add(1, Ordering::Relaxed);
        let _ = begins.send(rendering);
        let gone_on = may_go_on.lock().unwrap().recv();
        assert!(gone_on.is_ok(), "a collector that panics");
        format!("{format:?} {rendering}").into_bytes()
    });
    Held { scrapes, registry, begun, go_on }
}

impl Held {
    /// A scrape that has joined a rendering when this returns.
    fn scrape(&self, format: Format) -> impl Future<Output = Option<Bytes>> + use<> {
        self.scrapes.rendering(format)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

fn headers(timeout: &str) -> HeaderMap {
    HeaderMap::from_iter([(TIMEOUT.parse().unwrap(), timeout.parse().unwrap())])
}

async fn answered(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Caught, when seeded: a scrape joins a rendering that has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrapes_of_one_moment_share_a_rendering_that_had_not_begun_when_they_came() {
    let held = held();
    let first = held.scrape(Format::PrometheusText);
    assert_eq!(held.begun.recv(), Ok(0));
    // The first one's values may have been read already.
    let later: Vec<_> = (0..5).map(|_| held.scrape(Format::PrometheusText)).collect();
    let other = held.scrape(Format::Protobuf);
    (0..3).for_each(|_| held.go_on.send(()).unwrap());
    assert_eq!(first.await.unwrap(), "PrometheusText 0");
    let mut shared = Vec::new();
    for scrape in later {
        shared.push(scrape.await.unwrap());
    }
    assert!(shared.iter().all(|each| *each == shared[0] && each.starts_with(b"PrometheusText ")), "{shared:?}");
    assert!(other.await.unwrap().starts_with(b"Protobuf "));
    assert_eq!(held.begun.try_iter().collect::<Vec<_>>(), [1, 2], "three renderings for seven scrapes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_that_cannot_be_answered_in_time_is_told_so_and_another_one_is_answered_later() {
    let held = held();
    let answer = metrics(State(Arc::clone(&held.scrapes)), headers("0.05")).await;
    let (status, why) = answered(answer).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(why.contains("within 45ms"), "{why}");
    assert_eq!(held.begun.recv(), Ok(0));
    (0..2).for_each(|_| held.go_on.send(()).unwrap());
    let (status, text) = answered(metrics(State(Arc::clone(&held.scrapes)), HeaderMap::new()).await).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "PrometheusText 1"));
    let text = held.text();
    assert!(text.contains("scrapes_total{outcome=\"timed_out\"} 1\n"), "{text}");
    assert!(text.contains("scrapes_total{outcome=\"ok\"} 1\n"), "{text}");
    assert!(text.contains("scrapes_in_flight 0\n"), "{text}");
}

/// Caught, when seeded: renderings that were given up are not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_second_rendering_begins_beside_one_that_hangs() {
    let held = held();
    let hanging = held.scrape(Format::PrometheusText);
    assert_eq!(held.begun.recv(), Ok(0));
    drop(hanging);
    for _ in 0..3 {
        metrics(State(Arc::clone(&held.scrapes)), headers("0.02")).await;
    }
    assert_eq!(held.begun.try_iter().count(), 0, "begun beside it");
    // The one that hung, the one that was waited for in vain, and one more if that has begun by now.
    (0..3).for_each(|_| held.go_on.send(()).unwrap());
    assert!(held.scrape(Format::PrometheusText).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_scrapes_than_there_may_be_are_refused_and_told_so() {
    let held = held();
    let ask = |_| tokio::spawn(metrics(State(Arc::clone(&held.scrapes)), HeaderMap::new()));
    let asked: Vec<_> = (0..MOST_AT_ONCE).map(ask).collect();
    while held.scrapes.places.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(held.text().contains("scrapes_in_flight 16\n"));
    let (status, why) = answered(metrics(State(Arc::clone(&held.scrapes)), HeaderMap::new()).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(why.contains("16 scrapes are being answered already"), "{why}");
    (0..2).for_each(|_| held.go_on.send(()).unwrap());
    for scrape in asked {
        assert_eq!(scrape.await.unwrap().status(), StatusCode::OK);
    }
    assert!(held.text().contains("scrapes_total{outcome=\"refused\"} 1\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rendering_that_panics_costs_its_own_scrapes_and_no_later_one() {
    let mut held = held();
    let (go_on, closed) = channel();
    drop(closed);
    let scrapes = Arc::clone(&held.scrapes);
    drop(std::mem::replace(&mut held.go_on, go_on));
    for _ in 0..2 {
        let (status, _) = answered(metrics(State(Arc::clone(&scrapes)), HeaderMap::new()).await).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert!(held.text().contains("scrapes_total{outcome=\"failed\"} 2\n"));
}

#[test]
fn the_limit_is_a_little_less_than_the_scrapers_timeout_and_never_long() {
    let longest = LONGEST.mul_f64(SHARE_OF_TIMEOUT);
    assert_eq!(limit(&headers("0.5")), Duration::from_millis(450));
    for other in ["10", "11", "1e300", "inf", "0", "-1", "NaN", "x", ""] {
        assert_eq!(limit(&headers(other)), longest, "{other}");
    }
    assert_eq!(limit(&HeaderMap::new()), longest);
}
