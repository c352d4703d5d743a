//! A part of Fashion-MNIST that is built in, so that programs and tests run without any download.

use std::path::Path;

use crate::source::Source;
use crate::{Images, Split, idx};

const TRAIN_IMAGES: &[u8] = include_bytes!("../sample/train-images-idx3-ubyte.gz");
const TRAIN_LABELS: &[u8] = include_bytes!("../sample/train-labels-idx1-ubyte.gz");
const TEST_IMAGES: &[u8] = include_bytes!("../sample/t10k-images-idx3-ubyte.gz");
const TEST_LABELS: &[u8] = include_bytes!("../sample/t10k-labels-idx1-ubyte.gz");

/// The first 600 training and the first 100 test images of each class of Fashion-MNIST, in the
/// order of the originals: 6,000 and 1,000 images of shape `[1, 28, 28]`.
///
/// Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747; under the MIT
/// licence, see `sample/LICENSE`. The example `make_sample` made the files.
#[expect(clippy::missing_panics_doc, reason = "the files are built in, and tested")]
pub fn fashion(split: Split) -> Images {
    let (images, labels) = match split {
        Split::Train => (
            gzip("train-images-idx3-ubyte.gz", TRAIN_IMAGES),
            gzip("train-labels-idx1-ubyte.gz", TRAIN_LABELS),
        ),
        Split::Test => (
            gzip("t10k-images-idx3-ubyte.gz", TEST_IMAGES),
            gzip("t10k-labels-idx1-ubyte.gz", TEST_LABELS),
        ),
    };
    idx::pair(images, labels, &idx::FASHION).expect("the embedded files are sound")
}

fn gzip(name: &str, bytes: &'static [u8]) -> Source<'static> {
    Source::gzip(Path::new(name), bytes, bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_sound_and_balanced() {
        for (split, each) in [(Split::Train, 600), (Split::Test, 100)] {
            let images = fashion(split);
            assert_eq!(images.shape(), [1, 28, 28]);
            assert_eq!(images.count_by_class(), [each; 10]);
            assert_eq!(images.classes(), idx::FASHION);
        }
    }

    #[test]
    fn the_sample_has_the_statistics_of_the_whole() {
        let normalize = crate::Normalize::of(&fashion(Split::Train)).unwrap();
        let whole = crate::Normalize::fashion_mnist();
        assert!((normalize.mean[0] - whole.mean[0]).abs() < 0.005, "{normalize:?}");
        assert!((normalize.std[0] - whole.std[0]).abs() < 0.005, "{normalize:?}");
    }
}
