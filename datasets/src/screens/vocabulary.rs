//! Words and their numbers.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Screens, Widget, caption_words};

/// What fills up the room behind a text.
pub const PADDING: usize = 0;
/// What ends a caption.
pub const EOS: usize = 1;
/// What stands for a word of a text that is not in the vocabulary.
pub const UNKNOWN: usize = 2;
/// What stands in front of a caption.
pub const START: usize = 3;

/// The words with the numbers 0 to 3, which are no words of a text.
const SPECIAL: [&str; 4] = ["<PADDING>", "<EOS>", "<UNK>", "<START>"];

/// The words that a model knows, with numbers from 0. The first four are [`PADDING`], [`EOS`], [`UNKNOWN`] and [`START`].
///
/// In a file it is a list of the words in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Vocabulary {
    words: Vec<String>,
    ids: HashMap<String, usize>,
}

impl Vocabulary {
    /// The words ([`caption_words`]) that captions have at least `min_count` times, the more frequent first, of equally frequent ones the first in
    /// the alphabet; at most `limit` beside the four special ones. Each caption of each widget counts.
    pub fn of_captions(screens: &Screens, limit: usize, min_count: usize) -> Vocabulary {
        Vocabulary::of_shown(screens, limit, min_count, |_| true)
    }

    /// The same of those widgets alone whose bounds are `shown`.
    pub fn of_shown(
        screens: &Screens,
        limit: usize,
        min_count: usize,
        shown: impl Fn([f32; 4]) -> bool,
    ) -> Vocabulary {
        let widgets = screens.screens().iter().flat_map(|screen| {
            let shown = |widget: &&Widget| shown(screen.nodes[widget.node].bounds);
            screen.widgets.iter().filter(shown)
        });
        let mut counts: HashMap<String, usize> = HashMap::new();
        let captions = widgets.flat_map(|widget| &widget.captions);
        for word in captions.flat_map(|caption| caption_words(caption)) {
            *counts.entry(word).or_default() += 1;
        }
        counts.retain(|word, &mut count| count >= min_count && is_word(word));
        let mut words: Vec<(String, usize)> = counts.into_iter().collect();
        words.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        words.truncate(limit);
        let special = SPECIAL.into_iter().map(String::from);
        Vocabulary::numbered(special.chain(words.into_iter().map(|(word, _)| word)).collect())
    }

    fn numbered(words: Vec<String>) -> Vocabulary {
        let ids = words.iter().cloned().zip(0..).collect();
        Vocabulary { words, ids }
    }

    /// The number of words, with the four special ones.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are no words beside the special ones.
    pub fn is_empty(&self) -> bool {
        self.words.len() == SPECIAL.len()
    }

    /// The word with this number.
    pub fn word(&self, id: usize) -> Option<&str> {
        self.words.get(id).map(String::as_str)
    }

    /// The number of this word.
    pub fn id(&self, word: &str) -> Option<usize> {
        self.ids.get(word).copied()
    }

    /// A caption as numbers: at most `max_words` of its known [words](caption_words), then [`EOS`]. Unknown words are left out.
    pub fn encode_caption(&self, caption: &str, max_words: usize) -> Vec<usize> {
        let words = caption_words(caption);
        let known = words.iter().filter_map(|word| self.known(word));
        known.take(max_words).chain([EOS]).collect()
    }

    /// Words of a text as numbers: [`UNKNOWN`] in the place of unknown ones.
    pub fn encode_text(&self, words: &[String]) -> Vec<usize> {
        words.iter().map(|word| self.known(word).unwrap_or(UNKNOWN)).collect()
    }

    /// The words up to the first [`EOS`], with spaces between. Special ones and numbers of no word are left out.
    pub fn decode(&self, ids: &[usize]) -> String {
        let words = ids.iter().take_while(|&&id| id != EOS).filter(|&&id| id >= SPECIAL.len());
        words.filter_map(|&id| self.word(id)).collect::<Vec<_>>().join(" ")
    }

    /// The number of a word, unless it looks like a special one.
    fn known(&self, word: &str) -> Option<usize> {
        self.id(word).filter(|&id| id >= SPECIAL.len())
    }
}

fn is_word(word: &str) -> bool {
    let is_special = SPECIAL.iter().any(|special| special.eq_ignore_ascii_case(word));
    !word.is_empty() && !word.contains(char::is_whitespace) && !is_special
}

impl From<Vocabulary> for Vec<String> {
    fn from(vocabulary: Vocabulary) -> Vec<String> {
        vocabulary.words
    }
}

impl TryFrom<Vec<String>> for Vocabulary {
    type Error = String;

