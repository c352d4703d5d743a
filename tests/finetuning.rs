//! `train --from`: what a run takes of another one, or of a file, and what becomes of it.

mod program;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use nn::checkpoint::{TensorFile, write};
use program::{CLASSIFIER, DETECTOR, checkpoint, json, text, train, wavetape};
use serde_json::Value;
use tensor::Tensor;

/// Pictures of one colour for each class, in `train` and `test`.
fn pictures(root: &Path, classes: &[&str]) {
    for part in ["train", "test"] {
        for class in classes {
            let hue = class.bytes().next().expect("a letter");
            let folder = root.join(part).join(class);
            fs::create_dir_all(&folder).expect("made");
            for i in 0..8_u8 {
                let seed = i + 100 * u8::from(part == "test");
                let colour = Rgb([(hue - b'a') * 60 + 10, 200 - (hue - b'a') * 50, seed]);
                let picture = RgbImage::from_pixel(28, 28, colour);
                picture.save(folder.join(format!("{i}.png"))).expect("written");
            }
        }
    }
}

const FOLDER: [&str; 6] = [
    "data.kind=colour-folder",
    "model.channels=3",
    "model.classes=3",
    "train.batch_size=8",
    "augment={}",
    "train.steps=6",
];

/// The parameters of a run, by name.
fn params(run: &Path) -> HashMap<String, Tensor> {
    let strip =
        |(name, tensor): (String, Tensor)| Some((name.strip_prefix("model.")?.to_owned(), tensor));
    checkpoint(run).into_iter().filter_map(strip).collect()
}

/// What the log says that was taken.
fn taken(run: &Path) -> Value {
    let log = fs::read_to_string(run.join("metrics.jsonl")).expect("a log");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter_map(|line| line.get("from").cloned()).next().expect("told")
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name")).collect()
}

#[test]
fn a_run_takes_what_fits_and_its_head_by_the_names_of_classes() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("abc"), &["a", "b", "c"]);
    pictures(&at("abd"), &["a", "b", "d"]);
    let set = [&CLASSIFIER[..], &FOLDER].concat();
    let (source, abc) = (at("source"), at("abc"));
    train("vit-sample", &source, &set, &["--data", text(&abc)]);
    let before = params(&source);

    // The same classes: all is taken, and nothing is learnt in a step at no rate.
    let same = at("same");
    let still = [&set[..], &["train.steps=1", "optimizer.rate=1e-30"]].concat();
    let from = ["--from", text(&source)];
    train("vit-sample", &same, &still, &[&from[..], &["--data", text(&abc)]].concat());
    for (name, value) in params(&same) {
        let difference = (&value - &before[&name]).abs().to_vec().into_iter().fold(0.0, f32::max);
        assert!(difference < 1e-6, "{name}: {difference}");
    }
    let told = taken(&same);
    assert_eq!(names(&told["taken"]).len(), before.len());
    assert!(told["made_anew"].as_object().expect("a table").is_empty());

    // Other classes: a head of its own.
    let other = at("other");
    let abd = at("abd");
    train("vit-sample", &other, &still, &[&from[..], &["--data", text(&abd)]].concat());
    let told = taken(&other);
    assert_eq!(told["made_anew"]["head.weight"], "for other classes");
    assert!(!names(&told["taken"]).contains(&"head.bias"));
    assert!(names(&told["taken"]).contains(&"blocks.0.attn.qkv.weight"));

    // A resumed run needs its source no more, and does not take again.
    let whole = at("whole");
    let more = [&from[..], &["--data", text(&abd)]].concat();
    train("vit-sample", &whole, &set, &more);
    let parts = at("parts");
    train("vit-sample", &parts, &set, &[&more[..], &["--stop-after", "3"]].concat());
    fs::rename(&source, at("gone")).expect("moved");
    json(&wavetape(&["train", "--resume", text(&parts), "--json"]));
    for (name, value) in params(&whole) {
        assert_eq!(value.to_vec(), params(&parts)[&name].to_vec(), "{name}");
    }
}

