//! What the server listens on.

#[cfg(not(unix))]
use std::fmt::Display;
use std::io;

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpListener, TcpStream};

use super::bind_error::BindError;
use super::network;
#[cfg(unix)]
use super::socket::{self, Socket};
use super::{Access, Peer};
use crate::config::environment::Environment;
use crate::config::{AdminSocket, ListenAddress};

/// Something that clients connect to. Dropped, it accepts no more, and a Unix socket's file is gone.
#[derive(Debug)]
pub enum Listener {
    /// An address of the network.
    Network(TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Socket(Socket),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Network(listener)
    }
}

/// A client's connection.
pub(super) enum Stream {
    Network(TcpStream),
    #[cfg(unix)]
    Socket(UnixStream),
}

impl Listener {
    /// Its URL without a path, or `unix:` and the path of a socket.
    ///
    /// # Errors
    /// The system's, when it doesn't know the address.
    pub fn url(&self, access: &Access) -> io::Result<String> {
        match self {
            Self::Network(listener) => {
                let scheme = if access.tls().is_some() { "https" } else { "http" };
                Ok(format!("{scheme}://{}", listener.local_addr()?))
            }
            #[cfg(unix)]
            Self::Socket(socket) => Ok(ListenAddress::Unix(socket.path().to_owned()).to_string()),
        }
    }

    /// The next client.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Network(listener) => {
                let (stream, mut address) = listener.accept().await?;
                // A socket of both families shows IPv4's addresses as `::ffff:127.0.0.1`.
                address.set_ip(address.ip().to_canonical());
                Ok((Stream::Network(stream), Peer::Network(address)))
            }
            #[cfg(unix)]
            Self::Socket(socket) => socket.accept().await.map(|(stream, peer)| (Stream::Socket(stream), peer)),
        }
    }

    /// The same in the runtime that this is called in: a socket belongs to the one that it was made in.
    pub(super) fn moved(self) -> io::Result<Self> {
        match self {
            Self::Network(listener) => TcpListener::from_std(listener.into_std()?).map(Self::Network),
            #[cfg(unix)]
            Self::Socket(socket) => socket.moved().map(Self::Socket),
        }
    }
}

/// Listens on every address.
///
/// # Errors
/// Names the first one that can't be had, the reason, and what to do.
pub async fn open(addresses: &[ListenAddress]) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(match address {
            ListenAddress::Network(address) => network::bind(*address).await?.into(),
            #[cfg(unix)]
            ListenAddress::Unix(path) => Listener::Socket(Socket::bind(path, socket::Use::Listen)?),
            #[cfg(not(unix))]
            ListenAddress::Unix(_) => return Err(no_sockets(address)),
        });
    }
    Ok(listeners)
}

/// Listens on the admin socket. Where its default can't be had, warns, and there is none.
///
/// # Errors
/// When it was asked for by name and can't be had.
#[cfg(unix)]
pub(crate) fn open_admin(
    setting: &AdminSocket,
    listeners: &[Listener],
    environment: &Environment,
) -> Result<Option<Listener>, BindError> {
    let socket = match setting {
        AdminSocket::Off => None,
        AdminSocket::At(path) => Some(Socket::bind(path, socket::Use::Admin)?),
        AdminSocket::Default => {
            let addresses: Vec<ListenAddress> = listeners.iter().filter_map(Listener::address).collect();
            Socket::bind_default(&addresses, environment)
                .inspect_err(|problem| {
                    tracing::warn!(
                        "no admin socket, so that nothing can be changed from this machine's command line: {problem}; \
                         name one with --admin-socket PATH, or say --admin-socket off"
                    );
                })
                .ok()
        }
    };
    Ok(socket.map(Listener::Socket))
}

#[cfg(not(unix))]
pub(crate) fn open_admin(
    setting: &AdminSocket,
    _: &[Listener],
    _: &Environment,
) -> Result<Option<Listener>, BindError> {
    match setting {
        AdminSocket::At(path) => Err(no_sockets(path.display())),
        _ => Ok(None),
    }
}

#[cfg(not(unix))]
fn no_sockets(path: impl Display) -> BindError {
    BindError::new(path, "this system has no Unix sockets".to_owned(), "choose an address of the network".to_owned())
}

#[cfg(unix)]
impl Listener {
    fn address(&self) -> Option<ListenAddress> {
        match self {
            Self::Network(listener) => listener.local_addr().ok().map(ListenAddress::Network),
            Self::Socket(_) => None,
        }
    }
}

/// Whether [`open`] could have these, and the admin socket if it is named. All of them may be in use.
///
/// # Errors
/// As [`open`].
#[cfg(feature = "cli")]
pub(crate) fn check(addresses: &[ListenAddress], admin_socket: &AdminSocket) -> Result<(), BindError> {
    for address in addresses {
        match address {
            ListenAddress::Network(address) => network::check(*address)?,
            #[cfg(unix)]
            ListenAddress::Unix(path) => socket::check(path, socket::Use::Listen)?,
            #[cfg(not(unix))]
            ListenAddress::Unix(_) => return Err(no_sockets(address)),
        }
    }
    match admin_socket {
        #[cfg(unix)]
        AdminSocket::At(path) => socket::check(path, socket::Use::Admin),
        _ => Ok(()),
    }
}
