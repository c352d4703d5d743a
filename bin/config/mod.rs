//! `wavetape config`: what can stand in a recipe.

mod keys;
mod takes;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Result, bail};
use clap::Args;

use self::keys::Choice;
pub(crate) use self::keys::{CHOICES, KEYS, Key, PLACES, REQUIRED, is_within};
pub(crate) use self::takes::Bounds;
use crate::output;
use crate::suggest;

/// Print the keys of a recipe, with type, default and meaning: what `--set KEY=VALUE` and a TOML file can say.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape config
  wavetape config optimizer
  wavetape config model.position.kind
  wavetape config --markdown > CONFIG.md")]
pub(crate) struct ConfigArgs {
    /// Only this key, or the keys of this section, such as train or model.position.
    key: Option<String>,
    /// Print tables in Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Columns of the text.
const WIDTH: usize = 100;

/// Sections, and what is said of each.
const SECTIONS: [(&str, &str); 10] = [
    ("", "The run."),
    ("data", "Where images come from."),
    ("model", "A model and its sizes."),
    (
        "model.position",
        "Where tokens are. `position = \"KIND\"` stands for that kind with its defaults.",
    ),
    ("model.backbone", "A detector's convolutions."),
    ("train", "The loop."),
    (
        "augment",
        "What is left to chance when an image is shown; `augment.boxes` of images with boxes, the others of images without.",
    ),
    ("criterion", "Weights of a detector's loss and matching."),
    ("decoding", "How captions are searched for."),
    ("optimizer", "AdamW and its schedule: linear warm-up, then a cosine."),
];

/// The section of a key: the longest that it starts with.
fn section(path: &str) -> &'static str {
    let holds = |section: &&str| {
        let rest = path.strip_prefix(section);
        section.is_empty() || rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let longest =
        SECTIONS.iter().map(|(name, _)| *name).filter(holds).max_by_key(|name| name.len());
    longest.unwrap_or_default()
}

/// Prints the table.
pub(crate) fn run(args: &ConfigArgs) -> Result<()> {
    let asked = args.key.as_deref().unwrap_or_default();
    let is_asked = |path: &str| {
        let rest = path.strip_prefix(asked);
        asked.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let keys: Vec<&Key> = KEYS.iter().filter(|key| is_asked(key.path)).collect();
    if keys.is_empty() {
        let sections = SECTIONS.iter().map(|(name, _)| *name).filter(|name| !name.is_empty());
        let known = KEYS.iter().map(|key| key.path).chain(sections);
        let mut known: Vec<&str> = known.collect();
        // A name without its section is enough to be found.
        if let Some(key) = KEYS.iter().find(|key| key.path.rsplit('.').next() == Some(asked)) {
            bail!("`{asked}`: no such key or section; did you mean `{}`?", key.path);
        }
        known.dedup();
        let near = suggest::nearest(asked, known);
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        bail!("`{asked}`: no such key or section{near}");
    }
    let text = if args.markdown { markdown(&keys) } else { plain(&keys) };
    Ok(output::stdout().write_all(text.as_bytes())?)
}

/// The words that a key takes, if it takes one of several: told of once, at the last of several keys of the same path.
fn choices(keys: &[&Key], at: usize) -> Vec<&'static Choice> {
    let path = keys[at].path;
    let is_last = keys[at + 1..].iter().all(|key| key.path != path);
    CHOICES.iter().filter(|choice| is_last && choice.path == path).collect()
}

/// By section; of each its words and its keys.
fn by_section<'a>(
    keys: &'a [&Key],
) -> impl Iterator<Item = (&'static str, &'static str, Vec<&'a Key>)> {
    SECTIONS.iter().filter_map(|&(name, about)| {
        let own: Vec<&Key> = keys.iter().filter(|key| section(key.path) == name).copied().collect();
        (!own.is_empty()).then_some((name, about, own))
    })
}

/// Where a key has an effect, if that is not everywhere.
fn place(key: &Key) -> String {
    let own = (!key.of.is_empty()).then(|| key.of.to_owned());
    let places = PLACES.iter().filter(|(place, ..)| is_within(key.path, place));
    let places = places.map(|(_, other, words)| format!("{other}: {}", words.join(", ")));
    own.into_iter().chain(places).collect::<Vec<_>>().join("; ")
}

fn plain(keys: &[&Key]) -> String {
    let mut text = String::new();
    for (name, about, keys) in by_section(keys) {
        let title = if name.is_empty() { String::new() } else { format!("[{name}]  ") };
        let _ = writeln!(text, "{}", wrapped(&format!("{title}{about}"), 0));
        for (at, key) in keys.iter().enumerate() {
            let of = place(key);
            let of = if of.is_empty() { of } else { format!("  ({of})") };
            let default = match key.default {
                REQUIRED => REQUIRED.to_owned(),
                default => format!("default {default}"),
            };
            let line = format!("{}: {}, {default}{of}", key.path, key.takes);
            let _ = writeln!(text, "{}", wrapped(&line, 2));
            let _ = writeln!(text, "{}", wrapped(key.meaning, 6));
            for choice in choices(&keys, at) {
                let _ = writeln!(
                    text,
                    "{}",
                    wrapped(&format!("\"{}\": {}", choice.word, choice.meaning), 8)
                );
            }
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Lines of at most [`WIDTH`] columns, all indented, those after the first a little more.
fn wrapped(text: &str, indent: usize) -> String {
    let (mut lines, mut line) = (String::new(), " ".repeat(indent));
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &line;
            lines.push('\n');
            line = " ".repeat(indent + 2);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines + &line
}

fn markdown(keys: &[&Key]) -> String {
    let mut text = String::from(
        "# What can stand in a recipe\n\n\
         A recipe is a TOML file; `--set KEY=VALUE` changes one of its keys. `wavetape train NAME --print-config` prints a recipe with all that it\n\
         stands for, `wavetape config` this list, which `wavetape config --markdown` has made.\n",
    );
    for (name, about, keys) in by_section(keys) {
        let title = if name.is_empty() { "At the top".to_owned() } else { format!("`{name}`") };
        let _ = writeln!(text, "\n## {title}\n\n{about}\n");
        let has_kinds = keys.iter().any(|key| !place(key).is_empty());
        let (head, rule) = if has_kinds { (" only with |", "---|") } else { ("", "") };
        let _ = writeln!(text, "| key |{head} type | default | meaning |\n|---|{rule}---|---|---|");
        for key in &keys {
            let of = if has_kinds { format!(" {} |", place(key)) } else { String::new() };
            let default = match key.default {
                word @ (REQUIRED | keys::NONE) => word.to_owned(),
                default => format!("`{default}`"),
            };
            let meaning = cell(key.meaning);
            let _ =
                writeln!(text, "| `{}` |{of} {} | {default} | {meaning} |", key.path, key.takes);
        }
        for (at, key) in keys.iter().enumerate() {
            let choices = choices(&keys, at);
            if !choices.is_empty() {
                let _ = writeln!(text, "\n| `{}` | |\n|---|---|", key.path);
            }
            for choice in choices {
                let _ = writeln!(text, "| `\"{}\"` | {} |", choice.word, cell(choice.meaning));
            }
        }
    }
    text
}

/// What stands in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
