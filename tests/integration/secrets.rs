//! Secrets: given in files and as credentials, changed while the worker runs, and shown nowhere.

mod files;
mod planted;
mod reload;
