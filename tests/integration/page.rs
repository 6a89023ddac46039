//! The operator's page as it comes over HTTP.

mod jobs;
mod orders;
