//! `wavetape eval` as its users run it: at other sizes than trained on, places read in other ways, and on the test set of a run that was
//! scored on a validation set.

mod program;

use std::path::Path;

use serde_json::Value;

use program::{SCREENS, json, text, wavetape};

/// Changes that make the first recipe small: a block of width 16 on four patches.
const SMALL: [&str; 7] = [
    "model.dim=16",
    "model.depth=1",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.patch_size=14",
    "model.position={ kind = \"lff-mlp\", features = 16 }",
    "data.hold_out=40",
];

/// The same of generators of images of 8 × 8 pixels.
const SMALL_GENERATOR: [&str; 7] = [
    "model.dim=16",
    "model.depth=1",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.image_size=8",
    "data.resize=8",
    "train.batch_size=2",
];

fn eval(run: &Path, more: &[&str]) -> Value {
    json(&wavetape(&[&["eval", text(run), "--json"], more].concat()))
}

fn refused(args: &[&str], message: &str) {
    let output = wavetape(args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(message), "{args:?}: {told}");
}

/// Coloured pictures of two classes.
fn pictures(folder: &Path) {
    for (part, count) in [("train", 6), ("test", 3)] {
        for (class, shade) in [("dark", 40), ("light", 200)] {
            let folder = folder.join(part).join(class);
            std::fs::create_dir_all(&folder).expect("made");
            for i in 0..count {
                let pixel = |x: u32, y: u32| image::Rgb([shade, 20 * (x as u8 + i), 20 * y as u8]);
                let picture = image::RgbImage::from_fn(8, 8, pixel);
                picture.save(folder.join(format!("{i}.png"))).expect("written");
            }
        }
    }
}

#[test]
fn a_classifier_is_scored_on_images_of_other_sizes_in_each_reading() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let trained = program::train("vit-sample", &run, &SMALL, &["--steps", "3"]);
    let same = eval(&run, &["--size", "28", "--reading", "farther"]);
    assert_eq!((&same["value"], &same["loss"]), (&trained["value"], &trained["loss"]));
    assert_eq!((&same["size"], &same["reading"]), (&Value::from(28), &Value::from("farther")));
    let share = |of: &Value, key: &str| of[key].as_f64().expect("a number");
    assert!(share(&same, "value") < share(&same, "top5") && share(&same, "top5") <= 1.0);
    assert_eq!(same["top5"], trained["top5"]);
    let plain = eval(&run, &["--reading", "dense"]);
    assert_eq!((&plain["loss"], plain.get("size")), (&trained["loss"], None));

    let of = |reading: &str| eval(&run, &["--size", "56", "--reading", reading])["loss"].clone();
    let larger = eval(&run, &["--size", "56"])["loss"].clone();
    assert_eq!((&of("own"), &of("dense")), (&larger, &larger));
    assert!(larger != trained["loss"] && larger != of("farther"));
    eval(&run, &["--size", "14"]);

    let run = text(&run);
    refused(&["eval", run, "--size", "30"], "a multiple of model.patch_size = 14 expected");
    refused(&["eval", run, "--size", "2800"], "at most 16384 tokens expected, not 40000");
    refused(&["eval", run, "--size", "28", "--zoom"], "--zoom: made-up scenes expected");
    refused(&["eval", run, "--reading", "near"], "[possible values: own, dense, farther]");
}

#[test]
fn generators_of_bytes_and_of_colours_are_scored_on_images_of_other_sizes() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    pictures(&data);
    let bytes =
        ["data.kind=colour-folder", "model.channels=3", "model.palette=0", "model.vocab=256"];
    for (name, of_kind, metric) in [
        ("bytes", &bytes[..], "test_bits_per_dim"),
        ("colours", &["model.vocab=4"], "test_bits_per_pixel"),
    ] {
        let run = folder.path().join(name);
        let set = [&SMALL_GENERATOR[..], of_kind].concat();
        let more = ["--steps", "2", "--data", text(&data)];
        let trained = program::train("igpt-emoji", &run, &set, &more);
        let same = eval(&run, &["--size", "8"]);
        assert_eq!((&same["metric"], &same["value"]), (&Value::from(metric), &trained["value"]));
        let own = eval(&run, &["--size", "12"]);
        let farther = eval(&run, &["--size", "12", "--reading", "farther"]);
        assert!(own["value"] != farther["value"] && own["value"] != same["value"], "{own}");
        let number = |report: &Value| report["value"].as_f64().expect("a number");
        let most = if name == "bytes" { 9.0 } else { 3.0 };
        assert!((0.5..most).contains(&number(&own)) && (0.5..most).contains(&number(&farther)));
        refused(&["eval", text(&run), "--size", "200"], "at most 16384 tokens expected");
        refused(&["eval", text(&run), "--size", "12", "--baselines"], "cannot be used with");
    }
}

