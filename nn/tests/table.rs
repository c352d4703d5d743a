//! Every public layer, on generated cases.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nn::check::{self, Verdict, table};
use nn::{Init, Linear, Params, check_layer};
use tensor::Tensor;

/// Cases of each layer: 16, or as many as the environment variable that proptest reads says.
fn cases() -> usize {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16)
}

#[test]
fn the_gradients_of_every_layer_and_parameter_are_those_of_its_value() {
    let summaries: Vec<_> = table().iter().map(|entry| entry.run(cases(), 1)).collect();
    summaries.iter().for_each(|summary| println!("{summary}"));
    let failed = summaries.iter().filter(|summary| !summary.passed());
    let lines: Vec<String> = failed.map(|summary| summary.to_string()).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

/// The methods that take a context, as `Layer::method`.
fn public_methods() -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    for folder in ["src/layers", "src/position"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in fs::read_dir(folder).expect("the sources are here") {
            let source = fs::read_to_string(file.expect("readable").path()).expect("readable");
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            let word = |text: &str| {
                text.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
            };
            for part in source.split("\nimpl ").skip(1) {
                let layer = word(part).expect("a type");
                for method in part.split("    pub fn ").skip(1) {
                    let signature = method.split('{').next().unwrap_or_default();
                    // Decoding keeps values, not variables: nobody differentiates it.
                    if signature.contains("Context<") && !signature.contains("KeyValues") {
                        methods.insert(format!("{layer}::{}", word(method).expect("a name")));
                    }
                }
            }
        }
    }
    methods
}

#[test]
fn a_public_layer_that_is_not_checked_fails_this_test() {
    let methods = public_methods();
    assert!(methods.len() >= 16, "only {methods:?} were found in the sources");
    let table = table();
    let is_checked = |method: &&String| {
        let (layer, method) = method.split_once("::").expect("written above");
        table.iter().any(|entry| {
            // Encoders of all kinds are made from configs, and have no source of their own.
            let Some(source) = entry.source() else { return entry.name().starts_with(layer) };
            let source: String = source.split_whitespace().collect();
            source.contains(&format!("|->{layer}{{")) && source.contains(&format!(".{method}(cx"))
        })
    };
    let unchecked: Vec<_> = methods.iter().filter(|method| !is_checked(method)).collect();
    assert!(unchecked.is_empty(), "not in nn::check::table: {unchecked:?}");
}

#[test]
fn an_existing_layer_is_checked_in_one_line() {
    let mut params = Params::new();
    let linear = Linear::new(&mut Init::new(&mut params, 0), 3, 2);
    let report =
        check::layer("linear", &params, [Tensor::ones([4, 3])], |cx, [x]| linear.forward(cx, x));
    report.assert();
    let names: Vec<&str> = report.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["x", "weight", "bias"]);
    assert!(report.compared >= 12 + 6 + 2, "{report:?}");
}

#[test]
fn a_parameter_that_gets_no_gradient_is_named() {
    let frozen = check_layer!(
        "frozen",
        "* i>0 -> * i",
        |init, pick| -> Linear { Linear::new(init, pick.case().size("i"), pick.case().size("i")) },
        |linear, cx, [x], _| linear.forward(cx, &x.scale(E::ZERO)).detach().add(x)
    );
    let failure = frozen.run(100, 0).failure.expect("severed");
    let Verdict::Severed { input, .. } = &failure.verdict else { panic!("{failure}") };
    assert!(["weight", "bias"].contains(&input.as_str()), "{failure}");
    assert!(failure.test().contains("nn::check_layer!(\"frozen\""), "{failure}");
}
