//! Batches for detection: what is in them, whatever made them and when.

use std::sync::Arc;

use datasets::detection::{
    Annotated, Augment, Batch, Detection, Loader, Object, Options, Region, Scenes, Source, Truth,
    scenes,
};
use datasets::{Normalize, Split, sample};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Leaves bytes as they are.
fn bytes(channels: usize) -> Normalize {
    Normalize { mean: vec![0.0; channels], std: vec![1.0 / 255.0; channels] }
}

/// A black picture with one object, which is white.
fn marked([height, width]: [usize; 2], region: Region) -> Annotated {
    let mut pixels = vec![0; height * width];
    for row in pixels.chunks_exact_mut(width).take(region.bottom as usize).skip(region.top as usize)
    {
        row[region.left as usize..region.right as usize].fill(255);
    }
    let object = Object { region, class: 0 };
    Annotated {
        id: 0.into(),
        name: "marked".into(),
        original: [height, width],
        shape: [1, height, width],
        pixels,
        objects: vec![object],
        truth: vec![Truth::new(1, object)],
    }
}

fn detection(pictures: Vec<Annotated>) -> Source {
    Source::Pictures(Arc::new(Detection::new(pictures, vec!["it".into(), "other".into()])))
}

/// Everything random at once, on scenes.
fn augmented(fresh: bool) -> Loader {
    let scenes =
        Scenes::new(&sample::fashion(Split::Test), Split::Test, 3, scenes::Options::new([40, 48]));
    let augment = Augment {
        flip: 0.5,
        flip_vertical: 0.5,
        crop: 0.5,
        rescale: 0.5,
        brightness: 0.2,
        contrast: 0.2,
        saturation: 0.2,
        ..Augment::default()
    };
    let source = Source::Scenes { scenes: Arc::new(scenes.unwrap()), len: 20, fresh };
    let normalize = Normalize { mean: vec![0.3, 0.2, 0.1], std: vec![0.2, 0.3, 0.4] };
    let options = Options { augment, ..Options::train(4, 5, [32, 36], normalize) };
    Loader::new(source, options).unwrap()
}

fn batches_of(loader: &Loader, epoch: usize, first: usize) -> Vec<Batch> {
    loader.epoch(epoch, first).collect::<Result<_, _>>().unwrap()
}

#[test]
fn evaluation_shows_every_picture_once_in_order_as_it_is() {
    let pictures = vec![
        marked([4, 6], Region::new(1.0, 1.0, 3.0, 2.0)),
        marked([8, 8], Region::new(0.0, 0.0, 8.0, 4.0)),
        marked([3, 3], Region::new(0.0, 0.0, 1.0, 1.0)),
    ];
    let loader = Loader::new(detection(pictures), Options::eval(2, [4, 6], bytes(1))).unwrap();
    let batches = batches_of(&loader, 7, 0);
    assert_eq!(
        batches.iter().map(|batch| batch.indices.clone()).collect::<Vec<_>>(),
        [vec![0, 1], vec![2]]
    );
    assert_eq!((batches[1].epoch, batches[1].index), (7, 1));
    assert_eq!(batches[0].images.dims(), [2, 1, 4, 6]);

    // The first picture has the size of the canvas, the second one is halved and leaves two columns, the third one grows.
    assert_eq!((&batches[0].sizes, &batches[1].sizes), (&vec![[4, 6], [4, 4]], &vec![[4, 4]]));
    let data = batches[0].images.to_vec();
    let first: Vec<f32> = (0..24).map(|i| if i == 7 || i == 8 { 255.0 } else { 0.0 }).collect();
    assert!(data[..24].iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-3));
    assert_eq!(data[24 + 4..24 + 6], [0.0, 0.0]);
    assert!((data[24] - 255.0).abs() < 1e-3);
    assert_eq!(
        batches[0].objects[1],
        [Object { region: Region::new(0.0, 0.0, 4.0, 2.0), class: 0 }]
    );
}

#[test]
fn what_lies_beside_a_picture_is_0_after_normalisation() {
    let normalize = Normalize { mean: vec![0.5], std: vec![0.5] };
    let pictures = vec![marked([2, 4], Region::new(0.0, 0.0, 4.0, 2.0))];
    let loader = Loader::new(detection(pictures), Options::eval(1, [4, 4], normalize)).unwrap();
    let batch = loader.epoch(0, 0).next().unwrap().unwrap();
    assert_eq!(batch.images.to_vec(), [[1.0; 8], [0.0; 8]].concat());
}

