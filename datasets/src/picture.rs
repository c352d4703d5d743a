//! One picture in a file, decoded with bounded memory: the only way in which pictures are read.
//!
//! Read are BMP, GIF, JPEG, PNG, TIFF and WebP files; what a file is is told by its contents, not its name. Of several
//! pictures in one file (an animation, pages) the first is read. A photograph is turned and reflected as its note on the
//! orientation (EXIF) says, so that a picture is what people see. Opacity is left away, as Pillow's `convert("RGB")` does;
//! 16 bits become 8; grey is the luminance of ITU-R BT.709.

mod jpeg;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use crate::detection::resample;
use crate::{Error, source};

/// The endings of names of pictures.
pub(crate) const EXTENSIONS: [&str; 8] =
    ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// The most bytes of a file.
pub(crate) const MAX_FILE: u64 = 1 << 28;

/// The most pixels of a side: JPEG has no more.
const MAX_SIDE: u32 = (1 << 16) - 1;

/// The most pixels of a picture, and bytes into which a file may be decoded, unless the file itself is large: then
/// [`MAX_GROWTH`] times its length. Photographs are decoded into about ten times their file.
const MAX_PIXELS: u64 = 1 << 26;
const MAX_SMALL: u64 = 1 << 26;
const MAX_GROWTH: u64 = 20;
/// The most pixels of a byte of a JPEG file: each block of 8 × 8 samples takes a bit, and a sample stands for at most 4 pixels.
const MAX_JPEG_PIXELS: u64 = 8 * 64 * 4;

/// What becomes of colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One channel: the luminance of ITU-R BT.709.
    Grey,
    /// Red, green and blue; three equal ones for a grey picture.
    Rgb,
}

impl Channels {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::Rgb => 3,
        }
    }
}

/// A picture of shape `[C, H, W]`: planes of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// Planes of rows: 0 is black, 255 is full intensity.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// What [`open`] refuses.
    pub fn read(path: &Path, channels: Channels) -> Result<Picture, Error> {
        Ok(Picture::of(open(path)?, channels))
    }

    /// A decoded picture in planes.
    pub(crate) fn of(decoded: DynamicImage, channels: Channels) -> Picture {
        let (height, width) = (decoded.height() as usize, decoded.width() as usize);
        let shape = [channels.count(), height, width];
        let pixels = match channels {
            Channels::Grey => decoded.into_luma8().into_raw(),
            Channels::Rgb => planes(&decoded.into_rgb8()),
        };
        Picture { shape, pixels }
    }

    /// The picture at another height and width, by a triangle filter, which averages where it shrinks. The ratio of the sides
    /// is not kept.
    ///
    /// # Panics
    ///
    /// If one of the two is 0.
    #[must_use]
    #[track_caller]
    pub fn resized(&self, height: usize, width: usize) -> Picture {
        assert!(height > 0 && width > 0, "resized: a size without pixels: {height} × {width}");
        let [channels, h, w] = self.shape;
        let planes = self.pixels.chunks_exact(h * w);
        let pixels = planes.flat_map(|plane| resample::resized(plane, [h, w], [height, width]));
        Picture { shape: [channels, height, width], pixels: pixels.collect() }
    }

    /// The largest part in the middle whose sides have the ratio of these, to whole pixels.
    #[must_use]
    pub fn cropped_to_ratio(&self, [height, width]: [usize; 2]) -> Picture {
        let [channels, h, w] = self.shape;
        // A side times the other's share, rounded; both are far below 2³².
        let share = |side: usize, of: usize, to: usize| {
            ((2 * side as u64 * of as u64 + to as u64) / (2 * to as u64).max(1)) as usize
        };
        let [new_h, new_w] = match (h as u64) * (width as u64) > (w as u64) * (height as u64) {
            true => [share(w, height, width).clamp(1, h), w],
            false => [h, share(h, width, height).clamp(1, w)],
        };
        let [top, left] = [(h - new_h) / 2, (w - new_w) / 2];
        let rows = (0..channels * h).filter(|row| (top..top + new_h).contains(&(row % h)));
        let rows = rows.flat_map(|row| &self.pixels[row * w + left..][..new_w]);
        Picture { shape: [channels, new_h, new_w], pixels: rows.copied().collect() }
    }
}

/// From interleaved colours to planes.
fn planes(image: &RgbImage) -> Vec<u8> {
    let mut planes = Vec::with_capacity(image.as_raw().len());
    for channel in 0..3 {
        planes.extend(image.as_raw().iter().skip(channel).step_by(3));
    }
    planes
}

