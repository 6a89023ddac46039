//! The first bytes to a server: asks for TLS as `sslmode` has it, and watches what the server asks for without it.
//!
//! The driver would send a password in clear text to whoever asks for one. So it is told that TLS begins at once
//! (`sslnegotiation=direct`), which leaves the first bytes to the connector here, also for requests to cancel: it sends the
//! SSLRequest (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>), and hands over a stream that is
//! watched.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::greeting::NamedProcess;
use super::refusal::Refusal;
use super::tls::TlsMode;
use super::watched::Watched;
use crate::backend::loopback::{is_loopback, is_loopback_address};
use crate::backend::pem_files::Reloaded;
use crate::config::require_auth::RequireAuth;

/// Length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

type RustlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// Asks for TLS, and goes on without where the server has none and `sslmode` allows that.
    Ask,
    /// Asks for TLS, and insists on it.
    Insist,
    /// Doesn't ask.
    Plain,
}

/// Makes the connector to a server.
#[derive(Clone)]
pub(super) struct MakeConnector {
    /// `None` where TLS is never asked for.
    tls: Option<Arc<Reloaded<ClientConfig>>>,
    mode: TlsMode,
    direct: bool,
    auth: Arc<RequireAuth>,
    beginning: Beginning,
    /// Where the connection leads, if that is not left to the host's name.
    address: Option<IpAddr>,
    named: NamedProcess,
}

impl MakeConnector {
    /// `direct` begins with TLS, without a question. As it is, for requests to cancel, which have no answer: see
    /// [`Self::ways`] for connections.
    pub(super) fn new(
        tls: Option<Arc<Reloaded<ClientConfig>>>,
        mode: TlsMode,
        direct: bool,
        auth: RequireAuth,
    ) -> Self {
        Self {
            tls,
            mode,
            direct,
            auth: Arc::new(auth),
            beginning: Beginning::Ask,
            address: None,
            named: NamedProcess::default(),
        }
    }

    /// To this server: at first, and once it has refused that (see [`wants_the_other_way`]).
    pub(super) fn ways(&self, server: &Config) -> (Self, Option<Self>) {
        let address = server.get_hostaddrs().first().copied();
        let way = |beginning| Self { beginning, address, named: NamedProcess::default(), ..self.clone() };
        match self.mode {
            _ if self.tls.is_none() => (way(Beginning::Ask), None),
            TlsMode::Allow => (way(Beginning::Plain), Some(way(Beginning::Insist))),
            TlsMode::Prefer => (way(Beginning::Ask), Some(way(Beginning::Plain))),
            _ => (way(Beginning::Ask), None),
        }
    }

    /// The process that the server names on the connection that is made by this.
    pub(super) fn named_process(&self) -> NamedProcess {
        self.named.clone()
    }

    /// Whether this one goes by TLS if at all.
    pub(super) fn insists(&self) -> bool {
        self.beginning == Beginning::Insist
    }
}

impl MakeTlsConnect<Socket> for MakeConnector {
    type Stream = Stream;
    type TlsConnect = Connector;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Connector> {
        Ok(Connector { make: self.clone(), host: host.to_owned() })
    }
}

/// Begins the connection to one server.
pub(super) struct Connector {
    make: MakeConnector,
    host: String,
}

impl TlsConnect<Socket> for Connector {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(self.negotiate(socket))
    }
}

impl Connector {
    async fn negotiate(self, mut socket: Socket) -> io::Result<Stream> {
        let Self { make, host } = self;
        let MakeConnector { tls, mode, direct, auth, beginning, address, named } = make;
        let Some(tls) = tls else { return Ok(Stream::Plain(Watched::plain(socket, auth, named))) };
        if beginning != Beginning::Plain && (direct || offers_tls(&mut socket).await?) {
            let mut tls = MakeRustlsConnect::new(ClientConfig::clone(&*tls.current().await));
            let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, &host).map_err(io::Error::other)?;
            let stream = tls.connect(socket).await.map_err(|error| if direct { explained(error) } else { error })?;
            return Ok(Stream::Encrypted(Watched::encrypted(Box::new(stream), auth, named)));
        }
        if mode.requires_tls() || beginning == Beginning::Insist {
            return Err(io::Error::other(Refusal::NoTls(mode)));
        }
        if !is_loopback(&host) || !address.is_none_or(is_loopback_address) {
            warn_of_no_tls(&host, beginning);
        }
        Ok(Stream::Plain(Watched::plain(socket, auth, named)))
    }
}

/// An older server takes TLS without a question for nonsense, and says nothing.
fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            io::Error::new(error.kind(), format!("{error}; `sslnegotiation=direct` needs Postgres 17 or later"))
        }
        _ => error,
    }
}

/// Whether a server that refused a connection might take the `other` one: it has rules for one kind alone, as `hostssl` and
/// `hostnossl` are. TLS is also tried where it may help otherwise: a pooler refuses with one SQLSTATE whatever it refuses, and a
/// password in clear text is sent by nothing else.
pub(super) fn wants_the_other_way(error: &tokio_postgres::Error, other: &MakeConnector) -> bool {
    let has_code = |code| error.code() == Some(&code);
    let by_tls =
        || has_code(SqlState::PROTOCOL_VIOLATION) || matches!(Refusal::cause_of(error), Some(Refusal::Cleartext));
    has_code(SqlState::INVALID_AUTHORIZATION_SPECIFICATION) || other.insists() && by_tls()
}

/// Reads one byte and no more: what follows belongs to the handshake.
async fn offers_tls(socket: &mut Socket) -> io::Result<bool> {
    socket.write_all(&SSL_REQUEST).await?;
    socket.flush().await?;
    match socket.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        // `E`, from a server that has no process to spare. Its text may not be trusted yet.
        _ => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the server answered a request for TLS with something else"))
        }
    }
}

/// Once per process: the next connections are no better.
fn warn_of_no_tls(host: &str, beginning: Beginning) {
    static WARNED: Once = Once::new();
    let why = if beginning == Beginning::Plain { "takes others" } else { "offers no TLS" };
    WARNED.call_once(|| {
        tracing::warn!(
            "the connection to Postgres at {host} is not encrypted, as the server {why}: whoever is between can \
             read and change orders; `sslmode=verify-full` in the database URL insists on TLS with a certificate that is \
             verified, and `sslmode=disable` says that none is meant"
        );
    });
}

/// A connection over TCP.
pub(super) enum Stream {
    /// By TLS.
    Encrypted(Watched<Box<RustlsStream>>),
    /// As it is.
    Plain(Watched<Socket>),
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Encrypted(stream) => stream.inner.channel_binding(),
            Self::Plain(_) => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => stream.poll_read(cx, buffer),
            Self::Plain(stream) => stream.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(&mut stream.inner).poll_write(cx, buffer),
            Self::Plain(stream) => Pin::new(&mut stream.inner).poll_write(cx, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(&mut stream.inner).poll_flush(cx),
            Self::Plain(stream) => Pin::new(&mut stream.inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(&mut stream.inner).poll_shutdown(cx),
            Self::Plain(stream) => Pin::new(&mut stream.inner).poll_shutdown(cx),
        }
    }
}
