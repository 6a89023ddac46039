//! A TCP proxy that does to connections what networks do: cuts them, loses replies, falls silent, is slow, holds up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How late each piece of a slow link is.
const LATE: Duration = Duration::from_millis(100);

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// They arrive.
    Pass,
    /// Requests arrive; a connection is cut at the first byte of a reply.
    LoseReplies,
    /// They vanish, and so does everything that follows on their connection, which nobody closes: half-open.
    Vanish,
    /// They arrive late.
    Delay,
    /// Replies arrive so much later, as those of a server that takes its time.
    Late(Duration),
    /// A request with this text in it, and what follows on its connection, waits until the proxy behaves otherwise.
    HoldFrom(&'static str),
}

/// See the module. Listens on a free port of 127.0.0.1 until dropped.
pub(crate) struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    to: SocketAddr,
    behaviour: watch::Sender<Behaviour>,
    /// Connections with a request that waits.
    holding: AtomicUsize,
    /// Ends the connections of now.
    cut: Mutex<CancellationToken>,
}

impl FaultProxy {
    /// Leads to `to`, where nobody has to be yet.
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("the port's number");
        let (behaviour, _) = watch::channel(Behaviour::Pass);
        let shared = Arc::new(Shared { to, behaviour, holding: AtomicUsize::new(0), cut: Mutex::default() });
        let accepting = tokio::spawn(Arc::clone(&shared).accept(listener));
        Self { address, shared, accepting }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds from the next byte on, for old and new connections.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// How many connections have a request that waits; see [`Behaviour::HoldFrom`].
    pub(crate) fn holding(&self) -> usize {
        self.shared.holding.load(Ordering::Relaxed)
    }

    /// Closes every connection, whatever is under way.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.shared.cut()).cancel();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Shared {
    fn cut(&self) -> MutexGuard<'_, CancellationToken> {
        self.cut.lock()
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            // Fails for a connection that is gone already, or for want of file descriptors: the next one may do.
            if let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&self).connect(client));
            }
        }
    }

    async fn connect(self: Arc<Self>, client: TcpStream) {
        let cut = self.cut().clone();
        // Refused: the client's connection is closed by being dropped.
        let Ok(server) = TcpStream::connect(self.to).await else { return };
        // Best effort: without it replies are merely later.
        let _ = client.set_nodelay(true).and(server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Whichever ends first, both connections are closed. What is cut while it waits doesn't arrive.
        tokio::select! {
            biased;
            () = cut.cancelled() => {}
            () = self.pass_on(from_client, to_server, false) => {}
            () = self.pass_on(from_server, to_client, true) => {}
        }
    }

    async fn pass_on(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, replies: bool) {
        // As much as a reply has, so that one that is late is so once.
        let mut buffer = vec![0; 128 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let behaviour = *self.behaviour.borrow();
            match behaviour {
                Behaviour::LoseReplies if replies => return,
                Behaviour::Vanish => return swallow(&mut from, &mut buffer).await,
                Behaviour::Delay => tokio::time::sleep(LATE).await,
                Behaviour::Late(by) if replies => tokio::time::sleep(by).await,
                Behaviour::HoldFrom(text) if !replies && contains(&buffer[..length], text) => self.hold().await,
                Behaviour::Pass | Behaviour::LoseReplies | Behaviour::Late(_) | Behaviour::HoldFrom(_) => {}
            }
            if to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    }

    /// May be dropped, when the connection is cut.
    async fn hold(&self) {
        let _counted = Counted::new(&self.holding);
        let mut behaviour = self.behaviour.subscribe();
        // Fails only when the proxy is gone.
        let _ = behaviour.wait_for(|behaviour| !matches!(behaviour, Behaviour::HoldFrom(_))).await;
    }
}

/// Whether the text is in these bytes.
fn contains(bytes: &[u8], text: &str) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Reads until the sender gives up.
async fn swallow(from: &mut OwnedReadHalf, buffer: &mut [u8]) {
    while let Ok(1..) = from.read(buffer).await {}
}

/// Counts one for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
