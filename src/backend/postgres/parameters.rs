//! The parameters of a URL that the driver doesn't know, or takes for something else than libpq does.

use std::path::PathBuf;
use std::time::Duration;

use super::tls::{TlsMode, TlsParameters};
use crate::backend::pem_files::Named;
use crate::config::SecretUrl;
use crate::config::require_auth::RequireAuth;
use crate::port::store::StoreError;

/// See the module.
#[derive(Default)]
pub(super) struct Ours {
    pub(super) tls: TlsParameters,
    pub(super) auth: RequireAuth,
    pub(super) tcp_user_timeout: Option<Duration>,
    pub(super) keepalives_count: Option<u32>,
    /// Whether the URL says what kind of server is wanted.
    pub(super) has_target: bool,
}

impl Ours {
    /// And the driver's, as they stand in the URL.
    pub(super) fn of(url: &SecretUrl) -> Result<(Self, Vec<&str>), StoreError> {
        let mut ours = Self::default();
        let mut others = Vec::new();
        let mut client = [None, None];
        for parameter in url.expose().query().unwrap_or_default().split('&').filter(|one| !one.is_empty()) {
            let wrong = |problem: &str| invalid_url(url, Some(problem));
            let number = |value: &str| value.parse::<u32>().map_err(|_| wrong("a number of its parameters is none"));
            match parameter.split_once('=') {
                Some(("sslmode", name)) => {
                    ours.tls.mode = TlsMode::named(name).ok_or_else(|| wrong(TlsMode::EXPECTED))?;
                }
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", path)) => ours.tls.files.authorities = Some(file("sslrootcert", path)),
                Some(("sslcert", path)) => client[0] = Some(file("sslcert", path)),
                Some(("sslkey", path)) => client[1] = Some(file("sslkey", path)),
                Some(("ssl_min_protocol_version", version)) => ours.tls.least_is_1_3 = version == "TLSv1.3",
                Some(("ssl_max_protocol_version", version)) => ours.tls.most_is_1_2 = version == "TLSv1.2",
                Some(("require_auth", list)) => {
                    ours.auth = RequireAuth::parse(&decoded(list)).map_err(|problem| wrong(&problem))?;
                }
                // Milliseconds. The driver takes them for seconds; 0 leaves it to us.
                Some(("tcp_user_timeout", value)) => {
                    let timeout = Duration::from_millis(number(value)?.into());
                    ours.tcp_user_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
                }
                Some(("keepalives_count", value)) => {
                    ours.keepalives_count = Some(number(value)?).filter(|count| *count > 0)
                }
                // A server that can't be written although it is no standby is of no use either.
                Some(("target_session_attrs", "primary")) => {
                    ours.has_target = true;
                    others.push("target_session_attrs=read-write");
                }
                name => {
                    ours.has_target |= matches!(name, Some(("target_session_attrs", _)));
                    others.push(parameter);
                }
            }
        }
        ours.tls.files.refuses_open_keys = true;
        ours.tls.files.client = match client {
            [Some(certificate), Some(key)] => Some((certificate, key)),
            [None, None] => None,
            _ => return Err(invalid_url(url, Some("it needs both of sslcert and sslkey"))),
        };
        Ok((ours, others))
    }
}

fn file(name: &'static str, path: &str) -> Named {
    Named { name, path: PathBuf::from(decoded(path)) }
}

fn decoded(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// Says so of the URL, without its password.
pub(super) fn invalid_url(url: &SecretUrl, problem: Option<&str>) -> StoreError {
    StoreError::Refused(format!(
        "the database URL {url} can't be understood: {}; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with \
         reserved characters of user and password percent-encoded",
        problem.unwrap_or("its parts don't fit together")
    ))
}
