//! The fulfiller over HTTP, kept up to date with the files that its secrets and certificates are in.

use std::sync::{Arc, Weak};

use super::backends::StartError;
use super::reload::{FileWatch, Reload};
use crate::backend::warehouse_http::HttpFulfiller;
use crate::config::HttpTarget;
use crate::event::{LifecycleEvent, Observers, Reloaded};
use crate::port::fulfiller::Fulfiller;

/// Opens it, and follows the files until it is dropped if there is a `reload`.
pub(super) fn open(
    target: &HttpTarget,
    observers: &Observers,
    reload: Option<&Reload>,
) -> Result<Arc<dyn Fulfiller>, StartError> {
    // First: what changes from now on is noticed.
    let watch = reload.map(|reload| reload.watch(target.files()));
    let target = target.read_again().map_err(StartError::Fulfiller)?;
    let fulfiller = HttpFulfiller::new(&target, observers.clone());
    let fulfiller = Arc::new(fulfiller.map_err(|error| StartError::Fulfiller(error.to_string()))?);
    if let Some(watch) = watch.filter(|_| !target.files().is_empty()) {
        tokio::spawn(follow(Arc::downgrade(&fulfiller), target, watch, observers.clone()));
    }
    Ok(fulfiller)
}

async fn follow(fulfiller: Weak<HttpFulfiller>, target: HttpTarget, mut watch: FileWatch, observers: Observers) {
    loop {
        watch.changed().await;
        let Some(fulfiller) = fulfiller.upgrade() else { return };
        let target = target.clone();
        let reading = move || {
            let target = target.read_again()?;
            fulfiller.reload(&target).map_err(|error| error.to_string())
        };
        let result = tokio::task::spawn_blocking(reading).await.unwrap_or_else(|error| Err(error.to_string()));
        let error = result.err();
        observers.emit(LifecycleEvent::Reloaded { what: Reloaded::Fulfiller, error: error.as_deref() });
    }
}
