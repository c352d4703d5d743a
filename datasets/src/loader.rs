//! Batches of augmented, normalised images in an order that the seed fixes.

use std::sync::Arc;

use rayon::prelude::*;
use tensor::Tensor;

use crate::random::{self, Purpose};
use crate::{Augment, Error, Images, Normalize, Prefetch};

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The number of images in a batch; at least 1.
    pub batch_size: usize,
    /// Whether each epoch has a random order of its own, or the order of the data set.
    pub shuffle: bool,
    /// Whether the images that do not fill a last batch are left out.
    pub drop_last: bool,
    /// The origin of all randomness: of the order and of the augmentation.
    pub seed: u64,
    /// What is left to chance when an image is shown.
    pub augment: Augment,
    /// The map from bytes to the inputs of the model.
    pub normalize: Normalize,
    /// The number of finished batches that may wait to be taken.
    pub prefetch: usize,
}

impl Options {
    /// For training: shuffled, an incomplete last batch left out, and not augmented.
    pub fn train(batch_size: usize, seed: u64, normalize: Normalize) -> Options {
        let (shuffle, drop_last) = (true, true);
        let augment = Augment::default();
        Options { batch_size, shuffle, drop_last, seed, augment, normalize, prefetch: 2 }
    }

    /// For measuring: every image once, in order, as it is.
    pub fn eval(batch_size: usize, normalize: Normalize) -> Options {
        let (shuffle, drop_last) = (false, false);
        Options { shuffle, drop_last, ..Options::train(batch_size, 0, normalize) }
    }
}

/// Some images, ready for a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The normalised pixels, [B, C, H, W].
    pub images: Tensor,
    /// The class of each image.
    pub labels: Vec<usize>,
    /// The place of each image in the data set.
    pub indices: Vec<usize>,
    /// The epoch that this batch is part of, from 0.
    pub epoch: usize,
    /// The place of this batch in its epoch, from 0.
    pub index: usize,
}

/// Makes the batches of a data set. Each is a function of the data, the options, the epoch and its
/// index: it is the same on any thread, at any time, and after a run was resumed.
#[derive(Clone, Debug)]
pub struct Loader {
    images: Arc<Images>,
    options: Options,
    /// The normalised value of each byte, for each channel.
    tables: Vec<[f32; 256]>,
    /// The normalised value of the mean of each channel, which erased rectangles get.
    mean: Vec<f32>,
}

impl Loader {
    /// A loader of these images.
    ///
    /// # Errors
    ///
    /// An option that makes no sense for these images.
    pub fn new(images: Arc<Images>, options: Options) -> Result<Loader, Error> {
        let [channels, ..] = images.shape();
        if options.batch_size == 0 {
            return Err(Error::option("batch_size", "at least 1", 0));
        }
        options.normalize.check(channels)?;
        options.augment.check(&images)?;
        let tables = options.normalize.tables();
        let mean = match options.augment.erase > 0.0 && !images.is_empty() {
            true => options.normalize.normalized(&Normalize::of(&images)?.mean),
            false => vec![0.0; channels],
        };
        Ok(Loader { images, options, tables, mean })
    }

    /// The images that are loaded.
    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }

    /// How the batches are made.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        match self.options.drop_last {
            true => self.images.len() / self.options.batch_size,
            false => self.images.len().div_ceil(self.options.batch_size),
        }
    }

    /// The batches of one epoch from `first` on, made ahead on a background thread. To resume a run
    /// exactly, give the epoch and the index of the first batch that it had not yet taken; if this
    /// is [`batches`](Self::batches), there is none left.
    ///
    /// # Panics
    ///
    /// If the operating system cannot start a thread.
    pub fn epoch(&self, epoch: usize, first: usize) -> Prefetch<Result<Batch, Error>> {
        let loader = self.clone();
        let order = self.order(epoch);
        let batches = (first..self.batches()).map(move |index| loader.batch(&order, epoch, index));
        Prefetch::new(batches, self.options.prefetch)
    }

    /// The order in which the images come in one epoch.
    pub fn order(&self, epoch: usize) -> Vec<usize> {
        match self.options.shuffle {
            true => {
                random::permutation(self.images.len(), self.options.seed, Purpose::Shuffle, epoch)
            }
            false => (0..self.images.len()).collect(),
        }
    }

    fn batch(&self, order: &[usize], epoch: usize, index: usize) -> Result<Batch, Error> {
        let Options { batch_size, seed, augment, .. } = &self.options;
        let start = index * batch_size;
        let indices = order[start..order.len().min(start + batch_size)].to_vec();

        let [channels, height, width] = self.images.shape();
        let shape = [indices.len(), channels, height, width];
        // Those in files are decoded on all threads.
        let read = indices.par_iter().map(|&i| self.images.image(i));
        let pixels = read.collect::<Result<Vec<_>, _>>()?;
        let images = Tensor::build(shape, |out| {
            let seen = out.chunks_exact_mut(channels * height * width);
            for ((&i, pixels), seen) in indices.iter().zip(&pixels).zip(seen) {
                let view = augment.view(*seed, epoch, i, [height, width]);
                view.render(pixels, [height, width], &self.tables, &self.mean, seen);
            }
        });
        let labels = indices.iter().map(|&i| self.images.label(i)).collect();
        Ok(Batch { images, labels, indices, epoch, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_erased_gets_the_mean_of_the_images_whether_bytes_are_normalised_or_not() {
        let bytes: Vec<u8> = (0..2 * 64).map(|i| if i % 4 == 0 { 200 } else { 40 }).collect();
        let images = Arc::new(Images::new([1, 8, 8], bytes, vec![0, 0], vec!["a".into()]));
        for (normalize, mean) in
            [(Normalize::bytes(1), 80.0), (Normalize::of(&images).unwrap(), 0.0)]
        {
            let [low, high] = [40, 200].map(|byte| normalize.tables()[0][byte]);
            let augment = Augment { erase: 1.0, ..Augment::default() };
            let options = Options { augment, ..Options::train(2, 0, normalize) };
            let loader = Loader::new(images.clone(), options).expect("valid");
            let seen = loader.epoch(0, 0).next().expect("a batch").unwrap().images.to_vec();
            let others: Vec<f32> = seen.into_iter().filter(|&x| x != low && x != high).collect();
            assert!(!others.is_empty());
            assert!(others.iter().all(|&x| (x - mean).abs() < 1e-3), "{others:?}");
        }
    }
}
