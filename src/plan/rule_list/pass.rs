//! Whether a state on the way may be stricter, or looser, than both ends: told from the rules' own fields, for every packet at once.

use std::collections::BTreeMap;

use super::fields::{self, Decides, Matches};
use super::{Edit, Groups, states};
use crate::world::Section;
use crate::world::firewall::Rule;

/// The number of edits after which the list may first drop a packet that is let pass before and after. A script of [`super::script`]
/// never does; `None` is certain.
#[must_use]
pub fn stricter(live: &[Rule], edits: &[Edit], groups: &Groups) -> Option<usize> {
    first(live, edits, groups, Decides::Accept)
}

/// The number of edits after which the list may first let a packet pass that is dropped before and after. `None` is certain; a number
/// may be too careful where names hide who is meant.
#[must_use]
pub fn looser(live: &[Rule], edits: &[Edit], groups: &Groups) -> Option<usize> {
    first(live, edits, groups, Decides::Drop)
}

/// What a list looks at, one after the other; what it matches by number.
type Chain = Vec<(Decides, usize)>;

/// Everything that is matched in any state, each once.
#[derive(Default)]
struct Seen {
    all: Vec<Matches>,
    rules: BTreeMap<Section, Chain>,
}

impl Seen {
    fn chain(&mut self, list: &[Rule], groups: &Groups) -> Chain {
        let mut chain = Chain::new();
        for rule in list {
            if let Some(known) = self.rules.get(&rule.fields) {
                chain.extend(known);
                continue;
            }
            let mut of_rule = Chain::new();
            for (decides, matches) in fields::effect(&rule.fields, groups) {
                let known = self.all.iter().position(|known| *known == matches);
                let number = known.unwrap_or(self.all.len());
                if known.is_none() {
                    self.all.push(matches);
                }
                of_rule.push((decides, number));
            }
            chain.extend(&of_rule);
            self.rules.insert(rule.fields.clone(), of_rule);
        }
        chain
    }

    fn two(&self, one: usize, other: usize, is: fn(&Matches, &Matches) -> bool) -> bool {
        let (one, other) = (self.all.get(one), self.all.get(other));
        one.zip(other).is_some_and(|(one, other)| is(one, other))
    }

    fn within(&self, one: usize, other: usize) -> bool {
        one == other || self.two(one, other, Matches::within)
    }
}

fn first(live: &[Rule], edits: &[Edit], groups: &Groups, kept: Decides) -> Option<usize> {
    let mut seen = Seen::default();
    let mut chains: Vec<Chain> = states(live, edits)
        .iter()
        .map(|list| seen.chain(list, groups))
        .collect();
    let (end, start) = (chains.pop()?, chains.first().cloned().unwrap_or_default());
    let proof = Proof {
        kept,
        start: ways(&start, kept, seen.all.len()),
        end: ways(&end, kept, seen.all.len()),
        seen,
    };
    let mut between = chains.iter().enumerate().skip(1);
    between
        .find(|(_, chain)| !proof.keeps(chain))
        .map(|(at, _)| at)
}

/// A way to be decided as asked: past some entries, by the entry `last`; by what comes after the list if there is none.
struct Way {
    past: Vec<bool>,
    last: Option<usize>,
}

fn ways(chain: &Chain, kept: Decides, all: usize) -> Vec<Way> {
    let mut past = vec![false; all];
    let mut ways = Vec::new();
    for (decides, number) in chain {
        if *decides == kept || *decides == Decides::Either {
            ways.push(Way {
                past: past.clone(),
                last: Some(*number),
            });
        }
        if let Some(past) = past.get_mut(*number) {
            *past = true;
        }
    }
    ways.push(Way { past, last: None });
    ways
}

struct Proof {
    seen: Seen,
    kept: Decides,
    start: Vec<Way>,
    end: Vec<Way>,
}

impl Proof {
    /// Whether a chain decides as asked every packet that the start and the end decide so.
    fn keeps(&self, chain: &Chain) -> bool {
        let hard = |ways: &'_ Vec<Way>| -> Vec<usize> {
            let ways = ways.iter().enumerate();
            ways.filter(|(_, way)| !self.reaches(chain, &[way]))
                .map(|(at, _)| at)
                .collect()
        };
        let (starts, ends) = (hard(&self.start), hard(&self.end));
        let ends = || ends.iter().filter_map(|at| self.end.get(*at));
        let starts = starts.iter().filter_map(|at| self.start.get(*at));
        let mut pairs = starts.flat_map(|start| ends().map(move |end| (start, end)));
        pairs.all(|(start, end)| {
            start.last.is_some_and(|last| self.avoids(end, last))
                || end.last.is_some_and(|last| self.avoids(start, last))
                || self.reaches(chain, &[start, end])
        })
    }

    /// Whether a packet that goes all of these ways is certainly decided as asked.
    fn reaches(&self, chain: &Chain, ways: &[&Way]) -> bool {
        for (decides, entry) in chain {
            let good = *decides == self.kept || *decides == Decides::Either;
            if good && ways.iter().any(|way| self.takes(way, *entry)) {
                return true;
            }
            if *decides != self.kept && !ways.iter().any(|way| self.avoids(way, *entry)) {
                return false;
            }
        }
        ways.iter().any(|way| way.last.is_none())
    }

    /// Whether no packet that goes a way is matched by an entry.
    fn avoids(&self, way: &Way, entry: usize) -> bool {
        if way.past.get(entry) == Some(&true) {
            return true;
        }
        let last = way.last;
        last.is_some_and(|last| self.seen.two(last, entry, Matches::disjoint)) || {
            let mut past = way.past.iter().enumerate().filter(|(_, past)| **past);
            past.any(|(past, _)| self.seen.within(entry, past))
        }
    }

    /// Whether every packet that goes a way is matched by an entry.
    fn takes(&self, way: &Way, entry: usize) -> bool {
        way.last.is_some_and(|last| self.seen.within(last, entry))
    }
}
