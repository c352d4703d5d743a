//! What the program says about itself, about mistakes, about recipes, models and files.

mod program;

use std::path::Path;

use serde_json::Value;

use program::{text, wavetape};

fn stdout(args: &[&str]) -> String {
    let output = wavetape(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&stdout(args)).expect("one JSON object on stdout and nothing else")
}

/// The message of a command that fails.
fn refused(args: &[&str]) -> String {
    let output = wavetape(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// Changes that make the first recipe small.
const SMALL: [&str; 14] = [
    "--set",
    "model.dim=16",
    "--set",
    "model.depth=2",
    "--set",
    "model.heads=2",
    "--set",
    "model.mlp_dim=32",
    "--set",
    "model.patch_size=14",
    "--set",
    "train.batch_size=32",
    "--set",
    "model.position=embed-1d",
];

#[test]
fn scripts_for_every_shell_complete_commands_and_options_and_some_recipes() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&["completions", shell]);
        for word in ["gradcheck", "lr-find", "print-config"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        // The other shells' scripts know no values of what is not an option.
        for recipe in ["vit-sample", "detr-bccd"] {
            assert!(
                script.contains(recipe) || !["bash", "zsh"].contains(&shell),
                "{shell}: {recipe}"
            );
        }
    }
    assert_eq!(wavetape(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn every_command_has_a_manual_page_and_examples() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("man1");
    stdout(&["man", "--out", text(&out)]);
    let page = stdout(&["man"]);
    assert!(page.contains(".TH wavetape 1") && page.contains("wavetape\\-train(1)"), "{page}");
    let help = stdout(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 12, "{commands:?}");
    for command in commands {
        let help = stdout(&[command, "--help"]);
        assert!(help.contains(&format!("Examples:\n  wavetape {command}")), "{command}: {help}");
        let page =
            std::fs::read_to_string(out.join(format!("wavetape-{command}.1"))).expect(command);
        assert_eq!(page, stdout(&["man", command]));
        assert!(page.contains("Examples:"), "{command}");
    }
    let error = refused(&["man", "trian"]);
    assert!(error.contains("no such subcommand; did you mean `train`?"), "{error}");
}

#[test]
fn a_name_that_is_not_known_is_answered_by_the_nearest_that_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "name = \"x\"\nseeed = 1\n").expect("written");
    let model = folder.path().join("model.toml");
    std::fs::write(&model, "[model]\nkind = \"vti\"\n").expect("written");
    let cases: [(&[&str], &str); 12] = [
        (&["train", "vit-simple"], "did you mean `vit-sample`? known are vit-sample, vit-fashion"),
        (&["train", "--set", "train.epoch=3"], "did you mean `train.epochs`?"),
        (&["train", "--set", "rate=1e-3"], "did you mean `optimizer.rate`?"),
        (&["train", "--set", "model.kind=vitt"], "did you mean `vit`?"),
        (&["train", "--set", "model.position=rope-mixd"], "did you mean `rope-mixed`?"),
        (&["train", "--set", "model.position.kind=lff_mlp"], "did you mean `lff-mlp`?"),
        (&["train", "--recipe", text(&broken)], "did you mean `seed`?"),
        (&["inspect", text(&model)], "did you mean `vit`?"),
        (&["inspect", "vit-smaple"], "did you mean `vit-sample`?"),
        (&["gradcheck", "--op", "attenton"], "did you mean `attention`?"),
        (&["gradcheck", "--layer", "blok"], "did you mean `Block`?"),
        (&["config", "batch_size"], "did you mean `train.batch_size`?"),
    ];
    for (args, hint) in cases {
        let error = refused(args);
        assert!(error.starts_with("error: ") && error.contains(hint), "{args:?}: {error}");
    }
    let output = wavetape(&["bench", "--workload", "vit-l"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("vit-s"));
}

#[test]
fn what_the_system_says_of_a_file_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (run, file) = (folder.path().join("run"), folder.path().join("file"));
    json(&[&["train", "--json", "--steps", "1", "--out", text(&run)][..], &SMALL[..]].concat());
    for file in ["checkpoint.safetensors", "best.safetensors"] {
        std::fs::remove_file(run.join(file)).expect("removed");
    }
    std::fs::write(&file, "").expect("written");
    let binary = folder.path().join("picture.png");
    std::fs::write(&binary, [0x89, b'P', b'N', b'G', 0xff]).expect("written");
    let inside = file.join("inside");
    let (run, inside) = (text(&run), text(&inside));
    let cases: [(&[&str], &str); 10] = [
        (&["eval", run], "checkpoint.safetensors: cannot be read: No such file or directory"),
        (&["eval", run, "--best"], "best.safetensors: "),
        (&["inspect", run], "checkpoint.safetensors: cannot be read: "),
        (&["inspect", "none.safetensors"], "none.safetensors: cannot be read: "),
        (
            &["train", "--recipe", "none.toml"],
            "none.toml: cannot be read: No such file or directory",
        ),
        (&["inspect", text(&binary)], "picture.png: byte 0: expected text in UTF-8"),
        (
            &["train", "--resume", "none"],
            "none: the folder of a run expected; there is no such folder",
        ),
        (&["train", "vit-fashion", "--data", "none"], "none"),
        (&["train", "--out", inside], "inside: Not a directory"),
        (&["eval", "--coco", "none.json", "--results", "none.json"], "none.json: cannot be read: "),
    ];
    for (args, told) in cases {
        let error = refused(args);
        assert!(error.contains(told), "{args:?}: {error}");
        let mut parts: Vec<&str> = error.trim().split(": ").collect();
        let count = parts.len();
        parts.sort_unstable();
        parts.dedup();
        assert_eq!(parts.len(), count, "{args:?}: {error}");
    }
}

