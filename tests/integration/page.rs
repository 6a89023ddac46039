//! The operator's page of the real binary, as a browser without scripts asks for it, and in a real browser. Needs Chromium with its
//! driver, Redis, Postgres and Python.

mod access;
mod browser;
mod clicks;
mod day;
mod dead_letters;
mod desk;
mod fleet;
mod jobs;
mod live;
mod looks;
mod numbers;
mod orders;
mod reading;
mod screenshots;
mod served;
mod verdict;
