//! Recipes: TOML files that say all about a run.

pub(crate) mod tables;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use models::{Decoding, SetCriterion};
use nn::PositionConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use self::tables::is_default;
pub(crate) use self::tables::{
    AugmentConfig, DataConfig, DataKind, ModelConfig, OptimizerConfig, ScenesConfig, TrainConfig,
};
use crate::suggest;

/// The recipes inside the program: name and text.
pub(crate) const RECIPES: [(&str, &str); 9] = [
    ("vit-sample", include_str!("recipes/vit-sample.toml")),
    ("vit-fashion", include_str!("recipes/vit-fashion.toml")),
    ("igpt-sample", include_str!("recipes/igpt-sample.toml")),
    ("igpt-fashion", include_str!("recipes/igpt-fashion.toml")),
    ("igpt-digits", include_str!("recipes/igpt-digits.toml")),
    ("igpt-emoji", include_str!("recipes/igpt-emoji.toml")),
    ("detr-scenes", include_str!("recipes/detr-scenes.toml")),
    ("detr-bccd", include_str!("recipes/detr-bccd.toml")),
    ("caption-web", include_str!("recipes/caption-web.toml")),
];

/// A run, resolved: every value that it depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Name of the recipe.
    pub(crate) name: String,
    /// Seed of everything random.
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) data: DataConfig,
    pub(crate) model: ModelConfig,
    pub(crate) train: TrainConfig,
    #[serde(default)]
    pub(crate) augment: AugmentConfig,
    /// Weights of a detector's loss and matching.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) criterion: SetCriterion,
    /// How captions are searched for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) decoding: Decoding,
    pub(crate) optimizer: OptimizerConfig,
}

/// What the command line changes in a recipe.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) data: Option<&'a Path>,
    pub(crate) epochs: Option<usize>,
    pub(crate) steps: Option<u64>,
    pub(crate) seed: Option<u64>,
    pub(crate) set: &'a [String],
}

impl ModelConfig {
    /// The table `model` of a recipe, or of a file that has nothing else.
    pub(crate) fn of_file(origin: &str, text: &str) -> Result<Self> {
        let table = toml::from_str(text);
        let mut table: Table =
            table.with_context(|| format!("{origin}: a recipe in TOML expected"))?;
        name_position(&mut table).with_context(|| origin.to_owned())?;
        let model = table.remove("model");
        let model = model.with_context(|| format!("{origin}: a table `model` expected"))?;
        let model: Self = model.try_into().with_context(|| format!("{origin}: model"))?;
        model.validate().with_context(|| format!("{origin}: model"))?;
        Ok(model)
    }
}

