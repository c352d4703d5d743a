//! Sweeps from the command line.

mod program;

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use program::{json, text, wavetape};

fn sweep(out: &Path, more: &[&str]) -> Output {
    let small = [
        "sweep",
        "vit-sample",
        "--steps",
        "3",
        "--seeds",
        "2",
        "--json",
        "--quiet",
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
        "--out",
    ];
    wavetape(&[&small[..], &[text(out)], more].concat())
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
fn mistakes_are_told_before_anything_is_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    for (grid, expected) in [
        ("optimizer.rate", "key=a,b,c expected"),
        ("optimizer.rate=1e-3,,1e-2", "is empty"),
        ("optimizer.rat=1e-3", "rat"),
        ("optimizer.rate=-1", "must be above 0"),
    ] {
        let output = sweep(folder.path(), &["--grid", grid]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{grid}: {message}");
        assert!(message.contains(expected), "{grid}: {message}");
        assert!(!folder.path().join("results.jsonl").exists());
    }
}
