//! The order of the calls: first those that only open, then those that open and shut, then those that only shut.
//!
//! That this keeps the law of no stricter state, packet by packet: the first part never takes a packet's way that the live list gives; the
//! last never leaves the list with less than the wanted one gives, since every call in it only shuts and it ends there; and of the calls
//! between, a packet is matched by the rules of one at most, before which it passes if the live list lets it, and after which if the wanted
//! one does. A rule that is put in its place stays there, and others are placed by those that are; so a rule that accepts and stands too
//! low never has to go down later, nor one that drops up in the first part.

use super::align::{Fixed, Goal, align};
use super::fields::{self, Decides, Matches};
use super::{Edit, Groups, RuleListError};
use crate::world::Section;
use crate::world::firewall::Rule;

static NONE: Section = Section::new();

type Effect = Vec<(Decides, Matches)>;

/// What a call may do to packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Nothing,
    Opens,
    Shuts,
    Both,
}

impl Turn {
    fn of(opens: bool, shuts: bool) -> Self {
        match (opens, shuts) {
            (false, false) => Self::Nothing,
            (true, false) => Self::Opens,
            (false, true) => Self::Shuts,
            (true, true) => Self::Both,
        }
    }

    /// The turn of the opposite call.
    fn back(self) -> Self {
        match self {
            Self::Opens => Self::Shuts,
            Self::Shuts => Self::Opens,
            same => same,
        }
    }
}

/// A rule on its way.
struct Item {
    /// Its fields now; `None` while it is not there.
    now: Option<Section>,
    /// What it does now.
    is: Effect,
    /// What it does in the end.
    will: Effect,
    /// Its fields in the end, and its place among the wanted; `None` if it goes.
    goal: Option<(usize, Section)>,
    /// Whether it stands where it is wanted, among the others that do.
    placed: bool,
}

impl Item {
    fn fields(&self) -> &Section {
        self.now.as_ref().unwrap_or(&NONE)
    }

    fn wanted(&self) -> &Section {
        self.goal.as_ref().map_or(&NONE, |(_, fields)| fields)
    }

    fn rank(&self) -> Option<usize> {
        self.goal.as_ref().map(|(rank, _)| *rank)
    }

    fn changes(&self) -> bool {
        self.goal.is_some() && fields::canonical(self.fields()) != fields::canonical(self.wanted())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Turning,
    Shutting,
}

impl Phase {
    fn takes(self, turn: Turn) -> bool {
        match self {
            Self::Opening => matches!(turn, Turn::Nothing | Turn::Opens),
            Self::Turning => turn == Turn::Both,
            Self::Shutting => matches!(turn, Turn::Nothing | Turn::Shuts),
        }
    }
}

struct Work<'a> {
    groups: &'a Groups,
    items: Vec<Item>,
    /// The list, as indices of items.
    list: Vec<usize>,
    edits: Vec<Edit>,
}

/// The script that makes `wanted` of `live`.
pub(super) fn script(
    live: &[Rule],
    wanted: &[Rule],
    fixed: Fixed,
    groups: &Groups,
) -> Result<Vec<Edit>, RuleListError> {
    let canonical = |rules: &[Rule]| -> Vec<Section> {
        let rules = rules.iter();
        rules.map(|rule| fields::canonical(&rule.fields)).collect()
    };
    let goals = align(&canonical(live), &canonical(wanted), fixed);
    let mut work = Work {
        groups,
        items: Vec::new(),
        list: (0..live.len()).collect(),
        edits: Vec::new(),
    };
    for rule in live {
        work.add(Some(rule.fields.clone()), None);
    }
    for (rank, (goal, rule)) in goals.into_iter().zip(wanted).enumerate() {
        let wanted = Some((rank, rule.fields.clone()));
        match goal {
            Goal::Stays(at) => work.aim(at, wanted, true),
            Goal::Moves(at) => work.aim(at, wanted, false),
            Goal::New => work.add(None, wanted),
        }
    }
    work.pair(live.len());
    work.split()?;
    for phase in [Phase::Opening, Phase::Turning, Phase::Shutting] {
        work.phase(phase);
    }
    work.done()
}

/// Whether of two effects none matches what the other does.
fn apart(one: &Effect, other: &Effect) -> bool {
    let mut pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    pairs.all(|((_, a), (_, b))| a.disjoint(b))
}

fn tangled(effect: &Effect) -> bool {
    let either = |what: Decides| effect.iter().any(|(decides, _)| *decides == what);
    either(Decides::Either) || (either(Decides::Accept) && either(Decides::Drop))
}

/// What it does to packets that a rule with one effect becomes one with another, in its place.
fn turn(old: &Effect, new: &Effect) -> Turn {
    if old == new {
        return Turn::Nothing;
    }
    if tangled(old) || tangled(new) {
        return Turn::Both;
    }
    let of = |effect: &Effect, what: Decides| -> Vec<Matches> {
        let of = effect.iter().filter(|(decides, _)| *decides == what);
        of.map(|(_, matches)| matches.clone()).collect()
    };
    let less = |what| {
        let (old, new) = (of(old, what), of(new, what));
        !old.iter().all(|one| new.iter().any(|two| one.within(two)))
    };
    let more = |what| {
        let (old, new) = (of(old, what), of(new, what));
        !new.iter().all(|one| old.iter().any(|two| one.within(two)))
    };
    Turn::of(
        more(Decides::Accept) || less(Decides::Drop),
        less(Decides::Accept) || more(Decides::Drop),
    )
}

