//! The first bytes to a server: asks for TLS as `sslmode` has it, and watches what the server asks for without it.
//!
//! The driver would send a password in clear text to whoever asks for one. So it is told that TLS begins at once
//! (`sslnegotiation=direct`), which leaves the first bytes to the connector here, also for requests to cancel: it sends the
//! SSLRequest (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>), and where no TLS comes of it,
//! hands over a stream that is watched.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::TlsMode;

/// Length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type RustlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

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
}

/// Makes the connector to a server.
#[derive(Clone)]
pub(super) struct MakeConnector {
    /// `None` where TLS is never asked for.
    tls: Option<MakeRustlsConnect>,
    mode: TlsMode,
    direct: bool,
}

impl MakeConnector {
    /// `direct` begins with TLS, without a question.
    pub(super) fn new(tls: Option<MakeRustlsConnect>, mode: TlsMode, direct: bool) -> Self {
        Self { tls, mode, direct }
    }
}

impl MakeTlsConnect<Socket> for MakeConnector {
    type Stream = Stream;
    type TlsConnect = Connector;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Connector> {
        let tls = self.tls.as_mut().map(|tls| MakeTlsConnect::<Socket>::make_tls_connect(tls, host)).transpose();
        let tls = tls.map_err(io::Error::other)?;
        Ok(Connector { tls, mode: self.mode, direct: self.direct, host: host.to_owned() })
    }
}

/// Begins the connection to one server.
pub(super) struct Connector {
    tls: Option<RustlsConnect>,
    mode: TlsMode,
    direct: bool,
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
        let Some(tls) = self.tls else { return Ok(Stream::Plain(Watched::new(socket))) };
        if self.direct || offers_tls(&mut socket).await? {
            return tls.connect(socket).await.map(|stream| Stream::Encrypted(Box::new(stream)));
        }
        if self.mode.requires_tls() {
            return Err(io::Error::other(Refusal::NoTls(self.mode)));
        }
        if !is_loopback(&self.host) {
            warn_of_no_tls(&self.host);
        }
        Ok(Stream::Plain(Watched::new(socket)))
    }
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
fn warn_of_no_tls(host: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "the connection to Postgres at {host} is not encrypted, as the server offers no TLS: whoever is between can \
             read and change orders; `sslmode=verify-full` in the database URL insists on TLS with a certificate that is \
             verified, and `sslmode=disable` says that none is meant"
        );
    });
}

/// Whether only this machine is between.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// A connection over TCP.
pub(super) enum Stream {
    /// By TLS.
    Encrypted(Box<RustlsStream>),
    /// As it is.
    Plain(Watched<Socket>),
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Encrypted(stream) => stream.channel_binding(),
            Self::Plain(_) => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Plain(stream) => stream.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, buffer),
            Self::Plain(stream) => Pin::new(&mut stream.inner).poll_write(cx, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
            Self::Plain(stream) => Pin::new(&mut stream.inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Plain(stream) => Pin::new(&mut stream.inner).poll_shutdown(cx),
        }
    }
}

/// Ends with an error when the server's first message is `AuthenticationCleartextPassword`, before the driver sees it. The
/// driver takes none but the first message for a request of a password.
pub(super) struct Watched<S> {
    inner: S,
    first: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// `R`, four bytes of length, and the kind of authentication.
    const BYTES: usize = 9;
    const CLEARTEXT: [u8; 4] = [0, 0, 0, 3];

    fn new(inner: S) -> Self {
        Self { inner, first: Vec::with_capacity(Self::BYTES) }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        if self.first.len() < Self::BYTES {
            let read = buffer.filled().iter().skip(before).take(Self::BYTES - self.first.len());
            self.first.extend(read);
            if self.first.starts_with(b"R") && self.first.get(5..) == Some(&Self::CLEARTEXT) {
                return Poll::Ready(Err(io::Error::other(Refusal::Cleartext)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Everything that arrives in these pieces, or the error.
    async fn read(pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
        let mut builder = tokio_test_stream(pieces);
        let mut all = Vec::new();
        loop {
            let mut space = [0; 64];
            let mut buffer = ReadBuf::new(&mut space);
            poll_fn(|cx| builder.poll_read(cx, &mut buffer)).await?;
            if buffer.filled().is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(buffer.filled());
        }
    }

    /// Hands out one piece per read.
    struct Pieces(Vec<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if !self.0.is_empty() {
                buffer.put_slice(&self.0.remove(0));
            }
            Poll::Ready(Ok(()))
        }
    }

    fn tokio_test_stream(pieces: &[&[u8]]) -> Watched<Pieces> {
        Watched::new(Pieces(pieces.iter().map(|piece| piece.to_vec()).collect()))
    }

    const CLEARTEXT: &[u8] = b"R\0\0\0\x08\0\0\0\x03";

    #[tokio::test]
    async fn a_request_for_the_password_in_clear_text_never_arrives() {
        let each_byte: Vec<&[u8]> = CLEARTEXT.chunks(1).collect();
        let longer = [CLEARTEXT, b"more"].concat();
        let other_length = [b"R\0\0\x10\x08".as_slice(), &CLEARTEXT[5..]].concat();
        for pieces in
            [vec![CLEARTEXT], each_byte, vec![&longer], vec![&other_length], vec![b"R\0\0\0", &CLEARTEXT[4..]]]
        {
            let error = read(&pieces).await.unwrap_err();
            assert!(error.to_string().contains("clear text"), "{pieces:?}: {error}");
        }
    }

    #[tokio::test]
    async fn everything_else_arrives_as_it_is() {
        let scram = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
        let later = [b"R\0\0\0\x08\0\0\0\0".as_slice(), CLEARTEXT].concat();
        for bytes in [&scram[..], &later, b"E\0\0\0\x03", b"", b"R"] {
            assert_eq!(read(&[bytes]).await.unwrap(), bytes);
            assert_eq!(read(&bytes.chunks(2).collect::<Vec<_>>()).await.unwrap(), bytes);
        }
    }

    #[test]
    fn nothing_but_this_machine_is_loopback() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["db", "10.0.0.1", "localhost.example", "::", "0.0.0.0", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
