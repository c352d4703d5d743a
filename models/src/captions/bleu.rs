//! BLEU: which share of a candidate's n-grams references have.

use std::collections::BTreeMap;

use super::{LONGEST, check, ngrams};

/// Added to the matches, so that the logarithm of none is one.
const TINY: f64 = 1e-15;
/// Added to what matches are divided by, so that it is never 0.
const SMALL: f64 = 1e-9;

/// BLEU-1 to BLEU-4 of all captions together, from 0 to 1.
///
/// BLEU-n = min(1, e^(1 − r/c)) · (p₁ · … · pₙ)^(1/n), where pₖ is the share of the candidates' k-grams that a reference
/// has ([`BleuCounts`]), c the number of the candidates' words, and r the sum over images of the length of the reference
/// that is nearest in length to the candidate, of two equally near ones the shorter.
///
/// As in pycocoevalcap, pₖ is (matched + 10⁻¹⁵)/(all + 10⁻⁹) and c/r is (c + 10⁻¹⁵)/(r + 10⁻⁹). So identical captions score
/// 1 to within 10⁻⁹; candidates that are all empty score 0; and where no candidate has k words, pₖ is 10⁻⁶ and not left
/// out: BLEU-4 of perfect captions of three words is 10^(−6/4) = 0.03. Compare BLEU-4 only where captions have four words
/// or more.
///
/// Source: Papineni et al., "BLEU", ACL 2002, §2; `bleu_scorer.py` of pycocoevalcap 1.2 with the option `closest`.
///
/// # Panics
/// If there are no images, as many lists of references as candidates are not given, or an image has no reference.
#[track_caller]
pub fn bleu<S: Ord>(candidates: &[Vec<S>], references: &[Vec<Vec<S>>]) -> [f64; LONGEST] {
    check("bleu", candidates, references);
    BleuCounts::of(candidates, references).score()
}

/// The sums that BLEU is a function of. Those of two sets of captions add up to those of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BleuCounts {
    /// Of n-grams of each length n = 1 … 4, how many of the candidates' are in a reference: an n-gram counts at most as
    /// often as in that reference of the image that has it most often.
    pub matched: [usize; LONGEST],
    /// How many n-grams of each length the candidates have.
    pub all: [usize; LONGEST],
    /// The number of the candidates' words.
    pub candidate_words: usize,
    /// The number of words of the references nearest in length.
    pub reference_words: usize,
}

impl BleuCounts {
    /// Counts over all images; none give zeros.
    ///
    /// # Panics
    /// If as many lists of references as candidates are not given, or an image has no reference.
    #[track_caller]
    pub fn of<S: Ord>(candidates: &[Vec<S>], references: &[Vec<Vec<S>>]) -> Self {
        if candidates.len() + references.len() > 0 {
            check("BleuCounts::of", candidates, references);
        }
        let mut sums = Self::default();
        for (candidate, references) in candidates.iter().zip(references) {
            for n in 1..=LONGEST {
                let mut most = BTreeMap::new();
                for (gram, count) in references.iter().flat_map(|words| ngrams(words, n)) {
                    let most = most.entry(gram).or_insert(0);
                    *most = count.max(*most);
                }
                for (gram, count) in ngrams(candidate, n) {
                    sums.matched[n - 1] += count.min(most.get(gram).copied().unwrap_or(0));
                    sums.all[n - 1] += count;
                }
            }
            let lengths = references.iter().map(Vec::len);
            let nearest = lengths.min_by_key(|&length| (length.abs_diff(candidate.len()), length));
            sums.candidate_words += candidate.len();
            sums.reference_words += nearest.expect("checked: there is a reference");
        }
        sums
    }

    /// BLEU-1 to BLEU-4.
    pub fn score(&self) -> [f64; LONGEST] {
        let ratio = (self.candidate_words as f64 + TINY) / (self.reference_words as f64 + SMALL);
        let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut product = 1.0;
        std::array::from_fn(|k| {
            product *= (self.matched[k] as f64 + TINY) / (self.all[k] as f64 + SMALL);
            brevity * f64::powf(product, 1.0 / (k + 1) as f64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(caption: &str) -> Vec<&str> {
        caption.split_whitespace().collect()
    }

    #[test]
    fn repeated_words_count_as_often_as_in_one_reference() {
        // The example of the paper: "the" is twice in the first reference and once in the second.
        let references = [vec![words("the cat is on the mat"), words("there is a cat on the mat")]];
        let sums = BleuCounts::of(&[words("the the the the the the the")], &references);
        assert_eq!((sums.matched, sums.all), ([2, 0, 0, 0], [7, 6, 5, 4]));
        assert_eq!((sums.candidate_words, sums.reference_words), (7, 7));
        assert!((sums.score()[0] - 2.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn short_candidates_are_punished_and_the_nearer_reference_decides() {
        let references = [vec![words("a b c d e f g h"), words("a b c d"), words("a b")]];
        let sums = BleuCounts::of(&[words("a b c")], &references);
        assert_eq!(sums.reference_words, 2, "of two equally near ones the shorter");
        assert!((bleu(&[words("a b c")], &references)[2] - 1.0).abs() < 1e-9);
        let long = [vec![words("a b c d e f")]];
        assert!((bleu(&[words("a b c")], &long)[0] - (-1f64).exp()).abs() < 1e-9);
    }

    #[test]
    fn ngrams_that_no_candidate_is_long_enough_for_weigh_a_millionth() {
        let caption = [words("go back home")];
        let scores = bleu(&caption, &[vec![words("go back home")]]);
        assert!(scores[..3].iter().all(|score| (score - 1.0).abs() < 1e-8), "{scores:?}");
        assert!((scores[3] - 10f64.powf(-1.5)).abs() < 1e-8, "{scores:?}");
        assert_eq!(bleu(&[vec![]], &[vec![words("a")]]), [0.0; 4]);
        assert_eq!(bleu::<&str>(&[vec![]], &[vec![vec![]]]), [0.0; 4]);
    }
}
