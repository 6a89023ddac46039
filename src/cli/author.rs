//! The author of a decision.

use clap::Args;

use super::failure::Failure;
use crate::config::environment::Environment;
use crate::config::values;
use crate::port::dead_letters::Decision;

const DECISION: &str = "Decision";

#[derive(Debug, Args)]
pub(super) struct AuthorOptions {
    /// Reason, in your words: kept in the order's timeline, and with a dead letter
    #[arg(long, value_name = "TEXT", value_parser = values::text(500), help_heading = DECISION)]
    why: String,

    /// Author of the decision; if not set, your login name, or user id and host such as `1000@host` where no variable
    /// has one
    #[arg(long, value_name = "NAME", value_parser = values::text(100), help_heading = DECISION)]
    actor: Option<String>,
}

impl AuthorOptions {
    /// The reason, for a server, which knows who decides.
    pub(super) fn why(&self) -> Result<&str, Failure> {
        is_the_login(self.actor.as_ref())?;
        Ok(&self.why)
    }

    /// Fails where nothing says who decides.
    pub(super) fn decision(&self, environment: &Environment) -> Result<Decision, Failure> {
        Ok(Decision { by: author(self.actor.as_ref(), environment)?, reason: self.why.clone() })
    }
}

/// Fails where an author is named, as a server takes the login for it.
pub(super) fn is_the_login(actor: Option<&String>) -> Result<(), Failure> {
    match actor {
        None => Ok(()),
        Some(_) => {
            Err(Failure::Usage("--actor: with --server the author is who logs in there; leave it out".to_owned()))
        }
    }
}

/// Who decides. Fails where nothing says it.
pub(super) fn author(actor: Option<&String>, environment: &Environment) -> Result<String, Failure> {
    let by = actor.cloned().or_else(|| environment.login()).or_else(user_and_host);
    by.ok_or_else(|| Failure::Usage("nothing says who decides; add --actor NAME".to_owned()))
}

/// Whom the system knows where a login name is missing, as in most containers.
#[cfg(unix)]
fn user_and_host() -> Option<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let user = rustix::process::getuid().as_raw();
    Some(if host.is_empty() { format!("user {user}") } else { format!("{user}@{host}") })
}

#[cfg(not(unix))]
fn user_and_host() -> Option<String> {
    None
}
