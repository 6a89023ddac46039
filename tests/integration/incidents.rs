//! What bit others. Each test is an incident of another project, named after its thread, with what happened there and
//! what holds here; `docs/INCIDENTS.md` is the list. Real servers, and the real binary where it is about processes.

mod blocked_threads;
mod leases;
mod redis_restarts;
mod rescue;
