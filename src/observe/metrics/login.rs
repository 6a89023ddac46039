//! Logins, and the file with the users.

use enum_map::Enum;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;

use super::labelled::Labelled;
use super::registering::{Count, metrics};

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum LoginFailure {
    /// No such user, or another password.
    Wrong,
    /// Too many wrong ones before it, from the same place.
    TooMany,
    /// As many passwords as may be were being verified.
    Busy,
}

metrics! {
    /// Who was not let in.
    #[derive(Debug, Clone)]
    pub struct LoginMetrics {
        /// Logins that were refused, by reason
        failures: Labelled<LoginFailure, Counter> = "fulfillment_login_failures", Labelled::new("reason");
        /// 1 if the web configuration in force is the one in the file, 0 if that can't be used
        reload: Count = "fulfillment_web_config_last_reload_successful", Count::default();
    }
}

impl LoginMetrics {
    /// Counts a login that was refused.
    pub fn failed(&self, why: LoginFailure) {
        self.failures[why].inc();
    }

    /// Whether the last change of the file is in force.
    pub fn reloaded(&self, is_in_force: bool) {
        self.reload.set(u64::from(is_in_force));
    }
}

/// Shown by nobody.
impl Default for LoginMetrics {
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}
