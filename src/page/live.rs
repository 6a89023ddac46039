//! What the overview shows live, as server-sent events: each is HTML that takes the place of the part of its name.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::frame::Who;
use super::overview::{Cache, Range, Rendered};
use super::sampler::Sample;
use super::visit::Visit;
use crate::domain::text;

/// Streams at once, at most: half of the requests that may be under way.
pub(super) const MOST: usize = 64;

/// A stream ends after so long, before the listener ends its connection; the browser comes again.
const LASTS: Duration = Duration::from_secs(45);

/// When the browser comes again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Charts are sent with one sample in so many.
const CHARTS_EVERY: u64 = 10;

/// Who may look on, and until when.
#[derive(Clone)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    /// Ends every stream.
    stop: CancellationToken,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)), stop: CancellationToken::new() }
    }

    /// Tells when every stream ends.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends every stream.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

struct Following {
    samples: watch::Receiver<Option<Arc<Sample>>>,
    rendered: Cache,
    with_texts: bool,
    range: Range,
    /// Whether the browser has charts of a day.
    has_charts: bool,
    began: Instant,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// The stream of the overview.
pub(super) async fn show(visit: Visit) -> Response {
    let streams = &visit.page.streams;
    let Ok(place) = Arc::clone(&streams.places).try_acquire_owned() else {
        let why = format!("{MOST} pages are followed live already; this one is as it was loaded\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], why).into_response();
    };
    let following = Following {
        samples: visit.page.sampler.follow(),
        rendered: visit.page.rendered.clone(),
        with_texts: visit.who != Who::Anybody,
        range: Range::of(&visit.parameter("range")).unwrap_or(Range::Day),
        has_charts: false,
        began: Instant::now(),
        stop: streams.stop.clone(),
        _place: place,
    };
    Sse::new(events(following)).into_response()
}

fn events(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    let samples = stream::unfold((following, true), async |(mut following, is_first)| {
        if following.began.elapsed() >= LASTS {
            return None;
        }
        let stop = following.stop.clone();
        if !is_first {
            stop.run_until_cancelled(following.samples.changed()).await?.ok()?;
        }
        let sample = following.samples.borrow_and_update().clone();
        let events = match sample {
            Some(sample) => parts(&following.rendered.of(sample), &mut following),
            None => Vec::new(),
        };
        Some((stream::iter(events.into_iter().map(Ok)), (following, false)))
    });
    stream::StreamExt::flatten(samples)
}

fn parts(rendered: &Rendered, following: &mut Following) -> Vec<Event> {
    let (sample, parts) = (&rendered.sample, rendered.parts(following.with_texts));
    let mut events = vec![event("verdict", &parts.verdict), event("now", &parts.now)];
    if sample.number.is_multiple_of(CHARTS_EVERY) || (sample.day.is_some() && !following.has_charts) {
        following.has_charts = sample.day.is_some();
        events.push(event("charts", rendered.charts(following.range)));
    }
    events
}

fn event(part: &str, markup: &str) -> Event {
    // A line of its own would end the event; a carriage return as well, and `lines` spells that out.
    Event::default().event(part).retry(COME_AGAIN).data(text::lines(markup))
}
