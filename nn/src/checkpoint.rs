//! Tensors in safetensors files: an 8-byte length, a JSON header, the bytes. Readable from Python.
//!
//! What [`write()`] writes carries a checksum in its metadata: XXH3 (64 bits) of the whole file, in which the 16 digits of the
//! checksum itself are zeros. [`TensorFile::read`] verifies it. Files of others, which have none, are read without.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use tensor::{Float, MAX_RANK, Shape, Tensor};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3Default;

use crate::{Param, Params};

/// What can go wrong with a file of tensors.
#[derive(Debug, Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("{}: cannot be {attempt}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done with it: `read` or `written`.
        attempt: &'static str,
        /// What the operating system says; as the source of the error it is no part of the message.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
}

impl Error {
    fn io(path: &Path, attempt: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), attempt, source }
    }
}

/// The result of reading or writing.
pub type Result<T> = std::result::Result<T, Error>;

/// A tensor of a file, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The type of its numbers in the words of the format: `F32`, `I64`.
    pub dtype: String,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Bytes of its numbers.
    pub bytes: usize,
}

/// The key of the checksum, which is this word and 16 hexadecimal digits.
const CHECKSUM: &str = "checksum";
const METHOD: &str = "xxh3:";
const NO_SUM: &str = "0000000000000000";
/// The key that says who wrote a file, and with that, that there is a checksum: one damaged key leaves the other.
const WRITER: &str = "writer";
const US: &str = "wavetape";
/// The key under which the format keeps metadata, beside the tensors.
const METADATA: &str = "__metadata__";

/// A safetensors file in memory.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the tensors begin.
    start: usize,
    header: Metadata,
    metadata: HashMap<String, String>,
    is_verified: bool,
}