/// What `eval --test` says of a run. Its recipe is that of its checkpoint: one that was changed is refused.
fn tested(run: &Path, validation: &str, test: &str) -> Value {
    let tested = eval(run, &["--test"]);
    let config = run.join("config.toml");
    let text = std::fs::read_to_string(&config).expect("written");
    assert!(text.contains(validation), "{text}");
    std::fs::write(&config, text.replace(validation, test)).expect("written");
    refused(&["eval", program::text(run)], "is not the recipe that");
    std::fs::write(&config, text).expect("written");
    tested
}

fn assert_test(metric: &str, trained: &Value, tested: &Value) {
    assert_eq!(trained["metric"], format!("validation_{metric}"));
    assert_eq!(tested["metric"], format!("test_{metric}"));
    assert_ne!(tested["loss"], trained["loss"]);
}

#[test]
fn the_test_set_of_images_scenes_and_screens_is_kept_for_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("classifier");
    let trained = program::train("vit-sample", &run, &SMALL, &["--steps", "2"]);
    assert_test("accuracy", &trained, &tested(&run, "hold_out = 40", "hold_out = 0"));

    let detector = [
        "model.image_size=[32, 32]",
        "model.backbone={ kind = \"stem\", channels = [8, 8, 16] }",
        "model.dim=16",
        "model.heads=2",
        "model.mlp_dim=16",
        "model.position.features=8",
        "model.queries=4",
        "train.batch_size=4",
    ];
    let run = folder.path().join("detector");
    let scenes = "data.scenes={ objects = \"sample\", train = 8, test = 6, max_objects = 2, sides = [8, 16] }";
    let set = [&detector[..], &[scenes, "data.hold_out=200"]].concat();
    let trained = program::train("detr-scenes", &run, &set, &["--steps", "1"]);
    assert_test("ap", &trained, &tested(&run, "hold_out = 200", "hold_out = 0"));

    let run = folder.path().join("captioner");
    let small = ["model.dim=16", "model.heads=2", "model.mlp_dim=16", "model.pixels=[4, 8]"];
    let set = [&small[..], &["data.screens={ eval = \"dev\" }", "train.batch_size=2"]].concat();
    let trained = program::train("caption-web", &run, &set, &["--steps", "1", "--data", SCREENS]);
    assert_test("cider", &trained, &tested(&run, "eval = \"dev\"", "eval = \"test\""));

    let data = folder.path().join("yolo");
    for (part, count) in [("train", 4), ("val", 2), ("test", 3)] {
        let [images, labels] = ["images", "labels"].map(|of| data.join(of).join(part));
        std::fs::create_dir_all(&images).expect("made");
        std::fs::create_dir_all(&labels).expect("made");
        for i in 0..count {
            let pixel = |x: u32, y: u32| image::Rgb([8 * x as u8, 8 * y as u8, 60 * i]);
            let picture = image::RgbImage::from_fn(32, 32, pixel);
            picture.save(images.join(format!("{i}.png"))).expect("written");
            std::fs::write(labels.join(format!("{i}.txt")), "0 0.5 0.5 0.4 0.3\n")
                .expect("written");
        }
    }
    let run = folder.path().join("pictures");
    let set = [&detector[..], &["data.kind=yolo"]].concat();
    let trained = program::train("detr-bccd", &run, &set, &["--steps", "1", "--data", text(&data)]);
    let splits = "kind = \"yolo\"\n";
    let named = format!("{splits}splits = [\"train\", \"test\"]\n");
    let tested = tested(&run, splits, &named);
    assert_test("ap", &trained, &tested);
    // It is the score of the same pictures where they are those to validate on.
    for of in ["images", "labels"] {
        std::fs::remove_dir_all(data.join(of).join("val")).expect("removed");
        std::fs::rename(data.join(of).join("test"), data.join(of).join("val")).expect("renamed");
    }
    assert_eq!(eval(&run, &[])["loss"], tested["loss"]);

    refused(
        &[
            "train",
            "vit-sample",
            "--set",
            "data.hold_out=6000",
            "--out",
            text(&folder.path().join("none")),
        ],
        "data.hold_out = 6000: fewer than the 6000 training images expected",
    );
    refused(
        &["train", "detr-bccd", "--set", "data.hold_out=1"],
        "data.hold_out has no effect with data.kind",
    );
}
