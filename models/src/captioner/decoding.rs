//! The search for the most probable caption.

use autograd::Var;
use nn::{Context, Params};
use serde::{Deserialize, Serialize};

use super::{Captioner, END, PADDING, START, ScreenBatch, UNKNOWN};
use crate::ConfigError;

/// How captions are searched for: beam search, which keeps the most probable beginnings.
///
/// The score of a caption is ln p(words)/((5 + length)/6)^α (Wu et al. 2016, Eq. 14), where the length counts the word that ends it; one of
/// `max_words` words ends without it. Every step keeps the `beam` most probable continuations of the beginnings at hand; those that have
/// ended are set aside, and the best of them is the caption once no beginning can overtake it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decoding {
    /// Beginnings that are kept; 1 takes the most probable word each time.
    pub beam: usize,
    /// α: the larger, the longer the captions.
    pub length_penalty: f64,
    /// Words of a caption at most.
    pub max_words: usize,
}

impl Default for Decoding {
    fn default() -> Self {
        Self { beam: 4, length_penalty: 0.6, max_words: 10 }
    }
}

impl Decoding {
    /// The most probable word each time.
    pub fn greedy(max_words: usize) -> Self {
        Self { beam: 1, length_penalty: 0.0, max_words }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (name, size) in [("beam", self.beam), ("max_words", self.max_words)] {
            if !(1..=1 << 10).contains(&size) {
                return Err(ConfigError(format!("{name} = {size}: 1 to 1024 expected")));
            }
        }
        let alpha = self.length_penalty;
        match (0.0..=10.0).contains(&alpha) {
            true => Ok(()),
            false => Err(ConfigError(format!("length_penalty = {alpha}: 0 to 10 expected"))),
        }
    }

    fn score(&self, log_probability: f64, length: usize) -> f64 {
        log_probability / ((5.0 + length as f64) / 6.0).powf(self.length_penalty)
    }
}

/// The first words of a caption.
#[derive(Clone, Debug)]
struct Beginning {
    words: Vec<usize>,
    log_probability: f64,
}

/// The search for one widget's caption.
#[derive(Clone, Debug)]
struct Search {
    beginnings: Vec<Beginning>,
    best: Option<(f64, Vec<usize>)>,
}

impl Search {
    fn new() -> Self {
        let nothing = Beginning { words: Vec::new(), log_probability: 0.0 };
        Self { beginnings: vec![nothing], best: None }
    }

    /// One more word behind each beginning, whose logits are these, V of them each. Which beginning each of the new ones goes
    /// on from.
    fn step(&mut self, logits: &[f32], vocabulary: usize, decoding: &Decoding) -> Vec<usize> {
        let rows = logits.chunks(vocabulary).zip(&self.beginnings).enumerate();
        let mut found: Vec<(f64, usize, usize)> = Vec::new();
        for (from, (row, beginning)) in rows {
            let before = beginning.log_probability;
            let added = |(word, log): (usize, f64)| (before + log, from, word);
            found.extend(log_probabilities(row).map(added));
        }
        // Ties go to the earlier beginning and the smaller word, as they do where the first of the largest is taken.
        let order = |a: &(f64, usize, usize), b: &(f64, usize, usize)| {
            b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2)))
        };
        if found.len() > decoding.beam {
            found.select_nth_unstable_by(decoding.beam - 1, order);
            found.truncate(decoding.beam);
        }
        found.sort_by(order);
        let (mut beginnings, mut origins) = (Vec::new(), Vec::new());
        for (log_probability, from, word) in found {
            let mut words = self.beginnings[from].words.clone();
            let length = words.len() + 1;
            if word != END {
                words.push(word);
            }
            if word == END || length == decoding.max_words {
                self.ended(decoding.score(log_probability, length), words);
            } else {
                beginnings.push(Beginning { words, log_probability });
                origins.push(from);
            }
        }
        // No caption is worth more than its beginning would be at full length: probabilities only fall.
        let best = self.best.as_ref().map_or(f64::NEG_INFINITY, |(score, _)| *score);
        let promises = |beginning: &Beginning| {
            decoding.score(beginning.log_probability, decoding.max_words) > best
        };
        if !beginnings.iter().any(promises) {
            (beginnings, origins) = (Vec::new(), Vec::new());
        }
        self.beginnings = beginnings;
        origins
    }

    fn ended(&mut self, score: f64, words: Vec<usize>) {
        if self.best.as_ref().is_none_or(|(best, _)| score > *best) {
            self.best = Some((score, words));
        }
    }
}

/// ln p of each word that a caption may have at this place, among these.
fn log_probabilities(logits: &[f32]) -> impl Iterator<Item = (usize, f64)> {
    let may = |&(word, _): &(usize, f64)| ![PADDING, UNKNOWN, START].contains(&word);
    let all = || logits.iter().map(|&x| f64::from(x)).enumerate().filter(may);
    let largest = all().fold(f64::NEG_INFINITY, |most, (_, x)| most.max(x));
    let sum = largest + all().map(|(_, x)| (x - largest).exp()).sum::<f64>().ln();
    all().map(move |(word, x)| (word, x - sum))
}

impl Captioner {
    /// The caption of each widget, as words without [`START`] and [`END`]. What is found for a widget does not depend on what else
    /// is in the batch. None if the probability of a caption is not a number: the model's answers are not finite then.
    ///
    /// Keys and values of the words so far are kept, so a word costs one row of each product.
    ///
    /// # Panics
    /// As [`encode`](Self::encode), or if the decoding is not [valid](Decoding::validate).
    #[track_caller]
    pub fn caption(
        &self,
        params: &Params,
        batch: &ScreenBatch,
        decoding: &Decoding,
    ) -> Option<Vec<Vec<usize>>> {
        decoding.validate().unwrap_or_else(|why| panic!("caption: {why}"));
        let (cx, vocabulary) = (Context::eval(params), self.config.vocabulary);
        let told = self.decoder.told(&cx, &self.encode(&cx, batch));
        let mut searches = vec![Search::new(); batch.widgets.len()];
        let mut caches = self.decoder.caches(searches.len(), decoding.max_words);
        for at in 0..decoding.max_words {
            let of_widget =
                |(widget, search): (usize, &Search)| vec![widget; search.beginnings.len()];
            let widgets: Vec<usize> = searches.iter().enumerate().flat_map(of_widget).collect();
            if widgets.is_empty() {
                break;
            }
            let beginnings = searches.iter().flat_map(|search| &search.beginnings);
            let last = |beginning: &Beginning| beginning.words.last().copied().unwrap_or(START);
            let fed: Vec<usize> = beginnings.map(last).collect();
            debug_assert!(at == 0 || fed.iter().all(|&word| word != START));
            let told: Vec<Var> = told.iter().map(|told| told.gather(0, &widgets)).collect();
            let logits = self.decoder.next(&cx, &self.words, &fed, &told, &mut caches);
            let logits = logits.into_value().to_vec();
            let (mut first, mut kept) = (0, Vec::new());
            for search in &mut searches {
                let count = search.beginnings.len();
                let rows = &logits[first * vocabulary..(first + count) * vocabulary];
                let origins = search.step(rows, vocabulary, decoding);
                kept.extend(origins.into_iter().map(|from| first + from));
                first += count;
            }
            caches.iter_mut().for_each(|cache| cache.select(&kept));
        }
        let best = |search: Search| search.best.filter(|(score, _)| score.is_finite());
        searches.into_iter().map(|search| best(search).map(|(_, words)| words)).collect()
    }
}