impl Recipe {
    /// The recipe of this name inside the program.
    pub(crate) fn text(name: &str) -> Result<&'static str> {
        let known = RECIPES.map(|(name, _)| name);
        let found = RECIPES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        found.with_context(|| {
            let why = suggest::unknown("recipe", name, &known);
            format!("recipe {why}; a file of one's own is given with --recipe FILE")
        })
    }

    /// Parses a recipe and changes it: the flags first, then each `key=value` in order.
    pub(crate) fn resolve(origin: &str, text: &str, changes: &Changes<'_>) -> Result<Self> {
        let parsed: Table = toml::from_str(text).with_context(|| origin.to_owned())?;
        let mut table = parsed;
        let mut put = |key: &str, value: Value| set(&mut table, key, value);
        if let Some(dir) = changes.data {
            let dir = dir
                .to_str()
                .with_context(|| format!("--data {}: a path in UTF-8 expected", dir.display()))?;
            put("data.dir", Value::String(dir.to_owned()))?;
        }
        if let Some(epochs) = changes.epochs {
            put("train.epochs", Value::Integer(epochs.try_into()?))?;
        }
        if let Some(steps) = changes.steps {
            put("train.steps", Value::Integer(steps.try_into()?))?;
        }
        if let Some(seed) = changes.seed {
            put(
                "seed",
                Value::Integer(seed.try_into().context("--seed: at most 2⁶³ − 1 expected")?),
            )?;
        }
        for pair in changes.set {
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("--set {pair}: key=value expected"))?;
            put(key.trim(), parse_value(value.trim())).with_context(|| format!("--set {pair}"))?;
        }
        name_position(&mut table)?;
        let merged = toml::to_string(&table).with_context(|| origin.to_owned())?;
        let recipe: Self = toml::from_str(&merged)
            .with_context(|| format!("{origin}, with what the command line sets"))?;
        recipe.validate().with_context(|| origin.to_owned())?;
        Ok(recipe)
    }

    fn validate(&self) -> Result<()> {
        self.model.validate().context("model")?;
        self.decoding.validate().context("decoding")?;
        let (train, optimizer) = (&self.train, &self.optimizer);
        let fraction = |x: f64| (0.0..1.0).contains(&x);
        let (boxes, augment) = (self.data.kind.has_boxes(), self.augment);
        let is_detector = matches!(self.model, ModelConfig::Detr(_));
        let plain = AugmentConfig { boxes: augment.boxes, ..AugmentConfig::default() };
        let screens = self.data.kind == DataKind::Screens;
        let is_captioner = matches!(self.model, ModelConfig::Captioner(_));
        let checks = [
            (
                "data.kind",
                boxes == is_detector,
                "images with boxes for a `detr`, and for no other model,",
            ),
            (
                "data.kind",
                screens == is_captioner,
                "`screens` for a `captioner`, and for no other model,",
            ),
            ("data.screens", screens || self.data.screens.is_none(), "only for `screens`"),
            ("decoding", is_captioner || is_default(&self.decoding), "only for a `captioner`"),
            ("augment", augment == plain || !screens, "none for `screens`"),
            (
                "data.hold_out",
                self.data.hold_out == 0
                    || self.data.kind == DataKind::Scenes
                    || !(boxes || screens),
                "0 for pictures with boxes in files (see data.splits) and for screens (see data.screens.eval)",
            ),
            ("augment", augment == plain || !boxes, "augment.boxes alone for images with boxes"),
            ("augment.boxes", boxes || is_default(&augment.boxes), "only for images with boxes"),
            ("train.epochs", train.epochs > 0, "at least 1"),
            (
                "train.extra_epochs",
                train.extra_epochs == 0 || train.steps == 0,
                "0 where train.steps ends the run",
            ),
            ("train.eval_every", train.eval_every > 0, "at least 1"),
            ("train.batch_size", (1..=1 << 20).contains(&train.batch_size), "1 to 1048576"),
            ("train.accumulate", (1..=1 << 20).contains(&train.accumulate), "1 to 1048576"),
            ("train.samples", train.samples <= 256, "0 to 256"),
            ("train.save_minutes", train.save_minutes >= 0.0, "0 or more"),
            ("train.label_smoothing", fraction(train.label_smoothing), "0 or more and below 1"),
            ("train.clip_norm", train.clip_norm >= 0.0, "0 or more"),
            ("train.ema", fraction(train.ema), "0 or more and below 1"),
            ("optimizer.rate", optimizer.rate > 0.0 && optimizer.rate.is_finite(), "more than 0"),
            ("optimizer.floor", (0.0..=1.0).contains(&optimizer.floor), "0 to 1"),
            ("optimizer.warmup", fraction(optimizer.warmup), "0 or more and below 1"),
            ("optimizer.adamw.beta1", fraction(optimizer.adamw.beta1), "0 or more and below 1"),
            ("optimizer.adamw.beta2", fraction(optimizer.adamw.beta2), "0 or more and below 1"),
            ("optimizer.adamw.eps", optimizer.adamw.eps > 0.0, "more than 0"),
            ("optimizer.adamw.weight_decay", optimizer.adamw.weight_decay >= 0.0, "0 or more"),
        ];
        match checks.iter().find(|(_, holds, _)| !holds) {
            Some((key, _, expected)) => bail!("{key}: {expected} expected"),
            None => Ok(()),
        }
    }
}

/// The values of a table and of those inside of it, under dotted keys.
pub(crate) fn flat(table: Table) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, table: Table, into: &mut BTreeMap<String, Value>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(table) => walk(&key, table, into),
                value => drop(into.insert(key, value)),
            }
        }
    }
    let mut values = BTreeMap::new();
    walk("", table, &mut values);
    values
}

