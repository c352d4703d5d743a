//! Files that commands leave: their names, what they are, and which ones they may replace.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use image::RgbImage;
use nn::checkpoint::write_atomically;
use png::{BitDepth, ColorType, Decoder, Encoder};

use crate::output;

/// What a picture of this program says of its origin, under the keyword that PNG has for it.
const SOFTWARE: (&str, &str) = ("Software", "wavetape");
/// Letters of a name at most.
const LONGEST: usize = 100;

/// Names for files, without ending, that resemble those that are wanted: letters, digits, `.`, `_` and `-` stay. No two are equal,
/// also where large letters are small ones.
pub(crate) fn names<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |wanted: &str| {
        let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let plain: String = wanted.chars().map(plain).take(LONGEST).collect();
        let plain = if plain.trim_matches('.').is_empty() { "picture" } else { &plain };
        let mut name = plain.to_owned();
        let mut number = 2;
        while !taken.insert(name.to_lowercase()) {
            name = format!("{plain}-{number}");
            number += 1;
        }
        name
    };
    wanted.into_iter().map(name).collect()
}

/// The text of a file that this program has left, whatever has become of it: a pipe is not waited for, a byte order mark passed
/// over, and what is not UTF-8 replaced.
///
/// # Errors
/// If there is no such file, or it cannot be read.
pub(crate) fn read_own(path: &Path) -> io::Result<String> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a file"));
    }
    let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// A PNG file, with a note that this program has made it.
pub(crate) fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let (keyword, text) = SOFTWARE;
    encoder.add_text_chunk(keyword.to_owned(), text.to_owned()).context("a PNG file's note")?;
    let mut writer = encoder.write_header().context("a PNG file's header")?;
    writer.write_image_data(picture.as_raw()).context("a PNG file's pixels")?;
    writer.finish().context("a PNG file in memory")?;
    Ok(bytes)
}

/// Where a file goes that a command leaves. It is looked at before anything is computed.
#[derive(Debug)]
pub(crate) struct Target(PathBuf);

impl Target {
    /// A PNG file that is new, or takes the place of a picture that this program has made.
    ///
    /// # Errors
    /// A name without `.png`, a folder that is not there, or a file of somebody else.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
            bail!("{}: a name that ends in .png expected", path.display());
        }
        Self::checked(path, is_ours)
    }

    /// A text that is new, or takes the place of one that has this mark near its start, as this program's have.
    ///
    /// # Errors
    /// A folder that is not there, or a file of somebody else.
    pub(crate) fn text(path: &Path, mark: &str) -> Result<Self> {
        Self::checked(path, |path| {
            let is_file = path.symlink_metadata().is_ok_and(|data| data.is_file());
            let mut start = Vec::new();
            let file = File::open(path).ok().filter(|_| is_file);
            let read = file.map(|file| file.take(4096).read_to_end(&mut start));
            matches!(read, Some(Ok(_))) && String::from_utf8_lossy(&start).contains(mark)
        })
    }

    fn checked(path: &Path, is_ours: impl FnOnce(&Path) -> bool) -> Result<Self> {
        let shown = path.display();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            bail!("{shown}: there is no folder {}", folder.display());
        }
        if path.symlink_metadata().is_ok() && !is_ours(path) {
            bail!(
                "{shown} is there already and not a file that wavetape made, so it is not replaced: name another file, or remove it"
            );
        }
        output::check_file(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Writes a picture in one step.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn write(&self, picture: &RgbImage) -> Result<()> {
        self.put(&png(picture)?)
    }

    /// Writes a text in one step.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<()> {
        write_atomically(&self.0, bytes).with_context(|| self.0.display().to_string())
    }
}

/// Whether a file is a picture that [`png()`] has made.
fn is_ours(path: &Path) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|data| data.is_file());
    let Some(file) = File::open(path).ok().filter(|_| is_file) else { return false };
    let Ok(reader) = Decoder::new(BufReader::new(file)).read_info() else { return false };
    let notes = &reader.info().uncompressed_latin1_text;
    notes.iter().any(|note| (note.keyword.as_str(), note.text.as_str()) == SOFTWARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_as_they_are_written() {
        let wanted = ["a b", "a-b", "A-B", "a-b-2", "p/1", "q/1", "p/1", "..", "", "über.jpg"];
        let names = names(wanted);
        let expected = [
            "a-b",
            "a-b-2",
            "A-B-3",
            "a-b-2-2",
            "p-1",
            "q-1",
            "p-1-2",
            "picture",
            "picture-2",
            "über.jpg",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn only_pictures_of_this_program_are_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.png");
        let picture = RgbImage::from_pixel(3, 2, image::Rgb([1, 2, 3]));
        Target::new(&path).expect("new").write(&picture).expect("written");
        assert_eq!(image::open(&path).expect("a picture").into_rgb8(), picture);
        Target::new(&path).expect("ours").write(&picture).expect("replaced");
        picture.save(&path).expect("somebody else's");
        let refused = |path: &Path| Target::new(path).expect_err("refused").to_string();
        assert!(refused(&path).contains("is not replaced: name another file"));
        assert!(refused(&folder.path().join("none/a.png")).contains("there is no folder"));
        assert!(refused(&folder.path().join("a.jpg")).contains("ends in .png"));

        let path = folder.path().join("a.html");
        Target::text(&path, "<made by us>").expect("new").put(b"x <made by us> y").expect("put");
        Target::text(&path, "<made by us>").expect("ours");
        std::fs::write(&path, "my thesis").expect("somebody else's");
        let error = Target::text(&path, "<made by us>").expect_err("refused").to_string();
        assert!(error.contains("is not replaced"), "{error}");
    }
}
