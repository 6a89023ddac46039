//! Why the server could not start.

use std::fmt::Display;

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {problem}; {advice}")]
pub struct BindError {
    address: String,
    problem: String,
    advice: String,
}

impl BindError {
    pub(super) fn new(address: impl Display, problem: String, advice: String) -> Self {
        Self { address: address.to_string(), problem, advice }
    }
}
