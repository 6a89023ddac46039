//! `demo`: everything in one process, with nothing installed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use fulfillment_warehouse::{self as warehouse, Behaviour, Stats, Warehouse};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::failure::Failure;
use super::output;
use crate::config::values::{self, Latency};
use crate::config::{
    Backends, FulfillerTarget, HttpTarget, LogFormat, LogSettings, Origin, Propagation, QueueTarget, SecretUrl,
    Settings, StoreTarget,
};
use crate::domain::retry::{RetryPolicy, WhenAmbiguous};
use crate::observe::logging;
use crate::operations::plural;
use crate::service::Service;
use crate::service::backends::StartError;
use crate::service::drain_on_signals;

mod feed;
mod progress;
mod tally;

use tally::Tally;

/// Watch real orders flow, with nothing installed
///
/// Embeds queue and store in a temporary folder and removes it at the end. Submits real orders of a gift shop at a
/// steady rate and posts them to a reference warehouse in the same process. A few percent of the calls fail, half of
/// them after the warehouse has shipped: retries show, and no order ships twice. Ctrl-C drains and prints a summary.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker demo
      then, in another terminal: curl localhost:2112/metrics
  fulfillment-worker demo --orders 200
      ends after 200 orders
  fulfillment-worker demo --rate 2000 --concurrency 5000
      a busy day")]
pub(super) struct Arguments {
    /// End after this number of orders
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    orders: Option<u64>,

    /// Orders submitted per second
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,

    /// Address to listen on, for metrics, health and the page
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2112", value_parser = values::address)]
    listen: SocketAddr,

    /// Orders in flight at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,

    /// Time that the warehouse takes for an order, uniformly distributed: LOW..HIGH, or 0 for none
    #[arg(long, value_name = "LOW..HIGH", default_value = "500ms..2s", value_parser = values::latency)]
    simulate_latency: Latency,

    /// Share of calls that fail, from 0 to 1: half of them before the warehouse ships, half after
    #[arg(long, value_name = "SHARE", default_value = "0.05", value_parser = values::share)]
    simulate_failures: f64,

    /// Log filter, besides the progress: a level, or one such as `warn,fulfillment_worker=debug`
    #[arg(long, value_name = "FILTER", default_value = "error", value_parser = values::log_filter)]
    log: String,
}

pub(super) async fn demo(arguments: Arguments) -> Result<(), Failure> {
    let log = logging::start(&LogSettings {
        format: Some(LogFormat::Text),
        filter: arguments.log.clone(),
        filter_origin: Origin::CommandLine,
    })
    .map_err(Failure::work)?;
    let folder = tempfile::Builder::new()
        .prefix("fulfillment-demo-")
        .tempdir()
        .map_err(|error| Failure::Work(format!("can't create a temporary folder: {error}")))?;
    let stop_warehouse = CancellationToken::new();
    let _stopped_in_the_end = stop_warehouse.clone().drop_guard();
    let (warehouse, url) = open_warehouse(&arguments, stop_warehouse).await?;
    let settings = settings(&arguments, &folder.path().join("demo.db"), url);
    let backends = settings.backends.clone();
    let tally = Arc::new(Tally::default());
    let drain = drain_on_signals()?;
    let mut engine = tokio::spawn(Service::new(settings).log(log).observer(tally.clone()).run(drain.clone()));
    tokio::select! {
        () = tally.started() => {}
        ended = &mut engine => return finished(ended),
    }
    output::print(&format!(
        "Real orders of a gift shop, {} per second; queue and store embedded in {}\n\
         Page     http://{listen}/\nMetrics  http://{listen}/metrics\nCtrl-C drains and exits.",
        arguments.rate,
        folder.path().display(),
        listen = arguments.listen,
    ))?;

    let began = Instant::now();
    let feeding = tokio::spawn(feed::feed(backends, arguments.rate, arguments.orders, tally.clone(), drain.clone()));
    let end_of_progress = CancellationToken::new();
    let progress = tokio::spawn(progress::show(tally.clone(), arguments.orders, end_of_progress.clone()));
    drain.run_until_cancelled(tally.finished(arguments.orders.unwrap_or(u64::MAX))).await;
    drain.cancel();
    let took = began.elapsed();
    let fed = feeding.await.map_err(|error| Failure::Work(format!("submitting panicked: {error}")))?;
    finished(engine.await)?;
    end_of_progress.cancel();
    // A bar that panicked is no reason to fail.
    let _ = progress.await;
    fed?;
    output::print(&format!("{}\n{}", tally.summary(took), warehouse_summary(&warehouse.stats())))
}

/// A warehouse in this process, on a free port of the loopback interface, and where it takes orders.
async fn open_warehouse(
    arguments: &Arguments,
    stop: CancellationToken,
) -> Result<(Arc<Warehouse>, SecretUrl), Failure> {
    let half = arguments.simulate_failures / 2.0;
    let Latency { shortest, longest } = arguments.simulate_latency;
    let latency = warehouse::Latency { shortest, longest };
    let behaviour = Behaviour { latency, errors: half, cut_after: half, ..Behaviour::default() };
    let warehouse = Arc::new(Warehouse::open(warehouse::Settings { behaviour, ..warehouse::Settings::default() })?);
    let no_port = |error| Failure::Work(format!("the demo's warehouse can't listen: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(no_port)?;
    let address = listener.local_addr().map_err(no_port)?;
    let url = Url::parse(&format!("http://{address}/shipments")).map_err(Failure::work)?;
    tokio::spawn(warehouse.clone().serve(listener, stop));
    Ok((warehouse, SecretUrl::new(url)))
}

fn warehouse_summary(stats: &Stats) -> String {
    let (calls, shipped) = (plural(stats.calls, "call"), plural(stats.effects, "order"));
    format!("The warehouse answered {calls} and shipped {shipped}, {} of them twice.", stats.double_effects)
}

fn settings(arguments: &Arguments, database: &Path, warehouse: SecretUrl) -> Settings {
    let call_timeout = arguments.simulate_latency.longest + Duration::from_secs(10);
    Settings {
        backends: Backends {
            queue: QueueTarget::Sqlite(database.to_owned()),
            queue_key: "fulfillment_queue".to_owned(),
            store: StoreTarget::Sqlite(database.to_owned()),
            store_connections: 4,
            lease: call_timeout + Duration::from_secs(5),
            events: true,
        },
        fulfiller: FulfillerTarget::Http(Box::new(HttpTarget::new(warehouse, call_timeout))),
        call_timeout,
        listen: arguments.listen,
        concurrency: usize::try_from(arguments.concurrency).unwrap_or(usize::MAX),
        retry: RetryPolicy {
            max_attempts: 5,
            base: Duration::from_millis(200),
            cap: Duration::from_secs(2),
            when_ambiguous: WhenAmbiguous::Retry,
        },
        reconcile: None,
        drain_timeout: Duration::from_secs(10),
        migrate: true,
        wait: Some(Duration::from_secs(30)),
        service_name: "fulfillment-demo".to_owned(),
        tracing_propagation: Propagation::Link,
    }
}

fn finished(engine: Result<Result<(), StartError>, tokio::task::JoinError>) -> Result<(), Failure> {
    engine.map_err(|error| Failure::Work(format!("the worker panicked: {error}")))??;
    Ok(())
}
