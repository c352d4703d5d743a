//! What a run starts from: the parameters of another run, or of a file of weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use datasets::Normalize;
use models::weights::{Fitted, Heads, Weights};
use nn::Params;
use nn::checkpoint::TensorFile;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::data::{Derived, Names};
use crate::output::counted;
use crate::recipe::{ModelConfig, Recipe, flat};
use crate::run::Run;
use crate::state::Which;
use crate::suggest;

/// What a run has started from. It is part of its checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// The folder of the run, or the file.
    pub(crate) from: PathBuf,
    /// The parameters that were taken.
    pub(crate) taken: Vec<String>,
    resized: Vec<String>,
    made_anew: BTreeMap<String, String>,
    left_over: Vec<String>,
}

/// A run or a file to start from, opened.
pub(crate) struct Source {
    path: PathBuf,
    /// Of a run, what it has derived from its data, and its recipe.
    run: Option<(Derived, Recipe)>,
    file: PathBuf,
    prefix: &'static str,
    /// Mean and deviation of what it was trained on.
    pub(crate) normalize: Option<Normalize>,
}

/// Keys of a model that tell by the shapes of parameters, or do not matter to a trained one: all others have to be the same.
const FREE: [&str; 19] = [
    "kind",
    "image_size",
    "patch_size",
    "channels",
    "classes",
    "dim",
    "depth",
    "mlp_dim",
    "encoder_depth",
    "decoder_depth",
    "queries",
    "vocab",
    "vocabulary",
    "max_words",
    "dropout",
    "drop_path",
    "pixels",
    "position.std",
    "position.gamma",
];

impl Source {
    /// Opens the folder of a run, whose checkpoint is taken as `eval` takes it, or a safetensors file.
    ///
    /// # Errors
    /// If it is neither, or cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        if path.is_dir() {
            let (run, recipe) = Run::open(path)?;
            let checkpoint = run.checkpoint(Which::Last, &recipe)?;
            let derived = checkpoint.past.derived.clone();
            let prefix = if recipe.train.ema > 0.0 { "ema." } else { "model." };
            return Ok(Self {
                path: path.to_owned(),
                file: checkpoint.path().to_owned(),
                prefix,
                normalize: derived.as_ref().and_then(|derived| derived.normalize.clone()),
                run: derived.map(|derived| (derived, recipe)),
            });
        }
        if !path.is_file() {
            bail!("--from {shown}: the folder of a run or a .safetensors file expected");
        }
        let normalize = normalize_beside(path)?;
        Ok(Self { path: path.to_owned(), run: None, file: path.to_owned(), prefix: "", normalize })
    }

    /// Puts what fits into the parameters of a model, whose classes are those of `derived`.
    ///
    /// # Errors
    /// If nothing fits, or the model would answer otherwise with the same parameters.
    pub(crate) fn take(
        &self,
        recipe: &Recipe,
        derived: &Derived,
        params: &mut Params,
    ) -> Result<Taken> {
        let shown = self.path.display();
        let side = match &recipe.model {
            ModelConfig::Vit(vit) => Some(vit.image_size / vit.patch_size),
            _ => None,
        };
        let weights = match (&self.run, &recipe.model) {
            (Some((_, of_run)), _) => {
                check_same(of_run, recipe).with_context(|| format!("--from {shown}"))?;
                Weights::of_own(TensorFile::read(&self.file)?, self.prefix, side)
            }
            (None, ModelConfig::Vit(config)) => Weights::of_vit(&self.file, config, Heads::Any)?,
            (None, ModelConfig::ImageGpt(config)) => {
                Weights::of_image_gpt(&self.file, config, Heads::Any)?
            }
            (None, ModelConfig::Detr(config)) => Weights::of_detr(&self.file, config, Heads::Any)?,
            (None, ModelConfig::Captioner(_)) => {
                Weights::of_own(TensorFile::read(&self.file)?, self.prefix, side)
            }
        };
        let heads = heads(&recipe.model);
        let other = match &self.run {
            Some((theirs, _)) => other_names(&theirs.names, &derived.names),
            None => None,
        };
        let refused = |name: &str| match &other {
            Some(why) if heads.iter().any(|head| name.starts_with(head)) => Some(why.clone()),
            _ => None,
        };
        let Fitted { taken, resized, made_anew, left_over } = weights.fit(params, refused)?;
        if taken.is_empty() {
            bail!("--from {shown}: none of its parameters fits this model by name and shape");
        }
        if let (Some((theirs, _)), true) = (&self.run, other.is_none()) {
            let (Names::Classes(theirs), Names::Classes(ours)) = (&theirs.names, &derived.names)
            else {
                return Ok(self.taken(taken, resized, made_anew, left_over));
            };
            let place = |name: &String| theirs.names().iter().position(|their| their == name);
            let order: Option<Vec<usize>> = ours.names().iter().map(place).collect();
            if let Some(order) = order {
                arrange(params, &heads, &taken, &order);
            }
        }
        Ok(self.taken(taken, resized, made_anew, left_over))
    }

    fn taken(
        &self,
        taken: Vec<String>,
        resized: Vec<String>,
        made_anew: Vec<(String, String)>,
        left_over: Vec<String>,
    ) -> Taken {
        let from = std::path::absolute(&self.path).unwrap_or(self.path.clone());
        Taken { from, taken, resized, made_anew: made_anew.into_iter().collect(), left_over }
    }
}

