//! Ports for the servers of tests.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::net::TcpSocket;

/// A TCP port that is free now, and that no other test of this process was given. It is none of those that the kernel
/// gives to connections and to whoever asks for any port, so that nobody has it by chance when its server starts.
pub(crate) fn free_port() -> u16 {
    const BELOW_EPHEMERAL: Range<u16> = 10_000..32_768;
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().expect("no test panics in here");
    for _ in BELOW_EPHEMERAL {
        // Somewhere else in each process, as the tests of another checkout may run beside these.
        let port = next.map_or_else(|| rand::random_range(BELOW_EPHEMERAL), |port| port + 1);
        let port = if BELOW_EPHEMERAL.contains(&port) { port } else { BELOW_EPHEMERAL.start };
        *next = Some(port);
        if is_free(port) {
            return port;
        }
    }
    panic!("no port of {BELOW_EPHEMERAL:?} is free")
}

/// Whether a server could listen there. Nothing is listened on to find out: a process that another test starts at the moment
/// has the socket as well until its program runs, and would answer in the place of the server.
fn is_free(port: u16) -> bool {
    let socket = TcpSocket::new_v4().expect("a socket");
    // As servers do, or such a process would keep them from the port.
    socket.set_reuseaddr(true).expect("a socket that shares its port");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
}

/// Caught, when seeded: a port that is tried by listening on it.
#[test]
fn a_free_port_is_free_while_other_tests_start_processes() {
    let stop = AtomicBool::new(false);
    let free = |port: &u16| {
        let is_answered = TcpStream::connect(("127.0.0.1", *port)).is_ok();
        !is_answered && TcpListener::bind(("127.0.0.1", *port)).is_ok()
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = Command::new("true").status();
                }
            });
        }
        let taken = (0..500).map(|_| free_port()).filter(|port| !free(port)).collect::<Vec<_>>();
        stop.store(true, Ordering::Relaxed);
        assert!(taken.is_empty(), "{taken:?}");
    });
}
