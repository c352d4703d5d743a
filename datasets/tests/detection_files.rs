//! Pictures and boxes from files, sound ones and others.

use std::fs;
use std::path::Path;

use datasets::Error;
use datasets::detection::{
    Annotated, Detection, Fit, Reading, Region, Repair, Truth, coco, voc, yolo,
};
use datasets::image_folder::Channels;
use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

const PLAIN: Reading = Reading::new(Channels::Rgb, Fit::Original);

fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

/// A picture of one colour.
fn picture(folder: &Path, name: &str, [height, width]: [u32; 2]) {
    write(folder, name, "");
    let picture = RgbImage::from_pixel(width, height, Rgb([10, 20, 30]));
    picture.save_with_format(folder.join(name), ImageFormat::Png).unwrap();
}

fn xml(size: [u32; 2], objects: &[(&str, [&str; 4])]) -> String {
    let [height, width] = size;
    let mut xml =
        format!("<annotation>\n<size><width>{width}</width><height>{height}</height></size>\n");
    for (name, [x0, y0, x1, y1]) in objects {
        xml += &format!(
            "<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>\
             <ymax>{y1}</ymax></bndbox></object>\n"
        );
    }
    xml + "</annotation>\n"
}

/// Two pictures of 20 × 40 pixels with a cat and a dog.
fn voc_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    picture(root, "JPEGImages/a.png", [20, 40]);
    picture(root, "JPEGImages/b.jpg", [20, 40]);
    write(root, "Annotations/a.xml", xml([20, 40], &[("dog", ["1", "1", "40", "20"])]));
    write(root, "Annotations/b.xml", xml([20, 40], &[("cat", ["5", "3", "8.5", "10"])]));
    write(root, "ImageSets/Main/train.txt", "b\n\n  a \n");
    folder
}

/// The message of an error without the folder in front of the last part of the path.
fn message(result: Result<Detection, Error>) -> String {
    let message = result.unwrap_err().to_string();
    match message.split_once(": ") {
        Some((path, rest)) => format!("{}: {rest}", path.rsplit('/').next().unwrap()),
        None => message,
    }
}

