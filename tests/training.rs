//! The program as its users run it: training, stopping, resuming, scoring, and what it says to wrong input.

mod program;

use std::path::Path;

use nn::checkpoint::TensorFile;
use serde_json::Value;
use tensor::Tensor;

use program::{checkpoint, json, wavetape};

/// Changes that make the first recipe small: two blocks of width 16 on batches of 32.
const SMALL: [&str; 9] = [
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "model.mlp_dim=32",
    "model.patch_size=14",
    "model.position={ kind = \"lff-mlp\", features = 16 }",
    "train.batch_size=32",
    "train.ema=0.9",
    "train.log_every=7",
];

fn train(out: &Path, more: &[&str]) -> Value {
    program::train("vit-sample", out, &SMALL, more)
}

/// The lines of a run's log, without what the clock and the machine decide.
fn metrics(folder: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("a log");
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        for measured in ["seconds", "img_s", "rss_mb"] {
            line.as_object_mut().expect("an object").remove(measured).expect(measured);
        }
        line
    };
    log.lines().map(line).collect()
}

#[test]
fn one_seed_gives_the_same_bits_on_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |threads: &str| {
        let out = folder.path().join(threads);
        let report =
            train(&out, &["--steps", "12", "--threads", threads, "--set", "model.dropout=0.1"]);
        (report["value"].clone(), report["loss"].clone(), checkpoint(&out))
    };
    let one = run("1");
    assert!(one.2.len() > 60, "parameters, average and moments");
    assert_eq!(one, run("2"));
    assert_eq!(one, run("3"));
    let other = train(&folder.path().join("other"), &["--steps", "12", "--seed", "1"]);
    assert_ne!(one.1, other["loss"], "another seed is another run");
}

#[test]
fn a_stopped_and_resumed_run_equals_an_uninterrupted_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let last = train(&whole, &["--steps", "200", "--set", "model.drop_path=0.2"]);
    // 187 steps an epoch: the stops lie inside of the first epoch, at its end, and inside of the second.
    let first =
        train(&parts, &["--steps", "200", "--set", "model.drop_path=0.2", "--stop-after", "50"]);
    assert_eq!((&first["step"], &first["finished"]), (&Value::from(50), &Value::from(false)));
    let resume = |more: &[&str]| {
        let folder = parts.to_str().expect("UTF-8");
        json(&wavetape(&[&["train", "--json", "--resume", folder], more].concat()))
    };
    resume(&["--stop-after", "187"]);
    resume(&["--stop-after", "195"]);
    let resumed = resume(&[]);
    assert_eq!(last["value"], resumed["value"]);
    assert_eq!(last["loss"], resumed["loss"]);
    assert_eq!(checkpoint(&whole), checkpoint(&parts));
    let lines = metrics(&whole);
    assert_eq!(lines.len(), 200 / 7 + 2, "one every seven steps, and one an epoch");
    assert_eq!(lines, metrics(&parts), "an epoch in parts is logged as one in one go");

    let scored = json(&wavetape(&["eval", "--json", parts.to_str().expect("UTF-8")]));
    assert_eq!((&scored["value"], &scored["loss"]), (&resumed["value"], &resumed["loss"]));
    for key in ["run", "recipe", "metric", "value", "seconds", "img_s"] {
        assert!(scored.get(key).is_some() && resumed.get(key).is_some(), "{key}");
    }
}

