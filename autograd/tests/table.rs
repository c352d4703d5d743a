//! Every public op, on generated cases.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use autograd::check::table;

/// Cases of each op: 16, or as many as the environment variable that proptest reads says.
fn cases() -> usize {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16)
}

#[test]
fn the_gradients_of_every_op_are_those_of_its_value() {
    let summaries: Vec<_> = table().iter().map(|entry| entry.run(cases(), 1)).collect();
    summaries.iter().for_each(|summary| println!("{summary}"));
    let failed: Vec<_> = summaries.iter().filter(|summary| !summary.passed()).collect();
    let lines: Vec<String> = failed.iter().map(|summary| summary.to_string()).collect();
    assert!(failed.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn a_public_op_that_is_not_checked_fails_this_test() {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut public = BTreeSet::new();
    for file in fs::read_dir(ops).expect("the sources are here") {
        let path = file.expect("readable").path();
        let source = fs::read_to_string(path).expect("readable");
        public.extend(source.lines().filter_map(op_of_line));
    }
    let checked: BTreeSet<String> = table().iter().map(|entry| entry.name().to_string()).collect();
    let unchecked: Vec<_> = public.difference(&checked).collect();
    assert!(public.len() > 60, "only {} public ops were found in the sources", public.len());
    assert!(unchecked.is_empty(), "not in autograd::check::table: {unchecked:?}");
}

/// The op that a line of source defines: a public function, or an operator by its trait.
fn op_of_line(line: &str) -> Option<String> {
    let line = line.trim_start();
    let word = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_string)
    };
    if let Some(function) = line.strip_prefix("pub fn ") {
        return word(function);
    }
    if let Some(operator) = line.strip_prefix("operator!(") {
        return word(operator);
    }
    let (operator, target) = line.strip_prefix("impl<E: Float> ")?.split_once(" for ")?;
    let name = word(operator).filter(|name| !name.is_empty())?;
    Some(if target.starts_with('&') { name } else { format!("{name} owned") })
}

#[test]
fn the_same_seed_draws_the_same_cases() {
    let table = table();
    let entry = table.iter().find(|entry| entry.name() == "matmul").expect("checked");
    assert_eq!(entry.run(4, 9), entry.run(4, 9));
}
