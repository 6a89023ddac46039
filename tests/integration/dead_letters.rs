//! The commands for dead letters: the real binary on an embedded database, and on Redis and Postgres with a worker and a
//! warehouse beside it.

mod deciding;
mod looking;
pub(crate) mod place;
mod redriving;
mod wording;