#[test]
fn errors_have_no_colours_in_a_pipe() {
    let error = refused(&["train", "vit-simple"]);
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn the_keys_of_a_recipe_can_be_asked_for() {
    let all = stdout(&["config"]);
    for line in [
        "  train.batch_size: whole number from 1 to ",
        "  optimizer.adamw.beta2: number from 0 to below 1, default 0.999",
        "default 256  (image-gpt)",
        "        \"rope-mixed\": ",
    ] {
        assert!(all.contains(line), "{line}");
    }
    assert!(all.lines().all(|line| line.chars().count() <= 100));
    let some = stdout(&["config", "optimizer"]);
    assert!(some.contains("optimizer.rate") && !some.contains("train."), "{some}");
    let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFIG.md"));
    assert!(stdout(&["config", "--markdown"]) == file.expect("CONFIG.md"), "CONFIG.md is old");
}

#[test]
fn a_range_test_suggests_rates_at_which_the_loss_falls_on_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |threads: &str| {
        let out = folder.path().join(format!("{threads}.png"));
        let args =
            ["lr-find", "--json", "--steps", "60", "--out", text(&out), "--threads", threads];
        let mut report = json(&[&args[..], &SMALL[..]].concat());
        assert!(std::fs::read(&out).expect("drawn").len() > 5_000);
        for measured in ["seconds", "picture"] {
            report.as_object_mut().expect("an object").remove(measured).expect(measured);
        }
        report
    };
    let one = run("1");
    let number = |key: &str| one[key].as_f64().expect(key);
    assert!((1e-5..1.0).contains(&number("steepest")), "{}", number("steepest"));
    assert!(number("steepest") < number("minimum"));
    assert_eq!(number("recipe_rate"), 2e-3);
    let points = one["points"].as_array().expect("a list");
    assert_eq!(one["steps"].as_u64(), Some(points.len() as u64));
    assert_eq!(points[0]["rate"].as_f64(), Some(1e-6));
    assert_eq!(one, run("2"));
    let error = refused(&["lr-find", "--from", "1", "--to", "0.1"]);
    assert!(error.contains("--to must be above --from"), "{error}");
}

#[test]
fn a_model_is_inspected_without_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = json(&["inspect", "vit-sample", "--json", "--batch", "2"]);
    assert_eq!((&report["position"], &report["cost"]["batch"]), (&"lff-mlp".into(), &2.into()));
    let sum = |list: &str, of: &str| -> u64 {
        report[list].as_array().expect(list).iter().map(|row| row[of].as_u64().expect(of)).sum()
    };
    assert_eq!(Some(sum("parameters", "count")), report["params"].as_u64());
    assert_eq!(Some(sum("layers", "params")), report["params"].as_u64());
    assert!(report["cost"]["kept_bytes"].as_i64() > Some(100_000));
    // A recipe of another model each, from a file; the model alone is enough.
    for recipe in ["igpt-emoji", "igpt-digits", "detr-scenes"] {
        let printed = stdout(&["train", recipe, "--print-config"]);
        let from = printed.find("[model]").expect("a table");
        let file = folder.path().join("model.toml");
        let to = printed.find("[train]").expect("a table");
        std::fs::write(&file, &printed[from..to]).expect("written");
        let mut report = json(&["inspect", text(&file), "--json"]);
        let of_recipe = json(&["inspect", recipe, "--json"]);
        assert_eq!(report["cost"].take(), of_recipe["cost"], "{recipe}");
    }
    let graph = folder.path().join("tape.dot");
    let shown = stdout(&["inspect", "vit-sample", "--graph", text(&graph)]);
    assert!(shown.contains("dot -Tsvg"), "{shown}");
    let graph = std::fs::read_to_string(graph).expect("written");
    for part in
        ["digraph tape {", "blocks.0.attn.qkv.weight\\n[192, 64]", "self_attention\\n[1, 49, 64]"]
    {
        assert!(graph.contains(part), "{part}");
    }
    let svg = folder.path().join("tape.svg");
    let error = refused(&["inspect", "vit-sample", "--graph", text(&svg)]);
    assert!(error.contains("dot -Tsvg"), "{error}");
    let error = refused(&["inspect", "vit-sample", "--attention", "test:0"]);
    assert!(error.contains("--attention: the folder of a run expected"), "{error}");
}