#[test]
fn what_is_scored_against_is_what_was_read_however_a_picture_is_shown() {
    let mut picture = marked([4, 4], Region::new(0.0, 0.0, 2.0, 2.0));
    let truth = Truth { crowd: true, area: 2.5, ..picture.truth[0] };
    picture.truth.push(Truth { bounds: [0.1, -3.0, 1.0 / 3.0, 9.0], ..truth });
    for options in [Options::train(1, 1, [9, 7], bytes(1)), Options::eval(1, [9, 7], bytes(1))] {
        let loader = Loader::new(detection(vec![picture.clone()]), options).unwrap();
        let batch = loader.epoch(0, 0).next().unwrap().unwrap();
        assert_eq!((batch.objects[0].len(), &batch.truth[0]), (1, &picture.truth));
    }
}

#[test]
fn an_epoch_goes_on_from_any_batch_exactly_at_any_depth_of_prefetch() {
    let loader = augmented(true);
    let whole = batches_of(&loader, 2, 0);
    assert_eq!(whole.len(), loader.batches());
    for (first, prefetch) in [(0, 0), (1, 7), (4, 1), (5, 2), (6, 2)] {
        let options = Options { prefetch, ..loader.options().clone() };
        let other = Loader::new(loader.source().clone(), options).unwrap();
        assert_eq!(batches_of(&other, 2, first), whole[first.min(whole.len())..], "from {first}");
    }
}

#[test]
fn what_becomes_of_a_picture_does_not_depend_on_its_batch() {
    let loader = augmented(false);
    let options = Options { batch_size: 7, shuffle: false, ..loader.options().clone() };
    let other = Loader::new(loader.source().clone(), options).unwrap();
    let thirteenth = |loader: &Loader| {
        let find = |batch: Batch| {
            let place = batch.indices.iter().position(|&i| i == 13)?;
            let size = batch.images.len() / batch.indices.len();
            let pixels = batch.images.data()[place * size..][..size].to_vec();
            Some((pixels, batch.sizes[place], batch.objects[place].clone()))
        };
        batches_of(loader, 0, 0).into_iter().find_map(find).unwrap()
    };
    assert_eq!(thirteenth(&loader), thirteenth(&other));
}

