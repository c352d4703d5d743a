//! Sweeps from the command line.

mod program;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use program::{CLASSIFIER, json, text, wavetape};

const SMALL: [&str; 10] = [
    "--set",
    "model.dim=16",
    "--set",
    "model.mlp_dim=16",
    "--set",
    "model.depth=1",
    "--set",
    "model.heads=2",
    "--set",
    "train.batch_size=8",
];

fn sweep(out: &Path, more: &[&str]) -> Output {
    let args = ["sweep", "vit-sample", "--steps", "3", "--seeds", "2", "--json", "--quiet"];
    wavetape(&[&args[..], &SMALL, &["--out", text(out)], more].concat())
}

#[test]
fn a_sweep_is_a_table_and_is_not_done_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("sweep");
    let grid = ["--grid", "optimizer.rate=0.001,0.01", "--jobs", "2"];
    let first = json(&sweep(&out, &grid));
    let groups = first["groups"].as_array().expect("a list");
    assert_eq!(groups.len(), 2);
    assert_eq!((&groups[1]["group"], &groups[1]["runs"]), (&"rate=0.01".into(), &2.into()));
    assert_eq!(first["metric"], "test_accuracy");

    assert!(!out.join("rate=0.01/seed-0/samples").exists(), "nobody looks at so many");

    // The mean and the standard error are those of the two runs.
    let lines = std::fs::read_to_string(out.join("results.jsonl")).expect("written");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 4);
    let value = |i: usize| lines[i]["value"].as_f64().expect("a number");
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!((number(&groups[1]["mean"]) - (value(2) + value(3)) / 2.0).abs() < 1e-12);
    let error = (value(2) - value(3)).abs() / 2.0;
    assert!((number(&groups[1]["standard_error"]) - error).abs() < 1e-12);
    // A program reads numbers, not sentences.
    let table = std::fs::read_to_string(out.join("table.csv")).expect("written");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows[0], ",test_accuracy,\"test_accuracy, standard error\",runs,seconds");
    assert!(rows[2].split(',').skip(1).all(|cell| cell.parse::<f64>().is_ok()), "{table}");
    let table = std::fs::read_to_string(out.join("table.md")).expect("written");
    assert!(table.starts_with("|") && table.contains("rate=0.001") && table.contains('±'));

    // A run that its folder has lost is done again, and gives the same; the others stay.
    let kept = out.join("rate=0.001/seed-0/result.json");
    let before = std::fs::metadata(&kept).and_then(|file| file.modified()).expect("a time");
    std::fs::remove_dir_all(out.join("rate=0.01/seed-1")).expect("removed");
    let second = json(&sweep(&out, &grid));
    assert_eq!(second["groups"][1]["mean"], first["groups"][1]["mean"]);
    let after = std::fs::metadata(&kept).and_then(|file| file.modified()).expect("a time");
    assert_eq!(before, after);

    let other = sweep(&out, &["--grid", "optimizer.rate=0.001", "--set", "train.clip_norm=0.5"]);
    assert_eq!(other.status.code(), Some(1));
    let message = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(message.contains("another config") && message.contains("seed-0"), "{message}");
}

#[test]
fn an_arm_that_diverges_has_its_row_and_the_others_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("sweep");
    let output = sweep(&out, &["--grid", "optimizer.rate=1e-3,1e30"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("2 runs failed") && message.contains("rate=1e30, seed 1: diverged"));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let [fine, diverged] = [0, 1].map(|i| &report["groups"][i]);
    assert!(fine["mean"].is_number() && fine["failed"].is_null(), "{report}");
    assert_eq!((&diverged["mean"], &diverged["runs"]), (&Value::Null, &0.into()));
    let why = diverged["failed"][0].as_str().expect("words");
    assert!(why.starts_with("diverged at step "), "{why}");
    let table = std::fs::read_to_string(out.join("table.md")).expect("written");
    assert!(table.contains("rate=1e-3") && table.contains(why), "{table}");
    assert_eq!(
        std::fs::read_to_string(out.join("results.jsonl")).expect("written").lines().count(),
        2
    );
}

/// A sweep of runs that take as long as they are let.
fn endless(out: &Path) -> Ended {
    let args = ["sweep", "vit-sample", "--epochs", "100000", "--seeds", "1", "--threads", "1"];
    let child = Command::new(env!("CARGO_BIN_EXE_wavetape"))
        .args(
            [&args[..], &SMALL, &["--grid", "optimizer.rate=1e-3,2e-3", "--out", text(out)]]
                .concat(),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    Ended(child)
}

/// A process that does not outlive a test that fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// Waits until something holds, for a minute at most.
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what}: not within a minute");
}

