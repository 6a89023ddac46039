//! The implementations of [`crate::port`], one server a folder.

mod loopback;
mod migration;
mod pem_files;
pub mod postgres;
pub mod redis;
pub mod simulated;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "http-fulfiller")]
pub mod warehouse_http;
