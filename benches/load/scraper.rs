//! A scraper as Prometheus is one, on a thread of its own: how long each answer takes is what it would see.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// As Prometheus asks by default.
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: worker\r\nAccept-Encoding: gzip\r\n\
    Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n\r\n";

/// Scrapes until it is stopped.
pub(crate) struct Scraper {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Scraper {
    /// The first scrape comes after the first pause.
    pub(crate) fn start(address: SocketAddr, every: Duration) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut times = Vec::new();
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                times.push(scrape(&mut stream));
            }
            times
        });
        Self { stop, thread }
    }

    /// How long each scrape took, from the request's first byte to the answer's last.
    pub(crate) fn stop(self) -> Vec<Duration> {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

fn scrape(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    stream.write_all(REQUEST).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 64 * 1024]);
    // Its length isn't known when it begins: the last chunk is an empty one.
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "closed in the middle of an answer");
        answer.extend_from_slice(&buffer[..length]);
    }
    let took = began.elapsed();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    took
}
