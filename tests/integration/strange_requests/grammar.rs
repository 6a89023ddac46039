//! Draws requests that nobody sends: of pieces that mean something to a server of HTTP, some of them damaged.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

const METHODS: [&str; 13] =
    ["GET", "GET", "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PRI", "get"];
const PATHS: [&str; 10] =
    ["/", "/metrics", "/health", "/livez", "/readyz", "/log", "/log?for=1s", "/log?for=%00", "/admin", "*"];
const STRANGE_PATHS: [&str; 18] = [
    "//log",
    "/log/",
    "/./log",
    "/x/../log",
    "/%6cog",
    "/log%2f",
    "/log%00",
    "/log;x",
    "/log#x",
    "/LOG",
    "log",
    "/log\t",
    "/?token=x",
    "http://evil.example/log",
    "https://127.0.0.1:2112/log",
    "http://",
    "127.0.0.1:2112",
    "/\u{202e}gol",
];
const STRANGE_VERSIONS: [&str; 5] = ["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", ""];
const HEADERS: [&str; 35] = [
    "Host: 127.0.0.1:2112",
    "Host: localhost",
    "Host: evil.example",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    "Connection: authorization, x-forwarded-for",
    "Expect: 100-continue",
    "Content-Length: 0",
    "Content-Encoding: gzip",
    "Accept: application/openmetrics-text; version=1.0.0; q=0.5, */*; q=nan",
    "Accept: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    "Accept: ;;;,,,=",
    "Accept-Encoding: gzip",
    "Accept-Encoding: gzip;q=0, identity;q=0",
    "Accept-Encoding: br, zstd, *;q=1e9",
    "X-Prometheus-Scrape-Timeout-Seconds: 1e308",
    "X-Prometheus-Scrape-Timeout-Seconds: -0",
    "X-Prometheus-Scrape-Timeout-Seconds: NaN",
    "Authorization: Basic",
    "Authorization: Basic Og==",
    "Authorization: Basic YWRtaW46YWRtaW4=",
    "Authorization: Basic ////",
    "Authorization: Bearer x",
    "Cookie: session=x; fulfillment=y; =; ;",
    "Origin: null",
    "Origin: http://127.0.0.1:2112",
    "Sec-Fetch-Site: same-origin",
    "X-Forwarded-For: 127.0.0.1, ::1",
    "Forwarded: for=127.0.0.1;host=localhost;proto=https",
    "X-HTTP-Method-Override: PUT",
    "Range: bytes=0-0,1-1,2-2",
    "If-None-Match: *",
    "X-Echo: %0d%0ax-injected: 1",
];
/// Most of these end the connection.
const BROKEN_HEADERS: [&str; 23] = [
    "Host: 127.0.0.1:2112\r\nHost: evil.example",
    "Host:",
    "Host: a b",
    "Host: [::1",
    "Expect: 200-ok",
    "Content-Length: 5",
    "Content-Length: 5, 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: -1",
    "Content-Length: +5",
    "Content-Length: 0x5",
    "Content-Length: 18446744073709551616",
    "Content-Length: 99999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding : chunked",
    " folded: continuation",
    "no colon",
    ": no name",
    "X-Nul: a\0b",
];
const BODIES: [&str; 8] = [
    "debug",
    "off",
    "trace\n",
    "5\r\ndebug\r\n0\r\n\r\n",
    "ffffffffffffffff1\r\n",
    "0\r\nx-injected: 1\r\n\r\n",
    "\0",
    "1;a=\"b\r\nx",
];

/// What one connection sends after its first request, as pieces that are written one by one.
pub(super) fn requests(random: &mut StdRng, most: usize) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for _ in 0..random.random_range(1..=most) {
        let mut request = request(random).into_bytes();
        if random.random_bool(0.1) {
            damage(random, &mut request);
        }
        pieces.push(request);
    }
    pieces
}

fn request(random: &mut StdRng) -> String {
    let method = any(random, &METHODS);
    let version = if random.random_bool(0.1) { any(random, &STRANGE_VERSIONS) } else { "HTTP/1.1" };
    let path = match random.random_range(0..20) {
        0..12 => any(random, &PATHS).to_owned(),
        12..19 => any(random, &STRANGE_PATHS).to_owned(),
        _ => "/x".repeat(random.random_range(1..20_000)),
    };
    if random.random_bool(0.05) {
        return format!(
            "PUT /log HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n{}\r\n\r\ndebug",
            any(random, &HEADERS)
        );
    }
    let mut request = format!("{method} {path} {version}\r\n");
    for _ in 0..random.random_range(0..6) {
        let is_broken = random.random_bool(0.05);
        request.push_str(if is_broken { any(random, &BROKEN_HEADERS) } else { any(random, &HEADERS) });
        request.push_str(if random.random_bool(0.005) { "\n" } else { "\r\n" });
    }
    match random.random_range(0..200) {
        0 => request.push_str(&"X-Many: 1\r\n".repeat(random.random_range(90..2_000))),
        1 => request.push_str(&format!("X-Long: {}\r\n", "x".repeat(random.random_range(1..100_000)))),
        _ => {}
    }
    request.push_str("\r\n");
    if random.random_bool(0.05) {
        request.push_str(any(random, &BODIES));
    }
    request
}

fn any<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from.choose(random).copied().unwrap_or_default()
}

/// Replaces, removes or repeats some bytes.
fn damage(random: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len());
        let until = (at + random.random_range(1..16)).min(bytes.len());
        match random.random_range(0..4) {
            0 => bytes[at] = random.next_u32().to_le_bytes()[0],
            1 => drop(bytes.drain(at..until)),
            2 => {
                let repeated = bytes[at..until].to_vec();
                bytes.splice(at..at, repeated);
            }
            _ => drop(bytes.splice(at..at, *b"\r\n")),
        }
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
    }
}
