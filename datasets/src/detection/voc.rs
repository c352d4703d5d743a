//! Pascal VOC: an XML file for each picture.
//!
//! ```text
//! folder/Annotations/a.xml            <annotation><size>…</size><object>…</object>…</annotation>
//! folder/JPEGImages/a.jpg             or .jpeg, .png
//! folder/ImageSets/Main/train.txt     the names of a split, one a line, without extension
//! ```
//!
//! Of an XML file `size/width`, `size/height` and of each `object` its `name`, `difficult` and `bndbox` are read. The names
//! and paths of pictures that it gives are not followed: they are those of the machine on which it was written.
//!
//! Pixels are counted from 1 and a box holds its last ones, so `xmin = 1, xmax = W` is the whole width: the left edge is
//! `xmin − 1` and the right edge `xmax`. A box of which the last pixel is not behind the first one has no area.
//!
//! An object without `bndbox` is left out, and counted in [`Repairs`]. A document type is passed over, one that declares entities
//! refused. Text is in UTF-8, or in ISO-8859-1 if the first line says so.
//!
//! An object marked as `difficult`, which VOC's score passes over, becomes one that stands for a crowd.
//!
//! Source: M. Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010, and its development kit.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use super::stored::{Annotations, Draft, DraftObject, Reading};
use super::{Detection, Id, Repair, Repairs};
use crate::text::MAX_TEXT;
use crate::{Error, source, text};

/// Elements, attributes and texts that an XML file may have.
const MAX_NODES: u32 = 1 << 18;

/// Attributes and namespaces that an XML file may have, whose annotations need none: parsing compares each with all others.
const MAX_ATTRIBUTES: usize = 1 << 8;

/// Reads the pictures that `ImageSets/Main/{split}.txt` names, or without a split all that are annotated, in this order.
///
/// Without `classes` they are all names in `Annotations`, in the order of the alphabet, so that all splits agree on them. With
/// `classes`, objects of others are left out, and counted in [`Repairs`].
///
/// # Errors
///
/// A file or picture that is missing, broken or too large, a picture named twice, a number that is none, `Fit` that makes no
/// sense, or more than 4 GiB of pixels.
pub fn read(
    folder: &Path,
    split: Option<&str>,
    classes: Option<&[&str]>,
    reading: &Reading,
) -> Result<Detection, Error> {
    annotations(folder, split, classes, reading.skip_broken)?.read(reading)
}

/// What the XML files say; pictures may be missing if `skip_missing` says so.
pub(super) fn annotations(
    folder: &Path,
    split: Option<&str>,
    classes: Option<&[&str]>,
    skip_missing: bool,
) -> Result<Annotations, Error> {
    let annotations = folder.join("Annotations");
    let all = || text::names(&annotations, &["xml"]);
    let stems: Vec<String> = match split {
        Some(split) => listed(&folder.join("ImageSets/Main"), split)?,
        None => all()?.iter().map(|name| text::stem(name).to_string()).collect(),
    };
    let classes: Vec<String> = match classes {
        Some(classes) => classes.iter().map(|class| class.to_string()).collect(),
        None => {
            let mut names = BTreeSet::new();
            for name in all()? {
                let file = annotations.join(name);
                names.extend(parse(&file)?.objects.into_iter().map(|object| object.name));
            }
            names.into_iter().collect()
        }
    };
    text::check_classes(&annotations, &classes)?;

    let mut drafts = Vec::with_capacity(stems.len());
    for (id, stem) in stems.iter().enumerate() {
        let source = annotations.join(format!("{stem}.xml"));
        let pictures = folder.join("JPEGImages");
        let picture = match text::picture(&pictures, stem) {
            // Told when it is to be read.
            Err(_) if skip_missing => pictures.join(format!("{stem}.jpg")),
            found => found?,
        };
        let Parsed { stated, objects } = parse(&source)?;
        let mut repairs = Repairs::default();
        let mut known = Vec::with_capacity(objects.len());
        for Written { name, number, bounds, difficult } in objects {
            let file = text::name(&source);
            let Some(bounds) = bounds else {
                repairs.add(Repair::NoBox, format_args!("{file}: object {number}: {name}"));
                continue;
            };
            let place = ("object", number.into());
            match classes.iter().position(|class| *class == name) {
                Some(class) => {
                    known.push(DraftObject { place, bounds, class, area: None, crowd: difficult });
                }
                None => {
                    let place = format_args!("{file}: object {number}: {name}");
                    repairs.add(Repair::UnknownClass, place);
                }
            }
        }
        let (id, name) = ((id as u64).into(), text::name(&picture));
        let (fractions, objects) = (false, known);
        drafts.push(Draft { id, name, picture, source, stated, fractions, objects, repairs });
    }
    let class_ids = (1..=classes.len() as u64).map(Id::from).collect();
    Ok(Annotations { drafts, classes, class_ids })
}

/// The names of a split.
fn listed(folder: &Path, split: &str) -> Result<Vec<String>, Error> {
    let file = format!("{split}.txt");
    let path = text::inside(folder, &file)
        .ok_or_else(|| Error::option("split", "the name of a file", split))?;
    let text = text::read(&path)?;
    let (mut stems, mut seen) = (Vec::new(), HashSet::new());
    for (line, stem) in text::lines(&text) {
        let place = format_args!("line {line}");
        if text::inside(folder, stem).is_none() {
            return Err(Error::record(&path, place, "the name of a picture", stem));
        }
        if !seen.insert(stem) {
            return Err(Error::record(&path, place, "each picture once", stem));
        }
        stems.push(stem.to_string());
    }
    Ok(stems)
}

