//! Recipes: TOML files that say all about a run.

mod changes;
mod check;
#[cfg(test)]
mod malformed;
pub(crate) mod tables;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use models::{Decoding, SetCriterion};
use nn::PositionConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use self::changes::Typed;
pub(crate) use self::changes::{Changes, overridden};
use self::check::{Idle, check};
use self::tables::is_default;
pub(crate) use self::tables::{
    AugmentConfig, DataConfig, DataKind, ModelConfig, OptimizerConfig, ScenesConfig, TrainConfig,
};
use crate::{choose, generator, suggest};

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

impl ModelConfig {
    /// The table `model` of a recipe, or of a file that has nothing else.
    pub(crate) fn of_file(origin: &str, text: &str) -> Result<Self> {
        let table = toml::from_str(text);
        let mut table: Table =
            table.with_context(|| format!("{origin}: a recipe in TOML expected"))?;
        let model = table.remove("model");
        let model = model.with_context(|| format!("{origin}: a table `model` expected"))?;
        let mut table = Table::from_iter([("model".to_owned(), model)]);
        name_position(&mut table);
        let values = flat(table.clone());
        check(&mut table, &values, &Typed::default(), Idle::Refuse, "model")
            .with_context(|| origin.to_owned())?;
        let model = table.remove("model").with_context(|| format!("{origin}: model"))?;
        let model: Self = model.try_into().with_context(|| format!("{origin}: model"))?;
        model.validate().with_context(|| format!("{origin}: model"))?;
        Ok(model)
    }
}

