//! Numbers for things that come again and again, so that equal ones are compared and combined once.

use std::collections::BTreeMap;

/// Things by number, each once.
#[derive(Debug)]
pub(super) struct Table<T> {
    numbers: BTreeMap<T, u32>,
    things: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            numbers: BTreeMap::new(),
            things: Vec::new(),
        }
    }
}

impl<T: Clone + Ord> Table<T> {
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
    /// By the first number; the numbers of a table leave no gaps.
    known: Vec<BTreeMap<u32, u32>>,
}

impl Pairs {
    /// What a pair gives; `work` is called for a pair that is new.
    pub(super) fn of(&mut self, one: u32, other: u32, work: impl FnOnce() -> u32) -> u32 {
        let place = one as usize;
        if self.known.len() <= place {
            self.known.resize_with(place + 1, BTreeMap::new);
        }
        match self.known.get_mut(place) {
            Some(known) => *known.entry(other).or_insert_with(work),
            None => work(),
        }
    }
}
