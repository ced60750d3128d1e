//! Whether a state on the way may be stricter, or looser, than both ends: told from the rules' own fields, for every packet at once.

use super::fields::{self, Decides, Matches};
use super::{Edit, Groups, states};
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

/// What a list looks at, one after the other.
type Chain = Vec<(Decides, Matches)>;

fn first(live: &[Rule], edits: &[Edit], groups: &Groups, kept: Decides) -> Option<usize> {
    let chain = |rules: &Vec<Rule>| -> Chain {
        let rules = rules.iter();
        rules
            .flat_map(|rule| fields::effect(&rule.fields, groups))
            .collect()
    };
    let mut chains: Vec<Chain> = states(live, edits).iter().map(chain).collect();
    let (end, start) = (chains.pop()?, chains.first().cloned().unwrap_or_default());
    let ways = (ways(&start, kept), ways(&end, kept));
    let mut between = chains.iter().enumerate().skip(1);
    between
        .find(|(_, chain)| !keeps(chain, kept, &ways))
        .map(|(at, _)| at)
}

/// A way to be decided as asked: past the entries before it, by the entry `last`; by what comes after the list if there is none.
struct Way<'a> {
    past: &'a [(Decides, Matches)],
    last: Option<&'a Matches>,
}

fn ways(chain: &Chain, kept: Decides) -> Vec<Way<'_>> {
    let mut ways: Vec<Way<'_>> = chain
        .iter()
        .enumerate()
        .filter(|(_, (decides, _))| *decides == kept || *decides == Decides::Either)
        .map(|(at, (_, matches))| Way {
            past: chain.get(..at).unwrap_or_default(),
            last: Some(matches),
        })
        .collect();
    ways.push(Way {
        past: chain,
        last: None,
    });
    ways
}

impl Way<'_> {
    /// Whether no packet that goes this way is matched by an entry.
    fn avoids(&self, entry: &Matches) -> bool {
        self.last.is_some_and(|last| last.disjoint(entry))
            || self.past.iter().any(|(_, past)| entry.within(past))
    }

    /// Whether every packet that goes this way is matched by an entry; by `None` if it leaves the list undecided.
    fn takes(&self, entry: Option<&Matches>) -> bool {
        match (self.last, entry) {
            (Some(last), Some(entry)) => last.within(entry),
            (None, None) => true,
            _ => false,
        }
    }
}

/// Whether a chain decides as asked every packet that the start and the end decide so.
fn keeps(chain: &Chain, kept: Decides, (start, end): &(Vec<Way<'_>>, Vec<Way<'_>>)) -> bool {
    let hard = |ways: &'_ [Way<'_>]| -> Vec<usize> {
        let ways = ways.iter().enumerate();
        ways.filter(|(_, way)| !reaches(chain, kept, &[way]))
            .map(|(at, _)| at)
            .collect()
    };
    let (one, other) = (hard(start), hard(end));
    let mut pairs = one.iter().filter_map(|at| start.get(*at)).flat_map(|way| {
        other
            .iter()
            .filter_map(|at| end.get(*at))
            .map(move |end| (way, end))
    });
    pairs.all(|(way, end)| {
        way.last.is_some_and(|last| end.avoids(last))
            || end.last.is_some_and(|last| way.avoids(last))
            || reaches(chain, kept, &[way, end])
    })
}

/// Whether a packet that goes all of these ways is certainly decided as asked.
fn reaches(chain: &Chain, kept: Decides, ways: &[&Way<'_>]) -> bool {
    for (decides, matches) in chain {
        let good = *decides == kept || *decides == Decides::Either;
        if good && ways.iter().any(|way| way.takes(Some(matches))) {
            return true;
        }
        if *decides != kept && !ways.iter().any(|way| way.avoids(matches)) {
            return false;
        }
    }
    ways.iter().any(|way| way.takes(None))
}
