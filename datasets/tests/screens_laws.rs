//! What holds of any view hierarchy and any vocabulary.

use std::fs;

use datasets::screens::{
    EOS, Limits, Node, SIDE, Screen, Screens, Vocabulary, Widget, caption_words, resource_words,
    screen, text_words,
};
use image::GrayImage;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

/// A node to come: below which of those before, how many nulls in front of it, and its bounds.
type Seed = (usize, usize, [i32; 4]);

/// A number as a word of letters.
fn letters(mut number: usize) -> String {
    let mut word = String::from("n");
    while number > 0 {
        word.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
    }
    word
}

/// A tree whose nodes have their numbers as resource ids.
fn tree(seeds: &[Seed]) -> Value {
    let mut children: Vec<Vec<(usize, usize)>> = vec![Vec::new(); seeds.len()];
    for (i, &(parent, nulls, _)) in seeds.iter().enumerate().skip(1) {
        children[parent % i].push((nulls, i));
    }
    let mut done: Vec<Value> = vec![Value::Null; seeds.len()];
    for i in (0..seeds.len()).rev() {
        let mut below = Vec::new();
        for &(nulls, child) in &children[i] {
            below.extend(vec![Value::Null; nulls]);
            below.push(done[child].take());
        }
        let id = format!("p:id/{}", letters(i));
        let mut node = Map::from_iter([("resource-id".to_string(), json!(id))]);
        node.insert("bounds".into(), json!(seeds[i].2));
        if !below.is_empty() || i % 2 == 0 {
            node.insert("children".into(), Value::Array(below));
        }
        done[i] = Value::Object(node);
    }
    done[0].take()
}

fn read(root: &Value) -> Screen {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("1.json"), json!({"activity": {"root": root}}).to_string()).unwrap();
    GrayImage::new(3, 5).save(dir.path().join("1.png")).unwrap();
    screen(&dir.path().join("1.json"), &Limits::default()).unwrap()
}

/// The node that a path names in the file.
fn named<'a>(root: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .skip(1)
        .fold(root, |node, place| &node["children"][place.parse::<usize>().unwrap()])
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let bound = prop_oneof![-100..3000_i32, Just(0), Just(1440), any::<i32>()];
    let seed = (any::<usize>(), 0..3_usize, proptest::array::uniform4(bound));
    proptest::collection::vec(seed, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_node_is_there_once_and_its_path_names_it(seeds in seeds()) {
        let root = tree(&seeds);
        let screen = read(&root);
        prop_assert_eq!(screen.nodes.len(), seeds.len());
        for (i, node) in screen.nodes.iter().enumerate() {
            let id = named(&root, &node.path)["resource-id"].as_str().unwrap().to_string();
            prop_assert_eq!(&node.resource, &[id.split('/').nth(1).unwrap()]);
            prop_assert_eq!(screen.find(&node.path), Some(i));
        }
    }

    #[test]
    fn a_node_is_above_another_if_it_is_before_in_pre_order_and_behind_in_post_order(seeds in seeds()) {
        let nodes = read(&tree(&seeds)).nodes;
        let above = |a: &Node, b: &Node| b.path.starts_with(&format!("{}.", a.path));
        for (i, a) in nodes.iter().enumerate() {
            let [depth, pre, _] = a.dom;
            prop_assert_eq!((depth, pre), (a.path.split('.').count(), i + 1));
            prop_assert_eq!(a.leaf, !nodes.iter().any(|b| above(a, b)));
            for b in &nodes {
                prop_assert_eq!(above(a, b), a.dom[1] < b.dom[1] && a.dom[2] > b.dom[2]);
            }
        }
        let mut post: Vec<usize> = nodes.iter().map(|node| node.dom[2]).collect();
        post.sort_unstable();
        prop_assert!(post.into_iter().eq(1..=nodes.len()));
    }

    #[test]
    fn bounds_are_fractions_in_order(seeds in seeds()) {
        for Node { bounds: [left, top, right, bottom], .. } in read(&tree(&seeds)).nodes {
            prop_assert!(0.0 <= left && left <= right && right <= 1.0);
            prop_assert!(0.0 <= top && top <= bottom && bottom <= 1.0);
        }
    }

    #[test]
    fn a_damaged_hierarchy_is_an_error_or_a_screen_and_never_a_panic(
        seeds in seeds(),
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = json!({"activity": {"root": tree(&seeds)}}).to_string().into_bytes();
        let length = bytes.len();
        damage.into_iter().for_each(|(at, byte)| bytes[at % length] = byte);
        fs::write(dir.path().join("1.json"), bytes).unwrap();
        GrayImage::new(3, 5).save(dir.path().join("1.png")).unwrap();
        if let Err(error) = screen(&dir.path().join("1.json"), &Limits::default()) {
            prop_assert!(error.to_string().contains("1.json: "), "{}", error);
        }
    }

    #[test]
    fn known_words_come_back_as_they_are_compared(captions in proptest::collection::vec(
        proptest::collection::vec("[a-z0-9'&é]{1,4}", 1..8), 1..6)
    ) {
        let captions: Vec<String> = captions.iter().map(|words| words.join(" ")).collect();
        let widgets = vec![Widget { node: 0, captions: captions.clone() }];
        let (nodes, pixels) = (vec![Node::default()], vec![0; SIDE * SIDE]);
        let screen = Screen { nodes, widgets, pixels, ..Screen::default() };
        let vocabulary = Vocabulary::of_captions(&Screens::new(vec![screen]), usize::MAX, 1);
        for caption in &captions {
            let ids = vocabulary.encode_caption(caption, 100);
            prop_assert_eq!(ids.last(), Some(&EOS));
            prop_assert_eq!(vocabulary.decode(&ids), caption_words(caption).join(" "));
        }
        for id in 0..vocabulary.len() {
            prop_assert_eq!(vocabulary.id(vocabulary.word(id).unwrap()), Some(id));
        }
    }

    #[test]
    fn words_are_short_lower_case_ascii_and_at_most_ten(text in "\\PC{0,80}") {
        for words in [text_words(&text), resource_words(&text)] {
            prop_assert!(words.len() <= 10);
            for word in words {
                let sound = word.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
                prop_assert!(sound && !word.is_empty() && !word.contains(' '), "{}", word);
            }
        }
    }
}
