//! Laws of made-up scenes.

use datasets::detection::{Annotated, Region, Scenes, Truth, scenes};
use datasets::image_folder::Channels;
use datasets::{Images, Split, sample};
use scenes::Options;

fn of(part: Split, options: Options) -> Scenes {
    Scenes::new(&sample::fashion(Split::Test), part, 7, options).unwrap()
}

fn first(scenes: &Scenes, count: u64) -> Vec<Annotated> {
    (0..count).map(|index| scenes.scene(index)).collect()
}

#[test]
fn a_scene_is_a_function_of_seed_part_and_index() {
    let scenes = of(Split::Train, Options::new([48, 64]));
    let reference = first(&scenes, 20);
    for index in [13, 2, 19] {
        assert_eq!(scenes.scene(index as u64), reference[index]);
    }
    let again: Vec<Annotated> = std::thread::scope(|scope| {
        let make = |index| {
            scope.spawn({
                let scenes = &scenes;
                move || scenes.scene(index)
            })
        };
        let threads: Vec<_> = (0..20).map(make).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(again, reference);
    for (i, scene) in first(&of(Split::Test, Options::new([48, 64])), 20).iter().enumerate() {
        assert_ne!(scene.pixels, reference[i].pixels);
    }
    assert_eq!((&reference[3].id, reference[3].shape), (&3.into(), [3, 48, 64]));
    assert!(scenes.scene(u64::MAX).objects.len() <= 8);
}

// Runs are resumed across builds: these numbers may not change.
#[test]
fn a_scene_is_fixed_for_ever() {
    let scene = of(Split::Train, Options::new([32, 32])).scene(5);
    let sum: u64 = scene.pixels.iter().map(|&byte| u64::from(byte)).sum();
    let edges = |r: Region| [r.left, r.top, r.right, r.bottom];
    let objects: Vec<_> = scene.objects.iter().map(|o| (o.class, edges(o.region))).collect();
    let expected = [
        (8, [6.0, 5.0, 21.0, 19.0]),
        (1, [22.0, 10.0, 29.0, 26.0]),
        (5, [2.0, 1.0, 15.0, 7.0]),
        (7, [4.0, 18.0, 24.0, 30.0]),
    ];
    assert_eq!((sum, &objects[..]), (277_883, &expected[..]));
}

#[test]
fn objects_have_the_number_the_size_and_the_room_asked_for() {
    let options = Options { max_objects: 3, ..Options::new([96, 96]) };
    let scenes = of(Split::Train, options.clone());
    let mut counts = [0; 4];
    for scene in first(&scenes, 1500) {
        counts[scene.objects.len()] += 1;
        for (i, a) in scene.objects.iter().enumerate() {
            assert!(a.region.is_proper() && a.region.clipped(96.0, 96.0) == a.region);
            assert_eq!(scene.truth[i], Truth::new(i as u64 + 1, *a));
            let longer = a.region.width().max(a.region.height());
            // The last pixels of a side may be too faint after scaling.
            assert!(
                (options.sides[0] - 3.0..=options.sides[1] + 0.5).contains(&longer),
                "{longer}"
            );
            for b in &scene.objects[..i] {
                let smaller = a.region.area().min(b.region.area());
                // A fifth, and what rounding to pixels adds.
                assert!(a.region.overlap(&b.region) <= 0.2 * smaller + 24.0);
            }
        }
    }
    // Four standard deviations of 1500 draws with probability ⅓ are 73.
    assert_eq!(counts[0], 0);
    assert!(counts[1..].iter().all(|&count| (427..=573).contains(&count)), "{counts:?}");
}

#[test]
fn where_there_is_no_room_there_are_fewer_objects() {
    let options = Options { max_objects: 50, sides: [20.0, 24.0], ..Options::new([32, 32]) };
    let counts: Vec<usize> =
        first(&of(Split::Train, options), 50).iter().map(|scene| scene.objects.len()).collect();
    assert!(counts.iter().all(|count| (1..10).contains(count)), "{counts:?}");
}

#[test]
fn a_zoomed_scene_shows_the_same_objects_more_densely() {
    let options = Options::new([48, 64]);
    let (plain, dense) = (of(Split::Test, options.clone()), of(Split::Test, options.zoomed(2.0)));
    assert_eq!(dense.shape(), [3, 96, 128]);
    for index in 0..100 {
        let (a, b) = (plain.scene(index), dense.scene(index));
        assert_eq!(a.objects.len(), b.objects.len());
        for (a, b) in a.objects.iter().zip(&b.objects) {
            let (a, b) = (a.region.scaled(2.0, 2.0), b.region);
            assert_eq!(a.is_proper(), b.is_proper());
            let off = [a.left - b.left, a.top - b.top, a.right - b.right, a.bottom - b.bottom];
            assert!(off.iter().all(|off| off.abs() <= 5.0), "{a:?} {b:?}");
        }
    }
}

#[test]
fn an_extended_scene_has_objects_of_the_same_size_further_out() {
    let (options, mut right) = (Options::new([64, 64]).extended([64, 128]), 0.0_f32);
    for scene in first(&of(Split::Test, options), 100) {
        for object in scene.objects {
            right = right.max(object.region.right);
            assert!(object.region.width() <= 24.5);
        }
    }
    assert!((120.0..=128.0).contains(&right));
}

#[test]
fn grey_scenes_have_one_channel_and_normalisation_the_channels_of_the_scenes() {
    let options = Options { channels: Channels::Grey, ..Options::new([32, 32]) };
    let scenes = of(Split::Train, options);
    assert_eq!(scenes.scene(0).shape, [1, 32, 32]);
    let normalize = scenes.normalize(50);
    assert_eq!((normalize.mean.len(), normalize.std.len()), (1, 1));
    assert!(normalize.mean[0] > 0.1 && normalize.mean[0] < 0.6);
}

#[test]
fn images_that_show_nothing_are_refused() {
    let refused = |channels, byte| {
        let images = Images::new([channels, 1, 1], vec![byte; channels], vec![0], vec!["a".into()]);
        Scenes::new(&images, Split::Train, 1, Options::new([64, 64])).unwrap_err().to_string()
    };
    assert_eq!(refused(1, 3), "scenes.images: expected an image that is not black; found none");
    assert_eq!(refused(3, 255), "scenes.images: expected images of one channel; found 3");
}