#[test]
fn voc_counts_pixels_from_1_and_classes_in_the_order_of_the_alphabet() {
    let folder = voc_folder();
    let read = voc::read(folder.path(), Some("train"), None, &PLAIN).unwrap();
    assert_eq!(
        (read.classes(), read.class_ids()),
        (&["cat", "dog"].map(String::from)[..], &[1.into(), 2.into()][..])
    );
    let [b, a] = read.pictures() else { panic!("{read:?}") };
    assert_eq!(
        (b.name.as_str(), &b.id, b.shape, b.original),
        ("b.jpg", &0.into(), [3, 20, 40], [20, 40])
    );
    assert_eq!((a.pixels[0], a.pixels[800], a.pixels[2399]), (10, 20, 30));
    assert_eq!((a.objects[0].region, a.objects[0].class), (Region::new(0.0, 0.0, 40.0, 20.0), 1));
    assert_eq!((b.objects[0].region, b.objects[0].class), (Region::new(4.0, 2.0, 8.5, 10.0), 0));
    assert!(read.repairs().is_empty());
    assert_eq!(read.count_by_class(), [1, 1]);

    // Without a split all are read, and a class not asked for is told.
    let dogs = voc::read(folder.path(), None, Some(&["dog"]), &PLAIN).unwrap();
    assert_eq!(dogs.pictures().iter().map(|p| p.objects.len()).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(
        dogs.repairs().to_string(),
        "1 object left out whose class is not asked for, in b.xml: object 1: cat"
    );
}

#[test]
fn boxes_follow_a_picture_that_is_resized() {
    let folder = voc_folder();
    let read = |fit| {
        voc::read(
            folder.path(),
            Some("train"),
            None,
            &Reading { channels: Channels::Grey, fit, ..PLAIN },
        )
        .unwrap()
    };
    let b = read(Fit::Within(20)).pictures()[0].clone();
    assert_eq!((b.shape, b.original), ([1, 10, 20], [20, 40]));
    assert_eq!(b.objects[0].region, Region::new(2.0, 1.0, 4.25, 5.0));
    let truth = Truth { id: 1, class: 0, bounds: [4.0, 2.0, 4.5, 8.0], area: 36.0, crowd: false };
    assert_eq!(b.truth, [truth]);
    let b = read(Fit::Exact { height: 40, width: 40 }).pictures()[0].clone();
    assert_eq!((b.shape, b.objects[0].region), ([1, 40, 40], Region::new(4.0, 4.0, 8.5, 20.0)));
    assert_eq!(read(Fit::Within(99)).pictures()[0].shape, [1, 20, 40]);

    let refused = |fit| voc::read(folder.path(), None, None, &Reading { fit, ..PLAIN });
    let found = message(refused(Fit::Within(0)));
    assert_eq!(found, "fit: expected sides of 1 to 8192 pixels; found Within(0)");
    assert!(refused(Fit::Exact { height: 1 << 40, width: 9 }).is_err());
}

#[test]
fn what_can_be_put_right_is_counted_and_told() {
    let folder = voc_folder();
    let objects = [
        ("cat", ["7", "7", "7", "7"]),
        ("cat", ["9", "3", "5", "6"]),
        ("cat", ["nan", "3", "5", "6"]),
        ("cat", ["50", "3", "60", "6"]),
        ("cat", ["-3", "3", "5", "26"]),
        ("cat", ["2", "3", "5", "6"]),
        ("dog", ["2", "3", "5", "6"]),
        ("cat", ["2", "3", "5", "6"]),
    ];
    let flags = xml([21, 40], &objects).replace("dog</name>", "dog</name><difficult>1</difficult>");
    write(folder.path(), "Annotations/b.xml", flags);
    let read = voc::read(folder.path(), Some("train"), None, &PLAIN).unwrap();
    let regions: Vec<_> = read.pictures()[0].objects.iter().map(|object| object.region).collect();
    assert_eq!(regions, [Region::new(0.0, 2.0, 5.0, 20.0), Region::new(1.0, 2.0, 5.0, 6.0)]);
    // What is scored is what was read.
    let truth: Vec<_> = read.pictures()[0].truth.iter().map(|o| (o.bounds, o.crowd)).collect();
    assert_eq!(
        truth,
        [
            ([7.0, 7.0, 0.0, 0.0], false),
            ([9.0, 2.0, -4.0, 4.0], false),
            ([49.0, 2.0, 11.0, 4.0], false),
            ([-4.0, 2.0, 9.0, 24.0], false),
            ([1.0, 2.0, 4.0, 4.0], false),
            ([1.0, 2.0, 4.0, 4.0], true),
            ([1.0, 2.0, 4.0, 4.0], false),
        ]
    );
    let repairs = read.repairs();
    let kinds =
        [Repair::Clipped, Repair::Degenerate, Repair::Duplicate, Repair::Size, Repair::Crowd];
    assert_eq!(kinds.map(|kind| repairs.count(kind)), [1, 4, 1, 1, 1]);
    assert_eq!(
        repairs.first(Repair::Degenerate).unwrap(),
        "b.xml: object 1: left 7, top 7, right 7, bottom 7"
    );
    assert_eq!(repairs.first(Repair::Size).unwrap(), "b.xml: 21 × 40 instead of 20 × 40 pixels");
}

#[test]
fn a_sliver_of_which_nothing_is_left_when_the_picture_shrinks_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    picture(root, "images/val/a.png", [8, 4000]);
    // The least number above 3999 and below 4000 as its left edge, and one that stays.
    write(root, "labels/val/a.txt", "0 0.99999996 0.5 0.00000008 1\n0 0.5 0.5 0.5 1\n");
    for fit in [Fit::Original, Fit::Within(300), Fit::Within(7), Fit::Exact { height: 1, width: 1 }]
    {
        let read = yolo::read(root, "val", &Reading { fit, ..PLAIN }).unwrap();
        let (objects, left_out) =
            (read.pictures()[0].objects.len(), read.repairs().count(Repair::Degenerate));
        assert_eq!(objects + left_out, 2, "{fit:?}");
    }
    let json = r#"{"images": [{"id": 1, "file_name": "images/val/a.png"}], "categories": [{"id": 1, "name": "x"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3999.9998, 0, 0.0002, 8]}]}"#;
    write(root, "instances.json", json);
    let reading = Reading { fit: Fit::Exact { height: 1, width: 3 }, ..PLAIN };
    let read = coco::read_pictures(&root.join("instances.json"), root, &reading).unwrap();
    assert_eq!(read.pictures()[0].objects.len() + read.repairs().count(Repair::Degenerate), 1);
}

