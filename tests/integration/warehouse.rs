//! The reference warehouse as a process: that it keeps to its own description, ships a key once, and misbehaves as it
//! is told.

mod access;
mod behaviour;
mod contract;
mod keys;
mod misbehaviour;
mod record;
