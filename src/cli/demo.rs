//! `demo`: everything in one process, with nothing installed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use fulfillment_warehouse::{self as warehouse, Behaviour, Warehouse};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::failure::Failure;
use super::output;
use super::worker_client::from_this_machine;
use crate::admin::OneTimeToken;
use crate::config::values::{self, Latency};
use crate::config::{
    AccessSettings, AdminSocket, Backends, FulfillerTarget, HttpTarget, ListenAddress, LogFormat, LogOrders,
    LogSettings, Origin, PageSettings, Propagation, QueueTarget, QueueTls, SecretUrl, Settings, StoreTarget,
};
use crate::domain::retry::{RetryPolicy, WhenAmbiguous};
use crate::domain::worker_id::WorkerId;
use crate::observe::logging;
use crate::operations::plural;
use crate::service::backends::{self, StartError};
use crate::service::{HangUp, Service, Signals};

mod feed;
mod hints;
mod progress;
mod screen;
mod summary;
mod tally;

use hints::Commands;
use screen::Screen;
use tally::Tally;

const SERVICE: &str = "fulfillment-demo";
/// How long a terminal may hold up the exit at the second signal.
const LAST_LINE_LIMIT: Duration = Duration::from_millis(300);
/// Longer than the second signal takes to end the process.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// Orders after which comes one that the warehouse rejects, to show a dead letter.
const BEFORE_THE_REJECTED: usize = 50;

/// Watch real orders flow, with nothing installed
///
/// Embeds queue and store in a temporary folder and removes it at the end. Submits real orders of a gift shop at a
/// steady rate and posts them to a reference warehouse in the same process. A few percent of the calls fail, half of
/// them after the warehouse has shipped: retries show, and no order ships twice. The warehouse lacks one product at
/// first, which makes a dead letter to retry. Prints commands to try in another terminal. Ctrl-C drains and prints a
/// summary.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker demo
      until Ctrl-C; then, in another terminal: curl localhost:2112/metrics
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

    /// Address to listen on, for metrics, health and the page. On loopback alone, the page's link has a token that lets the
    /// browser which opens it first change the worker
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2112", value_parser = values::address)]
    listen: SocketAddr,

    /// Calls to the warehouse at once
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
    let ends_at_once = CancellationToken::new();
    let ended = show(arguments, ends_at_once.clone()).await;
    if ends_at_once.is_cancelled() {
        // What failed without its folder is no error: whoever took that away ends the process, with the signal's exit code.
        tokio::time::sleep(LAST_MOMENT).await;
    }
    ended
}

async fn show(arguments: Arguments, ends_at_once: CancellationToken) -> Result<(), Failure> {
    let screen = Screen::detect();
    let log = LogSettings {
        format: Some(LogFormat::Text),
        filter: arguments.log.clone(),
        filter_origin: Origin::CommandLine,
        service_name: SERVICE.to_owned(),
    };
    let log = logging::start_on(&log, screen.clone()).map_err(Failure::work)?;
    let folder = temporary_folder()?;
    let sample = feed::sample()?;
    let lacking = feed::product_ordered_once(BEFORE_THE_REJECTED, &sample);
    let stop_warehouse = CancellationToken::new();
    let _stopped_in_the_end = stop_warehouse.clone().drop_guard();
    let behaviour = behaviour(&arguments);
    let without = lacking.map(|(product_id, _)| product_id).into_iter().collect();
    let short = Behaviour { reject_products: without, ..behaviour.clone() };
    let (warehouse, url) = open_warehouse(short, stop_warehouse).await?;
    let database = folder.path().join("db");
    let settings = settings(&arguments, &database, url);
    let backends = settings.backends.clone();
    let tally = Arc::new(Tally::default());
    let at_the_second = Some(clean_up(folder.path().to_owned(), ends_at_once));
    let drain = Signals { hang_up: HangUp::Drain, at_the_second, ..Signals::default() }.listen()?;
    // Whoever reads the terminal may change the worker; a link that others can open would let them.
    let token = arguments.listen.ip().is_loopback().then(OneTimeToken::fresh);
    let service = Service::new(settings).log(log).observer(tally.clone());
    let service = token.iter().cloned().fold(service, Service::one_time_token);
    let mut engine = tokio::spawn(service.run(drain.clone()));
    let listen = tokio::select! {
        listen = tally.started() => listen.unwrap_or(arguments.listen),
        ended = &mut engine => return finished(ended),
    };
    let commands = Commands::new(&database);
    screen.print_wrapped(&introduction(&arguments))?;
    screen.print(&format!("\n{}", commands.start(from_this_machine(listen), token.as_ref())))?;

    let began = Instant::now();
    let product = lacking.map(|(_, product)| product.to_owned());
    let restock = {
        let warehouse = warehouse.clone();
        move || warehouse.behave(behaviour)
    };
    let (of_hints, of_progress) = ((tally.clone(), screen.clone()), (tally.clone(), screen.clone()));
    let hints = hints::follow_a_dead_letter(of_hints.0, backends.clone(), commands, product, of_hints.1, restock);
    let hints = AbortOnDropHandle::new(tokio::spawn(hints));
    let feeding = feed::feed(backends.clone(), arguments.rate, arguments.orders, sample, tally.clone(), drain.clone());
    let feeding = tokio::spawn(feeding);
    let end_of_progress = CancellationToken::new();
    let progress = progress::show(of_progress.0, arguments.orders, of_progress.1, end_of_progress.clone());
    let progress = tokio::spawn(progress);
    let all = tally.finished(arguments.orders.unwrap_or(u64::MAX));
    if drain.run_until_cancelled(all).await.is_none() {
        screen.print_wrapped("\nDraining: orders in flight end, no others begin. Ctrl-C again ends at once.")?;
    }
    drain.cancel();
    let fed = feeding.await.map_err(|error| Failure::Work(format!("submitting panicked: {error}")))?;
    finished(engine.await)?;
    let took = began.elapsed();
    drop(hints);
    end_of_progress.cancel();
    // A line that panicked is no reason to fail.
    let _ = progress.await;
    fed?;
    let store = backends::open_store(&backends, &WorkerId::fresh())?;
    let orders = store.reports.summary().await.map_err(Failure::work)?;
    screen.print_wrapped(&format!("\n{}", summary::summary(&orders, &tally, took, &warehouse.stats())))
}