impl Taken {
    /// What is told of it, a line each.
    pub(crate) fn lines(&self, params: &Params) -> Vec<String> {
        let is_taken = |name: &str| self.taken.iter().any(|taken| taken == name);
        let elements: usize =
            params.iter().filter(|p| is_taken(&p.name)).map(|p| p.value.len()).sum();
        let tensors = counted(self.taken.len(), "tensor");
        let mut lines =
            vec![format!("from {}: {tensors} taken, {elements} numbers", self.from.display())];
        lines.extend(self.resized.iter().map(|line| format!("  resized: {line}")));
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, why) in &self.made_anew {
            reasons.entry(why).or_default().push(name);
        }
        for (why, names) in reasons {
            lines.push(format!("  made anew: {} ({why})", some(&names)));
        }
        if !self.left_over.is_empty() {
            let names: Vec<&str> = self.left_over.iter().map(String::as_str).collect();
            lines.push(format!("  left over: {}", some(&names)));
        }
        lines
    }
}

/// The first of some names.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// What the names of parameters begin with whose rows are classes or words.
fn heads(model: &ModelConfig) -> Vec<&'static str> {
    match model {
        ModelConfig::Vit(_) => vec!["head."],
        ModelConfig::Detr(_) => vec!["cls."],
        ModelConfig::ImageGpt(config) if config.classes > 0 => vec!["emb."],
        ModelConfig::ImageGpt(_) => vec![],
        ModelConfig::Captioner(_) => vec!["words.", "dec.head."],
    }
}

/// Why rows of one are not those of the other.
fn other_names(theirs: &Names, ours: &Names) -> Option<String> {
    match (theirs, ours) {
        (Names::Classes(theirs), Names::Classes(ours)) => {
            let sorted = |classes: &crate::data::Classes| {
                let mut names = classes.names();
                names.sort_unstable();
                names
            };
            (sorted(theirs) != sorted(ours)).then(|| "for other classes".to_owned())
        }
        (Names::Words(theirs), Names::Words(ours)) => {
            (theirs != ours).then(|| "for other words".to_owned())
        }
        _ => Some("of another task".to_owned()),
    }
}

/// Puts the rows of classes into our order: row `i` of ours is `order[i]` of theirs. Further rows (no object, tokens) stay.
fn arrange(params: &mut Params, heads: &[&str], taken: &[String], order: &[usize]) {
    if order.iter().enumerate().all(|(i, &from)| i == from) {
        return;
    }
    let is_head = |name: &str| heads.iter().any(|head| name.starts_with(head));
    for param in params.iter_mut().filter(|p| is_head(&p.name) && taken.contains(&p.name)) {
        let rows = param.value.dim(0);
        // An image GPT's classes stand behind its tokens.
        let first = if param.name.starts_with("emb.") { rows - order.len() } else { 0 };
        let row = |i: usize| match i.checked_sub(first).and_then(|class| order.get(class)) {
            Some(&from) => first + from,
            None => i,
        };
        let places: Vec<usize> = (0..rows).map(row).collect();
        param.value = param.value.gather(0, &places);
    }
}

/// Refuses a model that would be another one with the same parameters.
fn check_same(theirs: &Recipe, ours: &Recipe) -> Result<()> {
    let model = |recipe: &Recipe| -> Result<BTreeMap<String, Value>> {
        Ok(flat(Table::try_from(&recipe.model).context("a table of the model")?))
    };
    let (theirs, ours) = (model(theirs)?, model(ours)?);
    for (key, ours) in &ours {
        let theirs = theirs.get(key).filter(|theirs| *theirs != ours);
        let is_free = FREE.contains(&key.as_str()) || key.starts_with("backbone.");
        if let (Some(theirs), false) = (theirs, is_free) {
            bail!(
                "model.{key} is {ours} here and {theirs} there: its parameters would answer otherwise; --set model.{key}={theirs}"
            );
        }
    }
    Ok(())
}

