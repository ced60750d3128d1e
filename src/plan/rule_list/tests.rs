//! The laws of edit scripts, over random lists and by brute force over all short ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod block;
mod fewest;
mod laws;
mod named;
mod packets;

use super::*;

/// A rule from `key value` pairs; `on` by default.
fn rule(text: &str) -> Rule {
    let mut rule = Rule::default();
    rule.fields.insert("enable".into(), "1".into());
    for pair in text.split(", ") {
        let (key, value) = pair.split_once(' ').unwrap();
        rule.fields.insert(key.into(), value.into());
    }
    rule
}

fn group(name: &str) -> Rule {
    rule(&format!("type group, action {name}"))
}

/// That a list means another, rule by rule.
fn equal(one: &[Rule], other: &[Rule]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
}

fn end(live: &[Rule], edits: &[Edit]) -> Vec<Rule> {
    states(live, edits).pop().unwrap()
}
