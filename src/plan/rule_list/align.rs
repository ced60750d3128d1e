//! Which rules stay: a weighted longest common subsequence.

use crate::world::Section;

/// How many rules at each end of both lists stay as they are, whatever else would be cheaper: those of other people.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fixed {
    pub(super) before: usize,
    pub(super) after: usize,
}

/// What becomes of a wanted rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The rule at this position of the live list stays, and is changed if it is not equal.
    Stays(usize),
    /// The rule at this position of the live list, which is equal, is moved.
    Moves(usize),
    /// It is new.
    New,
}

/// The weight of a call; there are fewer rules in any list.
const CALL: u32 = 1 << 14;

/// For each wanted rule, where it comes from. Live rules that are not named go.
pub(super) fn align(live: &[Section], wanted: &[Section], fixed: Fixed) -> Vec<Goal> {
    let end = |list: &[Section]| list.len().saturating_sub(fixed.after).max(fixed.before);
    let inner = |list: &'_ [Section]| -> Vec<Section> {
        let inner = list.get(fixed.before..end(list));
        inner.unwrap_or_default().to_vec()
    };
    let shift = fixed.before;
    let middle = middle(&inner(live), &inner(wanted), fixed.before > 0);
    let middle = middle.into_iter().map(|goal| match goal {
        Goal::Stays(at) => Goal::Stays(at + shift),
        Goal::Moves(at) => Goal::Moves(at + shift),
        Goal::New => Goal::New,
    });
    let after = (end(live)..live.len()).map(Goal::Stays);
    (0..fixed.before)
        .map(Goal::Stays)
        .chain(middle)
        .chain(after)
        .collect()
}

fn middle(live: &[Section], wanted: &[Section], below: bool) -> Vec<Goal> {
    let pairs = pairs(live, wanted);
    let partner = |j: usize| pairs.get(j).copied().flatten();
    let mut taken = vec![false; live.len()];
    for at in pairs.iter().flatten() {
        taken
            .get_mut(*at)
            .into_iter()
            .for_each(|taken| *taken = true);
    }
    let unpaired = |j: usize| partner(j).is_none();
    // What staying saves. A rule that stays saves its move; one that is changed and stays saves as much, and is preferred, since not every
    // rule that is changed may also be moved.
    let weight = |i: usize, j: usize| match partner(j) {
        Some(at) if at == i => CALL,
        None if taken.get(i) == Some(&false) => CALL + 1,
        _ => 0,
    };
    // Above all that stay, a new rule is one call; below, it is two, or one that is not needed is changed and moved instead.
    let gone = taken.iter().filter(|taken| !**taken).count();
    let new = (0..wanted.len()).filter(|j| unpaired(*j)).count();
    let mut saved = Vec::new();
    let mut above = 0;
    for j in 0..=wanted.len() {
        let calls = above + gone.min(new - above);
        saved.push(CALL.saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX)));
        above += usize::from(j < wanted.len() && unpaired(j) && !below);
    }
    let saved = |j: usize| saved.get(j).copied().unwrap_or(0);
    let table = Table::new(live.len(), wanted.len(), weight);
    let mut best = (saved(wanted.len()), None);
    for i in 0..live.len() {
        for j in 0..wanted.len() {
            let weight = weight(i, j);
            let value = weight
                .saturating_add(table.at(i + 1, j + 1))
                .saturating_add(saved(j));
            if weight > 0 && value > best.0 {
                best = (value, Some((i, j)));
            }
        }
    }
    let mut goals: Vec<Goal> = (0..wanted.len())
        .map(|j| partner(j).map_or(Goal::New, Goal::Moves))
        .collect();
    if let Some((i, j)) = best.1 {
        let mut stay = |i: usize, j: usize| {
            goals
                .get_mut(j)
                .into_iter()
                .for_each(|goal| *goal = Goal::Stays(i));
        };
        stay(i, j);
        table.path(i + 1, j + 1, weight, stay);
    }
    goals
}

/// For each wanted rule, the equal live rule that it is.
fn pairs(live: &[Section], wanted: &[Section]) -> Vec<Option<usize>> {
    let equal = |i: usize, j: usize| u32::from(live.get(i) == wanted.get(j));
    let mut pairs = vec![None; wanted.len()];
    let mut taken = vec![false; live.len()];
    Table::new(live.len(), wanted.len(), equal).path(0, 0, equal, |i, j| {
        taken.get_mut(i).into_iter().for_each(|taken| *taken = true);
        pairs
            .get_mut(j)
            .into_iter()
            .for_each(|pair| *pair = Some(i));
    });
    for (pair, rule) in pairs.iter_mut().zip(wanted) {
        if pair.is_some() {
            continue;
        }
        let rest = taken.iter_mut().zip(live).enumerate();
        let found = rest
            .into_iter()
            .find(|(_, (taken, live))| !**taken && *live == rule);
        if let Some((at, (taken, _))) = found {
            *taken = true;
            *pair = Some(at);
        }
    }
    pairs
}

/// The greatest weight of a common subsequence of what is left of both lists from each pair of positions.
struct Table {
    rows: Vec<Vec<u32>>,
}

impl Table {
    fn new(live: usize, wanted: usize, weight: impl Fn(usize, usize) -> u32) -> Self {
        let mut rows = vec![vec![0; wanted + 1]];
        for i in (0..live).rev() {
            let below = rows.last().cloned().unwrap_or_default();
            let mut row = vec![0; wanted + 1];
            let mut right = 0;
            for j in (0..wanted).rev() {
                let get = |at: usize| below.get(at).copied().unwrap_or(0);
                let both = match weight(i, j) {
                    0 => 0,
                    weight => weight + get(j + 1),
                };
                right = both.max(get(j)).max(right);
                row.get_mut(j).into_iter().for_each(|cell| *cell = right);
            }
            rows.push(row);
        }
        rows.reverse();
        Self { rows }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        let row = self.rows.get(i);
        row.and_then(|row| row.get(j)).copied().unwrap_or(0)
    }

    /// Walks along a subsequence of the greatest weight.
    fn path(
        &self,
        mut i: usize,
        mut j: usize,
        weight: impl Fn(usize, usize) -> u32,
        mut step: impl FnMut(usize, usize),
    ) {
        while self.at(i, j) > 0 {
            let here = weight(i, j);
            if here > 0 && here + self.at(i + 1, j + 1) == self.at(i, j) {
                step(i, j);
                i += 1;
                j += 1;
            } else if self.at(i + 1, j) == self.at(i, j) {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
}
