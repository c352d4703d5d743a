//! Whether a JPEG file is whole. Decoders do not ask: they make up the pixels that a file lacks.

use super::END;

/// Whether the markers of a file lead to its end; else the place and what stands there.
pub(super) fn check(bytes: &[u8]) -> Result<(), (usize, &'static str)> {
    let mut at = 2;
    let mut has_scan = false;
    loop {
        let Some(marker) = next_marker(bytes, &mut at) else { return Err((bytes.len(), END)) };
        match marker {
            0xd9 if has_scan => return Ok(()),
            0xd9 => return Err((at, "an end without a picture")),
            // Without contents; between a scan's parts those of restarts.
            0x01 | 0xd0..=0xd8 => continue,
            _ => (),
        }
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) else {
            return Err((bytes.len(), END));
        };
        at += usize::from(u16::from_be_bytes(*length)).max(2);
        has_scan |= marker == 0xda;
    }
}

/// The next marker from `at` on, which is moved behind it. In a scan, 0xff 0x00 stands for a byte 0xff.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        *at += bytes.get(*at..)?.iter().position(|&byte| byte == 0xff)? + 1;
        match *bytes.get(*at)? {
            0x00 => *at += 1,
            0xff => (),
            marker => {
                *at += 1;
                return Some(marker);
            }
        }
    }
}
