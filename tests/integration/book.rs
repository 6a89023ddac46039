//! The commands of README.md and docs/, run as they stand there, on servers of the tests' own: one test a page as a rule. What
//! a reader replaces, such as an address, is replaced by [`Block::with`](crate::support::pages::Block::with), and nothing else.
//!
//! Caught, when seeded: an option that doesn't exist, in each page; a block that a test leaves out.

mod deciding;
mod first_steps;
mod getting_started;
mod looking;
mod operating;
mod servers;
mod sql;
