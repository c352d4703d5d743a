//! COCO's JSON files, sound and broken.

use std::fs;
use std::path::PathBuf;

use datasets::Error;
use datasets::detection::Repair;
use datasets::detection::coco::{
    Annotation, Category, Found, Image, Instances, read_instances, read_results, write_instances,
    write_results,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.json");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// Without the file, and what it should hold.
fn message(error: &Error) -> String {
    let message = error.to_string();
    let message = message.rsplit("file.json: ").next().unwrap();
    message.rsplit("expected, in JSON: ").next().unwrap().to_string()
}

fn instances(annotations: &str) -> Result<Instances, String> {
    let (_folder, path) = written(&format!(
        "{{\"info\": {{\"year\": 2014}},\n\"images\": [{{\"id\": 9, \"width\": 4, \"height\": 3, \"file_name\": \"9.jpg\"}}],\n\
         \"categories\": [{{\"id\": 2, \"name\": \"cat\", \"supercategory\": \"animal\"}}],\n\
         \"annotations\": [{annotations}]}}"
    ));
    read_instances(&path).map_err(|error| message(&error))
}

fn results(text: &str) -> Result<Vec<Found>, String> {
    let (_folder, path) = written(text);
    read_results(&path).map(|read| read.found).map_err(|error| message(&error))
}

#[test]
fn instances_are_read_whatever_else_a_file_has() {
    let read = instances(
        r#"{"id": 7, "image_id": 9, "category_id": 2, "bbox": [1, 0.5, 2, 1.5], "area": 2.5, "iscrowd": 0, "segmentation": [[1, 2]]},
           {"segmentation": {"counts": [3], "size": [3, 4]}, "id": 8, "image_id": 9, "category_id": 2, "bbox": [0, 0, 4, 3], "iscrowd": 1},
           {"id": 6, "image_id": 9, "category_id": 2, "bbox": [-1, 0, 0, 3], "area": null, "iscrowd": false, "ignore": 1}"#,
    );
    let image =
        Image { id: 9.into(), width: Some(4), height: Some(3), file_name: Some("9.jpg".into()) };
    let annotation = |id: u64, bbox, area, iscrowd| Annotation {
        id: id.into(),
        image_id: 9.into(),
        category_id: 2.into(),
        bbox,
        area,
        iscrowd,
    };
    let expected = Instances {
        images: vec![image],
        annotations: vec![
            annotation(7, [1.0, 0.5, 2.0, 1.5], 2.5, false),
            annotation(8, [0.0, 0.0, 4.0, 3.0], 12.0, true),
            annotation(6, [-1.0, 0.0, 0.0, 3.0], 0.0, false),
        ],
        categories: vec![Category { id: 2.into(), name: "cat".into() }],
        ..Instances::default()
    };
    assert_eq!(read, Ok(expected));
}

#[test]
fn an_error_of_the_form_has_line_and_column() {
    let read = |text: &str| {
        let (_folder, path) = written(text);
        message(&read_instances(&path).unwrap_err())
    };
    assert_eq!(read(""), "EOF while parsing a value at line 1 column 0");
    assert_eq!(read("{\n\"images\": []}"), "missing field `annotations` at line 2 column 13");
    assert_eq!(
        read("{\"images\": [{\"id\": 1.5}]}"),
        "images, entry 1: invalid value: floating point `1.5`, expected an id: a whole number or text at line 1 column 22"
    );
    let annotation = |bbox: &str| {
        let all = r#"{"id": 7, "image_id": 9, "category_id": 2, "bbox": "#;
        instances(&format!("{all}{bbox}}}")).unwrap_err()
    };
    assert_eq!(
        annotation("[1, 2, 3]"),
        "annotations, entry 1: invalid length 3, expected a bbox of four numbers: left, top, width, height at line 4 column 76"
    );
    assert_eq!(
        annotation("[1, 2, 3, NaN]"),
        "annotations, entry 1: expected value at line 4 column 78"
    );
    assert_eq!(
        annotation("[1, 2, 3, 1e999]"),
        "annotations, entry 1: number out of range at line 4 column 82"
    );
    assert_eq!(
        annotation("[1, 2, 3, 4], \"iscrowd\": 2"),
        "annotations, entry 1: expected iscrowd 0 or 1; found 2 at line 4 column 94"
    );
    assert_eq!(
        results(r#"[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]"#).unwrap_err(),
        "result 1: missing field `score` at line 1 column 56"
    );
    let deep = |key: &str| {
        let found = results(&format!("[{{\"{key}\": {}", "[".repeat(100_000))).unwrap_err();
        found.split(" at ").next().unwrap().to_owned()
    };
    assert_eq!(deep("other"), "result 1: EOF while parsing a list");
    assert_eq!(deep("bbox"), "result 1: invalid type: sequence, expected a number");
}

#[test]
fn an_error_of_an_annotation_names_it() {
    let annotation = |image: u64, category: u64, rest: &str| {
        let text = format!(
            r#"{{"id": 7, "image_id": {image}, "category_id": {category}, "bbox": {rest}}}"#
        );
        instances(&text).unwrap_err()
    };
    let a_box = "annotation 7: expected a box [left, top, width, height], width and height not negative, within 1e9";
    assert_eq!(annotation(9, 2, "[0, 0, -1, 1]"), format!("{a_box}; found [0.0, 0.0, -1.0, 1.0]"));
    assert_eq!(
        annotation(9, 2, "[2e9, 0, 1, 1]"),
        format!("{a_box}; found [2000000000.0, 0.0, 1.0, 1.0]")
    );
    assert_eq!(
        annotation(9, 2, "[0, 0, 1, 1], \"area\": -1"),
        "annotation 7: expected an area from 0 to 1e18; found -1"
    );
    assert_eq!(
        results(r#"[{"image_id": 4, "category_id": 1, "bbox": [0, 0, 1, -1], "score": 1}]"#)
            .unwrap_err(),
        "result 1 (of image 4): expected a box [left, top, width, height], width and height not negative, within 1e9; \
         found [0.0, 0.0, 1.0, -1.0]"
    );
}

#[test]
fn what_pycocotools_passes_over_is_left_out_and_counted() {
    let annotation = |id: &str, image: &str, category: u64, left: u64| {
        format!(
            r#"{{"id": {id}, "image_id": {image}, "category_id": {category}, "bbox": [{left}, 0, 1, 1]}}"#
        )
    };
    let all = [
        annotation("1", "9.0", 2, 0),
        annotation("2", "3", 2, 0),
        annotation("3", "\"9\"", 2, 0),
        annotation("4", "9", 5, 0),
        annotation("1.0", "9", 2, 2),
    ];
    let read = instances(&all.join(", ")).unwrap();
    // The last of an id counts in place of each.
    let found: Vec<_> = read.annotations.iter().map(|a| (a.id.clone(), a.bbox[0])).collect();
    assert_eq!(found, [(1.into(), 2.0), (1.into(), 2.0)]);
    let counts = [Repair::Unlisted, Repair::RepeatedId].map(|kind| read.repairs.count(kind));
    assert_eq!(counts, [3, 1]);
    assert_eq!(
        read.repairs.first(Repair::Unlisted),
        Some("file.json: annotation 2: image_id 3, category_id 2")
    );

    let images = |images: &str| {
        let text =
            format!("\u{feff}{{\"images\": [{images}], \"annotations\": [], \"categories\": []}}");
        let (_folder, path) = written(&text);
        read_instances(&path).map_err(|error| message(&error))
    };
    let read = images(r#"{"id": "a", "file_name": "a"}, {"id": "a", "file_name": "a"}"#).unwrap();
    assert_eq!((read.images.len(), read.repairs.count(Repair::RepeatedId)), (1, 1));
    assert_eq!(
        images(r#"{"id": "a", "file_name": "a"}, {"id": "a", "file_name": "b"}"#).unwrap_err(),
        "image \"a\": expected each id once; found this one again, of another"
    );
}

#[test]
fn boxes_that_are_empty_are_left_out_and_numbers_may_have_a_point() {
    let (_folder, path) = written(
        r#"[{"image_id": 1.0, "category_id": 2, "bbox": [], "score": 0.5},
            {"image_id": 1.0, "category_id": 2.0, "bbox": [0, 0, 1, 1.5], "score": 1}]"#,
    );
    let read = read_results(&path).unwrap();
    let [left, size] = [read.found[0].bbox[0], read.found[0].bbox[3]];
    assert_eq!((read.found.len(), left, size, &read.found[0].image_id), (1, 0.0, 1.5, &1.into()));
    let told = "1 object left out without a box, in file.json: result 1 (of image 1)";
    assert_eq!(read.repairs.to_string(), told);

    let annotation = |id: u64, rest: &str| {
        format!(r#"{{"id": {id}, "image_id": 9.0, "category_id": 2, "bbox": {rest}}}"#)
    };
    let all = [
        annotation(1, "[]"),
        annotation(2, "[0, 0, 1, 1], \"iscrowd\": 1.0"),
        annotation(3, "[0, 0, 1, 1], \"iscrowd\": 0.0"),
        annotation(4, "[0, 0, 1, 1], \"iscrowd\": true"),
    ];
    let read = instances(&all.join(", ")).unwrap();
    let crowds: Vec<bool> = read.annotations.iter().map(|a| a.iscrowd).collect();
    assert_eq!((crowds, read.repairs.count(Repair::NoBox)), (vec![true, false, true], 1));
    let wrong = instances(&all.join(", ").replace("true", "\"yes\"")).unwrap_err();
    assert!(wrong.starts_with("annotations, entry 4: expected iscrowd to be 0 or 1"), "{wrong}");
    let size = |width: &str| {
        let text = format!(
            r#"{{"images": [{{"id": 1, "width": {width}, "height": 3.0}}], "annotations": [], "categories": []}}"#
        );
        let (_folder, path) = written(&text);
        read_instances(&path).map(|read| read.images[0].width).map_err(|error| message(&error))
    };
    assert_eq!(size("640.0"), Ok(Some(640)));
    let wrong = "images, entry 1: 0.5, expected a whole number of pixels at line";
    assert!(size("0.5").unwrap_err().starts_with(wrong));
    let wrong = "images, entry 1: invalid type: string \"a\", expected a number at line";
    assert!(size("\"a\"").unwrap_err().starts_with(wrong));
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.json");
    let bbox = [0.1, -1.0 / 3.0, 1e-9, 7.0];
    let found = Found { image_id: 9.into(), category_id: "b".into(), bbox, score: 0.7 };
    let results = [found.clone(), Found { score: -1.0, ..found.clone() }];
    write_results(&path, &results).unwrap();
    assert_eq!(read_results(&path).unwrap().found, results);
    write_results(&path, &[]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "[]\n");
    assert_eq!(
        message(&write_results(&path, &[Found { score: f64::NAN, ..found }]).unwrap_err()),
        "result 1 (of image 9): expected a finite score; found NaN"
    );

    let text =
        r#"{"id": 7, "image_id": 9, "category_id": 2, "bbox": [1, 0.5, 2, 1.5], "iscrowd": 1}"#;
    let all = instances(text).unwrap();
    write_instances(&path, &all).unwrap();
    assert_eq!(read_instances(&path).unwrap(), all);
    assert!(fs::read_to_string(&path).unwrap().contains("\"iscrowd\":1"));
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn no_damage_to_a_file_makes_it_panic(place in 0usize..400, byte: u8) {
        let mut bytes = br#"{"images": [{"id": 9, "width": 4, "height": 3, "file_name": "9.jpg"}],
            "categories": [{"id": 2, "name": "cat"}], "annotations": [{"id": 7, "image_id": 9, "category_id": 2,
            "bbox": [1, 0.5, 2, 1.5], "area": 2.5, "iscrowd": 0}]}"#.to_vec();
        let place = place % bytes.len();
        bytes[place] = byte;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.json");
        fs::write(&path, &bytes).unwrap();
        let _ = read_instances(&path);
        let _ = read_results(&path);
    }
}