/// What it does to packets that a rule comes to be looked at before others.
fn ahead<'a>(rule: &Effect, others: impl IntoIterator<Item = &'a Effect>) -> Turn {
    let (mut opens, mut shuts) = (false, false);
    for (theirs, other) in others.into_iter().flatten() {
        for (ours, matches) in rule {
            if matches.disjoint(other) {
                continue;
            }
            opens |= *ours != Decides::Drop && *theirs != Decides::Accept;
            shuts |= *ours != Decides::Accept && *theirs != Decides::Drop;
        }
    }
    Turn::of(opens, shuts)
}

impl Work<'_> {
    fn effect(&self, fields: Option<&Section>) -> Effect {
        fields.map_or_else(Effect::new, |fields| fields::effect(fields, self.groups))
    }

    fn add(&mut self, now: Option<Section>, goal: Option<(usize, Section)>) {
        self.items.push(Item {
            is: self.effect(now.as_ref()),
            will: self.effect(goal.as_ref().map(|(_, fields)| fields)),
            now,
            goal,
            placed: false,
        });
    }

    /// Gives a rule of the list a place among the wanted; where it stands already, or another.
    fn aim(&mut self, at: usize, goal: Option<(usize, Section)>, placed: bool) {
        let will = self.effect(goal.as_ref().map(|(_, fields)| fields));
        if let Some(item) = self.items.get_mut(at) {
            (item.goal, item.will, item.placed) = (goal, will, placed);
        }
    }

    /// Takes a rule's place among the wanted away.
    fn release(&mut self, at: usize) -> Option<(usize, Section)> {
        let goal = self.items.get_mut(at)?.goal.take();
        self.aim(at, None, false);
        goal
    }

    /// Makes rules that would go the new ones of other places, which are then changed and moved, where neither form of it can pass a
    /// rule of another verdict.
    fn pair(&mut self, live: usize) {
        let stays = self.items.iter().filter(|item| item.placed);
        let Some(first) = stays.filter_map(Item::rank).min() else {
            return;
        };
        for new in live..self.items.len() {
            let Some(item) = self.items.get(new) else {
                break;
            };
            let fits = |old: &usize| self.fits(*old, item);
            let found = (0..live).filter(fits).min_by_key(|old| {
                let old = self.items.get(*old).map(Item::fields);
                let (set, delete) = fields::difference(old.unwrap_or(&NONE), item.wanted());
                set.len() + delete.len()
            });
            if let Some(old) = found.filter(|_| item.rank() > Some(first)) {
                let goal = self.release(new);
                self.aim(old, goal, false);
            }
        }
    }

    /// Whether a rule that would go may be changed to a new one and moved to its place: nothing that it could pass is of another verdict.
    fn fits(&self, old: usize, new: &Item) -> bool {
        let Some(item) = self.items.get(old).filter(|item| item.goal.is_none()) else {
            return false;
        };
        let whole = [item.is.clone(), new.will.clone()].concat();
        let others = self.items.iter().enumerate();
        let passed = others.filter(|(at, item)| {
            let passes = !item.placed || (*at < old) != (item.rank() < new.rank());
            passes && *at != old && item.rank() != new.rank()
        });
        let passed = passed.flat_map(|(_, item)| [&item.is, &item.will]);
        !tangled(&whole) && ahead(&whole, passed) == Turn::Nothing
    }

    /// Takes changes apart whose packets may be those of another call that opens and shuts.
    fn split(&mut self) -> Result<(), RuleListError> {
        let mut kept: Vec<(Effect, String)> = Vec::new();
        let mut changes = Vec::new();
        for (at, item) in self.items.iter().enumerate() {
            let moves = item.goal.is_some() && item.now.is_some() && !item.placed;
            let turns = turn(&item.is, &item.will) == Turn::Both;
            let whole = || [item.is.clone(), item.will.clone()].concat();
            let words = || fields::words(item.now.as_ref().unwrap_or(item.wanted()));
            if (tangled(&item.is) || tangled(&item.will)) && (moves || turns) {
                kept.push((whole(), words()));
            } else if turns {
                changes.push((at, whole(), words()));
            }
        }
        for (at, (one, words)) in kept.iter().enumerate() {
            if let Some((_, other)) = kept.iter().take(at).find(|(other, _)| !apart(one, other)) {
                let rules = vec![other.clone(), words.clone()];
                return Err(RuleListError::NoSafeOrder { rules });
            }
        }
        for (at, whole, words) in changes {
            if kept.iter().all(|(other, _)| apart(&whole, other)) {
                kept.push((whole, words));
            } else {
                let goal = self.release(at);
                self.add(None, goal);
            }
        }
        Ok(())
    }

    /// Makes all edits of a phase: of the wanted rules from the last to the first, then of those that go, from the last to the first.
    fn phase(&mut self, phase: Phase) {
        let mut wanted: Vec<(usize, usize)> = self
            .items
            .iter()
            .enumerate()
            .filter_map(|(at, item)| Some((item.rank()?, at)))
            .collect();
        wanted.sort_unstable();
        for (_, at) in wanted.into_iter().rev() {
            self.alter(at, phase);
            self.arrive(at, phase);
            self.alter(at, phase);
        }
        for position in (0..self.list.len()).rev() {
            let Some(item) = self.list.get(position).and_then(|at| self.items.get(*at)) else {
                continue;
            };
            if item.goal.is_none() && phase.takes(turn(&item.is, &Effect::new())) {
                self.list.remove(position);
                self.edits.push(Edit::Delete { position });
            }
        }
    }

    /// Brings a rule to its place.
    fn arrive(&mut self, at: usize, phase: Phase) {
        let Some(item) = self.items.get(at).filter(|item| !item.placed) else {
            return;
        };
        let Some(rank) = item.rank() else { return };
        let (low, high) = self.room(rank);
        if item.now.is_none() {
            if phase.takes(turn(&Effect::new(), &item.will)) {
                self.insert(at, low);
            }
            return;
        }
        let Some(from) = self.list.iter().position(|one| *one == at) else {
            return;
        };
        let (to, turn) = if from > high {
            (high, ahead(&item.is, self.at(high..from)))
        } else if from < low {
            (low, ahead(&item.is, self.at(from + 1..low)).back())
        } else {
            self.place(at);
            return;
        };
        if phase.takes(turn) {
            self.edits.push(Edit::Move { from, to });
            self.list.remove(from);
            self.list.insert(if to > from { to - 1 } else { to }, at);
            self.place(at);
        }
    }

    /// What the rules at some positions do.
    fn at(&self, positions: std::ops::Range<usize>) -> impl Iterator<Item = &Effect> {
        let list = self.list.get(positions).unwrap_or_default().iter();
        list.filter_map(|at| self.items.get(*at))
            .map(|item| &item.is)
    }

    fn place(&mut self, at: usize) {
        if let Some(item) = self.items.get_mut(at) {
            item.placed = true;
        }
    }

    /// Between which positions of the list a rule may be put: after all placed ones that are wanted before it, and before those after.
    fn room(&self, rank: usize) -> (usize, usize) {
        let placed = || {
            let list = self.list.iter().enumerate();
            list.filter_map(|(position, at)| {
                let item = self.items.get(*at).filter(|item| item.placed)?;
                Some((position, item.rank()?))
            })
        };
        let low = placed().rfind(|(_, other)| *other < rank);
        let high = placed().find(|(_, other)| *other > rank);
        (
            low.map_or(0, |(position, _)| position + 1),
            high.map_or(self.list.len(), |(position, _)| position),
        )
    }

    /// Makes a new rule, and brings it to its place, off while it would pass rules of another verdict.
    fn insert(&mut self, at: usize, to: usize) {
        let Some(item) = self.items.get(at) else {
            return;
        };
        let passes = ahead(&item.will, self.at(0..to)) == Turn::Nothing;
        let on = fields::enabled(item.wanted()) && passes;
        let fields = fields::sent(item.wanted(), on);
        let is = self.effect(Some(&fields));
        if let Some(item) = self.items.get_mut(at) {
            (item.now, item.is, item.placed) = (Some(fields.clone()), is, true);
        }
        self.edits.push(Edit::Insert { fields });
        self.list.insert(0, at);
        if to > 0 {
            self.edits.push(Edit::Move {
                from: 0,
                to: to + 1,
            });
            self.list.remove(0);
            self.list.insert(to, at);
        }
    }

    /// Changes a rule in its place.
    fn alter(&mut self, at: usize, phase: Phase) {
        let Some(item) = self.items.get(at) else {
            return;
        };
        if item.now.is_none() || !item.changes() {
            return;
        }
        let turn = turn(&item.is, &item.will);
        let Some(position) = self.list.iter().position(|one| *one == at) else {
            return;
        };
        if !phase.takes(turn) {
            return;
        }
        let (set, delete) = fields::difference(item.fields(), item.wanted());
        let wanted = item.wanted().clone();
        if let Some(item) = self.items.get_mut(at) {
            item.now = Some(wanted);
            item.is = item.will.clone();
        }
        self.edits.push(Edit::Update {
            position,
            set,
            delete,
        });
    }

    /// The edits, if they end where they should.
    fn done(self) -> Result<Vec<Edit>, RuleListError> {
        let left: Vec<String> = self
            .items
            .iter()
            .filter(|item| match &item.goal {
                Some(_) => item.now.is_none() || !item.placed || item.changes(),
                None => false,
            })
            .map(|item| fields::words(item.wanted()))
            .collect();
        if left.is_empty() {
            Ok(self.edits)
        } else {
            Err(RuleListError::NoSafeOrder { rules: left })
        }
    }
}
