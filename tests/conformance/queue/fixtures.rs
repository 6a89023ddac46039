//! The backends that the cases run against.
