//! Stands for the export in a build without the feature `otlp`: it never starts.

use std::convert::Infallible;
use std::time::Duration;

use super::attempt::Tracer;
pub use super::variables::{TraceError, read};
use crate::config::Settings;
use crate::config::environment::Environment;
use crate::event::Observers;

/// There is none.
pub struct Export(Infallible);

impl Export {
    /// Is never called.
    pub async fn flush(self, _: Duration) {
        match self.0 {}
    }
}

/// Makes no span.
///
/// # Errors
/// [`TraceError::Lacking`] if `environment` asks for traces; else as with the feature.
pub fn start(
    _: &Settings,
    environment: &Environment,
    _: &str,
    _: &Observers,
) -> Result<(Tracer, Option<Export>), TraceError> {
    for warning in read(environment)?.warnings {
        tracing::warn!("{warning}");
    }
    Ok((Tracer::default(), None))
}
