//! TLS, and a plain answer to whoever doesn't speak it.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// As Go's servers say it, so that it is found by who looks for it.
const NOT_TLS: &str = "Client sent an HTTP request to an HTTPS server.\n";

/// More than the request of whoever didn't expect TLS has.
const MAX_IGNORED: u64 = 64 * 1024;

/// The client's side of a handshake has no time of its own: the caller limits it.
pub(super) async fn accept(mut stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // A handshake begins with 22, a method with a letter.
    if first[0].is_ascii_alphabetic() {
        refuse(&mut stream).await?;
        return Err(io::ErrorKind::InvalidData.into());
    }
    TlsAcceptor::from(tls).accept(stream).await
}

/// Answers, and takes in the request, without which the system would take the answer back.
async fn refuse(stream: &mut TcpStream) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\
         \r\n{NOT_TLS}",
        NOT_TLS.len(),
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_IGNORED), &mut tokio::io::sink()).await?;
    Ok(())
}
