//! Tensors in safetensors files: an 8-byte length, a JSON header, the bytes. Readable from Python.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tensor::{Float, MAX_RANK, Tensor};
use thiserror::Error;

use crate::Params;

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

/// A safetensors file in memory.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

impl TensorFile {
    /// Reads a file and checks its header: sizes and offsets lie inside the file.
    ///
    /// # Errors
    /// If the file cannot be read or is no safetensors file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| Error::io(path, "read", source))?;
        let format = |message| Error::Format { path: path.into(), message };
        let header = SafeTensors::read_metadata(&bytes);
        let (_, header) = header.map_err(|e| format(format!("not a safetensors file: {e}")))?;
        SafeTensors::deserialize(&bytes)
            .map_err(|e| format(format!("not a safetensors file: {e}")))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { path: path.into(), bytes, metadata })
    }

    /// The strings that were stored beside the tensors.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// The names of the tensors, sorted.
    ///
    /// # Panics
    /// Never: the header was checked when the file was read.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.parsed().names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// What is there, sorted by name: tensors of any type.
    ///
    /// # Panics
    /// Never: the header was checked when the file was read.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |(name, view): (String, TensorView<'_>)| Entry {
            name,
            dtype: view.dtype().to_string(),
            shape: view.shape().to_vec(),
            bytes: view.data().len(),
        };
        let mut entries: Vec<_> = self.parsed().tensors().into_iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// A tensor of type F32 or F64, in the precision asked for.
    ///
    /// # Errors
    /// If there is no such tensor, or if it has another type or more than six axes.
    pub fn tensor<E: Float>(&self, name: &str) -> Result<Tensor<E>> {
        let view = self.view(name)?;
        let shape = self.shape(name, &view)?;
        let values: Vec<E> = match view.dtype() {
            Dtype::F32 => {
                chunks(view.data()).map(|b| E::from_f64(f32::from_le_bytes(b).into())).collect()
            }
            Dtype::F64 => chunks(view.data()).map(|b| E::from_f64(f64::from_le_bytes(b))).collect(),
            other => {
                return Err(
                    self.error(format!("tensor `{name}`: F32 or F64 expected, found {other:?}"))
                );
            }
        };
        Ok(Tensor::from_vec(shape.as_slice(), values))
    }

    /// A tensor of type I64 whose numbers are indices, with its shape.
    ///
    /// # Errors
    /// If there is no such tensor, if it has another type, or if a number is negative.
    pub fn indices(&self, name: &str) -> Result<(Vec<usize>, Vec<usize>)> {
        let view = self.view(name)?;
        let shape = self.shape(name, &view)?;
        if view.dtype() != Dtype::I64 {
            return Err(
                self.error(format!("tensor `{name}`: I64 expected, found {:?}", view.dtype()))
            );
        }
        let index = |bytes| {
            let number = i64::from_le_bytes(bytes);
            let negative =
                || self.error(format!("tensor `{name}`: an index expected, found {number}"));
            usize::try_from(number).map_err(|_| negative())
        };
        Ok((shape, chunks(view.data()).map(index).collect::<Result<_>>()?))
    }

    /// Copies the tensors that carry the names of these parameters, under `prefix`, into them.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape, or if a tensor under the prefix belongs to none.
    pub fn load<E: Float>(&self, prefix: &str, params: &mut Params<E>) -> Result<()> {
        for param in params.iter_mut() {
            let name = format!("{prefix}{}", param.name);
            let value = self.tensor(&name)?;
            if value.shape() != param.value.shape() {
                let (expected, found) = (param.value.shape(), value.shape());
                return Err(self
                    .error(format!("tensor `{name}`: shape {expected} expected, found {found}")));
            }
            param.value = value;
        }
        let known = |name: &str| {
            name.strip_prefix(prefix).is_none_or(|name| params.by_name(name).is_some())
        };
        match self.names().iter().find(|name| !known(name)) {
            Some(name) => {
                Err(self.error(format!("tensor `{name}`: the model has no such parameter")))
            }
            None => Ok(()),
        }
    }

    fn parsed(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("checked by `read`")
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>> {
        self.parsed().tensor(name).map_err(|_| self.error(format!("no tensor `{name}`")))
    }

    fn shape(&self, name: &str, view: &TensorView<'_>) -> Result<Vec<usize>> {
        let shape = view.shape();
        if shape.len() > MAX_RANK {
            return Err(self.error(format!(
                "tensor `{name}`: at most {MAX_RANK} axes expected, found {shape:?}"
            )));
        }
        Ok(shape.to_vec())
    }

    fn error(&self, message: String) -> Error {
        Error::Format { path: self.path.clone(), message }
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|chunk| chunk.try_into().expect("chunks of N"))
}

/// Writes tensors and metadata so that the file is either the old one or the new one, whatever happens: to a temporary
/// file beside it, which is synced and renamed.
///
/// # Errors
/// If the file cannot be written.
pub fn write<E: Float>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Tensor<E>)>,
    metadata: HashMap<String, String>,
) -> Result<()> {
    let dtype = if E::NAME == "F64" { Dtype::F64 } else { Dtype::F32 };
    let encode = |tensor: &Tensor<E>| -> Vec<u8> {
        let tensor = tensor.contiguous();
        let values = tensor.data().iter();
        match dtype {
            Dtype::F64 => values.flat_map(|x| x.to_f64().to_le_bytes()).collect(),
            _ => values.flat_map(|x| (x.to_f64() as f32).to_le_bytes()).collect(),
        }
    };
    let encoded: Vec<_> =
        tensors.into_iter().map(|(name, t)| (name, t.dims().to_vec(), encode(&t))).collect();
    let format = |e: safetensors::SafeTensorError| Error::Format {
        path: path.into(),
        message: e.to_string(),
    };
    let views = encoded.iter().map(|(name, dims, bytes)| {
        let view = TensorView::new(dtype, dims.clone(), bytes).map_err(format)?;
        Ok((name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_>>()?;
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let bytes = safetensors::serialize(views, metadata).map_err(format)?;
    write_atomically(path, &bytes).map_err(|source| Error::io(path, "written", source))
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
