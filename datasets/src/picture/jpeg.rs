//! Whether a JPEG file is whole. Decoders do not ask: they make up the pixels that a file lacks.
//!
//! The markers have to lead to the end, and each scan has to hold all blocks: its Huffman codes are walked, without a picture being
//! made of them. A progressive file needs a first scan of each component; whether it was to have more of them to refine it, nothing
//! tells. Files with arithmetic codes are not walked.
//!
//! Source: ITU-T T.81 (1992), annexes B, F and G.

use super::{END, MAX_JPEG_PIXELS, MAX_PIXELS};

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
            0xd9 if has_scan => match &frame {
                Some(frame) if !frame.is_begun() => return Err((at, SHORT)),
                _ => return Ok(()),
            },
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
            0xc0..=0xc2 => frame = Frame::of(content, marker == 0xc2, bytes.len()),
            0xc3..=0xcf if marker != 0xc4 && marker != 0xc8 && marker != 0xcc => frame = None,
            0xc4 => tables.define(content),
            0xdd => restart = content.first_chunk().map_or(0, |n| u16::from_be_bytes(*n).into()),
            0xda => {
                has_scan = true;
                // What a table or a frame should be, and is not, the decoder tells.
                if let Some(frame) = &mut frame {
                    at = frame.walk(content, &tables, bytes, at, restart)?;
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

/// A picture.
struct Frame {
    height: usize,
    width: usize,
    components: Vec<Component>,
    is_progressive: bool,
}

struct Component {
    name: u8,
    /// Blocks along x and y in the smallest unit of all.
    sides: [usize; 2],
    /// Of a progressive picture, the coefficients of each block that are not 0 so far, a bit each.
    nonzero: Vec<u64>,
    is_begun: bool,
}

impl Frame {
    fn of(content: &[u8], is_progressive: bool, length: usize) -> Option<Self> {
        let &[_, a, b, c, d, _, ref rest @ ..] = content else { return None };
        let [height, width] = [[a, b], [c, d]].map(|side| usize::from(u16::from_be_bytes(side)));
        let component = |of: &[u8]| Component {
            name: of[0],
            sides: [of[1] >> 4, of[1] & 15].map(usize::from),
            nonzero: Vec::new(),
            is_begun: false,
        };
        let components: Vec<_> = rest.chunks_exact(3).map(component).collect();
        let is_sound = |of: &Component| of.sides.iter().all(|n| (1..=4).contains(n));
        // What is larger than a file of this length can be, the decoder refuses.
        let most = MAX_PIXELS.min((length as u64).saturating_mul(MAX_JPEG_PIXELS));
        let fits = (height * width) as u64 <= most && components.len() <= 4;
        // A height of 0 is told behind the scan.
        (height > 0 && fits && components.iter().all(is_sound)).then_some(Self {
            height,
            width,
            components,
            is_progressive,
        })
    }

    /// Whether there was a scan of each component.
    fn is_begun(&self) -> bool {
        !self.is_progressive || self.components.iter().all(|component| component.is_begun)
    }

    /// Walks a scan from a place on; returns the place behind it. One that makes no sense is passed over: the decoder tells.
    fn walk(
        &mut self,
        content: &[u8],
        tables: &Tables,
        bytes: &[u8],
        at: usize,
        restart: usize,
    ) -> Result<usize, (usize, &'static str)> {
        match self.scan(content, tables) {
            Some(mut scan) => scan.walk(bytes, at, restart),
            None => Ok(at),
        }
    }

    fn scan<'a>(&'a mut self, content: &[u8], tables: &'a Tables) -> Option<Scan<'a>> {
        let (&count, rest) = content.split_first()?;
        let most = |axis: usize| self.components.iter().map(|of| of.sides[axis]).max();
        let most = [most(0)?, most(1)?];
        let kind = match (self.is_progressive, rest.get(2 * usize::from(count)..)?) {
            (false, _) => Kind::Whole,
            (true, &[0, _, high, ..]) => Kind::Dc { is_first: high >> 4 == 0 },
            (true, &[from @ 1..=63, to @ ..=63, high, ..]) if from <= to && count == 1 => {
                Kind::Ac { from: from.into(), to: to.into(), is_first: high >> 4 == 0 }
            }
            _ => return None,
        };
        let [height, width] = [self.height, self.width];
        // A scan of one component has its blocks only; one of several fills up their common units.
        let own = |axis: usize, side: usize, sides: [usize; 2]| match count {
            1 => (side * sides[axis]).div_ceil(most[axis]).div_ceil(8),
            _ => side.div_ceil(8 * most[axis]),
        };
        let (mut blocks, mut units, mut refined) = (Vec::new(), 0, None);
        for of in rest.chunks_exact(2).take(count.into()) {
            let place = self.components.iter().position(|component| component.name == of[0])?;
            let component = &mut self.components[place];
            let [dc, ac] = [(0, of[1] >> 4), (1, of[1] & 15)].map(|(class, place)| {
                tables.0[class].get(usize::from(place)).and_then(Option::as_ref)
            });
            let sides = component.sides;
            units = own(0, width, sides) * own(1, height, sides);
            let repeated = if count == 1 { 1 } else { sides[0] * sides[1] };
            let is_known = match kind {
                Kind::Whole => dc.is_some() && ac.is_some(),
                Kind::Dc { is_first } => dc.is_some() || !is_first,
                Kind::Ac { .. } => ac.is_some(),
            };
            if !is_known {
                return None;
            }
            blocks.extend(std::iter::repeat_n((dc, ac), repeated));
            match kind {
                Kind::Ac { .. } => {
                    component.nonzero.resize(units, 0);
                    refined = Some(place);
                }
                Kind::Whole | Kind::Dc { .. } => component.is_begun = true,
            }
        }
        let nonzero = match refined {
            Some(place) => self.components[place].nonzero.as_mut_slice(),
            None => &mut [],
        };
        Some(Scan { kind, blocks, units, nonzero })
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

/// What a scan holds of each block.
#[derive(Clone, Copy)]
enum Kind {
    /// All of it: the picture is sequential.
    Whole,
    /// The mean, or one more bit of it.
    Dc { is_first: bool },
    /// Coefficients from … to …, or one more bit of them.
    Ac { from: u32, to: u32, is_first: bool },
}

/// What one scan holds.
struct Scan<'a> {
    kind: Kind,
    /// The tables of the blocks of a unit, for DC and AC, as far as it needs them.
    blocks: Vec<(Option<&'a Table>, Option<&'a Table>)>,
    units: usize,
    /// See [`Component::nonzero`]; of a scan of AC.
    nonzero: &'a mut [u64],
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
        &mut self,
        bytes: &[u8],
        at: usize,
        restart: usize,
    ) -> Result<usize, (usize, &'static str)> {
        let mut bits = Bits { bytes, at, byte: 0, left: 0 };
        // Blocks that have nothing more in this scan.
        let mut ended = 0;
        for unit in 0..self.units {
            if restart > 0 && unit > 0 && unit.is_multiple_of(restart) {
                let mut next = bits.at;
                match next_marker(bytes, &mut next) {
                    Some(0xd0..=0xd7) => {
                        (bits, ended) = (Bits { bytes, at: next, byte: 0, left: 0 }, 0);
                    }
                    _ => return Err((bits.at, SHORT)),
                }
            }
            for &(dc, ac) in &self.blocks {
                let walked = match (self.kind, dc, ac) {
                    (Kind::Whole, Some(dc), Some(ac)) => bits.block(dc, ac),
                    (Kind::Dc { is_first: true }, Some(dc), _) => bits.mean(dc),
                    (Kind::Dc { is_first: false }, ..) => bits.bit().map(drop),
                    (Kind::Ac { from, to, is_first }, _, Some(ac)) => {
                        let nonzero = &mut self.nonzero[unit];
                        match is_first {
                            true => bits.first(ac, from, to, nonzero, &mut ended),
                            false => bits.refine(ac, from, to, nonzero, &mut ended),
                        }
                    }
                    _ => Err(Stop::Damaged),
                };
                match walked {
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

    fn number(&mut self, bits: u32) -> Result<u32, Stop> {
        (0..bits).try_fold(0, |number, _| Ok(number << 1 | self.bit()?))
    }

    /// The mean of a block, or the difference to that of the one before.
    fn mean(&mut self, dc: &Table) -> Result<(), Stop> {
        let size = self.value(dc)?;
        self.skip(u32::from(size & 15))
    }

    /// Coefficients of a block for the first time (figure G.3); `ended` blocks have none, this one among them.
    fn first(
        &mut self,
        ac: &Table,
        from: u32,
        to: u32,
        nonzero: &mut u64,
        ended: &mut u32,
    ) -> Result<(), Stop> {
        if *ended > 0 {
            *ended -= 1;
            return Ok(());
        }
        let mut k = from;
        while k <= to {
            let value = self.value(ac)?;
            let (run, size) = (u32::from(value >> 4), u32::from(value & 15));
            match (run, size) {
                (15, 0) => k += 16,
                (_, 0) => {
                    *ended = (1 << run) - 1 + self.number(run)?;
                    break;
                }
                _ => {
                    self.skip(size)?;
                    k += run;
                    *nonzero |= 1_u64.checked_shl(k).unwrap_or_default();
                    k += 1;
                }
            }
        }
        Ok(())
    }

    /// One more bit of the coefficients of a block (figure G.7).
    fn refine(
        &mut self,
        ac: &Table,
        from: u32,
        to: u32,
        nonzero: &mut u64,
        ended: &mut u32,
    ) -> Result<(), Stop> {
        let mut k = from;
        while *ended == 0 && k <= to {
            let value = self.value(ac)?;
            let (mut run, size) = (u32::from(value >> 4), value & 15);
            if size > 0 {
                self.bit()?;
            } else if run < 15 {
                *ended = (1 << run) + self.number(run)?;
                break;
            }
            while k <= to {
                if *nonzero >> k & 1 == 1 {
                    self.bit()?;
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            if size > 0 && k <= to {
                *nonzero |= 1 << k;
            }
            k += 1;
        }
        if *ended > 0 {
            while k <= to {
                if *nonzero >> k & 1 == 1 {
                    self.bit()?;
                }
                k += 1;
            }
            *ended -= 1;
        }
        Ok(())
    }

    fn block(&mut self, dc: &Table, ac: &Table) -> Result<(), Stop> {
        self.mean(dc)?;
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

    /// Files of Java's `ImageIO`, grey and in colour, of stripes.
    const PROGRESSIVE: [&[u8]; 2] = [
        include_bytes!("../../tests/fixtures/progressive-grey.jpg"),
        include_bytes!("../../tests/fixtures/progressive-colour.jpg"),
    ];

    #[test]
    fn a_progressive_scan_that_is_cut_anywhere_is_noticed() {
        for whole in PROGRESSIVE {
            assert_eq!(check(whole), Ok(()));
            let scans = whole.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
            assert!(scans >= 6, "{scans} scans");
            let first = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
            let taken = (first..whole.len() - 3)
                .filter(|&cut| check(&[&whole[..cut], &[0xff, 0xd9][..]].concat()).is_ok());
            // Between two scans: nothing tells that there was to be another one. (A marker may begin with 0xff twice.)
            let is_marker = |at: usize| whole[at] == 0xff && [0xc4, 0xda].contains(&whole[at + 1]);
            let taken: Vec<usize> = taken.collect();
            let are_between = taken.iter().all(|&cut| is_marker(cut) || is_marker(cut - 1));
            assert!(are_between && taken.len() <= 4 * scans, "{taken:?}");
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
