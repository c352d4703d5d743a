//! What the command line changes in a recipe: values at dotted keys, composed in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use toml::{Table, Value};

use super::flat;

/// What the command line changes in a recipe.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) data: Option<&'a Path>,
    pub(crate) from: Option<&'a Path>,
    pub(crate) epochs: Option<usize>,
    pub(crate) steps: Option<u64>,
    pub(crate) seed: Option<u64>,
    pub(crate) set: &'a [String],
}

/// Parts of a dotted key at most; no key of a recipe has so many.
const DEPTH: usize = 8;

/// The changes as they were typed.
#[derive(Debug, Default)]
pub(super) struct Typed {
    /// Key, value and option, as they were given.
    given: Vec<(String, Value, String)>,
    /// Each value that is in them, by its whole key, with its option.
    leaves: BTreeMap<String, (Value, String)>,
}

impl Typed {
    /// # Errors
    /// If a change is no `key=value`, or two of them contradict each other.
    pub(super) fn new(changes: &Changes<'_>) -> Result<Self> {
        let mut typed = Self::default();
        let paths = [("data.dir", "--data", changes.data), ("train.from", "--from", changes.from)];
        for (key, option, path) in paths {
            if let Some(path) = path {
                let option = format!("{option} {}", path.display());
                let path = path.to_str().with_context(|| format!("{option}: must be UTF-8"))?;
                typed.add(key, Value::String(path.to_owned()), option)?;
            }
        }
        let numbers = [
            ("train.epochs", "--epochs", changes.epochs.map(|epochs| epochs as u64)),
            ("train.steps", "--steps", changes.steps),
            ("seed", "--seed", changes.seed),
        ];
        for (key, option, number) in numbers {
            if let Some(number) = number {
                let option = format!("{option} {number}");
                let number = i64::try_from(number);
                let number = number.with_context(|| format!("{option}: must be below 2⁶³"))?;
                typed.add(key, Value::Integer(number), option)?;
            }
        }
        for pair in changes.set {
            let option = format!("--set {}", shortened(pair));
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("{option}: must be KEY=VALUE, such as train.epochs=3"))?;
            typed.add(key.trim(), parse_value(value.trim()), option)?;
        }
        // What stands for more goes first: a table or a kind by its name, and then what is in it.
        typed.given.sort_by_key(|(key, ..)| key.split('.').count());
        Ok(typed)
    }

    fn add(&mut self, key: &str, value: Value, option: String) -> Result<()> {
        let parts = key.split('.').count();
        if parts > DEPTH || key.split('.').any(str::is_empty) {
            bail!("{option}: no key of a recipe; `wavetape config` lists them");
        }
        let (key, mut value) = (key.to_owned(), value);
        if let (true, Value::String(kind)) = (key == "model.position", &value) {
            value = Value::Table(
                [("kind".to_owned(), Value::String(kind.clone()))].into_iter().collect(),
            );
        }
        let leaves = flat([("value".to_owned(), value.clone())].into_iter().collect());
        if option.starts_with("--set") {
            // A table takes the place of what was set in it before.
            self.leaves.retain(|leaf, _| !leaf.starts_with(&format!("{key}.")));
        }
        for (inner, value) in leaves {
            let leaf = inner.replacen("value", &key, 1);
            match self.leaves.get(&leaf) {
                // A table and what is in it compose: the narrower key holds.
                Some((other, before))
                    if *other != value
                        && (before.starts_with(&format!("--set {key}="))
                            || !(before.starts_with("--set") && option.starts_with("--set"))) =>
                {
                    bail!("{before} and {option} contradict each other: {leaf} can have one value");
                }
                _ => drop(self.leaves.insert(leaf, (value, option.clone()))),
            }
        }
        self.given.push((key, value, option));
        Ok(())
    }

    /// The option by which the value of this key was typed.
    pub(super) fn option(&self, key: &str) -> Option<&str> {
        self.leaves.get(key).map(|(_, option)| option.as_str())
    }

    /// Puts all of them into the recipe.
    ///
    /// # Errors
    /// If a key goes through a value as if it were a table.
    pub(super) fn apply(&self, table: &mut Table) -> Result<()> {
        for (key, value, option) in &self.given {
            set(table, key, value.clone()).with_context(|| option.clone())?;
        }
        Ok(())
    }
}

/// The settings of a plan without those of which the user's own say something else.
pub(crate) fn overridden(plan: &[String], own: &[String]) -> Vec<String> {
    let key = |pair: &String| pair.split('=').next().unwrap_or_default().trim().to_owned();
    let own_keys: BTreeSet<String> = own.iter().map(key).collect();
    plan.iter().filter(|pair| !own_keys.contains(&key(pair))).chain(own).cloned().collect()
}

/// What was typed, at a length that can be read.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Puts a value at a dotted key, making tables on the way.
fn set(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut at = table;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let next = at.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else { bail!("`{part}` in `{key}` is a value, not a table") };
        at = next;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

/// A TOML value, or a string if it is none.
fn parse_value(text: &str) -> Value {
    let parsed: Result<Table, _> = toml::from_str(&format!("x = {text}"));
    let parsed = parsed.ok().filter(|table| table.len() == 1);
    parsed.and_then(|mut table| table.remove("x")).unwrap_or_else(|| Value::String(text.to_owned()))
}