#[test]
fn pictures_that_are_broken_or_missing_are_left_out_if_asked_for() {
    let folder = voc_folder();
    let root = folder.path();
    write(root, "JPEGImages/b.jpg", "no picture");
    let reading = Reading { skip_broken: true, ..PLAIN };
    assert!(voc::read(root, Some("train"), None, &PLAIN).is_err());
    let read = voc::read(root, Some("train"), None, &reading).unwrap();
    assert_eq!((read.pictures().len(), read.pictures()[0].name.as_str()), (1, "a.png"));
    assert!(read.repairs().to_string().starts_with("1 broken picture skipped, in "));
    fs::remove_file(root.join("JPEGImages/b.jpg")).unwrap();
    assert_eq!(voc::read(root, Some("train"), None, &reading).unwrap(), {
        let again = voc::read(root, Some("train"), None, &reading).unwrap();
        assert_eq!(again.repairs().count(Repair::Broken), 1);
        again
    });
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_refused_and_not_waited_for() {
    let folder = voc_folder();
    let root = folder.path();
    for name in ["Annotations/b.xml", "JPEGImages/b.jpg", "ImageSets/Main/train.txt"] {
        let path = root.join(name);
        let before = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert!(voc::read(root, Some("train"), None, &PLAIN).is_err(), "{name}");
        fs::remove_file(&path).unwrap();
        write(root, name, before);
    }
    let made = std::process::Command::new("mkfifo").arg(root.join("i.json")).status().unwrap();
    assert!(made.success());
    let json = message(coco::read_pictures(&root.join("i.json"), root, &PLAIN));
    assert_eq!(json, "i.json: byte 0: expected a file; found a folder or a device");
}

#[test]
fn voc_files_that_are_broken_are_refused_with_the_place() {
    let folder = voc_folder();
    let root = folder.path();
    let read = || message(voc::read(root, Some("train"), Some(&["cat", "dog"]), &PLAIN));
    let cases: [(&str, &str, &str); 9] = [
        ("Annotations/b.xml", "<annotation>", "b.xml: the file: expected sound XML; found "),
        ("Annotations/b.xml", "<a/>", "b.xml: line 1: expected annotation; found a"),
        (
            "Annotations/b.xml",
            "<annotation>\n<object><name>cat</name><bndbox/></object></annotation>",
            "b.xml: line 2: expected xmin in bndbox; found none",
        ),
        (
            "Annotations/b.xml",
            &xml([20, 40], &[("cat", ["1", "two", "3", "4"])]),
            "b.xml: line 3: expected a number in ymin; found two",
        ),
        (
            "Annotations/b.xml",
            &xml([20, 40], &[(" ", ["1", "2", "3", "4"])]),
            "b.xml: line 3: expected text in name; found none",
        ),
        (
            "ImageSets/Main/train.txt",
            "a\nb\na",
            "train.txt: line 3: expected each picture once; found a",
        ),
        (
            "ImageSets/Main/train.txt",
            "../a",
            "train.txt: line 1: expected the name of a picture; found ../a",
        ),
        (
            "ImageSets/Main/train.txt",
            "c",
            "JPEGImages: expected c.jpg or c.jpeg or c.png or c.webp or c.bmp or c.gif or c.tif or c.tiff; found none",
        ),
        (
            "JPEGImages/a.png",
            "no",
            "a.png: byte 0: expected a sound picture in BMP, GIF, JPEG, PNG, TIFF or WebP; found ",
        ),
    ];
    for (name, contents, expected) in cases {
        let before = fs::read(root.join(name)).unwrap();
        write(root, name, contents);
        assert!(read().starts_with(expected), "{}", read());
        write(root, name, before);
    }
    write(root, "ImageSets/Main/train.txt", b"a\n\xff");
    assert_eq!(read(), "train.txt: byte 2: expected text in UTF-8; found [ff]");
    assert!(message(voc::read(root, Some("../x"), None, &PLAIN)).starts_with("split: expected"));
    let twice = voc::read(root, None, Some(&["a", "a"]), &PLAIN);
    assert_eq!(message(twice), "Annotations: the classes: expected each name once; found a");
}

#[test]
fn voc_files_may_have_a_document_type_be_in_latin_1_or_lack_a_box() {
    let folder = voc_folder();
    let root = folder.path();
    let plain = xml([20, 40], &[("caf\u{e9}", ["5", "3", "8.5", "10"])]);
    let head = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<!DOCTYPE annotation SYSTEM \"voc.dtd\">\n";
    let more = "<object><name>cat</name></object></annotation>";
    let text = format!("{head}{}", plain.replace("</annotation>", more));
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    write(root, "Annotations/b.xml", latin);
    let read = || voc::read(root, Some("train"), None, &PLAIN);
    let found = read().unwrap();
    assert_eq!(
        (found.classes(), &found.count_by_class()[..]),
        (&["café", "cat", "dog"].map(String::from)[..], &[1, 0, 1][..])
    );
    let told = "1 object left out without a box, in b.xml: object 2: cat";
    assert_eq!(found.repairs().to_string(), told);

    let text = text.replace("ISO-8859-1", "utf-8");
    write(root, "Annotations/b.xml", format!("\u{feff}{text}"));
    assert_eq!(read().unwrap(), found);
    let entity = text.replace("SYSTEM \"voc.dtd\"", "[<!ENTITY a \"aaaaaaaa\">]");
    write(root, "Annotations/b.xml", entity);
    let told = "b.xml: the file: expected a document type without entities; found <!ENTITY";
    assert_eq!(message(read()), told);
}

#[test]
fn deep_nesting_takes_no_stack_and_much_of_it_is_refused() {
    let folder = voc_folder();
    let nested =
        |depth| format!("{}{}", "<annotation>".repeat(depth), "</annotation>".repeat(depth));
    write(folder.path(), "Annotations/b.xml", nested(100_000));
    let read = || voc::read(folder.path(), Some("train"), None, &PLAIN);
    assert_eq!(read().unwrap().count_by_class(), [1]);
    write(folder.path(), "Annotations/b.xml", nested(300_000));
    assert!(message(read()).starts_with("b.xml: "));

    let json = format!(r#"{{"images": {}"#, "[".repeat(100_000));
    write(folder.path(), "instances.json", json);
    let read = coco::read_pictures(&folder.path().join("instances.json"), folder.path(), &PLAIN);
    assert!(message(read).starts_with("instances.json: "));
}

#[test]
fn yolo_gives_centres_and_sizes_in_fractions() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    picture(root, "images/val/b.png", [20, 40]);
    picture(root, "images/val/a.png", [10, 10]);
    write(root, "labels/val/b.txt", "1 0.5 0.5 0.5 0.5\n\n0 0.1 0.5 0.2 1.0\n");
    write(root, "labels/train/c.txt", "2 0.5 0.5 0.5 0.5\n");
    let read = || yolo::read(root, "val", &PLAIN);
    let numbered = read().unwrap();
    assert_eq!(numbered.classes(), ["0", "1", "2"]);
    let [a, b] = numbered.pictures() else { panic!("{numbered:?}") };
    assert!(a.name == "a.png" && a.objects.is_empty());
    assert_eq!(b.objects[0].region, Region::new(10.0, 5.0, 30.0, 15.0));
    assert_eq!((b.objects[1].region, b.objects[1].class), (Region::new(0.0, 0.0, 8.0, 20.0), 0));
    assert!(numbered.repairs().is_empty());

    let forms = [
        "path: x\nnames: [cat, 'dog, big', \"owl\"]  # three\nnc: 3\n",
        "names:\n  - cat\n  - 'dog, big'\n\n  - owl # last\nval: images/val\n",
        "names:\n- cat\n- dog, big\n- owl\nnc: 3\n",
        "names:\n  0: cat\n  1: dog, big\n  2: owl\n",
        "names: [\n  cat,\n  'dog, big',\n  owl,\n]\n",
        "names: {0: cat, 1: 'dog, big', 2: owl}\n",
    ];
    for form in forms {
        write(root, "data.yaml", form);
        assert_eq!(read().unwrap().classes(), ["cat", "dog, big", "owl"], "{form}");
    }
    write(root, "classes.txt", "x\ny\nz\n");
    assert_eq!(read().unwrap().classes(), ["x", "y", "z"]);
}

#[test]
fn yolo_lines_with_a_confidence_a_polygon_or_a_class_with_a_point_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    picture(root, "images/val/a.png", [20, 40]);
    let lines = "0.0 0.5 0.5 0.5 0.5 0.9\n1 0.25 0.5 0.5 0.25 0.75 0.5 0.5 0.75\n";
    write(root, "labels/val/a.txt", lines);
    let read = yolo::read(root, "val", &PLAIN).unwrap();
    let objects = &read.pictures()[0].objects;
    assert_eq!(objects.iter().map(|object| object.class).collect::<Vec<_>>(), [0, 1]);
    assert!(objects.iter().all(|object| object.region == Region::new(10.0, 5.0, 30.0, 15.0)));
}

