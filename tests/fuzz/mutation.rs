//! Makes inputs that are nearly right out of ones that are.

use std::ops::Range;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// Inputs grow no longer than this, except by what is put in last.
const LONGEST: usize = 4_096;
/// Most changes to one example.
const MOST_CHANGES: usize = 6;

/// Pieces that parsers trip over: their own signs, numbers at the edges of types, and bytes that are no text.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\"\"",
    b"'",
    b",",
    b";",
    b":",
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b" ",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"-",
    b"+",
    b".",
    b"e",
    b"1e999",
    b"0",
    b"-0",
    b"1",
    b"-1",
    b"007",
    b"2147483647",
    b"2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-9223372036854775808",
    b"99999999999999999999999999",
    b"0.001",
    b"99999999.99",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x92\xa5",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    b"=",
    b"#",
    b"\"\"\"",
    b"*",
    b"$",
    b"$-1\r\n",
    b"*0\r\n",
    b":1\r\n",
    b"*-1\r\n",
    b"$9223372036854775807\r\n",
    b"%",
    b"order_id",
    b"product",
    b"quantity",
    b"price",
    b"correlation_id",
    b"Fri, 31 Dec 9999 23:59:59 GMT",
    b"Thu, 01 Jan 1970 00:00:00 GMT",
    b"location: ",
    b"retry-after: ",
    b"http://other.example/",
    b"//",
    b"..",
    b"@",
    b"%00",
    b"reference",
];

pub(crate) struct Mutator<'a> {
    random: StdRng,
    examples: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    /// The same seed and examples make the same inputs.
    pub(crate) fn new(seed: u64, examples: &'a [Vec<u8>]) -> Self {
        Self { random: StdRng::seed_from_u64(seed), examples }
    }

    pub(crate) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.examples.choose(&mut self.random).cloned().unwrap_or_default();
        for _ in 0..self.random.random_range(1..=MOST_CHANGES) {
            self.change(&mut input);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let part = self.part_of(input);
        match self.random.random_range(0..8) {
            0 => drop(input.drain(part)),
            1 => {
                let other = self.examples.choose(&mut self.random).cloned().unwrap_or_default();
                let piece = self.part_of(&other);
                input.splice(part, other[piece].iter().copied());
            }
            2 if input.len() < LONGEST => {
                let piece = input[part.clone()].to_vec();
                let times = self.random.random_range(1..=8);
                input.splice(part.start..part.start, piece.repeat(times));
            }
            3 => {
                for byte in &mut input[part] {
                    *byte = byte.wrapping_add(self.random.random_range(0..=2)).wrapping_sub(1);
                }
            }
            4 => input.splice(part, [self.random.random()]).for_each(drop),
            5 => input.truncate(part.start),
            6 => self.put_in(input, part),
            _ => self.put_in(input, part.start..part.start),
        }
    }

    fn put_in(&mut self, input: &mut Vec<u8>, part: Range<usize>) {
        let piece = PIECES.choose(&mut self.random).copied().unwrap_or_default();
        input.splice(part, piece.iter().copied());
    }

    /// Mostly short: what surrounds the change stays right.
    fn part_of(&mut self, input: &[u8]) -> Range<usize> {
        let start = self.random.random_range(0..=input.len());
        let longest = match self.random.random_range(0..8) {
            0 => input.len(),
            1..4 => 8,
            _ => 1,
        };
        start..(start + self.random.random_range(0..=longest)).min(input.len())
    }
}
