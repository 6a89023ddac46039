//! The tables of the store.

use async_trait::async_trait;

use crate::port::store::StoreError;

/// Makes and checks the tables.
#[async_trait]
pub trait Schema: Send + Sync {
    /// Makes or updates the worker's own tables, and returns the names of the applied migrations. Several workers may
    /// call it at once.
    async fn migrate(&self) -> Result<Vec<String>, StoreError>;

    /// Checks that the database answers and has every table and column: [`StoreError::Schema`] names what is missing.
    async fn check(&self) -> Result<(), StoreError>;
}
