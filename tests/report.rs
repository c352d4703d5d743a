//! Pages about runs: what is on them, that they are whole, and what becomes of text that is not meant for them.

mod program;

use std::fs;
use std::path::Path;

use serde_json::Value;

use program::{CAPTIONER, CLASSIFIER, DETECTOR, GENERATOR, SCREENS, json, text, train, wavetape};

/// What `report` says of these runs, and the page.
fn report(runs: &[&Path], more: &[&str]) -> (Value, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("page.html");
    let mut args = vec!["report", "--json", "--out", text(&out)];
    args.extend(runs.iter().map(|run| text(run)));
    args.extend(more);
    let told = json(&wavetape(&args));
    let page = fs::read_to_string(&out).expect("written");
    assert_eq!(told["bytes"], page.len());
    check(&page);
    (told, page)
}

/// Checks that elements are balanced, attributes quoted, and nothing is fetched; returns what the page's script draws.
fn check(page: &str) -> Value {
    let rest = page.strip_prefix("<!doctype html>").expect("a document");
    let (mut rest, mut open, mut data) = (rest, Vec::new(), None);
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>'), "a `>` that is not escaped: {before}");
        let (tag, after) = after.split_once('>').expect("a tag that ends");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> after …{before}");
            continue;
        }
        assert!(tag.matches('"').count() % 2 == 0, "<{tag}>");
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()), "<{tag}>");
        for address in ["src=\"", "href=\""] {
            let address = attributes.split_once(address).map(|(_, address)| address);
            assert!(address.is_none_or(|address| address.starts_with("data:")), "<{tag}>");
        }
        if name == "img" {
            assert!(attributes.contains("alt=\"") && !attributes.contains("alt=\"\""), "<{tag}>");
        }
        if matches!(name, "script" | "style") {
            let end = format!("</{name}>");
            let (inside, after) = rest.split_once(&end).expect("an element that ends");
            if attributes.contains("application/json") {
                data = Some(serde_json::from_str(inside).expect("JSON"));
            }
            rest = after;
        } else if !matches!(name, "meta" | "img" | "input") {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "elements that do not end");
    data.expect("data of the curves")
}

fn sections(told: &Value, run: usize) -> Vec<&str> {
    let sections = told["runs"][run]["sections"].as_array().expect("a list");
    sections.iter().map(|section| section.as_str().expect("a title")).collect()
}

#[test]
fn a_classifier_is_told_with_its_curves_its_mistakes_and_where_it_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run <script>alert(1)<b> & \"so\"");
    let trained = train("vit-sample", &run, &CLASSIFIER, &[]);
    let (told, page) = report(&[&run], &["--profile", "--pictures", "3"]);
    assert_eq!(
        sections(&told, 0),
        ["Confusion matrix", "Attention", "Positions", "Where the time goes"]
    );
    assert_eq!(told["runs"][0]["notes"].as_array().map(Vec::len), Some(0), "{told}");
    assert!(!page.contains("<script>alert") && !page.contains("<b> &"));
    assert!(page.contains("run &lt;script&gt;alert(1)&lt;b&gt; &amp; &quot;so&quot;"));

    let accuracy = trained["value"].as_f64().expect("a number");
    assert!(page.contains(&format!("{:.2} %", 100.0 * accuracy)), "{accuracy}");
    let right = (1000.0 * accuracy).round();
    assert!(page.contains(&format!("{right} of 1000 images were given their class")));
    assert!(page.contains("Ankle boot") || page.contains("ankle boot"));
    assert!(page.contains("lff-mlp") && page.contains("self_attention"));
    assert_eq!(
        page.matches("<img").count(),
        3 + 3 + 1,
        "three mistakes, three pictures and the maps"
    );

    let data = check(&page);
    assert_eq!(data["runs"][0], "run <script>alert(1)<b> & \"so\"");
    let loss = &data["charts"][0];
    assert_eq!((&loss["title"], &loss["lines"][0]["name"]), (&"Loss".into(), &"training".into()));
    assert_eq!(loss["lines"][0]["steps"], serde_json::json!([4, 8, 12]));
    let last = loss["lines"][1]["values"][0].as_f64().expect("a number");
    assert!((last - trained["loss"].as_f64().expect("a number")).abs() < 1e-5);
}

