//! Whether a JPEG file is whole. Decoders do not ask: they make up the pixels that a file lacks.
//!
//! The markers have to lead to the end, and the scans of a sequential file have to hold all blocks: their Huffman codes are
//! walked, without a picture being made of them. Scans of progressive files are not walked.
//!
//! Source: ITU-T T.81 (1992), annexes B and F.

use super::END;

/// A scan that ends before its last block.
const SHORT: &str = "a scan that ends before the picture does";

/// Whether the markers of a file lead to its end, and its scans to theirs; else the place and what stands there.
pub(super) fn check(bytes: &[u8]) -> Result<(), (usize, &'static str)> {
    let mut at = 2;
    let mut has_scan = false;
    let mut frame: Option<Frame> = None;
    let mut tables = Tables::default();
    let mut restart = 0;
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
        let length = usize::from(u16::from_be_bytes(*length)).max(2);
        let content = bytes.get(at + 2..at + length).unwrap_or_default();
        at += length;
        match marker {
            0xc0 | 0xc1 => frame = Frame::of(content),
            0xc2..=0xcf if marker != 0xc4 && marker != 0xc8 && marker != 0xcc => frame = None,
            0xc4 => tables.define(content),
            0xdd => restart = content.first_chunk().map_or(0, |n| u16::from_be_bytes(*n).into()),
            0xda => {
                has_scan = true;
                // What a table or a frame should be, and is not, the decoder tells.
                if let Some(scan) = frame.as_ref().and_then(|frame| frame.scan(content, &tables)) {
                    at = scan.walk(bytes, at, restart)?;
                }
            }
            _ => (),
        }
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

/// A picture whose blocks come one after another.
struct Frame {
    height: usize,
    width: usize,
    /// Name, and blocks along x and y in the smallest unit of all.
    components: Vec<(u8, [usize; 2])>,
}

impl Frame {
    fn of(content: &[u8]) -> Option<Self> {
        let &[_, a, b, c, d, _, ref rest @ ..] = content else { return None };
        let [height, width] = [[a, b], [c, d]].map(|side| usize::from(u16::from_be_bytes(side)));
        let component = |of: &[u8]| (of[0], [of[1] >> 4, of[1] & 15].map(usize::from));
        let components: Vec<_> = rest.chunks_exact(3).map(component).collect();
        let is_sound = |&(_, sides): &(u8, [usize; 2])| sides.iter().all(|n| (1..=4).contains(n));
        // A height of 0 is told behind the scan.
        (height > 0 && components.iter().all(is_sound)).then_some(Self {
            height,
            width,
            components,
        })
    }

    fn scan<'a>(&self, content: &[u8], tables: &'a Tables) -> Option<Scan<'a>> {
        let (&count, rest) = content.split_first()?;
        let most = |axis: usize| self.components.iter().map(|(_, sides)| sides[axis]).max();
        let most = [most(0)?, most(1)?];
        let mut blocks = Vec::new();
        let mut units = 0;
        for of in rest.chunks_exact(2).take(count.into()) {
            let (_, sides) = *self.components.iter().find(|(name, _)| *name == of[0])?;
            let [dc, ac] = [(0, of[1] >> 4), (1, of[1] & 15)].map(|(class, place)| {
                tables.0[class].get(usize::from(place)).and_then(Option::as_ref)
            });
            // A scan of one component has its blocks only; one of several fills up their common units.
            let own = |axis: usize, side: usize| match count {
                1 => (side * sides[axis]).div_ceil(most[axis]).div_ceil(8),
                _ => side.div_ceil(8 * most[axis]),
            };
            units = own(0, self.width) * own(1, self.height);
            let repeated = if count == 1 { 1 } else { sides[0] * sides[1] };
            blocks.extend(std::iter::repeat_n((dc?, ac?), repeated));
        }
        Some(Scan { blocks, units })
    }
}

/// Huffman tables for DC and AC, four of each at most.
#[derive(Default)]
struct Tables([[Option<Table>; 4]; 2]);

/// Of each length of code from 1: the first code that is too large for it, and where its values would begin if its codes began at 0.
struct Table {
    lengths: [(u32, i64); 16],
    values: Vec<u8>,
}

impl Tables {
    fn define(&mut self, mut content: &[u8]) {
        while let Some((&[head, ref counts @ ..], rest)) = content.split_first_chunk::<17>() {
            let total = counts.iter().map(|&n| usize::from(n)).sum();
            let Some((values, rest)) = rest.split_at_checked(total) else { return };
            let (mut code, mut first) = (0_u32, 0_i64);
            let lengths = std::array::from_fn(|i| {
                let offset = first - i64::from(code);
                code += u32::from(counts[i]);
                first += i64::from(counts[i]);
                let end = code;
                code <<= 1;
                (end, offset)
            });
            let place = self
                .0
                .get_mut(usize::from(head >> 4))
                .and_then(|of| of.get_mut(usize::from(head & 15)));
            if let Some(place) = place {
                *place = Some(Table { lengths, values: values.to_vec() });
            }
            content = rest;
        }
    }
}

