//! `wavetape compare`: a study from its first run to its page, and once more from what a stopped one has left.

mod program;

use std::fs;
use std::path::Path;

use program::{SCREENS, json, text, wavetape};
use serde_json::Value;

fn compare(out: &Path, more: &[&str]) -> std::process::Output {
    wavetape(&[&["compare", "--quiet", "--out", text(out)], more].concat())
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The lines of results without what depends on the clock.
fn results(folder: &Path) -> Vec<Value> {
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let clean = |report: &mut Value| {
            for key in ["seconds", "img_s", "rss_mb"] {
                report.as_object_mut().expect("an object").remove(key);
            }
        };
        clean(&mut line);
        line["scores"].as_object_mut().expect("scores").values_mut().for_each(clean);
        line
    };
    read(folder, "results.jsonl").lines().map(line).collect()
}

#[test]
fn a_study_is_tuned_compared_written_and_goes_on_where_it_was() {
    let root = tempfile::tempdir().expect("a folder");
    let out = root.path().join("study");
    let asked = ["classify", "--encodings", "lff-mlp,none", "--steps", "2", "--trials", "2"];
    let small = ["--set", "model.dim=16", "--set", "model.depth=1", "--set", "model.mlp_dim=16"];
    let asked = [&asked[..], &["--seeds", "2", "--json"], &small].concat();
    let first = json(&compare(&out, &asked));
    assert_eq!(first["budget"], "quick");
    assert!(first["about"].as_str().expect("words").contains("demonstration"));
    let task = &first["tasks"][0];
    assert_eq!(
        (&task["name"], task["rows"].as_array().map(Vec::len)),
        (&"classify".into(), Some(2))
    );
    let titles: Vec<&str> = task["figures"]
        .as_array()
        .expect("figures")
        .iter()
        .map(|figure| figure["figure"]["title"].as_str().expect("a title"))
        .collect();
    assert_eq!(titles[..3], ["top-1", "top-5", "top-1, 20 px, dense"]);
    let none = &task["figures"][0]["rows"][1];
    assert_eq!(none["values"].as_array().map(Vec::len), Some(2));
    assert!(
        none["difference"]["p"].is_number() && none["difference"]["bootstrap"]["low"].is_number()
    );
    assert_eq!(task["tuning"][0]["trials"].as_array().map(Vec::len), Some(2));
    assert_eq!(task["tuning"][1]["trials"].as_array().map(Vec::len), Some(1)); // `none` has no numbers

    let page = read(&out, "report.html");
    assert!(page.contains("a demonstration, not a result") && page.contains("before training"));
    let pictures: Vec<&str> = page
        .split("data:image/png;base64,")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(pictures.len() == 2 && pictures[0] != pictures[1], "before and after training");
    let tables = read(&out, "tables.md");
    assert!(tables.contains("## classify") && tables.contains("demonstration"));
    assert!(read(&out, "classify-differences.csv").starts_with("figure,positions,difference,"));

    // A run's command repeats it to the same bits.
    let lines = results(&out);
    assert_eq!(lines.len(), 4);
    let command = lines[0]["command"].as_str().expect("a command");
    let words: Vec<&str> =
        command.split('\'').enumerate().fold(Vec::new(), |mut words, (i, part)| {
            match i % 2 {
                0 => words.extend(part.split_whitespace()),
                _ => words.push(part),
            }
            words
        });
    let again = root.path().join("again");
    json(&wavetape(&[&words[1..], &["--json", "--quiet", "--out", text(&again)]].concat()));
    let bytes = |folder: &Path| {
        let file = nn::checkpoint::TensorFile::read(&folder.join("checkpoint.safetensors"));
        let file = file.expect("written");
        let tensor = |name: &String| file.tensor::<f32>(name).expect("listed").to_vec();
        file.names().iter().map(tensor).collect::<Vec<_>>()
    };
    let seed = out.join("classify/lff-mlp/seed-0");
    assert_eq!(bytes(&again), bytes(&seed));

    // What is missing is done again, with the same outcome; what is there is not.
    fs::remove_file(seed.join("score-dense-20.json")).expect("was there");
    fs::remove_dir_all(out.join("classify/none/seed-1")).expect("was there");
    let untouched = out.join("classify/lff-mlp/seed-1/result.json");
    let written =
        |path: &Path| fs::metadata(path).and_then(|file| file.modified()).expect("a time");
    let before = written(&untouched);
    json(&compare(&out, &asked));
    assert_eq!(results(&out), lines);
    assert_eq!(written(&untouched), before);

    // Other batches are another study.
    let refused = compare(&out, &[&asked[..], &["--set", "train.batch_size=32"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds a run of another config"));
}

#[test]
fn what_cannot_be_compared_is_told_before_anything_is_trained() {
    let root = tempfile::tempdir().expect("a folder");
    let out = root.path().join("study");
    let refused = |more: &[&str]| {
        let output = compare(&out, more);
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["all"]).contains("caption: the folder of the data expected, --screens DIR"));
    assert!(refused(&["--encodings", "lff-mpl"]).contains("did you mean `lff-mlp`?"));
    let screens = ["caption", "--screens", SCREENS, "--encodings", "embed-1d"];
    let message = refused(&screens);
    assert!(
        message.contains("no encoding is left to compare") && message.contains("can:"),
        "{message}"
    );
    let message = refused(&["--encodings", "lff:4x1"]);
    assert!(message.contains("only captions have groupings"), "{message}");
    assert!(!out.exists());
}
