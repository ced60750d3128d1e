//! Reach as a set, and what two configurations say differently: who can open what no longer, who can now, and where nobody can tell.

use super::address::{Address, Family};
use super::chain::Outcome;
use super::compile::Compiled;
use super::ranges::Ranges;
use super::rule::icmp_of;
use super::space::{Function, Space};
use super::standard::openers;
use super::way::{End, Way};

/// A box of packets: every combination of its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Protocols.
    pub protocols: Ranges,
    /// Destination ports, or kinds of ICMP (`type × 256 + code`).
    pub ports: Ranges,
    /// Source ports.
    pub source_ports: Ranges,
    /// Sources.
    pub sources: Ranges,
    /// Destinations.
    pub dests: Ranges,
}

impl Cell {
    /// Whether a packet of these parts is in it.
    #[must_use]
    pub fn contains(&self, packet: &super::chain::Packet) -> bool {
        self.protocols.contains(u128::from(packet.protocol))
            && self.ports.contains(u128::from(packet.port))
            && self.source_ports.contains(u128::from(packet.source_port))
            && self.sources.contains(packet.source)
            && self.dests.contains(packet.dest)
    }
}

/// The addresses a question is about: single senders that exist, and where they can go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Sources.
    pub sources: Ranges,
    /// Destinations.
    pub dests: Ranges,
}

/// A space for each version of IP.
#[derive(Debug)]
pub struct Spaces([Space; 2]);

impl Default for Spaces {
    fn default() -> Self {
        Self(Family::BOTH.map(Space::new))
    }
}

impl Spaces {
    /// The space of a version.
    pub fn of(&mut self, family: Family) -> &mut Space {
        let [v4, v6] = &mut self.0;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

/// Everything that may be opened on a way, as disjoint boxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// What was asked.
    pub asked: Asked,
    /// What may be opened.
    pub open: Vec<Cell>,
    /// Of what nobody can tell.
    pub unsure: Vec<Cell>,
}

/// What a change of configuration does to a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The way.
    pub way: Way,
    /// The version of IP.
    pub family: Family,
    /// What was asked.
    pub asked: Asked,
    /// What could be opened and cannot be any more.
    pub lost: Vec<Cell>,
    /// What could not be opened and can be now.
    pub gained: Vec<Cell>,
    /// What may have changed, but nobody can tell.
    pub unsure: Vec<Cell>,
}

/// Addresses that one host can send from: no multicast, no broadcast, not itself, not nobody.
fn hosts(family: Family) -> Ranges {
    match family {
        Family::V4 => {
            Ranges::from_parts(vec![(0x0100_0000, 0x7eff_ffff), (0x8000_0000, 0xdfff_ffff)])
        }
        Family::V6 => Ranges::of(2, (0xff << 120) - 1),
    }
}

impl Compiled {
    /// What a question about a way is about, if it says no addresses: senders and receivers that exist. The receiver's own addresses
    /// if they are known.
    #[must_use]
    pub fn asked(&self, way: &Way, family: Family) -> Asked {
        let networks = self
            .interfaces
            .values()
            .flatten()
            .flat_map(|interface| &interface.addresses);
        let everybody: Ranges = networks
            .filter(|network| network.address.family == Family::V4 && network.prefix < 31)
            .map(|network| (network.span().1, network.span().1))
            .collect();
        let hosts = match family {
            Family::V4 => hosts(family).minus(&everybody),
            Family::V6 => hosts(family),
        };
        let at = |end: &End| {
            let own = self.addresses_of(end, family);
            if own.is_empty() { hosts.clone() } else { own }
        };
        Asked {
            sources: at(&way.from),
            dests: at(&way.to),
        }
    }

    /// The addresses that an end is known to have.
    fn addresses_of(&self, end: &End, family: Family) -> Ranges {
        let own: Vec<Address> = match end {
            End::Outside => Vec::new(),
            End::Node { name, iface } => self
                .interfaces
                .get(name)
                .into_iter()
                .flatten()
                .filter(|interface| iface.is_none() || interface.name == *iface)
                .flat_map(|interface| interface.addresses.iter().map(|own| own.address))
                .collect(),
            // A guest may have more addresses than its configuration says: a sender is not held to them.
            End::Nic { vmid, key } => self
                .nics
                .get(&(*vmid, key.clone()))
                .map(|place| place.addresses.clone())
                .unwrap_or_default(),
        };
        own.into_iter()
            .filter(|address| address.family == family)
            .map(|address| (address.value, address.value))
            .collect()
    }

