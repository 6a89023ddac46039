//! The reference warehouse: what the HTTP fulfiller calls, done right, and on command done wrong.
//!
//! It holds callers to the contract of `docs/warehouse.openapi.yaml`, ships each idempotency key once, and can be told
//! to be slow, to cut connections, to hang, to refuse and more (see [`Behaviour`]). What it did is told by its
//! [`Stats`] and, line by line, by its record.
//!
//! Every key is kept in memory until the process ends, at about 150 bytes each: a counterpart for tests, benchmarks
//! and trying things out, not a warehouse.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod access;
mod answer;
mod behaviour;
mod call;
mod in_flight;
mod ledger;
mod problem;
mod record;
mod routes;
mod server;
mod shipment;

use access::Access;
pub use access::AccessError;
pub use behaviour::{Behaviour, Latency, WrongBehaviour};
use in_flight::InFlight;
use ledger::Ledger;
pub use ledger::Stats;
pub use record::{Done, RecordError};

/// What a warehouse is started with. The default is well-behaved, open to everybody, and remembers nothing. Not `Debug`,
/// as it holds secrets.
#[derive(Clone, Default)]
pub struct Settings {
    /// How it behaves at first.
    pub behaviour: Behaviour,
    /// Decides, with a call's key and number, what befalls the call, so that a run repeats itself in whatever order
    /// its calls come. `None` draws one.
    pub seed: Option<u64>,
    /// The file with a line for every call. What is in it already is remembered.
    pub record: Option<PathBuf>,
    /// The bearer token that callers must show.
    pub token: Option<String>,
    /// Standard Webhooks secrets, each `whsec_` and Base64; a call must be signed with one of them.
    pub secrets: Vec<String>,
}

/// Why a warehouse can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The behaviour contradicts itself.
    #[error(transparent)]
    Behaviour(#[from] WrongBehaviour),
    /// Token or secrets can't be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The record can't be used.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A reference warehouse. One value serves one address; see [`Warehouse::serve`].
pub struct Warehouse {
    behaviour: RwLock<Arc<Behaviour>>,
    seed: u64,
    access: Access,
    ledger: Mutex<Ledger>,
    in_flight: InFlight,
    /// Ends waits that nobody else ends; cancelled when it stops serving.
    closing: CancellationToken,
}

impl Warehouse {
    /// Opens the record and reads what it says.
    ///
    /// # Errors
    /// [`OpenError`] says which setting can't be used, and why.
    pub fn open(settings: Settings) -> Result<Self, OpenError> {
        settings.behaviour.check()?;
        Ok(Self {
            behaviour: RwLock::new(Arc::new(settings.behaviour)),
            seed: settings.seed.unwrap_or_else(rand::random),
            access: Access::new(settings.token, &settings.secrets)?,
            ledger: Mutex::new(Ledger::open(settings.record.as_deref())?),
            in_flight: InFlight::default(),
            closing: CancellationToken::new(),
        })
    }

    /// Answers calls until `shutdown`, then finishes what is under way, within 5 seconds.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        server::serve(listener, self, shutdown).await;
    }

    /// What it did so far.
    pub fn stats(&self) -> Stats {
        self.ledger().stats(self.in_flight.now(), self.in_flight.highest())
    }

    /// How it behaves from the next call on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.write() = Arc::new(behaviour);
    }

    fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.read())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }
}