/// `model.position = "rope-mixed"` stands for that kind with its usual numbers.
fn name_position(table: &mut Table) -> Result<()> {
    let model = table.get_mut("model").and_then(Value::as_table_mut);
    let Some(position) = model.and_then(|model| model.get_mut("position")) else { return Ok(()) };
    if let Value::String(name) = position {
        *position = Value::try_from(encoding("model.position = ", name)?)?;
    }
    Ok(())
}

/// The encoding of this name with its usual numbers; `of` is what an error begins with.
pub(crate) fn encoding(of: &str, name: &str) -> Result<PositionConfig> {
    PositionConfig::named(name).with_context(|| {
        let known: Vec<_> = PositionConfig::all(1.0).iter().map(PositionConfig::name).collect();
        format!("{of}{}", suggest::unknown("encoding", name, &known))
    })
}

/// Puts a value at a dotted key, making tables on the way.
fn set(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let mut at = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            bail!("a key such as train.epochs expected, found `{key}`");
        }
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            return Ok(());
        }
        let next = at.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else { bail!("`{part}` in `{key}` is a value, not a table") };
        at = next;
    }
    bail!("a key expected before `=`")
}

/// A TOML value, or a string if it is none.
fn parse_value(text: &str) -> Value {
    let parsed: Result<Table, _> = toml::from_str(&format!("x = {text}"));
    parsed
        .ok()
        .and_then(|mut table| table.remove("x"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(set: &[&str]) -> Result<Recipe> {
        let set: Vec<String> = set.iter().map(|pair| (*pair).to_owned()).collect();
        let changes = Changes { set: &set, ..Changes::default() };
        Recipe::resolve("recipe `vit-sample`", Recipe::text("vit-sample")?, &changes)
    }

    #[test]
    fn every_recipe_inside_the_program_resolves_and_survives_its_own_file() {
        for (name, text) in RECIPES {
            let recipe = Recipe::resolve(name, text, &Changes::default()).expect(name);
            assert_eq!(recipe.name, name);
            let file = toml::to_string(&recipe).expect("a table");
            assert_eq!(Recipe::resolve(name, &file, &Changes::default()).expect(name), recipe);
        }
    }

    #[test]
    fn the_command_line_changes_single_values() {
        let recipe =
            resolve(&["model.depth=2", "model.position={ kind = \"embed-1d\" }"]).expect("valid");
        let ModelConfig::Vit(vit) = &recipe.model else { panic!("a ViT") };
        assert_eq!((vit.depth, &vit.position), (2, &PositionConfig::Embed1d { std: 0.02 }));
    }

    #[test]
    fn tables_without_a_scale_have_the_usual_one() {
        for kind in ["embed-1d", "embed-2d", "factorized"] {
            let given = |more: &str| {
                let set = format!("model.position={{ kind = \"{kind}\"{more} }}");
                resolve(&[&set]).expect("valid")
            };
            assert_eq!(given(""), given(", std = 0.02"));
            assert_ne!(given(""), given(", std = 0.1"));
        }
    }

    #[test]
    fn a_position_encoding_may_be_given_by_its_name_alone() {
        for config in PositionConfig::all(0.2) {
            let recipe = resolve(&[&format!("model.position={}", config.name())]).expect("valid");
            let ModelConfig::Vit(vit) = &recipe.model else { panic!("a ViT") };
            assert_eq!(vit.position, config);
        }
        let refused = format!("{:#}", resolve(&["model.position=cosine"]).expect_err("no such"));
        assert!(
            refused.contains("no such encoding; known are none, embed-1d, embed-2d"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_unknown_or_out_of_range_is_named_with_what_was_expected() {
        let error = |set: &str| format!("{:#}", resolve(&[set]).expect_err("refused"));
        assert!(
            error("model.deep=2").contains("unknown field `deep`, expected one of `image_size`"),
            "{}",
            error("model.deep=2")
        );
        assert!(error("train.epochs=0").contains("train.epochs: at least 1 expected"));
        assert!(error("model.heads=3").contains("dim = 64 is not divisible by heads = 3"));
        assert!(error("model.position.kind=sinus").contains("unknown variant `sinus`"));
        assert!(error("seed").contains("key=value expected"));
        assert!(error("name.x=1").contains("`name` in `name.x` is a value"));
    }
}
