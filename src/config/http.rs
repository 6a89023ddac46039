//! The options of a fulfiller over HTTP.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args};
use url::Url;

use super::credentials;
use super::origin::{ConfigError, Origins};
use super::secret::{Secret, SecretUrl};
use super::settings::{ClientCertificate, HttpTarget};
use super::values;

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
        let token_file = self.fulfiller_token_file;
        let token =
            secret("fulfiller-token", self.fulfiller_token, token_file.as_deref(), credentials::token, origins)?;
        if token.is_some() && !url.username().is_empty() {
            return Err(origins.error("fulfiller-token", "the URL of --fulfiller has a user too; keep one of them"));
        }
        let file = self.fulfiller_secret_file;
        let read = credentials::signing_secrets;
        let signing_secrets = secret("fulfiller-secret", self.fulfiller_secret, file.as_deref(), read, origins)?;
        let client_certificate = match (self.fulfiller_certificate, self.fulfiller_key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(origins.error("fulfiller-certificate", "needs --fulfiller-key")),
            (None, Some(_)) => return Err(origins.error("fulfiller-key", "needs --fulfiller-certificate")),
        };
        Ok(HttpTarget {
            token,
            token_file,
            signing_secrets: signing_secrets.unwrap_or_default(),
            signing_secrets_file: file,
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
fn secret<T>(
    option: &str,
    given: Option<Secret>,
    file: Option<&Path>,
    read: fn(&str) -> Result<T, String>,
    origins: &Origins,
) -> Result<Option<T>, ConfigError> {
    let file_option = format!("{option}-file");
    match (given, file) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(origins.error(&file_option, format!("--{option} is set too; keep one of them"))),
        (Some(text), None) => read(text.expose()).map(Some).map_err(|problem| origins.error(option, problem)),
        (None, Some(path)) => {
            credentials::in_file(path, read).map(Some).map_err(|problem| origins.error(&file_option, problem))
        }
    }
}
