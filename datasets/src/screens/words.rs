//! Words of what a developer wrote: of texts and of resource ids.

/// The most words that are kept of a text, `K`.
pub const TEXT_WORDS: usize = 10;

/// Longer words are left out: they are addresses and data.
const LONGEST: usize = 30;

/// Marks that stand between words wherever they stand.
const SEPARATORS: &str = "«“‘„`»”’\"–—;@#$%&?!*()[]{}<>";

/// Words that the convention of the Penn Treebank takes apart, and after how many letters.
const PAIRS: [(&str, usize); 8] = [
    ("cannot", 3),
    ("d'ye", 1),
    ("gimme", 3),
    ("gonna", 3),
    ("gotta", 3),
    ("lemme", 3),
    ("more'n", 4),
    ("wanna", 3),
];

/// What is taken apart from the end of a word.
const SHORT: [&str; 7] = ["'s", "'m", "'d", "'ll", "'re", "'ve", "n't"];

/// The words of a text in lower case, at most [`TEXT_WORDS`]: "Don't show 1,000 ads!" has `do n't show 1,000 ads`.
///
/// They are separated as in the Penn Treebank: at white space and marks; at `,` and `:` unless a digit follows; at `--` and `..`;
/// at a full stop behind a word that holds no other, and at the end of the text; in front of `'s 'm 'd 'll 're 've n't`. What
/// holds neither a letter nor a digit of ASCII is no word; other characters are left out of words; then words of more than 30
/// characters are left out. The released pipeline has NLTK's tokeniser do this, which looks for the ends of sentences by a
/// trained model instead (google-research, `widget_caption/create_tf_example_main.py`).
pub fn text_words(text: &str) -> Vec<String> {
    let spaced = spaced(&text.trim().to_lowercase());
    let chunks: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        let chunk = match chunk.strip_suffix('.') {
            Some(rest) if i + 1 == chunks.len() || !rest.contains('.') => rest,
            _ => chunk,
        };
        words.extend(parts(chunk).filter_map(word).take(TEXT_WORDS - words.len()));
    }
    words
}

/// The words of a resource id's last part in lower case, at most [`TEXT_WORDS`]: `navButton_URLBar2` has `nav button url bar`.
///
/// ```text
/// [A-Z]?[a-z]+ | [A-Z]+(?=[A-Z]|$)
/// ```
///
/// So digits are left out, and so is the last of some capitals that neither letter nor end follows. Source: google-research,
/// `widget_caption/create_tf_example_fn.py`.
pub fn resource_words(name: &str) -> Vec<String> {
    let bytes = name.trim().as_bytes();
    let run = |from: usize, of: fn(&u8) -> bool| bytes[from..].iter().take_while(|b| of(b)).count();
    let (mut words, mut at) = (Vec::new(), 0);
    while at < bytes.len() && words.len() < TEXT_WORDS {
        let capitals = run(at, u8::is_ascii_uppercase);
        let first = capitals.min(1);
        let small = run(at + first, u8::is_ascii_lowercase);
        let length = match capitals {
            _ if small > 0 => first + small,
            _ if at + capitals == bytes.len() => capitals,
            _ => capitals.saturating_sub(1),
        };
        if length > 0 {
            words.push(String::from_utf8_lossy(&bytes[at..at + length]).to_ascii_lowercase());
        }
        at += length.max(1);
    }
    words
}

/// The text with a space in place of everything that separates words.
fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let separates = match c {
            ',' | ':' => !next.is_some_and(|next| next.is_ascii_digit()),
            '-' => next == Some('-'),
            '.' => next == Some('.'),
            _ => SEPARATORS.contains(c),
        };
        if !separates {
            spaced.push(c);
            continue;
        }
        spaced.push(' ');
        if c == '-' {
            rest.next();
        }
        while c == '.' && rest.next_if_eq(&'.').is_some() {}
    }
    spaced
}

/// A chunk without white space as a stem and what is contracted with it.
fn parts(chunk: &str) -> impl Iterator<Item = &str> {
    let chunk = chunk.strip_suffix('\'').unwrap_or(chunk);
    let named = |c: char| c.is_alphanumeric() || c == '_';
    let chunk = match chunk.strip_prefix('\'') {
        Some(rest) if rest.starts_with(named) && !SHORT.contains(&chunk) => rest,
        _ => chunk,
    };
    let suffix =
        SHORT.iter().find(|suffix| chunk.len() > suffix.len() && chunk.ends_with(**suffix));
    let pair = PAIRS.iter().find(|(word, _)| *word == chunk).map(|&(_, at)| at);
    let at = suffix.map(|suffix| chunk.len() - suffix.len()).or(pair);
    let (stem, end) = chunk.split_at(at.unwrap_or(chunk.len()));
    [stem, end].into_iter()
}

/// What is left of a part, if it is a word.
fn word(part: &str) -> Option<String> {
    let ascii: String = part.chars().filter(char::is_ascii).collect();
    let named = ascii.bytes().any(|byte| byte.is_ascii_alphanumeric());
    (named && ascii.len() <= LONGEST).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        text_words(text).join(" ")
    }

    fn resource(name: &str) -> String {
        resource_words(name).join(" ")
    }

    #[test]
    fn texts_are_taken_apart_as_in_the_penn_treebank() {
        assert_eq!(text("Don't show 1,000 ads!"), "do n't show 1,000 ads");
        assert_eq!(text("It's 10:30, isn't it? (we'll see)"), "it 's 10:30 is n't it we 'll see");
        assert_eq!(text("a.b.com and/or e-mail me@x.org..."), "a.b.com and/or e-mail me x.org");
        assert_eq!(text("First. Second: 9–17—not e.g. 18."), "first second 9 17 not e.g. 18");
        assert_eq!(text("\"Quoted\" the dogs' -- bowl"), "quoted the dogs bowl");
        assert_eq!(text("You cannot, gonna 'tis o'clock"), "you can not gon na tis o'clock");
        assert_eq!(text(" \t\n"), "");
        assert_eq!(text("... -- & !"), "");
    }

    #[test]
    fn characters_outside_ascii_are_left_out_of_words() {
        assert_eq!(text("Café MÜNCHEN 日本 №1"), "caf mnchen 1");
        assert_eq!(text("don’t"), "don t");
    }

    #[test]
    fn long_words_are_left_out_and_ten_are_kept() {
        let (longest, longer) = ("x".repeat(30), "x".repeat(31));
        assert_eq!(text(&format!("a {longer} {longest}")), format!("a {longest}"));
        assert_eq!(text("1 2 3 4 5 6 7 8 9 10 11"), "1 2 3 4 5 6 7 8 9 10");
        assert_eq!(text("1 2 3 4 5 6 7 8 9 it's"), "1 2 3 4 5 6 7 8 9 it");
    }

    // As Python's `re` finds the pattern.
    #[test]
    fn resource_ids_are_taken_apart_at_capitals_and_other_characters() {
        assert_eq!(resource("navButton_URLBar2"), "nav button url bar");
        assert_eq!(resource("toolbar"), "toolbar");
        assert_eq!(resource("btn2x"), "btn x");
        assert_eq!(resource("AB_c"), "a c");
        assert_eq!(resource("A_b"), "b");
        assert_eq!(resource("FAB"), "fab");
        assert_eq!(resource("aB"), "a b");
        assert_eq!(resource("schaltfläche"), "schaltfl che");
        assert_eq!(resource(" 12_ "), "");
        assert_eq!(resource("a_b_c_d_e_f_g_h_i_j_k"), "a b c d e f g h i j");
    }
}
