//! Weights of a [`Detr`](crate::Detr) under the names of Hugging Face's `DetrForObjectDetection`; layouts are the same.
//!
//! Older files call the backbone `model.backbone.conv_encoder.model`, the projection of an attention `out_proj`, and have the
//! MLP's layers outside of `mlp`; [`modern`] turns their names into today's.

use crate::weights::Kept;

/// How they keep a parameter, if they have it: only models of a ResNet and fixed positions have nothing else.
pub fn kept(ours: &str) -> Option<Kept> {
    name(ours).map(Kept::same)
}

/// Their name of a parameter, if they have it.
fn name(ours: &str) -> Option<String> {
    if let Some(rest) = ours.strip_prefix("backbone.") {
        return Some(format!("model.backbone.model.{rest}"));
    }
    for (prefix, theirs) in [
        ("query", "model.query_position_embeddings.weight"),
        ("input_proj.", "model.input_projection."),
        ("norm.", "model.decoder.layernorm."),
        ("cls.", "class_labels_classifier."),
        ("box.0.", "bbox_predictor.layers.0."),
        ("box.2.", "bbox_predictor.layers.1."),
        ("box.4.", "bbox_predictor.layers.2."),
    ] {
        if let Some(rest) = ours.strip_prefix(prefix) {
            return Some(format!("{theirs}{rest}"));
        }
    }
    let (part, rest) = ours.split_once('.')?;
    let (layer, rest) = rest.split_once('.')?;
    let (stack, last_norm) = match part {
        "enc" => ("encoder", "n2"),
        "dec" => ("decoder", "n3"),
        _ => return None,
    };
    let (first, rest) = rest.split_once('.')?;
    let theirs = match (first, rest.split_once('.')) {
        ("a" | "c", Some((projection, kind))) => {
            let attention = if first == "a" { "self_attn" } else { "encoder_attn" };
            let projection = match projection {
                "q" | "k" | "v" => format!("{projection}_proj"),
                "proj" => "o_proj".to_owned(),
                _ => return None,
            };
            format!("{attention}.{projection}.{kind}")
        }
        ("n1", None) => format!("self_attn_layer_norm.{rest}"),
        ("f1", None) => format!("mlp.fc1.{rest}"),
        ("f2", None) => format!("mlp.fc2.{rest}"),
        (norm, None) if norm == last_norm => format!("final_layer_norm.{rest}"),
        ("n2", None) => format!("encoder_attn_layer_norm.{rest}"),
        _ => return None,
    };
    Some(format!("model.{stack}.layers.{layer}.{theirs}"))
}

/// Today's name of a parameter that an older file may call otherwise.
pub fn modern(theirs: &str) -> String {
    let name = theirs.replace(".backbone.conv_encoder.model.", ".backbone.model.");
    let name = name.replace(".out_proj.", ".o_proj.");
    match name.contains(".layers.") && !name.contains(".mlp.") {
        true => name.replace(".fc1.", ".mlp.fc1.").replace(".fc2.", ".mlp.fc2."),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use nn::{Init, NormOrder, Params, PositionConfig};

    use super::*;
    use crate::{BackboneConfig, Detr, DetrConfig, Padding};

    #[test]
    fn every_parameter_has_a_name_of_its_own_and_older_names_are_understood() {
        let config = DetrConfig {
            image_size: [64, 64],
            channels: 3,
            backbone: BackboneConfig::ResNet18 { dilated: false, channels: [2, 4, 6, 8] },
            dim: 4,
            heads: 2,
            mlp_dim: 4,
            encoder_depth: 1,
            decoder_depth: 2,
            queries: 3,
            classes: 2,
            position: PositionConfig::Sine2d { temperature: 10_000.0 },
            anchors: false,
            scale_positions: false,
            order: NormOrder::Post,
            dropout: 0.0,
            padding: Padding::Pixels,
        };
        let mut params = Params::new();
        Detr::new(&mut Init::new(&mut params, 0), &config).expect("valid");
        let mut names: Vec<String> =
            params.iter().map(|param| name(&param.name).expect(&param.name)).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let has = |name: &str| assert!(names.iter().any(|other| other == name), "{name}");
        has("model.backbone.model.layer2.0.downsample.1.running_var");
        has("model.decoder.layers.1.encoder_attn_layer_norm.bias");
        has("model.encoder.layers.0.final_layer_norm.weight");
        let old = "model.backbone.conv_encoder.model.layer2.0.downsample.1.running_var";
        has(&modern(old));
        has(&modern("model.decoder.layers.0.encoder_attn.out_proj.weight"));
        has(&modern("model.encoder.layers.0.fc1.weight"));
    }
}