#[test]
fn yolo_folders_are_read_as_programs_export_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let part = |images: &str, class: usize| {
        picture(root, &format!("{images}/a.png"), [20, 40]);
        let labels = images.replace("images", "labels");
        write(root, &format!("{labels}/a.txt"), format!("{class} 0.5 0.5 0.5 0.5\n"));
    };
    part("train/images", 0);
    part("valid/images", 1);
    let read = |split: &str| {
        yolo::read(root, split, &PLAIN).map(|read| (read.count_by_class(), read.classes().to_vec()))
    };
    let numbered = ["0", "1"].map(String::from).to_vec();
    assert_eq!(read("train").unwrap(), (vec![1, 0], numbered.clone()));
    assert_eq!(read("val").unwrap(), (vec![0, 1], numbered));
    // As Roboflow and Ultralytics write it.
    let yaml = "train: ../train/images\nval: ../valid/images\ntest: parts/b/images\n\nnc: 2\nnames: ['cat', 'dog']\n";
    write(root, "data.yaml", format!("\u{feff}{yaml}"));
    part("parts/b/images", 1);
    let named = ["cat", "dog"].map(String::from).to_vec();
    assert_eq!(read("val").unwrap(), (vec![0, 1], named.clone()));
    assert_eq!(read("test").unwrap(), (vec![0, 1], named.clone()));
    write(
        root,
        "data.yaml",
        "path: /elsewhere/set\ntest: parts/b/images # the last\nnames:\n  0: cat\n  1: dog\n",
    );
    assert_eq!(read("test").unwrap(), (vec![0, 1], named.clone()));
    write(root, "data.yaml", "path: parts\ntest: b/images\nnames: {0: cat, 1: dog}\n");
    assert_eq!(read("test").unwrap(), (vec![0, 1], named));
    write(root, "data.yaml", "test: ../../b/images\nnames: [a, b]\n");
    let found = message(yolo::read(root, "test", &PLAIN));
    let told =
        "data.yaml: `test`: expected one folder below that of this file; found ../../b/images";
    assert_eq!(found, told);

    fs::remove_file(root.join("valid/labels/a.txt")).unwrap();
    let found = message(yolo::read(root, "valid", &PLAIN));
    let told = "labels: no labels found where expected: expected a text file of labels, such as a.txt; found none";
    assert_eq!(found, told);
    fs::remove_dir(root.join("valid/labels")).unwrap();
    assert_eq!(message(yolo::read(root, "valid", &PLAIN)), told);
}

