//! All that most programs which embed the worker need: `use fulfillment_worker::prelude::*`.

pub use async_trait::async_trait;
pub use tokio_util::sync::CancellationToken;

pub use crate::config::Settings;
pub use crate::domain::order::{IdempotencyKey, Order, OrderId};
pub use crate::event::{Event, Observer};
pub use crate::port::fulfiller::{Fulfiller, Outcome};
pub use crate::service::{Service, StartError};