impl TensorFile {
    /// Reads a file and checks its header: sizes and offsets lie inside the file. A checksum is verified if there is one;
    /// what [`write()`] wrote has one.
    ///
    /// # Errors
    /// If the file cannot be read, is no safetensors file, or is not what was written.
    pub fn read(path: &Path) -> Result<Self> {
        let io = |source| Error::io(path, "read", source);
        // A pipe would be waited for, perhaps for ever.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(Error::Format { path: path.into(), message: "is not a file".to_owned() });
        }
        Self::parse(path, fs::read(path).map_err(io)?)
    }

    /// The file of these bytes.
    fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let format = |message| Error::Format { path: path.into(), message };
        let (length, header) = SafeTensors::read_metadata(&bytes)
            .map_err(|e| format(format!("not a safetensors file: {e}")))?;
        let start = size_of::<u64>() + length;
        let mut metadata = header.metadata().clone().unwrap_or_default();
        let sum = metadata.get(CHECKSUM).and_then(|sum| sum.strip_prefix(METHOD));
        let is_ours = metadata.get(WRITER).is_some_and(|writer| writer == US);
        let is_verified = sum.is_some() || is_ours;
        if is_verified {
            let found = sum.and_then(|sum| checksum(&bytes, place_of_sum(&bytes[..start], sum)?));
            if found.is_none() || found.as_deref() != sum {
                let message = "is damaged: its checksum is not that of its contents";
                return Err(format(message.to_owned()));
            }
            metadata.retain(|key, _| key != CHECKSUM && key != WRITER);
        }
        Ok(Self { path: path.into(), bytes, start, header, metadata, is_verified })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file has a checksum. It is right then.
    pub fn is_verified(&self) -> bool {
        self.is_verified
    }

    /// The strings that were stored beside the tensors.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.header.tensors().into_keys().collect();
        names.sort();
        names
    }

    /// What is there, sorted by name: tensors of any type.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |(name, info): (String, &TensorInfo)| Entry {
            name,
            dtype: info.dtype.to_string(),
            shape: info.shape.clone(),
            bytes: info.data_offsets.1 - info.data_offsets.0,
        };
        let mut entries: Vec<_> = self.header.tensors().into_iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// A tensor of floating-point numbers (F32, F64, F16 or BF16), in the precision asked for.
    ///
    /// # Errors
    /// If there is no such tensor, or if it has another type or more than six axes.
    pub fn tensor<E: Float>(&self, name: &str) -> Result<Tensor<E>> {
        let (info, data) = self.find(name)?;
        let values: Vec<E> = match info.dtype {
            Dtype::F32 => chunks(data).map(|b| E::from_f64(f32::from_le_bytes(b).into())).collect(),
            Dtype::F64 => chunks(data).map(|b| E::from_f64(f64::from_le_bytes(b))).collect(),
            Dtype::BF16 => chunks(data).map(|b| E::from_f64(widened(b, 8))).collect(),
            Dtype::F16 => chunks(data).map(|b| E::from_f64(widened(b, 5))).collect(),
            other => {
                let message =
                    format!("tensor `{name}`: F32, F64, F16 or BF16 expected, found {other:?}");
                return Err(self.error(message));
            }
        };
        Ok(Tensor::from_vec(info.shape.as_slice(), values))
    }

    /// A tensor of type I64 whose numbers are indices, with its shape.
    ///
    /// # Errors
    /// If there is no such tensor, if it has another type, or if a number is negative.
    pub fn indices(&self, name: &str) -> Result<(Vec<usize>, Vec<usize>)> {
        let (info, data) = self.find(name)?;
        if info.dtype != Dtype::I64 {
            return Err(
                self.error(format!("tensor `{name}`: I64 expected, found {:?}", info.dtype))
            );
        }
        let index = |bytes| {
            let number = i64::from_le_bytes(bytes);
            let negative =
                || self.error(format!("tensor `{name}`: an index expected, found {number}"));
            usize::try_from(number).map_err(|_| negative())
        };
        Ok((info.shape.clone(), chunks(data).map(index).collect::<Result<_>>()?))
    }

    /// Copies the tensors that carry the names of these parameters, under `prefix`, into them: all of them, or none if there
    /// is an error.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape, or if a tensor under the prefix belongs to none.
    pub fn load<E: Float>(&self, prefix: &str, params: &mut Params<E>) -> Result<()> {
        let value = |param: &Param<E>| self.like(&format!("{prefix}{}", param.name), &param.value);
        let values: Vec<_> = params.iter().map(value).collect::<Result<_>>()?;
        let names: HashSet<&str> = params.iter().map(|param| param.name.as_str()).collect();
        let is_known =
            |name: &str| name.strip_prefix(prefix).is_none_or(|name| names.contains(name));
        if let Some(name) = self.names().iter().find(|name| !is_known(name)) {
            return Err(self.error(format!("tensor `{name}`: the model has no such parameter")));
        }
        params.iter_mut().zip(values).for_each(|(param, value)| param.value = value);
        Ok(())
    }

    /// The tensor of this name, which must have the shape of `other`.
    ///
    /// # Errors
    /// If it has another, or as [`TensorFile::tensor`].
    pub fn like<E: Float>(&self, name: &str, other: &Tensor<E>) -> Result<Tensor<E>> {
        // The shape first: what does not fit is not read.
        let (expected, (info, _)) = (other.shape(), self.find(name)?);
        if info.shape != other.dims() {
            let found = &info.shape;
            return Err(
                self.error(format!("tensor `{name}`: shape {expected} expected, found {found:?}"))
            );
        }
        self.tensor(name)
    }

    /// Refuses a file with other tensors than those that `is_known` tells.
    ///
    /// # Errors
    /// If there is one; it is named.
    pub fn expect_only(&self, is_known: impl Fn(&str) -> bool) -> Result<()> {
        match self.names().iter().find(|name| !is_known(name)) {
            Some(name) => Err(self.error(format!("tensor `{name}` does not belong here"))),
            None => Ok(()),
        }
    }

    /// A tensor's entry in the header, with a shape that a tensor can have, and its bytes.
    fn find(&self, name: &str) -> Result<(&TensorInfo, &[u8])> {
        let info =
            self.header.info(name).ok_or_else(|| self.error(format!("no tensor `{name}`")))?;
        let shape = &info.shape;
        if shape.len() > MAX_RANK {
            return Err(self.error(format!(
                "tensor `{name}`: at most {MAX_RANK} axes expected, found {shape:?}"
            )));
        }
        // An empty tensor may claim any other sizes.
        if Shape::try_new(shape).is_none() {
            return Err(self.error(format!("tensor `{name}`: {shape:?} is too large")));
        }
        let (from, to) = info.data_offsets;
        Ok((info, &self.bytes[self.start + from..self.start + to]))
    }

    fn error(&self, message: String) -> Error {
        Error::Format { path: self.path.clone(), message }
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|chunk| chunk.try_into().expect("chunks of N"))
}

