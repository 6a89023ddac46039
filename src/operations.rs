//! What people do to orders, from the command line.

pub mod import;
pub mod redrive;
pub mod verify;
