//! TensorBoard's event files: records with checksums, each a protobuf message.
//!
//! A record (TFRecord, tensorflow/core/lib/io/record_writer.h): the length of the data as u64, a masked CRC-32C of those eight
//! bytes, the data, a masked CRC-32C of the data; all little-endian. The data is a message `Event` of
//! tensorflow/core/util/event.proto, and of tensorflow/core/framework/summary.proto what a scalar needs:
//!
//! ```text
//! Event      { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }
//! Summary    { repeated Value value = 1; }    Value { string tag = 1; float simple_value = 2; }
//! SessionLog { SessionStatus status = 1; }    START = 1
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::system;

/// Writes one event file.
#[derive(Debug)]
pub(crate) struct Events {
    path: PathBuf,
}

impl Events {
    const PREFIX: &str = "events.out.tfevents.";

    /// Begins a file `events.out.tfevents.TIME.HOST.wavetape` in a folder, of a run that goes on after `step`.
    ///
    /// Readers take the files in the order of their names, and drop what they have read of this step and of later ones when they
    /// meet a START that is not the folder's first.
    pub(crate) fn begin(folder: &Path, step: u64) -> io::Result<Self> {
        let mut second = seconds() as u64;
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let time = name.to_str().and_then(|name| name.strip_prefix(Self::PREFIX));
            let time = time.and_then(|rest| rest.split('.').next()?.parse::<u64>().ok());
            // Two files of one second, or a clock that was set back.
            second = second.max(time.map_or(0, |time| time.saturating_add(1)));
        }
        let name = format!("{}{second:010}.{}.wavetape", Self::PREFIX, system::host());
        let events = Self { path: folder.join(name) };
        OpenOptions::new().write(true).create_new(true).open(&events.path)?;
        let version = event(seconds(), 0, &bytes(3, b"brain.Event:2"));
        let start = event(seconds(), step, &bytes(7, &varint(1, 1)));
        events.append(&[record(&version), record(&start)].concat())?;
        Ok(events)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the scalars of a step.
    pub(crate) fn scalars(&self, step: u64, scalars: &[(String, f64)]) -> io::Result<()> {
        if scalars.is_empty() {
            return Ok(());
        }
        self.append(&record(&event(seconds(), step, &summary(scalars))))
    }

    /// In one call, so that a crash leaves whole records; opened anew, so that a folder that is gone is noticed.
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).open(&self.path)?.write_all(bytes)
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// An `Event` with one more field.
fn event(wall_time: f64, step: u64, field: &[u8]) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(wall_time.to_le_bytes());
    if step > 0 {
        event.extend(varint(2, step)); // a number that is absent is 0
    }
    event.extend(field);
    event
}

/// The field `summary` of an `Event`.
fn summary(scalars: &[(String, f64)]) -> Vec<u8> {
    let value = |(tag, value): &(String, f64)| {
        let mut scalar = bytes(1, tag.as_bytes());
        scalar.push(2 << 3 | 5);
        scalar.extend((*value as f32).to_le_bytes());
        bytes(1, &scalar)
    };
    bytes(5, &scalars.iter().flat_map(value).collect::<Vec<u8>>())
}

/// A field of bytes: text or a message.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    push_varint(&mut out, content.len() as u64);
    out.extend(content);
    out
}

/// A field that is a number.
fn varint(field: u8, value: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    push_varint(&mut out, value);
    out
}

/// Seven bits a byte, lowest first; the highest bit says that more follow.
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A record with this data.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked_crc(data).to_le_bytes());
    out
}

/// The checksum, masked so that it can stand in data that is checked itself (tensorflow/core/lib/hash/crc32c.h).
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), RFC 3720 B.4.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        let byte = (crc ^ u32::from(byte)) & 0xff;
        (0..8).fold(byte, |low, _| low >> 1 ^ if low & 1 == 1 { 0x82f6_3b78 } else { 0 }) ^ crc >> 8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_rfc() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn records_are_framed_and_checked_as_tensorflow_does() {
        // What tensorboard.summary.writer.record_writer and event_pb2 write for the same events.
        let version = record(&event(1.5, 0, &bytes(3, b"brain.Event:2")));
        assert_eq!(hex(&version), VERSION);
        let start = record(&event(1.5, 300, &bytes(7, &varint(1, 1))));
        assert_eq!(hex(&start), START);
        let scalars = [("train/loss".to_owned(), 0.25), ("rate".to_owned(), 2e-3)];
        assert_eq!(hex(&record(&event(2.5, 301, &summary(&scalars)))), SCALARS);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    const VERSION: &str =
        "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
    const START: &str = "100000000000000095fbfe1809000000000000f83f10ac023a020801713b788a";
    const SCALARS: &str = "2e00000000000000c5cb57fa09000000000000044010ad022a200a110a0a747261696e2f6c6f7373150000803e0a0b0a0472617465156f12033b608c9ec8";
}