    /// A node by each of its interfaces that have addresses; if none is known, by one that nobody knows.
    pub(super) fn ends_of(&self, name: &str) -> Vec<End> {
        let Some(interfaces) = self.interfaces.get(name) else {
            return Vec::new();
        };
        let end = |iface: Option<String>| End::Node {
            name: name.to_owned(),
            iface,
        };
        if interfaces.is_empty() {
            return vec![end(None)];
        }
        let names = interfaces.iter().map(|interface| interface.name.clone());
        names.map(end).collect()
    }

    /// The ways that are looked at for every node and guest: from outside to it, and from it to outside.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        let nodes = self.interfaces.keys().flat_map(|name| self.ends_of(name));
        let nics = self.nics.keys().map(|(vmid, key)| End::Nic {
            vmid: *vmid,
            key: key.clone(),
        });
        let mut ways = Vec::new();
        for end in nodes.chain(nics) {
            ways.push(Way {
                from: End::Outside,
                to: end.clone(),
            });
            ways.push(Way {
                from: end,
                to: End::Outside,
            });
        }
        ways
    }

    /// Everything that may be opened on a way.
    ///
    /// # Errors
    /// An end of the way does not exist.
    pub fn reach(&self, space: &mut Space, way: &Way) -> Result<Reach, String> {
        let function = self.function(space, way)?;
        let asked = self.asked(way, space.family());
        let function = space.restricted(function, &asked.sources, &asked.dests);
        Ok(Reach {
            open: space.cells(function, Outcome::Accept),
            unsure: space.cells(function, Outcome::Unknown),
            asked,
        })
    }

    /// Whether both ends of a way exist.
    #[must_use]
    pub fn exists(&self, way: &Way) -> bool {
        self.same(self, way, Family::V4)
    }

    /// What may be opened on a way, with nothing on a way that does not exist.
    fn function_or_nothing(&self, space: &mut Space, way: &Way) -> Function {
        self.function(space, way)
            .unwrap_or(Function::constant(Outcome::Drop))
    }
}

impl Space {
    /// The packets for which a function has an outcome, as disjoint boxes.
    #[must_use]
    pub fn cells(&self, function: Function, outcome: Outcome) -> Vec<Cell> {
        self.boxes(function, outcome)
            .into_iter()
            .map(|[protocols, ports, source_ports, sources, dests]| Cell {
                protocols,
                ports,
                source_ports,
                sources,
                dests,
            })
            .collect()
    }
}

/// What happened to one packet.
fn happened(before: Function, after: Function) -> Function {
    let accepts = Function::constant(Outcome::Accept);
    let unknown = Function::constant(Outcome::Unknown);
    if before == Function::NOTHING || after == Function::NOTHING {
        Function::NOTHING
    } else if before == unknown || after == unknown {
        unknown
    } else {
        match (before == accepts, after == accepts) {
            (true, false) => Function::constant(Outcome::Drop),
            (false, true) => accepts,
            _ => Function::NOTHING,
        }
    }
}

/// A function for packets only that start something. An error or an answer of ICMP that belongs to nothing opens nothing, whoever lets it
/// pass: what becomes of it is no one's reach.
fn starts(space: &mut Space, function: Function) -> Function {
    let family = space.family();
    let icmp = u128::from(icmp_of(family));
    let others = openers(family).complement(0xffff);
    let condition = [
        Some(&[(icmp, icmp)][..]),
        Some(others.as_slice()),
        None,
        None,
        None,
    ];
    space.select(&condition, Function::NOTHING, function)
}

