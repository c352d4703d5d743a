//! Weights of an [`ImageGpt`](crate::ImageGpt) under the names and layouts of Hugging Face's `ImageGPTForCausalImageModeling`.

use crate::weights::Kept;

/// How they keep a parameter, if they have it: only models with `norm = "rms"`, learned 1-D positions and a head without bias have
/// nothing else. `queries` is what a block's queries are multiplied by here and not there, by its number from 0 on.
pub fn kept(ours: &str, queries: impl Fn(usize) -> f64) -> Option<Kept> {
    let same = |name: &str| Kept::same(name.to_owned());
    let kept = match ours {
        "emb.weight" => same("transformer.wte.weight"),
        "pos_embed" => same("transformer.wpe.weight").squeezed(),
        "norm.weight" => same("transformer.ln_f.weight"),
        "head.weight" => same("lm_head.weight"),
        _ => {
            let (block, rest) = ours.strip_prefix("blocks.")?.split_once('.')?;
            let same = |name: &str| Kept::same(format!("transformer.h.{block}.{name}"));
            let queries = queries(block.parse().ok()?);
            match rest {
                "norm1.weight" => same("ln_1.weight"),
                "attn.qkv.weight" => same("attn.c_attn.weight").transposed().queries_by(queries),
                "attn.qkv.bias" => same("attn.c_attn.bias").queries_by(queries),
                "attn.proj.weight" => same("attn.c_proj.weight").transposed(),
                "attn.proj.bias" => same("attn.c_proj.bias"),
                "norm2.weight" => same("ln_2.weight"),
                "mlp.fc1.weight" => same("mlp.c_fc.weight").transposed(),
                "mlp.fc1.bias" => same("mlp.c_fc.bias"),
                "mlp.fc2.weight" => same("mlp.c_proj.weight").transposed(),
                "mlp.fc2.bias" => same("mlp.c_proj.bias"),
                _ => return None,
            }
        }
    };
    Some(kept)
}

#[cfg(test)]
mod tests {
    use nn::{Init, NormKind, Params, PositionConfig};
    use tensor::Tensor;

    use super::*;
    use crate::{ImageGpt, ImageGptConfig};

    #[test]
    fn every_parameter_goes_there_and_back() {
        let plain = ImageGptConfig::new(3, [4, 1, 2, 8], PositionConfig::Embed1d { std: 0.02 });
        let config = ImageGptConfig { norm: NormKind::Rms, head_bias: false, ..plain };
        let mut params: Params = Params::new();
        ImageGpt::new(&mut Init::new(&mut params, 0), &config).expect("valid");
        for param in params.iter() {
            let kept = kept(&param.name, |_| 1.0).expect(&param.name);
            let theirs = kept.theirs(&param.value);
            let [(name, _)] = theirs.as_slice() else { panic!("{}: one tensor", param.name) };
            assert!(name.starts_with("transformer.") || name == "lm_head.weight", "{name}");
            let parts: Vec<Tensor> = theirs.into_iter().map(|(_, part)| part).collect();
            assert_eq!(kept.ours(&parts), param.value, "{}", param.name);
        }
        assert_eq!(kept("pe.wr", |_| 1.0), None);
    }
}