#[test]
fn classes_that_a_table_names_in_another_order_keep_their_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("data"), &["a", "b", "c"]);
    // A table names the same classes so that they come in another order.
    let named = |names: [&str; 3]| {
        let mut rows = "file,label,split\n".to_owned();
        for part in ["train", "test"] {
            for (class, name) in ["a", "b", "c"].iter().zip(names) {
                (0..8)
                    .for_each(|i| rows += &format!("data/{part}/{class}/{i}.png,{name},{part}\n"));
            }
        }
        rows
    };
    fs::write(at("one.csv"), named(["x", "y", "z"])).expect("written");
    fs::write(at("other.csv"), named(["z", "x", "y"])).expect("written");
    let set = [&CLASSIFIER[..], &FOLDER, &["data.resize=28"]].concat();
    let (source, one, other) = (at("source"), at("one.csv"), at("other.csv"));
    train("vit-sample", &source, &set, &["--data", text(&one)]);
    let still = [&set[..], &["train.steps=1", "optimizer.rate=1e-30"]].concat();
    let run = at("run");
    train("vit-sample", &run, &still, &["--from", text(&source), "--data", text(&other)]);
    // Names are sorted in both: x, y, z; the rows are the same.
    let [before, after] = [&source, &run].map(|run| params(run)["head.weight"].to_vec());
    let close = before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close, "{before:?} {after:?}");
}

#[test]
fn what_is_frozen_stays_and_what_was_taken_may_move_less() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (source, run) = (at("source"), at("run"));
    train("vit-sample", &source, &CLASSIFIER, &[]);
    let before = params(&source);
    let freeze = ["train.freeze=[\"blocks.0.*\", \"pe.*\"]", "train.ema=0.9"];
    let set = [&CLASSIFIER[..], &freeze].concat();
    train("vit-sample", &run, &set, &["--from", text(&source)]);
    for (name, value) in params(&run) {
        let is_frozen = name.starts_with("blocks.0.") || name.starts_with("pe.");
        assert_eq!(value.to_vec() == before[&name].to_vec(), is_frozen, "{name}");
    }

    let moved = |rate: &str| {
        let run = at(&format!("rate-{rate}"));
        let rate = format!("train.taken_rate={rate}");
        let set = [&CLASSIFIER[..], &[&rate, "train.steps=1", "optimizer.adamw.weight_decay=0.0"]]
            .concat();
        train("vit-sample", &run, &set, &["--from", text(&source)]);
        let after = params(&run);
        let name = "blocks.0.mlp.fc1.weight";
        let difference = (&after[name] - &before[name]).abs().to_vec();
        f64::from(difference.into_iter().fold(0.0, f32::max))
    };
    let [whole, half, none] = ["1.0", "0.5", "0.0"].map(moved);
    assert!((half / whole - 0.5).abs() < 0.01 && none == 0.0, "{whole} {half} {none}");

    let refused = |set: &str| {
        let output = wavetape(&["train", "--set", set, "--steps", "1"]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let told = refused("train.freeze=[\"block.0.*\"]");
    assert!(told.contains("no parameter is like `block.0.*`; such as `"), "{told}");
    let told = refused("train.freeze=[\"*\"]");
    assert!(told.contains("all parameters are frozen"), "{told}");
}

#[test]
fn files_of_others_are_taken_and_tables_resized() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let table = [&CLASSIFIER[..5], &CLASSIFIER[6..], &["model.position=embed-1d"]].concat();
    let source = at("source");
    train("vit-sample", &source, &table, &[]);
    // Under timm's names, for images of another size and other classes.
    let mut tensors: Vec<(String, Tensor)> = params(&source).into_iter().collect();
    for (name, value) in &mut tensors {
        match name.as_str() {
            "head.weight" => *value = Tensor::full([3, 16], 0.5),
            "head.bias" => *value = Tensor::full([3], 0.5),
            _ => {}
        }
    }
    tensors.push(("blocks.9.unknown".to_owned(), Tensor::full([2], 1.0)));
    let file = at("w.safetensors");
    write(&file, tensors, HashMap::new()).expect("written");

    let run = at("run");
    // Patches of 7 are 16 in place of 4.
    let set: Vec<&str> =
        table.iter().copied().filter(|pair| !pair.starts_with("model.patch_size")).collect();
    let set = [&set[..], &["model.patch_size=7"]].concat();
    train("vit-sample", &run, &set, &["--from", text(&file)]);
    let told = taken(&run);
    assert!(names(&told["resized"])[0].contains("from 2 × 2 to 4 × 4 patches"), "{told}");
    assert_eq!(names(&told["left_over"]), ["blocks.9.unknown"]);
    let anew = told["made_anew"].as_object().expect("a table");
    assert_eq!(anew["head.weight"], "[3, 16] in the file, [10, 16] here");
    assert!(anew.contains_key("patch_embed.proj.weight"), "{told}");
    assert!(names(&told["taken"]).contains(&"pos_embed"), "{told}");
}

