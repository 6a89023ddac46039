//! Passwords that somebody guesses.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use socket2::{Domain, Socket, Type};

use super::{Folder, curl, users, users_at};
use crate::support::http;

/// GETs `/metrics` as this user, from this address of this machine; the status.
fn ask(from: IpAddr, address: SocketAddr, credentials: &str) -> u16 {
    answered(from, address, credentials).expect("an answer")
}

/// The same; `None` where the worker ends the connection without an answer, as one that is too slow.
fn answered(from: IpAddr, address: SocketAddr, credentials: &str) -> Option<u16> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
    socket.connect(&address.into()).expect("a connection");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a limit");
    let encoded = BASE64_STANDARD.encode(credentials);
    let head = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nAuthorization: Basic {encoded}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let line = String::from_utf8_lossy(&answer).into_owned();
    (!line.is_empty())
        .then(|| line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line}")))
}

fn of_this_machine(last: u8) -> IpAddr {
    [127, 0, 1, last].into()
}

/// Caught, when seeded: a limit for all addresses of this machine together.
#[tokio::test]
async fn whoever_guesses_is_limited_and_counted_and_nobody_elsewhere_notices() {
    let folder = Folder::with(&users(&["ann"]));
    let worker = folder.answering(&[]).await;
    let guesses: Vec<u16> = (0..20).map(|_| ask(of_this_machine(1), worker.address(), "ann:guess")).collect();
    let refused = guesses.iter().filter(|status| **status == 401).count();
    assert!((5..=8).contains(&refused), "{guesses:?}");
    assert_eq!(guesses.iter().filter(|status| **status == 429).count(), 20 - refused, "{guesses:?}");
    assert_eq!(ask(of_this_machine(1), worker.address(), "ann:ann's"), 429, "not even the right one, for a while");
    for other in 2..10 {
        assert_eq!(ask(of_this_machine(other), worker.address(), "ann:ann's"), 200);
    }
    let scraped = curl("http", worker.address(), "/metrics", &["--user", "ann:ann's"]).text;
    let of = |reason: &str| format!("fulfillment_login_failures_total{{reason=\"{reason}\"}} ");
    let count = |reason: &str| -> usize {
        let line = scraped.lines().find_map(|line| line.strip_prefix(&of(reason)).map(str::to_owned));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{scraped}"))
    };
    assert_eq!((count("wrong"), count("too_many")), (refused, 20 - refused + 1));
    let output = worker.output();
    assert_eq!(output.matches("too many wrong passwords").count(), 1, "{output}");
    assert!(output.contains("\"peer\":\"127.0.1.1:"), "{output}");
    assert!(!output.contains("guess"), "{output}");
}

/// A hundred guesses a second from many addresses, with a hash that costs more than most.
///
/// Caught, when seeded: a verification on the thread that answers.
#[tokio::test]
async fn guessing_from_everywhere_holds_up_no_probe_and_no_user_who_is_known() {
    let folder = Folder::with(&users_at(13, &["ann"]));
    let worker = folder.answering(&[]).await;
    let address = worker.address();
    let began = Instant::now();
    assert_eq!(ask(of_this_machine(200), address, "ann:ann's"), 200);
    let verification = began.elapsed();

    let began = Instant::now();
    let is_over = || began.elapsed() > Duration::from_secs(8);
    let (guesses, mut probes) = thread::scope(|scope| {
        let guessers: Vec<_> = (0..25)
            .map(|at| {
                scope.spawn(move || {
                    let mut ends = Vec::new();
                    while !is_over() {
                        ends.extend(answered(of_this_machine(at), address, "ann:guess"));
                        thread::sleep(Duration::from_millis(250));
                    }
                    ends
                })
            })
            .collect();
        let mut probes = Vec::new();
        while !is_over() {
            let began = Instant::now();
            assert_eq!(http::get(address, "/livez", &[]).expect("an answer").status, 200);
            probes.push(began.elapsed());
            assert_eq!(ask(of_this_machine(200), address, "ann:ann's"), 200, "remembered");
        }
        let guesses = guessers.into_iter().flat_map(|guesser| guesser.join().expect("no panic")).collect::<Vec<_>>();
        (guesses, probes)
    });
    let wrong = guesses.iter().filter(|status| **status == 401).count();
    assert!(wrong > 0 && guesses.iter().all(|status| [401, 429, 503].contains(status)), "{guesses:?}");
    assert!(guesses.len() > 5 * wrong, "{wrong} of {} were verified", guesses.len());
    probes.sort_unstable();
    let [usual, slowest] = [50, 99].map(|percent| probes[probes.len() * percent / 100]);
    println!("{} probes, p50 {usual:?}, p99 {slowest:?}; {} guesses, {wrong} verified", probes.len(), guesses.len());
    // On the thread that answers, one would stand before nearly every probe.
    assert!(usual < verification / 2, "half of the probes took {usual:?} and more, a verification {verification:?}");
}
