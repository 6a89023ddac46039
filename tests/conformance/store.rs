//! What every store must do. Cases are to come.