#[test]
fn a_run_is_inspected_with_its_file_and_what_it_attends_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let train = ["train", "--json", "--steps", "3", "--out", text(&run)];
    json(&[&train[..], &SMALL[..]].concat());
    let out = folder.path().join("attention.png");
    let attend = |image: &str| {
        json(&["inspect", text(&run), "--json", "--attention", image, "--out", text(&out)])
    };
    let report = attend("test:5");
    assert_eq!(report["step"], 3);
    let picture = image::open(&out).expect("drawn").to_rgb8();
    assert_eq!(picture.dimensions(), (908, 448));
    let map = report["attention"]["map"].as_array().expect("rows");
    let shares = map
        .iter()
        .flat_map(|row| row.as_array().expect("a row"))
        .map(|x| x.as_f64().expect("a number"));
    assert_eq!(map.len(), 2);
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-5);
    // The left half is the picture itself: as one's own it is seen in the same way.
    let own = folder.path().join("own.png");
    image::imageops::crop_imm(&picture, 0, 0, 448, 448).to_image().save(&own).expect("written");
    let again = attend(text(&own));
    assert_eq!(again["attention"]["class"], report["attention"]["class"]);
    let error = refused(&["inspect", text(&run), "--attention", "test:1000"]);
    assert!(error.contains("test:0 to test:999 expected"), "{error}");
    let error = refused(&["inspect", text(&run), "--attention", "none.png"]);
    assert!(error.contains("none.png"), "{error}");

    let checkpoint = run.join("checkpoint.safetensors");
    let file = json(&["inspect", text(&checkpoint), "--json"]);
    let tensors = file["tensors"].as_array().expect("a list");
    assert!(tensors.iter().any(|tensor| tensor["name"] == "model.head.weight"
        && tensor["shape"] == serde_json::json!([10, 16])));
    assert!(file["metadata"].as_object().is_some_and(|strings| !strings.is_empty()));
    std::fs::write(&checkpoint, "no tensors").expect("written");
    let error = refused(&["inspect", text(&checkpoint)]);
    assert!(error.contains("checkpoint.safetensors: not a safetensors file"), "{error}");
}

#[test]
fn what_is_printed_fits_eighty_columns() {
    let fits = |output: std::process::Output, what: &str| {
        assert!(output.status.success(), "{what}");
        for text in [output.stdout, output.stderr] {
            for line in String::from_utf8(text).expect("UTF-8").lines() {
                assert!(line.chars().count() <= 80, "{what}: {line}");
            }
        }
    };
    let overview = wavetape(&[]);
    let lines = String::from_utf8_lossy(&overview.stdout).lines().count();
    assert!(lines <= 10, "{lines} lines");
    fits(overview, "nothing");
    let help = wavetape(&["--help"]);
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    let is_command = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let commands = text.lines().skip_while(|line| *line != "Commands:").filter(is_command);
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    let commands: Vec<&str> = commands.filter(|name| !name.starts_with('-')).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands.into_iter().filter(|name| *name != "help") {
        fits(wavetape(&[command, "--help"]), command);
    }
    fits(help, "help");

    // In a folder with a short name, as people have it.
    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wavetape"));
        command.args(args).current_dir(folder.path()).output().expect("started")
    };
    let mut args = vec!["train", "--out", "run"];
    program::CLASSIFIER.iter().for_each(|pair| args.extend(["--set", pair]));
    fits(run(&args), "train");
    for command in ["eval run", "eval run --confusion", "inspect run", "report run"] {
        fits(run(&command.split(' ').collect::<Vec<_>>()), command);
    }
}
