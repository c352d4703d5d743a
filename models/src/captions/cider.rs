//! CIDEr-D: the cosine of n-grams weighted by how rare they are.

use std::collections::BTreeMap;

use super::{LONGEST, check, mean, ngrams};

/// The standard deviation of the difference in length.
const SIGMA: f64 = 6.0;

/// In the references of how many images each n-gram is, n = 1 … 4: what makes the rare ones weigh more.
///
/// Those of the whole set have to be used when a part of it is scored, so that parts can be compared.
#[derive(Clone, Debug)]
pub struct DocumentFrequencies<'a, S> {
    counts: BTreeMap<&'a [S], usize>,
    images: usize,
}

impl<'a, S: Ord> DocumentFrequencies<'a, S> {
    /// Counts over the references of each image; an image counts once, however many of its references hold the n-gram.
    pub fn of(references: &'a [Vec<Vec<S>>]) -> Self {
        let mut counts = BTreeMap::new();
        for captions in references {
            let of_length = |n| captions.iter().flat_map(move |words| words.windows(n));
            let mut grams: Vec<&[S]> = (1..=LONGEST).flat_map(of_length).collect();
            grams.sort_unstable();
            grams.dedup();
            grams.into_iter().for_each(|gram| *counts.entry(gram).or_insert(0) += 1);
        }
        Self { counts, images: references.len() }
    }

    /// The number of images.
    pub fn images(&self) -> usize {
        self.images
    }

    /// ln(images) − ln(df); an n-gram that no reference has counts as if one had it.
    fn weight(&self, gram: &[S]) -> f64 {
        let count = self.counts.get(gram).copied().unwrap_or(0).max(1);
        (self.images as f64).ln() - (count as f64).ln()
    }
}

/// The mean over images of CIDEr-D, from 0 to 10 ([`cider_d_of_each`]).
///
/// # Panics
/// If there are no images, as many lists of references as candidates are not given, or an image has no reference.
#[track_caller]
pub fn cider_d<S: Ord>(
    candidates: &[Vec<S>],
    references: &[Vec<Vec<S>>],
    frequencies: &DocumentFrequencies<S>,
) -> f64 {
    check("cider_d", candidates, references);
    mean(&cider_d_of_each(candidates, references, frequencies))
}

/// CIDEr-D of each image, from 0 to 10.
///
/// A caption is a vector for each n = 1 … 4, with one component for each n-gram: g = count · (ln N − ln df), with df the
/// number of the N images that have it in a reference ([`DocumentFrequencies`]), 1 if none. A candidate with the vectors c
/// and m references with the vectors r score
///
/// (10/m) · Σ over references of e^(−δ²/(2·6²)) · ¼ · Σ over n of [Σ over n-grams of min(c, r)·r]/(‖c‖·‖r‖),
///
/// where a term with a norm of 0 is 0. Clipping to min(c, r) keeps a candidate from gaining by saying rare words often. δ
/// is the difference in length, and as in pycocoevalcap the length of a caption is the number of its *bigrams*, that is 0
/// for no word as for one.
///
/// A caption of fewer than n words has no n-grams, so identical captions of one word score 2.5, of two 5, of three 7.5, and
/// 10 from four words on. An n-gram that every image has weighs nothing; if there is one image only, all do, and the score
/// is 0.
///
/// Source: Vedantam et al., "CIDEr", CVPR 2015, of which this is the variant CIDEr-D; `cider_scorer.py` of pycocoevalcap 1.2.
///
/// # Panics
/// If there are no images, as many lists of references as candidates are not given, or an image has no reference.
#[track_caller]
pub fn cider_d_of_each<S: Ord>(
    candidates: &[Vec<S>],
    references: &[Vec<Vec<S>>],
    frequencies: &DocumentFrequencies<S>,
) -> Vec<f64> {
    check("cider_d_of_each", candidates, references);
    let images = candidates.iter().zip(references);
    let score = |(candidate, references): (&Vec<S>, &Vec<Vec<S>>)| {
        let candidate = Vectors::of(candidate, frequencies);
        let similarity = |words: &Vec<S>| candidate.similarity(&Vectors::of(words, frequencies));
        10.0 * references.iter().map(similarity).sum::<f64>() / references.len() as f64
    };
    images.map(score).collect()
}