#[test]
fn a_generator_draws_and_a_detector_and_a_captioner_show_what_they_find() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    train("igpt-sample", &at("generator"), &GENERATOR, &[]);
    train("detr-scenes", &at("detector"), &DETECTOR, &[]);
    let screens = ["--data", SCREENS, "--steps", "1"];
    train("caption-web", &at("captioner"), &CAPTIONER, &screens);
    let runs = [at("generator"), at("detector"), at("captioner")];
    let runs: Vec<&Path> = runs.iter().map(|run| run.as_path()).collect();
    let (told, page) = report(&runs, &["--samples", "2", "--pictures", "2"]);
    assert_eq!(sections(&told, 0), ["Samples", "Positions"], "{told}");
    assert_eq!(sections(&told, 1), ["Detections", "Positions"], "{told}");
    assert_eq!(sections(&told, 2), ["Captions"], "{told}");
    assert!(page.contains("2 images drawn at temperature 1"));
    assert!(page.contains("AP, IoU 0.75") && page.contains("BLEU-4"));
    assert!(page.contains("Values that differ") && page.contains("&quot;image-gpt&quot;"));
    let titles: Vec<&str> =
        told["charts"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for title in ["Loss", "Bits per dimension", "Average precision", "CIDEr-D", "Learning rate"] {
        assert!(titles.contains(&title), "{title} in {titles:?}");
    }

    let (told, page) = report(&runs, &["--samples", "0", "--no-data"]);
    assert_eq!(sections(&told, 0), ["Positions"]);
    assert_eq!(sections(&told, 2), [""; 0]);
    assert_eq!(page.matches("<img").count(), 2, "the maps of positions need no data");
}

#[test]
fn what_is_broken_is_counted_and_what_is_missing_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    fs::create_dir(&run).expect("made");
    let refused = wavetape(&["report", text(&run)]);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("the folder of a run expected; it has no config.toml"), "{stderr}");

    // A config of another version, and neither numbers nor parameters.
    fs::write(run.join("config.toml"), "name = \"old\"\n[model]\nkind = \"</style>\"\n")
        .expect("written");
    let (told, page) = report(&[&run], &[]);
    assert_eq!(told["charts"], serde_json::json!([]));
    for words in ["There are no metrics yet.", "nothing is computed", "&lt;/style&gt;"] {
        assert!(page.contains(words), "{words}");
    }

    // Of several, the others are told of.
    let none = folder.path().join("none");
    let (told, _) = report(&[&none, &run], &[]);
    assert_eq!(
        (told["runs"].as_array().map(Vec::len), &told["passed_over"][1]),
        (Some(1), &Value::Null)
    );
    let passed = told["passed_over"][0].as_str().expect("a message");
    assert!(
        passed.contains("none: the folder of a run expected; there is no such folder"),
        "{passed}"
    );

    let log = "{\"step\":1,\"loss\":2.5,\"seconds\":1}\n{\"step\":2,\"lo\n\n{\"step\":2,\"loss\":null}\nnull\n";
    fs::write(run.join("metrics.jsonl"), log).expect("written");
    fs::write(run.join("checkpoint.safetensors"), "not one").expect("written");
    let again = folder.path().join("again");
    fs::create_dir(&again).expect("made");
    for file in ["config.toml", "metrics.jsonl", "checkpoint.safetensors"] {
        fs::copy(run.join(file), again.join(file)).expect("copied");
    }
    let (told, page) = report(&[&run, &again], &[]);
    assert_eq!((&told["runs"][1]["lines"], &told["runs"][1]["broken"]), (&4.into(), &2.into()));
    assert!(page.contains("2 of 4 lines of metrics.jsonl are broken and were passed over"));
    assert!(page.contains("not a safetensors file") && page.contains("All values are the same."));
    let data = check(&page);
    assert_eq!(data["charts"][0]["lines"][1]["values"], serde_json::json!([2.5]));
}

#[test]
fn runs_of_one_name_are_told_apart_and_a_run_named_twice_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for run in ["x1/run", "x2/run"] {
        train("vit-sample", &at(run), &CLASSIFIER, &[]);
    }
    let runs = [at("x1/run"), at("x2/run"), at("x1/../x1/run")];
    let runs: Vec<&Path> = runs.iter().map(|run| run.as_path()).collect();
    let (told, page) = report(&runs, &["--no-data"]);
    let names: Vec<&str> = (0..2).filter_map(|i| told["runs"][i]["run"].as_str()).collect();
    assert_eq!((names, told["runs"].as_array().map(Vec::len)), (vec!["x1/run", "x2/run"], Some(2)));
    assert!(page.contains("x1/run") && page.contains("x2/run"));

    let mine = at("report.html");
    fs::write(&mine, "<p>my thesis</p>").expect("written");
    let refused = wavetape(&["report", text(runs[0]), "--out", text(&mine)]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && message.contains("is not replaced"), "{message}");
}
