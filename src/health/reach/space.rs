//! Functions from packets to outcomes, for all packets at once: decision diagrams over protocol, port, source port, source and
//! destination, in this order. A node cuts one of these into ranges; every function has exactly one diagram in a space, so two are
//! equal if their numbers are.

use std::sync::Arc;

use super::address::Family;
use super::chain::{Chain, Context, Fit, Outcome, Packet, Step, Then, When};
use super::ranges::Ranges;

/// How many parts of a packet a function can look at.
pub(super) const LEVELS: usize = 5;
const END: u8 = 5;

/// A function in a [`Space`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function(u32);

/// The same function for packets without and with the accepting mark.
pub(super) type Pair = (Function, Function);

impl Function {
    /// The constant function of an outcome.
    #[must_use]
    pub const fn constant(outcome: Outcome) -> Self {
        Self(match outcome {
            Outcome::Accept => 1,
            Outcome::Drop => 2,
            Outcome::Reject => 3,
            Outcome::Unknown => 4,
        })
    }

    /// Of packets nobody asks about.
    pub(super) const NOTHING: Self = Self(0);

    fn outcome(self) -> Option<Outcome> {
        match self.0 {
            1 => Some(Outcome::Accept),
            2 => Some(Outcome::Drop),
            3 => Some(Outcome::Reject),
            4 => Some(Outcome::Unknown),
            _ => None,
        }
    }
}

const CONSTANTS: u32 = 5;

type Edges = Arc<[(u128, u32)]>;

#[derive(Debug, Clone)]
struct Node {
    level: u8,
    /// The last number of each range with what follows, ascending, to the highest number of the level.
    edges: Edges,
}

/// Where functions live. Packets of one version of IP only.
#[derive(Debug)]
pub struct Space {
    family: Family,
    nodes: Vec<Node>,
    /// Open addressing: numbers of nodes plus one, 0 where nothing is.
    table: Vec<u32>,
}

/// A condition level by level; `None` where everything fits.
pub(super) type Condition<'a> = [Option<&'a [(u128, u128)]>; LEVELS];

type Memo = Vec<((u8, u32, u32), u32)>;

impl Space {
    /// An empty space.
    #[must_use]
    pub fn new(family: Family) -> Self {
        Self {
            family,
            nodes: Vec::new(),
            table: vec![0; 1 << 10],
        }
    }

    /// The version of IP its packets have.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The highest number of a level.
    pub(super) fn last(&self, level: u8) -> u128 {
        match level {
            0 => 0xff,
            1 | 2 => 0xffff,
            _ => self.family.last(),
        }
    }

    fn node(&self, id: u32) -> Option<&Node> {
        let at = id.checked_sub(CONSTANTS)?;
        self.nodes.get(usize::try_from(at).ok()?)
    }

    fn level(&self, id: u32) -> u8 {
        self.node(id).map_or(END, |node| node.level)
    }

    /// The edges of a function at a level; one edge if it does not look at it.
    fn edges(&self, id: u32, level: u8) -> Edges {
        match self.node(id) {
            Some(node) if node.level == level => node.edges.clone(),
            _ => Arc::from([(self.last(level), id)]),
        }
    }

