//! What the registry of workers says of this process.

use crate::config::Settings;
use crate::domain::build_info;
use crate::engine::Process;

/// This one.
pub(super) fn process(settings: &Settings) -> Process {
    let (host, lease) = (host(), settings.backends.lease);
    Process { host, pid: std::process::id(), version: build_info::VERSION.to_owned(), lease }
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