/// What a change of configuration does to ways. Ways whose rules are the same are not evaluated; ways on which nothing changes are left
/// out. A way that does not exist in one of the two opens nothing there.
#[must_use]
pub fn changes(
    before: &Compiled,
    after: &Compiled,
    ways: &[Way],
    spaces: &mut Spaces,
) -> Vec<Change> {
    let mut found = Vec::new();
    for way in ways {
        for family in Family::BOTH {
            if before.same(after, way, family) {
                continue;
            }
            let space = spaces.of(family);
            let was = before.function_or_nothing(space, way);
            let is = after.function_or_nothing(space, way);
            let asked = after.asked(way, family);
            let difference = space.combine(was, is, &happened);
            let difference = starts(space, difference);
            let difference = space.restricted(difference, &asked.sources, &asked.dests);
            if difference == Function::NOTHING {
                continue;
            }
            let change = Change {
                way: way.clone(),
                family,
                lost: space.cells(difference, Outcome::Drop),
                gained: space.cells(difference, Outcome::Accept),
                unsure: space.cells(difference, Outcome::Unknown),
                asked,
            };
            if !(change.lost.is_empty() && change.gained.is_empty() && change.unsure.is_empty()) {
                found.push(change);
            }
        }
    }
    found
}

/// What a state on the way of a change shuts that is open at both ends of it: nothing, if the order of the change is a good one (FW09).
#[must_use]
pub fn shut_between(
    first: &Compiled,
    between: &Compiled,
    last: &Compiled,
    ways: &[Way],
    spaces: &mut Spaces,
) -> Vec<Change> {
    let accepts = Function::constant(Outcome::Accept);
    let shut = |both: Function, now: Function| both == accepts && now != accepts;
    on_the_way([first, between, last], ways, spaces, &shut, Outcome::Drop)
}

/// What a state on the way of a change opens that is shut at both ends of it.
#[must_use]
pub fn opened_between(
    first: &Compiled,
    between: &Compiled,
    last: &Compiled,
    ways: &[Way],
    spaces: &mut Spaces,
) -> Vec<Change> {
    let [accepts, drops] = [Outcome::Accept, Outcome::Drop].map(Function::constant);
    let opened = |both: Function, now: Function| both == drops && now == accepts;
    on_the_way(
        [first, between, last],
        ways,
        spaces,
        &opened,
        Outcome::Accept,
    )
}

/// Where a state on the way is otherwise than both ends, which are the same there; that it is so is `outcome`.
fn on_the_way(
    [first, between, last]: [&Compiled; 3],
    ways: &[Way],
    spaces: &mut Spaces,
    otherwise: &dyn Fn(Function, Function) -> bool,
    outcome: Outcome,
) -> Vec<Change> {
    let [accepts, drops, rejects] =
        [Outcome::Accept, Outcome::Drop, Outcome::Reject].map(Function::constant);
    let shut = |a: Function| a == drops || a == rejects;
    let both = |a: Function, b: Function| {
        if a == accepts && b == accepts {
            accepts
        } else if shut(a) && shut(b) {
            drops
        } else {
            Function::NOTHING
        }
    };
    let told = |both: Function, now: Function| {
        if otherwise(both, now) {
            Function::constant(outcome)
        } else {
            Function::NOTHING
        }
    };
    let mut found = Vec::new();
    for way in ways {
        for family in Family::BOTH {
            if between.same(first, way, family) || between.same(last, way, family) {
                continue;
            }
            let space = spaces.of(family);
            let was = first.function_or_nothing(space, way);
            let is = last.function_or_nothing(space, way);
            let now = between.function_or_nothing(space, way);
            let ends = space.combine(was, is, &both);
            let difference = space.combine(ends, now, &told);
            let asked = last.asked(way, family);
            let difference = starts(space, difference);
            let difference = space.restricted(difference, &asked.sources, &asked.dests);
            let cells = space.cells(difference, outcome);
            if cells.is_empty() {
                continue;
            }
            let (lost, gained) = match outcome {
                Outcome::Accept => (Vec::new(), cells),
                _ => (cells, Vec::new()),
            };
            found.push(Change {
                way: way.clone(),
                family,
                asked,
                lost,
                gained,
                unsure: Vec::new(),
            });
        }
    }
    found
}
