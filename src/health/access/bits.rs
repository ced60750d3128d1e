//! Sets of privileges as bits, by their place in a table of names.

use std::collections::BTreeMap;

/// Privileges held, and those of them that propagate.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Held {
    held: Vec<u64>,
    below: Vec<u64>,
}

impl Held {
    /// Adds a privilege.
    pub(super) fn insert(&mut self, place: usize, propagates: bool) {
        set(&mut self.held, place);
        if propagates {
            set(&mut self.below, place);
        }
    }

    /// What both hold; it propagates where it does in both.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            held: both(&self.held, &other.held),
            below: both(&self.below, &other.below),
        }
    }

    /// The privileges by name, each with whether it propagates.
    pub(super) fn named<'a>(&self, names: &[&'a str]) -> BTreeMap<&'a str, bool> {
        let held = names.iter().enumerate();
        held.filter(|(place, _)| has(&self.held, *place))
            .map(|(place, name)| (*name, has(&self.below, place)))
            .collect()
    }
}

fn set(words: &mut Vec<u64>, place: usize) {
    let word = place / 64;
    if words.len() <= word {
        words.resize(word + 1, 0);
    }
    if let Some(word) = words.get_mut(word) {
        *word |= 1 << (place % 64);
    }
}

fn has(words: &[u64], place: usize) -> bool {
    let word = words.get(place / 64).copied().unwrap_or_default();
    word & (1 << (place % 64)) != 0
}

/// Without empty words at the end, so that equal sets are equal.
fn both(one: &[u64], other: &[u64]) -> Vec<u64> {
    let mut words: Vec<u64> = one
        .iter()
        .zip(other)
        .map(|(one, other)| one & other)
        .collect();
    while words.last() == Some(&0) {
        words.pop();
    }
    words
}
