//! Requests that nobody sends, at the real binary's listener: none is answered wrongly, changes anything or leaves anything
//! behind. `make strange-requests REQUESTS=1000000 SEED=1` sends more of them. Needs no server.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

mod answers;
mod grammar;

use answers::{Answer, answers};

/// At once.
const CLIENTS: usize = 4;
/// Of a connection, besides its first one.
const MOST_REQUESTS: usize = 8;
/// What the worker or its library of HTTP answers to requests, right and wrong; never what stands for a fault of its own.
const STATUSES: [u16; 13] = [200, 303, 400, 401, 403, 404, 405, 413, 414, 417, 429, 431, 503];

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_nobody_sends_are_answered_and_change_nothing() {
    let (requests, seed) = (variable("STRANGE_REQUESTS", 10_000), variable("STRANGE_SEED", 1));
    let worker = WorkerProcess::ready("sqlite:strange.db", "sqlite:strange.db", &["--log", "warn"]).await;
    let filter = worker.get("/log", &[]).text();
    let (address, began) = (worker.address(), Instant::now());

    let answered = Mutex::new(BTreeMap::<u16, usize>::new());
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (answered, seed) = (&answered, (seed * CLIENTS + client) as u64);
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(seed);
                while answered.lock().values().sum::<usize>() < requests {
                    for status in connection(address, &mut random) {
                        *answered.lock().entry(status).or_default() += 1;
                    }
                }
            });
        }
    });

    let (seconds, answered) = (began.elapsed().as_secs_f64(), answered.into_inner());
    println!("{requests} requests answered in {seconds:.1} s, none wrongly; answers by status: {answered:?}");
    assert_eq!(worker.get("/log", &[]).text(), filter, "a request has changed the log's filter");
    eventually(LONG, "no connection is left", async || {
        expect_equal(worker.metrics().value("fulfillment_http_connections"), 1.0)
    })
    .await;
    assert_eq!(worker.output(), "", "a request has made the worker complain");
}

/// Sends a usual request and some strange ones by one connection, and returns the statuses that the strange ones got.
fn connection(address: SocketAddr, random: &mut StdRng) -> Vec<u16> {
    let strange = grammar::requests(random, MOST_REQUESTS);
    let first = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let pieces = [vec![first], strange].concat();
    let received = exchange(address, &pieces);
    let checked = match &received {
        Ok(bytes) => answers(bytes).and_then(|answers| problem(&answers, pieces.len()).map_or(Ok(answers), Err)),
        Err(error) => Err(error.to_string()),
    };
    match checked {
        Ok(answers) => answers.iter().skip(1).map(|answer| answer.status).collect(),
        Err(problem) => {
            let sent: Vec<String> = pieces.iter().map(|piece| piece.escape_ascii().to_string()).collect();
            let received = received.unwrap_or_default().escape_ascii().to_string();
            panic!("{problem}\nsent:\n{}\nreceived:\n{received}", sent.join("\n"));
        }
    }
}

/// Everything that comes back until the server ends the connection.
fn exchange(address: SocketAddr, pieces: &[Vec<u8>]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, LONG)?;
    stream.set_read_timeout(Some(LONG))?;
    stream.set_nodelay(true)?;
    for piece in pieces {
        // The server may have had enough of it before.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        // It ended the connection while more was on its way, which may take what it answered along.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => received.clear(),
        read => drop(read?),
    }
    Ok(received)
}

/// What is wrong with these answers to so many requests.
fn problem(answers: &[Answer], requests: usize) -> Option<String> {
    if answers.len() > requests * 2 {
        return Some(format!("{} answers to {requests} requests", answers.len()));
    }
    if answers.first().is_some_and(|first| first.status != 200) {
        return Some("the first request, which is like any other, was refused for what came after it".to_owned());
    }
    answers.iter().find_map(|answer| {
        let guarded = answer.has("x-content-type-options: nosniff") && answer.has("cache-control: no-store");
        // Where the library of HTTP has answered by itself, there is nothing but the status.
        let is_bare = [400, 413, 414, 431].contains(&answer.status) && answer.has("content-length: 0");
        if !STATUSES.contains(&answer.status) {
            Some(format!("status {}", answer.status))
        } else if !guarded && !is_bare {
            Some(format!("an answer without protecting headers: {answer:?}"))
        } else if answer.headers.iter().any(|header| header.starts_with("x-injected")) {
            Some("a request has put a header into its answer".to_owned())
        } else {
            None
        }
    })
}

fn variable(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().expect(name))
}
