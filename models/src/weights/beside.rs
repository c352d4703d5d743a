//! The `config.json` beside weights: what it says of a model, held against the model.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use nn::checkpoint::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Heads;
use crate::{DetrConfig, ImageGptConfig, VitConfig};

/// Bytes of a file at most.
const MOST: u64 = 1 << 24;

/// The model that weights are for.
pub(super) enum Model<'a> {
    Vit(&'a VitConfig),
    ImageGpt(&'a ImageGptConfig),
    Detr(&'a DetrConfig),
}

/// How an image GPT scales its scores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// By 1/√d.
    pub(super) by_width: bool,
    /// By 1/(number of the block, from 1).
    pub(super) by_layer: bool,
}

/// Holds `config.json` in the folder of the weights against the model, if there is one.
///
/// # Errors
/// If it cannot be read, tells of another model, or of one that cannot be expressed.
pub(super) fn check(weights: &Path, model: Model<'_>, heads: Heads) -> Result<Scale> {
    let plain = Scale { by_width: true, by_layer: false };
    let path = weights.with_file_name("config.json");
    if !path.is_file() {
        return Ok(plain);
    }
    let file = File { map: read(&path)?, path, heads };
    match model {
        Model::Vit(config) if file.map.contains_key("architecture") => timm(&file, config)?,
        Model::Vit(config) => vit(&file, config)?,
        Model::ImageGpt(config) => return image_gpt(&file, config),
        Model::Detr(config) => detr(&file, config)?,
    }
    Ok(plain)
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let io = |source| Error::Io { path: path.into(), attempt: "read", source };
    let format = |message| Error::Format { path: path.into(), message };
    let mut text = String::new();
    fs::File::open(path).map_err(io)?.take(MOST + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > MOST {
        return Err(format(format!("has more than {MOST} bytes")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format(format!("is not a JSON object (line {line}, column {column})"))
    })
}

struct File {
    path: PathBuf,
    map: Map<String, Value>,
    heads: Heads,
}

/// Values of a model of ours under its keys.
fn values(config: &impl Serialize) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

fn is_same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

impl File {
    fn error(&self, message: String) -> Error {
        Error::Format { path: self.path.clone(), message }
    }

    /// A value, or what stands for it if it is left out.
    fn get(&self, key: &str, default: Value) -> Value {
        match self.map.get(key) {
            None | Some(Value::Null) => default,
            Some(value) => value.clone(),
        }
    }

    /// That a value of ours is what the file says under `theirs`.
    fn expect(&self, ours: &Value, key: &str, theirs: &str, said: &Value) -> Result<()> {
        let found = key.split('.').fold(ours, |value, part| &value[part]);
        if is_same(found, said) || (self.heads == Heads::Any && key == "classes") {
            return Ok(());
        }
        let known = match self.map.get(theirs) {
            Some(value) if value != said => format!("{theirs} = {value}"),
            _ => theirs.to_owned(),
        };
        Err(self.error(format!("{known}: {key} = {said} expected of the model, which has {found}")))
    }

    /// Refuses a value that no model here can have.
    fn only(&self, key: &str, value: &Value, supported: &Value, what: &str) -> Result<()> {
        match is_same(value, supported) {
            true => Ok(()),
            false => Err(self.error(format!("{key} = {value}: {what} is not supported"))),
        }
    }

    /// Our name of an activation.
    fn activation(&self, key: &str, value: &Value) -> Result<Value> {
        let ours = match value.as_str().unwrap_or_default() {
            "gelu" | "gelu_python" => "gelu",
            "gelu_tanh" | "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => "gelu-tanh",
            "quick_gelu" | "quickgelu" => "quick-gelu",
            "relu" => "relu",
            _ => {
                return Err(self.error(format!(
                    "{key} = {value}: only gelu, its tanh form, quick_gelu and relu are supported"
                )));
            }
        };
        Ok(json!(ours))
    }

    /// The one side of a square, which may stand twice.
    fn side(&self, key: &str, value: Value) -> Result<Value> {
        match value.as_array().map(Vec::as_slice) {
            None => Ok(value),
            Some([height, width]) if height == width => Ok(height.clone()),
            Some(_) => Err(self.error(format!("{key} = {value}: only squares are supported"))),
        }
    }

    fn expect_kind(&self, kind: &str) -> Result<()> {
        match self.map.get("model_type") {
            Some(Value::String(found)) if found == kind => Ok(()),
            Some(found) => Err(self.error(format!("model_type = {found}: \"{kind}\" expected"))),
            None => Err(self.error(format!(
                "has no model_type: a file of Hugging Face with \"{kind}\" expected"
            ))),
        }
    }

    /// Keys that are numbers or flags in both, with their defaults.
    fn expect_all(&self, ours: &Value, fields: &[(&str, &str, Value)]) -> Result<()> {
        fields.iter().try_for_each(|(theirs, key, default)| {
            self.expect(ours, key, theirs, &self.get(theirs, default.clone()))
        })
    }

    fn expect_classes(&self, ours: &Value) -> Result<()> {
        match self.map.get("id2label").and_then(Value::as_object) {
            Some(labels) => self.expect(ours, "classes", "id2label", &json!(labels.len())),
            None => Ok(()),
        }
    }
}

/// Hugging Face's `ViTConfig`.
fn vit(file: &File, config: &VitConfig) -> Result<()> {
    file.expect_kind("vit")?;
    let ours = values(config);
    let patch = file.side("patch_size", file.get("patch_size", json!(16)))?;
    file.expect(&ours, "patch_size", "patch_size", &patch)?;
    file.expect_all(
        &ours,
        &[
            ("hidden_size", "dim", json!(768)),
            ("num_hidden_layers", "depth", json!(12)),
            ("num_attention_heads", "heads", json!(12)),
            ("intermediate_size", "mlp_dim", json!(3072)),
            ("num_channels", "channels", json!(3)),
            ("layer_norm_eps", "eps", json!(1e-12)),
            ("qkv_bias", "qkv_bias", json!(true)),
        ],
    )?;
    let activation = file.activation("hidden_act", &file.get("hidden_act", json!("gelu")))?;
    file.expect(&ours, "activation", "hidden_act", &activation)?;
    for (key, value) in [
        ("pool", json!("cls")),
        ("class_token", json!(true)),
        ("fc_norm", json!(false)),
        ("pre_norm", json!(false)),
        ("position.kind", json!("embed-1d")),
    ] {
        file.expect(&ours, key, "model_type", &value)?;
    }
    file.expect_classes(&ours)
}

/// Hugging Face's `ImageGPTConfig`.
fn image_gpt(file: &File, config: &ImageGptConfig) -> Result<Scale> {
    file.expect_kind("imagegpt")?;
    let mut ours = values(config);
    ours["eps"] = json!(config.norm_eps());
    ours["tokens"] = json!(config.tokens());
    ours["vocab + 1"] = json!(config.vocab + 1);
    let dim = file.get("n_embd", json!(512));
    let four_times = json!(dim.as_u64().map(|dim| dim.saturating_mul(4)));
    file.expect_all(
        &ours,
        &[
            ("n_embd", "dim", json!(512)),
            ("n_layer", "depth", json!(24)),
            ("n_head", "heads", json!(8)),
            ("n_inner", "mlp_dim", four_times),
            ("n_positions", "tokens", json!(1024)),
            ("vocab_size", "vocab + 1", json!(513)),
            ("layer_norm_epsilon", "eps", json!(1e-5)),
            ("tie_word_embeddings", "tie", json!(false)),
        ],
    )?;
    let name = "activation_function";
    let activation = file.activation(name, &file.get(name, json!("quick_gelu")))?;
    file.expect(&ours, "activation", name, &activation)?;
    for (key, value) in [
        ("norm", json!("rms")),
        ("head_bias", json!(false)),
        ("channels", json!(1)),
        ("classes", json!(0)),
        ("position.kind", json!("embed-1d")),
    ] {
        file.expect(&ours, key, "model_type", &value)?;
    }
    let crosses = file.get("add_cross_attention", json!(false));
    file.only("add_cross_attention", &crosses, &json!(false), "cross-attention")?;
    let flag = |key: &str, default: bool| {
        let value = file.get(key, json!(default));
        value
            .as_bool()
            .ok_or_else(|| file.error(format!("{key} = {value}: true or false expected")))
    };
    Ok(Scale {
        by_width: flag("scale_attn_weights", true)?,
        by_layer: flag("scale_attn_by_inverse_layer_idx", false)?,
    })
}

/// Hugging Face's `DetrConfig`.
fn detr(file: &File, config: &DetrConfig) -> Result<()> {
    file.expect_kind("detr")?;
    let ours = values(config);
    file.expect_all(
        &ours,
        &[
            ("d_model", "dim", json!(256)),
            ("encoder_layers", "encoder_depth", json!(6)),
            ("decoder_layers", "decoder_depth", json!(6)),
            ("encoder_attention_heads", "heads", json!(8)),
            ("decoder_attention_heads", "heads", json!(8)),
            ("encoder_ffn_dim", "mlp_dim", json!(2048)),
            ("decoder_ffn_dim", "mlp_dim", json!(2048)),
            ("num_queries", "queries", json!(100)),
            ("num_channels", "channels", json!(3)),
        ],
    )?;
    let backbone = |key: &str| file.map.get("backbone_config")?.get(key);
    let strides = backbone("output_stride").and_then(Value::as_u64) == Some(16);
    let dilated = strides || file.get("dilation", json!(false)) == json!(true);
    file.expect(&ours, "backbone.dilated", "dilation", &json!(dilated))?;
    let activation = file.get("activation_function", json!("relu"));
    file.only("activation_function", &activation, &json!("relu"), "another activation")?;
    let positions = file.get("position_embedding_type", json!("sine"));
    file.only("position_embedding_type", &positions, &json!("sine"), "another encoding")?;
    let named = file.map.get("backbone").filter(|name| name.is_string());
    if let Some(Value::String(name)) = named.or(backbone("backbone")) {
        let kind = match name.as_str() {
            "resnet18" => json!("resnet-18"),
            "resnet50" => json!("resnet-50"),
            _ => {
                let message =
                    format!("backbone = \"{name}\": only resnet18 and resnet50 are supported");
                return Err(file.error(message));
            }
        };
        file.expect(&ours, "backbone.kind", "backbone", &kind)?;
    }
    for (key, value) in [
        ("order", json!("post")),
        ("position.kind", json!("sine-2d")),
        ("anchors", json!(false)),
        ("scale_positions", json!(false)),
    ] {
        file.expect(&ours, key, "model_type", &value)?;
    }
    file.expect_classes(&ours)
}

/// What a name of timm's says: dim, depth, heads, hidden features for each, whether it is CLIP's, whether its GELU is the quick
/// one, and the patch size.
fn architecture(name: &str) -> Option<(usize, usize, usize, f64, bool, bool, usize)> {
    let name = name.split('.').next()?;
    let mut parts = name.split('_');
    let family = parts.next()?;
    let (dim, depth, heads, ratio) = match parts.next()? {
        "tiny" => (192, 12, 3, 4.0),
        "small" => (384, 12, 6, 4.0),
        "base" => (768, 12, 12, 4.0),
        "large" => (1024, 24, 16, 4.0),
        "huge" => (1280, 32, 16, 4.0),
        "giant" => (1408, 40, 16, 48.0 / 11.0),
        "gigantic" => (1664, 48, 16, 64.0 / 13.0),
        _ => return None,
    };
    let patch = parts.next()?.strip_prefix("patch")?.parse().ok()?;
    let rest: Vec<&str> = parts.collect();
    let (size, kinds) = rest.split_last()?;
    size.parse::<usize>().ok()?;
    let (clip, quick) = match (family, kinds) {
        ("vit" | "deit", []) => (false, false),
        ("vit", ["clip"]) => (true, false),
        ("vit", ["clip", "quickgelu"]) => (true, true),
        _ => return None,
    };
    Some((dim, depth, heads, ratio, clip, quick, patch))
}

/// What timm writes beside the weights of a `VisionTransformer`.
fn timm(file: &File, config: &VitConfig) -> Result<()> {
    let ours = values(config);
    let name = file.get("architecture", Value::Null);
    let Some((dim, depth, heads, ratio, clip, quick, patch)) = name.as_str().and_then(architecture)
    else {
        return Err(file.error(format!(
            "architecture = {name}: only plain vision transformers are supported (vit_base_patch16_224, deit_small_patch16_224, \
             vit_base_patch32_clip_224, …)"
        )));
    };
    let empty = Map::new();
    let args = file.map.get("model_args").and_then(Value::as_object).unwrap_or(&empty);
    let get = |key: &str, default: Value| match args.get(key).or_else(|| file.map.get(key)) {
        None | Some(Value::Null) => default,
        Some(value) => value.clone(),
    };
    let width = get("embed_dim", json!(dim));
    let ratio = get("mlp_ratio", json!(ratio));
    let hidden = (width.as_f64().unwrap_or(0.0) * ratio.as_f64().unwrap_or(0.0)) as u64;
    let (pool, is_pooled) = match get("global_pool", json!("token")).as_str() {
        Some("token") => ("cls", false),
        Some("avg") => ("mean", true),
        Some("max") => ("max", true),
        other => {
            let other = other.unwrap_or_default();
            return Err(file.error(format!(
                "global_pool = \"{other}\": only token, avg and max are supported"
            )));
        }
    };
    let gelu = if quick { "quick_gelu" } else { "gelu" };
    let patch = file.side("patch_size", get("patch_size", json!(patch)))?;
    for (theirs, key, said) in [
        ("patch_size", "patch_size", patch),
        ("in_chans", "channels", get("in_chans", json!(3))),
        ("num_classes", "classes", get("num_classes", json!(1000))),
        ("embed_dim", "dim", width),
        ("depth", "depth", get("depth", json!(depth))),
        ("num_heads", "heads", get("num_heads", json!(heads))),
        ("mlp_ratio", "mlp_dim", json!(hidden)),
        ("qkv_bias", "qkv_bias", get("qkv_bias", json!(true))),
        ("class_token", "class_token", get("class_token", json!(true))),
        ("global_pool", "pool", json!(pool)),
        ("fc_norm", "fc_norm", get("fc_norm", json!(is_pooled))),
        ("pre_norm", "pre_norm", get("pre_norm", json!(clip))),
        ("act_layer", "activation", file.activation("act_layer", &get("act_layer", json!(gelu)))?),
        ("architecture", "eps", json!(if clip { 1e-5 } else { 1e-6 })),
        ("architecture", "position.kind", json!("embed-1d")),
    ] {
        file.expect(&ours, key, theirs, &said)?;
    }
    for (key, supported, what) in [
        ("qk_norm", json!(false), "a norm of queries and keys"),
        ("scale_attn_norm", json!(false), "a norm after the attention"),
        ("scale_mlp_norm", json!(false), "a norm inside the MLP"),
        ("proj_bias", json!(true), "a projection without a bias"),
        ("init_values", Value::Null, "layer scale"),
        ("pos_embed", json!("learn"), "another encoding"),
        ("no_embed_class", json!(false), "a class token without a position"),
        ("reg_tokens", json!(0), "a register token"),
        ("final_norm", json!(true), "a model without its last norm"),
        ("pool_include_prefix", json!(false), "pooling over the class token"),
        ("norm_layer", Value::Null, "another norm"),
        ("embed_norm_layer", Value::Null, "a norm of patches"),
        ("embed_layer", Value::Null, "another embedding"),
        ("block_fn", Value::Null, "another block"),
        ("mlp_layer", Value::Null, "another MLP"),
        ("attn_layer", Value::Null, "another attention"),
    ] {
        file.only(key, &get(key, supported.clone()), &supported, what)?;
    }
    Ok(())
}
