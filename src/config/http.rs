//! The options of a fulfiller over HTTP.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args};
use url::Url;

use super::origin::{ConfigError, Origins};
use super::secret::{Secret, SecretUrl};
use super::settings::{ClientCertificate, HttpTarget};
use super::target;
use super::values;

/// The largest file with a secret, in bytes.
const MAX_SECRET_FILE: u64 = 64 * 1024;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fulfiller over HTTP")]
pub(super) struct HttpOptions {
    /// Bearer token; prefer the environment or a file, as other users can see command lines
    #[arg(long, value_name = "TOKEN")]
    fulfiller_token: Option<Secret>,

    /// File with the bearer token
    #[arg(long, value_name = "FILE")]
    fulfiller_token_file: Option<PathBuf>,

    /// Signing secrets, each whsec_ and base64, separated by blanks, newest first
    #[arg(long, value_name = "SECRETS")]
    fulfiller_secret: Option<Secret>,

    /// File with the signing secrets
    #[arg(long, value_name = "FILE")]
    fulfiller_secret_file: Option<PathBuf>,

    /// PEM file of the certificate authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    fulfiller_ca: Option<PathBuf>,

    /// PEM file of the client certificate and its chain, for mutual TLS
    #[arg(long, value_name = "FILE")]
    fulfiller_certificate: Option<PathBuf>,

    /// PEM file of the client certificate's private key
    #[arg(long, value_name = "FILE")]
    fulfiller_key: Option<PathBuf>,

    /// Largest number of concurrent calls; --concurrency if not set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    fulfiller_concurrency: Option<u32>,

    /// Largest number of calls per second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    fulfiller_rate: Option<u32>,

    /// Largest share of repeated calls while the warehouse fails, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = values::share)]
    fulfiller_retry_budget: f64,

    /// Whether the fulfiller may have a link-local or cloud metadata address
    #[arg(long, action = ArgAction::Set, default_value = "off",
          value_parser = values::switch("Allow them", "Refuse them"))]
    fulfiller_link_local: bool,
}

impl HttpOptions {
    /// Reads the files of secrets. `call_timeout` must be shorter than `lease`, after which another worker may call.
    pub(super) fn resolve(
        self,
        url: Url,
        call_timeout: Duration,
        lease: Duration,
        origins: &Origins,
    ) -> Result<HttpTarget, ConfigError> {
        if call_timeout >= lease {
            let [timeout, lease] = [call_timeout, lease].map(humantime::format_duration);
            let problem = format!("{timeout} must be shorter than --lease {lease} when fulfilling over HTTP");
            return Err(origins.error("call-timeout", problem));
        }
        let token = secret("fulfiller-token", self.fulfiller_token, self.fulfiller_token_file, origins)?;
        if token.is_some() && !url.username().is_empty() {
            return Err(origins.error("fulfiller-token", "the URL of --fulfiller has a user too; keep one of them"));
        }
        if token.as_ref().is_some_and(|token| !token.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(origins.error("fulfiller-token", "has blanks or characters that an HTTP header can't hold"));
        }
        let secrets = secret("fulfiller-secret", self.fulfiller_secret, self.fulfiller_secret_file, origins)?;
        let signing_secrets = secrets.map_or_else(Vec::new, |secrets| {
            secrets.expose().split_whitespace().map(|secret| Secret::new(secret.to_owned())).collect()
        });
        target::signing_secrets(&signing_secrets).map_err(|problem| origins.error("fulfiller-secret", problem))?;
        let client_certificate = match (self.fulfiller_certificate, self.fulfiller_key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(origins.error("fulfiller-certificate", "needs --fulfiller-key")),
            (None, Some(_)) => return Err(origins.error("fulfiller-key", "needs --fulfiller-certificate")),
        };
        Ok(HttpTarget {
            token,
            signing_secrets,
            ca: self.fulfiller_ca,
            client_certificate,
            concurrency: self.fulfiller_concurrency.and_then(|most| NonZeroUsize::new(usize::try_from(most).ok()?)),
            rate: self.fulfiller_rate.and_then(NonZeroU32::new),
            retry_budget: self.fulfiller_retry_budget,
            allow_link_local: self.fulfiller_link_local,
            ..HttpTarget::new(SecretUrl::new(url), call_timeout)
        })
    }
}

/// A secret given by its option or in a file.
fn secret(
    option: &str,
    given: Option<Secret>,
    file: Option<PathBuf>,
    origins: &Origins,
) -> Result<Option<Secret>, ConfigError> {
    let file_option = format!("{option}-file");
    let text = match (given, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(origins.error(&file_option, format!("--{option} is set too; keep one of them")));
        }
        (Some(text), None) => text.expose().trim().to_owned(),
        (None, Some(path)) => {
            let failed = |problem| origins.error(&file_option, format!("{}: {problem}", path.display()));
            read_secret(&path).map_err(failed)?
        }
    };
    if text.is_empty() {
        return Err(origins.error(option, "is empty"));
    }
    Ok(Some(Secret::new(text)))
}

/// The text of the file without blanks and line ends around it.
fn read_secret(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_SECRET_FILE {
        return Err(format!("{size} bytes, more than the {MAX_SECRET_FILE} of the largest secret"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(text.trim().to_owned())
}
