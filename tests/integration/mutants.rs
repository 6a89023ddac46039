//! Bugs on purpose, and for each one a scene that it doesn't survive: real servers, real workers, faults that come at
//! the very moment at which the bug matters. `make mutants` prints who caught what.
//!
//! Each scene is played twice: a worker without the bug must come through with every promise kept, then a worker with
//! it must break the one that is named. Nothing looks into a worker: rows, timelines, the warehouse's record and the
//! keys in Redis tell.
//!
//! The reconciler is off where it isn't the point. It makes up for what others lose, and must not hide what the worker
//! loses by itself.

mod bounds;
mod controls;
mod gone_rows;
mod hunt;
mod jobs;
mod live_work;
mod lost_orders;
mod low_water_mark;
mod operators;
mod repeated_work;
mod scene;
mod stale_workers;
mod timelines;
