//! COCO's twelve figures against pycocotools, and the program that prints them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use datasets::detection::Id;
use datasets::detection::coco::{Found, Instances};
use models::average_precision::{Detection, Object, Summary, average_precision};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

const TRUTH: &str = "cocoeval/instances_val2014_100.json";
const RESULTS: &str = "cocoeval/instances_val2014_fakebbox100_results.json";

/// What pycocotools gives for the pair.
const FIGURES: [(&str, f64); 12] = [
    ("ap", 0.5045806987),
    ("ap50", 0.6969727247),
    ("ap75", 0.5729816670),
    ("ap_small", 0.5856257209),
    ("ap_medium", 0.5193996948),
    ("ap_large", 0.5013978986),
    ("ar1", 0.3868127796),
    ("ar10", 0.5936795763),
    ("ar100", 0.5953529829),
    ("ar_small", 0.6398109626),
    ("ar_medium", 0.5664205979),
    ("ar_large", 0.5642905983),
];

fn eval(truth: &Path, results: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavetape"));
    command.arg("eval").arg("--coco").arg(truth).arg("--results").arg(results).args(more);
    command.output().expect("started")
}

#[test]
fn the_twelve_figures_of_the_demonstration_pair_are_pycocotools() {
    let output = eval(&fixture(TRUTH), &fixture(RESULTS), &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(found.as_object().map(|found| found.len()), Some(12));
    for (name, expected) in FIGURES {
        let found = found[name].as_f64().expect("a number");
        assert!((found - expected).abs() < 1e-9, "{name}: {found} instead of {expected}");
    }
}

#[test]
fn people_get_pycocotools_summary() {
    let output = eval(&fixture(TRUTH), &fixture(RESULTS), &[]);
    let expected = " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.505
 Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.697
 Average Precision  (AP) @[ IoU=0.75      | area=   all | maxDets=100 ] = 0.573
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = 0.586
 Average Precision  (AP) @[ IoU=0.50:0.95 | area=medium | maxDets=100 ] = 0.519
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = 0.501
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = 0.387
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets= 10 ] = 0.594
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.595
 Average Recall     (AR) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = 0.640
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=medium | maxDets=100 ] = 0.566
 Average Recall     (AR) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = 0.564
";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

fn score(instances: &Instances, results: &[Found]) -> Summary {
    let images = Id::ranks(instances.images.iter().map(|image| &image.id));
    let categories = Id::ranks(instances.categories.iter().map(|category| &category.id));
    let objects = instances.annotations.iter().map(|a| Object {
        id: u64::from(!a.id.is_zero()),
        image: images[&a.image_id],
        category: categories[&a.category_id],
        bounds: a.bbox,
        area: a.area,
        crowd: a.iscrowd,
    });
    let detections = results.iter().map(|found| Detection {
        image: images[&found.image_id],
        category: categories.get(&found.category_id).copied().unwrap_or(u64::MAX),
        bounds: found.bbox,
        score: found.score,
    });
    let (objects, detections) = (objects.collect::<Vec<_>>(), detections.collect::<Vec<_>>());
    let [images, categories] =
        [&images, &categories].map(|ids| ids.values().copied().collect::<Vec<_>>());
    average_precision(&images, &categories, &objects, &detections).expect("sound")
}

#[derive(serde::Deserialize)]
struct Case {
    instances: Instances,
    results: Vec<Found>,
    figures: [f64; 12],
}

#[test]
fn random_sets_have_the_figures_that_pycocotools_gives_them() {
    let text = fs::read_to_string(fixture("coco-cases.json")).expect("committed");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    assert_eq!(cases.len(), 30);
    for (i, Case { instances, results, figures }) in cases.iter().enumerate() {
        let found = score(instances, results).to_array();
        for ((found, expected), (name, _)) in found.iter().zip(figures).zip(FIGURES) {
            // pycocotools says −1 where there is nothing to score.
            let near = (found.unwrap_or(-1.0) - expected).abs() < 1e-12;
            assert!(near, "case {i}: {name}: {found:?} instead of {expected}");
        }
    }
}

