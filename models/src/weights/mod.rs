//! Weights of other libraries: timm's, whose names are ours, and Hugging Face's.
//!
//! Tensors are not all of a model: eps, activation and heads stand in a `config.json` beside them. If there is one, it is held
//! against the model, and what a model here cannot have is an error that says so.

mod beside;
mod fit;
mod kept;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use nn::checkpoint::{Error, Result, TensorFile};
use nn::{Params, resample_table};
use tensor::{Float, Tensor};

pub use self::fit::Fitted;
pub use self::kept::Kept;
use crate::{DetrConfig, ImageGptConfig, VitConfig, hugging_face};

/// How a parameter of ours is kept in a file, if it can be there.
type Naming<'m> = dyn Fn(&str) -> Option<Kept> + 'm;

/// What is asked of the part of a model that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// It has the classes of the file.
    Same,
    /// It may have others: it is to be trained on other data.
    Any,
}

/// A file of weights for a model.
#[expect(missing_debug_implementations, reason = "holds a function")]
pub struct Weights<'m> {
    file: TensorFile,
    /// How each parameter is kept in it.
    kept: Box<Naming<'m>>,
    /// Tensors under today's names, and what they are called in the file.
    given: HashMap<String, String>,
    /// Whether a tensor is one that this library keeps, but no parameter.
    is_extra: fn(&str) -> bool,
    /// What a model must be that has no other parameters.
    expected: &'static str,
    /// The number of patches along a side, of a vision transformer.
    side: Option<usize>,
}

impl<'m> Weights<'m> {
    fn new(
        file: TensorFile,
        modern: fn(&str) -> String,
        is_extra: fn(&str) -> bool,
        kept: impl Fn(&str) -> Option<Kept> + 'm,
    ) -> Self {
        let given = file.names().into_iter().map(|name| (modern(&name), name)).collect();
        Self { file, kept: Box::new(kept), given, is_extra, expected: "", side: None }
    }

    /// Those of this file under our names.
    fn own(file: TensorFile) -> Self {
        Self::new(file, str::to_owned, |_| false, |name| Some(Kept::same(name.to_owned())))
    }

    fn is_theirs(file: &TensorFile, prefixes: &[&str]) -> bool {
        file.names().iter().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    }

