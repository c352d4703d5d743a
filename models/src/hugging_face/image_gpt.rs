//! Weights of an [`ImageGpt`](crate::ImageGpt) under the names and layouts of Hugging Face's `ImageGPTForCausalImageModeling`.

use tensor::{Float, Tensor};

/// How a parameter of ours becomes theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Same,
    /// Their `Conv1D` keeps a matrix as [in, out].
    Transposed,
    /// Our table of positions has an axis in front.
    Squeezed,
}

/// Their name of a parameter, if they have it.
fn name_and_layout(name: &str) -> Option<(String, Layout)> {
    let (theirs, layout) = match name {
        "emb.weight" => ("transformer.wte.weight", Layout::Same),
        "pos_embed" => ("transformer.wpe.weight", Layout::Squeezed),
        "norm.weight" => ("transformer.ln_f.weight", Layout::Same),
        "head.weight" => ("lm_head.weight", Layout::Same),
        _ => {
            let (block, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
            let (theirs, layout) = match rest {
                "norm1.weight" => ("ln_1.weight", Layout::Same),
                "attn.qkv.weight" => ("attn.c_attn.weight", Layout::Transposed),
                "attn.qkv.bias" => ("attn.c_attn.bias", Layout::Same),
                "attn.proj.weight" => ("attn.c_proj.weight", Layout::Transposed),
                "attn.proj.bias" => ("attn.c_proj.bias", Layout::Same),
                "norm2.weight" => ("ln_2.weight", Layout::Same),
                "mlp.fc1.weight" => ("mlp.c_fc.weight", Layout::Transposed),
                "mlp.fc1.bias" => ("mlp.c_fc.bias", Layout::Same),
                "mlp.fc2.weight" => ("mlp.c_proj.weight", Layout::Transposed),
                "mlp.fc2.bias" => ("mlp.c_proj.bias", Layout::Same),
                _ => return None,
            };
            return Some((format!("transformer.h.{block}.{theirs}"), layout));
        }
    };
    Some((theirs.to_owned(), layout))
}

/// Their name of a parameter of ours, if they have it: only models with `norm = "rms"`, learned 1-D positions and a head without
/// bias and of its own have nothing else.
pub fn name(ours: &str) -> Option<String> {
    name_and_layout(ours).map(|(name, _)| name)
}

/// A parameter (or its gradient) of ours as they keep it.
pub fn to_theirs<E: Float>(ours: &str, x: &Tensor<E>) -> Option<(String, Tensor<E>)> {
    let (name, layout) = name_and_layout(ours)?;
    let x = match layout {
        Layout::Same => x.clone(),
        Layout::Transposed => x.transpose(0, 1).contiguous(),
        Layout::Squeezed => x.squeeze(0),
    };
    Some((name, x))
}

/// A parameter of theirs as we keep it under this name of ours.
pub fn to_ours<E: Float>(ours: &str, x: &Tensor<E>) -> Option<Tensor<E>> {
    let (_, layout) = name_and_layout(ours)?;
    Some(match layout {
        Layout::Same => x.clone(),
        Layout::Transposed if x.rank() == 2 => x.transpose(0, 1).contiguous(),
        Layout::Transposed => x.clone(), // of a wrong shape, which the caller finds
        Layout::Squeezed => x.unsqueeze(0),
    })
}

#[cfg(test)]
mod tests {
    use nn::{Init, NormKind, Params, PositionConfig};

    use super::*;
    use crate::{ImageGpt, ImageGptConfig};

    #[test]
    fn every_parameter_goes_there_and_back() {
        let plain = ImageGptConfig::new(3, [4, 1, 2, 8], PositionConfig::Embed1d { std: 0.02 });
        let config = ImageGptConfig { norm: NormKind::Rms, head_bias: false, ..plain };
        let mut params = Params::new();
        ImageGpt::new(&mut Init::new(&mut params, 0), &config).expect("valid");
        for param in params.iter() {
            let (name, theirs) = to_theirs(&param.name, &param.value).expect(&param.name);
            assert!(name.starts_with("transformer.") || name == "lm_head.weight", "{name}");
            assert_eq!(to_ours(&param.name, &theirs), Some(param.value.clone()), "{name}");
        }
        assert_eq!(name("pe.wr"), None);
    }
}
