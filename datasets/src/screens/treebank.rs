//! Words of captions as they are compared: in a vocabulary and in scores alike.

/// Words of which a full stop is a part.
const ABBREVIATIONS: &str = " adm al ala apr ariz assn atty aug ave blvd brig bros calif capt cf cmdr co col colo comdr conn corp \
    cos cpl dec dept det dr drs elec esq est etc ext feb fla fri ft ga gen gov govs hon inc ind intl jan jr jul jun kan ky lieut \
    lt ltd maj mar md messrs mfg mich minn mo mon mont mr mrs ms mt mtg natl neb nev nov oct okla p penn pfc ph plc pres prof \
    profs pvt rd rep reps rev sen sens sep sept seq sgt spc sq sr st ste supt tel tenn thu thurs tue tues univ v va vs vt wed \
    wis wyo ";

/// Words that are two, and after how many letters.
const PAIRS: [(&str, usize); 6] =
    [("cannot", 3), ("gimme", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("wanna", 3)];

/// Words that come of brackets and contractions.
const SEPARATED: [&str; 8] = ["-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-", "'t", "n't"];

/// What is taken off the end of a word, behind an apostrophe.
const CLITICS: [&str; 6] = ["s", "m", "d", "ll", "re", "ve"];

/// The words of a caption as pycocoevalcap compares them: separated as in the Penn Treebank, in lower case, without marks.
///
/// "Go back." has `go back`, "Don't show 1,000 ads!" has `do n't show 1,000 ads`, "e-mail, and/or phone (user's)" has `e-mail and/or
/// phone -lrb- user 's -rrb-`. As there, full stops, commas, colons, semicolons, quotes, hyphens that stand alone, and a single
/// `?` or `!` are dropped, and other marks are words of their own, also brackets. Words that were separated stay as they are.
///
/// These are the rules of Stanford's PTBTokenizer (CoreNLP 3.4.1, `-preserveLines -lowerCase`) that captions meet; its lists of
/// names, phone numbers and faces drawn with marks are not here.
pub fn caption_words(caption: &str) -> Vec<String> {
    let entities =
        [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&nbsp;", " ")];
    let plain = match caption.contains('&') {
        true => entities.iter().fold(caption.to_owned(), |text, (from, to)| text.replace(from, to)),
        false => caption.to_owned(),
    };
    let mut words = Vec::new();
    for chunk in plain.split_whitespace() {
        // What was taken apart already.
        if SEPARATED.iter().any(|word| chunk.eq_ignore_ascii_case(word)) {
            words.push(chunk.to_owned());
            continue;
        }
        let chunk: Vec<char> = chunk.chars().map(plain_mark).collect();
        let last_end = chunk.iter().rposition(|&c| c == '>');
        let mut at = 0;
        while at < chunk.len() {
            at += next(&chunk, at, last_end, &mut words).max(1);
        }
    }
    words.iter().map(|word| word.to_lowercase()).collect()
}

/// Apostrophes and dashes as typewriters have them.
fn plain_mark(c: char) -> char {
    match c {
        '’' | '‘' => '\'',
        '–' | '—' => '-',
        '…' => '.',
        c => c,
    }
}

/// What begins at a place of a chunk without white space, whose last `>` is here: adds its words, and returns how long it is.
fn next(chunk: &[char], at: usize, last_end: Option<usize>, words: &mut Vec<String>) -> usize {
    let rest = &chunk[at..];
    let run = |of: &dyn Fn(char) -> bool| rest.iter().take_while(|&&c| of(c)).count();
    let mut take = |length: usize| {
        words.push(rest[..length].iter().collect());
        length
    };
    let before = at.checked_sub(1).map(|before| chunk[before]);
    let follows = |place: usize, of: &dyn Fn(char) -> bool| rest.get(place).is_some_and(|&c| of(c));
    let is_digit = |c: char| c.is_ascii_digit();
    let begins = match rest[0] {
        '.' => before != Some('.'),
        '-' | '+' => before.is_none_or(|c| !is_word(c)),
        _ => before.is_none(),
    };
    // Looked for where something begins, so that a long chunk is looked through once.
    let address = if before.is_none_or(|c| !is_of_address(c)) { address(rest) } else { 0 };
    match rest[0] {
        _ if address > 0 => take(address),
        '\'' => apostrophe(rest, words),
        // A number may begin so.
        '-' | '+' | '.' | ',' | ':' if follows(1, &is_digit) && begins => {
            take(1 + number(&rest[1..]))
        }
        '.' | ',' | ':' | ';' | '-' | '"' | '“' | '”' | '«' | '»' | '`' => 1,
        '?' | '!' => match run(&|c| matches!(c, '?' | '!')) {
            1 => 1,
            several => take(several),
        },
        '@' | '#' if follows(1, &char::is_alphabetic) => {
            let length = rest[1..].iter().take_while(|&&c| is_word(c) || c == '_').count();
            take(1 + length)
        }
        '(' | ')' | '[' | ']' | '{' | '}' => {
            let name = match rest[0] {
                '(' => "-lrb-",
                ')' => "-rrb-",
                '[' => "-lsb-",
                ']' => "-rsb-",
                '{' => "-lcb-",
                _ => "-rcb-",
            };
            words.push(name.to_owned());
            1
        }
        // A tag.
        '<' if follows(1, &|c| c.is_alphabetic() || c == '/')
            && last_end.is_some_and(|end| end > at) =>
        {
            take(1 + run(&|c| c != '>'))
        }
        '<' | '>' => take(run(&|c| c == rest[0])),
        '½' | '¼' | '¾' => {
            let parts = match rest[0] {
                '½' => "1/2",
                '¼' => "1/4",
                _ => "3/4",
            };
            words.push(parts.to_owned());
            1
        }
        '€' => {
            words.push("$".to_owned());
            1
        }
        '£' => {
            words.push("#".to_owned());
            1
        }
        c if is_digit(c) && !follows(run(&is_digit), &is_word) => take(number(rest)),
        c if is_word(c) => word(rest, words),
        c if u32::from(c) > 0xffff || c.is_control() => 1, // as there: no word is made of these
        _ => take(1),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() && u32::from(c) <= 0xffff
}

/// The length of digits, and of more behind each of `, . : / -`.
fn number(chunk: &[char]) -> usize {
    let digits = |from: usize| chunk[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    let mut length = digits(0);
    while let Some(',' | '.' | ':' | '/' | '-') = chunk.get(length) {
        match digits(length + 1) {
            0 => break,
            more => length += 1 + more,
        }
    }
    length
}

/// Whether a character can be in a mail address, but for the @.
fn is_of_address(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".-_+%".contains(c)
}

/// The length of a web or mail address at the beginning; 0 if there is none.
fn address(chunk: &[char]) -> usize {
    let begins =
        |with: &str| with.chars().eq(chunk.iter().take(with.len()).map(char::to_ascii_lowercase));
    let mut length = if ["http://", "https://", "www."].into_iter().any(begins) {
        chunk.iter().take_while(|c| c.is_ascii_graphic() && !"<>\"(){}'".contains(**c)).count()
    } else {
        let name = chunk.iter().take_while(|c| is_of_address(**c)).count();
        let domain = chunk.iter().skip(name + 1).take_while(|c| is_of_address(**c)).count();
        let is_mail = name > 0 && chunk[0] != '-' && chunk.get(name) == Some(&'@') && domain > 0;
        if is_mail { name + 1 + domain } else { 0 }
    };
    while length > 0 && ".,;:!?-".contains(chunk[length - 1]) {
        length -= 1;
    }
    length
}

/// An apostrophe that no word comes before: of a word that was separated already, or a quote.
fn apostrophe(chunk: &[char], words: &mut Vec<String>) -> usize {
    let letters: String = chunk[1..].iter().take_while(|c| is_word(**c)).collect();
    let small = letters.to_lowercase();
    match &*small {
        "tis" | "twas" => {
            words.extend(["'t".to_owned(), small[1..].to_owned()]);
            1 + letters.chars().count()
        }
        clitic if CLITICS.contains(&clitic) => {
            words.push(format!("'{clitic}"));
            1 + letters.chars().count()
        }
        _ => 1,
    }
}

/// A word of letters and digits with what holds its parts together, and its clitics.
fn word(chunk: &[char], words: &mut Vec<String>) -> usize {
    let run = |from: usize| chunk[from..].iter().take_while(|c| is_word(**c)).count();
    let mut length = run(0);
    // Letters between full stops, as in U.S.
    let initials = (0..chunk.len()).step_by(2);
    let initials =
        initials.take_while(|&i| chunk[i].is_alphabetic() && chunk.get(i + 1) == Some(&'.'));
    match 2 * initials.count() {
        end if end >= 2 && chunk.get(end).is_none_or(|c| !is_word(*c)) => {
            words.push(chunk[..end].iter().collect());
            return end;
        }
        _ => {}
    }
    while let Some(&mark) = chunk.get(length) {
        let (before, after) = (chunk[length - 1], chunk.get(length + 1).copied());
        let letters = before.is_alphabetic() && after.is_some_and(char::is_alphabetic);
        let joins = match mark {
            '-' | '_' => after.is_some_and(is_word),
            '/' => after.is_some_and(is_word),
            '.' | '?' | '!' => letters,
            '&' => before.is_uppercase() && after.is_some_and(char::is_uppercase),
            _ => false,
        };
        if !joins {
            break;
        }
        length += 1 + run(length + 1);
    }
    let text: String = chunk[..length].iter().collect();
    let small = text.to_lowercase();
    let clitic = |from: usize| -> String {
        chunk[from..].iter().take_while(|c| is_word(**c)).collect::<String>().to_lowercase()
    };
    if chunk.get(length) == Some(&'\'') {
        let after = clitic(length + 1);
        let whole = format!("{small}'{after}");
        if ["o'clock", "d'ye"].contains(&&*whole) {
            words.push(whole);
            return length + 1 + after.chars().count();
        }
        if small.ends_with('n') && after == "t" {
            let stem: String = text.chars().take(text.chars().count() - 1).collect();
            words.extend([stem, "n't".to_owned()].into_iter().filter(|word| !word.is_empty()));
            return length + 2;
        }
        if CLITICS.contains(&&*after) {
            words.extend([text, format!("'{after}")]);
            return length + 1 + after.chars().count();
        }
    }
    if let Some((_, at)) = PAIRS.iter().find(|(pair, _)| *pair == small) {
        words.extend([small[..*at].to_owned(), small[*at..].to_owned()]);
        return length;
    }
    let is_plus = length == 1 && chunk[1..].starts_with(&['+', '+']);
    let is_sharp = ["c", "f"].contains(&&*small)
        && chunk.get(1) == Some(&'#')
        && chunk.get(2).is_none_or(|c| !is_word(*c));
    let is_short = chunk.get(length) == Some(&'.') && ABBREVIATIONS.contains(&format!(" {small} "));
    length += if is_plus { 2 } else { usize::from(is_sharp || is_short) };
    words.push(chunk[..length].iter().collect());
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(caption: &str) -> String {
        caption_words(caption).join(" ")
    }

    // As CoreNLP 3.4.1 has them, without what pycocoevalcap 1.2 drops.
    #[test]
    fn words_are_those_that_pycocoevalcap_compares() {
        let pairs = [
            ("Submit", "submit"),
            ("Go back.", "go back"),
            (
                "Don't, can't! It's “we’ll”; users' o'clock",
                "do n't ca n't it 's we 'll users o'clock",
            ),
            ("You cannot, gonna 'tis", "you can not gon na 't is"),
            ("e-mail - and/or -- AT&T a&b", "e-mail and/or at&t a & b"),
            (
                "Show 1,000 (10:30) 50% $5 €5 3rd ½ v2.0 -1",
                "show 1,000 -lrb- 10:30 -rrb- 50 % $ 5 $ 5 3rd 1/2 v2 .0 -1",
            ),
            (
                "Dr. Who of the U.S. at 5 p.m. etc. No. of a.b.",
                "dr. who of the u.s. at 5 p.m. etc. no of a.b.",
            ),
            ("next>> > <b>bold</b> [x] {y}", "next >> > <b> bold </b> -lsb- x -rsb- -lcb- y -rcb-"),
            (
                "@user #tag # 1 me@x.org www.a.com/b?c=1, what?! why?",
                "@user #tag # 1 me@x.org www.a.com/b?c=1 what ?! why",
            ),
            ("café — größe… 日本 🙂", "café größe 日本"),
            ("a_b C++ x=y &amp; *", "a_b c++ x = y & *"),
            (" ... ", ""),
        ];
        for (caption, expected) in pairs {
            assert_eq!(words(caption), expected, "{caption}");
        }
    }

    #[test]
    fn a_long_chunk_of_anything_is_looked_through_once() {
        // If each place looked at all that follows, a test would not end.
        for part in [
            "a", "-", ".", "a.", "a-", "a@", "<a", "<a>", "'", "a'", "1,", "?", "&", "&amp;", "(",
            "www.", "a?",
        ] {
            caption_words(&part.repeat(1 << 19));
        }
    }

    #[test]
    fn words_stay_as_they_are_when_they_are_separated_again() {
        for caption in ["Don't, it's (a) U.S. 'tis", "v2.0 cannot -1 ½ #tag", "<b> >> $5"] {
            assert_eq!(words(&words(caption)), words(caption));
        }
    }
}
