//! The operator's page in a real browser. Needs Chromium with its driver, Redis, Postgres and Python.

mod access;
mod browser;
mod looks;
mod screenshots;
mod served;
mod verdict;
