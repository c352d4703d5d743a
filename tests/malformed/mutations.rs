//! How files are changed.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A change of some bytes.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Write(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Cut(Index),
    /// Another token in place of the one that stands there, if the file is text.
    Token(Index, &'static str),
    /// Checksums of PNG's chunks are made right again.
    Seal,
}

/// What numbers of a text are replaced by.
const NUMBERS: [&str; 22] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "0.5",
    "1e-320",
    "1e38",
    "1e39",
    "1e308",
    "1e999",
    "-1e999",
    "NaN",
    "inf",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999999",
];

/// What any token of a text is replaced by.
const TOKENS: [&str; 16] = [
    "\"\"",
    "null",
    "true",
    "[]",
    "{}",
    "[[",
    "]]",
    "{\"a\":",
    "\"\\ud800\"",
    "<a>",
    "</a>",
    "&a;",
    "../..",
    "\u{0}",
    "é\u{1b}[31m",
    "\n",
];

/// Some changes, one after another.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<Index>;
    let words = NUMBERS.iter().chain(&TOKENS).copied().collect::<Vec<_>>();
    let mutation = prop_oneof![
        3 => (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => (at(), integer()).prop_map(|(at, bytes)| Mutation::Write(at, bytes)),
        1 => (at(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (at(), 1..65_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (at(), 1..65_usize, 2..100_usize)
            .prop_map(|(at, count, times)| Mutation::Repeat(at, count, times)),
        1 => at().prop_map(Mutation::Cut),
        4 => (at(), select(words)).prop_map(|(at, word)| Mutation::Token(at, word)),
        2 => Just(Mutation::Seal),
    ];
    vec(mutation, 1..5)
}

/// A number of 1 to 8 bytes at an edge of its range.
fn integer() -> impl Strategy<Value = Vec<u8>> {
    select(integers())
}

fn integers() -> Vec<Vec<u8>> {
    let values = [0, 1, 2, 1 << 7, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 59, 1 << 63, u64::MAX];
    let near = values.into_iter().flat_map(|value| [value, value.wrapping_sub(1)]);
    let mut all: Vec<Vec<u8>> = near
        .flat_map(|value| {
            [1, 2, 4, 8].into_iter().flat_map(move |width| {
                let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
                [little[..width].to_vec(), big[8 - width..].to_vec()]
            })
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The bytes after all changes.
pub(crate) fn mutated(bytes: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for mutation in mutations {
        let len = bytes.len();
        if len == 0 {
            break;
        }
        match mutation {
            Mutation::Flip(at, bits) => bytes[at.index(len)] ^= bits,
            Mutation::Set(at, byte) => bytes[at.index(len)] = *byte,
            Mutation::Write(at, word) => put(&mut bytes, at.index(len), word),
            Mutation::Insert(at, word) => {
                drop(bytes.splice(at.index(len)..at.index(len), word.clone()));
            }
            Mutation::Remove(at, count) => drop(bytes.drain(part(at.index(len), *count, len))),
            Mutation::Repeat(at, count, times) => {
                let part = part(at.index(len), *count, len);
                let more = bytes[part.clone()].repeat(*times);
                bytes.splice(part.end..part.end, more);
            }
            Mutation::Cut(at) => bytes.truncate(at.index(len)),
            Mutation::Token(at, word) => {
                let tokens = tokens(&bytes);
                if !tokens.is_empty() {
                    let token = tokens[at.index(tokens.len())].clone();
                    bytes.splice(token, word.bytes());
                }
            }
            Mutation::Seal => seal(&mut bytes),
        }
    }
    bytes
}

fn part(at: usize, count: usize, len: usize) -> Range<usize> {
    at..len.min(at + count)
}

fn put(bytes: &mut [u8], at: usize, word: &[u8]) {
    let end = bytes.len().min(at + word.len());
    bytes[at..end].copy_from_slice(&word[..end - at]);
}

/// Bytes from the start in which every place is given extreme numbers.
const HEAD: usize = 96;

/// Every place near the start with extreme numbers in it, every token of a text as an extreme one, and every token deep inside of
/// lists, objects and elements; one of `stride` of them.
pub(crate) fn extremes(bytes: &[u8], stride: usize) -> impl Iterator<Item = Vec<u8>> {
    let integers = integers();
    let head = 0..bytes.len().min(HEAD);
    let binary = head.flat_map(move |at| {
        let words = integers.clone();
        words.into_iter().map(move |word| (at, word))
    });
    let binary = binary.step_by(stride).map(|(at, word)| {
        let mut changed = bytes.to_vec();
        put(&mut changed, at, &word);
        seal(&mut changed);
        changed
    });
    let deep = ["[", "{\"a\":", "<a>", "&", "\"", "a", "0", ".", "-", " ", "\n", ",", "|", "\u{0}"];
    let long = deep.map(|word| word.repeat(100_000));
    let words = NUMBERS.into_iter().chain(TOKENS).map(str::to_owned).chain(long);
    let words: Vec<String> = words.collect();
    let text = tokens(bytes).into_iter().flat_map(move |token| {
        let words = words.clone();
        words.into_iter().map(move |word| (token.clone(), word))
    });
    let text = text.step_by(stride).map(|(token, word)| {
        let mut changed = bytes.to_vec();
        changed.splice(token, word.bytes());
        changed
    });
    let whole = [Vec::new(), vec![0; 40_000], vec![0xff; 40_000], b"[".repeat(1 << 20)];
    binary.chain(text).chain(whole)
}

/// The words and numbers of a text; none if the file is no text.
fn tokens(bytes: &[u8]) -> Vec<Range<usize>> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let in_word = |c: char| c.is_alphanumeric() || "+-._".contains(c);
    let (mut tokens, mut start) = (Vec::new(), None);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, in_word(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                tokens.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    tokens
}

/// Makes the checksums of PNG's chunks right, as far as there are any.
fn seal(bytes: &mut [u8]) {
    let mut at = 8;
    if !bytes.starts_with(b"\x89PNG") {
        return;
    }
    while let Some(Ok(length)) = bytes.get(at..at + 4).map(<[u8; 4]>::try_from) {
        let end = (at + 8).saturating_add(u32::from_be_bytes(length) as usize);
        let Some(chunk) = bytes.get(at + 4..end) else { return };
        let sum = crc32(chunk).to_be_bytes();
        put(bytes, end, &sum);
        at = end + 4;
    }
}

/// The checksum of PNG (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}
