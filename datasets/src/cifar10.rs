//! The binary version of CIFAR-10.
//!
//! Records without a header: one byte with the label, then the planes of red, green and blue, each
//! 32 rows of 32 bytes. Every file has 10,000 records.
//!
//! Source: A. Krizhevsky, "The CIFAR-10 dataset", section "Binary version".

use std::path::Path;

use crate::source::{self, Source};
use crate::{Error, Images, Split, text};

/// The classes of CIFAR-10, in the order of the labels.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const SHAPE: [usize; 3] = [3, 32, 32];
const RECORD: usize = 1 + 3 * 32 * 32;
const RECORDS_IN_A_FILE: usize = 10_000;

/// Reads one split from the folder that holds `data_batch_1.bin` to `data_batch_5.bin` and
/// `test_batch.bin`, plain or with `.gz`. Classes are called as `batches.meta.txt` says, if it is there, else as in [`CLASSES`].
///
/// Shapes: images `[3, 32, 32]`; 50,000 of them to train, 10,000 to test.
///
/// # Errors
///
/// A file that is missing, shorter or longer than 10,000 records, or has a label above 9; other than 10 names.
pub fn folder(folder: &Path, split: Split) -> Result<Images, Error> {
    let names = match split {
        Split::Train => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
        Split::Test => vec!["test_batch.bin".to_string()],
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        let path = source::find(folder, &[&name, &format!("{name}.gz")])?;
        read(&path, RECORDS_IN_A_FILE, &mut pixels, &mut labels)?;
    }
    Ok(Images::new(SHAPE, pixels, labels, classes(folder)?))
}

/// The names in `batches.meta.txt`, one a line, if there is such a file, else [`CLASSES`].
fn classes(folder: &Path) -> Result<Vec<String>, Error> {
    let path = folder.join("batches.meta.txt");
    if !path.exists() {
        return Ok(CLASSES.iter().map(|class| class.to_string()).collect());
    }
    let names = text::classes(&path)?;
    match names.len() == CLASSES.len() {
        true => Ok(names),
        false => Err(Error::record(&path, "the classes", "10 names", names.len())),
    }
}

/// Appends the records of one file.
fn read(
    path: &Path,
    records: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u32>,
) -> Result<(), Error> {
    let mut source = Source::open(path)?;
    let size = (records * RECORD) as u64;
    let bytes = source.bytes(size, &format!("{records} records of {RECORD} bytes"))?;
    source.end()?;
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (label, image) = (record[0], &record[1..]);
        if usize::from(label) >= CLASSES.len() {
            let expected = format!("a label below {}", CLASSES.len());
            return Err(Error::malformed(path, (i * RECORD) as u64, expected, label));
        }
        labels.push(label.into());
        pixels.extend(image);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn classes_are_called_as_the_file_beside_them_says() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(classes(folder.path()).unwrap(), CLASSES);
        let path = folder.path().join("batches.meta.txt");
        fs::write(&path, "\u{feff}plane\r\ncar\n2\n3\n4\n5\n6\n7\n8\n9\n\n").unwrap();
        assert_eq!(classes(folder.path()).unwrap()[..3], ["plane", "car", "2"]);
        fs::write(&path, "plane\ncar\n").unwrap();
        let error = classes(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("the classes: expected 10 names; found 2"), "{error}");
    }

    /// Reads these bytes as a file of two records.
    fn read_two(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u32>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test_batch.bin");
        fs::write(&path, bytes).unwrap();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        match read(&path, 2, &mut pixels, &mut labels) {
            Ok(()) => Ok((pixels, labels)),
            Err(error) => Err(error.to_string().rsplit('/').next().unwrap().to_string()),
        }
    }

    fn two_records() -> Vec<u8> {
        [[vec![9], vec![1; 3072]].concat(), [vec![0], vec![2; 3072]].concat()].concat()
    }

    #[test]
    fn a_record_is_a_label_and_three_planes() {
        let pixels = [vec![1; 3072], vec![2; 3072]].concat();
        assert_eq!(read_two(&two_records()), Ok((pixels, vec![9, 0])));
    }

    #[test]
    fn a_malformed_file_is_refused_with_the_place() {
        let expected = "expected 6146 bytes from byte 0 on (2 records of 3073 bytes)";
        let message = format!("test_batch.bin: byte 3073: {expected}; found the end after 3073");
        assert_eq!(read_two(&two_records()[..3073]), Err(message));

        let longer = [two_records(), vec![0]].concat();
        let message = "test_batch.bin: byte 6146: expected the end; found more data";
        assert_eq!(read_two(&longer), Err(message.to_string()));

        let mut labelled_10 = two_records();
        labelled_10[3073] = 10;
        let message = "test_batch.bin: byte 3073: expected a label below 10; found 10";
        assert_eq!(read_two(&labelled_10), Err(message.to_string()));
    }

    #[test]
    fn a_missing_file_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let message = folder(empty.path(), Split::Train).unwrap_err().to_string();
        assert!(message.ends_with("expected data_batch_1.bin or data_batch_1.bin.gz; found none"));
    }
}