/// A caption as one vector for each n.
struct Vectors<'a, S> {
    components: [BTreeMap<&'a [S], f64>; LONGEST],
    norms: [f64; LONGEST],
    /// In bigrams.
    length: usize,
}

impl<'a, S: Ord> Vectors<'a, S> {
    fn of(words: &'a [S], frequencies: &DocumentFrequencies<S>) -> Self {
        let components: [BTreeMap<&[S], f64>; LONGEST] = std::array::from_fn(|i| {
            let weighted = |(gram, count)| (gram, count as f64 * frequencies.weight(gram));
            ngrams(words, i + 1).into_iter().map(weighted).collect()
        });
        let norm = |vector: &BTreeMap<_, f64>| vector.values().map(|x| x * x).sum::<f64>().sqrt();
        let norms = components.each_ref().map(norm);
        Self { components, norms, length: words.len().saturating_sub(1) }
    }

    /// The mean over n of clipped cosines, times the penalty for the difference in length; from 0 to 1.
    fn similarity(&self, reference: &Self) -> f64 {
        let cosine = |i: usize| {
            let norms = self.norms[i] * reference.norms[i];
            let product = |(gram, &c): (&&[S], &f64)| {
                reference.components[i].get(gram).map_or(0.0, |&r| c.min(r) * r)
            };
            let products = self.components[i].iter().map(product).sum::<f64>();
            if norms == 0.0 { 0.0 } else { products / norms }
        };
        let cosines = (0..LONGEST).map(cosine).sum::<f64>() / LONGEST as f64;
        let difference = self.length.abs_diff(reference.length) as f64;
        cosines * (-difference * difference / (2.0 * SIGMA * SIGMA)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(caption: &str) -> Vec<&str> {
        caption.split_whitespace().collect()
    }

    fn scores(candidates: &[&str], references: &[&[&str]]) -> Vec<f64> {
        let candidates: Vec<_> = candidates.iter().map(|caption| words(caption)).collect();
        let references: Vec<Vec<_>> = references
            .iter()
            .map(|captions| captions.iter().map(|caption| words(caption)).collect())
            .collect();
        cider_d_of_each(&candidates, &references, &DocumentFrequencies::of(&references))
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    #[test]
    fn identical_captions_score_a_quarter_of_10_for_each_length_that_they_have() {
        let captions = ["a", "b c", "d e f", "g h i j", "k l m n o p"];
        let references = captions.each_ref().map(std::slice::from_ref);
        let found = scores(&captions, &references);
        found.into_iter().zip([2.5, 5.0, 7.5, 10.0, 10.0]).for_each(|(a, b)| assert_near(a, b));
    }

    #[test]
    fn words_that_all_images_have_weigh_nothing() {
        let found = scores(&["the cat", "the"], &[&["the cat"], &["the dog"]]);
        assert_near(found[0], 5.0); // "cat" and "the cat"
        assert_eq!(found[1], 0.0);
        assert_eq!(scores(&["a b"], &[&["a b"]]), [0.0], "one image only");
    }

    #[test]
    fn repeated_words_are_clipped_and_lengths_compared_in_bigrams() {
        // Vectors (2w, 0) and (w, w) of "a" and "b", w = ln 2; "a a" is no bigram of the reference. Both have one bigram.
        let found = scores(&["a a", "x"], &[&["a b"], &["x"]]);
        assert_near(found[0], 10.0 / 4.0 * 1.0 / (2.0 * 2f64.sqrt()));
        // One bigram more, but no more than none: the cosine of (1, 1) and (1, 0), and that of a word with itself.
        let found = scores(&["a", "", "y"], &[&["a b"], &["x"], &["y"]]);
        assert_near(found[0], 10.0 / 4.0 / 2f64.sqrt() * (-1.0f64 / 72.0).exp());
        assert_eq!((found[1], found[2] - 2.5), (0.0, 0.0));
    }

    #[test]
    fn references_are_averaged_and_images_counted_once() {
        let found = scores(&["a", "b"], &[&["a", "a", "c"], &["b"]]);
        assert_near(found[0], 2.5 * 2.0 / 3.0);
        let references = [vec![words("a"), words("a b")], vec![words("a")]];
        let frequencies = DocumentFrequencies::of(&references);
        assert_eq!((frequencies.counts[&["a"][..]], frequencies.images()), (2, 2));
    }
}