/// What one scan holds.
struct Scan<'a> {
    /// The tables of the blocks of a unit.
    blocks: Vec<(&'a Table, &'a Table)>,
    units: usize,
}

/// Why a walk ends before its time.
enum Stop {
    /// A marker, or the end of the file.
    Short,
    /// A code that no table has: damage, about which the decoder decides.
    Damaged,
}

impl Scan<'_> {
    /// Walks all blocks from a place on; returns the place behind them.
    fn walk(
        &self,
        bytes: &[u8],
        at: usize,
        restart: usize,
    ) -> Result<usize, (usize, &'static str)> {
        let mut bits = Bits { bytes, at, byte: 0, left: 0 };
        for unit in 0..self.units {
            if restart > 0 && unit > 0 && unit.is_multiple_of(restart) {
                let mut next = bits.at;
                match next_marker(bytes, &mut next) {
                    Some(0xd0..=0xd7) => bits = Bits { bytes, at: next, byte: 0, left: 0 },
                    _ => return Err((bits.at, SHORT)),
                }
            }
            for &(dc, ac) in &self.blocks {
                match bits.block(dc, ac) {
                    Ok(()) => (),
                    Err(Stop::Short) => return Err((bits.at, SHORT)),
                    Err(Stop::Damaged) => return Ok(bits.at),
                }
            }
        }
        Ok(bits.at)
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    byte: u8,
    left: u32,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<u32, Stop> {
        if self.left == 0 {
            let byte = *self.bytes.get(self.at).ok_or(Stop::Short)?;
            if byte == 0xff {
                match self.bytes.get(self.at + 1) {
                    Some(0) => self.at += 1,
                    _ => return Err(Stop::Short),
                }
            }
            self.at += 1;
            (self.byte, self.left) = (byte, 8);
        }
        self.left -= 1;
        Ok(u32::from(self.byte >> self.left & 1))
    }

    fn skip(&mut self, mut count: u32) -> Result<(), Stop> {
        while count > 0 {
            let now = count.min(self.left);
            self.left -= now;
            count -= now;
            if count > 0 {
                self.bit()?;
                count -= 1;
            }
        }
        Ok(())
    }

    fn value(&mut self, table: &Table) -> Result<u8, Stop> {
        let mut code = 0;
        for (end, offset) in table.lengths {
            code = code << 1 | self.bit()?;
            if code < end {
                let place = usize::try_from(offset + i64::from(code)).map_err(|_| Stop::Damaged)?;
                return table.values.get(place).copied().ok_or(Stop::Damaged);
            }
        }
        Err(Stop::Damaged)
    }

    fn block(&mut self, dc: &Table, ac: &Table) -> Result<(), Stop> {
        let size = self.value(dc)?;
        self.skip(u32::from(size & 15))?;
        let mut k = 1;
        while k < 64 {
            let value = self.value(ac)?;
            let (run, size) = (usize::from(value >> 4), u32::from(value & 15));
            match (run, size) {
                (15, 0) => k += 16,
                (_, 0) => break,
                _ => {
                    k += run + 1;
                    self.skip(size)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};

    use super::*;

    fn pictures() -> Vec<Vec<u8>> {
        let colour = |width, height| {
            let pixel = |x: u32, y: u32| Rgb([(x * 37) as u8, (y * 91) as u8, (x * y * 13) as u8]);
            DynamicImage::from(RgbImage::from_fn(width, height, pixel))
        };
        let grey = GrayImage::from_fn(41, 23, |x, y| Luma([(x * 29 + y * 53) as u8]));
        let pictures = [colour(1, 1), colour(16, 16), colour(61, 35), grey.into()];
        let encoded = |picture: &DynamicImage| {
            let mut bytes = Vec::new();
            JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(picture).unwrap();
            bytes
        };
        pictures.iter().map(encoded).collect()
    }

    #[test]
    fn a_scan_that_is_cut_anywhere_is_noticed_though_an_end_is_put_behind_it() {
        for whole in pictures() {
            assert_eq!(check(&whole), Ok(()));
            let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
            let start =
                scan + 2 + usize::from(u16::from_be_bytes([whole[scan + 2], whole[scan + 3]]));
            for cut in start..whole.len() - 3 {
                let bytes = [&whole[..cut], &[0xff, 0xd9][..]].concat();
                assert!(check(&bytes).is_err(), "{cut} of {}", whole.len());
            }
        }
    }

    #[test]
    fn a_picture_that_is_higher_than_its_scan_is_noticed() {
        for mut bytes in pictures().split_off(1) {
            let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
            bytes[frame + 5] += 1; // 256 rows more
            assert!(matches!(check(&bytes), Err((_, SHORT))));
        }
    }
}
