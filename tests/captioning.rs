//! The captioner from the command line: training, scoring, captioning, and the mistakes that are made with it.

mod program;

use std::path::Path;

use serde_json::Value;

use program::{SCREENS, checkpoint, json, text, wavetape};

/// A captioner so small that it takes no time.
const SMALL: [&str; 9] = [
    "model.dim=16",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.encoder_depth=1",
    "model.decoder_depth=1",
    "model.pixels=[4, 8]",
    "model.position={ kind = \"lff-mlp\", features = 8, hidden = 8 }",
    "data.screens={}",
    "train.batch_size=2",
];

fn train(out: &Path, more: &[&str]) -> Value {
    program::train("caption-web", out, &SMALL, &[&["--data", SCREENS], more].concat())
}

#[test]
fn one_seed_gives_the_same_bits_on_any_number_of_threads_and_after_a_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let one = train(&at("one"), &["--epochs", "3", "--threads", "1"]);
    let two = train(&at("two"), &["--epochs", "3", "--threads", "2"]);
    assert_eq!((&one["value"], &one["loss"]), (&two["value"], &two["loss"]));
    assert_eq!(checkpoint(&at("one")), checkpoint(&at("two")));
    for key in ["cider", "cider_error", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "widgets"] {
        assert!(one[key].is_number() || one[key].is_null(), "{key}: {one}");
    }
    assert_eq!((&one["metric"], &one["value"]), (&Value::from("test_cider"), &one["cider"]));

    let stopped = train(&at("parts"), &["--epochs", "3", "--stop-after", "1"]);
    assert_eq!(stopped["finished"], false);
    let resumed = json(&wavetape(&["train", "--json", "--resume", text(&at("parts"))]));
    assert_eq!(resumed["loss"], one["loss"]);
    assert_eq!(checkpoint(&at("one")), checkpoint(&at("parts")));
    let words = std::fs::read_to_string(at("one").join("vocabulary.json")).expect("written");
    let words: Vec<String> = serde_json::from_str(&words).expect("a list");
    assert_eq!(words[..4], ["<PADDING>", "<EOS>", "<UNK>", "<START>"]);
}

#[test]
fn a_captioner_learns_its_screens_by_heart_and_captions_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let more = ["--epochs", "120", "--set", "train.eval_every=120", "--set", "model.dropout=0.0"];
    let more = [&more[..], &["--set", "optimizer.rate=0.01"]].concat();
    train(&run, &more);
    let run = text(&run);
    let scored = json(&wavetape(&["eval", run, "--json", "--baselines"]));
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!(number(&scored["baselines"]["frequent"]["bleu1"]) >= 0.0, "{scored}");
    assert!(number(&scored["baselines"]["nearest"]["rouge_l"]) >= 0.0, "{scored}");

    let screen = format!("{SCREENS}/combined/291.json");
    let drawn = folder.path().join("captions.png");
    let args = ["caption", run, &screen, "--node", "0.1.4", "--json", "--out", text(&drawn)];
    let found = json(&wavetape(&args));
    let captions = found["captions"].as_array().expect("a list");
    assert_eq!(captions.len(), 1);
    assert_eq!((&captions[0]["node"], &captions[0]["caption"]), (&"0.1.4".into(), &"agree".into()));
    assert!(image::open(&drawn).expect("a picture").width() > 0);

    let all = json(&wavetape(&["caption", run, &screen, "--all", "--json"]));
    let some = json(&wavetape(&["caption", run, &screen, "--json"]));
    let count = |report: &Value| report["captions"].as_array().expect("a list").len();
    assert!(count(&all) > count(&some) && count(&some) >= 1, "{all}, {some}");
}

#[test]
fn a_band_is_scored_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let band = ["--set", "data.screens={ eval = \"train\", band = { top = 0.0, bottom = 0.3 } }"];
    let report = train(&folder.path().join("run"), &[&["--steps", "1"], &band[..]].concat());
    let (inside, elsewhere) = (&report["band"]["widgets"], &report["elsewhere"]["widgets"]);
    let count = |value: &Value| value.as_u64().expect("a count");
    assert!(count(inside) > 0 && count(elsewhere) > 0);
    assert_eq!(count(inside) + count(elsewhere), count(&report["widgets"]));
}

#[test]
fn every_position_encoding_and_grouping_trains_the_captioner_or_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut refused = Vec::new();
    for config in nn::PositionConfig::all(0.2) {
        for grouping in ["1x4", "2x2", "4x1"] {
            let position = format!("model.position={}", config.name());
            let name = format!("{} {grouping}", config.name());
            let grouping = format!("model.grouping=\"{grouping}\"");
            let out = folder.path().join(&name);
            let mut args = vec!["train", "caption-web", "--json", "--data", SCREENS];
            args.extend(["--out", text(&out), "--steps", "1"]);
            SMALL.iter().for_each(|pair| args.extend(["--set", pair]));
            args.extend(["--set", &position, "--set", &grouping]);
            let output = wavetape(&args);
            if output.status.success() {
                let report = json(&output);
                assert!(
                    report["loss"].as_f64().is_some_and(f64::is_finite),
                    "{position}: {report}"
                );
            } else {
                let message = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(
                    message.contains("lff-mlp") && output.status.code() == Some(1),
                    "{message}"
                );
                refused.push(name);
            }
        }
    }
    assert_eq!(refused, REFUSED);
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    train(&run, &["--steps", "1"]);
    let run = text(&run);
    let screen = format!("{SCREENS}/combined/291.json");
    let alone = folder.path().join("alone.json");
    std::fs::copy(&screen, &alone).expect("copied");
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{\"activity\": {\"root\": [").expect("written");
    let deep = folder.path().join("deep.json");
    let nested = "{\"children\":[".repeat(10_000) + &"]}".repeat(10_000);
    std::fs::write(&deep, format!("{{\"activity\": {{\"root\": {nested}}}}}")).expect("written");
    let cases: [(&[&str], &str); 8] = [
        (
            &["eval", run, "--size", "32"],
            "--size: a classifier, a generator or a detector expected",
        ),
        (&["eval", run, "--reading", "dense"], "a detector expected, not a captioner"),
        (&["caption", run, &screen, "--node", "0.9.9"], "no such node"),
        (&["caption", run, text(&alone)], "alone"),
        (&["caption", run, text(&broken)], "broken.json"),
        (&["caption", run, text(&deep)], "deep.json"),
        (&["caption", run, "nowhere.json"], "nowhere.json"),
        (&["train", "caption-web", "--data", text(folder.path())], "split"),
    ];
    for (args, expected) in cases {
        let output = wavetape(args);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
        assert!(message.contains(expected), "{args:?}: {message}");
    }
}

/// Kinds that count places in rows of a grid.
const REFUSED: [&str; 6] =
    ["embed-1d 1x4", "embed-1d 2x2", "embed-1d 4x1", "sine-1d 1x4", "sine-1d 2x2", "sine-1d 4x1"];
