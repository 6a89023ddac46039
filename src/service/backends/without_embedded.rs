//! What stands for the embedded database in a build without the feature `sqlite`.

use std::path::Path;
use std::time::Duration;

use super::{QueueRoles, StartError, StoreRoles};
use crate::domain::worker_id::WorkerId;

const LACKING: StartError = StartError::Lacking("sqlite", "an embedded queue or store");

#[derive(Default)]
pub(super) struct Embedded(());

impl Embedded {
    pub(super) fn queue(&mut self, _: &Path, _: WorkerId, _: Duration) -> Result<QueueRoles, StartError> {
        Err(LACKING)
    }

    pub(super) fn store(&mut self, _: &Path, _: WorkerId, _: Duration, _: bool) -> Result<StoreRoles, StartError> {
        Err(LACKING)
    }
}

#[cfg(feature = "cli")]
pub(super) fn check(_: &Path) -> Result<(), StartError> {
    Err(LACKING)
}

pub(super) fn migration_sql() -> Result<String, StartError> {
    Err(LACKING)
}
