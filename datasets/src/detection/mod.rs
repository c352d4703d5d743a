//! Pictures with boxes.

pub mod coco;
