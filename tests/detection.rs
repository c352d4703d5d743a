//! The detector from the command line: training, scoring, finding, and the mistakes that are made with it.

mod program;

use std::path::Path;

use serde_json::Value;

use program::{checkpoint, json, text, wavetape};

/// A detector so small that scenes of 32 × 32 pixels take no time.
const SMALL: [&str; 13] = [
    "model.image_size=[32, 32]",
    "model.backbone={ kind = \"residual\", channels = [8, 8, 16], blocks = 1 }",
    "model.dim=16",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.encoder_depth=1",
    "model.decoder_depth=2",
    "model.queries=6",
    "model.position={ kind = \"lff-mlp\", features = 8, hidden = 8 }",
    "model.dropout=0.1",
    "data.scenes={ objects = \"sample\", train = 24, test = 12, max_objects = 3, sides = [8, 16] }",
    "train.batch_size=8",
    "train.log_every=2",
];

fn train(out: &Path, more: &[&str]) -> Value {
    program::train("detr-scenes", out, &SMALL, more)
}

#[test]
fn one_seed_gives_the_same_bits_on_any_number_of_threads_and_after_a_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let one = train(&at("one"), &["--epochs", "2", "--threads", "1"]);
    let two = train(&at("two"), &["--epochs", "2", "--threads", "2"]);
    assert_eq!((&one["value"], &one["loss"]), (&two["value"], &two["loss"]));
    assert_eq!(checkpoint(&at("one")), checkpoint(&at("two")));
    for key in ["ap", "ap50", "ap75", "ap_small", "ar1", "ar10", "ar100", "ar_small"] {
        assert!(one[key].is_number(), "{key}");
    }
    // Of objects of so many pixels there are none.
    for key in ["ap_medium", "ap_large", "ar_medium", "ar_large"] {
        assert!(one.get(key).is_some_and(Value::is_null), "{key}");
    }
    assert_eq!((&one["metric"], &one["value"]), (&Value::from("test_ap"), &one["ap"]));

    let stopped = train(&at("parts"), &["--epochs", "2", "--stop-after", "2"]);
    assert_eq!(stopped["finished"], false);
    let resumed = json(&wavetape(&["train", "--json", "--resume", text(&at("parts"))]));
    assert_eq!(resumed["loss"], one["loss"]);
    assert_eq!(checkpoint(&at("one")), checkpoint(&at("parts")));
}

#[test]
fn a_detector_is_scored_at_other_sizes_and_finds_objects_in_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let trained = train(&run, &["--steps", "3"]);
    let run = text(&run);
    let scored = json(&wavetape(&["eval", run, "--json"]));
    assert_eq!((&scored["value"], &scored["loss"]), (&trained["value"], &trained["loss"]));
    let larger = json(&wavetape(&["eval", run, "--json", "--size", "48"]));
    let denser = json(&wavetape(&["eval", run, "--json", "--size", "48", "--zoom"]));
    assert!(larger["loss"] != denser["loss"] && larger["loss"] != scored["loss"]);
    let farther = ["eval", run, "--json", "--size", "48", "--reading", "farther"];
    assert!(json(&wavetape(&farther))["loss"] != larger["loss"]);
    let same = json(&wavetape(&["eval", run, "--json", "--reading", "farther"]));
    assert_eq!((&same["loss"], &same["reading"]), (&scored["loss"], &Value::from("farther")));

    let picture = folder.path().join("17.png");
    image::RgbImage::from_fn(50, 40, |x, y| image::Rgb([5 * x as u8, 6 * y as u8, 90]))
        .save(&picture)
        .expect("written");
    let out = folder.path().join("tested");
    let tested = json(&wavetape(&["detect", run, "--test", "2", "--out", text(&out), "--json"]));
    assert_eq!(tested["images"], 2);
    assert_eq!(image::open(out.join("scene-1.png")).expect("drawn").width(), 384);

    let out = folder.path().join("found");
    let args = ["detect", run, text(&picture), "--out", text(&out), "--threshold", "0.0", "--json"];
    let found = json(&wavetape(&args));
    assert_eq!((&found["images"], &found["objects"]), (&Value::from(1), &Value::from(6)));
    let drawn = image::open(out.join("17.png")).expect("drawn").into_rgb8();
    assert_eq!(drawn.dimensions(), (400, 320), "eight times as large, to be read");
    let results = std::fs::read_to_string(out.join("results.json")).expect("written");
    let results: Vec<Value> = serde_json::from_str(&results).expect("a list");
    assert_eq!(results.len(), 60, "6 queries with 10 classes");
    for result in results {
        let number = |value: &Value| value.as_f64().expect("a number");
        let [x, y, w, h] = [0, 1, 2, 3].map(|i| number(&result["bbox"][i]));
        assert!(x >= 0.0 && y >= 0.0 && x + w < 50.001 && y + h < 40.001, "{result}");
        assert!((0.0..=1.0).contains(&number(&result["score"])), "{result}");
        assert_eq!(result["image_id"], 17, "a file called by a number is that image");
    }
}