impl Recipe {
    /// The recipe of this name inside the program, or one chosen for the data at this path.
    pub(crate) fn text(name: &str) -> Result<Cow<'static, str>> {
        let known = RECIPES.map(|(name, _)| name);
        if let Some((_, text)) = RECIPES.iter().find(|(known, _)| *known == name) {
            return Ok(Cow::Borrowed(text));
        }
        if Path::new(name).exists() {
            return choose::recipe(Path::new(name)).map(Cow::Owned);
        }
        let why = suggest::unknown("recipe", name, &known);
        bail!(
            "recipe {why}; there is no folder of this name either; a file of one's own is given with --recipe FILE"
        )
    }

    /// Parses a recipe and changes it.
    ///
    /// # Errors
    /// A key that is not known, has no effect, or has a value out of its bounds; changes that contradict each other.
    pub(crate) fn resolve(origin: &str, text: &str, changes: &Changes<'_>) -> Result<Self> {
        Ok(Self::resolve_with_notes(origin, text, changes)?.0)
    }

    /// The same, and which values of the recipe were dropped, since another kind was chosen that has no use for them.
    pub(crate) fn resolve_with_notes(
        origin: &str,
        text: &str,
        changes: &Changes<'_>,
    ) -> Result<(Self, Vec<String>)> {
        Self::read(origin, text, changes, Idle::Refuse)
    }

    /// The recipe that a run has left. It may be of an earlier program, which took keys that had no effect.
    pub(crate) fn of_run(origin: &str, text: &str) -> Result<Self> {
        Ok(Self::read(origin, text, &Changes::default(), Idle::Drop)?.0)
    }

    fn read(
        origin: &str,
        text: &str,
        changes: &Changes<'_>,
        idle: Idle,
    ) -> Result<(Self, Vec<String>)> {
        let typed = Typed::new(changes)?;
        let text = text.trim_start_matches('\u{feff}');
        let mut table: Table = toml::from_str(text).with_context(|| origin.to_owned())?;
        name_position(&mut table);
        let before = flat(table.clone());
        typed.apply(&mut table)?;
        let dropped = check(&mut table, &before, &typed, idle, "");
        let dropped = dropped.with_context(|| origin.to_owned())?;
        let mut recipe: Self = table.try_into().with_context(|| origin.to_owned())?;
        // A run is opened from other folders, too.
        for path in [&mut recipe.data.dir, &mut recipe.train.from].into_iter().flatten() {
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
        recipe.validate().with_context(|| origin.to_owned())?;
        Ok((recipe, dropped))
    }

    fn validate(&self) -> Result<()> {
        self.model.validate().context("model")?;
        if let ModelConfig::ImageGpt(config) = &self.model {
            generator::check(config)?;
        }
        self.decoding.validate().context("decoding")?;
        let boxes = self.data.kind.has_boxes();
        let is_detector = matches!(self.model, ModelConfig::Detr(_));
        let train = &self.train;
        let screens = self.data.kind == DataKind::Screens;
        let is_captioner = matches!(self.model, ModelConfig::Captioner(_));
        let band = self.data.screens.and_then(|screens| screens.band);
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
            (
                "data.screens.band",
                band.is_none_or(|band| band.top <= band.bottom),
                "`top` at most `bottom`",
            ),
            (
                "train.extra_epochs",
                train.extra_epochs == 0 || train.steps == 0,
                "0 where train.steps ends the run",
            ),
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
fn name_position(table: &mut Table) {
    let model = table.get_mut("model").and_then(Value::as_table_mut);
    let Some(position) = model.and_then(|model| model.get_mut("position")) else { return };
    if position.is_str() {
        let kind = std::mem::replace(position, Value::Table(Table::new()));
        *position = Value::Table(Table::from_iter([("kind".to_owned(), kind)]));
    }
}

/// The encoding of this name with its usual numbers; `of` is what an error begins with.
pub(crate) fn encoding(of: &str, name: &str) -> Result<PositionConfig> {
    PositionConfig::named(name).with_context(|| {
        let known: Vec<_> = PositionConfig::all(1.0).iter().map(PositionConfig::name).collect();
        format!("{of}{}", suggest::unknown("encoding", name, &known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(set: &[&str]) -> Result<Recipe> {
        let set: Vec<String> = set.iter().map(|pair| (*pair).to_owned()).collect();
        let changes = Changes { set: &set, ..Changes::default() };
        Recipe::resolve("recipe `vit-sample`", &Recipe::text("vit-sample")?, &changes)
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
            refused.contains("model.position.kind must be one of none, embed-1d, embed-2d"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_unknown_or_out_of_range_is_named_with_what_was_expected() {
        let error = |set: &str| format!("{:#}", resolve(&[set]).expect_err("refused"));
        let deep = error("model.deep=2");
        assert!(deep.contains("no such key `model.deep`; did you mean `model.depth`?"), "{deep}");
        let epochs = error("train.epochs=0");
        assert!(epochs.contains("train.epochs must be at least 1"), "{epochs}");
        assert!(error("model.heads=3").contains("dim = 64 is not divisible by heads = 3"));
        assert!(error("model.position.kind=sinus").contains("model.position.kind must be one of"));
        assert!(error("seed").contains("must be KEY=VALUE"), "{}", error("seed"));
        assert!(error("name.x=1").contains("`name` in `name.x` is a value"));
    }

    #[test]
    fn changes_compose_in_any_order_and_contradictions_are_refused() {
        let [kind, gamma] = ["model.position=fixed-fourier", "model.position.gamma=0.1"];
        let recipe = resolve(&[kind, gamma]).expect("valid");
        assert_eq!(resolve(&[gamma, kind]).expect("valid"), recipe);
        let ModelConfig::Vit(vit) = &recipe.model else { panic!("a ViT") };
        assert_eq!(vit.position, PositionConfig::FixedFourier { gamma: 0.1 });
        resolve(&["model.position.kind=rope-mixed"]).expect("keys of the other kind are dropped");

        let refused = |set: &[&str]| format!("{:#}", resolve(set).expect_err("refused"));
        let set = ["train.epochs=7".to_owned()];
        let changes = Changes { epochs: Some(3), set: &set, ..Changes::default() };
        let twice = Recipe::resolve("x", &Recipe::text("vit-sample").expect("there"), &changes);
        let twice = format!("{:#}", twice.expect_err("two wishes"));
        assert!(twice.contains("contradict each other: train.epochs"), "{twice}");
        let twice = refused(&["train.epochs=3", "train.epochs=7"]);
        assert!(twice.contains("contradict each other: train.epochs"), "{twice}");
        resolve(&["train.epochs=3", "train.epochs=3"]).expect("one wish, said twice");
        let deep = refused(&[&format!("{}x=1", "a.".repeat(60_000))]);
        assert!(deep.contains("no key of a recipe") && deep.len() < 400, "{deep}");
    }

    #[test]
    fn a_key_without_effect_and_a_number_out_of_bounds_are_refused() {
        let refused = |set: &str| format!("{:#}", resolve(&[set]).expect_err(set));
        for set in ["criterion.class_cost=2", "decoding.beam=2", "data.resize=9", "data.dir=x"] {
            let error = refused(set);
            assert!(error.contains("has no effect with"), "{set}: {error}");
        }
        for set in ["optimizer.adamw.eps=inf", "train.clip_norm=nan", "optimizer.rate=-1"] {
            let error = refused(set);
            assert!(error.contains(set.split('=').next().expect("a key")), "{set}: {error}");
            assert!(error.contains("must be "), "{set}: {error}");
        }
        let error = refused("train.epochs=many");
        assert!(error.contains("a whole number") && error.contains("train.epochs"), "{error}");
    }
}