/// What an XML file says.
struct Parsed {
    stated: Option<[usize; 2]>,
    objects: Vec<Written>,
}

struct Written {
    name: String,
    number: u64,
    /// Left, top, width and height, if it has a box.
    bounds: Option<[f64; 4]>,
    difficult: bool,
}

fn parse(path: &Path) -> Result<Parsed, Error> {
    let text = read_xml(path)?;
    if text.matches('=').nth(MAX_ATTRIBUTES).is_some() {
        let expected = format_args!("at most {MAX_ATTRIBUTES} attributes");
        return Err(Error::record(path, "the file", expected, "more"));
    }
    if text.contains("<!ENTITY") {
        // A few lines of them can stand for any amount of text.
        return Err(Error::record(
            path,
            "the file",
            "a document type without entities",
            "<!ENTITY",
        ));
    }
    let options = ParsingOptions { nodes_limit: MAX_NODES, allow_dtd: true, ..Default::default() };
    let document = Document::parse_with_options(&text, options)
        .map_err(|error| Error::record(path, "the file", "sound XML", error))?;
    let file = File { path, document: &document };
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        return Err(file.wrong(root, "annotation", root.tag_name().name()));
    }
    let stated = match file.find(root, "size") {
        Some(size) => {
            Some([file.number(size, "height")? as usize, file.number(size, "width")? as usize])
        }
        None => None,
    };
    let objects = root.children().filter(|node| node.has_tag_name("object")).enumerate();
    let objects = objects.map(|(i, node)| file.object(i as u64 + 1, node));
    Ok(Parsed { stated, objects: objects.collect::<Result<_, _>>()? })
}

/// The text of an XML file, whose first line may say that it is not in UTF-8.
fn read_xml(path: &Path) -> Result<String, Error> {
    let bytes = source::read_text(path, MAX_TEXT)?;
    let declaration = bytes.split(|&byte| byte == b'>').next().unwrap_or_default();
    let declaration = String::from_utf8_lossy(declaration).to_ascii_lowercase();
    let is_latin = declaration.starts_with("<?xml")
        && ["iso-8859-1", "iso8859-1", "latin-1", "latin1"].iter().any(|n| declaration.contains(n));
    match is_latin {
        true => Ok(bytes.into_iter().map(char::from).collect()),
        false => text::decoded(path, bytes),
    }
}

/// An XML file, for messages with its name and the line.
struct File<'a> {
    path: &'a Path,
    document: &'a Document<'a>,
}

impl<'a> File<'a> {
    fn object(&self, number: u64, node: Node<'a, 'a>) -> Result<Written, Error> {
        let name = self.text(node, "name")?.to_string();
        let bounds = match self.find(node, "bndbox") {
            Some(edges) => {
                let edge = |name| self.number(edges, name);
                let [x0, y0, x1, y1] = [edge("xmin")?, edge("ymin")?, edge("xmax")?, edge("ymax")?];
                // From numbers of pixels to edges; a box of a single pixel is a slip and stays without area.
                let [left, top] = [x0 - f64::from(x1 > x0), y0 - f64::from(y1 > y0)];
                Some([left, top, x1 - left, y1 - top])
            }
            None => None,
        };
        let difficult = match self.find(node, "difficult") {
            Some(flag) => match content(flag) {
                "1" | "true" | "True" => true,
                "0" | "false" | "False" | "" | "Unspecified" => false,
                other => return Err(self.wrong(flag, "difficult to be 0 or 1", other)),
            },
            None => false,
        };
        Ok(Written { name, number, bounds, difficult })
    }

    fn find(&self, node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
        node.children().find(|child| child.has_tag_name(name))
    }

    fn child(&self, node: Node<'a, 'a>, name: &str) -> Result<Node<'a, 'a>, Error> {
        let missing = || self.wrong(node, format!("{name} in {}", node.tag_name().name()), "none");
        self.find(node, name).ok_or_else(missing)
    }

    fn text(&self, node: Node<'a, 'a>, name: &str) -> Result<&'a str, Error> {
        let child = self.child(node, name)?;
        match content(child) {
            "" => Err(self.wrong(child, format!("text in {name}"), "none")),
            text => Ok(text),
        }
    }

    fn number(&self, node: Node<'a, 'a>, name: &str) -> Result<f64, Error> {
        let text = self.text(node, name)?;
        text.parse().map_err(|_| self.wrong(node, format!("a number in {name}"), text))
    }

    fn wrong(&self, node: Node, expected: impl std::fmt::Display, found: &str) -> Error {
        let line = self.document.text_pos_at(node.range().start).row;
        let found: String = found.chars().take(80).collect();
        Error::record(self.path, format_args!("line {line}"), expected, found)
    }
}

/// The first text in an element, without white space around it.
fn content<'a>(node: Node<'a, 'a>) -> &'a str {
    node.text().unwrap_or("").trim()
}
