//! The operator's page: HTML made on the server, of the documents that the API answers with.
//!
//! The page asks the API of its own process, with the rights of whoever looks: it can show and do what a program can with the
//! same login, no more, and says the same. What it shows live comes from one sampler, however many look on.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::config::ConfigurationLine;
use crate::observe::health::Health;
use crate::observe::latest::Latest;

mod actions;
mod activity;
mod assets;
mod caller;
mod charts;
mod configuration;
mod cookies;
mod dead_letters;
mod dependencies;
mod form;
mod frame;
mod html;
mod jobs;
mod live;
mod orders;
mod overview;
mod sampler;
mod verdict;
mod visit;
mod workers;

use live::Streams;
use overview::Cache;
use sampler::Sampler;
pub(crate) use sampler::Stores;

/// What the page shows, and where it leads.
pub struct Parts {
    /// The API, with the whole path of each route.
    pub api: Router,
    /// What is wrong, if anything is.
    pub health: Arc<Health>,
    /// What is known.
    pub latest: Arc<Latest>,
    /// The identity of this worker.
    pub worker: String,
    /// The name of this service.
    pub service_name: String,
    /// Where the runbook is.
    pub runbook: Option<String>,
    /// Where the dashboards are.
    pub grafana: Option<String>,
    /// Every option, its value and its source, without secrets; empty where the program around the worker configured it.
    pub configuration: Vec<ConfigurationLine>,
}

/// The page of one worker.
#[derive(Clone)]
pub struct Page {
    parts: Arc<Parts>,
    sampler: Arc<Sampler>,
    streams: Streams,
    rendered: Cache,
}

impl Page {
    /// Of these. Gathers what it shows live on the threads of the runtime that this is called in.
    pub fn new(parts: Parts) -> Self {
        let streams = Streams::new();
        let (health, latest) = (Arc::clone(&parts.health), Arc::clone(&parts.latest));
        let sampler = Sampler::new(health, latest, &parts.worker, streams.stopping());
        Self { parts: Arc::new(parts), sampler, streams, rendered: Cache::default() }
    }

    /// Shows what is in the store from now on.
    pub(crate) fn open(&self, stores: Stores) {
        self.sampler.open(stores);
    }

    /// Ends what is followed live.
    pub fn stop(&self) {
        self.streams.stop();
    }

    /// Every path of the page.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(overview::show))
            .merge(orders::router())
            .merge(dead_letters::router())
            .merge(jobs::router())
            .merge(workers::router())
            .merge(dependencies::router())
            .merge(activity::router())
            .merge(configuration::router())
            .route("/confirm/{action}", get(actions::confirm))
            .route("/do/{action}", post(actions::carry_out))
            // Fastest: a third of the time of the usual level, and a sixth more to send.
            .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
            .route("/live", get(live::show))
            .merge(assets::router())
            .with_state(self)
    }
}
