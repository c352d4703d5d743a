//! Folders of pictures as people have them, read by the program.

mod program;

use std::fs;
use std::path::Path;

use program::{json, text, wavetape};

/// A small classifier of three classes of coloured pictures.
const SMALL: [&str; 12] = [
    "data.kind=colour-folder",
    "model.channels=3",
    "model.classes=3",
    "model.image_size=8",
    "model.patch_size=4",
    "model.dim=16",
    "model.depth=1",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.position=none",
    "train.batch_size=6",
    "train.epochs=30",
];

/// Pictures of one colour for each class.
fn pictures(root: &Path, part: &str, classes: &[&str]) {
    for class in classes {
        let channel = ["a", "b", "c"].iter().position(|name| name == class).expect("one of these");
        let mut colour = [30; 3];
        colour[channel] = 220;
        let folder = root.join(part).join(class).join("deeper");
        fs::create_dir_all(&folder).expect("made");
        for i in 0..3_u8 {
            let pixel = image::Rgb(colour.map(|value| value + 5 * i));
            let picture = image::RgbImage::from_pixel(8, 8, pixel);
            picture.save(folder.join(format!("{i}.bmp"))).expect("written");
        }
    }
}

fn train(data: &Path, out: &Path, more: &[&str]) -> std::process::Output {
    let mut args = vec!["train", "vit-sample", "--json", "--out", text(out), "--data", text(data)];
    for set in SMALL.iter().chain(more) {
        args.extend(["--set", set]);
    }
    wavetape(&args)
}

#[test]
fn names_decide_which_class_is_which_and_a_folder_for_validation_is_scored() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    pictures(&data, "train", &["a", "b", "c"]);
    pictures(&data, "test", &["b", "c"]);
    let tested = json(&train(&data, &run, &[]));
    assert_eq!((&tested["metric"], &tested["value"]), (&"test_accuracy".into(), &1.0.into()));

    // With both, the test set is kept for later.
    pictures(&data, "valid", &["c"]);
    let run = folder.path().join("validated");
    let validated = json(&train(&data, &run, &[]));
    assert_eq!(validated["metric"], "validation_accuracy");
    assert_eq!(validated["value"], 1.0);
    let tested = json(&wavetape(&["eval", text(&run), "--test", "--json"]));
    assert_eq!((&tested["metric"], &tested["value"]), (&"test_accuracy".into(), &1.0.into()));

    fs::rename(data.join("valid/c"), data.join("valid/d\u{1b}[2J")).expect("renamed");
    let refused = train(&data, &folder.path().join("refused"), &[]);
    let told = String::from_utf8_lossy(&refused.stderr);
    let expected = r#"unknown class "d\u{1b}[2J"; the training set has "a", "b", "c""#;
    assert!(!refused.status.success() && told.contains(expected), "{told}");
}

#[test]
fn a_broken_picture_is_refused_with_advice_and_left_out_if_that_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    pictures(&data, "train", &["a", "b", "c"]);
    pictures(&data, "val", &["a"]);
    fs::write(data.join("train/a/7.jpg"), "cut off").expect("written");
    fs::write(data.join("train/a/notes.csv"), "1").expect("written");

    let refused = train(&data, &folder.path().join("refused"), &[]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{told}");
    for expected in ["a/7.jpg: byte 0: expected", "data.skip_broken = true"] {
        assert!(told.contains(expected), "{told}");
    }
    let set = ["data.skip_broken=true", "train.steps=1"];
    let trained = train(&data, &folder.path().join("run"), &set);
    let told = String::from_utf8_lossy(&trained.stderr);
    assert_eq!(json(&trained)["metric"], "validation_accuracy");
    for expected in [
        "1 broken picture skipped, in train/a/7.jpg",
        "1 file skipped, not pictures by their names, in train/a/notes.csv",
    ] {
        // At the start, and at the end.
        assert_eq!(told.matches(expected).count(), 2, "{told}");
    }
    let end = told.lines().find(|line| line.starts_with("left out or put right: "));
    assert!(
        end.is_some_and(|line| line.contains("a/7.jpg") && line.contains("notes.csv")),
        "{told}"
    );
    let log = fs::read_to_string(folder.path().join("run/metrics.jsonl")).expect("a log");
    assert!(
        log.lines().next().is_some_and(|line| line.contains("1 broken picture skipped")),
        "{log}"
    );
}
