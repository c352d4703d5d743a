//! The IDX format of MNIST and Fashion-MNIST.
//!
//! A big-endian header, then the data in row-major order:
//!
//! ```text
//! bytes   0, 1     zero
//! byte    2        type of the elements; 8 is unsigned bytes, the only one read here
//! byte    3        number of axes
//! bytes   4..      one unsigned 32-bit length per axis
//! ```
//!
//! Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits",
//! section "File formats".

use std::path::{Path, PathBuf};

use crate::source::{self, MAX_BYTES, Source};
use crate::{Error, Images, Split};

/// The classes of MNIST, in the order of the labels.
pub const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The classes of Fashion-MNIST, in the order of the labels.
///
/// Source: the README of Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, 2017, arXiv:1708.07747),
/// section "Labels".
pub const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Reads one split of MNIST ([`DIGITS`]), Fashion-MNIST ([`FASHION`]) or a data set stored alike.
///
/// The folder holds an image and a label file under their published names,
/// `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or `t10k-…` for the test split, plain
/// or with `.gz`; the spelling `train-images.idx3-ubyte` is found as well.
///
/// Shapes: images `[1, H, W]`, all of one size.
///
/// # Errors
///
/// A file that is missing or malformed, another number of labels than of images, or a label that
/// is not below the number of `classes`.
pub fn folder(folder: &Path, split: Split, classes: &[&str]) -> Result<Images, Error> {
    let images = Source::open(&find(folder, split, "images", 3)?)?;
    let labels = Source::open(&find(folder, split, "labels", 1)?)?;
    pair(images, labels, classes)
}

/// Reads a whole file of unsigned bytes with the given number of axes: its shape and its elements.
///
/// # Errors
///
/// A file that cannot be opened or is malformed: another type or number of axes, an axis of length
/// zero, more than 4 GiB, fewer or more elements than the header states.
pub fn read<const AXES: usize>(path: &Path) -> Result<([usize; AXES], Vec<u8>), Error> {
    parse(Source::open(path)?, |_, _| Ok(()))
}

/// Writes the header in front of the elements: the contents of an IDX file, not compressed.
///
/// # Panics
///
/// If the number of elements is not the product of the shape, or a length needs more than 32 bits.
#[track_caller]
pub fn encode<const AXES: usize>(shape: [usize; AXES], elements: &[u8]) -> Vec<u8> {
    let product: usize = shape.iter().product();
    assert_eq!(product, elements.len(), "idx: {} elements for {shape:?}", elements.len());
    let mut file = magic::<AXES>().to_vec();
    for length in shape {
        let length = u32::try_from(length).expect("an IDX length has 32 bits");
        file.extend(length.to_be_bytes());
    }
    file.extend(elements);
    file
}

/// An image file and its label file, read and held against each other.
pub(crate) fn pair(images: Source, labels: Source, classes: &[&str]) -> Result<Images, Error> {
    let ([count, height, width], pixels) = parse(images, |_, _| Ok(()))?;
    let labels_path = labels.path().to_owned();
    let (_, labels) = parse(labels, |source, [found]: [usize; 1]| {
        let expected = format!("{count} labels, as many as images");
        (found == count)
            .then_some(())
            .ok_or_else(|| Error::malformed(source.path(), 4, expected, found))
    })?;
    if let Some(i) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
        let expected = format!("a label below {}", classes.len());
        return Err(Error::malformed(&labels_path, 8 + i as u64, expected, labels[i]));
    }
    let labels = labels.into_iter().map(u32::from).collect();
    let classes = classes.iter().map(|class| class.to_string()).collect();
    Ok(Images::new([1, height, width], pixels, labels, classes))
}

const fn magic<const AXES: usize>() -> [u8; 4] {
    assert!(AXES > 0 && AXES < 256, "the number of axes of an IDX file is one byte");
    [0, 0, 8, AXES as u8]
}

/// Header, then elements, then the end. The caller may check the shape before the elements are
/// read.
fn parse<const AXES: usize>(
    mut source: Source,
    check: impl FnOnce(&Source, [usize; AXES]) -> Result<(), Error>,
) -> Result<([usize; AXES], Vec<u8>), Error> {
    let found = source.array::<4>("the magic number of an IDX file")?;
    if found != magic::<AXES>() {
        let expected = format!("the magic number {:02x?}", magic::<AXES>());
        return Err(Error::malformed(source.path(), 0, expected, format_args!("{found:02x?}")));
    }

    let mut shape = [0; AXES];
    for (axis, length) in shape.iter_mut().enumerate() {
        *length = u32::from_be_bytes(source.array("the length of an axis")?) as usize;
        if *length == 0 {
            let at = 4 + 4 * axis as u64;
            return Err(Error::malformed(source.path(), at, "a length of at least 1", 0));
        }
    }
    check(&source, shape)?;

    let header = 4 + 4 * AXES as u64;
    let room = source.capacity().saturating_sub(header).min(MAX_BYTES);
    let product = shape.iter().try_fold(1, |product: u64, &n| product.checked_mul(n as u64));
    let Some(size) = product.filter(|&size| size <= room) else {
        let expected = format!("a shape of at most {room} bytes, for a file of this length");
        return Err(Error::malformed(source.path(), 4, expected, format_args!("{shape:?}")));
    };
    let elements = source.bytes(size, "the elements")?;
    source.end()?;
    Ok((shape, elements))
}

fn find(folder: &Path, split: Split, what: &str, axes: u8) -> Result<PathBuf, Error> {
    let split = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let names = ["-", "."].map(|dot| format!("{split}-{what}{dot}idx{axes}-ubyte"));
    let [dash, dot] = &names;
    source::find(folder, &[dash, &format!("{dash}.gz"), dot, &format!("{dot}.gz")])
}
