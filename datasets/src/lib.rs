#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod augment;
pub mod cifar10;
pub mod detection;
mod error;
mod fingerprint;
pub mod idx;
pub mod image_folder;
mod images;
pub mod listing;
mod loader;
mod normalize;
mod palette;
pub mod picture;
mod prefetch;
mod random;
mod repairs;
pub mod sample;
pub mod screens;
mod source;
mod text;

pub use augment::{Augment, View};
pub use error::Error;
pub use images::Images;
pub use loader::{Batch, Loader, Options};
pub use normalize::Normalize;
pub use palette::{nearest, palette};
pub use prefetch::Prefetch;
pub use repairs::Repairs;
pub use text::read as read_text;

/// The two parts in which a data set is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// For learning.
    Train,
    /// For the final measurement.
    Test,
}
