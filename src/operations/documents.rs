//! What commands print as JSON and the API answers with: the same documents, each with the version of its form
//! (docs/JSON.md).

use serde::Serialize;
use utoipa::ToSchema;

pub mod activity;
pub mod decisions;
pub mod events;
pub mod fleet;
pub mod intake;
pub mod jobs;
pub mod letters;
pub mod orders;
pub mod status;

/// The form of every document. Fields may be added within one.
pub const VERSION: u32 = 1;

/// A document with the version of its form, which stands first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Document<T> {
    /// Within a version, fields may be added, and none is taken away or changes its meaning.
    #[schema(example = 1)]
    version: u32,
    #[serde(flatten)]
    body: T,
}

impl<T> Document<T> {
    /// Of today's form.
    pub fn of(body: T) -> Self {
        Self { version: VERSION, body }
    }
}