#[test]
fn a_model_that_would_answer_otherwise_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (source, run) = (at("source"), at("run"));
    train("vit-sample", &source, &CLASSIFIER, &[]);
    let refused = |recipe: &str, from: &Path, set: &[&str]| {
        let mut args = vec!["train", recipe, "--from", text(from), "--out", text(&run)];
        set.iter().for_each(|pair| args.extend(["--set", pair]));
        let output = wavetape(&args);
        assert_eq!(output.status.code(), Some(1), "{set:?}");
        assert!(!run.exists());
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let told =
        refused("vit-sample", &source, &[&CLASSIFIER[..], &["model.activation=relu"]].concat());
    assert!(told.contains("model.activation is \"relu\" here and \"gelu\" there"), "{told}");
    let told = refused("vit-sample", &at("nothing"), &CLASSIFIER);
    assert!(told.contains("the folder of a run or a .safetensors file expected"), "{told}");
    let told = refused("detr-scenes", &source, &DETECTOR);
    assert!(
        told.contains("none of its parameters fits") || told.contains("would answer otherwise"),
        "{told}"
    );

    let path = source.join("checkpoint.safetensors");
    let mut bytes = fs::read(&path).expect("written");
    let last = bytes.len() - 3;
    bytes[last] ^= 4;
    fs::write(&path, bytes).expect("written");
    let told = refused("vit-sample", &source, &CLASSIFIER);
    assert!(told.contains("checksum"), "{told}");
    assert!(TensorFile::read(&path).is_err());
}

#[test]
fn a_folder_is_trained_on_with_the_model_of_the_run_that_it_starts_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("other photos"), &["a", "c"]);
    let (source, run, data) = (at("source"), at("run"), at("other photos"));
    train("vit-sample", &source, &CLASSIFIER, &[]);
    let args = ["train", text(&data), "--from", text(&source), "--out", text(&run), "--json"];
    let report = json(&wavetape(&[&args[..], &["--epochs", "2"]].concat()));
    assert_eq!(report["recipe"], "other-photos");
    let config = fs::read_to_string(run.join("config.toml")).expect("written");
    for line in ["kind = \"grey-folder\"", "image_size = 28", "dim = 16", "classes = 2"] {
        assert!(config.contains(line), "{line}: {config}");
    }
    // The inputs are made as those that the parameters have learnt from.
    let inspected = json(&wavetape(&["eval", text(&run), "--json"]));
    assert_eq!(inspected["value"], report["value"]);
}

/// timm's weights, random ones from a fixed seed. That a model with them has timm's logits is tested by `parity`.
#[test]
fn a_model_of_timm_begins_with_its_parameters_and_learns() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let weights = fixtures.join("vit.weights.safetensors");
    let model = fs::read_to_string(fixtures.join("vit.toml")).expect("committed");
    // That model reads two channels, and pictures have one or three: patches are embedded anew.
    let model = model.replace("channels = 2", "channels = 3");
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("data"), &["a", "b", "c"]);
    let rest = "\
name = \"timm\"
[data]
kind = \"colour-folder\"
resize = 12
[train]
epochs = 60
batch_size = 8
log_every = 1
[optimizer]
rate = 1e-3
";
    let recipe = at("recipe.toml");
    fs::write(&recipe, rest.to_owned() + &model).expect("written");
    let run = at("run");
    let data = at("data");
    let args = ["train", "--recipe", text(&recipe), "--data", text(&data), "--out", text(&run)];
    let args = [&args[..], &["--from", text(&weights), "--json"]].concat();
    let begun = json(&wavetape(&[&args[..], &["--stop-after", "0"]].concat()));
    assert_eq!(begun["step"], 0);
    let file = TensorFile::read(&weights).expect("committed");
    let told = taken(&run);
    let anew = told["made_anew"].as_object().expect("a table");
    assert_eq!(anew.keys().collect::<Vec<_>>(), ["patch_embed.proj.weight"]);
    for (name, value) in params(&run).into_iter().filter(|(name, _)| !anew.contains_key(name)) {
        let theirs: Tensor = file.tensor(&name).expect("the same names");
        assert_eq!(value.to_vec(), theirs.to_vec(), "{name}");
    }
    let learnt = json(&wavetape(&["train", "--resume", text(&run), "--json"]));
    assert!(learnt["loss"].as_f64() < begun["loss"].as_f64(), "{begun} {learnt}");
}
