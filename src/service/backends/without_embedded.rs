//! What stands for the embedded database in a build without the feature `sqlite`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::WorkerId;
use crate::port::queue_maintenance::Inventory;
use crate::port::reconciliation::Audit;

const LACKING: StartError = StartError::Lacking("sqlite", "an embedded queue or store");

#[derive(Default)]
pub(super) struct Embedded(());

impl Embedded {
    pub(super) fn queue(&mut self, _: &Path, _: WorkerId, _: Duration) -> Result<Arc<dyn Inventory>, StartError> {
        Err(LACKING)
    }

    pub(super) fn store(&mut self, _: &Path, _: WorkerId, _: Duration, _: bool) -> Result<Arc<dyn Audit>, StartError> {
        Err(LACKING)
    }
}

pub(super) fn migration_sql() -> Result<String, StartError> {
    Err(LACKING)
}