/// A short path, as it stands in every command to try. For its owner alone, which no folder is by itself.
fn temporary_folder() -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder
        .prefix("demo-")
        .rand_bytes(5)
        .tempdir()
        .map_err(|error| Failure::Work(format!("can't create a temporary folder: {error}")))
}

/// For the second signal: nothing of the demo stays. The folder goes under another name, so that a part of the demo which
/// opens the database just now makes no new one in it.
fn clean_up(folder: PathBuf, ends_at_once: CancellationToken) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        ends_at_once.cancel();
        let going = folder.with_extension("ended");
        let removed = std::fs::rename(&folder, &going).and_then(|()| std::fs::remove_dir_all(&going));
        output::note("");
        output::note(&match removed {
            Ok(()) => "Ended at once.".to_owned(),
            Err(error) => format!("Ended at once; {} may be left over: {error}", folder.display()),
        });
        logging::flush(LAST_LINE_LIMIT);
    })
}

fn introduction(arguments: &Arguments) -> String {
    let end = arguments.orders.map_or("until Ctrl-C".to_owned(), |orders| plural(orders, "order"));
    format!(
        "Real orders of a gift shop, {} a second, {end}. Queue and store are one SQLite file in a temporary folder; a \
         warehouse in this process ships the orders.",
        arguments.rate,
    )
}

/// Half of the failures come before the warehouse has shipped, half after.
fn behaviour(arguments: &Arguments) -> Behaviour {
    let half = arguments.simulate_failures / 2.0;
    let Latency { shortest, longest } = arguments.simulate_latency;
    let latency = warehouse::Latency { shortest, longest };
    Behaviour { latency, errors: half, cut_after: half, ..Behaviour::default() }
}

/// A warehouse in this process, on a free port of the loopback interface, and where it takes orders.
async fn open_warehouse(behaviour: Behaviour, stop: CancellationToken) -> Result<(Arc<Warehouse>, SecretUrl), Failure> {
    let warehouse = Arc::new(Warehouse::open(warehouse::Settings { behaviour, ..warehouse::Settings::default() })?);
    let no_port = |error| Failure::Work(format!("the demo's warehouse can't listen: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(no_port)?;
    let address = listener.local_addr().map_err(no_port)?;
    let url = Url::parse(&format!("http://{address}/shipments")).map_err(Failure::work)?;
    tokio::spawn(warehouse.clone().serve(listener, stop));
    Ok((warehouse, SecretUrl::new(url)))
}

fn settings(arguments: &Arguments, database: &Path, warehouse: SecretUrl) -> Settings {
    let call_timeout = arguments.simulate_latency.longest + Duration::from_secs(10);
    Settings {
        backends: Backends {
            queue: QueueTarget::Sqlite(database.to_owned()),
            queue_tls: QueueTls::default(),
            queue_key: "fulfillment_queue".to_owned(),
            store: StoreTarget::Sqlite(database.to_owned()),
            store_connections: 4,
            lease: call_timeout + Duration::from_secs(5),
            events: true,
        },
        fulfiller: FulfillerTarget::Http(Box::new(HttpTarget::new(warehouse, call_timeout))),
        call_timeout,
        listen: vec![ListenAddress::Network(arguments.listen)],
        admin_socket: AdminSocket::Default,
        access: AccessSettings::default(),
        concurrency: usize::try_from(arguments.concurrency).unwrap_or(usize::MAX),
        retry: RetryPolicy {
            max_attempts: 5,
            base: Duration::from_millis(200),
            cap: Duration::from_secs(2),
            when_ambiguous: WhenAmbiguous::Retry,
        },
        reconcile: None,
        keep_events: None,
        reconcile_from: None,
        drain_timeout: Duration::from_secs(10),
        drain_to_list: false,
        migrate: true,
        wait: Some(Duration::from_secs(30)),
        service_name: SERVICE.to_owned(),
        page: PageSettings::default(),
        tracing_propagation: Propagation::Link,
        log_orders: LogOrders::Failures,
    }
}

fn finished(engine: Result<Result<(), StartError>, tokio::task::JoinError>) -> Result<(), Failure> {
    engine.map_err(|error| Failure::Work(format!("the worker panicked: {error}")))??;
    Ok(())
}