    /// Those of a file of this library whose names begin with a prefix, which is left away; `side` is the number of patches along a
    /// side of a vision transformer.
    pub fn of_own(file: TensorFile, prefix: &str, side: Option<usize>) -> Self {
        let names = file.names().into_iter();
        let given =
            names.filter_map(|name| Some((name.strip_prefix(prefix)?.to_owned(), name.clone())));
        let given = given.collect();
        Self { given, side, ..Self::own(file) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Those of a vision transformer: timm's, or those of Hugging Face's `ViTForImageClassification`.
    ///
    /// # Errors
    /// If the file cannot be read, or `config.json` beside it tells of another model.
    pub fn of_vit(path: &Path, config: &VitConfig, heads: Heads) -> Result<Self> {
        let file = TensorFile::read(path)?;
        beside::check(path, beside::Model::Vit(config), heads)?;
        let weights = match Self::is_theirs(&file, &["vit.", "classifier."]) {
            false => Self::own(file),
            true => Self {
                expected: "pool = \"cls\", fc_norm = false, pre_norm = false and position = { kind = \"embed-1d\" }",
                ..Self::new(
                    file,
                    hugging_face::vit::modern,
                    |name| name.starts_with("vit.pooler."),
                    hugging_face::vit::kept,
                )
            },
        };
        Ok(Self { side: Some(config.image_size / config.patch_size), ..weights })
    }

    /// Those of an image GPT: ours, or those of Hugging Face's `ImageGPTForCausalImageModeling`. There attention may be scaled
    /// otherwise; its queries are multiplied on reading, which gives the same.
    ///
    /// # Errors
    /// As [`of_vit`](Self::of_vit).
    pub fn of_image_gpt(path: &Path, config: &ImageGptConfig, heads: Heads) -> Result<Self> {
        let file = TensorFile::read(path)?;
        let scale = beside::check(path, beside::Model::ImageGpt(config), heads)?;
        if !Self::is_theirs(&file, &["transformer."]) {
            return Ok(Self::own(file));
        }
        let width = (config.dim / config.heads) as f64;
        let queries = move |block: usize| {
            let whole = if scale.by_width { 1.0 } else { width.sqrt() };
            if scale.by_layer { whole / (block + 1) as f64 } else { whole }
        };
        let kept = move |name: &str| hugging_face::image_gpt::kept(name, queries);
        let is_mask = |name: &str| name.ends_with(".attn.bias") || name.ends_with(".masked_bias");
        Ok(Self {
            expected: "norm = \"rms\", head_bias = false and position = { kind = \"embed-1d\" }",
            ..Self::new(file, str::to_owned, is_mask, kept)
        })
    }

    /// Those of a detector: ours, or those of Hugging Face's `DetrForObjectDetection`.
    ///
    /// # Errors
    /// As [`of_vit`](Self::of_vit).
    pub fn of_detr(path: &Path, config: &DetrConfig, heads: Heads) -> Result<Self> {
        let file = TensorFile::read(path)?;
        beside::check(path, beside::Model::Detr(config), heads)?;
        if !Self::is_theirs(&file, &["class_labels_classifier."]) {
            return Ok(Self::own(file));
        }
        let is_count = |name: &str| name.ends_with(".num_batches_tracked");
        Ok(Self {
            expected: "a ResNet, order = \"post\" and position = { kind = \"sine-2d\" }",
            ..Self::new(file, hugging_face::detr::modern, is_count, hugging_face::detr::kept)
        })
    }

    /// Copies them into the parameters of a model: all of them, or none if there is an error. Returns what is to be told of it: a
    /// table of positions that was made for images of another size is resampled ([`resample_table`]).
    ///
    /// # Errors
    /// If one is missing or has another shape, or if the model has no place for one.
    pub fn load<E: Float>(&self, params: &mut Params<E>) -> Result<Vec<String>> {
        let (mut values, mut used, mut notes) = (Vec::new(), HashSet::new(), Vec::new());
        let kept: Vec<_> = params.iter().map(|param| (self.kept)(&param.name)).collect();
        for (param, kept) in params.iter().zip(&kept) {
            let Some(kept) = kept else {
                return Err(self.error(format!(
                    "these are Hugging Face's weights, which have no `{}`: {} expected of the model",
                    param.name, self.expected
                )));
            };
            used.extend(kept.names().iter().cloned());
        }
        let is_known = |name: &String| used.contains(name) || (self.is_extra)(name);
        let mut unknown: Vec<_> = self.given.iter().filter(|(name, _)| !is_known(name)).collect();
        unknown.sort();
        if let Some((_, name)) = unknown.first() {
            return Err(self.error(format!("tensor `{name}`: {}", why(name))));
        }
        for (param, kept) in params.iter().zip(kept.into_iter().flatten()) {
            let read = |(name, like): (String, Tensor<E>)| {
                let given = self.given.get(&name).unwrap_or(&name);
                match self.side.filter(|_| param.name == "pos_embed") {
                    Some(side) => self.table(given, &like, side, &mut notes),
                    None => self.file.like(given, &like),
                }
            };
            let parts: Vec<_> =
                kept.theirs(&param.value).into_iter().map(read).collect::<Result<_>>()?;
            values.push(kept.ours(&parts));
        }
        params.iter_mut().zip(values).for_each(|(param, value)| param.value = value);
        Ok(notes)
    }

    /// The table of positions [1, extra + side², D], resampled if it is of another grid.
    fn table<E: Float>(
        &self,
        name: &str,
        like: &Tensor<E>,
        side: usize,
        notes: &mut Vec<String>,
    ) -> Result<Tensor<E>> {
        let table: Tensor<E> = self.file.tensor(name)?;
        if table.shape() == like.shape() {
            return Ok(table);
        }
        let (extra, dim) = (like.dim(1) - side * side, like.dim(2));
        let rows = match *table.dims() {
            [1, rows, found] if found == dim => rows,
            _ => return self.file.like(name, like),
        };
        let from = rows.saturating_sub(extra).isqrt();
        if from == 0 || extra + from * from != rows {
            let token = if extra > 0 { " and one for the class token" } else { "" };
            return Err(self.error(format!(
                "tensor `{name}`: {rows} rows, those of a square of patches{token} expected"
            )));
        }
        notes.push(format!(
            "`{name}`: resampled from {from} × {from} to {side} × {side} patches (bicubic, antialiased)"
        ));
        let places = table.narrow(1, extra, from * from).reshape([from * from, dim]);
        let places = resample_table(&places, [from; 2], [side; 2]).unsqueeze(0);
        Ok(Tensor::concat(&[&table.narrow(1, 0, extra), &places], 1))
    }

    /// The gradient of a parameter under the name and in the layout of the weights, those of today where a file has older names.
    pub fn gradients<E: Float>(
        &self,
        name: &str,
        gradient: &Tensor<E>,
    ) -> Vec<(String, Tensor<E>)> {
        match (self.kept)(name) {
            Some(kept) => kept.theirs(gradient),
            None => vec![(name.to_owned(), gradient.clone())],
        }
    }

    fn error(&self, message: String) -> Error {
        Error::Format { path: self.file.path().into(), message }
    }
}

/// Why a model has no place for a tensor.
fn why(name: &str) -> &'static str {
    let reasons = [
        (".ls1.", "layer scale is not supported"),
        (".ls2.", "layer scale is not supported"),
        (".gamma_", "layer scale is not supported"),
        ("layer_scale", "layer scale is not supported"),
        ("lambda1", "layer scale is not supported"),
        ("q_norm", "norms of queries and keys are not supported"),
        ("k_norm", "norms of queries and keys are not supported"),
        ("dist_token", "a distillation token is not supported"),
        ("distillation_token", "a distillation token is not supported"),
        ("head_dist", "a distillation token is not supported"),
        ("reg_token", "register tokens are not supported"),
        ("register_tokens", "register tokens are not supported"),
        ("mask_token", "mask tokens are not supported"),
        ("embeddings.", "the names of a ViTForImageClassification begin with `vit.`"),
        ("attn_pool", "pooling by attention is not supported"),
        ("fc_norm.", "fc_norm = true expected of the model"),
        ("norm_pre.", "pre_norm = true expected of the model"),
        ("qkv.bias", "qkv_bias = true expected of the model"),
        ("cls_token", "class_token = true expected of the model"),
        ("patch_embed.proj.bias", "pre_norm = false expected of the model"),
    ];
    let found = reasons.iter().find(|(part, _)| name.contains(part));
    found.map_or("the model has no such parameter", |(_, reason)| reason)
}
