//! The tables of the store.

use async_trait::async_trait;

use crate::port::store::StoreError;

/// Makes and checks the tables.
///
/// ```
/// # use fulfillment_worker::port::schema::Schema;
/// # use fulfillment_worker::port::store::StoreError;
/// async fn prepare(store: &dyn Schema) -> Result<(), StoreError> {
///     for migration in store.migrate().await? {
///         println!("applied {migration}");
///     }
///     store.check().await
/// }
/// ```
#[async_trait]
pub trait Schema: Send + Sync {
    /// Makes or updates the worker's own tables, and returns the names of the applied migrations. Several workers may
    /// call it at once. Makes nothing where the order API's tables are not found ([`StoreError::Tables`]).
    async fn migrate(&self) -> Result<Vec<String>, StoreError>;

    /// Gives `role` what a worker needs of these tables, and nothing else. [`StoreError::Refused`] where there are no roles.
    async fn grant(&self, role: &str) -> Result<(), StoreError>;

    /// Checks that the database answers and has every table and column: [`StoreError::Schema`] names what is missing of the
    /// worker's own, and [`StoreError::Tables`] what the worker can't work with.
    async fn check(&self) -> Result<(), StoreError>;

    /// Returns why some orders may stay hidden from the worker although [`Schema::check`] finds nothing wrong.
    async fn warning(&self) -> Result<Option<String>, StoreError>;
}
