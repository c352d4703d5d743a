//! Malformed files: whatever a file says, no reader panics, hangs, or takes memory out of proportion to the file.
//!
//! Each format is a folder with sound files and a way to read it to the end, batches included. One file at a time is changed: at
//! random (`PROPTEST_CASES=400000 cargo test --release --test malformed` makes about ten million), and on purpose, with each
//! number, length, depth and name at 0, 1, the largest value and beyond it.

mod formats;
mod mutations;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, panic};

use formats::{File, Format};
use peak_alloc::PeakAlloc;
use proptest::test_runner::{Config, RngSeed, TestRunner};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// One file is read at a time: the peak of memory is that of the process.
static ONE: Mutex<()> = Mutex::new(());

/// Bytes that any file may take.
const MEMORY_OF_ANY: usize = 64 << 20;
/// Bytes that a file may take for each of its own.
const MEMORY_OF_BYTE: usize = 20;
/// What takes longer, twice in a row, hangs.
const HANG: Duration = Duration::from_secs(2);

/// Reads a format with `bytes` in place of one of its files.
fn hold(format: &Format, folder: &Path, file: &File, bytes: &[u8]) -> Result<(), String> {
    let path = folder.join(file.name);
    put(&path, bytes);
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let read = || {
        let (begin, before) = (Instant::now(), MEMORY.current_usage());
        MEMORY.reset_peak_usage();
        let result = panic::catch_unwind(|| (format.read)(folder));
        (result, begin.elapsed(), MEMORY.peak_usage().saturating_sub(before))
    };
    let (mut result, mut time, memory) = read();
    if time > HANG {
        (result, time, _) = read();
    }
    let all: usize = format.files.iter().map(|file| file.bytes.len()).sum();
    let most = MEMORY_OF_ANY.max(MEMORY_OF_BYTE * (all + bytes.len()));
    put(&path, &file.bytes);
    let at = format!("{}: {} of {} bytes", format.name, file.name, bytes.len());
    if result.is_err() {
        return Err(format!("{at}: a panic"));
    }
    if time > HANG {
        return Err(format!("{at}: {time:?}"));
    }
    if memory > most {
        return Err(format!("{at}: {memory} bytes of memory, at most {most} expected"));
    }
    Ok(())
}

/// Writes a file anew: some file systems wait for the disk where one is cut and written again.
fn put(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).expect("written");
}

/// The format in a folder of its own. What is sound is read without an error.
fn folder(format: &Format) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for File { name, bytes } in &format.files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("written");
    }
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (format.read)(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", format.name));
    folder
}

/// Changes each file at random.
fn at_random(format: &Format) {
    let folder = folder(format);
    for file in &format.files {
        let config = Config {
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            max_shrink_iters: 2000,
            ..Config::default()
        };
        let config = Config { cases: config.cases / format.cost, ..config };
        let result = TestRunner::new(config).run(&mutations::mutations(), |mutations| {
            let bytes = mutations::mutated(&file.bytes, &mutations);
            hold(format, folder.path(), file, &bytes)
                .map_err(proptest::test_runner::TestCaseError::fail)
        });
        result.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Puts extreme numbers, names and depths everywhere in each file.
fn on_purpose(format: &Format) {
    let folder = folder(format);
    let mut faults = Vec::new();
    for file in &format.files {
        let extremes = mutations::extremes(&file.bytes, format.cost as usize);
        let all = extremes.chain((format.crafted)(file.name));
        faults.extend(all.filter_map(|bytes| hold(format, folder.path(), file, &bytes).err()));
    }
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults[..faults.len().min(20)].join("\n"));
}

macro_rules! hold {
    ($test:ident, $how:ident: $($format:ident),* $(,)?) => {
        mod $test {
            $(#[test]
            fn $format() {
                super::$how(&super::formats::$format());
            })*
        }
    };
}

hold!(
    changed_at_random, at_random:
    idx, cifar10, classes, tables, lines, voc, coco, coco_results, yolo, screens, vocabulary, checkpoint,
);
hold!(extreme_on_purpose, on_purpose: idx, cifar10, classes, tables, lines, voc, coco, coco_results, yolo, screens, vocabulary, checkpoint);
