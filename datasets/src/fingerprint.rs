//! A hash by which data are known again.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Makes a hash of 64 bits (XXH3) from the parts of a data set. Each part counts with its length, so that none can be
/// taken for the end of the one before. It is the same on all machines and in all versions of the program.
///
/// It tells other data from the same ones, not forged ones from genuine ones.
pub(crate) struct Fingerprint(Xxh3Default);

impl Fingerprint {
    /// Of data of this kind.
    pub(crate) fn of(kind: &str) -> Self {
        let mut new = Self(Xxh3Default::new());
        new.text(kind);
        new
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn texts(&mut self, texts: &[String]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    pub(crate) fn numbers<T: TryInto<u64>>(&mut self, numbers: impl IntoIterator<Item = T>) {
        for number in numbers {
            // Counts and sizes of data in memory always fit.
            self.number(number.try_into().unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn floats(&mut self, floats: impl IntoIterator<Item = f32>) {
        self.numbers(floats.into_iter().map(f32::to_bits));
    }

    pub(crate) fn finish(self) -> u64 {
        self.0.digest()
    }
}

/// The hash of the contents of a file.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}