/// Height and width of a picture as it is to be seen, from the head of its file.
///
/// # Errors
///
/// A path that is no file, or a file that is none of these pictures.
pub fn size(path: &Path) -> Result<[usize; 2], Error> {
    let (file, _) = source::open(path)?;
    Ok(head(path, BufReader::new(file), None)?.0)
}

/// Height and width of a picture as [`decode`] makes it, and whether it is left as it is stored.
pub(crate) fn head(
    path: &Path,
    file: impl BufRead + Seek,
    stated: Option<[usize; 2]>,
) -> Result<([usize; 2], bool), Error> {
    let reader = ImageReader::new(file).with_guessed_format();
    let reader = reader.map_err(|error| Error::io(path, error))?;
    let broken = |error: ImageError| Error::broken(path, 0, PICTURE, error);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if width.min(height) == 0 || u64::from(width) * u64::from(height) > MAX_PIXELS {
        let found = format_args!("{height} × {width} pixels");
        return Err(Error::broken(path, 0, format_args!("1 to {MAX_PIXELS} pixels"), found));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let as_stored = is_as_stored([height, width], orientation, stated);
    let [height, width] = [height, width].map(|side| side as usize);
    let is_turned = is_turned(orientation) && !as_stored;
    Ok((if is_turned { [width, height] } else { [height, width] }, as_stored))
}

/// Whether the name of a file ends as that of a picture: .bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff or .webp.
pub fn is_named_so(path: &Path) -> bool {
    let known = |e: &OsStr| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known));
    path.extension().is_some_and(known)
}

/// Reads a file as it is to be seen.
///
/// # Errors
///
/// A path that is no file; a file that is none of these pictures or is broken, cut off or too large: of more than 256 MiB,
/// 2²⁶ pixels or 65,535 pixels a side, or decoded into more than 64 MiB and 20 times its length.
pub fn open(path: &Path) -> Result<DynamicImage, Error> {
    of_bytes(path, &source::read(path, MAX_FILE)?)
}

/// The picture in these bytes, which are those of the file of this path.
pub(crate) fn of_bytes(path: &Path, bytes: &[u8]) -> Result<DynamicImage, Error> {
    Ok(decode(path, bytes, None)?.0)
}

/// The same. A photograph whose stated size is the one that it has before it is turned is left as it is stored, and this is told:
/// whoever stated its size saw it so.
pub(crate) fn decode(
    path: &Path,
    bytes: &[u8],
    stated: Option<[usize; 2]>,
) -> Result<(DynamicImage, bool), Error> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    let format = match image::guess_format(bytes) {
        Ok(format @ (Bmp | Gif | Jpeg | Png | Tiff | WebP)) => format,
        Ok(other) => {
            return Err(Error::broken(path, 0, PICTURE, format_args!("a picture in {other:?}")));
        }
        Err(_) => {
            let start = &bytes[..bytes.len().min(8)];
            return Err(Error::broken(path, 0, PICTURE, format_args!("{start:02x?}")));
        }
    };
    let end = match format {
        Png => walk_png(bytes),
        Jpeg => jpeg::check(bytes),
        _ => Ok(()),
    };
    if let Err((place, found)) = end {
        return Err(Error::broken(path, place as u64, "the rest of the picture", found));
    }
    // The cursor stays here, so that after an error it tells how far the decoder came.
    let mut cursor = Cursor::new(bytes);
    decode_as(format, &mut cursor, bytes.len() as u64, stated)
        .map_err(|[expected, found]| Error::broken(path, cursor.position(), expected, found))
}

/// Whether the chunks of a PNG file reach its last one; else the place and what stands there.
fn walk_png(bytes: &[u8]) -> Result<(), (usize, &'static str)> {
    let mut at = 8;
    loop {
        let head = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
        let Some(&[a, b, c, d, ref kind @ ..]) = head else { return Err((bytes.len(), END)) };
        // Length and kind in front of the contents, a check sum behind.
        let length = u32::from_be_bytes([a, b, c, d]) as usize + 12;
        if length > bytes.len() - at {
            return Err((bytes.len(), END));
        }
        if kind == b"IEND" {
            return Ok(());
        }
        at += length;
    }
}

