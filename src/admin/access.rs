//! Who may do what, and behind which certificate.
//!
//! Everybody on the network may look, unless the file of `--web-config` has users: then whoever logs in may. Only operators
//! change anything: users whom `--operators` names, clients of the admin socket, and the session of a one-time link. No
//! address gives a right, as behind a proxy everybody has the same one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::ServerConfig;

use crate::config::AccessSettings;
use crate::observe::metrics::LoginMetrics;
use crate::threads;

mod attempts;
mod bucket;
mod client_certificates;
mod files;
mod gate;
mod login;
mod origin;
mod session;
mod tls;
mod users;
mod web_config;

use files::Fingerprint;
pub(super) use gate::{Client, gate, is_changing};
pub(crate) use gate::{Operator, Viewer, on_behalf};
use login::Logins;
pub use session::OneTimeToken;
use session::Session;
use web_config::{Loaded, WebConfig};

/// How often the files are looked at. A change is in force once it has stood still for as long.
const INTERVAL: Duration = Duration::from_secs(1);

/// The rights of clients.
#[derive(Debug, Default)]
pub struct Access {
    config: RwLock<Arc<WebConfig>>,
    logins: Logins,
    session: Option<Session>,
}

/// The web configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// What is wrong, and in which line or field of the file.
    #[error("--web-config: {}: {problem}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Without any secret.
        problem: String,
    },
    /// Names the option's problem.
    #[error("--operators: {0}")]
    Operators(String),
    /// The thread that looks after the files can't be started.
    #[error("--web-config: the file can't be looked after: {0}")]
    Thread(#[from] std::io::Error),
}

impl Access {
    /// Reads the file that `settings` name, if they do, and follows its changes and those of the files in it until the
    /// returned value is dropped. With a `token`, whoever has it gets a session that may do everything.
    ///
    /// # Errors
    /// What keeps the settings from being used.
    pub fn open(
        settings: &AccessSettings,
        token: Option<OneTimeToken>,
        metrics: LoginMetrics,
    ) -> Result<Arc<Self>, AccessError> {
        let (config, followed) = match read(settings)? {
            Some((config, warnings, followed)) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                (config, Some(followed))
            }
            None => Default::default(),
        };
        let session = token.as_ref().map(Session::new);
        let access =
            Arc::new(Self { config: RwLock::new(Arc::new(config)), logins: Logins::new(metrics.clone()), session });
        if let Some(mut followed) = followed {
            let access = Arc::downgrade(&access);
            threads::spawn("web-config", move || followed.follow(&access, &metrics))?;
        }
        Ok(access)
    }

    /// What holds otherwise than it is written.
    ///
    /// # Errors
    /// As [`Self::open`].
    #[cfg(feature = "cli")]
    pub fn check(settings: &AccessSettings) -> Result<Vec<String>, AccessError> {
        Ok(read(settings)?.map(|(_, warnings, _)| warnings).unwrap_or_default())
    }

    /// For the next connection over the network; `None` for one without TLS. Never changes from one to the other.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.config().tls.clone()
    }

    fn config(&self) -> Arc<WebConfig> {
        Arc::clone(&self.config.read())
    }

    /// Puts a version in the place of the one in force.
    ///
    /// # Errors
    /// Why the one in force stays.
    fn replace(&self, new: WebConfig) -> Result<(), String> {
        let mut config = self.config.write();
        if config.tls.is_some() != new.tls.is_some() {
            return Err("TLS is turned on or off by a restart only".to_owned());
        }
        // Most likely a file that is being written, or that a full disk has cut off.
        if !config.users.is_empty() && new.users.is_empty() {
            return Err("there are no users any more, which takes a restart".to_owned());
        }
        if config.requires_certificates && !new.requires_certificates {
            return Err("clients need no certificate any more, which takes a restart".to_owned());
        }
        *config = Arc::new(new);
        Ok(())
    }
}

type Read = (WebConfig, Vec<String>, Followed);

fn read(settings: &AccessSettings) -> Result<Option<Read>, AccessError> {
    let AccessSettings { web_config, operators } = settings;
    let Some(path) = web_config else {
        let problem = "needs --web-config with these users".to_owned();
        return if operators.is_empty() { Ok(None) } else { Err(AccessError::Operators(problem)) };
    };
    let (loaded, loaded_print) = settled(path, operators);
    let Loaded { files, result, warnings } = loaded;
    let config = result.map_err(|problem| AccessError::File { file: path.clone(), problem })?;
    if let [name, ..] = config.users.unknown_operators() {
        let users = config.users.names().collect::<Vec<_>>().join(", ");
        let users = if users.is_empty() { "there are none".to_owned() } else { format!("there are: {users}") };
        let problem = format!("`{name}` is no user in {}; {users}", path.display());
        return Err(AccessError::Operators(problem));
    }
    let warnings = warnings.into_iter().map(|warning| format!("{}: {warning}", path.display())).collect();
    let (path, operators) = (path.clone(), operators.clone());
    Ok(Some((config, warnings, Followed { path, operators, files, seen: loaded_print.clone(), loaded: loaded_print })))
}

/// Reads the files, and tells their state from before. The first reading tells which files there are.
fn settled(path: &Path, operators: &[String]) -> (Loaded, Fingerprint) {
    let files = web_config::load(path, operators).files;
    let fingerprint = Fingerprint::of(&files);
    (web_config::load(path, operators), fingerprint)
}

/// The files, and the states of them that matter.
#[derive(Debug)]
struct Followed {
    path: PathBuf,
    operators: Vec<String>,
    files: Vec<PathBuf>,
    loaded: Fingerprint,
    /// At the last look.
    seen: Fingerprint,
}

impl Followed {
    fn follow(&mut self, access: &Weak<Access>, metrics: &LoginMetrics) {
        loop {
            thread::sleep(INTERVAL);
            let Some(access) = access.upgrade() else { return };
            if !self.has_changed() {
                continue;
            }
            match self.reload(&access) {
                Ok(warnings) => {
                    let file = self.path.display();
                    tracing::info!(%file, "the web configuration has changed and is in force");
                    warnings.iter().for_each(|warning| tracing::warn!("{file}: {warning}"));
                    metrics.reloaded(true);
                }
                Err(error) => {
                    let file = self.path.display();
                    tracing::error!(
                        %file, %error, "the web configuration has changed and can't be used; the former one stays in force"
                    );
                    metrics.reloaded(false);
                }
            }
        }
    }

    /// Whether the files differ from those that were loaded, and nobody has written to them since the last look.
    fn has_changed(&mut self) -> bool {
        let now = Fingerprint::of(&self.files);
        let stands_still = now == self.seen;
        self.seen = now;
        stands_still && self.seen != self.loaded
    }

    fn reload(&mut self, access: &Access) -> Result<Vec<String>, String> {
        let (loaded, fingerprint) = settled(&self.path, &self.operators);
        let Loaded { files, result, mut warnings } = loaded;
        (self.files, self.seen, self.loaded) = (files, fingerprint.clone(), fingerprint);
        let config = result?;
        let gone = config.users.unknown_operators();
        warnings.extend(gone.iter().map(|name| format!("--operators: `{name}` is no user any more")));
        access.replace(config).map(|()| warnings)
    }
}
