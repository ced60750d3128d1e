//! Numbers for things that come again and again, so that equal ones are compared and combined once.

use std::collections::HashMap;
use std::hash::Hash;

/// Things by number, each once.
#[derive(Debug)]
pub(super) struct Table<T> {
    numbers: HashMap<T, u32>,
    things: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            things: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    /// The number of a thing.
    pub(super) fn number(&mut self, thing: T) -> u32 {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        // More than four milliards of distinct things do not fit into memory.
        let number = u32::try_from(self.things.len()).unwrap_or(u32::MAX);
        self.things.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }

    /// The thing of a number.
    pub(super) fn thing(&self, number: u32) -> Option<&T> {
        self.things.get(number as usize)
    }

    /// All things, in the order of their numbers.
    pub(super) fn things(self) -> Vec<T> {
        self.things
    }
}

/// What two numbers give together, worked out once for each pair.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    known: HashMap<(u32, u32), u32>,
    last: Option<((u32, u32), u32)>,
}

impl Pairs {
    /// What a pair gives; `work` is called for a pair that is new.
    pub(super) fn of(&mut self, one: u32, other: u32, work: impl FnOnce() -> u32) -> u32 {
        let pair = (one, other);
        if let Some((_, result)) = self.last.filter(|(last, _)| *last == pair) {
            return result;
        }
        let result = *self.known.entry(pair).or_insert_with(work);
        self.last = Some((pair, result));
        result
    }
}
