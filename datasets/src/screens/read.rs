//! From files to screens.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;

use super::captions::{self, OfScreen};
use super::hierarchy::{self, Limits};
use super::pixels::{self, SIDE, Screenshot};
use super::{Part, Repair, Repairs, Screen, Screens, Widget};
use crate::source::MAX_BYTES;
use crate::{Error, text};

/// How many screens are read between two looks at the memory that they take.
const CHUNK: usize = 64;

/// Reads the screens of one part. What is not of use is left out, counted and told: see [`Repair`].
///
/// # Errors
///
/// A file or a picture that is not there or cannot be read; a file that is not JSON, or has a child that is neither a node nor
/// null; a view hierarchy beyond the default [`Limits`]; an id that is given twice, or would be no name of a file; another
/// first line of the captions, a row without 4 columns, of another data set than `rc` and `nr`, or with a path of no node;
/// more than 4 GiB of pixels. Of several errors in screens, that of the first screen.
pub fn folder(dir: &Path, part: Part) -> Result<Screens, Error> {
    let ids = ids(&dir.join("split").join(format!("{}.txt", part.name())))?;
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let (mut screens, mut repairs) = (Vec::with_capacity(ids.len()), Repairs::default());
    let csv = dir.join("widget_captions.csv");
    let captions = captions::read(&csv, |id| wanted.contains(id), &mut repairs)?;
    let files = dir.join("combined");

    let mut bytes = 0;
    for ids in ids.chunks(CHUNK) {
        let results: Vec<_> =
            ids.par_iter().map(|id| captioned(&files, id, captions.get(id), &csv)).collect();
        for (result, id) in results.into_iter().zip(ids) {
            let screen = result?;
            bytes += screen.pixels.len() as u64;
            if bytes > MAX_BYTES {
                let expected = format_args!("at most {MAX_BYTES} bytes of pixels in all");
                let found = format_args!("more, in {} screens", screens.len() + 1);
                return Err(Error::record(&files.join(id), "the pixels", expected, found));
            }
            match screen.widgets.is_empty() {
                true => repairs.append(&screen.repairs),
                false => screens.push(screen),
            }
        }
    }
    Ok(Screens::with(screens, repairs))
}

/// Reads one view hierarchy, and the picture of the same name beside it. All its nodes are to be captioned, none of them has
/// captions; see [`Screen::only`].
///
/// # Errors
///
/// A file or a picture that is not there or cannot be read, a view hierarchy without root or beyond the limits.
pub fn screen(json: &Path, limits: &Limits) -> Result<Screen, Error> {
    let mut screen = Screen { id: text::stem(&text::name(json)).to_string(), ..Screen::default() };
    screen.nodes = hierarchy::read(json, limits, &mut screen.repairs)?;
    if screen.nodes.is_empty() {
        return Err(Error::record(json, "activity.root", "a node", "none"));
    }
    let folder = json.parent().unwrap_or(Path::new(""));
    let widgets = (0..screen.nodes.len()).map(|node| Widget { node, captions: Vec::new() });
    let widgets = widgets.collect();
    with_pixels(screen, widgets, &text::picture(folder, text::stem(&text::name(json)))?)
}

/// The ids of a part, one a line.
fn ids(path: &Path) -> Result<Vec<String>, Error> {
    let text = text::read(path)?;
    let (mut ids, mut known) = (Vec::new(), HashSet::new());
    for (line, id) in text::lines(&text) {
        let wrong =
            |expected: &str| Err(Error::record(path, format_args!("line {line}"), expected, id));
        if !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return wrong("the id of a screen");
        }
        if !known.insert(id) {
            return wrong("each id once");
        }
        ids.push(id.to_string());
    }
    match ids.is_empty() {
        true => Err(Error::record(path, "the file", "the ids of screens", "none")),
        false => Ok(ids),
    }
}

/// The screen with this id; without widgets, and with the reason among its repairs, if it is to be left out.
fn captioned(
    folder: &Path,
    id: &str,
    captions: Option<&OfScreen>,
    csv: &Path,
) -> Result<Screen, Error> {
    let mut screen = Screen { id: id.to_string(), ..Screen::default() };
    let file = format!("{id}.json");
    let Some(captions) = captions else {
        screen.repairs.add(Repair::NoCaption, file);
        return Ok(screen);
    };
    screen.nodes = hierarchy::read(&folder.join(&file), &Limits::default(), &mut screen.repairs)?;
    if screen.nodes.is_empty() {
        screen.repairs.add(Repair::NoHierarchy, file);
        return Ok(screen);
    }
    let places = screen.nodes.iter().enumerate().map(|(i, node)| (node.path.as_str(), i));
    let places: HashMap<&str, usize> = places.collect();
    let mut widgets = Vec::with_capacity(captions.len());
    for (path, row) in captions {
        match places.get(path.as_str()) {
            Some(&node) => widgets.push(Widget { node, captions: row.captions.clone() }),
            None => {
                let place =
                    format!("{}: line {}: node {path} of {file}", text::name(csv), row.line);
                screen.repairs.add(Repair::NoNode, place);
            }
        }
    }
    if widgets.is_empty() {
        screen.repairs.add(Repair::NoCaption, file);
        return Ok(screen);
    }
    widgets.sort_unstable_by_key(|widget| widget.node);
    with_pixels(screen, widgets, &text::picture(folder, id)?)
}

/// The screen with these widgets.
fn with_pixels(mut screen: Screen, widgets: Vec<Widget>, picture: &Path) -> Result<Screen, Error> {
    let picture = Screenshot::read(picture)?;
    screen.pixels.reserve_exact(widgets.len() * SIDE * SIDE);
    for widget in &widgets {
        screen.pixels.extend(pixels::shown(&picture, &screen.nodes[widget.node]));
    }
    screen.widgets = widgets;
    Ok(screen)
}
