//! The pictures that a file of instances speaks of.

use std::collections::HashMap;
use std::path::Path;

use super::super::stored::{Annotations, Draft, DraftObject, Reading};
use super::super::{Detection, Id};
use super::{Annotation, Category, Image, read_instances};
use crate::{Error, text};

/// Reads a file of instances and its pictures from a folder, in the order of the file.
///
/// Classes come in the order of their ids, which are the [`class_ids`](Detection::class_ids).
///
/// # Errors
///
/// What [`read_instances`] refuses; a picture without a name, with one that leads out of the folder, or that is missing,
/// broken or too large; no category or one name for two; `Fit` that makes no sense; or more than 4 GiB of pixels.
pub fn read_pictures(file: &Path, folder: &Path, reading: &Reading) -> Result<Detection, Error> {
    annotations(file, folder)?.read(reading)
}

/// What a file of instances says.
pub(in super::super) fn annotations(file: &Path, folder: &Path) -> Result<Annotations, Error> {
    let mut instances = read_instances(file)?;
    let mut of_file = std::mem::take(&mut instances.repairs);
    instances.categories.sort_by(|a, b| a.id.cmp(&b.id));
    let (class_ids, classes): (Vec<Id>, Vec<String>) =
        instances.categories.into_iter().map(|Category { id, name }| (id, name)).unzip();
    text::check_classes(file, &classes)?;

    let mut objects: HashMap<Id, Vec<DraftObject>> = HashMap::new();
    for Annotation { id, image_id, category_id, bbox, area, iscrowd } in instances.annotations {
        let class = class_ids.binary_search(&category_id).expect("the category was checked");
        let (place, bounds) = (("annotation", id), bbox);
        let object = DraftObject { place, bounds, class, area: Some(area), crowd: iscrowd };
        objects.entry(image_id).or_default().push(object);
    }
    let draft = |Image { id, width, height, file_name }| {
        let name = file_name.unwrap_or_default();
        let expected = "the name of a file below the folder of pictures";
        let wrong =
            || Error::record(file, format_args!("image {id}"), expected, format!("{name:?}"));
        let picture = text::inside(folder, &name).ok_or_else(wrong)?;
        let stated = height.zip(width).map(|(height, width)| [height as usize, width as usize]);
        let (source, objects) = (file.to_owned(), objects.remove(&id).unwrap_or_default());
        let (fractions, repairs) = (false, std::mem::take(&mut of_file));
        Ok(Draft { id, name, picture, source, stated, fractions, objects, repairs })
    };
    let drafts = instances.images.into_iter().map(draft).collect::<Result<_, Error>>()?;
    Ok(Annotations { drafts, classes, class_ids })
}
