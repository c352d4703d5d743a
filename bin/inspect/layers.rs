//! Parameters, one by one and layer by layer.

use std::io::Write;

use anyhow::Result;
use nn::{Param, Params};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Row {
    name: String,
    shape: Vec<usize>,
    count: usize,
    trainable: bool,
    mean: f64,
    std: f64,
}

/// Parameters that belong together.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Layer {
    name: String,
    params: usize,
}

pub(super) fn rows(params: &Params) -> Vec<Row> {
    let row = |param: &Param| {
        let values = param.value.cast::<f64>().to_vec();
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        Row {
            name: param.name.clone(),
            shape: param.value.dims().to_vec(),
            count: values.len(),
            trainable: param.trainable,
            mean,
            std: variance.sqrt(),
        }
    };
    params.iter().map(row).collect()
}

/// The layer of a parameter: its path up to the first number, or all of it but the last word.
fn layer_of(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len() + usize::from(end > 0);
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            return &name[..end];
        }
    }
    name.rsplit_once('.').map_or(name, |(layer, _)| layer)
}

/// The layers in the order in which they were made.
pub(super) fn layers(params: &Params) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for param in params.iter() {
        let (name, count) = (layer_of(&param.name), param.value.len());
        match layers.iter_mut().find(|layer| layer.name == name) {
            Some(layer) => layer.params += count,
            None => layers.push(Layer { name: name.to_owned(), params: count }),
        }
    }
    layers
}

pub(super) fn print(rows: &[Row], layers: &[Layer], out: &mut impl Write) -> Result<()> {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(9);
    writeln!(out, "{:<width$}  shape                    count      mean       std", "parameter")?;
    for Row { name, shape, count, trainable, mean, std } in rows {
        let frozen = if *trainable { "" } else { "  (not trained)" };
        let shape = format!("{shape:?}");
        writeln!(out, "{name:<width$}  {shape:<20} {count:>9} {mean:>9.4} {std:>9.4}{frozen}")?;
    }
    let all = layers.iter().map(|layer| layer.params).sum::<usize>().max(1);
    writeln!(out, "\n{:<width$}  parameters      %", "layer")?;
    for Layer { name, params } in layers {
        let share = 100.0 * *params as f64 / all as f64;
        writeln!(out, "{name:<width$}  {params:>10} {share:>6.1}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nn::{Fill, Init};

    use super::*;

    #[test]
    fn a_layer_is_the_path_up_to_the_first_number() {
        for (name, layer) in [
            ("blocks.0.attn.qkv.weight", "blocks.0"),
            ("encoder.layers.12.norm1.bias", "encoder.layers.12"),
            ("patch_embed.proj.weight", "patch_embed.proj"),
            ("cls_token", "cls_token"),
            ("", ""),
        ] {
            assert_eq!(layer_of(name), layer);
        }
    }

    #[test]
    fn the_parameters_of_a_layer_are_counted_together() {
        let mut params = Params::new();
        let mut init = Init::new(&mut params, 0);
        init.scope("a").param("weight", [2, 3], Fill::Ones, true);
        init.param("token", [4], Fill::Ones, false);
        init.scope("a").param("bias", [2], Fill::Zeros, false);
        let layer = |name: &str, params| Layer { name: name.to_owned(), params };
        assert_eq!(layers(&params), [layer("a", 8), layer("token", 4)]);
        let rows = rows(&params);
        assert_eq!((rows[0].count, rows[0].mean, rows[0].std), (6, 1.0, 0.0));
    }
}
