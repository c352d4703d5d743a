//! What is in a safetensors file.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::output;
use anyhow::Result;
use nn::checkpoint::TensorFile;
use serde::Serialize;

#[derive(Serialize)]
struct Report {
    file: String,
    tensors: Vec<Row>,
    elements: usize,
    bytes: usize,
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: usize,
}

/// Prints names, types and shapes of all tensors, and the strings beside them.
pub(super) fn print(path: &Path, json: bool) -> Result<()> {
    let file = TensorFile::read(path)?;
    let entries = file.entries();
    let report = Report {
        file: path.display().to_string(),
        elements: entries.iter().map(|entry| entry.shape.iter().product::<usize>()).sum(),
        bytes: entries.iter().map(|entry| entry.bytes).sum(),
        tensors: entries
            .into_iter()
            .map(|entry| Row {
                name: entry.name,
                dtype: entry.dtype,
                shape: entry.shape,
                bytes: entry.bytes,
            })
            .collect(),
        metadata: file.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
    };
    let mut out = output::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    let width = report.tensors.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(6);
    writeln!(out, "{:<width$}  type  shape                    bytes", "tensor")?;
    for Row { name, dtype, shape, bytes } in &report.tensors {
        let shape = format!("{shape:?}");
        writeln!(out, "{name:<width$}  {dtype:<5} {shape:<20} {bytes:>9}")?;
    }
    for (key, value) in &report.metadata {
        writeln!(out, "\nmetadata `{key}`: {value}")?;
    }
    let Report { file, tensors, elements, bytes, .. } = &report;
    writeln!(out, "\n{file}: {} tensors, {elements} elements, {bytes} bytes", tensors.len())?;
    Ok(())
}
