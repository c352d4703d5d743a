//! Weights of a [`Vit`](crate::Vit) under the names of Hugging Face's `ViTForImageClassification`: queries, keys and values have
//! a matrix each.
//!
//! Files have older names (`vit.encoder.layer.N.attention.attention.query`) than the model of today (`vit.layers.N.attention.q_proj`);
//! [`modern`] turns those into these.

use crate::weights::Kept;

/// How they keep a parameter, if they have it: only models with a class token that is read, learned 1-D positions and the norm
/// before it have nothing else.
pub fn kept(ours: &str) -> Option<Kept> {
    let whole = match ours {
        "cls_token" => "vit.embeddings.cls_token",
        "pos_embed" => "vit.embeddings.position_embeddings",
        "patch_embed.proj.weight" => "vit.embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias" => "vit.embeddings.patch_embeddings.projection.bias",
        "norm.weight" => "vit.layernorm.weight",
        "norm.bias" => "vit.layernorm.bias",
        "head.weight" => "classifier.weight",
        "head.bias" => "classifier.bias",
        _ => {
            let (block, rest) = ours.strip_prefix("blocks.")?.split_once('.')?;
            let (layer, kind) = rest.rsplit_once('.')?;
            let name = |layer: &str| format!("vit.layers.{block}.{layer}.{kind}");
            return Some(match layer {
                "norm1" => Kept::same(name("layernorm_before")),
                "attn.qkv" => {
                    let projection = |which| name(&format!("attention.{which}_proj"));
                    Kept::joined(["q", "k", "v"].map(projection).to_vec())
                }
                "attn.proj" => Kept::same(name("attention.o_proj")),
                "norm2" => Kept::same(name("layernorm_after")),
                "mlp.fc1" | "mlp.fc2" => Kept::same(name(layer)),
                _ => return None,
            });
        }
    };
    Some(Kept::same(whole.to_owned()))
}

/// Today's name of a parameter that a file may call otherwise.
pub fn modern(theirs: &str) -> String {
    let name = theirs.replace("vit.encoder.layer.", "vit.layers.");
    [
        (".attention.attention.query.", ".attention.q_proj."),
        (".attention.attention.key.", ".attention.k_proj."),
        (".attention.attention.value.", ".attention.v_proj."),
        (".attention.output.dense.", ".attention.o_proj."),
        (".intermediate.dense.", ".mlp.fc1."),
        (".output.dense.", ".mlp.fc2."),
    ]
    .iter()
    .fold(name, |name, (old, new)| name.replace(old, new))
}
