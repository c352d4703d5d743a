//! How near generated captions come to those that people wrote: BLEU, ROUGE-L and CIDEr-D, as pycocoevalcap computes them.
//!
//! There is one candidate for each image and at least one reference. A caption is a list of words, and words are compared
//! as they are given. pycocoevalcap first sends candidates and references alike through Stanford's PTB tokenizer, which
//! makes letters small, splits off clitics ("don't" becomes "do n't") and punctuation, and then drops quotes, hyphens that
//! stand alone and `. ? ! , : ; ...`; `datasets::screens::caption_words` does the same, and the program scores what it gives.
//!
//! Figures of papers are these times 100; that holds for CIDEr-D as well, though it runs from 0 to 10.
//!
//! METEOR and SPICE are not computed. METEOR rests on WordNet's synonyms, tables of paraphrases and weights that were
//! fitted to judgements, SPICE on the scenes that a parser of English reads out of a sentence. Without exactly these
//! resources the numbers would be others under the same names.
//!
//! Source: the classes `Bleu`, `Rouge` and `Cider` of pycocoevalcap 1.2 (Chen et al., "Microsoft COCO captions", 2015, §4).

mod bleu;
mod cider;
mod rouge;

use std::collections::BTreeMap;

pub use bleu::{BleuCounts, bleu};
pub use cider::{DocumentFrequencies, cider_d, cider_d_of_each};
pub use rouge::{rouge_l, rouge_l_of_each};
use serde::{Deserialize, Serialize};

/// The longest n-grams that count.
const LONGEST: usize = 4;

/// All scores of a set of captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// BLEU-1, BLEU-2, BLEU-3 and BLEU-4 of the whole set, from 0 to 1 ([`bleu`]).
    pub bleu: [f64; LONGEST],
    /// The mean over images of ROUGE-L, from 0 to 1 ([`rouge_l`]).
    pub rouge_l: f64,
    /// The mean over images of CIDEr-D, from 0 to 10 ([`cider_d`]).
    pub cider_d: f64,
    /// What can be told for each image alone, in their order. BLEU cannot: it is a ratio of sums.
    pub images: Vec<ImageScores>,
}

/// The scores of one caption.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageScores {
    /// ROUGE-L, from 0 to 1.
    pub rouge_l: f64,
    /// CIDEr-D, from 0 to 10, with the document frequencies of the whole set.
    pub cider_d: f64,
}

impl Scores {
    /// Scores one candidate for each image against its references, with their document frequencies.
    ///
    /// # Panics
    /// If there are no images, as many lists of references as candidates are not given, or an image has no reference.
    #[track_caller]
    pub fn of<S: Ord>(candidates: &[Vec<S>], references: &[Vec<Vec<S>>]) -> Self {
        check("Scores::of", candidates, references);
        let frequencies = DocumentFrequencies::of(references);
        let rouge_l = rouge_l_of_each(candidates, references);
        let cider_d = cider_d_of_each(candidates, references, &frequencies);
        let images = rouge_l.iter().zip(&cider_d);
        Self {
            bleu: bleu(candidates, references),
            rouge_l: mean(&rouge_l),
            cider_d: mean(&cider_d),
            images: images.map(|(&rouge_l, &cider_d)| ImageScores { rouge_l, cider_d }).collect(),
        }
    }
}

#[track_caller]
fn check<S>(name: &str, candidates: &[Vec<S>], references: &[Vec<Vec<S>>]) {
    assert!(
        candidates.len() == references.len(),
        "{name}: {} candidates and references of {} images",
        candidates.len(),
        references.len()
    );
    assert!(!candidates.is_empty(), "{name}: no images");
    if let Some(image) = references.iter().position(Vec::is_empty) {
        panic!("{name}: image {image} has no reference");
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// How often each n-gram is in a caption. The map is sorted, so that sums over it do not depend on chance.
fn ngrams<S: Ord>(words: &[S], n: usize) -> BTreeMap<&[S], usize> {
    let mut counts = BTreeMap::new();
    words.windows(n).for_each(|gram| *counts.entry(gram).or_insert(0) += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(caption: &str) -> Vec<&str> {
        caption.split_whitespace().collect()
    }

    #[test]
    fn ngrams_are_counted_and_longer_ones_than_the_caption_are_not_there() {
        let caption = words("go to the page to the left");
        let pairs = ngrams(&caption, 2);
        assert_eq!((pairs.len(), pairs[&["to", "the"][..]]), (5, 2));
        assert!(ngrams(&caption, 8).is_empty() && ngrams::<&str>(&[], 1).is_empty());
    }

    #[test]
    fn scores_hold_what_the_functions_give_and_the_images_mean() {
        let candidates = [words("search for a place"), words("go back"), vec![]];
        let references = [
            vec![words("search for the place"), words("search")],
            vec![words("go back"), words("previous page")],
            vec![words("close")],
        ];
        let scores = Scores::of(&candidates, &references);
        assert_eq!(scores.bleu, bleu(&candidates, &references));
        assert_eq!(scores.rouge_l, rouge_l(&candidates, &references));
        let frequencies = DocumentFrequencies::of(&references);
        assert_eq!(scores.cider_d, cider_d(&candidates, &references, &frequencies));
        let sum: f64 = scores.images.iter().map(|image| image.cider_d).sum();
        assert_eq!((scores.images.len(), sum / 3.0), (3, scores.cider_d));
        assert_eq!(scores.images[2], ImageScores { rouge_l: 0.0, cider_d: 0.0 });
    }

    #[test]
    #[should_panic(expected = "bleu: 1 candidates and references of 2 images")]
    fn every_image_needs_a_candidate() {
        bleu(&[vec![1]], &[vec![vec![1]], vec![vec![2]]]);
    }

    #[test]
    #[should_panic(expected = "rouge_l: image 1 has no reference")]
    fn every_image_needs_a_reference() {
        rouge_l(&[vec![1], vec![2]], &[vec![vec![1]], vec![]]);
    }

    #[test]
    #[should_panic(expected = "Scores::of: no images")]
    fn no_images_have_no_scores() {
        Scores::of::<usize>(&[], &[]);
    }
}