/// The picture, or what was expected and what was found.
fn decode_as(
    format: ImageFormat,
    cursor: &mut Cursor<&[u8]>,
    length: u64,
    stated: Option<[usize; 2]>,
) -> Result<(DynamicImage, bool), [String; 2]> {
    let damaged = |error: ImageError| [PICTURE.to_string(), error.to_string()];
    let mut limits = Limits::default();
    let most = MAX_SMALL.max(length.saturating_mul(MAX_GROWTH));
    // What a decoder needs beside the picture that it returns.
    limits.max_alloc = Some(2 * most);
    let reader = ImageReader::with_format(cursor, format);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    let found = || format!("{height} × {width} pixels");
    if !(1..=MAX_PIXELS).contains(&pixels) || width.max(height) > MAX_SIDE {
        return Err([format!("1 to {MAX_PIXELS} pixels, at most {MAX_SIDE} a side"), found()]);
    }
    if format == ImageFormat::Jpeg && pixels > length.saturating_mul(MAX_JPEG_PIXELS) {
        return Err([
            "the rest of the picture".to_string(),
            format!("{length} bytes for {}", found()),
        ]);
    }
    if decoder.total_bytes() > most {
        let expected = format!("at most {most} bytes when decoded, for {length} in the file");
        return Err([expected, format!("{}, {} bytes", found(), decoder.total_bytes())]);
    }
    decoder.set_limits(limits).map_err(damaged)?;
    // A note that cannot be read is none.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    let as_stored = is_as_stored([height, width], orientation, stated);
    if !as_stored {
        picture.apply_orientation(orientation);
    }
    Ok((picture, as_stored))
}

/// Whether the stated size is that of the picture as it is stored, and not as it is seen.
fn is_as_stored(stored: [u32; 2], orientation: Orientation, stated: Option<[usize; 2]>) -> bool {
    is_turned(orientation)
        && stored[0] != stored[1]
        && stated == Some(stored.map(|side| side as usize))
}

