//! From a folder that a person has to a result: `data`, `train FOLDER`, `predict`, `eval`.

mod program;

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use program::{json, text, wavetape};
use serde_json::{Value, json as object};

/// A photograph of its own size: stripes across or upright, in colours that tell nothing.
fn stripes(upright: bool, i: u32) -> RgbImage {
    RgbImage::from_fn(40 + 7 * (i % 5), 44 + 5 * (i % 4), |x, y| {
        let at = (if upright { x } else { y }) + 3 * i;
        Rgb([40 + 150 * (at / 6 % 2) as u8, (20 * i) as u8, 90])
    })
}

/// Two classes in folders without parts, with a name that a shell would take apart.
fn class_folders(root: &Path) {
    for (class, upright) in [("across", false), ("up \"right\" 'ly", true)] {
        fs::create_dir_all(root.join(class)).expect("made");
        for i in 0..24 {
            let name = root.join(class).join(format!("{i} 'a'.png"));
            stripes(upright, i).save(name).expect("written");
        }
    }
}

/// Grey pictures with a bright square each, and where it is.
fn squares(folder: &Path, count: u32) -> Vec<(String, [u32; 4])> {
    fs::create_dir_all(folder).expect("made");
    let square = |i: u32| {
        let [left, top, side] = [3 + 5 * (i % 4), 2 + 4 * (i % 5), 10 + i % 3];
        let picture = RgbImage::from_fn(48, 40, |x, y| {
            let inside = (left..left + side).contains(&x) && (top..top + side).contains(&y);
            Rgb([if inside { 230 } else { (i % 40) as u8 }; 3])
        });
        let name = format!("{i}.png");
        picture.save(folder.join(&name)).expect("written");
        (name, [left, top, side, side])
    };
    (0..count).map(square).collect()
}

fn looked_at(path: &Path) -> Value {
    json(&wavetape(&["data", text(path), "--json"]))
}

/// Trains for a few steps on what the program chooses.
fn trained(path: &Path, out: &Path, more: &[&str]) -> Value {
    json(&wavetape(&[&["train", text(path), "--json", "--out", text(out)], more].concat()))
}

#[test]
fn a_folder_of_classes_is_looked_at_trained_on_and_its_model_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, run) = (folder.path().join("my photos"), folder.path().join("run"));
    class_folders(&data);
    fs::copy(data.join("across/0 'a'.png"), data.join("across/copy.png")).expect("copied");

    let seen = looked_at(&data);
    let parts = &seen["parts"];
    let [train, test] = ["train", "test"].map(|part| parts[part].as_u64().expect("a count"));
    assert_eq!(train + test, 49);
    assert!((3..20).contains(&test), "{seen}");
    assert_eq!(seen["held_out"], true);
    assert_eq!(seen["pictures"]["smallest"], object!([44, 40]));
    assert_eq!((&seen["copies_across_parts"], &seen["problem"]), (&0.into(), &Value::Null));
    assert_eq!(seen["copies"], object!([["across/0 'a'.png", "across/copy.png"]]));

    let report = trained(&data, &run, &["--steps", "120"]);
    assert_eq!(report["metric"], "test_accuracy");
    assert_eq!(report["recipe"], "my-photos");
    assert!(report["value"].as_f64() > Some(0.7), "{report}");
    let scored = json(&wavetape(&["eval", text(&run), "--json"]));
    assert_eq!(scored["value"], report["value"]);

    let confused = json(&wavetape(&["eval", text(&run), "--confusion", "--json"]));
    let confusion = &confused["confusion"];
    let count = |i: usize, j: usize| confusion["matrix"][i][j].as_u64().expect("a count");
    let [right, wrong] = [count(0, 0) + count(1, 1), count(0, 1) + count(1, 0)];
    assert_eq!(report["value"].as_f64(), Some(right as f64 / test as f64));
    assert_eq!(confusion["classes"], object!(["across", "up \"right\" 'ly"]));
    let worst = confusion["worst"].as_array().expect("a list");
    assert_eq!((right + wrong, worst.len() as u64), (test, wrong.min(12)));
    for mistake in worst {
        let file = mistake["file"].as_str().expect("a file");
        assert!(file.contains(mistake["class"].as_str().expect("a name")), "{mistake}");
    }
    let told = wavetape(&["eval", text(&run), "--confusion"]).stdout;
    let told = String::from_utf8(told).expect("UTF-8");
    assert!(told.contains("precision    recall        F1   images"), "{told}");

    // What is held out does not change with the folder's name or with what is added to the training set.
    let moved = folder.path().join("moved");
    fs::rename(&data, &moved).expect("moved");
    let scored = json(&wavetape(&["eval", text(&run), "--data", text(&moved), "--json"]));
    assert_eq!(scored["value"], report["value"]);

    let answers = wavetape(&["predict", text(&run), text(&moved), "--json"]);
    let answers = String::from_utf8(answers.stdout).expect("UTF-8");
    let right = answers.lines().filter(|line| {
        let line: Value = serde_json::from_str(line).expect("an object");
        let [file, class] = [&line["file"], &line["classes"][0]["class"]].map(Value::as_str);
        file.expect("a name").contains(class.expect("a name"))
    });
    assert!(right.count() > 35, "{answers}");
}

