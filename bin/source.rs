//! Batches of any task: of images with a label, of pictures with boxes, or of screens with captions.

use anyhow::{Result, bail};
use datasets::{detection, screens};

use crate::data;

/// What makes batches; see [`datasets::Loader`], [`detection::Loader`] and [`screens::Loader`].
#[derive(Debug)]
pub(crate) enum Source {
    Images(datasets::Loader),
    Boxes(detection::Loader),
    Screens(screens::Loader),
}

/// Some images with what is to be learnt from them.
#[derive(Debug)]
pub(crate) enum Batch {
    Images(datasets::Batch),
    Boxes(detection::Batch),
    Screens(Box<screens::Batch>),
}

impl Source {
    /// Images or screens of an epoch.
    pub(crate) fn len(&self) -> usize {
        match self {
            Source::Images(loader) => loader.images().len(),
            Source::Boxes(loader) => loader.source().len(),
            Source::Screens(loader) => loader.len(),
        }
    }

    /// Why there will be no score, if there is nothing to score.
    pub(crate) fn nothing_to_score(&self) -> Option<&'static str> {
        match self {
            Source::Boxes(loader) if !loader.source().is_scorable() => {
                Some("no picture that the run is scored on has an object that counts")
            }
            Source::Images(_) | Source::Boxes(_) | Source::Screens(_) => None,
        }
    }

    /// A hash of all that there is, in hexadecimal digits: other data have another one.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(match self {
            Source::Images(loader) => loader.images().fingerprint(),
            Source::Boxes(loader) => loader.source().fingerprint(),
            Source::Screens(loader) => loader.screens().fingerprint(),
        })
    }

    /// The batches of an epoch, from `first` on.
    pub(crate) fn epoch(
        &self,
        epoch: usize,
        first: usize,
    ) -> Box<dyn Iterator<Item = Result<Batch>>> {
        match self {
            Source::Images(loader) => {
                let batches = loader.epoch(epoch, first);
                Box::new(batches.map(|batch| Ok(Batch::Images(batch.map_err(data::hinted)?))))
            }
            Source::Boxes(loader) => {
                let batches = loader.epoch(epoch, first);
                Box::new(batches.map(|batch| Ok(Batch::Boxes(batch.map_err(data::hinted)?))))
            }
            Source::Screens(loader) => {
                let batches = loader.epoch(epoch, first);
                Box::new(batches.map(|batch| Ok(Batch::Screens(Box::new(batch)))))
            }
        }
    }

    /// The labelled images.
    pub(crate) fn images(&self) -> Result<&datasets::Images> {
        match self {
            Source::Images(loader) => Ok(loader.images()),
            Source::Boxes(_) | Source::Screens(_) => bail!("images with a label each expected"),
        }
    }
}

/// A hash of data as checkpoints have it.
pub(crate) fn fingerprint(hash: u64) -> String {
    format!("{hash:016x}")
}

impl Batch {
    /// The number of images.
    pub(crate) fn len(&self) -> usize {
        self.indices().len()
    }

    /// The place of each image in the data set.
    pub(crate) fn indices(&self) -> &[usize] {
        match self {
            Batch::Images(batch) => &batch.indices,
            Batch::Boxes(batch) => &batch.indices,
            Batch::Screens(batch) => &batch.indices,
        }
    }
}
