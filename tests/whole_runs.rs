//! A run holds all that it needs, stops at what is not a number, and leaves alone what is not its own.

mod program;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use program::{CLASSIFIER, DETECTOR, json, text, train, wavetape};

fn refused(args: &[&str], message: &str) {
    let output = wavetape(args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(message), "{args:?}: {told}");
}

/// Grey pictures of two classes whose rows and columns differ, brighter in training by as much as is said.
fn pictures(folder: &Path, brighter: u8, side: u32) {
    for (part, count, more) in [("train", 8, brighter), ("test", 4, 0)] {
        for (class, upright) in [("across", false), ("upright", true)] {
            let folder = folder.join(part).join(class);
            fs::create_dir_all(&folder).expect("made");
            for i in 0..count {
                let pixel = |x: u32, y: u32| {
                    let at = (if upright { x } else { y }) + i;
                    image::Luma([more + 20 + 100 * (at * 28 / side / 7 % 2) as u8])
                };
                let picture = image::GrayImage::from_fn(side, side, pixel);
                picture.save(folder.join(format!("{i}.png"))).expect("written");
            }
        }
    }
}

const FOLDER: [&str; 4] =
    ["data.kind=grey-folder", "model.classes=2", "train.batch_size=4", "data.resize=28"];

#[test]
fn a_classifier_reads_pictures_as_in_training_whatever_became_of_the_training_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("dark"), 0, 56);
    pictures(&at("bright"), 90, 56);
    fs::create_dir_all(at("tests")).expect("made");
    pictures(&at("tests"), 0, 56);
    fs::remove_dir_all(at("tests").join("train")).expect("removed");
    let set = [&CLASSIFIER[..], &FOLDER].concat();
    let trained = train("vit-sample", &at("run"), &set, &["--data", text(&at("dark"))]);
    for data in ["bright", "tests"] {
        let run = at("run");
        let args = ["eval", text(&run), "--json", "--data"];
        let scored = json(&wavetape(&[&args[..], &[text(&at(data))]].concat()));
        assert_eq!((&scored["value"], &scored["loss"]), (&trained["value"], &trained["loss"]));
    }
    // A file is read as those of the data set are.
    let (run, out) = (at("run"), at("looked-at.png"));
    let looked_at = |picture: &str| {
        let args = ["inspect", text(&run), "--json", "--attention", picture, "--out", text(&out)];
        json(&wavetape(&args))["attention"].clone()
    };
    let file = at("dark/test/across/0.png");
    assert_eq!(looked_at("test:0"), looked_at(text(&file)));
    // Pictures of 56 pixels in the files, read at 28, are read at 56 where that is asked for: not enlarged.
    let larger = ["eval", text(&at("run")), "--json", "--size", "56"].map(str::to_owned);
    let larger = json(&wavetape(&larger.each_ref().map(String::as_str)));
    pictures(&at("small"), 0, 28);
    let args = ["eval", text(&at("run")), "--json", "--size", "56", "--data"].map(str::to_owned);
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    let small = at("small");
    args.push(text(&small));
    assert_ne!(json(&wavetape(&args))["loss"], larger["loss"]);

    // Other labels, as many, are other data.
    let (a, b) = (at("dark/train/across/0.png"), at("dark/train/upright/0.png"));
    let bytes = fs::read(&a).expect("there");
    fs::copy(&b, &a).expect("copied");
    fs::write(&b, bytes).expect("written");
    refused(&["train", "--resume", text(&at("run"))], "other training data");
}

#[test]
fn the_last_step_is_looked_at_too_and_the_good_checkpoint_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let mut args = vec!["train", "--steps", "1", "--out", text(&run)];
    let set = [&CLASSIFIER[..8], &["optimizer.rate=1e38", "optimizer.adamw.weight_decay=1000"]];
    let set = set.concat();
    set.iter().for_each(|pair| args.extend(["--set", pair]));
    refused(&args, "diverged at step 1: parameter `");
    let kept = program::checkpoint(&run);
    assert!(kept.iter().all(|(_, tensor)| tensor.to_vec().iter().all(|x| x.is_finite())));
}

#[test]
fn a_stop_that_is_reached_stops_at_once_and_a_finished_run_can_be_made_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("data"), 0, 28);
    let data = at("data");
    let set = [&CLASSIFIER[..8], &FOLDER, &["train.epochs=1"]].concat();
    let begun =
        train("vit-sample", &at("run"), &set, &["--data", text(&data), "--stop-after", "0"]);
    assert_eq!(begun["step"], 0);
    let resume = |more: &[&str]| {
        let run = at("run");
        json(&wavetape(&[&["train", "--json", "--quiet", "--resume", text(&run)], more].concat()))
    };
    assert_eq!(resume(&["--stop-after", "2"])["step"], 2);
    assert_eq!(resume(&["--stop-after", "1"])["step"], 2);
    assert_eq!(resume(&[])["step"], 4);
    let longer = resume(&["--epochs", "2"]);
    assert_eq!((&longer["step"], &longer["finished"]), (&Value::from(8), &Value::from(true)));
    let config = fs::read_to_string(at("run/config.toml")).expect("written");
    assert!(config.contains("extra_epochs = 1"), "{config}");
    // It is the run that its config says.
    let whole = at("whole");
    let config = at("run/config.toml");
    let repeated = ["train", "--json", "--recipe", text(&config), "--out", text(&whole)];
    assert_eq!(json(&wavetape(&repeated))["loss"], longer["loss"]);
    assert_eq!(program::checkpoint(&whole), program::checkpoint(&at("run")));
}