#[test]
fn yolo_files_that_are_broken_are_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    picture(root, "images/val/a.png", [20, 40]);
    write(root, "classes.txt", "cat\n");
    let with = |contents: &str| {
        write(root, "labels/val/a.txt", contents);
        message(yolo::read(root, "val", &PLAIN))
    };
    let four = "a class and four numbers: centre x, y, width, height; or the corners of a polygon";
    let cases = [
        ("\n0 0.5 0.5 0.5", format!("line 2: expected {four}; found 0 0.5 0.5 0.5")),
        ("0 1 2 3 4 5 6 7", format!("line 1: expected {four}; found 0 1 2 3 4 5 6 7")),
        ("0 1 2 x 4", format!("line 1: expected {four}; found 0 1 2 x 4")),
        ("-1 1 2 3 4", "line 1: expected a class from 0 to 65535; found -1 1 2 3 4".to_string()),
    ];
    for (contents, expected) in cases {
        assert_eq!(with(contents), format!("a.txt: {expected}"));
    }
    assert!(
        with("1 0.5 0.5 0.5 0.5").starts_with("a.txt: line 1: expected a class below 1, as in ")
    );
    write(root, "labels/val/a.txt", "0 0.5 0.5 0 0.5\n0 nan 0.5 1 1\n0 0.5 0.5 inf 1\n");
    let read = yolo::read(root, "val", &PLAIN).unwrap();
    assert_eq!(read.repairs().count(Repair::Degenerate), 3);

    write(root, "labels/val/b.txt", "");
    assert!(message(yolo::read(root, "val", &PLAIN)).starts_with("val: expected b.jpg or b.jpeg"));
    fs::remove_file(root.join("labels/val/b.txt")).unwrap();
    picture(root, "images/val/a.jpg", [20, 40]);
    let twice = message(yolo::read(root, "val", &PLAIN));
    assert_eq!(twice, "val: a.png: expected one picture for a.txt; found another one");
    fs::remove_file(root.join("images/val/a.jpg")).unwrap();
    fs::remove_file(root.join("classes.txt")).unwrap();
    for (yaml, expected) in [
        ("nc: 3\n", "data.yaml: the file: expected names of classes; found no line `names:`"),
        ("names: cat\n", "data.yaml: line 1: expected [a, b], lines `- a`, or"),
        ("names:\n  0: cat\n  2: dog\n", "data.yaml: line 3: expected [a, b], lines"),
        ("names: []\n", "data.yaml: the classes: expected 1 to 65536 names; found 0"),
        ("names: [a\n", "data.yaml: line 1: expected [a, b]"),
    ] {
        write(root, "data.yaml", yaml);
        let found = message(yolo::read(root, "val", &PLAIN));
        assert!(found.starts_with(expected), "{found}");
    }
}

