//! Every rule of the blast radius has a test that shows it firing and one that shows it silent, named after it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::Path;

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_rule_has_a_test_that_fires_and_one_that_is_silent() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    let rules = (1..=9)
        .map(|n| format!("g{n}"))
        .chain((1..=14).map(|n| format!("st{n:02}")))
        .chain((1..=16).map(|n| format!("gu{n:02}")))
        .chain((1..=10).map(|n| format!("fw{n:02}")))
        .chain((1..=7).map(|n| format!("ac{n:02}")))
        .chain(["cl03", "cl04"].map(str::to_owned));
    let missing: Vec<String> = rules
        .flat_map(|rule| [format!("fn {rule}_fires"), format!("fn {rule}_silent")])
        .filter(|test| !text.contains(test.as_str()))
        .collect();
    assert!(missing.is_empty(), "rules without a test: {missing:?}");
}