/// Ids that are texts or negative, an id given twice, annotations of an image and a category that are not listed, the id 0, a
/// crowd, areas on the borders of ranges, equal scores, and results of an unlisted category.
#[test]
fn a_file_with_oddities_has_the_figures_of_pycocotools() {
    let object = |id: u64, image: &str, category: i64, bbox: [f64; 4], area: f64, crowd: u8| {
        serde_json::json!({
            "id": id, "image_id": image, "category_id": category, "bbox": bbox, "area": area, "iscrowd": crowd,
        })
    };
    let truth = serde_json::json!({
        "images": [{"id": "b"}, {"id": "a"}, {"id": "c"}],
        "annotations": [
            object(1, "a", 7, [10.0, 10.0, 96.0, 96.0], 9216.0, 0),
            object(2, "a", -2, [-5.5, 20.0, 40.0, 32.0], 1024.0, 0),
            object(2, "b", -2, [30.0, 30.0, 50.0, 60.0], 2400.5, 0),
            object(3, "b", 7, [0.0, 0.0, 150.0, 120.0], 18000.0, 1),
            object(4, "b", 7, [20.0, 15.0, 30.0, 30.0], 880.0, 0),
            object(5, "gone", 7, [0.0, 0.0, 9.0, 9.0], 81.0, 0),
            object(6, "c", 99, [0.0, 0.0, 9.0, 9.0], 81.0, 0),
            object(0, "c", 7, [5.0, 5.0, 20.0, 20.0], 400.0, 0),
            object(8, "c", 7, [60.0, 60.0, 100.0, 110.0], 10000.0, 0),
        ],
        "categories": [{"id": 7, "name": "x"}, {"id": -2, "name": "y"}],
    });
    let result = |image: &str, category: i64, bbox: [f64; 4], score: f64| serde_json::json!({"image_id": image, "category_id": category, "bbox": bbox, "score": score});
    let results = serde_json::json!([
        result("a", 7, [11.0, 10.0, 96.0, 94.0], 0.9),
        result("a", 7, [10.0, 10.0, 96.0, 96.0], 0.5),
        result("a", -2, [-4.0, 20.0, 40.0, 30.0], 0.5),
        result("b", -2, [31.0, 33.0, 50.0, 55.0], 0.5),
        result("b", 7, [20.0, 15.0, 31.0, 28.0], 0.4),
        result("b", 7, [60.0, 60.0, 40.0, 40.0], 0.8),
        result("c", 7, [5.0, 5.0, 20.0, 20.0], 0.7),
        result("c", 7, [70.0, 60.0, 95.0, 100.0], 0.3),
        result("c", 99, [0.0, 0.0, 9.0, 9.0], 1.0),
        result("c", -2, [0.0, 0.0, 9.0, 9.0], 0.2),
        result("a", 7, [200.0, 200.0, 20.0, 20.0], 0.6),
    ]);
    // pycocotools 2.0.11
    let expected = [
        0.3188118811881188,
        0.3787128712871287,
        0.3787128712871287,
        0.15148514851485148,
        0.600990099009901,
        0.7029702970297027,
        0.325,
        0.5125,
        0.5125,
        0.45,
        0.7,
        0.8,
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let [truth, results] =
        [("truth.json", truth), ("results.json", results)].map(|(name, json)| {
            let path = folder.path().join(name);
            fs::write(&path, json.to_string()).expect("written");
            path
        });
    let output = eval(&truth, &results, &["--json"]);
    let found: Summary = serde_json::from_slice(&output.stdout).expect("figures");
    for (found, expected) in found.to_array().into_iter().zip(expected) {
        let found = found.expect("objects of all sizes");
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.starts_with("2 objects left out whose image or category is not listed"), "{told}");
}

#[test]
fn wrong_files_and_arguments_end_the_program_with_a_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let truth = write(
        "truth.json",
        r#"{"images": [{"id": 3}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}"#,
    );
    let message = |output: Output| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text.rsplit('/').next().unwrap_or_default().trim_end().to_owned())
    };
    let results = write(
        "results.json",
        r#"[{"image_id": 4, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]"#,
    );
    assert_eq!(
        message(eval(&truth, &results, &[])),
        (Some(1), "results.json: result 1: image 4 is not in the set".to_owned())
    );
    let results = write("results.json", "[\n{}]");
    assert_eq!(
        message(eval(&truth, &results, &[])),
        (Some(1), "results.json: a list of results as COCO has them expected, in JSON: result 1: missing field `image_id` at line 2 column 2".to_owned())
    );
    let results = write("results.json", "[]");
    let output = eval(&truth, &results, &["--json"]);
    let found: Summary = serde_json::from_slice(&output.stdout).expect("figures");
    assert_eq!(found.to_array(), [None; 12]);

    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wavetape")).arg("eval").args(args).output();
        output.expect("started").status.code()
    };
    for args in
        [&["--coco", "a"][..], &["--results", "a"], &["run", "--coco", "a", "--results", "b"], &[]]
    {
        assert_eq!(run(args), Some(2), "{args:?}");
    }
}
