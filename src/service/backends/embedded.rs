//! Queue and store in the embedded database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{QueueRoles, StartError, StoreRoles};
use crate::backend::sqlite::database::{self, Database, OpenError};
use crate::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use crate::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use crate::domain::worker_id::WorkerId;

/// The database, which is opened once where queue and store share its file.
#[derive(Default)]
pub(super) struct Embedded(Option<Database>);

impl Embedded {
    pub(super) fn queue(&mut self, path: &Path, worker: WorkerId, lease: Duration) -> Result<QueueRoles, StartError> {
        QueueRoles::of(Arc::new(SqliteQueue::new(self.database(path)?, SqliteQueueOptions { lease, worker })))
    }

    pub(super) fn store(
        &mut self,
        path: &Path,
        worker: WorkerId,
        lease: Duration,
        events: bool,
    ) -> Result<StoreRoles, StartError> {
        StoreRoles::of(Arc::new(SqliteStore::new(self.database(path)?, SqliteStoreOptions { worker, lease, events })))
    }

    fn database(&mut self, path: &Path) -> Result<Database, OpenError> {
        match &self.0 {
            Some(database) if database.path() == path => Ok(database.clone()),
            _ => Ok(self.0.insert(Database::open(path)?).clone()),
        }
    }
}

#[cfg(feature = "cli")]
pub(super) fn check(path: &Path) -> Result<(), StartError> {
    Ok(database::check(path)?)
}

pub(super) fn migration_sql() -> Result<String, StartError> {
    Ok(database::migration_sql())
}
