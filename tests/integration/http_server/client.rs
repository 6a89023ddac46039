//! A client that is in full control of what it sends, when, and whether it listens.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A wait that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("not an HTTP answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }
}

/// Asks once, by HTTP/1.0 so that the body comes in one piece and the connection ends with it.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut client = Client::connect(address);
    client.send(&format!("{method} {path} HTTP/1.0\r\n{headers}\r\n"));
    client.answer_until_closed()
}

pub(crate) fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(address, "GET", path, headers)
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect_timeout(&address, LIMIT).unwrap())
    }

    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        Self { stream }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.try_send(text).unwrap();
    }

    pub(crate) fn try_send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    /// The answer, once the server has closed the connection.
    pub(crate) fn answer_until_closed(&mut self) -> Answer {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }

    /// Returns when some of an answer has come.
    pub(crate) fn wait_for_an_answer(&mut self) {
        assert!(self.stream.read(&mut [0; 4096]).unwrap() > 0, "closed without an answer");
    }

    /// The value of a series in the answer to a scrape, on a connection that stays open.
    pub(crate) fn sample(&mut self, series: &str) -> String {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 65536]);
        loop {
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "closed within an answer");
            bytes.extend_from_slice(&buffer[..count]);
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let answer = Answer::parse(&bytes);
            if bytes.len() - end - 4 >= answer.header("content-length").parse::<usize>().unwrap() {
                return super::server::sample_of(&answer.text(), series);
            }
        }
    }

    /// Waits for the server to close the connection.
    pub(crate) fn is_closed_by_the_server(&mut self) -> bool {
        match self.stream.read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}
