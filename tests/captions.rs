//! Scores of captions: laws, and pycocoevalcap's numbers.

use std::fs;
use std::path::Path;

use datasets::screens::caption_words;
use models::captions::{
    BleuCounts, DocumentFrequencies, Scores, bleu, cider_d_of_each, rouge_l, rouge_l_of_each,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::Deserialize;

/// A caption of the words 0 … 5, often with repeated ones.
fn captions(words: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(0..6u8, words)
}

type Sets = (Vec<Vec<u8>>, Vec<Vec<Vec<u8>>>);

/// Candidates and references of one to eight images, some of them empty.
fn sets() -> impl Strategy<Value = Sets> {
    let image = || (captions(0..9), vec(captions(0..9), 1..4));
    vec(image(), 1..9).prop_map(|images| images.into_iter().unzip())
}

fn near(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * b.abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn scores_are_in_their_ranges((candidates, references) in sets()) {
        let scores = Scores::of(&candidates, &references);
        let top = 1.0 + 1e-12;
        prop_assert!(scores.bleu.iter().all(|score| (0.0..=top).contains(score)), "{:?}", scores);
        let sound = |image: &models::captions::ImageScores| {
            (0.0..=top).contains(&image.rouge_l) && (0.0..=10.0 * top).contains(&image.cider_d)
        };
        prop_assert!(scores.images.iter().all(sound), "{:?}", scores);
    }

    #[test]
    fn identical_captions_have_the_highest_scores(captions in vec(captions(4..9), 2..9)) {
        // A word of its own makes every caption rare.
        let own = |(image, caption): (usize, &Vec<u8>)| {
            let mut words: Vec<usize> = caption.iter().map(|&word| word.into()).collect();
            (0..4).for_each(|i| words.insert(i, 10 + 4 * image + i));
            words
        };
        let captions: Vec<Vec<usize>> = captions.iter().enumerate().map(own).collect();
        let references: Vec<_> = captions.iter().map(|caption| vec![caption.clone()]).collect();
        let scores = Scores::of(&captions, &references);
        prop_assert!(scores.bleu.iter().all(|&score| near(score, 1.0, 1e-8)), "{:?}", scores.bleu);
        prop_assert!(near(scores.rouge_l, 1.0, 1e-12) && near(scores.cider_d, 10.0, 1e-12));
    }

    #[test]
    fn the_order_of_images_and_of_references_does_not_matter(
        (candidates, references) in sets(),
        by in 0..8usize,
    ) {
        let before = Scores::of(&candidates, &references);
        let (mut candidates, mut references) = (candidates, references);
        let by = by % candidates.len();
        candidates.rotate_left(by);
        references.rotate_left(by);
        references.iter_mut().for_each(|captions| captions.reverse());
        let mut after = Scores::of(&candidates, &references);
        prop_assert_eq!(after.bleu, before.bleu);
        prop_assert!(near(after.cider_d, before.cider_d, 1e-12));
        prop_assert!(near(after.rouge_l, before.rouge_l, 1e-12));
        after.images.rotate_right(by);
        for (a, b) in after.images.iter().zip(&before.images) {
            prop_assert!(a.rouge_l == b.rouge_l && near(a.cider_d, b.cider_d, 1e-12));
        }
    }

    #[test]
    fn another_reference_never_takes_a_match_away(
        (candidates, mut references) in sets(),
        more in captions(0..9),
        image in 0..8usize,
    ) {
        let counts = BleuCounts::of(&candidates, &references);
        let rouge = rouge_l_of_each(&candidates, &references);
        let images = references.len();
        references[image % images].push(more);
        let more = BleuCounts::of(&candidates, &references);
        prop_assert_eq!((more.all, more.candidate_words), (counts.all, counts.candidate_words));
        prop_assert!(more.matched.iter().zip(&counts.matched).all(|(more, less)| more >= less));
        prop_assert!(more.matched.iter().zip(&more.all).all(|(matched, all)| matched <= all));
        let more = rouge_l_of_each(&candidates, &references);
        prop_assert!(more.iter().zip(&rouge).all(|(more, less)| more >= less));
    }

    #[test]
    fn parts_of_a_set_are_scored_as_in_the_whole((candidates, references) in sets(), at in 0..8usize) {
        let at = at % candidates.len();
        let frequencies = DocumentFrequencies::of(&references);
        let whole = cider_d_of_each(&candidates, &references, &frequencies);
        let part = |from, to| cider_d_of_each(&candidates[from..to], &references[from..to], &frequencies);
        prop_assert_eq!(part(at, at + 1), &whole[at..=at]);
        let sums = |from, to| BleuCounts::of(&candidates[from..to], &references[from..to]);
        let (a, b, all) = (sums(0, at), sums(at, candidates.len()), sums(0, candidates.len()));
        for i in 0..4 {
            prop_assert_eq!(a.matched[i] + b.matched[i], all.matched[i]);
            prop_assert_eq!(a.all[i] + b.all[i], all.all[i]);
        }
        prop_assert_eq!(a.reference_words + b.reference_words, all.reference_words);
    }

    #[test]
    fn words_are_only_compared((candidates, references) in sets()) {
        // Any other words that differ where these do, in another order.
        const NAMES: [&str; 6] = ["zwei", "übung", "次", "Zwei", "a", "🙂"];
        let renamed = |caption: &Vec<u8>| caption.iter().map(|&word| NAMES[usize::from(word)]).collect();
        let other: Vec<Vec<&str>> = candidates.iter().map(renamed).collect();
        let of_image = |captions: &Vec<Vec<u8>>| captions.iter().map(renamed).collect();
        let others: Vec<Vec<Vec<&str>>> = references.iter().map(of_image).collect();
        let (before, after) = (Scores::of(&candidates, &references), Scores::of(&other, &others));
        prop_assert_eq!((before.bleu, before.rouge_l), (after.bleu, after.rouge_l));
        prop_assert!(near(before.cider_d, after.cider_d, 1e-12));
    }
}

#[test]
fn all_scores_are_pycocoevalcaps() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        candidates: Vec<String>,
        references: Vec<Vec<String>>,
        bleu: [f64; 4],
        rouge_l: f64,
        cider_d: f64,
        rouge_l_of_each: Vec<f64>,
        cider_d_of_each: Vec<f64>,
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/captions.json");
    let text = fs::read_to_string(path).expect("committed");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    assert_eq!(cases.len(), 14);
    for case in &cases {
        let words = |caption: &String| -> Vec<String> {
            caption.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let candidates: Vec<_> = case.candidates.iter().map(words).collect();
        let of_image = |captions: &Vec<String>| captions.iter().map(words).collect();
        let references: Vec<Vec<_>> = case.references.iter().map(of_image).collect();
        let scores = Scores::of(&candidates, &references);
        let same = |found: f64, expected: f64, what: &str| {
            let name = &case.name;
            assert!(near(found, expected, 1e-12), "{name}: {what}: {found} instead of {expected}");
        };
        for (found, expected) in bleu(&candidates, &references).into_iter().zip(case.bleu) {
            same(found, expected, "BLEU");
            assert!((found - expected).abs() <= 1e-6 * expected, "{}: small ones too", case.name);
        }
        same(scores.rouge_l, case.rouge_l, "ROUGE-L");
        same(rouge_l(&candidates, &references), case.rouge_l, "ROUGE-L");
        same(scores.cider_d, case.cider_d, "CIDEr-D");
        assert_eq!(scores.images.len(), case.rouge_l_of_each.len());
        for (i, image) in scores.images.iter().enumerate() {
            same(image.rouge_l, case.rouge_l_of_each[i], "ROUGE-L of an image");
            same(image.cider_d, case.cider_d_of_each[i], "CIDEr-D of an image");
        }
    }
}

/// pycocoevalcap 1.2 with its tokenizer, CoreNLP 3.4.1.
#[test]
fn captions_as_people_write_them_score_as_by_pycocoevalcap_with_its_tokenizer() {
    let candidates = ["submit", "go back", "don't show ads (more)", "Zip/postal code:"];
    let references: [&[&str]; 4] = [
        &["Submit", "Send."],
        &["Go back."],
        &["Don't show ads, more!"],
        &["zip / postal code", "ZIP/Postal Code"],
    ];
    let candidates = candidates.map(caption_words);
    let of_image = |captions: &[&str]| captions.iter().map(|text| caption_words(text)).collect();
    let references: Vec<Vec<Vec<String>>> = references.into_iter().map(of_image).collect();
    let scores = Scores::of(&candidates, &references);
    let found: Vec<f64> = scores.images.iter().map(|image| image.cider_d).collect();
    for (found, expected) in found.into_iter().zip([1.25, 5.0, 5.5042493, 2.91805897]) {
        assert!((found - expected).abs() < 1e-7, "{found} instead of {expected}");
    }
    assert!(near(scores.cider_d, 3.668077068512499, 1e-12), "{}", scores.cider_d);
    assert!(near(scores.rouge_l, 0.9647887323943662, 1e-12), "{}", scores.rouge_l);
    assert!(near(scores.bleu[3], 0.4777213960235587, 1e-8), "{:?}", scores.bleu);
}
