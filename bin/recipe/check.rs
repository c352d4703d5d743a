//! A recipe held against the table of keys: each key is known, has an effect, and a value of its type within its bounds.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use toml::{Table, Value};

use super::changes::{Typed, shortened};
use super::flat;
use crate::config::{CHOICES, KEYS, Key, PLACES, REQUIRED, is_within};
use crate::suggest;

/// What becomes of a key without effect that nobody has typed just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// An error, unless it is the typed choice of another kind that takes its effect away.
    Refuse,
    /// Dropped: a recipe that a run has left is read as it was meant.
    Drop,
}

/// The values of a recipe under dotted keys.
type Values = BTreeMap<String, Value>;

/// A condition that another key must meet: its name, and its values.
type Condition = (&'static str, Vec<&'static str>);

/// The key whose value decides which kind has this one.
fn kind_of(path: &str) -> Option<&'static str> {
    match path.strip_prefix("model.") {
        Some(rest) if rest.starts_with("position.") && rest != "position.kind" => {
            Some("model.position.kind")
        }
        Some(rest) if rest.starts_with("backbone.") => Some("model.backbone.kind"),
        Some(_) => Some("model.kind"),
        None => None,
    }
}

/// The word that a key has in a recipe, or by default.
fn word<'a>(values: &'a Values, path: &str) -> Option<&'a str> {
    match values.get(path) {
        Some(Value::String(word)) => Some(word),
        Some(Value::Boolean(flag)) => Some(if *flag { "true" } else { "false" }),
        Some(_) => None,
        None if path == "model.position.kind"
            && word(values, "model.kind") == Some("captioner") =>
        {
            Some("lff-mlp")
        }
        None => None,
    }
}

fn holds(values: &Values, (key, words): &Condition) -> bool {
    word(values, key).is_none_or(|word| words.contains(&word))
}

/// The row of the table for this key in a recipe of such kinds, or the condition that is not met.
fn row(values: &Values, path: &str) -> Result<&'static Key, Condition> {
    let mut kinds = Vec::new();
    let mut found = None;
    for key in KEYS.iter().filter(|key| key.path == path) {
        let of: Vec<_> = key.of.split(", ").filter(|of| !of.is_empty()).collect();
        let condition = (kind_of(path).unwrap_or_default(), of);
        if condition.1.is_empty() || holds(values, &condition) {
            found = Some(key);
            break;
        }
        kinds.extend(condition.1);
    }
    let places = PLACES.iter().filter(|(place, ..)| is_within(path, place));
    let mut places = places.map(|&(_, key, words)| (key, words.to_vec()));
    if let Some(unmet) = places.find(|place| !holds(values, place)) {
        return Err(unmet);
    }
    found.ok_or_else(|| (kind_of(path).unwrap_or_default(), kinds))
}

/// Whether a value is the default of a key, in any of its rows.
fn is_default(path: &str, value: &Value) -> bool {
    let number = |value: &Value| value.as_float().or(value.as_integer().map(|whole| whole as f64));
    KEYS.iter().filter(|key| key.path == path).any(|key| {
        let parsed: Option<Value> = toml::from_str::<Table>(&format!("x = {}", key.default))
            .ok()
            .and_then(|mut table| table.remove("x"));
        parsed.is_some_and(|default| {
            default == *value || (number(&default).is_some() && number(&default) == number(value))
        })
    })
}

/// `"a", "b" or "c"`.
fn any_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The words that a choice is made from.
fn words_of(key: &Key) -> Vec<&'static str> {
    CHOICES.iter().filter(|choice| choice.path == key.path).map(|choice| choice.word).collect()
}