#[test]
#[cfg(unix)]
fn a_sweep_is_alone_in_its_folder_and_its_runs_end_with_it_however_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    for signal in ["-TERM", "-KILL"] {
        let out = folder.path().join(signal);
        let mut first = endless(&out);
        let run = out.join("rate=1e-3/seed-0");
        let has = |file: &str| run.join(file).exists();
        wait_for("a run that has begun", || has("checkpoint.safetensors"));
        let begun = std::fs::read(run.join("config.toml")).expect("written");

        let second = sweep(&out, &["--grid", "optimizer.rate=1e-3"]);
        assert_eq!(second.status.code(), Some(1));
        let message = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(message.contains("another process works on this study"), "{message}");
        let into = wavetape(&["train", "--resume", text(&run), "--stop-after", "0"]);
        let message = String::from_utf8_lossy(&into.stderr).into_owned();
        assert!(message.contains("another process trains this run"), "{message}");
        assert_eq!(std::fs::read(run.join("config.toml")).expect("kept"), begun);

        let kill = Command::new("kill").args([signal, &first.0.id().to_string()]).status();
        assert!(kill.expect("kill").success());
        let status = first.0.wait().expect("ended");
        assert_ne!(status.code(), Some(0));
        let resume = ["train", "--resume", text(&run), "--stop-after", "0", "--quiet"];
        wait_for("a run without a process", || wavetape(&resume).status.success());
    }
}

#[test]
fn nothing_of_anybodys_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let grid = ["--grid", "optimizer.rate=1e-3"];
    let refused = |out: &Path, expected: &str| {
        let output = sweep(out, &grid);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(expected), "{message}");
    };
    let mine = folder.path().join("mine");
    std::fs::create_dir_all(&mine).expect("made");
    std::fs::write(mine.join("table.md"), "my thesis").expect("written");
    refused(&mine, "is no study's folder and not empty (it holds table.md)");
    assert_eq!(std::fs::read(mine.join("table.md")).expect("kept"), b"my thesis");

    let study = folder.path().join("study");
    let run = study.join("rate=1e-3/seed-0");
    std::fs::create_dir_all(&run).expect("made");
    std::fs::write(run.join("notes.txt"), "mine").expect("written");
    refused(&study, "is no run's folder and not empty (it holds notes.txt)");
    assert_eq!(std::fs::read(run.join("notes.txt")).expect("kept"), b"mine");
}

#[test]
fn mistakes_are_told_before_anything_is_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    for (grid, expected) in [
        ("optimizer.rate", "key=a,b,c expected"),
        ("optimizer.rate=1e-3,,1e-2", "is empty"),
        ("optimizer.rat=1e-3", "rat"),
        ("optimizer.rate=-1", "must be above 0"),
        ("optimizer.rate=0.001,1e-3", "are the same runs"),
        ("seed=1,2", "contradict each other"),
    ] {
        let output = sweep(folder.path(), &["--grid", grid]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{grid}: {message}");
        assert!(message.contains(expected), "{grid}: {message}");
        assert!(!folder.path().join("results.jsonl").exists());
    }
}

#[test]
fn a_sweep_of_data_in_a_folder_beside_it_trains_on_them() {
    let folder = tempfile::tempdir().expect("a folder");
    for (part, class) in [("train", "a"), ("train", "b"), ("test", "a")] {
        let of_class = folder.path().join("data").join(part).join(class);
        std::fs::create_dir_all(&of_class).expect("made");
        for i in 0..8_u8 {
            let grey = image::GrayImage::from_pixel(28, 28, image::Luma([i * 20 + 10]));
            grey.save(of_class.join(format!("{i}.png"))).expect("written");
        }
    }
    let mut sweep = std::process::Command::new(env!("CARGO_BIN_EXE_wavetape"));
    sweep.current_dir(folder.path()).args([
        "sweep",
        "vit-sample",
        "--data",
        "data",
        "--seeds",
        "1",
    ]);
    sweep.args(["--grid", "optimizer.rate=1e-3,2e-3", "--out", "study", "--json"]);
    sweep.args(["--set", "data.kind=grey-folder", "--set", "train.epochs=1"]);
    let small = CLASSIFIER.iter().filter(|pair| !pair.starts_with("train."));
    small.chain(&["train.batch_size=4"]).for_each(|pair| {
        sweep.args(["--set", pair]);
    });
    let output = sweep.output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
