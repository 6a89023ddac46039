//! The implementations of [`crate::port`], one server a folder.

pub mod postgres;
pub mod redis;
pub mod simulated;
pub mod sqlite;
pub mod warehouse_http;
