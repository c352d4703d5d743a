//! Labels follow the names of classes, not their places.

use std::fs;
use std::path::Path;

use datasets::detection::{Annotated, Detection, Fit, Id, Reading, coco, voc, yolo};
use datasets::image_folder::{self, Channels, Listing, Part, Size};
use image::{Rgb, RgbImage};

const READING: Reading = Reading::new(Channels::Grey, Fit::Original);

fn picture(root: &Path, name: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(20, 20, Rgb([9, 9, 9])).save(path).unwrap();
}

fn write(root: &Path, name: &str, contents: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn a_class_folder_that_lacks_a_class_has_the_labels_of_the_training_set() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["train/a/1.png", "train/b/1.png", "train/c/1.png", "test/b/2.png", "test/c/2.png"]
    {
        picture(folder.path(), name);
    }
    let mut listing = Listing::of(folder.path()).unwrap();
    let reading = image_folder::Reading::new(Size::Equal, Channels::Grey);
    let mut read = |part| image_folder::read(&mut listing, Some(part), &reading).unwrap();
    let train = read(Part::Train);
    let test = read(Part::Test).with_classes(train.classes()).unwrap();
    assert_eq!([test.label(0), test.label(1)], [1, 2]);
    assert_eq!(test.classes(), ["a", "b", "c"]);
    let unknown = train.with_classes(read(Part::Test).classes()).unwrap_err().to_string();
    assert_eq!(unknown, "unknown class \"a\"; the training set has \"b\", \"c\"");
}

#[test]
fn coco_categories_are_matched_by_name_and_keep_the_ids_of_their_own_file() {
    let folder = tempfile::tempdir().unwrap();
    picture(folder.path(), "a.png");
    let read = |categories: &str| {
        let json = format!(
            r#"{{"images": [{{"id": 1, "file_name": "a.png"}}], "categories": [{categories}],
            "annotations": [{{"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4]}}]}}"#
        );
        write(folder.path(), "instances.json", &json);
        let file = folder.path().join("instances.json");
        coco::read_pictures(&file, folder.path(), &READING).unwrap()
    };
    let test = read(r#"{"id": 0, "name": "x"}, {"id": 1, "name": "y"}"#);
    let mapped = test.clone().with_classes(&names(&["y", "new", "x"])).unwrap();
    assert_eq!(mapped.class_ids(), [1, 2, 0].map(Id::from));
    let Annotated { objects, truth, .. } = &mapped.pictures()[0];
    assert_eq!((objects[0].class, truth[0].class), (2, 2));
    assert_ne!(mapped.fingerprint(), test.fingerprint());
    // No object is of class y.
    let only = test.clone().with_classes(&names(&["x"])).unwrap();
    assert_eq!((only.class_ids(), only.pictures()[0].objects[0].class), (&[0.into()][..], 0));
    let unknown = test.with_classes(&names(&["y"])).unwrap_err().to_string();
    assert_eq!(unknown, "unknown class \"x\"; the training set has \"y\"");
}

#[test]
fn voc_and_yolo_classes_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    picture(root, "JPEGImages/a.png");
    let object = "<object><name>dog</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>";
    write(root, "Annotations/a.xml", &format!("<annotation>{object}</annotation>"));
    picture(root, "images/val/a.png");
    write(root, "labels/val/a.txt", "0 0.5 0.5 0.5 0.5\n");
    write(root, "classes.txt", "dog\n");
    let class = |data: Detection| {
        let data = data.with_classes(&names(&["cat", "dog"])).unwrap();
        (data.pictures()[0].objects[0].class, data.class_ids().to_vec())
    };
    assert_eq!(
        class(voc::read(root, None, None, &READING).unwrap()),
        (1, vec![2.into(), 1.into()])
    );
    assert_eq!(class(yolo::read(root, "val", &READING).unwrap()), (1, vec![2.into(), 1.into()]));
}
