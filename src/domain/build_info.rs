//! What this program was built from, as `build.rs` found it.

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version, and in brackets the commit and its day, or why they are not known.
pub const LONG_VERSION: &str = env!("FULFILLMENT_BUILD_VERSION");

/// The commit, with `-dirty` behind it if the sources differed from it; `unknown` in a debug build, and where neither git
/// nor `FULFILLMENT_WORKER_REVISION` told it.
pub const REVISION: &str = env!("FULFILLMENT_BUILD_REVISION");

/// The commit's day in UTC, or that of `SOURCE_DATE_EPOCH`, as `2026-11-27`; `unknown` where nothing told it.
pub const DATE: &str = env!("FULFILLMENT_BUILD_DATE");
