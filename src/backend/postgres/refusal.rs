//! What we refuse to do with a server, and how to find that behind the driver's errors.

use std::error::Error;

use super::tls::TlsMode;

/// What is not done with a server, whatever it asks for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It has no TLS.
    #[error(
        "the server does not support TLS, and `sslmode={0}` in the database URL asks for it; switch TLS on there (`ssl = on` \
         in postgresql.conf)"
    )]
    NoTls(TlsMode),
    /// It wants to see the password, and so would everybody between.
    #[error(
        "the server asks for the password in clear text over a connection that is not encrypted, so it was not sent; switch \
         TLS on there (`ssl = on` in postgresql.conf), or have it ask by `scram-sha-256` in pg_hba.conf"
    )]
    Cleartext,
    /// It asks for something else than `require_auth` names.
    #[error("the server asks for authentication by `{0}`, which `require_auth` in the database URL does not allow")]
    Method(&'static str),
}

impl Refusal {
    /// That which an error comes from.
    pub(super) fn cause_of(error: &tokio_postgres::Error) -> Option<&Self> {
        cause_in_io(error, |cause| cause.downcast_ref())
    }
}

/// What caused an error, the nearest cause first.
pub(super) fn causes(error: &tokio_postgres::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// The first cause that `find` knows, also where an `io::Error` carries it: that shows what it wraps, but does not call it
/// its source.
pub(super) fn cause_in_io<'a, T>(
    error: &'a tokio_postgres::Error,
    find: impl Fn(&'a (dyn Error + 'static)) -> Option<T>,
) -> Option<T> {
    causes(error).find_map(|cause| {
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map_or_else(|| find(cause), |wrapped| find(wrapped))
    })
}