/// A data set in COCO's format: pictures of 120 × 90 pixels, larger than the detector sees them, with one or two objects about where
/// a detector looks at first. The categories of each part have numbers and an order of their own.
fn coco(data: &Path) {
    std::fs::create_dir_all(data.join("annotations")).expect("made");
    for (part, count, categories) in
        [("train", 8, [(1, "cell"), (2, "plate")]), ("val", 6, [(7, "plate"), (0, "cell")])]
    {
        std::fs::create_dir_all(data.join(part)).expect("made");
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for i in 0..count {
            let file = format!("{i}.png");
            let pixel = |x: u32, y: u32| image::Rgb([2 * x as u8, 2 * y as u8, 30 * i as u8]);
            image::RgbImage::from_fn(120, 90, pixel)
                .save(data.join(part).join(&file))
                .expect("written");
            images.push(serde_json::json!({
                "id": 1000 - i, "file_name": file, "width": 120, "height": 90,
            }));
            for (number, &(category, name)) in categories.iter().enumerate() {
                if number == 1 && i % 2 == 0 {
                    continue;
                }
                let more = if name == "cell" { 0.0 } else { 11.3 };
                let (x, y) = (28.25 + i as f64, 21.5 - more);
                annotations.push(serde_json::json!({
                    "id": annotations.len() + 1, "image_id": 1000 - i, "category_id": category,
                    "bbox": [x, y, 62.5, 47.0 + more], "area": 62.5 * (47.0 + more), "iscrowd": 0,
                }));
            }
        }
        let categories = categories.map(|(id, name)| serde_json::json!({ "id": id, "name": name }));
        let file = serde_json::json!({
            "images": images, "annotations": annotations, "categories": categories,
        });
        let path = data.join(format!("annotations/instances_{part}.json"));
        std::fs::write(path, file.to_string()).expect("written");
    }
}

#[test]
fn what_is_found_on_the_test_pictures_scores_as_the_run_does_against_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    coco(&at("data"));
    let set: Vec<&str> =
        SMALL.iter().copied().filter(|pair| !pair.starts_with("data.scenes")).collect();
    let of_coco = [
        "data.kind=coco",
        "model.classes=2",
        "model.anchors=false",
        "model.dropout=0",
        "augment.boxes={}",
        "train.batch_size=4",
        "train.ema=0",
        "train.eval_every=100",
        "optimizer.rate=4e-3",
    ];
    let (data, run, out) = (at("data"), at("run"), at("out"));
    let more = ["--data", text(&data), "--epochs", "40"];
    let trained = program::train("detr-bccd", &run, &[&set[..], &of_coco].concat(), &more);
    assert!(trained["ap"].as_f64().is_some_and(|ap| ap > 0.01), "{trained}");
    let args = ["detect", text(&run), "--test", "6", "--threshold", "0", "--out", text(&out)];
    assert!(wavetape(&args).status.success());
    let (truth, results) = (at("data/annotations/instances_val.json"), at("out/results.json"));
    let scored = ["eval", "--json", "--coco", text(&truth), "--results", text(&results)];
    let scored = json(&wavetape(&scored));
    for (key, value) in scored.as_object().expect("figures") {
        assert_eq!(value, &trained[key], "{key}");
    }
    let listed = std::fs::read_to_string(at("out/images.json")).expect("written");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["images"][0]["width"], 120);
}