const INSTANCES: &str = r#"{
"images": [{"id": 7, "width": 40, "height": 20, "file_name": "x/a.png"}, {"id": 3, "file_name": "b.png"}],
"annotations": [
    {"id": 1, "image_id": 3, "category_id": 90, "bbox": [1, 2, 3, 4], "area": 5.5, "iscrowd": 0},
    {"id": 2, "image_id": 7, "category_id": 5, "bbox": [30, 0, 20, 10], "area": 150, "iscrowd": 1},
    {"id": 3, "image_id": 7, "category_id": 5, "bbox": [30, 0, 0, 10], "area": 0, "iscrowd": 0}],
"categories": [{"id": 90, "name": "cat"}, {"id": 5, "name": "dog"}]
}"#;

fn coco_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    picture(folder.path(), "x/a.png", [20, 40]);
    picture(folder.path(), "b.png", [10, 10]);
    folder
}

fn read_coco(folder: &Path, json: &str) -> Result<Detection, Error> {
    write(folder, "instances.json", json);
    coco::read_pictures(&folder.join("instances.json"), folder, &PLAIN)
}

#[test]
fn coco_keeps_its_ids_and_areas() {
    let folder = coco_folder();
    let read = read_coco(folder.path(), INSTANCES).unwrap();
    assert_eq!(
        (read.classes(), read.class_ids()),
        (&["dog", "cat"].map(String::from)[..], &[5.into(), 90.into()][..])
    );
    let [a, b] = read.pictures() else { panic!("{read:?}") };
    assert_eq!((&a.id, a.name.as_str(), &b.id), (&7.into(), "x/a.png", &3.into()));
    assert_eq!((b.objects[0].region, b.objects[0].class), (Region::new(1.0, 2.0, 4.0, 6.0), 1));
    // The crowd, of whose box half is outside, and the box without area are not learnt from.
    assert_eq!(a.objects, []);
    let truth = |picture: &Annotated| {
        let fields = |o: &Truth| (o.id, o.class, o.bounds, o.area, o.crowd);
        picture.truth.iter().map(fields).collect::<Vec<_>>()
    };
    let crowd = (1, 0, [30.0, 0.0, 20.0, 10.0], 150.0, true);
    assert_eq!(truth(a), [crowd, (2, 0, [30.0, 0.0, 0.0, 10.0], 0.0, false)]);
    assert_eq!(truth(b), [(3, 1, [1.0, 2.0, 3.0, 4.0], 5.5, false)]);
    let kinds = [Repair::Clipped, Repair::Degenerate, Repair::Crowd, Repair::Size];
    assert_eq!(kinds.map(|kind| read.repairs().count(kind)), [1, 1, 1, 0]);
    assert_eq!(
        read.repairs().first(Repair::Degenerate).unwrap(),
        "instances.json: annotation 3: left 30, top 0, right 30, bottom 10"
    );
    assert_eq!(read.count_by_class(), [0, 1]);
}