#[test]
fn fresh_scenes_never_come_again_and_others_always() {
    let indices = |loader: Loader, epoch| {
        let mut indices: Vec<usize> =
            batches_of(&loader, epoch, 0).into_iter().flat_map(|b| b.indices).collect();
        indices.sort_unstable();
        indices
    };
    assert!(indices(augmented(true), 3).into_iter().eq(60..80));
    assert!(indices(augmented(false), 3).into_iter().eq(0..20));
    let loader = augmented(true);
    assert_eq!(loader.source().picture(61).unwrap().name, "scene 61");
    assert_ne!(loader.order(0), loader.order(1).iter().map(|i| i - 20).collect::<Vec<_>>());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let picture = || marked([4, 4], Region::new(0.0, 0.0, 2.0, 2.0));
    let options = Options::train(4, 1, [4, 4], bytes(1));
    let augment = |augment| Options { augment, ..options.clone() };
    let nothing = Augment::default();
    let cases = [
        (Options { batch_size: 0, ..options.clone() }, "batch_size: expected at least 1; found 0"),
        (
            Options { canvas: [0, 4], ..options.clone() },
            "canvas: expected a height and a width from 1 to 16384; found [0, 4]",
        ),
        (
            Options { normalize: bytes(3), ..options.clone() },
            "normalize.mean: expected 1 values, one per channel; found [0.0, 0.0, 0.0]",
        ),
        (
            augment(Augment { crop: 1.5, ..nothing }),
            "augment.crop: expected a probability from 0 to 1; found 1.5",
        ),
        (
            augment(Augment { scale: [0.0, 1.0], ..nothing }),
            "augment.scale: expected two fractions above 0 up to 1, in order; found [0.0, 1.0]",
        ),
        (
            augment(Augment { contrast: f32::NAN, ..nothing }),
            "augment.contrast: expected a strength from 0 to 1; found NaN",
        ),
    ];
    for (options, message) in cases {
        let error = Loader::new(detection(vec![picture()]), options).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let error = Loader::new(detection(vec![]), options).unwrap_err().to_string();
    assert_eq!(error, "source: expected at least 1 picture; found 0");
}

/// Any augmentation of places; the colours stay.
fn any_augment() -> impl Strategy<Value = Augment> {
    let chance = || prop_oneof![Just(0.0_f32), Just(0.5), Just(1.0)];
    let fractions = || (0.3_f32..=1.0, 0.3_f32..=1.0).prop_map(|(a, b)| [a.min(b), a.max(b)]);
    let draws = (chance(), chance(), chance(), chance(), fractions(), fractions());
    draws.prop_map(|(flip, flip_vertical, crop, rescale, crop_size, scale)| Augment {
        flip,
        flip_vertical,
        crop,
        crop_size,
        rescale,
        scale,
        ..Augment::default()
    })
}

/// A picture's height and width, and a rectangle of whole pixels in it that is not tiny.
fn any_marked() -> impl Strategy<Value = Annotated> {
    let side = || (20_usize..=60).prop_flat_map(|side| (Just(side), 0..side - 8));
    let spans = (side(), side(), 8_usize..=40, 8_usize..=40);
    spans.prop_map(|((height, top), (width, left), h, w)| {
        let (bottom, right) = ((top + h).min(height), (left + w).min(width));
        let [left, top, right, bottom] = [left, top, right, bottom].map(|edge| edge as f32);
        marked([height, width], Region::new(left, top, right, bottom))
    })
}

/// The rectangle around all pixels that are more white than black; `None` if there are none.
fn white(image: &[f32], width: usize) -> Option<Region> {
    let places = image.iter().enumerate().filter(|(_, value)| **value > 127.5);
    let places = places.map(|(i, _)| ((i / width) as f32, (i % width) as f32));
    places.map(|(y, x)| Region::new(x, y, x + 1.0, y + 1.0)).reduce(|a, b| Region {
        left: a.left.min(b.left),
        top: a.top.min(b.top),
        right: a.right.max(b.right),
        bottom: a.bottom.max(b.bottom),
    })
}

fn edges(region: &Region) -> [f32; 4] {
    [region.left, region.top, region.right, region.bottom]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_box_stays_with_the_pixels_it_was_drawn_around(
        picture in any_marked(),
        augment in any_augment(),
        canvas in [24_usize..70, 24_usize..70],
        seed: u64,
    ) {
        let options = Options { augment, shuffle: false, ..Options::train(1, seed, canvas, bytes(1)) };
        let loader = Loader::new(detection(vec![picture]), options).unwrap();
        for epoch in 0..3 {
            let batch = loader.epoch(epoch, 0).next().unwrap().unwrap();
            let [height, width] = batch.sizes[0];
            prop_assert!(height <= canvas[0] && width <= canvas[1]);
            prop_assert!(height == canvas[0] || width == canvas[1] || loader.options().augment.rescale > 0.0);
            let seen = white(batch.images.data(), canvas[1]);
            match &batch.objects[0][..] {
                [] => prop_assert_eq!(seen, None),
                [object] => {
                    let region = object.region;
                    prop_assert!(region.is_proper());
                    prop_assert_eq!(region.clipped(width as f32, height as f32), region);
                    let Some(seen) = seen else {
                        prop_assert!(region.width().min(region.height()) < 1.0);
                        continue;
                    };
                    for (a, b) in edges(&seen).into_iter().zip(edges(&region)) {
                        prop_assert!((a - b).abs() <= 1.0, "{:?} {:?}", seen, region);
                    }
                }
                more => prop_assert!(false, "{:?}", more),
            }
        }
    }

    #[test]
    fn reflected_twice_a_picture_and_its_boxes_are_what_they_were(
        picture in any_marked(),
        flip: bool,
        flip_vertical: bool,
    ) {
        let [_, height, width] = picture.shape;
        let chance = |flip| f32::from(u8::from(flip));
        let augment = Augment {
            flip: chance(flip),
            flip_vertical: chance(flip_vertical),
            ..Augment::default()
        };
        let reflected = |picture: Annotated| {
            let options = Options { augment, ..Options::eval(1, [height, width], bytes(1)) };
            let loader = Loader::new(detection(vec![picture.clone()]), options).unwrap();
            let batch = loader.epoch(0, 0).next().unwrap().unwrap();
            let pixels = batch.images.data().iter().map(|value| value.round() as u8).collect();
            Annotated { pixels, objects: batch.objects[0].clone(), ..picture }
        };
        let once = reflected(picture.clone());
        let symmetric = once.pixels == picture.pixels;
        prop_assert!(once != picture || symmetric);
        prop_assert_eq!(reflected(once), picture);
    }
}
