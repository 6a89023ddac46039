//! The order, its message and its retries: every state and every rule, pure. Nothing here does I/O.

pub mod build_info;
pub mod dead_letter;
pub mod fingerprint;
pub mod label;
pub mod message;
pub mod order;
pub mod retry;
pub mod text;
pub mod trace_context;
pub mod worker_id;
