//! Many slow and idle clients: who is closed, and that probes and scrapes are answered whoever else is there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use fulfillment_worker::admin::ConnectionLimits;
use socket2::{Domain, Socket, Type};

use super::client::{Client, get};
use super::server::Server;
use crate::support::{LONG, eventually, expect_equal};

/// More than there are places.
const CROWD: usize = 2_000;
const OPEN: &str = "fulfillment_http_connections";

fn closed(reason: &str) -> String {
    format!("fulfillment_http_connections_closed_total{{reason=\"{reason}\"}}")
}

/// A client with an address of its own on loopback.
fn connect_from(number: usize, server: SocketAddr) -> Client {
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number % 49).unwrap()));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(ip, 0).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    Client::on(socket.into())
}

/// One that is patient: nobody is closed for being slow, but to make room.
fn server() -> Server {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    Server::start_within(ConnectionLimits { head: LONG * 10, connection: LONG * 10, ..ConnectionLimits::default() })
}

/// Every probe gets its answer, from this address and from another one, and there are never more connections than places.
fn all_probes_are_answered(server: &Server, most: u32) {
    for number in 0..25 {
        for path in ["/livez", "/metrics", "/readyz", "/health"] {
            let mut client =
                if number % 2 == 0 { Client::connect(server.address) } else { connect_from(5, server.address) };
            client.send(&format!("GET {path} HTTP/1.0\r\n\r\n"));
            let answer = client.answer_until_closed();
            assert!(answer.status == 200 || path == "/readyz", "{path}: {}", answer.text());
        }
        let open: u32 = server.sample(OPEN).parse().unwrap();
        assert!(open <= most, "{open} connections");
    }
}

/// A crowd that behaves the same way, from one address or from many.
fn crowd(server: &Server, connect: impl Fn(usize, SocketAddr) -> Client, behave: impl Fn(&mut Client)) -> Vec<Client> {
    let join = |number| {
        let mut client = connect(number, server.address);
        behave(&mut client);
        client
    };
    (0..CROWD).map(join).collect()
}

fn from_one_address(_: usize, server: SocketAddr) -> Client {
    Client::connect(server)
}

/// Seen to fail on a server that left connections over its limit in the backlog: no probe was answered.
#[test]
fn two_thousand_silent_clients_of_one_address_keep_out_no_probe() {
    let server = server();
    let _crowd = crowd(&server, from_one_address, |_| {});
    // One beside the address's share: a probe from elsewhere, whose end the server may not have noticed yet.
    all_probes_are_answered(&server, 256 + 1);
}

#[test]
fn two_thousand_silent_clients_of_many_addresses_keep_out_no_probe() {
    let server = server();
    let _crowd = crowd(&server, connect_from, |_| {});
    all_probes_are_answered(&server, 1024);
}

#[test]
fn two_thousand_half_heads_keep_out_no_probe() {
    let server = server();
    let _crowd = crowd(&server, connect_from, |client| client.send("GET /metrics HTTP/1.1\r\nX-Slow: "));
    all_probes_are_answered(&server, 1024);
}

/// As browsers behind a proxy are.
#[test]
fn two_thousand_idle_clients_keep_out_no_probe() {
    let server = server();
    let _crowd = crowd(&server, connect_from, |client| {
        client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
        client.wait_for_an_answer();
    });
    all_probes_are_answered(&server, 1024);
    assert_ne!(server.sample(&closed("made_room_idle")), "0");
}

#[test]
fn clients_that_take_no_answers_keep_out_no_probe() {
    let server = server();
    let many = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let connect = |number, address| connect_from(number, address);
    let _deaf: Vec<Client> = (0..100)
        .map(|number| {
            let mut client = connect(number, server.address);
            let _ = client.try_send(&many);
            client
        })
        .collect();
    all_probes_are_answered(&server, 1024);
}

/// Caught, when seeded: the newest is closed; and: nobody is, and one more waits.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_more_than_there_are_places_closes_who_has_waited_longest() {
    let limits =
        ConnectionLimits { connections: 3, fresh: Duration::ZERO, head: LONG * 10, ..ConnectionLimits::default() };
    let server = std::mem::ManuallyDrop::new(tokio::task::block_in_place(|| Server::start_within(limits)));
    let mut asking = Client::connect(server.address);
    let open = |asking: &mut Client| {
        asking.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        asking.sample(OPEN)
    };
    let mut first = Client::connect(server.address);
    eventually(LONG, "the first has a place", async || expect_equal(open(&mut asking).as_str(), "2")).await;
    let mut second = Client::connect(server.address);
    eventually(LONG, "the second has a place", async || expect_equal(open(&mut asking).as_str(), "3")).await;
    let mut third = Client::connect(server.address);
    assert!(first.is_closed_by_the_server());
    for client in [&mut second, &mut third] {
        client.send("GET /livez HTTP/1.0\r\n\r\n");
        assert_eq!(client.answer_until_closed().status, 200);
    }
}

/// Caught, when seeded: no share of one peer.
#[test]
fn a_peer_that_has_had_its_share_makes_room_for_itself_and_takes_nobody_elses_place() {
    let server = server();
    let mut other = connect_from(0, server.address);
    other.send("GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let _crowd = crowd(&server, from_one_address, |_| {});
    all_probes_are_answered(&server, 257);
    other.send("no\r\nConnection: close\r\n\r\n");
    assert_eq!(other.answer_until_closed().status, 200);
}

#[test]
fn why_connections_ended_is_counted() {
    let limits = ConnectionLimits { head: Duration::from_millis(100), ..ConnectionLimits::default() };
    let server = Server::start_within(limits);
    assert!(Client::connect(server.address).is_closed_by_the_server());
    assert_eq!(server.sample(&closed("too_slow")), "1");
    let mut client = Client::connect(server.address);
    client.send("\u{16}\u{3}\u{1} this is not HTTP\r\n\r\n");
    assert_eq!(client.answer_until_closed().status, 400);
    assert_eq!(server.sample(&closed("invalid")), "1");
    assert_ne!(server.sample(&closed("ended")), "0");
}

/// Whatever is sent, the next probe is answered.
#[test]
fn requests_that_are_wrong_or_unusual_leave_the_server_as_it_was() {
    let server = server();
    let endless_head = format!("GET / HTTP/1.1\r\n{}", "X-More: y\r\n".repeat(10_000));
    for bytes in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n",
        "GET http://elsewhere.example/livez HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "PUT /log HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        "PUT /log HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "\r\n\r\n\r\n",
        "GET /livez\r\n\r\n",
        &endless_head,
    ] {
        let mut client = Client::connect(server.address);
        let _ = client.try_send(bytes);
        assert_eq!(get(server.address, "/livez", &[]).status, 200, "{bytes:.40?}");
    }
}

#[test]
fn two_thousand_clients_that_reset_or_close_their_half_leave_nothing_behind() {
    let server = server();
    let mut halves = Vec::new();
    for number in 0..CROWD {
        let client = connect_from(number, server.address);
        match number % 2 {
            0 => socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap(),
            _ => {
                client.stream.shutdown(std::net::Shutdown::Write).unwrap();
                halves.push(client);
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let only_this_one = async || expect_equal(server.sample(OPEN).as_str(), "1");
    runtime.block_on(eventually(LONG, "only the scrape is open", only_this_one));
}
