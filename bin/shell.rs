//! Commands for people, as a shell reads them.

/// Words as one line, of which a shell makes the same words again.
pub(crate) fn line<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_shell_reads_the_words_that_were_meant() {
        let words = [
            "it's $data",
            "a&b;x",
            "",
            "\"q\"",
            "*.png",
            "~",
            "a\\b",
            "two\nlines",
            "key={ kind = 'x' }",
            "-n",
            "größe",
            "`id`!",
        ];
        let line = line(words);
        let output = Command::new("sh")
            .args(["-c", &format!("printf '%s\\0' {line}")])
            .output()
            .expect("sh");
        let read = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(read.trim_end_matches('\0').split('\0').collect::<Vec<_>>(), words);
    }
}
