//! ROUGE-L: the longest common subsequence with a reference.

use super::{check, mean};

/// How much more recall counts than precision.
const BETA: f64 = 1.2;

/// The mean over images of ROUGE-L, from 0 to 1 ([`rouge_l_of_each`]).
///
/// # Panics
/// If there are no images, as many lists of references as candidates are not given, or an image has no reference.
#[track_caller]
pub fn rouge_l<S: PartialEq>(candidates: &[Vec<S>], references: &[Vec<Vec<S>>]) -> f64 {
    check("rouge_l", candidates, references);
    mean(&rouge_l_of_each(candidates, references))
}

/// ROUGE-L of each image, from 0 to 1.
///
/// (1 + β²)·P·R/(R + β²·P) with β = 1.2, 0 if P or R is. With L the length of the longest common subsequence of the
/// candidate's c words and a reference's r, P is the largest L/c and R the largest L/r. They are taken over references
/// separately, so they may come from two of them, and a candidate may score 1 that is none of the references.
///
/// As in pycocoevalcap, an empty caption counts as one word that nothing else is equal to. So an empty candidate scores 0,
/// except that it scores 1 if a reference is empty too.
///
/// Source: Lin, "ROUGE", ACL workshop 2004, §3.1; `rouge.py` of pycocoevalcap 1.2, which has the value of β.
///
/// # Panics
/// If there are no images, as many lists of references as candidates are not given, or an image has no reference.
#[track_caller]
pub fn rouge_l_of_each<S: PartialEq>(
    candidates: &[Vec<S>],
    references: &[Vec<Vec<S>>],
) -> Vec<f64> {
    check("rouge_l_of_each", candidates, references);
    let images = candidates.iter().zip(references);
    images.map(|(candidate, references)| one(candidate, references)).collect()
}

fn one<S: PartialEq>(candidate: &[S], references: &[Vec<S>]) -> f64 {
    let (mut precision, mut recall) = (0f64, 0f64);
    for reference in references {
        let both_empty = candidate.is_empty() && reference.is_empty();
        let common = if both_empty { 1 } else { common_subsequence(candidate, reference) } as f64;
        precision = precision.max(common / candidate.len().max(1) as f64);
        recall = recall.max(common / reference.len().max(1) as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

/// The length of the longest common subsequence, O(|a|·|b|).
fn common_subsequence<S: PartialEq>(a: &[S], b: &[S]) -> usize {
    // longest[j]: of the words of `a` so far and the first j of `b`.
    let mut longest = vec![0; b.len() + 1];
    for word in a {
        let mut before = 0; // longest[j] without `word`
        for (j, other) in b.iter().enumerate() {
            let without = longest[j + 1];
            longest[j + 1] = if word == other { before + 1 } else { without.max(longest[j]) };
            before = without;
        }
    }
    longest[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(caption: &str) -> Vec<&str> {
        caption.split_whitespace().collect()
    }

    fn score(candidate: &str, references: &[&str]) -> f64 {
        rouge_l(&[words(candidate)], &[references.iter().map(|caption| words(caption)).collect()])
    }

    #[test]
    fn subsequences_keep_the_order_of_words_but_may_have_gaps() {
        let common = |a: &str, b: &str| common_subsequence(&words(a), &words(b));
        assert_eq!(common("police killed the gunman", "police kill the gunman"), 3);
        assert_eq!(common("the gunman kill police", "police kill the gunman"), 2);
        assert_eq!(common("a b a b a", "b a a b"), 3);
        assert_eq!((common("", "a"), common("a", "")), (0, 0));
    }

    #[test]
    fn precision_and_recall_are_weighted_and_may_come_from_two_references() {
        // 2 of 3 words, and 2 of 4.
        let (p, r) = (2.0 / 3.0, 0.5);
        assert!((score("a b x", &["a b c d"]) - 2.44 * p * r / (r + 1.44 * p)).abs() < 1e-15);
        assert_eq!(score("a b", &["a b c", "b"]), 1.0);
        assert_eq!(score("a b", &["c"]), 0.0);
    }

    #[test]
    fn an_empty_caption_is_equal_to_nothing_but_an_empty_one() {
        assert_eq!((score("", &["a"]), score("a", &[""])), (0.0, 0.0));
        assert_eq!((score("", &[""]), score("", &["a b", ""])), (1.0, 1.0));
    }
}
