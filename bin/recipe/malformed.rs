//! Recipes and changes that are no such thing: refused with words, never with a panic.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use self::mutations::{extremes, mutated, mutations};
use super::{Changes, RECIPES, Recipe};

#[path = "../../tests/malformed/mutations.rs"]
mod mutations;

fn runner() -> TestRunner {
    TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    })
}

/// What becomes of a recipe and a change; that it is not a panic is all that is asked.
fn resolve(text: &[u8], set: &str) {
    let set = [set.to_owned()];
    let changes = Changes { set: &set, ..Changes::default() };
    let text = String::from_utf8_lossy(text);
    if let Err(error) = Recipe::resolve("recipe", &text, &changes) {
        assert!(!format!("{error:#}").is_empty());
    }
}

#[test]
fn a_recipe_that_is_changed_at_random_is_a_recipe_or_an_error() {
    for (_, text) in RECIPES {
        let result = runner().run(&mutations(), |mutations| {
            resolve(&mutated(text.as_bytes(), &mutations), "seed=1");
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_recipe_with_extreme_numbers_and_names_is_a_recipe_or_an_error() {
    // One with an encoding of many numbers, and one with many tables.
    for (_, text) in [RECIPES[0], RECIPES[7]] {
        extremes(text.as_bytes(), 100).for_each(|bytes| resolve(&bytes, "seed=1"));
    }
}

#[test]
fn a_change_of_any_text_is_a_change_or_an_error() {
    let keys: Vec<&str> = crate::config::KEYS.iter().map(|key| key.path).collect();
    let key =
        prop_oneof![prop::sample::select(keys).prop_map(str::to_owned), "[a-z._=\\[{\"]{0,12}"];
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        prop::sample::select(vec![
            "[]",
            "{}",
            "[[1]]",
            "{ kind = 1 }",
            "nan",
            "-inf",
            "",
            "\"",
            "[1, 2",
            "'a'"
        ])
        .prop_map(str::to_owned),
        ".{0,20}",
    ];
    for (_, text) in RECIPES {
        let change = (key.clone(), value.clone()).prop_map(|(key, value)| format!("{key}={value}"));
        let result = runner().run(&change, |change| {
            resolve(text.as_bytes(), &change);
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}"));
    }
}