/// The value of a floating-point number of 16 bits, of which `exponent` are those of the exponent: 5 of a half, 8 of a
/// bfloat16.
fn widened(bytes: [u8; 2], exponent: u32) -> f64 {
    let bits = u16::from_le_bytes(bytes);
    let (digits, bias) = (15 - exponent, (1_i32 << (exponent - 1)) - 1);
    let fraction = f64::from(bits & ((1 << digits) - 1)) / f64::from(1 << digits);
    let power = i32::from((bits & 0x7fff) >> digits);
    let size = match power {
        0 => fraction * 2f64.powi(1 - bias),
        power if power == 2 * bias + 1 && fraction == 0.0 => f64::INFINITY,
        power if power == 2 * bias + 1 => f64::NAN,
        power => (1.0 + fraction) * 2f64.powi(power - bias),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// Where the digits `sum` of the checksum stand in a header.
fn place_of_sum(header: &[u8], sum: &str) -> Option<Range<usize>> {
    let entry = format!("\"{CHECKSUM}\":\"{METHOD}{sum}\"");
    let at = header.windows(entry.len()).position(|window| window == entry.as_bytes())?;
    let end = at + entry.len() - 1;
    Some(end - sum.len()..end)
}

/// The checksum of a file in which it stands at `place`; `None` if there is no room for one.
fn checksum(bytes: &[u8], place: Range<usize>) -> Option<String> {
    if place.len() != NO_SUM.len() {
        return None;
    }
    let mut hash = Xxh3Default::new();
    for part in [&bytes[..place.start], NO_SUM.as_bytes(), &bytes[place.end..]] {
        hash.update(part);
    }
    Some(format!("{:016x}", hash.digest()))
}

/// Writes tensors and metadata so that the file is either the old one or the new one, whatever happens: to a temporary
/// file beside it, which is synced and renamed. The file has a checksum; its bytes are a function of what it holds.
///
/// # Errors
/// If the file cannot be written, if two tensors have one name, or if the metadata have a key `checksum` or `writer`.
///
/// # Panics
/// Never: the checksum's place is in the header that was just made.
pub fn write<E: Float>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Tensor<E>)>,
    metadata: HashMap<String, String>,
) -> Result<()> {
    let format = |message| Error::Format { path: path.into(), message };
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format(format!("two tensors have the name `{}`", pair[0].0)));
    }
    if tensors.iter().any(|(name, _)| name == METADATA) {
        return Err(format(format!("a tensor has the name `{METADATA}`, which is taken")));
    }
    let mut metadata: BTreeMap<_, _> = metadata.into_iter().collect();
    for (key, value) in [(CHECKSUM, format!("{METHOD}{NO_SUM}")), (WRITER, US.to_owned())] {
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(format(format!("the metadata have a key `{key}`, which is taken")));
        }
    }

    let dtype = if E::NAME == "F64" { Dtype::F64 } else { Dtype::F32 };
    let json = |text: serde_json::Result<String>| text.map_err(|e| format(e.to_string()));
    let mut header = format!("{{\"{METADATA}\":{}", json(serde_json::to_string(&metadata))?);
    let mut end = 0;
    for (name, tensor) in &tensors {
        let (shape, bytes) = (tensor.dims().to_vec(), tensor.len() * size_of::<E>());
        let info = TensorInfo { dtype, shape, data_offsets: (end, end + bytes) };
        end += bytes;
        let (name, info) =
            (json(serde_json::to_string(name))?, json(serde_json::to_string(&info))?);
        header.push_str(&format!(",{name}:{info}"));
    }
    header.push('}');
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));

    let start = size_of::<u64>() + header.len();
    let mut file = Vec::with_capacity(start + end);
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header.as_bytes());
    for (_, tensor) in tensors {
        let tensor = tensor.contiguous();
        let values = tensor.data().iter();
        match dtype {
            Dtype::F64 => values.for_each(|x| file.extend(x.to_f64().to_le_bytes())),
            _ => values.for_each(|x| file.extend((x.to_f64() as f32).to_le_bytes())),
        }
    }
    let place = place_of_sum(&file[..start], NO_SUM).expect("it is in the metadata");
    let sum = checksum(&file, place.clone()).expect("its digits are there");
    file[place].copy_from_slice(sum.as_bytes());
    write_atomically(path, &file).map_err(|source| Error::io(path, "written", source))
}