/// Takes a value out of a table and of those inside of it.
fn remove(table: &mut Table, path: &str) {
    match path.split_once('.') {
        None => drop(table.remove(path)),
        Some((part, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(part) {
                remove(inner, rest);
            }
        }
    }
}

fn is_empty_table(table: &Table, path: &str) -> bool {
    match path.split_once('.') {
        None => table.get(path).and_then(Value::as_table).is_some_and(Table::is_empty),
        Some((part, rest)) => match table.get(part) {
            Some(Value::Table(inner)) => is_empty_table(inner, rest),
            _ => false,
        },
    }
}

/// The nearest known key, if one is near: the same name elsewhere first.
fn nearest(path: &str) -> String {
    let name = path.rsplit('.').next();
    let elsewhere = KEYS.iter().map(|key| key.path).find(|key| key.rsplit('.').next() == name);
    let near = elsewhere.or_else(|| suggest::nearest(path, KEYS.iter().map(|key| key.path)));
    match near {
        Some(near) => format!("; did you mean `{near}`?"),
        None => "; `wavetape config` lists the keys".to_owned(),
    }
}

/// Holds a recipe against the table of keys. Takes out what has no effect and may go, and says what of it was not as usual; `before`
/// are the values without the changes. `section`: only keys in it must be there.
///
/// # Errors
/// The first key that is not known, has no effect, is missing, or has a value that it does not take.
pub(super) fn check(
    table: &mut Table,
    before: &Values,
    typed: &Typed,
    idle: Idle,
    section: &str,
) -> Result<Vec<String>> {
    let (mut values, mut dropped) = (flat(table.clone()), Vec::new());
    // Kinds first: they decide what else can stand there.
    let mut paths: Vec<String> = values.keys().cloned().collect();
    paths.sort_by_key(|path| (!path.ends_with("kind"), path.matches('.').count()));
    for path in paths {
        let value = &values[&path];
        let begin = typed.option(&path).map(|option| format!("{option}: ")).unwrap_or_default();
        if !KEYS.iter().any(|key| key.path == path) {
            if KEYS.iter().any(|key| is_within(key.path, &path)) {
                bail!("{begin}`{path}` must be a table");
            }
            bail!("{begin}no such key `{}`{}", shortened(&path), nearest(&path));
        }
        let key = match row(&values, &path) {
            Ok(key) => key,
            Err((other, words)) => {
                let found = word(&values, other).unwrap_or_default().to_owned();
                let is_typed = typed.option(&path).is_some();
                if !is_default(&path, value) {
                    let why = format!("{path} has no effect with {other} = \"{found}\"");
                    if is_typed || (idle == Idle::Refuse && typed.option(other).is_none()) {
                        bail!("{begin}{why}; it has one with {other} = {}", any_of(&words));
                    }
                    dropped.push(why);
                }
                remove(table, &path);
                values.remove(&path);
                continue;
            }
        };
        // A number that was meant for another kind is not taken over by one with another scale.
        let was = row(before, &path).ok();
        let is_moved = was.is_some_and(|was| !std::ptr::eq(was, key) && was.default != key.default);
        if is_moved && typed.option(&path).is_none() && !path.ends_with("kind") {
            let other = kind_of(&path).unwrap_or_default();
            dropped.push(format!(
                "{path} = {value} was meant for {other} = \"{}\"",
                word(before, other).unwrap_or_default()
            ));
            remove(table, &path);
            values.remove(&path);
            continue;
        }
        let words = words_of(key);
        if let Err(must) = key.takes.check(value, &words) {
            let near = value.as_str().and_then(|word| suggest::nearest(word, words));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            bail!("{begin}{path} must be {must}, found {}{near}", shortened(&value.to_string()));
        }
    }
    for &(place, other, words) in PLACES {
        if !holds(&values, &(other, words.to_vec())) && is_empty_table(table, place) {
            remove(table, place);
        }
    }
    for key in KEYS.iter().filter(|key| is_within(key.path, section) || section.is_empty()) {
        let is_needed = key.default == REQUIRED && !values.contains_key(key.path);
        let has_table = || values.keys().any(|path| path.starts_with("data.screens.band."));
        let is_needed = is_needed && (!key.path.starts_with("data.screens.band.") || has_table());
        if is_needed && row(&values, key.path).is_ok_and(|row| std::ptr::eq(row, key)) {
            bail!("{} is missing: it must be {}", key.path, key.takes.words(&words_of(key)));
        }
    }
    Ok(dropped)
}
