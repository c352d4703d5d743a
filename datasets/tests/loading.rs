//! Batches: what is in them and in which order.

use std::sync::Arc;

use datasets::{Augment, Batch, Images, Loader, Normalize, Options, Split, sample};

/// Ten images of one pixel, whose value and label are their index.
fn ten() -> Arc<Images> {
    let classes = (0..10).map(|i| i.to_string()).collect();
    Arc::new(Images::new([1, 1, 1], (0..10).collect(), (0..10).collect(), classes))
}

/// Leaves bytes as they are.
fn bytes() -> Normalize {
    Normalize { mean: vec![0.0], std: vec![1.0 / 255.0] }
}

fn batches(options: Options, epoch: usize, first: usize) -> Vec<Batch> {
    epoch_of(&Loader::new(ten(), options).unwrap(), epoch, first)
}

fn epoch_of(loader: &Loader, epoch: usize, first: usize) -> Vec<Batch> {
    loader.epoch(epoch, first).collect::<Result<_, _>>().unwrap()
}

/// Everything random at once, on the built-in images.
fn augmented() -> Loader {
    let augment = Augment { crop_padding: 2, flip: 0.5, erase: 0.5, ..Augment::default() };
    let images = Arc::new(sample::fashion(Split::Test));
    let options = Options { augment, ..Options::train(64, 5, Normalize::fashion_mnist()) };
    Loader::new(images, options).unwrap()
}

#[test]
fn evaluation_shows_every_image_once_in_order() {
    let batches = batches(Options::eval(4, bytes()), 3, 0);
    assert_eq!(batches.iter().map(|b| b.images.dims()[0]).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(batches[2].images.data(), [8.0, 9.0]);
    assert_eq!((&batches[2].labels, &batches[2].indices), (&vec![8, 9], &vec![8, 9]));
    assert_eq!((batches[2].epoch, batches[2].index), (3, 2));
}

#[test]
fn each_epoch_is_another_permutation() {
    let options = Options { drop_last: false, ..Options::train(4, 1, bytes()) };
    let order = |epoch| -> Vec<usize> {
        batches(options.clone(), epoch, 0).into_iter().flat_map(|batch| batch.indices).collect()
    };
    assert_ne!(order(0), order(1));
    assert_eq!(order(1), Loader::new(ten(), options.clone()).unwrap().order(1));
    let mut sorted = order(1);
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..10));
}

#[test]
fn an_incomplete_batch_is_left_out_when_asked_for() {
    let batches = batches(Options::train(4, 1, bytes()), 0, 0);
    assert!(batches.iter().map(|batch| batch.images.dims()[0]).eq([4, 4]));
}

#[test]
fn an_epoch_goes_on_from_any_batch_exactly() {
    let loader = augmented();
    let whole = epoch_of(&loader, 2, 0);
    assert_eq!(whole.len(), loader.batches());
    for first in [1, 7, loader.batches(), loader.batches() + 1] {
        let rest = whole.get(first..).unwrap_or_default();
        assert_eq!(epoch_of(&loader, 2, first), rest, "from batch {first}");
    }
}

#[test]
fn batches_do_not_depend_on_the_depth_of_the_prefetch() {
    let loader = augmented();
    let epoch = |prefetch| {
        let options = Options { prefetch, ..loader.options().clone() };
        epoch_of(&Loader::new(Arc::clone(loader.images()), options).unwrap(), 1, 0)
    };
    let reference = epoch(0);
    assert_eq!(epoch(3), reference);
    assert_eq!(epoch(100), reference);
}

#[test]
fn what_becomes_of_an_image_does_not_depend_on_its_batch() {
    let loader = augmented();
    let options = Options { batch_size: 33, shuffle: false, ..loader.options().clone() };
    let other = Loader::new(Arc::clone(loader.images()), options).unwrap();
    let pixels_of_42 = |loader: &Loader| -> Vec<f32> {
        let find = |batch: Batch| {
            let place = batch.indices.iter().position(|&i| i == 42)?;
            Some(batch.images.data()[place * 784..][..784].to_vec())
        };
        epoch_of(loader, 0, 0).into_iter().find_map(find).unwrap()
    };
    assert_eq!(pixels_of_42(&loader), pixels_of_42(&other));
}

#[test]
fn a_normalised_data_set_has_mean_0_and_deviation_1() {
    let images = sample::fashion(Split::Test);
    let options = Options::eval(100, Normalize::of(&images).unwrap());
    let loader = Loader::new(Arc::new(images), options).unwrap();
    let batches = epoch_of(&loader, 0, 0);
    let values: Vec<f64> =
        batches.iter().flat_map(|batch| batch.images.to_vec()).map(f64::from).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / 784_000.0;
    assert!(mean(&mut values.iter().copied()).abs() < 1e-6);
    assert!((mean(&mut values.iter().map(|x| x * x)) - 1.0).abs() < 1e-6);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let options = Options::train(4, 1, bytes());
    let augment = |augment| Options { augment, ..options.clone() };
    let nothing = Augment::default();
    let cases = [
        (Options { batch_size: 0, ..options.clone() }, "batch_size: expected at least 1; found 0"),
        (
            Options { normalize: Normalize::cifar10(), ..options.clone() },
            "normalize.mean: expected 1 values, one per channel; found [0.4914, 0.4822, 0.4465]",
        ),
        (
            Options { normalize: Normalize { mean: vec![0.0], std: vec![0.0] }, ..options.clone() },
            "normalize.std: expected finite values above 0; found [0.0]",
        ),
        (
            augment(Augment { crop_padding: 1, ..nothing.clone() }),
            "augment.crop_padding: expected less than the size of the images, 1 × 1; found 1",
        ),
        (
            augment(Augment { flip: f32::NAN, ..nothing.clone() }),
            "augment.flip: expected a probability from 0 to 1; found NaN",
        ),
        (
            augment(Augment { erase_area: [0.5, 0.2], ..nothing.clone() }),
            "augment.erase_area: expected two fractions from 0 to 1, in order; found [0.5, 0.2]",
        ),
    ];
    for (options, message) in cases {
        assert_eq!(Loader::new(ten(), options).unwrap_err().to_string(), message);
    }
}
