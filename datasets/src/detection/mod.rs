//! Pictures with objects in boxes: readers of public formats, made-up scenes, augmentation, batches.

mod annotated;
mod augment;
pub mod coco;
mod format;
mod id;
mod loader;
mod region;
mod render;
mod repairs;
pub(crate) mod resample;
pub mod scenes;
mod stored;
pub mod voc;
pub mod yolo;

pub use crate::listing::Part;
pub use annotated::{Annotated, Detection};
pub use augment::{Augment, View};
pub use format::{Format, part_of};
pub use id::Id;
pub use loader::{Batch, Loader, Options, Source};
pub use region::{Object, Region, Truth};
pub use repairs::{Repair, Repairs};
pub use scenes::Scenes;
pub use stored::{Annotations, Fit, Reading, read_picture};
