//! The operator's page of the real binary over plain HTTP, as a browser without scripts asks for it.

mod fleet;
