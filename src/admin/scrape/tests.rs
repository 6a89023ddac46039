use std::sync::mpsc::{Receiver, Sender, channel};

use axum::body::to_bytes;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use super::*;

/// Scrapes whose rendering the test holds up.
struct Held {
    scrapes: Arc<Scrapes>,
    registry: Registry,
    /// Gets a message when a rendering begins.
    begun: Receiver<()>,
    /// Lets one rendering go on. Renderings panic once it is dropped.
    go_on: Sender<()>,
}

fn held() -> Held {
    let mut registry = Registry::default();
    let endpoint = Endpoint::register(&mut registry);
    let (begins, begun) = channel();
    let (go_on, may_go_on) = channel();
    let may_go_on = Mutex::new(may_go_on);
    let scrapes = Scrapes::new(endpoint, move |format| {
        let _ = begins.send(());
        assert!(may_go_on.lock().recv().is_ok(), "a collector that panics");
        format!("{format:?}").into_bytes()
    });
    Held { scrapes, registry, begun, go_on }
}

impl Held {
    fn scrape(&self, headers: HeaderMap) -> impl Future<Output = Response> + use<> {
        metrics(State(Arc::clone(&self.scrapes)), headers)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_that_cannot_be_answered_in_time_is_refused_and_another_one_is_answered_later() {
    let held = held();
    let (status, why) = answered(held.scrape(headers("0.05")).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(why.contains("within 45ms"), "{why}");
    (0..2).for_each(|_| held.go_on.send(()).unwrap());
    let (status, text) = answered(held.scrape(HeaderMap::new()).await).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "PrometheusText"));
    let text = held.text();
    assert!(text.contains("scrapes_total{outcome=\"timed_out\"} 1\n"), "{text}");
    assert!(text.contains("scrapes_total{outcome=\"ok\"} 1\n"), "{text}");
    assert!(text.contains("scrapes_in_flight 0\n"), "{text}");
}

impl Held {
    /// Returns when so many scrapes wait.
    async fn in_flight(&self, scrapes: usize) {
        let shown = format!("scrapes_in_flight {scrapes}\n");
        while !self.text().contains(&shown) {
            tokio::task::yield_now().await;
        }
    }
}

/// Caught, when seeded: a rendering for each scrape, so that clients which read no answer keep every scrape waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrapes_that_wait_share_a_rendering_that_begins_after_all_of_them() {
    let held = held();
    let scrape = || tokio::spawn(held.scrape(HeaderMap::new()));
    let mut scrapes = Vec::new();
    for _ in 0..MOST_AT_ONCE {
        scrapes.push(scrape());
        held.begun.recv().unwrap();
    }
    scrapes.extend((0..20).map(|_| scrape()));
    held.in_flight(MOST_AT_ONCE + 20).await;
    assert!(held.begun.try_recv().is_err(), "too many at once");
    (0..=MOST_AT_ONCE).for_each(|_| held.go_on.send(()).unwrap());
    for scrape in scrapes {
        assert_eq!(scrape.await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(held.begun.try_iter().count(), 1);
}

/// Caught, when seeded: a scrape that gives its turn back when its scraper leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renderings_that_hang_dont_pile_up_and_those_after_them_are_answered_once_they_end() {
    let held = held();
    for _ in 0..5 {
        drop(held.scrape(headers("0.001")).await);
    }
    (0..MOST_AT_ONCE).for_each(|_| held.begun.recv().unwrap());
    assert!(held.begun.try_recv().is_err(), "too many at once");
    (0..=MOST_AT_ONCE).for_each(|_| held.go_on.send(()).unwrap());
    assert_eq!(held.scrape(HeaderMap::new()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rendering_that_panics_costs_its_own_scrape_and_no_later_one() {
    let Held { scrapes, registry, go_on, .. } = held();
    drop(go_on);
    for _ in 0..2 {
        let (status, _) = answered(metrics(State(Arc::clone(&scrapes)), HeaderMap::new()).await).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("scrapes_total{outcome=\"failed\"} 2\n"), "{text}");
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

/// Caught, when seeded: no pause, so that clients which ask without end keep the processors busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renderings_pause_for_four_times_as_long_as_they_take() {
    const TAKES: Duration = Duration::from_millis(10);
    let renderings = Arc::new(Mutex::new(0_u32));
    let counted = Arc::clone(&renderings);
    let scrapes = Scrapes::new(Endpoint::register(&mut Registry::default()), move |_| {
        *counted.lock() += 1;
        std::thread::sleep(TAKES);
        Vec::new()
    });
    let began = Instant::now();
    for _ in 0..5 {
        let crowd = (0..8).map(|_| metrics(State(Arc::clone(&scrapes)), HeaderMap::new()));
        futures::future::join_all(crowd).await;
    }
    let in_turn = *renderings.lock() / u32::try_from(MOST_AT_ONCE).unwrap();
    assert!(in_turn >= 2, "{in_turn}");
    assert!(began.elapsed() >= TAKES * (1 + PAUSE) * (in_turn - 1), "{in_turn} in {:?}", began.elapsed());
}

/// Caught, when seeded: a compression for each scrape.
#[tokio::test]
async fn whoever_takes_gzip_gets_a_rendering_that_is_compressed_once() {
    let renderings = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&renderings);
    let scrapes = Scrapes::new(Endpoint::register(&mut Registry::default()), move |format| {
        *counted.lock() += 1;
        format!("{format:?}").into_bytes()
    });
    let scrape = || {
        let gzip = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        async { to_bytes(metrics(State(Arc::clone(&scrapes)), gzip).await.into_body(), usize::MAX).await.unwrap() }
    };
    let (one, other) = tokio::join!(scrape(), scrape());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*one), &mut text).unwrap();
    assert_eq!((text.as_str(), *renderings.lock()), ("PrometheusText", 1));
    assert_eq!(one.as_ptr(), other.as_ptr(), "the same bytes");
}

#[test]
fn gzip_is_for_those_who_name_it_and_do_not_rule_it_out() {
    let takes = |accepted: &str| {
        takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(accepted).unwrap())]))
    };
    for accepted in ["gzip", "deflate, GZIP", "br;q=1.0, gzip;q=0.2", "gzip; q=1"] {
        assert!(takes(accepted), "{accepted}");
    }
    for refused in ["", "identity", "gzip;q=0", "gzip; q=0.000", "deflate, br", "gzip;q=x", "*"] {
        assert!(!takes(refused), "{refused}");
    }
    assert!(!takes_gzip(&HeaderMap::new()));
}
