//! Text of others, with everything in it that a terminal, a viewer or a browser acts on: none of it arrives raw anywhere.
//! The modules plant it in every place that others write to, and read whatever the binary shows.

mod commands;
mod worker;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;
use std::thread;

/// Clears the screen, renames the window, turns the text around, hides some, and ends lines. Short enough for a status.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{8}\u{7f}\u{9b}1m\u{85}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{2029}\u{200b}\u{feff}\u{e0041}\r\nforged";

/// As [`HOSTILE`], where a line end would end the text.
fn hostile_in_one_line() -> String {
    HOSTILE.replace(['\r', '\n'], "")
}

/// Fails if `shown` holds what was planted, or a line of it.
fn assert_harmless(what: &str, shown: &[u8]) {
    let text = std::str::from_utf8(shown).unwrap_or_else(|error| panic!("{what}: {error}"));
    let planted = |character: char| HOSTILE.contains(character) && !character.is_ascii();
    let raw = text
        .find(|character: char| planted(character) || (character.is_control() && !matches!(character, '\n' | '\t')));
    if let Some(at) = raw {
        panic!("{what} shows {:?} raw: {text:?}", text[at..].chars().next());
    }
    assert!(!text.lines().any(|line| line.starts_with("forged")), "{what} has a forged line: {text}");
}

/// As [`assert_harmless`], of what a command printed.
fn assert_harmless_output(what: &str, output: &Output) {
    assert_harmless(what, &output.stdout);
    assert_harmless(what, &output.stderr);
}

/// A server that gives every request these bytes for an answer. `requests` counts those that end in what a client sent.
fn stranger(requests: fn(&[u8]) -> usize, answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let (mut connection, mut buffer) = (connection, [0; 65_536]);
                while let Ok(read @ 1..) = connection.read(&mut buffer) {
                    if connection.write_all(&answer.repeat(requests(&buffer[..read]))).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
