//! The table is held to the code: to the fields, the defaults, the words and the doc comments of the configs.

use std::collections::BTreeSet;

use models::{
    BackboneConfig, CaptionerConfig, Decoding, DetrConfig, ImageGptConfig, SetCriterion, VitConfig,
};
use nn::{AdamWConfig, PositionConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::keys::NONE;
use super::takes::Takes;
use super::*;
use crate::recipe::tables::ScreensConfig;
use crate::recipe::{
    AugmentConfig, Changes, DataConfig, DataKind, ModelConfig, OptimizerConfig, RECIPES, Recipe,
    ScenesConfig, TrainConfig, flat,
};

/// The fields or words that serde says it expects in place of one that cannot be.
fn expected<T: DeserializeOwned>(text: &str) -> Vec<String> {
    let Err(error) = toml::from_str::<T>(text) else { panic!("{text}: refused") };
    let error = error.to_string();
    if error.contains("there are no fields") {
        return Vec::new();
    }
    let (_, list) = error.split_once(", expected ").unwrap_or_else(|| panic!("{error}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn fields<T: DeserializeOwned>() -> Vec<String> {
    expected::<T>("zzz = 0")
}

#[derive(Deserialize)]
struct Word<T> {
    #[serde(rename = "word")]
    _word: T,
}

fn words<T: DeserializeOwned>() -> Vec<String> {
    expected::<Word<T>>("word = \"zzz\"")
}

fn kinds<T: DeserializeOwned>() -> Vec<String> {
    expected::<T>("kind = \"zzz\"")
}

/// Every field of every config, as a dotted path and its kind.
fn all_fields() -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    let mut add = |prefix: &str, kind: &str, fields: Vec<String>| {
        all.extend(fields.into_iter().map(|field| (format!("{prefix}{field}"), kind.to_owned())));
    };
    add("", "", fields::<Recipe>());
    add("data.", "", fields::<DataConfig>());
    add("data.scenes.", "", fields::<ScenesConfig>());
    add("data.screens.", "", fields::<ScreensConfig>());
    add("data.screens.band.", "", fields::<datasets::screens::Band>());
    add("decoding.", "", fields::<Decoding>());
    add("train.", "", fields::<TrainConfig>());
    add("augment.", "", fields::<AugmentConfig>());
    add("augment.boxes.", "", fields::<datasets::detection::Augment>());
    add("criterion.", "", fields::<SetCriterion>());
    add("optimizer.", "", fields::<OptimizerConfig>());
    add("optimizer.adamw.", "", fields::<AdamWConfig>());
    add("model.", "", vec!["kind".to_owned()]);
    for kind in kinds::<ModelConfig>() {
        let fields = match kind.as_str() {
            "vit" => fields::<VitConfig>(),
            "image-gpt" => fields::<ImageGptConfig>(),
            "detr" => fields::<DetrConfig>(),
            "captioner" => fields::<CaptionerConfig>(),
            other => panic!("`{other}`: its config is to be added here"),
        };
        add("model.", &kind, fields);
        add("model.position.", &kind, vec!["kind".to_owned()]);
    }
    for kind in kinds::<PositionConfig>() {
        let text = format!("kind = \"{kind}\"\nzzz = 0");
        add("model.position.", &kind, expected::<PositionConfig>(&text));
    }
    add("model.backbone.", "", vec!["kind".to_owned()]);
    for kind in kinds::<BackboneConfig>() {
        let text = format!("kind = \"{kind}\"\nzzz = 0");
        add("model.backbone.", &kind, expected::<BackboneConfig>(&text));
    }
    // Tables are no keys: what is in them is.
    let is_table = |path: &str| SECTIONS.iter().any(|(name, _)| *name == path);
    const INNER: [&str; 5] =
        ["data.scenes", "data.screens", "data.screens.band", "augment.boxes", "optimizer.adamw"];
    all.retain(|(path, _)| !is_table(path) && !INNER.contains(&path.as_str()));
    all
}

#[test]
fn every_field_of_every_config_is_in_the_table_and_nothing_else() {
    let kinds = |key: &Key| -> Vec<String> { key.of.split(", ").map(str::to_owned).collect() };
    let table: Vec<(String, String)> = KEYS
        .iter()
        .flat_map(|key| kinds(key).into_iter().map(|kind| (key.path.to_owned(), kind)))
        .collect();
    let listed: BTreeSet<_> = table.iter().cloned().collect();
    assert_eq!(listed.len(), table.len(), "no key twice for one kind");
    let all = all_fields();
    let missing: Vec<_> = all.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&all).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

#[test]
fn the_words_of_every_choice_are_in_the_table_and_nothing_else() {
    let objects = ["sample", "fashion-mnist", "mnist"].map(str::to_owned).to_vec();
    let of: [(&str, Vec<String>); 12] = [
        ("data.scenes.objects", objects),
        ("data.screens.eval", words::<datasets::screens::Part>()),
        ("model.grouping", words::<models::Grouping>()),
        ("data.kind", words::<DataKind>()),
        ("data.fit", words::<crate::recipe::tables::Fit>()),
        ("model.kind", kinds::<ModelConfig>()),
        ("model.pool", words::<models::Pool>()),
        ("model.norm", words::<nn::NormKind>()),
        ("model.activation", words::<nn::Activation>()),
        ("model.order", words::<nn::NormOrder>()),
        ("model.padding", words::<models::Padding>()),
        ("model.position.kind", kinds::<PositionConfig>()),
    ];
    let of = of.into_iter().chain([("model.backbone.kind", kinds::<BackboneConfig>())]);
    let mut count = 0;
    for (path, words) in of {
        let listed: Vec<_> =
            CHOICES.iter().filter(|choice| choice.path == path).map(|choice| choice.word).collect();
        assert_eq!(listed, words, "{path}");
        count += listed.len();
    }
    assert_eq!(count, CHOICES.len());
    for key in KEYS.iter().filter(|key| key.takes == Takes::Choice) {
        let listed = CHOICES.iter().any(|choice| choice.path == key.path);
        assert!(listed, "{}: its words", key.path);
    }
}

/// Recipes of nothing but what is required, one of each model, with this backbone and, if it is named, this position.
fn minimal(model: &str, position: &str, backbone: &str) -> Table {
    let of_model = match model {
        "vit" => "image_size = 8\npatch_size = 4\nchannels = 1\ndim = 8\ndepth = 1\nheads = 1\nmlp_dim = 8\nclasses = 2".to_owned(),
        "image-gpt" => "image_size = 8\nchannels = 1\ndim = 8\ndepth = 1\nheads = 1\nmlp_dim = 8".to_owned(),
        "detr" => format!("image_size = [64, 64]\nchannels = 3\ndim = 8\nheads = 1\nmlp_dim = 8\nencoder_depth = 1\ndecoder_depth = 1\nqueries = 1\nclasses = 1\nbackbone = {backbone}"),
        "captioner" => String::new(),
        other => panic!("`{other}`: what it requires is to be added here"),
    };
    let data = match model {
        "detr" => {
            "kind = \"scenes\"\nscenes = { objects = \"sample\", train = 1, test = 1, max_objects = 1, sides = [8, 9] }"
        }
        "captioner" => "kind = \"screens\"\nscreens = {}",
        _ => "kind = \"sample\"",
    };
    let position = match position {
        "" => String::new(),
        kind => format!("position = {{ kind = \"{kind}\" }}"),
    };
    let text = format!(
        "name = \"least\"\n[data]\n{data}\n[model]\nkind = \"{model}\"\n{of_model}\n{position}\n\
         [train]\nepochs = 1\nbatch_size = 1\n[optimizer]\nrate = 1e-3\n"
    );
    toml::from_str(&text).expect("TOML")
}

/// A recipe in which a key of this kind can stand.
fn recipe_of(key: &Key, kind: &str) -> Table {
    let has_boxes = ["augment.boxes.", "criterion.", "data.scenes.", "data.splits"];
    let has_boxes = has_boxes.iter().any(|prefix| key.path.starts_with(prefix));
    let stem = "{ kind = \"stem\", channels = [8] }";
    let in_section = section(key.path);
    if in_section == "model.backbone" {
        return minimal(
            "detr",
            "none",
            match kind {
                "" | "stem" => stem,
                "residual" => "{ kind = \"residual\", channels = [8], blocks = 1 }",
                "resnet-18" => "{ kind = \"resnet-18\" }",
                "resnet-50" => "{ kind = \"resnet-50\" }",
                other => panic!("`{other}`: what it requires is to be added here"),
            },
        );
    }
    match in_section {
        "model.position" if key.path == "model.position.kind" => {
            minimal(kind, if key.default == REQUIRED { "none" } else { "" }, stem)
        }
        "model.position" => minimal("vit", kind, stem),
        "model" if !kind.is_empty() => minimal(kind, "none", stem),
        "decoding" => minimal("captioner", "none", stem),
        _ if key.path.starts_with("data.screens.band.") => {
            let mut table = minimal("captioner", "none", stem);
            let band = toml::from_str("screens = { band = { top = 0.25, bottom = 0.5 } }");
            let data = table.get_mut("data").and_then(Value::as_table_mut).expect("a table");
            data.extend(band.map(|band: Table| band).expect("TOML"));
            table
        }
        "data" if key.path == "data.dir" => {
            let mut table = minimal("vit", "none", stem);
            table.insert(
                "data".to_owned(),
                Value::Table(toml::from_str("kind = \"mnist\"").expect("TOML")),
            );
            table
        }
        _ if key.path.starts_with("data.screens.") => minimal("captioner", "none", stem),
        _ => minimal(if has_boxes { "detr" } else { "vit" }, "none", stem),
    }
}

fn resolved(table: &Table, set: &[String]) -> anyhow::Result<Recipe> {
    let changes = Changes { set, ..Changes::default() };
    Recipe::resolve("least", &toml::to_string(table).expect("TOML"), &changes)
}

fn remove(table: &mut Table, path: &str) {
    match path.split_once('.') {
        None => drop(table.remove(path).expect("a recipe has what is required")),
        Some((section, rest)) => {
            let Some(Value::Table(inner)) = table.get_mut(section) else { panic!("{path}") };
            remove(inner, rest);
        }
    }
}

#[test]
fn defaults_are_what_a_recipe_without_the_key_has_and_required_keys_are_required() {
    for key in KEYS {
        for kind in key.of.split(", ") {
            let mut table = recipe_of(key, kind);
            let plain = resolved(&table, &[]).unwrap_or_else(|e| panic!("{}: {e:#}", key.path));
            match key.default {
                NONE => {}
                REQUIRED => {
                    remove(&mut table, key.path);
                    assert!(resolved(&table, &[]).is_err(), "{} is not required", key.path);
                }
                default => {
                    let set = format!("{}={default}", key.path);
                    let set = resolved(&table, std::slice::from_ref(&set))
                        .unwrap_or_else(|e| panic!("{set} ({kind}): {e:#}"));
                    assert_eq!(set, plain, "{} = {default} ({kind})", key.path);
                }
            }
        }
    }
}

#[test]
fn every_key_of_every_recipe_inside_the_program_is_in_the_table() {
    for (name, text) in RECIPES {
        let recipe = Recipe::resolve(name, text, &Changes::default()).expect(name);
        let table = Table::try_from(&recipe).expect("a table");
        let values = flat(table);
        assert!(values.len() > 20, "{name}");
        for path in values.into_keys() {
            assert!(KEYS.iter().any(|key| key.path == path), "{name}: {path}");
        }
    }
}

/// The doc comments of the files that configs are in, each as one line without links.
fn documented() -> String {
    const FILES: [&str; 18] = [
        "bin/recipe.rs",
        "bin/recipe/tables.rs",
        "models/src/vit.rs",
        "models/src/image_gpt.rs",
        "models/src/detr/config.rs",
        "models/src/backbone/config.rs",
        "models/src/captioner/config.rs",
        "models/src/captioner/decoding.rs",
        "datasets/src/screens/mod.rs",
        "datasets/src/screens/view.rs",
        "models/src/set_criterion/mod.rs",
        "nn/src/position/config.rs",
        "nn/src/layers/block.rs",
        "nn/src/layers/mlp.rs",
        "nn/src/layers/norm.rs",
        "nn/src/optim/adamw.rs",
        "datasets/src/detection/augment.rs",
        "datasets/src/augment.rs",
    ];
    let mut text = String::new();
    for file in FILES {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let source = std::fs::read_to_string(path).expect(file);
        for line in source.lines() {
            match line.trim_start().strip_prefix("///") {
                Some(words) => {
                    text.push(' ');
                    text += words.trim();
                }
                None => text.push('\n'),
            }
        }
    }
    text.replace("[`", "`").replace("`]", "`")
}

#[test]
fn meanings_are_the_doc_comments_of_the_code() {
    let documented = documented();
    let lines: BTreeSet<&str> = documented.lines().map(str::trim).collect();
    let is_documented = |meaning: &str| {
        lines.iter().any(|line| {
            // `[X](path)` has become `X(path)`.
            line.strip_prefix(meaning).is_some()
                || meaning.strip_suffix('.').is_some_and(|start| line.starts_with(start))
        })
    };
    for (path, meaning) in KEYS.iter().map(|key| (key.path, key.meaning)) {
        assert!(is_documented(meaning), "{path}: no field has the doc comment `{meaning}`");
    }
    for choice in CHOICES {
        let Choice { path, word, meaning } = choice;
        assert!(
            is_documented(meaning),
            "{path} {word}: no variant has the doc comment `{meaning}`"
        );
    }
}

#[test]
fn the_file_config_md_is_what_the_command_prints() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFIG.md");
    let all: Vec<&Key> = KEYS.iter().collect();
    let file = std::fs::read_to_string(path).expect("CONFIG.md");
    assert!(
        file == markdown(&all),
        "CONFIG.md: `wavetape config --markdown > CONFIG.md` renews it"
    );
}

#[test]
fn lines_are_wrapped_between_words() {
    assert_eq!(wrapped("a b", 2), "  a b");
    let text = ["word"; 30].join(" ");
    let lines = wrapped(&text, 4);
    let widths: Vec<usize> = lines.lines().map(|line| line.chars().count()).collect();
    assert_eq!(widths, [98, 60]); // 4 + 19 words, 6 + 11 words
    assert!(lines.starts_with("    word") && lines.contains("\n      word"));
}

#[test]
fn no_key_takes_a_number_that_is_none_or_has_no_bound() {
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300];
    for key in KEYS.iter().filter(|key| key.takes.is_numeric()) {
        let values = numbers.into_iter().map(Value::Float).chain([Value::Integer(i64::MIN)]);
        for value in values {
            for value in [value.clone(), Value::Array(vec![value.clone(); 2])] {
                assert!(key.takes.check(&value, &[]).is_err(), "{}: {value}", key.path);
            }
        }
    }
}
