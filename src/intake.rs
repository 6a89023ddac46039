//! Stub: reading order files (CSV, JSON Lines) for `submit` and `demo`.
