//! The fulfiller over HTTP, in a build without it.

use std::sync::Arc;

use super::backends::StartError;
use super::reload::Reload;
use crate::config::HttpTarget;
use crate::event::Observers;
use crate::port::fulfiller::Fulfiller;

pub(super) fn open(_: &HttpTarget, _: &Observers, _: Option<&Reload>) -> Result<Arc<dyn Fulfiller>, StartError> {
    Err(StartError::Lacking("http-fulfiller", "--fulfiller with a URL"))
}
