//! Files read from front to back with bounded memory, plain or through gzip.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::Error;

/// The most bytes that a data set may hold in memory: 4 GiB.
pub(crate) const MAX_BYTES: u64 = 1 << 32;

/// DEFLATE codes at most 258 bytes in 2 bits, so that no gzip file grows more than this when
/// decompressed (zlib's technical notes state the factor: 1032).
const MAX_GZIP_GROWTH: u64 = 1032;

/// What a gzip file may hold however short it is, and how many times its length: far more than those of images do, and no more
/// memory than a file of this length may ask for.
const MAX_SMALL: u64 = 1 << 26;
const MAX_GROWTH: u64 = 64;

/// Opens a file, and tells its length. All files of data sets are opened here: a folder, a device or a pipe, which might be
/// read for ever, is refused.
pub(crate) fn open(path: &Path) -> Result<(File, u64), Error> {
    let io = |error| Error::io(path, error);
    // Asked for first, because opening a pipe waits for its other end.
    let metadata = path.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(Error::malformed(path, 0, "a file", "a folder or a device"));
    }
    Ok((File::open(path).map_err(io)?, metadata.len()))
}

/// The contents of a file of at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let (file, length) = open(path)?;
    let mut bytes = Vec::new();
    if length <= most {
        // Even if it grows meanwhile.
        file.take(most + 1).read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
    }
    let length = length.max(bytes.len() as u64);
    if length > most {
        let (expected, found) =
            (format!("a file of at most {most} bytes"), format!("{length} bytes"));
        return Err(Error::malformed(path, 0, expected, found));
    }
    Ok(bytes)
}

/// The contents of a text file of at most so many bytes, without the byte order mark that some editors put in front. All text
/// of data sets is read here.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = read(path, most)?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// A file that is read once, from front to back. It knows how far it has been read, so that every
/// error names the place, and how much it can hold at most, so that a size stated in its header
/// can be refused before memory is taken for it.
pub(crate) struct Source<'a> {
    path: PathBuf,
    reader: Box<dyn Read + 'a>,
    offset: u64,
    capacity: u64,
}

impl Source<'static> {
    /// Opens a file; a name that ends in `.gz` says that it is compressed.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (file, length) = open(path)?;
        let file = BufReader::new(file);
        let compressed = path.extension().is_some_and(|extension| extension == "gz");
        Ok(if compressed {
            Source::gzip(path, file, length)
        } else {
            Source::plain(path, file, length)
        })
    }
}

impl<'a> Source<'a> {
    fn plain(path: &Path, reader: impl Read + 'a, length: u64) -> Self {
        Source { path: path.to_owned(), reader: Box::new(reader), offset: 0, capacity: length }
    }

    /// The decompressed contents of `length` bytes of gzip; `path` is only for messages.
    pub(crate) fn gzip(path: &Path, reader: impl BufRead + 'a, length: u64) -> Self {
        let bound = MAX_SMALL.max(length.saturating_mul(MAX_GROWTH));
        let capacity = length.saturating_mul(MAX_GZIP_GROWTH).min(bound);
        // `GzDecoder` would stop silently in front of trailing data; this one asks for a header.
        let reader = MultiGzDecoder::new(reader);
        Source { path: path.to_owned(), reader: Box::new(reader), offset: 0, capacity }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The most bytes that the whole contents can have, judged by the length of the file.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Error> {
        let bytes = self.bytes(N as u64, what)?;
        Ok(bytes.try_into().expect("`bytes` returns as many as asked for"))
    }

    /// Exactly `count` bytes, which `what` describes. Memory grows with the bytes that arrive and
    /// not with `count`, which a header may have made up.
    pub(crate) fn bytes(&mut self, count: u64, what: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let result = self.reader.by_ref().take(count).read_to_end(&mut bytes);
        let (start, read) = (self.offset, bytes.len() as u64);
        self.offset += read;
        match result {
            Err(error) => Err(self.unreadable(error)),
            Ok(_) if read == count => Ok(bytes),
            Ok(_) => Err(Error::malformed(
                &self.path,
                self.offset,
                format_args!("{count} bytes from byte {start} on ({what})"),
                format_args!("the end after {read}"),
            )),
        }
    }

    /// Nothing but the end of the file.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        let mut rest = Vec::new();
        match self.reader.by_ref().take(1).read_to_end(&mut rest) {
            Err(error) => Err(self.unreadable(error)),
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::malformed(&self.path, self.offset, "the end", "more data")),
        }
    }

    /// The decoder reports damaged data through `io::Error` too; it is told from a failing disk
    /// by its kind.
    fn unreadable(&self, error: io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match error.kind() {
            InvalidData | InvalidInput | UnexpectedEof => {
                Error::malformed(&self.path, self.offset, "sound gzip data", error)
            }
            _ => Error::io(&self.path, error),
        }
    }
}

/// The path of the first of `names` that is in `folder`.
pub(crate) fn find(folder: &Path, names: &[&str]) -> Result<PathBuf, Error> {
    folder.metadata().map_err(|error| Error::io(folder, error))?;
    names.iter().map(|name| folder.join(name)).find(|path| path.exists()).ok_or_else(|| {
        Error::Missing {
            folder: folder.to_owned(),
            names: names.iter().map(|name| name.to_string()).collect(),
        }
    })
}
