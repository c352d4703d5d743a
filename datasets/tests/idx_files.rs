//! IDX files, sound and broken.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use datasets::{Error, Split, idx};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn written(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The message without the folder in front of the file name.
fn message(error: &Error) -> String {
    error.to_string().rsplit('/').next().unwrap().to_string()
}

fn message_of_images(name: &str, bytes: &[u8]) -> String {
    let (_folder, path) = written(name, bytes);
    message(&idx::read::<3>(&path).unwrap_err())
}

/// Three images of 2 × 2 pixels.
fn three_images() -> Vec<u8> {
    idx::encode([3, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
}

fn write_pair(folder: &Path, images: (&str, &[u8]), labels: (&str, &[u8])) {
    fs::write(folder.join(images.0), images.1).unwrap();
    fs::write(folder.join(labels.0), labels.1).unwrap();
}

#[test]
fn both_splits_are_found_under_all_their_names() {
    let labels = idx::encode([3], &[2, 0, 1]);
    for (split, prefix) in [(Split::Train, "train"), (Split::Test, "t10k")] {
        for dot in ["-", "."] {
            for compressed in [false, true] {
                let name = |what: &str, axes| {
                    let gz = if compressed { ".gz" } else { "" };
                    format!("{prefix}-{what}{dot}idx{axes}-ubyte{gz}")
                };
                let stored = |bytes: &[u8]| if compressed { gzip(bytes) } else { bytes.to_vec() };
                let folder = tempfile::tempdir().unwrap();
                let (images, labels) = (stored(&three_images()), stored(&labels));
                let names = (name("images", 3), name("labels", 1));
                write_pair(folder.path(), (&names.0, &images), (&names.1, &labels));

                let images = idx::folder(folder.path(), split, &["a", "b", "c"]).unwrap();
                assert_eq!((images.len(), images.shape()), (3, [1, 2, 2]));
                assert_eq!((&*images.image(1).unwrap(), images.label(1)), (&[4, 5, 6, 7][..], 0));
            }
        }
    }
}

#[test]
fn a_missing_file_is_named_with_all_its_spellings() {
    let folder = tempfile::tempdir().unwrap();
    let error = idx::folder(folder.path(), Split::Test, &idx::DIGITS).unwrap_err();
    let names = "t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz \
                 or t10k-images.idx3-ubyte or t10k-images.idx3-ubyte.gz";
    assert!(error.to_string().ends_with(&format!(": expected {names}; found none")), "{error}");

    let absent = folder.path().join("absent");
    let error = idx::folder(&absent, Split::Test, &idx::DIGITS).unwrap_err();
    assert!(matches!(error, Error::Io { path, .. } if path == absent));
}

#[test]
fn images_and_labels_have_to_agree() {
    let folder = tempfile::tempdir().unwrap();
    let read = |labels: &[u8]| {
        let labels = gzip(&idx::encode([labels.len()], labels));
        let images = gzip(&three_images());
        let names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz");
        write_pair(folder.path(), (names.0, &images), (names.1, &labels));
        message(&idx::folder(folder.path(), Split::Train, &["a", "b"]).unwrap_err())
    };
    let file = "train-labels-idx1-ubyte.gz";
    let expected = "expected 3 labels, as many as images; found 2";
    assert_eq!(read(&[0, 1]), format!("{file}: byte 4: {expected}"));
    assert_eq!(read(&[0, 1, 7]), format!("{file}: byte 10: expected a label below 2; found 7"));
}

#[test]
fn every_broken_rule_is_reported_with_its_place() {
    let labels = idx::encode([3], &[1, 2, 3]);
    let magic = "i: byte 0: expected the magic number [00, 00, 08, 03]; found [00, 00, 08, 01]";
    assert_eq!(message_of_images("i", &labels), magic);

    let trailing = [three_images(), vec![0]].concat();
    let expected = "byte 28: expected the end; found more data";
    assert_eq!(message_of_images("i", &trailing), format!("i: {expected}"));
    assert_eq!(message_of_images("i.gz", &gzip(&trailing)), format!("i.gz: {expected}"));

    let empty = idx::encode([3, 0, 2], &[]);
    let expected = "i: byte 8: expected a length of at least 1; found 0";
    assert_eq!(message_of_images("i", &empty), expected);

    let expected = "i.gz: byte 0: expected sound gzip data; found invalid gzip header";
    assert_eq!(message_of_images("i.gz", &three_images()), expected);

    let mut after_gzip = gzip(&three_images());
    after_gzip.extend(b"rest");
    let found = message_of_images("i.gz", &after_gzip);
    assert!(found.starts_with("i.gz: byte 28: expected sound gzip data; found "), "{found}");

    let folder = tempfile::tempdir().unwrap();
    let error = idx::read::<3>(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("byte 0: expected a file; found a folder or a device"));
}

#[test]
fn sizes_that_the_file_cannot_hold_are_refused_before_memory_is_taken() {
    let mut header = three_images()[..16].to_vec();
    header[4..16].copy_from_slice(&[0xff; 12]);
    for (name, bytes) in [("i", header.clone()), ("i.gz", gzip(&header))] {
        let found = message_of_images(name, &bytes);
        let expected = format!("{name}: byte 4: expected a shape of at most ");
        assert!(found.starts_with(&expected), "{found}");
        assert!(found.ends_with("; found [4294967295, 4294967295, 4294967295]"), "{found}");
    }
}

#[test]
fn a_gzip_bomb_is_decompressed_no_further_than_its_header_says() {
    let bomb = gzip(&[three_images(), vec![0; 50_000_000]].concat());
    assert!(bomb.len() < 100_000);
    let expected = "i.gz: byte 28: expected the end; found more data";
    assert_eq!(message_of_images("i.gz", &bomb), expected);
}

#[test]
fn every_truncation_is_an_error_that_names_file_and_place() {
    let plain = three_images();
    for (name, bytes) in [("i", plain.clone()), ("i.gz", gzip(&plain))] {
        for length in 0..bytes.len() {
            let found = message_of_images(name, &bytes[..length]);
            assert!(found.starts_with(&format!("{name}: byte ")), "{length}: {found}");
        }
    }
}

#[test]
fn a_small_file_does_not_ask_for_much_memory() {
    // 100 MB of zeros are 100 kB of gzip.
    let shape = [100_000, 1000, 1];
    let mut file = idx::encode([1, 1, 1], &[0])[..4].to_vec();
    shape.iter().for_each(|&side: &u32| file.extend(side.to_be_bytes()));
    file.resize(16 + 100_000_000, 0);
    let (_folder, path) = written("i.gz", &gzip(&file));
    let length = fs::metadata(&path).unwrap().len();
    assert!(length < 500_000, "{length}");
    let error = idx::read::<3>(&path).unwrap_err().to_string();
    assert!(error.contains("expected a shape of at most 67108848 bytes"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(1), ..Default::default() })]

    #[test]
    fn what_is_written_is_read(
        (shape, elements) in [1..5_usize, 1..5_usize, 1..5_usize].prop_flat_map(|shape| {
            let count = shape.iter().product::<usize>();
            (Just(shape), proptest::collection::vec(any::<u8>(), count))
        }),
        compressed: bool,
    ) {
        let file = idx::encode(shape, &elements);
        let file = if compressed { gzip(&file) } else { file };
        let (_folder, path) = written(if compressed { "i.gz" } else { "i" }, &file);
        prop_assert_eq!(idx::read::<3>(&path).unwrap(), (shape, elements));
    }

    #[test]
    fn arbitrary_bytes_are_an_error_and_never_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        start in prop_oneof![Just(0), Just(4), Just(16)],
        packed: bool,
        compressed: bool,
    ) {
        // A sound beginning leads the reader deeper into the file.
        let bytes = [&three_images()[..start], &bytes].concat();
        let bytes = if packed { gzip(&bytes) } else { bytes };
        let (_folder, path) = written(if compressed { "i.gz" } else { "i" }, &bytes);
        if let Ok((shape, elements)) = idx::read::<3>(&path) {
            prop_assert_eq!(shape.iter().product::<usize>(), elements.len());
        }
    }

    #[test]
    fn damage_to_a_compressed_file_never_changes_the_data(at in 0..60_usize, bit in 0..8_u32) {
        let mut file = gzip(&three_images());
        let at = at % file.len();
        file[at] ^= 1 << bit;
        let (_folder, path) = written("i.gz", &file);
        if let Ok((_, elements)) = idx::read::<3>(&path) {
            prop_assert_eq!(elements, (0..12).collect::<Vec<u8>>());
        }
    }
}