#[test]
fn a_table_of_files_and_labels_is_trained_on() {
    let folder = tempfile::tempdir().expect("a folder");
    class_folders(&folder.path().join("pictures"));
    let mut table = "file,label,split\n".to_owned();
    for i in 0..24 {
        let part = if i % 4 == 0 { "test" } else { "train" };
        table += &format!("pictures/across/{i} 'a'.png,1,{part}\n");
        table += &format!("\"pictures/up \"\"right\"\" 'ly/{i} 'a'.png\",2,{part}\n");
    }
    fs::write(folder.path().join("labels.csv"), table).expect("written");
    let seen = looked_at(folder.path());
    assert_eq!(seen["layout"], "pictures with labels in a table");
    assert_eq!(seen["parts"], object!({ "train": 36, "test": 12 }));
    let of_folder = trained(folder.path(), &folder.path().join("run"), &["--steps", "2"]);
    let table = folder.path().join("labels.csv");
    let of_table = trained(&table, &folder.path().join("other"), &["--steps", "2"]);
    assert_eq!(of_folder["loss"], of_table["loss"]);
}

#[test]
fn a_coco_file_and_a_yolo_export_are_trained_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let coco = folder.path().join("coco");
    let squares = squares(&coco.join("images"), 20);
    let images: Vec<Value> = squares
        .iter()
        .enumerate()
        .map(|(id, (name, _))| object!({ "id": id, "file_name": name }))
        .collect();
    let boxes: Vec<Value> = squares
        .iter()
        .enumerate()
        .map(|(id, (_, bbox))| {
            object!({ "id": id + 1, "image_id": id, "category_id": 7, "bbox": bbox })
        })
        .collect();
    let categories = object!([{ "id": 7, "name": "square" }]);
    let file = object!({ "images": images, "annotations": boxes, "categories": categories });
    fs::write(coco.join("labels.json"), file.to_string()).expect("written");

    let yolo = folder.path().join("yolo");
    for (i, (name, [left, top, width, height])) in squares.iter().enumerate() {
        let part = yolo.join(if i % 4 == 0 { "valid" } else { "train" });
        for kind in ["images", "labels"] {
            fs::create_dir_all(part.join(kind)).expect("made");
        }
        fs::copy(coco.join("images").join(name), part.join("images").join(name)).expect("copied");
        let [w, h] = [*width as f32 / 48.0, *height as f32 / 40.0];
        let [x, y] = [*left as f32 / 48.0 + w / 2.0, *top as f32 / 40.0 + h / 2.0];
        let label = part.join("labels").join(name.replace("png", "txt"));
        fs::write(label, format!("0 {x} {y} {w} {h}\n")).expect("written");
    }
    fs::write(yolo.join("data.yaml"), "train: train/images\nval: valid/images\nnames: [square]\n")
        .expect("written");

    let json_file = coco.join("labels.json");
    for (data, parts, metric) in [
        (&coco, object!({ "all": 20 }), "test_ap"),
        (&json_file, object!({ "all": 20 }), "test_ap"),
        (&yolo, object!({ "train": 15, "validation": 5 }), "validation_ap"),
    ] {
        let seen = looked_at(data);
        assert_eq!(seen["parts"], parts, "{}", data.display());
        assert_eq!(seen["classes"][0]["name"], "square");
        let run = folder.path().join("run");
        let more = ["--steps", "1", "--set", "model.dim=16", "--set", "model.mlp_dim=16"];
        let more = [&more[..], &["--set", "model.position=sine-2d"]].concat();
        let report = trained(data, &run, &more);
        assert_eq!(report["metric"], metric, "{report}");
        let again = json(&wavetape(&["eval", text(&run), "--json"]));
        assert_eq!(again["ap"], report["ap"]);
        fs::remove_dir_all(run).expect("removed");
    }
}

