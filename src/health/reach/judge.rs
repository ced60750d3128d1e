//! What a change of reach means to people: nodes that nobody, or not everybody, can manage any more, guests that cannot be reached where
//! they could, and what is open now that was not.

use std::collections::BTreeSet;

use super::address::{Address, Family, Network};
use super::chain::Outcome;
use super::change::{Asked, Cell, Change, Spaces, changes, opened_between, shut_between};
use super::compile::Compiled;
use super::names::{TCP, UDP};
use super::ranges::Ranges;
use super::space::Function;
use super::way::{End, Way};

/// What kind of effect it is; the words are those of the blast radius.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Somebody who must manage a node no longer can, or nobody can.
    Lockout,
    /// Some who could manage a node no longer can; others still can.
    ConditionalLockout,
    /// Something could be opened and no longer can.
    Unreachable,
    /// Something can be opened now that could not.
    Exposed,
    /// Something may have changed, and nobody can tell.
    Unknown,
}

/// Something a change does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The rule of the blast radius that speaks: `FW01` for nodes, `FW02` for guests; `FW09` for what a change only shuts on its way.
    pub rule: &'static str,
    /// What kind.
    pub effect: Effect,
    /// Whose reach it is.
    pub end: End,
    /// What happens, in a sentence.
    pub sentence: String,
    /// Ports by which much is done and which the whole internet can open now.
    pub sensitive: Vec<&'static str>,
    /// Of those who must always be able to manage nodes, the controller and the administrators that are locked out, in words.
    pub kept_out: Vec<String>,
}

/// Who must always be able to manage nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keepers {
    /// The controller's own address, as nodes see it.
    pub controller: Option<Address>,
    /// Networks of people who administer.
    pub admins: Vec<Network>,
}

/// Ports that nodes are managed by, and that they need of each other: TCP, then UDP.
const MANAGED_BY: &[(u128, u128)] = &[
    (22, 22),
    (3128, 3128),
    (5900, 5999),
    (8006, 8006),
    (60_000, 60_050),
];
const CLUSTER_NETWORK: (u128, u128) = (5404, 5405);

/// Services that the whole internet should rarely be able to open: protocol, port, name.
const SENSITIVE: &[(u8, u16, &str)] = &[
    (TCP, 22, "SSH (22)"),
    (TCP, 23, "Telnet (23)"),
    (TCP, 111, "RPC (111)"),
    (TCP, 135, "RPC (135)"),
    (TCP, 139, "SMB (139)"),
    (TCP, 389, "LDAP (389)"),
    (TCP, 445, "SMB (445)"),
    (TCP, 1433, "SQL Server (1433)"),
    (TCP, 2049, "NFS (2049)"),
    (TCP, 2375, "Docker (2375)"),
    (TCP, 2379, "etcd (2379)"),
    (TCP, 3128, "SPICE proxy (3128)"),
    (TCP, 3306, "MySQL (3306)"),
    (TCP, 3389, "RDP (3389)"),
    (TCP, 5432, "PostgreSQL (5432)"),
    (TCP, 5900, "VNC (5900)"),
    (TCP, 6379, "Redis (6379)"),
    (TCP, 6443, "Kubernetes (6443)"),
    (TCP, 8006, "Proxmox VE (8006)"),
    (TCP, 9200, "Elasticsearch (9200)"),
    (TCP, 27017, "MongoDB (27017)"),
    (UDP, 161, "SNMP (161/udp)"),
];

/// What a change of configuration does to everybody's reach, worst first. Who must always be able to manage nodes besides each other is
/// `keepers`.
#[must_use]
pub fn judge(before: &Compiled, after: &Compiled, keepers: &Keepers) -> Vec<Judged> {
    let mut spaces = Spaces::default();
    let ways = ways(&[before, after]);
    let found = changes(before, after, &ways, &mut spaces);
    told(found, before, after, keepers, &mut spaces)
}

/// What a state on the way of a change shuts although it is open before and after (FW09), and what it opens although it is shut before
/// and after; worst first.
#[must_use]
pub fn judge_between(
    first: &Compiled,
    between: &Compiled,
    last: &Compiled,
    keepers: &Keepers,
) -> Vec<Judged> {
    let mut spaces = Spaces::default();
    let ways = ways(&[first, between, last]);
    let shut = shut_between(first, between, last, &ways, &mut spaces);
    let mut all = told(shut, first, between, keepers, &mut spaces);
    for judged in &mut all {
        judged.rule = "FW09";
    }
    let opened = opened_between(first, between, last, &ways, &mut spaces);
    all.extend(told(opened, first, between, keepers, &mut spaces));
    all
}

