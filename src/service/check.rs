//! What the service would refuse at its start, found without starting it.

use super::{StartError, backends, open_fulfiller};
use crate::admin;
use crate::config::Settings;
use crate::event::Observers;

/// Makes what the service is made of by the functions that the service itself calls, and drops it again. Contacts no server,
/// opens no database, and leaves open whether the port is free: the worker that has it may be the one that is asked about.
/// Returns what `run` would warn of.
///
/// # Errors
/// What [`super::Service::run`] would end with.
pub(crate) fn check(settings: &Settings) -> Result<Vec<String>, StartError> {
    open_fulfiller(&settings.fulfiller, &Observers::default(), None)?;
    admin::check(&settings.listen, &settings.admin_socket)?;
    let warnings = admin::Access::check(&settings.access)?;
    backends::check(&settings.backends)?;
    Ok(warnings)
}
