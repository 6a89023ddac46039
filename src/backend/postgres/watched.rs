//! Watches how a server asks for the password, before the driver sees it, and how it greets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::greeting::{Greeting, NamedProcess};
use super::refusal::Refusal;
use crate::config::require_auth::{AuthMethod, RequireAuth};

/// A stream that ends with an error when the server's first message asks for what it must not get. The driver takes none but
/// the first message for a request of a password, and none of the later ones as a request of another kind.
pub(super) struct Watched<S> {
    pub(super) inner: S,
    first: Vec<u8>,
    auth: Arc<RequireAuth>,
    is_encrypted: bool,
    greeting: Greeting,
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// `R`, four bytes of length, and the kind of authentication.
    const BYTES: usize = 9;

    pub(super) fn encrypted(inner: S, auth: Arc<RequireAuth>, named: NamedProcess) -> Self {
        let greeting = Greeting::new(named);
        Self { inner, first: Vec::with_capacity(Self::BYTES), auth, is_encrypted: true, greeting }
    }

    pub(super) fn plain(inner: S, auth: Arc<RequireAuth>, named: NamedProcess) -> Self {
        Self { is_encrypted: false, ..Self::encrypted(inner, auth, named) }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        if self.first.len() < Self::BYTES {
            let read = buffer.filled().iter().skip(before).take(Self::BYTES - self.first.len());
            self.first.extend(read);
            self.check().map_err(io::Error::other)?;
        }
        self.greeting.hear(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }

    /// <https://www.postgresql.org/docs/current/protocol-message-formats.html>. What the driver has no method for, it refuses.
    fn check(&self) -> Result<(), Refusal> {
        let method = match (self.first.first(), self.first.get(5..)) {
            (Some(b'R'), Some([0, 0, 0, 0])) => AuthMethod::None,
            (Some(b'R'), Some([0, 0, 0, 3])) => AuthMethod::Password,
            (Some(b'R'), Some([0, 0, 0, 5])) => AuthMethod::Md5,
            (Some(b'R'), Some([0, 0, 0, 10])) => AuthMethod::ScramSha256,
            _ => return Ok(()),
        };
        if !self.auth.allows(method) {
            return Err(Refusal::Method(method.name()));
        }
        if method == AuthMethod::Password && !self.is_encrypted && !self.auth.names_password() {
            return Err(Refusal::Cleartext);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Everything that arrives in these pieces, or the error.
    async fn read(pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
        read_by(Watched::plain(Pieces::of(pieces), Arc::default(), NamedProcess::default())).await
    }

    async fn read_by(mut stream: Watched<Pieces>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let mut space = [0; 64];
            let mut buffer = ReadBuf::new(&mut space);
            poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
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

    impl Pieces {
        fn of(pieces: &[&[u8]]) -> Self {
            Self(pieces.iter().map(|piece| piece.to_vec()).collect())
        }
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

    const SCRAM: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
    const MD5: &[u8] = b"R\0\0\0\x0c\0\0\0\x05salt";
    const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";

    #[tokio::test]
    async fn what_require_auth_does_not_allow_never_arrives_by_tls_or_without() {
        for (list, allowed, refused) in [
            ("scram-sha-256", vec![SCRAM], vec![MD5, CLEARTEXT, OK]),
            ("scram-sha-256,md5", vec![SCRAM, MD5], vec![CLEARTEXT, OK]),
            ("!password", vec![SCRAM, MD5, OK], vec![CLEARTEXT]),
            ("!none,!md5,!password", vec![SCRAM], vec![MD5, CLEARTEXT, OK]),
            ("none", vec![OK], vec![SCRAM, MD5, CLEARTEXT]),
        ] {
            let auth = Arc::new(RequireAuth::parse(list).unwrap());
            for is_encrypted in [true, false] {
                let stream =
                    |pieces, auth| Watched { is_encrypted, ..Watched::plain(pieces, auth, NamedProcess::default()) };
                for bytes in &allowed {
                    assert_eq!(read_by(stream(Pieces::of(&[bytes]), auth.clone())).await.unwrap(), *bytes, "{list}");
                }
                for bytes in &refused {
                    let error = read_by(stream(Pieces::of(&[bytes]), auth.clone())).await.unwrap_err();
                    assert!(error.to_string().contains("`require_auth`"), "{list}: {error}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_password_in_clear_text_goes_by_tls_and_where_it_is_asked_for_by_name() {
        let by_tls = Watched::encrypted(Pieces::of(&[CLEARTEXT]), Arc::default(), NamedProcess::default());
        assert_eq!(read_by(by_tls).await.unwrap(), CLEARTEXT);
        for list in ["password", "scram-sha-256,password"] {
            let auth = Arc::new(RequireAuth::parse(list).unwrap());
            assert_eq!(
                read_by(Watched::plain(Pieces::of(&[CLEARTEXT]), auth, NamedProcess::default())).await.unwrap(),
                CLEARTEXT
            );
        }
        let not_by_name = Arc::new(RequireAuth::parse("!md5").unwrap());
        let error =
            read_by(Watched::plain(Pieces::of(&[CLEARTEXT]), not_by_name, NamedProcess::default())).await.unwrap_err();
        assert!(error.to_string().contains("clear text"), "{error}");
    }
}
