//! Requests of the API.

use std::time::Duration;

/// A request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiEvent<'a> {
    /// It was answered.
    Answered {
        /// Of the request.
        method: &'a str,
        /// The route's path, with its parameters by name; `None` where there is no such route.
        route: Option<&'a str>,
        /// Of the answer.
        status: u16,
        /// Until its answer.
        took: Duration,
    },
    /// An operator sent a decision, or a dry run of one, and it was not refused.
    Decided {
        /// The operator.
        by: &'a str,
        /// As it came.
        path: &'a str,
        /// Of the answer.
        status: u16,
    },
}
