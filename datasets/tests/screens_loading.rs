//! Batches of screens: what is in them, whatever made them and when.

use std::collections::HashSet;
use std::sync::Arc;

use datasets::screens::{
    Band, Batch, EOS, LeftOut, Loader, Node, Options, SIDE, Screen, Screens, TEXT_WORDS,
    Vocabulary, Widget,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

/// A root above so many leaves, one below the other, the first of which have these captions.
fn screen(id: &str, leaves: usize, captions: &[&[&str]]) -> Screen {
    let leaf = |i: usize| Node {
        path: format!("0.{i}"),
        class: 1 + i % 11,
        clickable: i.is_multiple_of(2),
        bounds: [0.25, i as f32 / leaves as f32, 0.75, (i + 1) as f32 / leaves as f32],
        dom: [2, i + 2, i + 1],
        developer: words("go there"),
        visible: true,
        leaf: true,
        ..Node::default()
    };
    let root = Node {
        path: "0".into(),
        class: 4,
        bounds: [0.0, 0.0, 1.0, 1.0],
        dom: [1, 1, leaves + 1],
        resource: words("back page"),
        ..Node::default()
    };
    let widget = |(i, captions): (usize, &&[&str])| Widget {
        node: i + 1,
        captions: captions.iter().map(|caption| caption.to_string()).collect(),
    };
    let widgets: Vec<Widget> = captions.iter().enumerate().map(widget).collect();
    let pixels = (0..widgets.len()).flat_map(|i| [(i + 1) as u8; SIDE * SIDE]).collect();
    let nodes = std::iter::once(root).chain((0..leaves).map(leaf)).collect();
    Screen { id: id.into(), nodes, widgets, pixels, ..Screen::default() }
}

/// Five screens, the fourth without widgets.
fn five() -> Arc<Screens> {
    Arc::new(Screens::new(vec![
        screen("a", 2, &[&["go back", "back", "page"]]),
        screen("b", 5, &[&["go"], &["back", "go", "a page"], &["to the page", "go to"]]),
        screen("c", 1, &[&["page", "back"]]),
        screen("d", 3, &[]),
        screen("e", 4, &[&["go on", "on", "go"], &["page", "the page", "a"]]),
    ]))
}

fn loader(options: Options) -> Loader {
    let screens = five();
    let vocabulary = Arc::new(Vocabulary::of_captions(&screens, 100, 1));
    Loader::new(screens, vocabulary, options).unwrap()
}

/// The caption of each widget of an epoch, by screen and widget.
fn targets(loader: &Loader, epoch: usize) -> Vec<([usize; 2], String)> {
    let mut targets = Vec::new();
    for batch in loader.epoch(epoch, 0) {
        for (w, &(b, _)) in batch.widgets.iter().enumerate() {
            let ids = &batch.targets[w * batch.words..][..batch.words];
            let caption = loader.vocabulary().decode(ids);
            targets.push(([batch.indices[b], batch.origins[w]], caption));
        }
    }
    targets.sort();
    targets
}

#[test]
fn evaluation_shows_every_screen_with_widgets_once_in_order_padded_to_the_longest() {
    let loader = loader(Options::eval(2));
    let batches: Vec<Batch> = loader.epoch(3, 0).collect();
    let indices: Vec<Vec<usize>> = batches.iter().map(|batch| batch.indices.clone()).collect();
    assert_eq!((indices, loader.len()), (vec![vec![0, 1], vec![2, 4]], 4));
    let left_out = LeftOut { screens: 1, ..LeftOut::default() };
    assert_eq!((loader.left_out(), batches[1].epoch, batches[1].index), (left_out, 3, 1));

    let batch = &batches[0];
    assert_eq!((batch.nodes, &batch.counts[..]), (6, &[3, 6][..]));
    assert_eq!(batch.class, [4, 1, 2, 0, 0, 0, 4, 1, 2, 3, 4, 5]);
    assert_eq!(batch.clickable, [0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1]);
    assert_eq!(batch.dom[..4], [[1, 1, 3], [2, 2, 1], [2, 3, 2], [0, 0, 0]]);
    assert_eq!(batch.bounds[1..4], [[0.25, 0.0, 0.75, 0.5], [0.25, 0.5, 0.75, 1.0], [0.0; 4]]);

    // go and page 6 times, back 4 times, then a, on, the and to 2 times each.
    let id = |word: &str| loader.vocabulary().id(word).unwrap();
    assert_eq!(["go", "page", "back", "a", "on"].map(id), [4, 5, 6, 7, 8]);
    assert_eq!(batch.developer[10..20], [4, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(batch.resource[..20], [[6, 5, 0, 0, 0, 0, 0, 0, 0, 0], [0; 10]].as_flattened()[..]);
    assert!(batch.developer[..10].iter().chain(&batch.developer[30..60]).all(|&word| word == 0));
    assert_eq!(batch.developer.len(), 2 * 6 * TEXT_WORDS);

    assert_eq!(batch.widgets, [(0, 1), (1, 1), (1, 2), (1, 3)]);
    assert_eq!((&batch.origins[..], batch.words), (&[0, 0, 1, 2][..], 4));
    let [to, the] = ["to", "the"].map(id);
    assert_eq!(
        batch.targets,
        [[4, 6, EOS, 0], [4, EOS, 0, 0], [6, EOS, 0, 0], [to, the, 5, EOS]].as_flattened()
    );
    assert_eq!(batch.pixels.dims(), [4, 1, SIDE, SIDE]);
    let pixels = batch.pixels.to_vec();
    assert_eq!([0, 1, 2, 3].map(|w| pixels[w * SIDE * SIDE] * 255.0), [1.0, 1.0, 2.0, 3.0]);
}

#[test]
fn a_resumed_epoch_goes_on_with_the_same_batches() {
    let loader = loader(Options { drop_last: false, ..Options::train(1, 7) });
    for epoch in 0..3 {
        let whole: Vec<Batch> = loader.epoch(epoch, 0).collect();
        assert_eq!(whole.len(), 4);
        for first in 0..=4 {
            assert!(loader.epoch(epoch, first).eq(whole[first..].iter().cloned()));
        }
    }
}

#[test]
fn the_caption_of_a_widget_depends_on_seed_and_epoch_and_not_on_its_neighbours() {
    let base = Options { drop_last: false, ..Options::train(1, 7) };
    let others = [
        Options { batch_size: 3, ..base.clone() },
        Options { shuffle: false, ..base.clone() },
        Options { prefetch: 0, ..base.clone() },
    ];
    let base = loader(base);
    for epoch in 0..4 {
        for other in &others {
            assert_eq!(targets(&loader(other.clone()), epoch), targets(&base, epoch));
        }
    }
    let seen: HashSet<_> = (0..40).flat_map(|epoch| targets(&base, epoch)).collect();
    assert_eq!(seen.len(), 3 + 1 + 3 + 2 + 2 + 3 + 3, "in 40 epochs each caption has its turn");
    assert_ne!(targets(&base, 0), targets(&base, 1));
}

#[test]
fn shuffled_epochs_have_orders_of_their_own_and_leave_an_incomplete_batch_out() {
    let loader = loader(Options::train(3, 2));
    assert_eq!((loader.batches(), loader.len()), (1, 4));
    let order = |epoch| loader.epoch(epoch, 0).flat_map(|batch| batch.indices).collect::<Vec<_>>();
    let orders: HashSet<Vec<usize>> = (0..20).map(order).collect();
    assert!(orders.len() > 5 && orders.iter().all(|order| order.len() == 3 && !order.contains(&3)));
}

#[test]
fn a_widget_without_a_known_word_is_drawn_never_and_measured_all_the_same() {
    let screens = five();
    let vocabulary = Arc::new(Vocabulary::of_captions(&screens, 1, 1)); // go
    let new =
        |options| Loader::new(Arc::clone(&screens), Arc::clone(&vocabulary), options).unwrap();
    let train = new(Options { drop_last: false, ..Options::train(4, 1) });
    assert_eq!(train.left_out(), LeftOut { widgets: 2, screens: 2, ..LeftOut::default() });
    let seen = targets(&train, 0);
    assert_eq!(
        seen.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [[0, 0], [1, 0], [1, 1], [1, 2], [4, 0]]
    );
    assert!(seen.iter().all(|(_, caption)| caption == "go"), "the one caption that has the word");

    let eval = new(Options::eval(8));
    let captions: Vec<String> = targets(&eval, 0).into_iter().map(|(_, caption)| caption).collect();
    assert_eq!(captions, ["go", "go", "", "", "", "go", ""]);
}

#[test]
fn leaves_and_widgets_in_the_band_are_left_out() {
    let band = Band { top: 0.4, bottom: 0.6 };
    assert!(band.holds([0.0, 0.3, 1.0, 0.5]) && !band.holds([0.0, 0.5, 1.0, 0.7]));
    let loader = loader(Options { band: Some(band), ..Options::eval(1) });
    // Of b the leaf from 0.4 to 0.6, with its widget; of c the only leaf.
    let left_out = LeftOut { in_band: 1, beyond: 0, widgets: 2, screens: 2 };
    assert_eq!((loader.left_out(), loader.len()), (left_out, 3));
    let batch = loader.epoch(0, 1).next().unwrap();
    assert_eq!((&batch.class[..], &batch.indices[..]), (&[4, 1, 2, 4, 5][..], &[1][..]));
    assert_eq!((&batch.widgets[..], &batch.origins[..]), (&[(0, 1), (0, 2)][..], &[0, 1][..]));
    assert!(batch.bounds[1..].iter().all(|&bounds| !band.holds(bounds)));
}

#[test]
fn nodes_beyond_the_most_are_left_out_but_no_widget_and_nothing_above_one() {
    // 0, 0.0 with 0.0.0, …, 0.0.3, and 0.1 with 0.1.0, which has the caption.
    let paths = ["0", "0.0", "0.0.0", "0.0.1", "0.0.2", "0.0.3", "0.1", "0.1.0", "0.2"];
    let mut screen = screen("a", paths.len() - 1, &[]);
    for (i, (node, path)) in screen.nodes.iter_mut().zip(paths).enumerate() {
        (node.path, node.class, node.leaf) = (path.into(), i + 1, ![0, 1, 6].contains(&i));
    }
    screen.widgets.push(Widget { node: 7, captions: vec!["go".into()] });
    screen.pixels = vec![9; SIDE * SIDE];
    let screens = Arc::new(Screens::new(vec![screen]));
    let vocabulary = Arc::new(Vocabulary::of_captions(&screens, 9, 1));
    let classes = |max_nodes| {
        let options = Options { max_nodes, ..Options::eval(1) };
        let loader = Loader::new(Arc::clone(&screens), Arc::clone(&vocabulary), options).unwrap();
        let batch = loader.epoch(0, 0).next().unwrap();
        assert_eq!(batch.class[batch.widgets[0].1], 8);
        assert_eq!(loader.left_out().beyond, 9 - batch.nodes);
        batch.class
    };
    assert_eq!(classes(9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(classes(6), [1, 2, 3, 4, 7, 8]);
    assert_eq!(classes(4), [1, 2, 7, 8]);
    assert_eq!(classes(3), [1, 7, 8]);
    assert_eq!(classes(1), [1, 7, 8], "what must stay is more than the most");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let screens = five();
    let vocabulary = Arc::new(Vocabulary::of_captions(&screens, 100, 1));
    let message = |screens: &Arc<Screens>, options: Options| {
        let made = Loader::new(Arc::clone(screens), Arc::clone(&vocabulary), options);
        made.unwrap_err().to_string()
    };
    let eval = Options::eval(1);
    assert_eq!(message(&screens, Options::eval(0)), "batch_size: expected at least 1; found 0");
    let words = Options { max_words: 0, ..eval.clone() };
    assert_eq!(message(&screens, words), "max_words: expected at least 1; found 0");
    let nodes = Options { max_nodes: 0, ..eval.clone() };
    assert_eq!(message(&screens, nodes), "max_nodes: expected at least 1; found 0");
    for (top, bottom) in [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (f32::NAN, 0.5)] {
        let options = Options { band: Some(Band { top, bottom }), ..eval.clone() };
        let found =
            format!("band: expected 0 ≤ top < bottom ≤ 1; found top {top}, bottom {bottom}");
        assert_eq!(message(&screens, options), found);
    }
    let all = Options { band: Some(Band { top: 0.0, bottom: 1.0 }), ..eval };
    let found = "screens: expected at least 1 screen with a widget; found 0";
    assert_eq!(message(&screens, all), found);
}

// Runs are resumed across builds: these may not change with a new version of `rand`.
#[test]
fn what_is_drawn_is_fixed_for_ever_by_seed_and_epoch() {
    let loader = loader(Options { drop_last: false, ..Options::train(2, 0) });
    let captions = |epoch| {
        let captions = targets(&loader, epoch).into_iter().map(|(_, caption)| caption);
        captions.collect::<Vec<_>>().join("|")
    };
    assert_eq!(captions(0), "go back|go|a page|go to|back|go on|a");
    assert_eq!(captions(1), "back|go|a page|go to|page|go on|the page");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_batch_without_its_padding_is_its_screens_one_by_one(
        sizes in proptest::collection::vec((1..9_usize, 0..4_usize), 1..6),
    ) {
        let captions: [&[&str]; 3] = [&["go back"], &["page"], &["a b c d"]];
        let screens = sizes.iter().map(|&(leaves, n)| screen("x", leaves, &captions[..n.min(leaves)]));
        let screens: Vec<Screen> = screens.collect();
        let vocabulary = Vocabulary::of_captions(&Screens::new(screens.clone()), 100, 1);
        let batch = Batch::of(&screens.iter().collect::<Vec<_>>(), &vocabulary, 3);
        let pixels = batch.pixels.to_vec();
        let mut w = 0;
        for (b, screen) in screens.iter().enumerate() {
            let alone = Batch::of(&[screen], &vocabulary, 3);
            let (from, count) = (b * batch.nodes, alone.nodes);
            prop_assert_eq!((batch.counts[b], batch.indices[b]), (count, b));
            prop_assert_eq!(&batch.class[from..][..count], &alone.class[..]);
            prop_assert_eq!(&batch.clickable[from..][..count], &alone.clickable[..]);
            prop_assert_eq!(&batch.dom[from..][..count], &alone.dom[..]);
            prop_assert_eq!(&batch.bounds[from..][..count], &alone.bounds[..]);
            let (text, words) = (from * TEXT_WORDS, count * TEXT_WORDS);
            prop_assert_eq!(&batch.developer[text..][..words], &alone.developer[..]);
            prop_assert_eq!(&batch.resource[text..][..words], &alone.resource[..]);
            prop_assert!(batch.class[from + count..(b + 1) * batch.nodes].iter().all(|&c| c == 0));
            for (i, &(_, node)) in alone.widgets.iter().enumerate() {
                prop_assert_eq!((batch.widgets[w], batch.origins[w]), ((b, node), i));
                let target = &batch.targets[w * batch.words..][..batch.words];
                let (own, padding) = target.split_at(alone.words);
                prop_assert_eq!(own, &alone.targets[i * alone.words..][..alone.words]);
                prop_assert!(padding.iter().all(|&word| word == 0));
                let area = SIDE * SIDE;
                prop_assert_eq!(&pixels[w * area..][..area], &alone.pixels.to_vec()[i * area..][..area]);
                w += 1;
            }
        }
        prop_assert_eq!(w, batch.widgets.len());
    }
}