#[test]
fn nothing_of_anybodys_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("thesis")).expect("made");
    fs::write(at("thesis/notes.txt"), "mine").expect("written");
    refused(&["train", "--out", text(&at("thesis"))], "no run's folder and not empty");
    assert_eq!(fs::read_dir(at("thesis")).expect("there").count(), 1);

    train("detr-scenes", &at("run"), &DETECTOR, &[]);
    let run = at("run");
    let out = at("found");
    let detect = ["detect", text(&run), "--test", "2", "--out", text(&out)];
    fs::create_dir_all(&out).expect("made");
    fs::write(out.join("results.json"), "[]").expect("written");
    refused(&detect, "not of an earlier detection");
    fs::remove_file(out.join("results.json")).expect("removed");
    for _ in 0..2 {
        assert!(wavetape(&detect).status.success());
    }
    // Two pictures of one name, each written under its own.
    for name in ["a b.png", "a-b.png"] {
        let picture = image::RgbImage::from_fn(50, 40, |x, y| image::Rgb([x as u8, y as u8, 90]));
        picture.save(at(name)).expect("written");
    }
    let out = at("two");
    let (one, two) = (at("a b.png"), at("a-b.png"));
    let detect = ["detect", text(&run), text(&one), text(&two), "--out", text(&out)];
    assert!(wavetape(&detect).status.success());
    let list = fs::read_to_string(out.join("images.json")).expect("written");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let drawn: Vec<&Value> = (0..2).map(|i| &list["images"][i]["drawn"]).collect();
    assert_eq!(drawn, ["a-b.png", "a-b-2.png"]);
    assert!(out.join("a-b-2.png").exists());
}

#[test]
fn a_run_is_held_by_one_process_even_if_its_lock_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let mut args = vec!["train", "--epochs", "100000", "--quiet", "--out", text(&run)];
    CLASSIFIER[..7].iter().for_each(|pair| args.extend(["--set", pair]));
    let mut child = Command::new(env!("CARGO_BIN_EXE_wavetape"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    while !run.join("checkpoint.safetensors").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    fs::remove_file(run.join("lock")).expect("there");
    let second = wavetape(&["train", "--resume", text(&run)]);
    child.kill().expect("running");
    child.wait().expect("ended");
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(told.contains("another process trains this run"), "{told}");
}

#[test]
fn a_run_that_resumes_on_another_machine_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    train("vit-sample", &run, &CLASSIFIER, &["--stop-after", "2"]);
    let path = run.join("checkpoint.safetensors");
    let file = nn::checkpoint::TensorFile::read(&path).expect("written");
    let mut progress: Value = serde_json::from_str(&file.metadata()["progress"]).expect("JSON");
    assert!(progress["identity"]["machine"].is_string(), "{progress}");
    progress["identity"]["machine"] = "Z80".into();
    let named = |name: String| (name.clone(), file.tensor::<f32>(&name).expect("listed"));
    let tensors: Vec<_> = file.names().into_iter().map(named).collect();
    let metadata = HashMap::from([("progress".to_owned(), progress.to_string())]);
    nn::checkpoint::write(&path, tensors, metadata).expect("written");
    let resumed = wavetape(&["train", "--resume", text(&run)]);
    let told = String::from_utf8_lossy(&resumed.stderr);
    assert!(resumed.status.success() && told.contains("on another machine"), "{told}");
    let log = fs::read_to_string(run.join("metrics.jsonl")).expect("written");
    assert!(log.lines().any(|line| line.contains("\"before\":\"Z80\"")), "{log}");
}

#[test]
fn a_command_says_which_run_it_needs_and_what_a_model_has_too_much() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("data"), 0, 28);
    let (run, data) = (at("run"), at("data"));
    let set = [&CLASSIFIER[..6], &FOLDER[2..], &["data.kind=grey-folder"]].concat();
    let mut args = vec!["train", "--steps", "1", "--data", text(&data), "--out", text(&run)];
    set.iter().for_each(|pair| args.extend(["--set", pair]));
    let output = wavetape(&args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("model.classes = 10, and the data have 2 classes"), "{told}");
    #[cfg(unix)]
    {
        let pipe = at("pipe");
        fs::create_dir(&pipe).expect("made");
        let made = Command::new("mkfifo").arg(pipe.join("config.toml")).status();
        assert!(made.expect("mkfifo").success());
        refused(&["eval", text(&pipe)], "config.toml"); // and not waited for
    }
    let needed = [("generate", "generator"), ("detect", "detector"), ("caption", "captioner")];
    for (command, needed) in needed {
        let message = format!("is the run of a classifier; that of a {needed} expected");
        let args = [command, text(&run), text(&data)];
        refused(if command == "generate" { &args[..2] } else { &args }, &message);
    }
}