/// Replaces a file in one step: writes a temporary file beside it, syncs it, renames it, syncs the folder.
///
/// # Errors
/// As the system says. The old file is as it was then, and the temporary one is removed: a full disk may be full of it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let replace = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    if let Err(error) = replace() {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    // The rename itself survives a crash once the folder is synced; not every system can open one.
    if let Some(folder) = path.parent().and_then(|parent| fs::File::open(parent).ok()) {
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;
    use crate::{Fill, Init};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("wavetape-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the test");
        folder
    }

    #[test]
    fn parameters_travel_through_a_file_unchanged() {
        let folder = folder("checkpoint");
        let path = folder.join("a.safetensors");
        let mut params = Params::new();
        let mut init = Init::new(&mut params, 1);
        init.scope("a").param("weight", [2, 3], Fill::Normal(1.0), true);
        init.param("scale", [0; 0], Fill::Ones, false);
        let tensors = params.iter().map(|param| (param.name.clone(), param.value.clone()));
        let about = HashMap::from([("about".to_owned(), "a test".to_owned())]);
        write(&path, tensors, about.clone()).expect("written");

        let file = TensorFile::read(&path).expect("read");
        assert_eq!(
            (file.metadata(), file.names()),
            (&about, vec!["a.weight".to_owned(), "scale".to_owned()])
        );
        let entry = Entry {
            name: "a.weight".to_owned(),
            dtype: "F32".to_owned(),
            shape: vec![2, 3],
            bytes: 24,
        };
        assert_eq!(file.entries()[0], entry);
        let mut other = params.clone();
        other.iter_mut().for_each(|param| param.value = Tensor::zeros(param.value.shape()));
        file.load("", &mut other).expect("the same names");
        assert!(params.iter().zip(other.iter()).all(|(a, b)| a.value == b.value));

        Init::new(&mut other, 0).param("more", [1], Fill::Zeros, true);
        let error = file.load("", &mut other).expect_err("a parameter is missing").to_string();
        assert!(error.ends_with("no tensor `more`"), "{error}");
        fs::remove_dir_all(folder).expect("removed");
    }

    /// A disk that is full: what is written to the temporary file goes to a device without room.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_other() {
        let folder = folder("full");
        let path = folder.join("c.safetensors");
        let tensor = |x| [("x".to_owned(), Tensor::<f32>::full([2], x))];
        write(&path, tensor(1.0), HashMap::new()).expect("written");
        std::os::unix::fs::symlink("/dev/full", folder.join("c.safetensors.tmp")).expect("linked");
        let error = write(&path, tensor(2.0), HashMap::new()).expect_err("full");
        assert!(error.to_string().ends_with("c.safetensors: cannot be written"), "{error}");
        let source = std::error::Error::source(&error).expect("what the system says").to_string();
        assert!(source.starts_with("No space left on device"), "{source}");
        let old = TensorFile::read(&path).expect("there").tensor::<f32>("x").expect("listed");
        assert_eq!(old.to_vec(), [1.0, 1.0]);
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
        write(&path, tensor(2.0), HashMap::new()).expect("there is room again");
        fs::remove_dir_all(folder).expect("removed");
    }

    /// A file with two tensors and metadata that look like a checksum of zeros.
    fn sample(path: &Path) {
        let tensors = [("x", Tensor::from_fn([3, 5], |i| i as f32)), ("none", Tensor::zeros([0]))];
        let about = ("about".to_owned(), "\"checksum\":\"xxh3:0000000000000000\"".to_owned());
        let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor));
        write(path, tensors, HashMap::from([about])).expect("written");
    }

    #[test]
    fn any_bit_that_is_flipped_and_any_byte_that_is_lost_is_noticed() {
        let folder = folder("flipped");
        let path = folder.join("d.safetensors");
        sample(&path);
        let file = TensorFile::read(&path).expect("as written");
        assert!(file.is_verified() && file.metadata().len() == 1, "{file:?}");
        let bytes = fs::read(&path).expect("written");
        let refused = |bytes: &[u8]| {
            TensorFile::parse(&path, bytes.to_vec()).expect_err("damaged").to_string()
        };
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            refused(&flipped);
        }
        for size in 0..bytes.len() {
            refused(&bytes[..size]);
        }
        let mut zeros = bytes.clone();
        zeros[bytes.len() - 40..].fill(0);
        let error = refused(&zeros);
        assert!(
            error.ends_with("d.safetensors: is damaged: its checksum is not that of its contents")
        );
        sample(&path);
        assert_eq!(fs::read(&path).expect("written"), bytes, "a function of what it holds");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn files_of_others_are_read_without_a_checksum_and_halves_are_widened() {
        let folder = folder("foreign");
        let path = folder.join("e.safetensors");
        let half = [0x3c00_u16, 0xc000, 0x0001, 0x7bff, 0xfc00, 0x3555, 0x8000];
        let brain = [0x3f80_u16, 0xc000, 0x0001, 0x7f7f, 0xff80, 0x3eab, 0x8000];
        let bytes = |numbers: [u16; 7]| numbers.map(u16::to_le_bytes).concat();
        let (half, brain) = (bytes(half), bytes(brain));
        let view = |dtype, bytes| TensorView::new(dtype, vec![7], bytes).expect("fits");
        let views = [("f16", view(Dtype::F16, &half)), ("bf16", view(Dtype::BF16, &brain))];
        let about = HashMap::from([("checksum".to_owned(), "md5:1".to_owned())]);
        let file = safetensors::serialize(views, Some(about.clone())).expect("serialized");
        fs::write(&path, file).expect("written");
        let file = TensorFile::read(&path).expect("no checksum of ours");
        assert_eq!((file.is_verified(), file.metadata()), (false, &about));
        let smallest = 2f32.powi(-24);
        let expected = [1.0, -2.0, smallest, 65504.0, f32::NEG_INFINITY, 0.333_251_95, -0.0];
        assert_eq!(file.tensor::<f32>("f16").expect("widened").to_vec(), expected);
        let found = file.tensor::<f32>("bf16").expect("widened").to_vec();
        let expected = [0x3f80_u32, 0xc000, 0x0001, 0x7f7f, 0xff80, 0x3eab, 0x8000];
        assert_eq!(found, expected.map(|bits| f32::from_bits(bits << 16)));
        assert!(widened([0x00, 0x7e], 5).is_nan() && widened([0xc0, 0x7f], 8).is_nan());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_file_that_does_not_fit_leaves_the_model_as_it_was() {
        let folder = folder("unfit");
        let path = folder.join("f.safetensors");
        let mut params = Params::new();
        let mut init = Init::new(&mut params, 0);
        let [a, b] = ["a", "b"].map(|name| init.param(name, [2], Fill::Ones, true));
        let zeros = |n| Tensor::<f32>::zeros([n]);
        let write = |tensors: &[(&str, usize)]| {
            let tensors = tensors.iter().map(|(name, n)| ((*name).to_owned(), zeros(*n)));
            super::write(&path, tensors, HashMap::new())
        };
        for (tensors, why) in [
            (vec![("a", 2)], "no tensor `b`"),
            (vec![("a", 2), ("b", 3)], "tensor `b`: shape [2] expected, found [3]"),
            (vec![("a", 2), ("b", 2), ("c", 1)], "tensor `c`: the model has no such parameter"),
        ] {
            write(&tensors).expect("written");
            let file = TensorFile::read(&path).expect("whole");
            let error = file.load("", &mut params).expect_err("unfit").to_string();
            assert!(error.ends_with(why), "{error}");
            assert!([a, b].iter().all(|id| params.get(*id).value.to_vec() == [1.0, 1.0]));
        }
        let file = TensorFile::read(&path).expect("whole");
        let error = file.expect_only(|name| name != "b").expect_err("one more").to_string();
        assert!(error.ends_with("tensor `b` does not belong here"), "{error}");
        let error = write(&[("a", 2), ("a", 1)]).expect_err("twice").to_string();
        assert!(error.ends_with("two tensors have the name `a`"), "{error}");
        let error = TensorFile::read(&folder).expect_err("a folder").to_string();
        assert!(error.ends_with(": is not a file"), "{error}");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn many_empty_tensors_are_read_at_once() {
        let folder = folder("many");
        let path = folder.join("g.safetensors");
        let tensors = (0..20_000).map(|i| (format!("t{i}"), Tensor::<f32>::zeros([0, 1 << 20])));
        write(&path, tensors, HashMap::new()).expect("written");
        let file = TensorFile::read(&path).expect("whole");
        // Each of them by its name: the header is not parsed again.
        for name in file.names() {
            assert_eq!(file.tensor::<f32>(&name).expect("there").dims(), [0, 1 << 20]);
        }
        let views =
            [("x", TensorView::new(Dtype::F32, vec![1 << 40, 0, 1 << 40], &[]).expect("0"))];
        fs::write(&path, safetensors::serialize(views, None).expect("serialized"))
            .expect("written");
        let error = TensorFile::read(&path).expect("fits").tensor::<f32>("x").expect_err("large");
        assert!(error.to_string().ends_with("is too large"), "{error}");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_broken_file_is_an_error_that_names_it() {
        let folder = folder("broken");
        let path = folder.join("b.safetensors");
        let huge = [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat();
        for bytes in [b"".as_slice(), b"1234567", &huge, b"\x02\0\0\0\0\0\0\0{}rest"] {
            fs::write(&path, bytes).expect("written");
            let error = TensorFile::read(&path).expect_err("broken").to_string();
            assert!(error.contains("b.safetensors: not a safetensors file"), "{error}");
        }
        fs::remove_dir_all(folder).expect("removed");
    }
}