    /// # Errors
    ///
    /// Other words in the first four places, a word twice, or one that is empty or has white space in it.
    fn try_from(words: Vec<String>) -> Result<Vocabulary, String> {
        if !words.iter().take(SPECIAL.len()).eq(SPECIAL.iter()) {
            let first = &words[..words.len().min(SPECIAL.len())];
            return Err(format!("a vocabulary: expected {SPECIAL:?} first; found {first:?}"));
        }
        if let Some((id, word)) = words.iter().enumerate().skip(4).find(|(_, word)| !is_word(word))
        {
            return Err(format!(
                "a vocabulary: expected a single word; found {word:?} in place {id}"
            ));
        }
        let vocabulary = Vocabulary::numbered(words);
        let twice = |(id, word): &(usize, &String)| vocabulary.ids[*word] != *id;
        match vocabulary.words.iter().enumerate().find(twice) {
            Some((id, word)) => Err(format!(
                "a vocabulary: expected each word once; found {word:?} again, first in place {id}"
            )),
            None => Ok(vocabulary),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Node, SIDE, Screen, Widget};
    use super::*;

    fn screens(captions: &[&[&str]]) -> Screens {
        let widget = |captions: &&[&str]| Widget {
            node: 0,
            captions: captions.iter().map(|caption| caption.to_string()).collect(),
        };
        let widgets: Vec<Widget> = captions.iter().map(widget).collect();
        let (nodes, pixels) = (vec![Node::default()], vec![0; widgets.len() * SIDE * SIDE]);
        Screens::new(vec![Screen { nodes, widgets, pixels, ..Screen::default() }])
    }

    fn words(vocabulary: &Vocabulary) -> Vec<&str> {
        (4..vocabulary.len()).filter_map(|id| vocabulary.word(id)).collect()
    }

    #[test]
    fn words_come_by_falling_frequency_and_then_by_the_alphabet() {
        let screens =
            screens(&[&["go back", "back"], &["add to cart", "<EOS>"], &["go to a page"]]);
        let all = Vocabulary::of_captions(&screens, 100, 1);
        assert_eq!(words(&all), ["back", "go", "to", "a", "add", "cart", "page"]);
        assert_eq!((all.len(), all.word(0), all.word(11)), (11, Some("<PADDING>"), None));
        assert_eq!((all.id("<EOS>"), all.id("back"), all.id("none")), (Some(EOS), Some(4), None));
        assert_eq!(words(&Vocabulary::of_captions(&screens, 100, 2)), ["back", "go", "to"]);
        assert_eq!(words(&Vocabulary::of_captions(&screens, 1, 1)), ["back"]);
        assert!(Vocabulary::of_captions(&screens, 0, 1).is_empty());
    }

    #[test]
    fn one_word_is_one_word_however_it_is_written() {
        let screens = screens(&[&["Submit", "submit."], &["Go back."], &["go back"]]);
        let vocabulary = Vocabulary::of_captions(&screens, 100, 1);
        assert_eq!(words(&vocabulary), ["back", "go", "submit"]);
        assert_eq!(vocabulary.encode_caption("GO, submit!", 10), [5, 6, EOS]);
    }

    #[test]
    fn captions_lose_unknown_words_and_texts_keep_their_places() {
        let vocabulary = Vocabulary::of_captions(&screens(&[&["go back"], &["go"]]), 100, 1);
        assert_eq!(vocabulary.encode_caption("please go <UNK> back", 10), [4, 5, EOS]);
        assert_eq!(vocabulary.encode_caption("please go back", 1), [4, EOS]);
        assert_eq!(vocabulary.encode_caption("", 10), [EOS]);
        let text = ["please", "go", "<START>"].map(String::from);
        assert_eq!(vocabulary.encode_text(&text), [UNKNOWN, 4, UNKNOWN]);
        assert_eq!(vocabulary.decode(&[START, 5, UNKNOWN, 4, 99, PADDING, EOS, 4]), "back go");
    }

    #[test]
    fn a_file_is_a_list_of_words_and_is_not_trusted() {
        let vocabulary = Vocabulary::of_captions(&screens(&[&["go back"]]), 100, 1);
        let json = serde_json::to_string(&vocabulary).unwrap();
        assert_eq!(json, r#"["<PADDING>","<EOS>","<UNK>","<START>","back","go"]"#);
        assert_eq!(serde_json::from_str::<Vocabulary>(&json).unwrap(), vocabulary);

        let message =
            |json: &str| serde_json::from_str::<Vocabulary>(json).unwrap_err().to_string();
        let special = r#""<PADDING>","<EOS>","<UNK>","<START>""#;
        assert!(message(r#"["go"]"#).ends_with(r#"first; found ["go"]"#));
        assert!(message(&format!(r#"[{special},"a b"]"#)).ends_with(r#"found "a b" in place 4"#));
        assert!(message(&format!(r#"[{special},""]"#)).ends_with(r#"found "" in place 4"#));
        let twice = message(&format!(r#"[{special},"a","b","a"]"#));
        assert!(twice.ends_with(r#"found "a" again, first in place 4"#), "{twice}");
    }
}
