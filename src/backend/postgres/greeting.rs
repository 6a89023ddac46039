//! Listens to how a server greets, for the process that it says it has given to the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// The id of that process; 0 until the server has named it.
#[derive(Debug, Clone, Default)]
pub(super) struct NamedProcess(Arc<AtomicI32>);

impl NamedProcess {
    /// Whether `process`, which answers, is the one that was named. A pooler names one of its own making, so it never is.
    pub(super) fn is(&self, process: i32) -> bool {
        process != 0 && self.0.load(Ordering::Relaxed) == process
    }
}

/// Reads message after message up to BackendKeyData: one byte of kind, four of length, and there four of the process
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
pub(super) struct Greeting {
    named: NamedProcess,
    /// The beginning of a message, as far as it has arrived.
    head: Vec<u8>,
    /// What is left of a message that says nothing here.
    skip: usize,
    is_over: bool,
}

impl Greeting {
    const HEADER: usize = 5;
    const WITH_PROCESS: usize = 9;

    pub(super) fn new(named: NamedProcess) -> Self {
        Self { named, head: Vec::with_capacity(Self::WITH_PROCESS), skip: 0, is_over: false }
    }

    /// Takes what has arrived. Does nothing once the greeting is over.
    pub(super) fn hear(&mut self, mut bytes: &[u8]) {
        while !self.is_over && !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let Some((&next, rest)) = bytes.get(skipped..).and_then(<[u8]>::split_first) else { return };
            self.head.push(next);
            bytes = rest;
            self.understand();
        }
    }

    fn understand(&mut self) {
        match *self.head.as_slice() {
            [b'K', _, _, _, _, a, b, c, d] => {
                self.named.0.store(i32::from_be_bytes([a, b, c, d]), Ordering::Relaxed);
                self.is_over = true;
            }
            [b'K', ..] => {}
            // ReadyForQuery or an error: no key came.
            [b'Z' | b'E', ..] => self.is_over = true,
            [_, a, b, c, d] => {
                // The length counts itself.
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                self.skip = length.saturating_sub(Self::HEADER - 1);
                self.head.clear();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
    const STATUS: &[u8] = b"S\0\0\0\x0dKZ\0K\0\0\0\0\0";
    const KEY: &[u8] = b"K\0\0\0\x0c\0\0\x01\x02\xff\xff\xff\xff";

    /// The process that is named by messages which arrive in pieces of this size.
    fn named(messages: &[&[u8]], size: usize) -> i32 {
        let named = NamedProcess::default();
        let mut greeting = Greeting::new(named.clone());
        for piece in messages.concat().chunks(size) {
            greeting.hear(piece);
        }
        named.0.load(Ordering::Relaxed)
    }

    #[test]
    fn the_process_is_found_behind_whatever_comes_first_in_pieces_of_any_size() {
        for size in 1..=64 {
            assert_eq!(named(&[OK, STATUS, KEY], size), 258, "{size}");
        }
    }

    #[test]
    fn a_key_that_comes_after_the_greeting_is_data() {
        for end in [&b"Z\0\0\0\x05I"[..], b"E\0\0\0\x04"] {
            assert_eq!(named(&[OK, STATUS, end, KEY], 7), 0);
        }
        assert_eq!(named(&[OK, KEY, b"K\0\0\0\x0c\0\0\0\x09\0\0\0\0"], 7), 258);
    }

    #[test]
    fn no_process_is_the_one_that_was_never_named() {
        assert!(!NamedProcess::default().is(0));
    }
}
