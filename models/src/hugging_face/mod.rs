//! Weights under the names and layouts of Hugging Face's models.

pub mod detr;
pub mod image_gpt;
pub mod vit;