#[test]
fn wrong_folders_get_a_message_that_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let picture = |name: &str| {
        let path = at(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        stripes(false, 1).save(path).expect("written");
    };
    fs::create_dir(at("empty")).expect("made");
    fs::write(at("notes.txt"), "no data").expect("written");
    for name in [
        "flat/1.png",
        "flat/2.png",
        "one/cat/1.png",
        "one/cat/2.png",
        "nested/photos/train/a/1.png",
        "nested/photos/test/a/1.png",
        "inside/cat/train/1.png",
        "inside/dog/train/1.png",
    ] {
        picture(name);
    }
    let refused = |args: &[&str]| {
        let output = wavetape(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    for (name, expected) in [
        ("empty", "labels.csv or labels.jsonl, with file and label in each row"),
        ("flat", "2 pictures without a label: put those of a class into a folder"),
        ("one", "nothing to tell apart; if its folders are the classes, name "),
        ("nested", "found photos/train; name the folder that has train in it"),
        ("inside", "put train/CLASS in place of CLASS/train"),
        ("notes.txt", "is a file; expected a folder, a table"),
        ("nowhere", "there is no folder of this name either"),
    ] {
        let path = at(name);
        let told = refused(&["train", text(&path), "--steps", "1"]);
        assert!(told.contains(expected), "{name}: {told}");
    }
    let told = refused(&["data", text(&at("nowhere"))]);
    assert!(told.ends_with("nowhere: no such folder\n"), "{told}");
    let [empty, flat] = [at("empty"), at("flat")];
    let told = refused(&["train", text(&empty), "--data", text(&flat)]);
    assert!(told.contains("are two folders of data: one expected"), "{told}");
}

#[cfg(unix)]
#[test]
fn names_that_a_terminal_would_obey_are_escaped_and_others_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("new\nline");
    for class in ["a\u{1b}[31m", "b\nc"] {
        fs::create_dir_all(data.join(class)).expect("made");
        for i in 0..4 {
            stripes(class.len() % 2 == 0, i)
                .save(data.join(class).join(format!("{i}.png")))
                .expect("written");
        }
    }
    let output = wavetape(&["data", text(&data)]);
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && told.contains(r"a\u{1b}[31m"), "{told}");
    assert!(!told.contains('\u{1b}') && told.contains(r"b\nc"), "{told}");
    let notes = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(notes.contains(r"new\nline"), "{notes}");
    trained(&data, &folder.path().join("run"), &["--steps", "1"]);

    fs::rename(data.join("b\nc"), data.join(OsStr::from_bytes(b"\xff"))).expect("renamed");
    let output = wavetape(&["data", text(&data)]);
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(told.contains("a class: expected a name in UTF-8"), "{told}");
}