/// Whether height and width change places.
fn is_turned(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

const PICTURE: &str = "a sound picture in BMP, GIF, JPEG, PNG, TIFF or WebP";
const END: &str = "the end of the file";

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let picture = RgbImage::from_fn(9, 7, |x, y| Rgb([x as u8 * 20, y as u8 * 30, 77]));
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    fn read(bytes: &[u8]) -> Picture {
        Picture::of(decode(Path::new("a"), bytes, None).unwrap().0, Channels::Rgb)
    }

    const FORMATS: [ImageFormat; 6] = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::Tiff,
        ImageFormat::WebP,
    ];

    /// A JPEG file of 16 × 8 pixels, the left half dark, with a note on its orientation.
    fn noted(orientation: u8) -> Vec<u8> {
        let picture = RgbImage::from_fn(16, 8, |x, _| Rgb([if x < 8 { 20 } else { 220 }; 3]));
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, ImageFormat::Jpeg).unwrap();
        let mut file = file.into_inner();
        // One entry of a directory: tag 0x112, a short.
        let note = [
            b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(),
            &[orientation, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let length = (note.len() as u16 + 2).to_be_bytes();
        file.splice(2..2, [&[0xff, 0xe1], &length[..], &note].concat());
        file
    }

    #[test]
    fn a_photograph_is_turned_as_its_note_says() {
        let corners = |orientation| {
            let Picture { shape: [_, height, width], pixels } = read(&noted(orientation));
            let bright = |y: usize, x: usize| pixels[y * width + x] > 100;
            let (bottom, right) = (height - 1, width - 1);
            ([height, width], [bright(0, 0), bright(0, right), bright(bottom, 0)])
        };
        assert_eq!(corners(1), ([8, 16], [false, true, false]));
        assert_eq!(corners(2), ([8, 16], [true, false, true]));
        assert_eq!(corners(3), ([8, 16], [true, false, true]));
        // Turned to the right: what was at the left is at the top.
        assert_eq!(corners(6), ([16, 8], [false, false, true]));
        assert_eq!(corners(8), ([16, 8], [true, true, false]));
        // No such orientation.
        assert_eq!(corners(77), ([8, 16], [false, true, false]));
    }

    #[test]
    fn a_photograph_whose_stated_size_is_the_stored_one_is_left_as_it_is_stored() {
        let read = |stated| {
            let (picture, as_stored) = decode(Path::new("a"), &noted(6), Some(stated)).unwrap();
            ([picture.height(), picture.width()], as_stored)
        };
        assert_eq!(read([8, 16]), ([8, 16], true));
        assert_eq!(read([16, 8]), ([16, 8], false));
        assert_eq!(read([9, 9]), ([16, 8], false));
    }

    #[test]
    fn six_formats_are_read() {
        for format in FORMATS {
            let picture = read(&encoded(format));
            assert_eq!(picture.shape, [3, 7, 9], "{format:?}");
            if !matches!(format, ImageFormat::Jpeg) {
                let at = |channel: usize| picture.pixels[channel * 63 + 3 * 9 + 5];
                assert_eq!([at(0), at(1), at(2)], [100, 90, 77], "{format:?}");
            }
        }
    }

    #[test]
    fn opacity_is_left_away_and_16_bits_become_8() {
        let file = |picture: DynamicImage| {
            let mut file = Cursor::new(Vec::new());
            picture.write_to(&mut file, ImageFormat::Png).unwrap();
            read(&file.into_inner()).pixels
        };
        let clear = image::RgbaImage::from_pixel(1, 1, image::Rgba([10, 20, 30, 0]));
        assert_eq!(file(clear.into()), [10, 20, 30]);
        let deep = image::ImageBuffer::from_pixel(1, 1, image::Luma([0x80ff_u16]));
        assert_eq!(file(DynamicImage::ImageLuma16(deep)), [128; 3]);
    }

    #[test]
    fn what_stands_behind_the_end_of_a_picture_is_passed_over() {
        for format in FORMATS {
            let file = [encoded(format), b"\xff\xda more \xff\xd8\xff\xda".to_vec()].concat();
            assert_eq!(read(&file), read(&encoded(format)), "{format:?}");
        }
    }

    #[test]
    fn a_small_file_of_a_large_or_endless_picture_is_refused() {
        let png = |width: u32, height: u32| {
            let mut file = encoded(ImageFormat::Png);
            file[16..20].copy_from_slice(&width.to_be_bytes());
            file[20..24].copy_from_slice(&height.to_be_bytes());
            let mut crc = flate2::Crc::new();
            crc.update(&file[12..29]);
            file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
            message(&file)
        };
        let found = "expected 1 to 67108864 pixels, at most 65535 a side; found";
        for (width, height) in [(1 << 26, 1), (1, 1 << 16), (1 << 14, 1 << 13)] {
            let message = png(width, height);
            let found = format!("{found} {height} × {width} pixels");
            assert!(message.ends_with(&found), "{message}");
        }
        for (width, height) in [(0, 5), (1 << 16, 1 << 16), (u32::MAX, u32::MAX)] {
            assert!(png(width, height).starts_with("a.png: byte "));
        }
        let large = png(1 << 13, 1 << 13);
        assert!(large.contains("expected at most 67108864 bytes when decoded, for "), "{large}");
    }

    #[test]
    fn a_long_and_thin_picture_is_resized_within_memory() {
        let picture = Picture { shape: [1, 1, 65_535], pixels: vec![7; 65_535] };
        let resized = picture.resized(28, 28);
        assert_eq!((resized.shape, resized.pixels), ([1, 28, 28], vec![7; 784]));
    }

    fn message(bytes: &[u8]) -> String {
        decode(Path::new("a.png"), bytes, None).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn colours_become_planes() {
        let picture = read(&encoded(ImageFormat::Png));
        assert_eq!((picture.shape, picture.pixels.len()), ([3, 7, 9], 189));
        let at = |channel: usize, y: usize, x: usize| picture.pixels[channel * 63 + y * 9 + x];
        assert_eq!((at(0, 3, 5), at(1, 3, 5), at(2, 3, 5)), (100, 90, 77));
    }

    #[test]
    fn a_truncated_picture_is_refused_with_the_place() {
        for format in FORMATS {
            let file = encoded(format);
            for length in 0..file.len() {
                match decode(Path::new("a.png"), &file[..length], None) {
                    Err(error) => {
                        let message = error.to_string();
                        assert!(message.starts_with("a.png: byte "), "{format:?}: {message}");
                    }
                    // What tells others that a picture has ended may be missing, but nothing of the picture.
                    Ok((picture, _)) => {
                        assert!(!matches!(format, ImageFormat::Png | ImageFormat::Jpeg));
                        let picture = Picture::of(picture, Channels::Rgb);
                        assert_eq!(picture, read(&file), "{format:?} {length} of {}", file.len());
                    }
                }
            }
        }
    }

    #[test]
    fn other_contents_are_refused_whatever_the_name() {
        let found = message(b"\0\0\x01\0 and more");
        assert_eq!(found, format!("a.png: byte 0: expected {PICTURE}; found a picture in Ico"));
        let found = message(b"text");
        assert_eq!(found, format!("a.png: byte 0: expected {PICTURE}; found [74, 65, 78, 74]"));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 600,
            rng_seed: RngSeed::Fixed(1),
            ..Default::default()
        })]

        #[test]
        fn a_damaged_picture_is_an_error_or_a_picture_and_never_a_panic(
            format in 0..FORMATS.len(),
            damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
        ) {
            let mut file = encoded(FORMATS[format]);
            let length = file.len();
            for (at, byte) in damage {
                file[at % length] = byte;
            }
            if let Err(error) = decode(Path::new("a"), &file, None) {
                prop_assert!(error.to_string().starts_with("a: byte "), "{error}");
            }
        }
    }
}