#[test]
fn a_set_without_objects_gives_no_score_and_training_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    coco(&at("data"));
    let file = at("data/annotations/instances_val.json");
    let mut instances: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
    // A crowd is not to be found.
    instances["annotations"].as_array_mut().expect("a list").truncate(1);
    instances["annotations"][0]["iscrowd"] = 1.into();
    std::fs::write(&file, instances.to_string()).expect("written");
    let (data, run) = (at("data"), at("run"));
    let mut args = vec!["train", "detr-bccd", "--json", "--out", text(&run), "--data", text(&data)];
    let set = SMALL.iter().filter(|pair| !pair.starts_with("data.scenes"));
    let set = set.filter(|pair| !pair.starts_with("train.batch_size"));
    let more = ["data.kind=coco", "model.classes=2", "train.batch_size=4", "augment.boxes={}"];
    let more = more.iter().chain(&["train.epochs=3", "train.patience=1"]);
    for pair in set.chain(more) {
        args.extend(["--set", pair]);
    }
    let output = wavetape(&args);
    let trained = json(&output);
    for key in ["value", "ap", "ar100"] {
        assert!(trained.get(key).is_some_and(Value::is_null), "{key}: {trained}");
    }
    assert!(trained.get("best").is_none() && !run.join("best.safetensors").exists(), "{trained}");
    assert_eq!((&trained["step"], &trained["finished"]), (&6.into(), &true.into()), "patience");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("warning: nothing to score: no picture that the run is"), "{told}");
    let shown = wavetape(&["eval", text(&run)]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.starts_with("validation no score: nothing to score (loss "), "{shown}");
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).expect("a log");
    assert!(log.contains("\"validation_ap\":null") && !log.contains("-1"), "{log}");
}

#[test]
fn every_position_encoding_trains_the_detector() {
    let folder = tempfile::tempdir().expect("a folder");
    for config in nn::PositionConfig::all(0.2) {
        let position = format!("model.position={}", config.name());
        let out = folder.path().join(config.name());
        let report = train(&out, &["--steps", "2", "--set", &position]);
        assert!(report["loss"].as_f64().is_some_and(f64::is_finite), "{position}: {report}");
    }
}

#[test]
fn mistakes_are_named_with_what_was_expected() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    train(&run, &["--steps", "1"]);
    let missing = text(&folder.path().join("none")).to_owned();
    let run = text(&run);
    let cases: [(&[&str], i32, &str); 8] = [
        (&["train", "detr-bccd", "--data", &missing], 1, "cannot be read"),
        (&["train", "detr-bccd"], 1, "name the folder with --data DIR"),
        (
            &["train", "detr-scenes", "--set", "data.kind=sample"],
            1,
            "images with boxes for a `detr`",
        ),
        (
            &["train", "detr-scenes", "--set", "model.backbone.channels=[]"],
            1,
            "list of 1 to 12 whole numbers",
        ),
        (&["train", "--set", "augment.boxes.crop=0.5"], 1, "augment.boxes.crop has no effect with"),
        (
            &["train", "detr-scenes", "--set", "augment.erase=0.5"],
            1,
            "augment.erase has no effect with",
        ),
        (&["detect", run, &missing], 1, "none: "),
        (&["detect", run], 2, "required arguments"),
    ];
    for (args, code, message) in cases {
        let output = wavetape(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}
