//! Every model, end to end, on generated cases.

use std::fs;
use std::path::Path;

use models::check::table;

/// Cases of each model: 2, or an eighth of what the environment variable that proptest reads says.
fn cases() -> usize {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    cases.map_or(2, |cases: usize| cases.div_ceil(8))
}

#[test]
fn the_gradients_of_every_model_and_parameter_are_those_of_its_value() {
    let summaries: Vec<_> = table().iter().map(|entry| entry.run(cases(), 1)).collect();
    summaries.iter().for_each(|summary| println!("{summary}"));
    let failed = summaries.iter().filter(|summary| !summary.passed());
    let lines: Vec<String> = failed.map(|summary| summary.to_string()).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn a_public_model_that_is_not_checked_fails_this_test() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let (mut files, mut models) = (Vec::new(), Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources are here") {
            let path = entry.expect("readable").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for file in files {
        let source = fs::read_to_string(file).expect("readable");
        let has_forward = |part: &&str| part.contains("    pub fn forward");
        let name = |part: &str| part.split([' ', '<']).next().map(str::to_owned);
        models.extend(source.split("\nimpl ").skip(1).filter(has_forward).filter_map(name));
    }
    let found = |name: &str| models.iter().any(|model| model == name);
    assert!(found("Vit") && found("ImageGpt") && found("Detr"), "{models:?}");
    let unchecked = |model: &&String| !table().iter().any(|entry| entry.name().starts_with(*model));
    let unchecked: Vec<_> = models.iter().filter(unchecked).collect();
    assert!(unchecked.is_empty(), "not in models::check::table: {unchecked:?}");
}