/// A recipe that was chosen for data, with the model of the run that it starts from, if that is of the same task: its answers are
/// those of the data, and pictures get the size and the channels that it reads.
///
/// # Errors
/// If there is no run, or its model is none.
pub(crate) fn like(text: &str, from: &Path) -> Result<String> {
    let mut recipe: Table = toml::from_str(text)?;
    let of_run = Run::open(from)?.1;
    let mut theirs = Table::try_from(&of_run.model).context("a table of the model")?;
    let table = |recipe: &Table, key: &str| {
        recipe.get(key).and_then(Value::as_table).cloned().unwrap_or_default()
    };
    let (ours, mut data) = (table(&recipe, "model"), table(&recipe, "data"));
    if theirs.get("kind") != ours.get("kind") {
        return Ok(text.to_owned());
    }
    theirs.remove("vocabulary"); // that of the data
    if let Some(classes) = ours.get("classes") {
        theirs.insert("classes".to_owned(), classes.clone());
    }
    if data.contains_key("resize") {
        let kind = match theirs.get("channels").and_then(Value::as_integer) {
            Some(1) => "grey-folder",
            _ => "colour-folder",
        };
        data.insert("kind".to_owned(), kind.into());
        data.extend(theirs.get("image_size").map(|size| ("resize".to_owned(), size.clone())));
    }
    recipe.insert("model".to_owned(), theirs.into());
    recipe.insert("data".to_owned(), data.into());
    Ok(toml::to_string(&recipe)?)
}

/// Mean and deviation that stand beside weights: in timm's `config.json`, or Hugging Face's `preprocessor_config.json`.
fn normalize_beside(weights: &Path) -> Result<Option<Normalize>> {
    for (name, mean, std) in
        [("preprocessor_config.json", "image_mean", "image_std"), ("config.json", "mean", "std")]
    {
        let path = weights.with_file_name(name);
        if !path.is_file() {
            continue;
        }
        let text = datasets::read_text(&path)?;
        let json: serde_json::Value =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let numbers = |key: &str| -> Option<Vec<f32>> {
            let found = json.get("pretrained_cfg").and_then(|inner| inner.get(key));
            let list = found.or_else(|| json.get(key))?.as_array()?;
            list.iter().map(|number| number.as_f64().map(|number| number as f32)).collect()
        };
        if let (Some(mean), Some(std)) = (numbers(mean), numbers(std)) {
            return Ok(Some(Normalize { mean, std }));
        }
    }
    Ok(None)
}

/// Keeps the parameters whose names are like one of these patterns, in which `*` stands for any letters, as they are.
///
/// # Errors
/// A pattern that is like no name, or nothing left to train.
pub(crate) fn freeze(params: &mut Params, patterns: &[String]) -> Result<()> {
    for pattern in patterns {
        let mut found = false;
        for param in params.iter_mut().filter(|param| is_like(&param.name, pattern)) {
            (param.trainable, found) = (false, true);
        }
        if !found {
            let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
            let near = suggest::nearest(pattern, names.iter().copied());
            bail!(
                "train.freeze: no parameter is like `{pattern}`; such as `{}`; `wavetape inspect` lists all names",
                near.or(names.first().copied()).unwrap_or_default()
            );
        }
    }
    if params.iter().all(|param| !param.trainable) {
        bail!("train.freeze: all parameters are frozen, and none is left to train");
    }
    Ok(())
}

/// Whether a name is like a pattern.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_classes_are_put_into_our_order_and_others_stay() {
        let taken = ["cls.weight", "emb.weight", "norm.weight"].map(str::to_owned);
        let rows = |name: &str, order: &[usize]| {
            let mut params = Params::new();
            let value = tensor::Tensor::from_fn([4, 1], |i| i as f32);
            nn::Init::new(&mut params, 0).scope(name).param(
                "weight",
                [4, 1],
                nn::Fill::Zeros,
                true,
            );
            params.iter_mut().for_each(|param| param.value = value.clone());
            arrange(&mut params, &["cls.", "emb."], &taken, order);
            params.iter().flat_map(|param| param.value.to_vec()).collect::<Vec<f32>>()
        };
        // No object comes last.
        assert_eq!(rows("cls", &[2, 0, 1]), [2.0, 0.0, 1.0, 3.0]);
        // Two tokens come first.
        assert_eq!(rows("emb", &[1, 0]), [0.0, 1.0, 3.0, 2.0]);
        assert_eq!(rows("norm", &[2, 0, 1]), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_pattern_is_like_what_has_its_parts_in_their_order() {
        for (pattern, name, expected) in [
            ("blocks.0.*", "blocks.0.attn.qkv.weight", true),
            ("blocks.0.*", "blocks.10.attn.qkv.weight", false),
            ("*.bias", "head.bias", true),
            ("*", "norm.weight", true),
            ("*attn*weight", "blocks.1.attn.proj.weight", true),
            ("*attn*weight", "blocks.1.attn.proj.bias", false),
            ("head.weight", "head.weight", true),
            ("head", "head.weight", false),
            ("aa*aa", "aaa", false),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{pattern} {name}");
        }
    }
}
