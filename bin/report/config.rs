//! What runs were told to do, and where they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::html::Html;

/// The keys of some configs: those whose values differ, and the others.
pub(super) fn keys(configs: &[&BTreeMap<String, String>]) -> (Vec<String>, Vec<String>) {
    let all: BTreeSet<&String> = configs.iter().flat_map(|config| config.keys()).collect();
    let differs = |key: &str| configs.windows(2).any(|two| two[0].get(key) != two[1].get(key));
    all.into_iter().cloned().partition(|key| differs(key))
}

/// A table of values: a column for each run, or one if they are alike.
pub(super) fn table(
    html: &mut Html,
    caption: &str,
    keys: &[String],
    columns: &[(String, &BTreeMap<String, String>)],
) {
    let head: Vec<String> =
        std::iter::once("key".to_owned()).chain(columns.iter().map(|of| of.0.clone())).collect();
    let row = |key: &String| {
        let values = columns.iter().map(|(_, config)| config.get(key).cloned());
        let values = values.map(|value| value.unwrap_or_else(|| "—".to_owned()));
        std::iter::once(key.clone()).chain(values).collect()
    };
    html.table(caption, &head, &keys.iter().map(row).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::flat;

    #[test]
    fn keys_that_differ_are_told_from_those_that_do_not() {
        let read = |text: &str| -> BTreeMap<String, String> {
            let values = flat(toml::from_str(text).expect("TOML")).into_iter();
            values.map(|(key, value)| (key, value.to_string())).collect()
        };
        let one = read("name = 'a'\nseed = 1\n[model]\ndim = 8\nposition = { kind = 'none' }");
        let two = read(
            "name = 'a'\nseed = 2\n[model]\ndim = 8\nposition = { kind = 'none', gamma = 1.0 }",
        );
        let (differ, agree) = keys(&[&one, &two]);
        assert_eq!(differ, ["model.position.gamma", "seed"]);
        assert_eq!(agree, ["model.dim", "model.position.kind", "name"]);
        assert_eq!(keys(&[&one]).0.len(), 0);
        assert_eq!(one["model.position.kind"], "\"none\"");
    }
}