/// The nodes that not everybody can manage any more who could, or of which nobody can tell: by the ports that nodes are managed by, and
/// those that they need of each other, to them and from them.
#[must_use]
pub fn less_managed(before: &Compiled, after: &Compiled) -> BTreeSet<String> {
    let mut spaces = Spaces::default();
    let all = ways(&[before, after]).into_iter();
    let about_nodes: Vec<Way> = all.filter(|way| nodes_of(way).next().is_some()).collect();
    let found = changes(before, after, &about_nodes, &mut spaces);
    let found = found.into_iter().filter_map(without_port_zero);
    let less = found.filter(|change| change.lost.iter().chain(&change.unsure).any(managed));
    less.flat_map(|change| nodes_of(&change.way).cloned().collect::<Vec<_>>())
        .collect()
}

/// The nodes whose own rules decide about a way.
fn nodes_of(way: &Way) -> impl Iterator<Item = &String> {
    [&way.from, &way.to]
        .into_iter()
        .filter_map(|end| match end {
            End::Node { name, .. } => Some(name),
            End::Outside | End::Nic { .. } => None,
        })
}

/// Whether a node is managed by some of this, or nodes need some of it of each other.
fn managed(cell: &Cell) -> bool {
    let tcp = MANAGED_BY.iter().copied().collect::<Ranges>();
    let cluster = Ranges::of(CLUSTER_NETWORK.0, CLUSTER_NETWORK.1);
    (cell.protocols.contains(u128::from(TCP)) && !cell.ports.intersection(&tcp).is_empty())
        || (cell.protocols.contains(u128::from(UDP))
            && !cell.ports.intersection(&cluster).is_empty())
}

fn ways(of: &[&Compiled]) -> Vec<Way> {
    let mut ways: Vec<Way> = of.iter().flat_map(|compiled| compiled.ways()).collect();
    ways.sort();
    ways.dedup();
    ways
}

fn told(
    changes: Vec<Change>,
    before: &Compiled,
    after: &Compiled,
    keepers: &Keepers,
    spaces: &mut Spaces,
) -> Vec<Judged> {
    let mut found = Vec::new();
    for change in changes.into_iter().filter_map(without_port_zero) {
        let names = if after.exists(&change.way) {
            after
        } else {
            before
        };
        match &change.way.to {
            End::Node { .. } => node(after, names, &change, keepers, spaces, &mut found),
            _ => others(names, &change, &mut found),
        }
    }
    found.sort_by(|a, b| (a.effect, &a.end, &a.sentence).cmp(&(b.effect, &b.end, &b.sentence)));
    found
}

/// A change without what would be sent from port 0, where there are ports: nobody starts from it.
fn without_port_zero(mut change: Change) -> Option<Change> {
    let with_ports: Ranges = [TCP, UDP, 33, 132, 136]
        .into_iter()
        .map(|protocol| (u128::from(protocol), u128::from(protocol)))
        .collect();
    let from_one = Ranges::of(1, 0xffff);
    let tidy = |cells: &mut Vec<Cell>| {
        cells.retain_mut(|cell| {
            let all_have_ports = cell.protocols.minus(&with_ports).is_empty();
            if all_have_ports && cell.source_ports == from_one {
                cell.source_ports = Ranges::of(0, 0xffff);
            }
            if cell.source_ports == Ranges::one(0) {
                cell.protocols = cell.protocols.minus(&with_ports);
            }
            !cell.protocols.is_empty()
        });
    };
    tidy(&mut change.lost);
    tidy(&mut change.gained);
    tidy(&mut change.unsure);
    let nothing = change.lost.is_empty() && change.gained.is_empty() && change.unsure.is_empty();
    (!nothing).then_some(change)
}

/// The end whose firewall a way is about.
fn whose(way: &Way) -> &End {
    match &way.to {
        End::Outside => &way.from,
        end => end,
    }
}

fn others(names: &Compiled, change: &Change, found: &mut Vec<Judged>) {
    let end = whose(&change.way);
    let rule = if matches!(end, End::Node { .. }) {
        "FW01"
    } else {
        "FW02"
    };
    for (effect, cells) in [
        (Effect::Unreachable, &change.lost),
        (Effect::Exposed, &change.gained),
        (Effect::Unknown, &change.unsure),
    ] {
        for cell in cells {
            let one = Change {
                lost: only(effect == Effect::Unreachable, cell),
                gained: only(effect == Effect::Exposed, cell),
                unsure: only(effect == Effect::Unknown, cell),
                ..change.clone()
            };
            let inwards = change.way.from == End::Outside;
            found.push(Judged {
                rule,
                effect,
                end: end.clone(),
                sentence: one.sentences(names).concat(),
                sensitive: if effect == Effect::Exposed && inwards {
                    sensitive(cell, &change.asked, change.family)
                } else {
                    Vec::new()
                },
                kept_out: Vec::new(),
            });
        }
    }
}

fn only(wanted: bool, cell: &Cell) -> Vec<Cell> {
    if wanted {
        vec![cell.clone()]
    } else {
        Vec::new()
    }
}

