//! One PNG or JPEG file, decoded with bounded memory.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage,
};

use crate::Error;
use crate::image_folder::Channels;
use crate::source::Source;

/// The most bytes of a file, and the most pixels of the picture in it.
const MAX_FILE: u64 = 1 << 28;
const MAX_PIXELS: u64 = 1 << 26;

/// A picture of shape `[C, H, W]`.
pub(crate) struct Picture {
    pub(crate) shape: [usize; 3],
    pub(crate) pixels: Vec<u8>,
}

impl Picture {
    pub(crate) fn read(path: &Path, channels: Channels) -> Result<Picture, Error> {
        let mut source = Source::open(path)?;
        let length = source.capacity();
        if length > MAX_FILE {
            return Err(Error::malformed(
                path,
                0,
                format_args!("at most {MAX_FILE} bytes"),
                length,
            ));
        }
        let decoded = decode(path, &source.bytes(length, "a picture")?)?;
        Ok(match channels {
            Channels::Grey => Picture::grey(decoded.into_luma8()),
            Channels::Rgb => Picture::rgb(&decoded.into_rgb8()),
        })
    }

    /// The picture at the height and width of `shape`.
    pub(crate) fn resized(self, shape: [usize; 3]) -> Picture {
        let side = |n: usize| u32::try_from(n).expect("the size was checked to fit into memory");
        let (height, width) = (side(shape[1]), side(shape[2]));
        let plane = self.shape[1] * self.shape[2];
        let planes = self.pixels.chunks_exact(plane).flat_map(|plane| {
            let plane =
                GrayImage::from_raw(side(self.shape[2]), side(self.shape[1]), plane.to_vec())
                    .expect("a plane has height times width bytes");
            imageops::resize(&plane, width, height, FilterType::Triangle).into_raw()
        });
        Picture { shape: [self.shape[0], shape[1], shape[2]], pixels: planes.collect() }
    }

    fn grey(image: GrayImage) -> Picture {
        let (width, height) = image.dimensions();
        Picture { shape: [1, height as usize, width as usize], pixels: image.into_raw() }
    }

    /// From interleaved colours to planes.
    fn rgb(image: &RgbImage) -> Picture {
        let (width, height) = image.dimensions();
        let plane = |channel| image.as_raw().iter().skip(channel).step_by(3).copied();
        let pixels = (0..3).flat_map(plane).collect();
        Picture { shape: [3, height as usize, width as usize], pixels }
    }
}

fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage, Error> {
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => format,
        Ok(other) => {
            return Err(Error::malformed(path, 0, PICTURE, format_args!("a picture in {other:?}")));
        }
        Err(_) => {
            let start = &bytes[..bytes.len().min(8)];
            return Err(Error::malformed(path, 0, PICTURE, format_args!("{start:02x?}")));
        }
    };

    if !has_end(format, bytes) {
        let found = "the end of the file";
        return Err(Error::malformed(path, bytes.len() as u64, "the end of the picture", found));
    }

    // The cursor stays here, so that after an error it tells how far the decoder came.
    let mut cursor = Cursor::new(bytes);
    decode_as(format, &mut cursor)
        .map_err(|[expected, found]| Error::malformed(path, cursor.position(), expected, found))
}

/// Whether the picture reaches its end marker. The decoder of JPEG does not ask: it makes up the
/// pixels that a truncated file lacks.
fn has_end(format: ImageFormat, bytes: &[u8]) -> bool {
    if format == ImageFormat::Png {
        return bytes.windows(8).rev().any(|chunk| chunk == b"IEND\xae\x42\x60\x82");
    }
    // Start of scan and end of image: neither marker can occur within the data of a scan.
    let (scan, end) = ([0xff, 0xda], [0xff, 0xd9]);
    bytes.windows(2).rev().find(|&marker| marker == scan || marker == end) == Some(&end)
}

/// The picture, or what was expected and what was found.
fn decode_as(format: ImageFormat, cursor: &mut Cursor<&[u8]>) -> Result<DynamicImage, [String; 2]> {
    let damaged = |error: ImageError| [PICTURE.to_string(), error.to_string()];
    let decoder = ImageReader::with_format(cursor, format).into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let found = format!("{height} × {width} pixels");
        return Err([format!("at most {MAX_PIXELS} pixels"), found]);
    }
    DynamicImage::from_decoder(decoder).map_err(damaged)
}

const PICTURE: &str = "a sound PNG or JPEG picture";

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

    fn message(bytes: &[u8]) -> String {
        decode(Path::new("a.png"), bytes).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn colours_become_planes() {
        let decoded = decode(Path::new("a.png"), &encoded(ImageFormat::Png)).unwrap();
        let picture = Picture::rgb(&decoded.into_rgb8());
        assert_eq!((picture.shape, picture.pixels.len()), ([3, 7, 9], 189));
        let at = |channel: usize, y: usize, x: usize| picture.pixels[channel * 63 + y * 9 + x];
        assert_eq!((at(0, 3, 5), at(1, 3, 5), at(2, 3, 5)), (100, 90, 77));
    }

    #[test]
    fn a_truncated_picture_is_refused_with_the_place() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let file = encoded(format);
            for length in 0..file.len() {
                let message = message(&file[..length]);
                assert!(message.starts_with("a.png: byte "), "{format:?} {length}: {message}");
            }
        }
    }

    #[test]
    fn other_contents_are_refused_whatever_the_name() {
        let found = message(b"GIF89a and more");
        assert_eq!(found, format!("a.png: byte 0: expected {PICTURE}; found a picture in Gif"));
        let found = message(b"text");
        assert_eq!(found, format!("a.png: byte 0: expected {PICTURE}; found [74, 65, 78, 74]"));
    }

    #[test]
    fn a_header_of_a_gigantic_picture_is_refused_before_memory_is_taken() {
        // Width and height stand in bytes 16 to 23, their check sum in bytes 29 to 32.
        let mut file = encoded(ImageFormat::Png);
        file[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let mut crc = flate2::Crc::new();
        crc.update(&file[12..29]);
        file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let message = message(&file);
        let found = "expected at most 67108864 pixels; found 65536 × 65536 pixels";
        assert!(message.ends_with(found), "{message}");
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 300,
            rng_seed: RngSeed::Fixed(1),
            ..Default::default()
        })]

        #[test]
        fn a_damaged_picture_is_an_error_or_a_picture_and_never_a_panic(
            png: bool,
            damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
        ) {
            let mut file = encoded(if png { ImageFormat::Png } else { ImageFormat::Jpeg });
            let length = file.len();
            for (at, byte) in damage {
                file[at % length] = byte;
            }
            if let Err(error) = decode(Path::new("a"), &file) {
                prop_assert!(error.to_string().starts_with("a: byte "), "{error}");
            }
        }
    }
}
