//! A server of the test's own that answers on command, for what no decent warehouse does.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Counts from 0.
    pub(crate) nth: usize,
    /// Which connection, from 0.
    pub(crate) connection: usize,
    pub(crate) at: Instant,
    /// Such as `POST /orders HTTP/1.1`.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the peer does with a request.
pub(crate) enum Reply {
    /// Answers with these bytes, and keeps the connection.
    Bytes(Vec<u8>),
    /// The same, once there is a permit; which is used up.
    When(Arc<Semaphore>, Vec<u8>),
    /// Sends this much, then closes the connection.
    Close(Vec<u8>),
    /// Sends this much, then nothing more, for as long as the other side waits.
    Hang(Vec<u8>),
    /// Sends this, then a byte again and again.
    Drip(Vec<u8>),
}

/// An answer with its length.
pub(crate) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn ok() -> Reply {
    Reply::Bytes(answer("200 OK", "", r#"{"reference": "WH-1"}"#))
}

type Script = dyn Fn(&Received) -> Reply + Send + Sync;

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Peer {
    pub(crate) async fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(None, script).await
    }

    /// With the certificate `name`.crt of the folder; demands certificates of `ca.crt` from clients if told so.
    pub(crate) async fn start_tls(folder: &Path, name: &str, mutual: bool) -> Self {
        let chain = vec![CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let config = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(folder.join("ca.crt")).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let config = config.with_single_cert(chain, key).unwrap();
        Self::listen(Some(TlsAcceptor::from(Arc::new(config))), |_| ok()).await
    }

    async fn listen(tls: Option<TlsAcceptor>, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (for_all, script): (_, Arc<Script>) = (seen.clone(), Arc::new(script));
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, script, tls) = (for_all.clone(), script.clone(), tls.clone());
                let connection = seen.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(async move {
                    match tls {
                        None => serve(socket, connection, &seen, &*script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                serve(stream, connection, &seen, &*script).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/orders", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn under_way(&self) -> usize {
        self.seen.under_way.load(Ordering::SeqCst)
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.seen.most_under_way.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, connection: usize, seen: &Seen, script: &Script) {
    let mut read = Vec::new();
    while let Some(mut received) = receive(&mut stream, &mut read).await {
        received.connection = connection;
        {
            let mut requests = seen.requests.lock().unwrap();
            received.nth = requests.len();
            requests.push(received.clone());
        }
        let under_way = seen.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let goes_on = reply(&mut stream, script(&received), seen).await;
        if goes_on.is_none() {
            return;
        }
    }
}

/// Does as told; `None` when the connection is over.
async fn reply(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), reply: Reply, seen: &Seen) -> Option<()> {
    // Counted as over before the answer goes out, so that whoever has it may begin the next one.
    let over = || seen.under_way.fetch_sub(1, Ordering::SeqCst);
    match reply {
        Reply::Bytes(bytes) => {
            over();
            stream.write_all(&bytes).await.ok()?;
            stream.flush().await.ok()
        }
        Reply::When(permits, bytes) => {
            permits.acquire().await.unwrap().forget();
            over();
            stream.write_all(&bytes).await.ok()?;
            stream.flush().await.ok()
        }
        Reply::Close(bytes) => {
            over();
            stream.write_all(&bytes).await.ok()?;
            let _ = stream.shutdown().await;
            None
        }
        Reply::Hang(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            stream.flush().await.ok()?;
            let _ = stream.read(&mut [0]).await;
            over();
            None
        }
        Reply::Drip(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
            while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
                tick.tick().await;
            }
            over();
            None
        }
    }
}

/// The next request of a connection, all of it; `None` at its end.
async fn receive(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Option<Received> {
    let head = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break read.drain(..end + 4).collect::<Vec<u8>>();
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").expect("a header with a value"))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    while read.len() < length {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    let body = read.drain(..length).collect();
    Some(Received { nth: 0, connection: 0, at: Instant::now(), line, headers, body })
}