    /// The one node with these edges.
    fn intern(&mut self, level: u8, edges: &[(u128, u32)]) -> u32 {
        if let [(_, only)] = edges {
            return *only;
        }
        if self.nodes.len() * 2 >= self.table.len() {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut at = slot(level, edges) & mask;
        loop {
            match self.table.get(at).copied() {
                Some(0) | None => break,
                Some(found) => {
                    let id = found - 1 + CONSTANTS;
                    if self
                        .node(id)
                        .is_some_and(|node| node.level == level && *node.edges == *edges)
                    {
                        return id;
                    }
                }
            }
            at = (at + 1) & mask;
        }
        self.nodes.push(Node {
            level,
            edges: Arc::from(edges),
        });
        let number = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(place) = self.table.get_mut(at) {
            *place = number;
        }
        number - 1 + CONSTANTS
    }

    fn grow(&mut self) {
        let size = self.table.len() * 4;
        let mut table = vec![0; size];
        for (number, node) in (1_u32..).zip(&self.nodes) {
            let mut at = slot(node.level, &node.edges) & (size - 1);
            while table.get(at).is_some_and(|place| *place != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(place) = table.get_mut(at) {
                *place = number;
            }
        }
        self.table = table;
    }

    /// The function that is `then` where the condition holds and `other` elsewhere.
    pub(super) fn select(
        &mut self,
        condition: &Condition<'_>,
        then: Function,
        other: Function,
    ) -> Function {
        let mut memo = Vec::new();
        Function(self.select_from(0, condition, then.0, other.0, &mut memo))
    }

    fn select_from(
        &mut self,
        from: u8,
        condition: &Condition<'_>,
        then: u32,
        other: u32,
        memo: &mut Memo,
    ) -> u32 {
        if then == other {
            return then;
        }
        let rest = condition.get(usize::from(from)..).unwrap_or_default();
        let Some(next) = rest.iter().position(Option::is_some) else {
            return then;
        };
        let next = from + u8::try_from(next).unwrap_or(END);
        let level = next.min(self.level(then)).min(self.level(other));
        let key = (level, then, other);
        if let Some((_, known)) = memo.iter().find(|(known, _)| *known == key) {
            return *known;
        }
        let whole = [(0, u128::MAX)];
        let inside = condition
            .get(usize::from(level))
            .copied()
            .flatten()
            .unwrap_or(&whole);
        let (thens, others) = (self.edges(then, level), self.edges(other, level));
        let last = self.last(level);
        let mut made: Vec<(u128, u32)> = Vec::with_capacity(thens.len() + others.len());
        let (mut thens, mut others) = (thens.iter().copied(), others.iter().copied());
        let (mut a, mut b) = (thens.next(), others.next());
        let mut cuts = inside.iter().copied().peekable();
        let mut at = 0;
        while let (Some((a_end, a_to)), Some((b_end, b_to))) = (a, b) {
            while cuts.peek().is_some_and(|(_, high)| *high < at) {
                cuts.next();
            }
            let (fits, cut) = match cuts.peek() {
                Some((low, high)) if *low <= at => (true, *high),
                Some((low, _)) => (false, low - 1),
                None => (false, last),
            };
            let end = a_end.min(b_end).min(cut).min(last);
            let to = if fits {
                self.select_from(level + 1, condition, a_to, b_to, memo)
            } else {
                b_to
            };
            match made.last_mut() {
                Some(before) if before.1 == to => before.0 = end,
                _ => made.push((end, to)),
            }
            if end >= last {
                break;
            }
            if end == a_end {
                a = thens.next();
            }
            if end == b_end {
                b = others.next();
            }
            at = end + 1;
        }
        let id = self.intern(level, &made);
        memo.push((key, id));
        id
    }

    /// The function of two others' outcomes, packet by packet.
    pub(super) fn combine(
        &mut self,
        a: Function,
        b: Function,
        of: &impl Fn(Function, Function) -> Function,
    ) -> Function {
        let mut memo = Vec::new();
        Function(self.combine_from(a.0, b.0, of, &mut memo))
    }

    fn combine_from(
        &mut self,
        a: u32,
        b: u32,
        of: &impl Fn(Function, Function) -> Function,
        memo: &mut Memo,
    ) -> u32 {
        let level = self.level(a).min(self.level(b));
        if level == END {
            return of(Function(a), Function(b)).0;
        }
        let key = (level, a, b);
        if let Some((_, known)) = memo.iter().find(|(known, _)| *known == key) {
            return *known;
        }
        let (ours, theirs) = (self.edges(a, level), self.edges(b, level));
        let mut made: Vec<(u128, u32)> = Vec::with_capacity(ours.len() + theirs.len());
        let (mut ours, mut theirs) = (
            ours.iter().copied().peekable(),
            theirs.iter().copied().peekable(),
        );
        while let (Some((a_end, a_to)), Some((b_end, b_to))) =
            (ours.peek().copied(), theirs.peek().copied())
        {
            let end = a_end.min(b_end);
            let to = self.combine_from(a_to, b_to, of, memo);
            match made.last_mut() {
                Some(before) if before.1 == to => before.0 = end,
                _ => made.push((end, to)),
            }
            if end == a_end {
                ours.next();
            }
            if end == b_end {
                theirs.next();
            }
        }
        let id = self.intern(level, &made);
        memo.push((key, id));
        id
    }

    /// What a function says of a packet.
    #[must_use]
    pub fn outcome(&self, function: Function, packet: &Packet) -> Option<Outcome> {
        let mut id = function.0;
        while let Some(node) = self.node(id) {
            let value = match node.level {
                0 => u128::from(packet.protocol),
                1 => u128::from(packet.port),
                2 => u128::from(packet.source_port),
                3 => packet.source,
                _ => packet.dest,
            };
            let at = node.edges.partition_point(|(end, _)| *end < value);
            id = node.edges.get(at).map_or(0, |(_, to)| *to);
        }
        Function(id).outcome()
    }

    /// The packets for which a function has an outcome, as disjoint boxes: at each level the numbers that lead on together.
    pub(super) fn boxes(&self, function: Function, outcome: Outcome) -> Vec<[Ranges; LEVELS]> {
        let mut found = Vec::new();
        let mut path: [Ranges; LEVELS] = std::array::from_fn(|_| Ranges::none());
        self.collect(
            function.0,
            0,
            Function::constant(outcome).0,
            &mut path,
            &mut found,
        );
        found
    }

    fn collect(
        &self,
        id: u32,
        level: u8,
        wanted: u32,
        path: &mut [Ranges; LEVELS],
        found: &mut Vec<[Ranges; LEVELS]>,
    ) {
        if level == END {
            if id == wanted {
                found.push(path.clone());
            }
            return;
        }
        let mut follow = |to: u32, ranges: Ranges, path: &mut [Ranges; LEVELS]| {
            if self.level(to) == END && to != wanted {
                return;
            }
            if let Some(place) = path.get_mut(usize::from(level)) {
                *place = ranges;
            }
            self.collect(to, level + 1, wanted, path, found);
        };
        let node = self.node(id).filter(|node| node.level == level);
        let Some(node) = node else {
            follow(id, Ranges::of(0, self.last(level)), path);
            return;
        };
        let mut grouped: Vec<(u32, Vec<(u128, u128)>)> = Vec::new();
        let mut low = 0;
        for (end, to) in node.edges.iter().copied() {
            match grouped.iter_mut().find(|(known, _)| *known == to) {
                Some((_, ranges)) => ranges.push((low, end)),
                None => grouped.push((to, vec![(low, end)])),
            }
            low = end.saturating_add(1);
        }
        for (to, ranges) in grouped {
            follow(to, Ranges::from_parts(ranges), path);
        }
    }

    /// How many nodes the space has; for measuring.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// A chain as a pair of functions, from what follows it: where it ends, and where a step accepts.
    pub(super) fn chain(
        &mut self,
        chain: &Chain,
        ends: Pair,
        accepts: Pair,
        context: Context<'_>,
    ) -> Pair {
        let constant = |outcome| {
            let function = Function::constant(outcome);
            (function, function)
        };
        let mut now = ends;
        for step in chain.steps.iter().rev() {
            let fits = step.when.fits(context);
            if fits == Fit::No {
                continue;
            }
            let then = match &step.then {
                _ if fits == Fit::Unknown => constant(Outcome::Unknown),
                Then::Accept => accepts,
                Then::Drop => constant(Outcome::Drop),
                Then::Reject => constant(Outcome::Reject),
                Then::Unknown => constant(Outcome::Unknown),
                Then::Return => ends,
                Then::MarkAndReturn => (ends.1, ends.1),
                Then::Unmark => (now.0, now.0),
                Then::Jump(inner) => self.chain(inner, now, accepts, context),
                Then::Goto(inner) => self.chain(inner, ends, accepts, context),
            };
            now = self.step(step, then, now);
        }
        now
    }

    fn step(&mut self, step: &Step, then: Pair, other: Pair) -> Pair {
        let When {
            protocol,
            ports,
            source_ports,
            source,
            dest,
            mark,
            ..
        } = &step.when;
        let protocol = protocol.map(|number| [(u128::from(number), u128::from(number))]);
        let condition: Condition<'_> = [
            protocol.as_ref().map(<[_; 1]>::as_slice),
            slice(ports),
            slice(source_ports),
            slice(source),
            slice(dest),
        ];
        let without = if *mark == Some(true) {
            other.0
        } else {
            self.select(&condition, then.0, other.0)
        };
        let with = if *mark == Some(false) {
            other.1
        } else if mark.is_none() && then.0 == then.1 && other.0 == other.1 {
            without
        } else {
            self.select(&condition, then.1, other.1)
        };
        (without, with)
    }

    /// A function for packets from some sources to some destinations only; of others nobody asks.
    pub(super) fn restricted(
        &mut self,
        function: Function,
        source: &Ranges,
        dest: &Ranges,
    ) -> Function {
        let condition = [
            None,
            None,
            None,
            Some(source.as_slice()),
            Some(dest.as_slice()),
        ];
        self.select(&condition, function, Function::NOTHING)
    }
}

fn slice(set: &Option<Arc<Ranges>>) -> Option<&[(u128, u128)]> {
    set.as_ref().map(|set| set.as_slice())
}

/// A number for a node's contents.
fn slot(level: u8, edges: &[(u128, u32)]) -> usize {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325 ^ u64::from(level);
    let mut mix = |word: u64| {
        hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    };
    for (end, to) in edges {
        mix(u64::try_from(end & u128::from(u64::MAX)).unwrap_or(0));
        mix(u64::try_from(end >> 64).unwrap_or(0));
        mix(u64::from(*to));
    }
    usize::try_from(hash ^ (hash >> 32)).unwrap_or(0)
}