#[test]
fn mistakes_are_named_with_what_was_expected_and_exit_codes_tell_their_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("none");
    let missing = missing.to_str().expect("UTF-8");
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "name = \"x\"\nseeed = 1\n").expect("written");
    let broken = broken.to_str().expect("UTF-8");
    let cases: [(&[&str], i32, &str); 10] = [
        (&["train", "--tui", "--out", "never-made"], 1, "a terminal on stderr expected"),
        (&["train", "vit-simple"], 1, "known are vit-sample, vit-fashion"),
        (&["train", "--set", "train.epoch=3"], 1, "did you mean `train.epochs`?"),
        (&["train", "--set", "model.heads=5"], 1, "dim = 64 is not divisible by heads = 5"),
        (&["train", "--recipe", broken], 1, "no such key `seeed`"),
        (&["train", "vit-fashion", "--data", missing], 1, "none: cannot be read"),
        (
            &["train", "--resume", missing],
            1,
            "the folder of a run expected; there is no such folder",
        ),
        (&["eval", missing], 1, "the folder of a run expected; there is no such folder"),
        (&["train", "--epochs", "many"], 2, "invalid value 'many'"),
        (&["fly"], 2, "unrecognized subcommand"),
    ];
    for (args, code, message) in cases {
        let output = wavetape(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_first_value_that_is_not_finite_stops_a_run_and_is_traced_to_its_place_and_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let out = out.to_str().expect("UTF-8");
    let mut args = vec!["train", "--steps", "9", "--out", out, "--set", "optimizer.rate=1e37"];
    SMALL.iter().for_each(|pair| args.extend(["--set", pair]));
    let output = wavetape(&args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let parts = [
        "step 2: loss ",
        "; the checkpoint is that of step 1; a lower optimizer.rate than 1e37 may help",
        "value of linear [32, 4, 16] is not finite",
        "`patch_embed.proj.bias`",
        "images [",
    ];
    for part in parts {
        assert!(stderr.contains(part), "`{part}` in: {stderr}");
    }
    let out = Path::new(out);
    let file = TensorFile::read(&out.join("checkpoint.safetensors")).expect("written");
    let progress: Value = serde_json::from_str(&file.metadata()["progress"]).expect("JSON");
    assert_eq!(progress["step"], 1);
    let finite = |(_, tensor): (String, Tensor)| tensor.to_vec().iter().all(|x| x.is_finite());
    assert!(checkpoint(out).into_iter().all(finite));
}

#[test]
fn a_folder_that_holds_a_run_is_not_overwritten_and_a_foreign_checkpoint_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    train(folder.path(), &["--steps", "2"]);
    let out = folder.path().to_str().expect("UTF-8");
    let again = wavetape(&["train", "--steps", "2", "--out", out]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds a run already"));

    let config = folder.path().join("config.toml");
    let text = std::fs::read_to_string(&config).expect("written").replace("depth = 2", "depth = 3");
    std::fs::write(&config, text).expect("written");
    let resumed = wavetape(&["train", "--resume", out]);
    assert_eq!(resumed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("model.depth: 2 expected, found 3"));
}

/// A generator so small that 784 tokens take no time.
const SMALL_GENERATOR: [&str; 8] = [
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "model.mlp_dim=16",
    "train.batch_size=2",
    "train.steps=2",
    "data.hold_out=3",
    "optimizer.warmup=0.0",
];

fn train_generator(out: &Path, more: &[&str]) -> Value {
    program::train("igpt-sample", out, &SMALL_GENERATOR, more)
}

#[test]
fn every_position_encoding_trains_the_classifier_and_the_generator() {
    let folder = tempfile::tempdir().expect("a folder");
    for config in nn::PositionConfig::all(0.2) {
        let name = config.name();
        let position = format!("model.position={name}");
        let of = |model: &str| folder.path().join(format!("{model}-{name}"));
        let report =
            train(&of("vit"), &["--steps", "2", "--set", &position, "--set", "data.hold_out=50"]);
        assert_eq!(report["metric"], "validation_accuracy", "{name}");
        assert_eq!(report["step"], 2, "{name}");
        let report = train_generator(&of("igpt"), &["--set", &position]);
        assert_eq!(report["metric"], "validation_bits_per_dim", "{name}");
        let bits = report["value"].as_f64().expect("a number");
        assert!((6.0..9.0).contains(&bits), "{name}: {bits} bits per byte after two steps");
    }
}

#[test]
fn a_generator_is_scored_and_draws_and_completes_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let trained = train_generator(&run, &["--set", "model.classes=10"]);
    let run = run.to_str().expect("UTF-8");
    let scored = json(&wavetape(&["eval", run, "--json", "--baselines"]));
    assert_eq!((&scored["value"], &scored["loss"]), (&trained["value"], &trained["loss"]));
    assert!(scored["standard_error"].as_f64().expect("a number") > 0.0);
    assert!(scored["baselines"]["histogram"].as_f64().expect("a number") < 8.0);
    let draw = |out: &str, more: &[&str]| {
        let out = folder.path().join(out);
        let out = out.to_str().expect("UTF-8");
        let args = [&["generate", run, "--json", "--out", out, "--scale", "1"], more].concat();
        let report = json(&wavetape(&args));
        (report["images"].as_u64(), std::fs::read(out).expect("written"))
    };
    let (count, one) = draw("a.png", &["--count", "2", "--seed", "3"]);
    assert_eq!(count, Some(2));
    assert_eq!(draw("b.png", &["--count", "2", "--seed", "3"]).1, one);
    assert_ne!(draw("c.png", &["--count", "2", "--seed", "4"]).1, one);
    let given = folder.path().join("a.png");
    let given = given.to_str().expect("UTF-8");
    let (count, _) = draw("d.png", &["--complete", given, given, "--count", "3", "--class", "9"]);
    assert_eq!(count, Some(6));
    let refused = wavetape(&["generate", run, "--class", "10"]);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("--class 10: must be at most 9"), "{stderr}");
    let maps = folder.path().join("maps.png");
    let maps = maps.to_str().expect("UTF-8");
    let inspected = json(&wavetape(&["inspect", run, "--json", "--positions", maps]));
    assert_eq!(inspected["position"], "lff-mlp");
    assert!(std::fs::read(maps).expect("written").len() > 10_000);
}
