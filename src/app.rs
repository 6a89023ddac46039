//! Stub: signatures of what comes.
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::WorkerId;
use crate::config::{Backends, Settings};
use crate::event::Observer;
use crate::queue::Queue;
use crate::store::OrderStore;

/// Stub.
#[derive(Clone)]
pub struct Opened {
    /// Where messages come from.
    pub queue: Arc<dyn Queue>,
    /// Where orders live.
    pub store: Arc<dyn OrderStore>,
}

/// Stub.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A server did not answer in time.
    #[error("gave up after waiting {0:?} (--wait): {1}")]
    Unreachable(Duration, String),
}

/// Stub.
///
/// # Errors
/// Always.
pub fn open(_: &Backends, _: &WorkerId) -> Result<Opened, StartError> {
    Err(StartError::Unreachable(Duration::ZERO, "stub".to_owned()))
}

/// Stub.
///
/// # Errors
/// Always.
pub async fn wait_ready(_: &Opened, _: bool, wait: Option<Duration>, _: impl FnMut(&str)) -> Result<(), StartError> {
    Err(StartError::Unreachable(wait.unwrap_or_default(), "stub".to_owned()))
}

/// Stub.
///
/// # Errors
/// Always.
pub async fn run(_: Settings, _: Vec<Arc<dyn Observer>>, _: CancellationToken) -> Result<(), StartError> {
    Err(StartError::Unreachable(Duration::ZERO, "stub".to_owned()))
}
