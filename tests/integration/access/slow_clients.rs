//! Clients of a listener with TLS that don't go on, or don't speak it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::{Folder, TLS, curl};
use crate::support::LONG;

/// The beginning of a handshake.
const HELLO: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";

/// More than one address has places.
const CROWD: usize = 600;

/// Caught, when seeded: a handshake without a time limit.
#[tokio::test]
async fn handshakes_that_stop_halfway_keep_out_no_probe_and_soon_end() {
    let folder = Folder::with_certificates(TLS);
    let worker = folder.answering(&[]).await;
    let ca = folder.file("ca.crt");
    let get = |path: &str| curl("https", worker.address(), path, &["--cacert", &ca]);
    let halves = (0..CROWD).map(|_| {
        let mut half = TcpStream::connect(worker.address()).expect("a connection");
        half.write_all(HELLO).expect("a new connection takes a few bytes");
        half.set_read_timeout(Some(LONG)).expect("a timeout");
        half
    });
    let halves: Vec<TcpStream> = halves.collect();
    for path in ["/livez", "/health", "/metrics"] {
        let answer = get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.error);
    }
    for mut half in halves {
        match half.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
    let text = get("/metrics").text;
    assert!(text.contains("\nfulfillment_http_connections 1\n"), "{text}");
    for reason in ["too_slow", "made_room_waiting"] {
        let none = format!("fulfillment_http_connections_closed_total{{reason=\"{reason}\"}} 0\n");
        assert!(!text.contains(&none), "{text}");
    }
}

/// Caught, when seeded: no look at the first byte.
#[tokio::test]
async fn who_does_not_speak_tls_is_told_so_in_plain_http() {
    let folder = Folder::with_certificates(TLS);
    let worker = folder.answering(&[]).await;
    let answer = curl("http", worker.address(), "/livez", &[]);
    assert_eq!((answer.status, answer.text.as_str()), (400, "Client sent an HTTP request to an HTTPS server.\n"));
}