#[test]
fn coco_pictures_are_found_below_their_folder_only() {
    let folder = coco_folder();
    let with =
        |from: &str, to: &str| message(read_coco(folder.path(), &INSTANCES.replace(from, to)));
    let below = "instances.json: image 3: expected the name of a file below the folder of pictures";
    assert_eq!(with("b.png", "../b.png"), format!("{below}; found \"../b.png\""));
    assert_eq!(with("b.png", "/etc/b.png"), format!("{below}; found \"/etc/b.png\""));
    assert_eq!(with(r#", "file_name": "b.png""#, ""), format!("{below}; found \"\""));
    assert_eq!(with("b.png", "c.png"), "c.png: cannot be read");
    let once = "instances.json: the classes: expected each name once; found cat";
    assert_eq!(with("\"dog\"", "\"cat\""), once);
}

#[test]
fn the_same_pictures_and_repairs_are_read_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..40 {
        picture(folder.path(), &format!("images/all/{i:02}.png"), [10 + i, 20]);
        let line = format!("0 0.5 0.5 0.5 0.{i:02}\n0 0.9 0.5 0.5 0.5\n");
        write(folder.path(), &format!("labels/all/{i:02}.txt"), line);
    }
    let read = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let reading = Reading { fit: Fit::Within(16), ..PLAIN };
        pool.install(|| yolo::read(folder.path(), "all", &reading))
    };
    let reference = read(1).unwrap();
    assert_eq!(reference, read(4).unwrap());
    assert_eq!(reference.repairs().count(Repair::Clipped), 40);
    write(folder.path(), "images/all/21.png", "");
    write(folder.path(), "images/all/30.png", "");
    for threads in [1, 4] {
        assert!(message(read(threads)).starts_with("21.png: byte 0"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_damaged_file_is_an_error_or_data_and_never_a_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let damaged = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        let folder = voc_folder();
        let root = folder.path();
        write(root, "Annotations/a.xml", damaged(&xml([20, 40], &[("dog", ["1", "1", "40", "20"])])));
        let _ = voc::read(root, Some("train"), None, &PLAIN);
        picture(root, "images/val/a.png", [20, 40]);
        write(root, "labels/val/a.txt", damaged("0 0.5 0.5 0.5 0.5\n1 0.1 0.5 0.2 1.0\n"));
        write(root, "data.yaml", damaged("names:\n  0: cat\n  1: 'dog'\n"));
        let _ = yolo::read(root, "val", &PLAIN);
        write(root, "data.yaml", damaged("names: [cat, 'dog']\n"));
        let _ = yolo::read(root, "val", &PLAIN);
        picture(root, "x/a.png", [20, 40]);
        picture(root, "b.png", [10, 10]);
        write(root, "instances.json", damaged(INSTANCES));
        let _ = coco::read_pictures(&root.join("instances.json"), root, &PLAIN);
    }
}

#[test]
fn pictures_that_are_decoded_when_they_are_needed_are_those_that_are_decoded_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for i in 0..6u8 {
        let picture =
            RgbImage::from_fn(20 + u32::from(i), 30, |x, y| Rgb([x as u8 * 9, y as u8, i]));
        fs::create_dir_all(root.join("images/all")).unwrap();
        fs::create_dir_all(root.join("labels/all")).unwrap();
        picture.save(root.join(format!("images/all/{i}.png"))).unwrap();
        let line = format!("{} 0.5 0.4 0.3 0.2\n0 0.9 0.9 0.4 0.4\n", i % 2);
        fs::write(root.join(format!("labels/all/{i}.txt")), line).unwrap();
    }
    let eager = Reading { fit: Fit::Within(16), ..PLAIN };
    let at_once = yolo::read(root, "all", &eager).unwrap();
    // Heads only; decoded for the sake of broken ones; and as many kept as there is room for.
    let lazily = Reading { at_once: 0, ..eager };
    for reading in [
        lazily,
        Reading { skip_broken: true, cache: 0, ..lazily },
        Reading { cache: 1200, ..eager },
    ] {
        let lazy = yolo::read(root, "all", &reading).unwrap();
        assert!(lazy.pictures().iter().any(|picture| picture.pixels.is_empty()));
        assert_eq!(lazy.repairs(), at_once.repairs());
        for i in (0..6).chain([3, 3]) {
            assert_eq!(lazy.picture(i).unwrap(), at_once.picture(i).unwrap());
        }
        let [(kept, held), (lazily_kept, lazily_held)] =
            [at_once.clone(), lazy].map(|read| read.hold_out(0.5));
        for (lazy, eager) in [(lazily_kept, kept), (lazily_held, held)] {
            assert_eq!(lazy.pictures().len(), eager.pictures().len());
            for i in 0..eager.pictures().len() {
                assert_eq!(lazy.picture(i).unwrap(), eager.picture(i).unwrap());
            }
        }
    }
    let lazy = yolo::read(root, "all", &lazily).unwrap();
    let before = lazy.fingerprint();
    fs::copy(root.join("images/all/1.png"), root.join("images/all/0.png")).unwrap();
    let changed = lazy.picture(0).unwrap_err().to_string();
    assert!(changed.contains("expected the picture that was there"), "{changed}");
    assert_ne!(yolo::read(root, "all", &lazily).unwrap().fingerprint(), before);
}
