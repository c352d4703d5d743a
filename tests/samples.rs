//! What a run leaves of what its model does.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use program::{
    CAPTIONER, CLASSIFIER, DETECTOR, GENERATOR, SCREENS, checkpoint, text, train, wavetape,
};

/// The files of `samples`, by name.
fn samples(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(files) = fs::read_dir(run.join("samples")) else { return BTreeMap::new() };
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        (name, fs::read(entry.path()).expect("written"))
    };
    files.map(file).collect()
}

/// Trains, and returns its only sample.
fn sample(recipe: &str, run: &Path, set: &[&str], more: &[&str], name: &str) -> Vec<u8> {
    train(recipe, run, set, more);
    let mut samples = samples(run);
    assert_eq!(samples.keys().collect::<Vec<_>>(), [name], "{recipe}");
    samples.remove(name).expect("listed")
}

fn dimensions(png: &[u8]) -> (u32, u32) {
    let picture = image::load_from_memory_with_format(png, image::ImageFormat::Png);
    picture.expect("a PNG file").to_rgb8().dimensions()
}

#[test]
fn every_model_shows_after_a_score_what_it_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let found = sample("vit-sample", &at("vit"), &CLASSIFIER, &[], "step-00000012.txt");
    let found = String::from_utf8(found).expect("UTF-8");
    assert_eq!(found.lines().count(), 16);
    let line = found.lines().nth(1).expect("two lines");
    assert!(line.starts_with("test:62  ") && line.contains(", found as "), "{line}");
    assert!(line.ends_with(" %)"), "{line}");

    // There are three images to be scored on, and no more are drawn: a square of 2 × 2 with room for them.
    let drawn = sample("igpt-sample", &at("igpt"), &GENERATOR, &[], "step-00000002.png");
    assert_eq!(dimensions(&drawn), (2 * 58 + 2, 2 * 58 + 2));
    // Of six, four.
    let found = sample("detr-scenes", &at("detr"), &DETECTOR, &[], "step-00000001.png");
    assert_eq!(dimensions(&found), (2 * 386 + 2, 2 * 386 + 2));

    let screens = ["--data", SCREENS, "--steps", "1", "--set", "train.samples=3"];
    let written = sample("caption-web", &at("captions"), &CAPTIONER, &screens, "step-00000001.txt");
    let written = String::from_utf8(written).expect("UTF-8");
    assert!((1..=3).contains(&written.lines().count()), "{written}");
    assert!(written.lines().all(|line| line.contains(" | ")), "{written}");
}

#[test]
fn samples_change_nothing_and_a_run_that_goes_on_makes_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let more = [&["--set", "model.dropout=0.1"], more].concat();
        train("vit-sample", &out, &CLASSIFIER, &more);
        out
    };
    let (with, without) = (run("with", &[]), run("without", &["--no-samples"]));
    let none = run("none", &["--set", "train.samples=0"]);
    let parts = run("parts", &["--stop-after", "5"]);
    assert!(samples(&parts).is_empty(), "there was no score yet");
    assert!(wavetape(&["train", "--quiet", "--resume", text(&parts)]).status.success());
    assert!(samples(&without).is_empty() && samples(&none).is_empty());
    assert_eq!((samples(&with).len(), samples(&parts)), (1, samples(&with)));
    for other in [&without, &none, &parts] {
        assert_eq!(checkpoint(&with), checkpoint(other));
    }
    let refused = wavetape(&["train", "--set", "train.samples=1000"]);
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("train.samples must be at most 256"), "{refused}");
}
