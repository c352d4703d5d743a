//! README.md shows the example as it is.

#[test]
fn the_code_of_the_section_as_a_library_is_the_example() {
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md");
    let example = include_str!("../examples/own_data.rs");
    let code = example.split_once("\n\n").expect("what it is comes first").1;
    let code = code.split_once("\n#[test]").expect("the test comes last").0;
    assert!(readme.contains(&format!("```rust\n{code}```")), "section \"As a library\"");
}