/// Sensitive services in a box that a public address can open: one that no private network has.
fn sensitive(cell: &Cell, asked: &Asked, family: Family) -> Vec<&'static str> {
    let public = public(family).intersection(&asked.sources);
    let open = public.intersection(&cell.sources);
    // A few public addresses are somebody; most of them are the internet.
    let size = |set: &Ranges| -> u128 {
        set.iter()
            .fold(0, |sum: u128, (low, high)| sum.saturating_add(high - low))
    };
    if size(&open) < size(&public) / 2 {
        return Vec::new();
    }
    SENSITIVE
        .iter()
        .filter(|(protocol, port, _)| {
            cell.protocols.contains(u128::from(*protocol)) && cell.ports.contains(u128::from(*port))
        })
        .map(|(_, _, name)| *name)
        .collect()
}

/// Addresses of the internet: not private, not link-local, not shared, none for documentation or tests.
fn public(family: Family) -> Ranges {
    let networks: &[&str] = match family {
        Family::V4 => &[
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "224.0.0.0/3",
        ],
        Family::V6 => return Ranges::of(0x2000 << 112, (0x4000 << 112) - 1),
    };
    let private: Ranges = networks
        .iter()
        .filter_map(|text| Network::parse(text))
        .map(|network| network.span())
        .collect();
    private.complement(family.last())
}

fn node(
    after: &Compiled,
    names: &Compiled,
    change: &Change,
    keepers: &Keepers,
    spaces: &mut Spaces,
    found: &mut Vec<Judged>,
) {
    let End::Node { name, .. } = &change.way.to else {
        return;
    };
    let (ours, rest): (Vec<Cell>, Vec<Cell>) = change.lost.iter().cloned().partition(managed);
    let others_change = Change {
        lost: rest,
        ..change.clone()
    };
    others(names, &others_change, found);
    let must = keepers_of(after, name, keepers, change.family);
    let nobody = nobody_manages(after, change, spaces);
    for cell in ours {
        let must_not = !cell.sources.intersection(&must).is_empty();
        let kept_out = kept_out(&cell, keepers, change.family);
        let effect = if must_not || nobody {
            Effect::Lockout
        } else {
            Effect::ConditionalLockout
        };
        let one = Change {
            lost: vec![cell],
            gained: Vec::new(),
            unsure: Vec::new(),
            ..change.clone()
        };
        found.push(Judged {
            rule: "FW01",
            effect,
            end: change.way.to.clone(),
            sentence: one.sentences(names).concat(),
            sensitive: Vec::new(),
            kept_out,
        });
    }
}

/// Whom besides other nodes a loss locks out.
fn kept_out(lost: &Cell, keepers: &Keepers, family: Family) -> Vec<String> {
    let hit = |low: u128, high: u128| !lost.sources.intersection(&Ranges::of(low, high)).is_empty();
    let own = keepers.controller.iter();
    let own = own.filter(|own| own.family == family && hit(own.value, own.value));
    let admins = keepers.admins.iter().filter(|network| {
        let (low, high) = network.span();
        network.address.family == family && hit(low, high)
    });
    own.map(|own| format!("Bailiwick itself ({own})"))
        .chain(admins.map(|network| format!("administrators ({network})")))
        .collect()
}

/// The addresses from which a node must stay manageable: the controller's, the administrators', the other nodes'.
fn keepers_of(after: &Compiled, node: &str, keepers: &Keepers, family: Family) -> Ranges {
    let of_family = |address: &Address| address.family == family;
    let controller = keepers.controller.iter().filter(|own| of_family(own));
    let others = after.interfaces.iter().filter(|(name, _)| *name != node);
    let nodes = others
        .flat_map(|(_, interfaces)| interfaces)
        .flat_map(|interface| &interface.addresses)
        .map(|network| &network.address)
        .filter(|address| of_family(address));
    let admins = keepers
        .admins
        .iter()
        .filter(|network| of_family(&network.address))
        .map(Network::span);
    controller
        .chain(nodes)
        .map(|address| (address.value, address.value))
        .chain(admins)
        .collect()
}

/// Whether nobody at all can open a node's API or SSH any more on the way of a change.
fn nobody_manages(after: &Compiled, change: &Change, spaces: &mut Spaces) -> bool {
    let space = spaces.of(change.family);
    let Ok(function) = after.function(space, &change.way) else {
        return true;
    };
    let tcp = [(u128::from(TCP), u128::from(TCP))];
    let ports = [(22, 22), (8006, 8006)];
    let condition = [
        Some(tcp.as_slice()),
        Some(ports.as_slice()),
        None,
        Some(change.asked.sources.as_slice()),
        Some(change.asked.dests.as_slice()),
    ];
    let function = space.select(&condition, function, Function::NOTHING);
    space.cells(function, Outcome::Accept).is_empty()
}
