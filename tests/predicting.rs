//! `wavetape predict`: what it says of files is what the run is scored on.

mod program;

use std::fs;
use std::path::Path;

use serde_json::Value;

use program::{CAPTIONER, CLASSIFIER, DETECTOR, SCREENS, json, text, train, wavetape};

/// The objects that are printed, one a line.
fn predicted(args: &[&str]) -> Vec<Value> {
    let output = wavetape(&[&["predict", "--json"], args].concat());
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    told.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// Pictures of two classes, lines across and lines upright, of sizes and colours of their own.
fn pictures(folder: &Path) {
    for (part, count) in [("train", 12), ("test", 5)] {
        for (class, upright) in [("across", false), ("up right", true)] {
            let folder = folder.join(part).join(class);
            fs::create_dir_all(&folder).expect("made");
            for i in 0..count {
                let pixel = |x: u32, y: u32| {
                    let at = (if upright { x } else { y }) + i;
                    image::Rgb([20 + 100 * (at / 9 % 2) as u8, 10 * i as u8, 90])
                };
                let picture = image::RgbImage::from_fn(30 + 3 * i, 40 - 2 * i, pixel);
                picture.save(folder.join(format!("{i}.png"))).expect("written");
            }
        }
    }
}

#[test]
fn pictures_get_the_classes_that_the_run_is_scored_by() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("data"));
    let set = ["data.kind=grey-folder", "data.resize=28", "model.classes=2", "train.batch_size=8"];
    let (run, data, test) = (at("run"), at("data"), at("data/test"));
    let set = [&CLASSIFIER[..8], &set].concat();
    let trained = train("vit-sample", &run, &set, &["--data", text(&data), "--epochs", "4"]);

    let (table, drawn) = (at("table.csv"), at("drawn"));
    let args = [text(&run), text(&test), "--csv", text(&table), "--out", text(&drawn)];
    let lines = predicted(&args);
    assert_eq!(lines.len(), 10);
    let is_right = |line: &&Value| {
        let [file, class] = [&line["file"], &line["classes"][0]["class"]].map(|v| v.as_str());
        file.expect("a name").contains(&format!("/{}/", class.expect("a class")))
    };
    let right = lines.iter().filter(is_right).count();
    assert_eq!(trained["value"].as_f64(), Some(right as f64 / 10.0));
    for line in &lines {
        let sum: f64 = (0..2).filter_map(|k| line["classes"][k]["probability"].as_f64()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{line}");
    }
    let table = fs::read_to_string(&table).expect("written");
    assert!(table.starts_with("file,rank,class,probability\n") && table.lines().count() == 21);
    // Each class has a 0.png; no picture is drawn over another.
    assert_eq!(fs::read_dir(&drawn).expect("made").count(), 10);
    assert!(drawn.join("0-2.png").exists());
    let one = predicted(&[text(&run), text(&test.join("across/3.png")), "--top", "1"]);
    assert_eq!(one[0]["classes"].as_array().map(Vec::len), Some(1));

    // A broken one does not keep the others from being answered.
    fs::write(test.join("across/2.png"), "no picture").expect("written");
    let lines = predicted(&[text(&run), text(&test)]);
    assert_eq!(lines.iter().filter(|line| line["error"].is_string()).count(), 1);
    let told = wavetape(&["predict", text(&run), text(&test)]);
    assert_eq!(told.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&told.stderr);
    assert!(errors.contains("across/2.png") && errors.contains("1 of 10 files"), "{errors}");
    assert_eq!(String::from_utf8_lossy(&told.stdout).lines().count(), 9);

    fs::create_dir(at("empty")).expect("made");
    for (named, message) in
        [("empty", "there is no picture in this folder"), ("none.png", "cannot be read")]
    {
        let told = wavetape(&["predict", text(&run), text(&at(named))]);
        let errors = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.code() == Some(1) && errors.contains(message), "{errors}");
    }
}

#[test]
fn objects_and_captions_are_those_of_their_own_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (run, picture, out) = (at("detector"), at("a.png"), at("found"));
    train("detr-scenes", &run, &DETECTOR, &[]);
    image::RgbImage::from_fn(50, 40, |x, y| image::Rgb([5 * x as u8, 6 * y as u8, 90]))
        .save(&picture)
        .expect("written");
    let more = ["--threshold", "0"];
    let found = &predicted(&[&[text(&run), text(&picture)], &more[..]].concat())[0]["objects"];
    let args = ["detect", text(&run), text(&picture), "--json", "--out", text(&out)];
    let report = json(&wavetape(&[&args[..], &more].concat()));
    assert_eq!(found.as_array().map(Vec::len), report["objects"].as_u64().map(|n| n as usize));
    let results = fs::read_to_string(out.join("results.json")).expect("written");
    let results: Vec<Value> = serde_json::from_str(&results).expect("a list");
    assert_eq!(found[0]["bbox"], results[0]["bbox"]);

    let run = at("captioner");
    train("caption-web", &run, &CAPTIONER, &["--data", SCREENS, "--steps", "1"]);
    let screens = Path::new(SCREENS).join("combined");
    let lines = predicted(&[text(&run), text(&screens)]);
    assert!(lines.len() > 1);
    for line in lines.iter().filter(|line| line["captions"][0].is_object()) {
        let file = line["file"].as_str().expect("a name");
        let report = json(&wavetape(&["caption", text(&run), file, "--json"]));
        assert_eq!(report["captions"], line["captions"], "{file}");
    }

    let run = at("generator");
    train("igpt-sample", &run, &program::GENERATOR, &[]);
    let told = wavetape(&["predict", text(&run), text(&picture)]);
    let errors = String::from_utf8_lossy(&told.stderr);
    assert!(errors.contains("is the run of a generator; that of a classifier"), "{errors}");
}
