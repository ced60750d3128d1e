//! Chains of steps, as a kernel has them, and the walk of one packet through them. The walk is the plainest reading of the rules;
//! [`super::space`] computes the same for all packets at once, and a test holds the two together.

use std::fmt;
use std::sync::Arc;

use super::address::Family;
use super::ranges::Ranges;
use super::rule::Action;

/// Where a step comes from: what to name to people as the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A rule, by its list and its position there.
    Rule(List, usize),
    /// A rule of a security group, by the line that brings the group in.
    Group {
        /// The group.
        group: Arc<str>,
        /// The rule's position in the group.
        position: usize,
    },
    /// The policy for what no rule matches.
    Policy {
        /// Whose.
        of: List,
        /// Which.
        policy: Action,
        /// Whether it is Proxmox VE's default, because none is set.
        default: bool,
    },
    /// Something Proxmox VE puts among the rules by itself.
    Builtin(Builtin),
    /// A line that brings in a security group.
    GroupLine(List, usize),
    /// Something that could not be read or is not known.
    Unknown(Arc<str>),
}

/// A list of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The datacenter's.
    Cluster,
    /// The node's.
    Host,
    /// A guest's.
    Guest(u32),
    /// That of the vnet that the interface is on.
    Vnet,
}

/// What Proxmox VE puts among the rules by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// Connection tracking finds no connection that the packet could belong to or start.
    Invalid,
    /// Traffic of a node with itself.
    Loopback,
    /// Neighbour discovery of IPv6.
    NeighbourDiscovery,
    /// The set `blacklist`.
    Blacklist,
    /// A broadcast or multicast address as sender.
    Smurfs,
    /// TCP from port 0.
    TcpFlags,
    /// IGMP.
    Igmp,
    /// The set `management`, which always has `local_network` in it.
    Management,
    /// A node's traffic into `local_network`.
    LocalNetwork,
    /// The cluster network.
    Corosync,
    /// What is dropped, rejected or accepted before a policy, mostly to keep it out of logs.
    BeforePolicy,
    /// DHCP.
    Dhcp,
    /// A foreign MAC address.
    MacFilter,
    /// A foreign source address.
    IpFilter,
    /// Router advertisements of a guest.
    RouterAdvertisement,
    /// What the nftables backend lets pass before all rules: errors that ICMP tells of.
    PassesFirst,
    /// What the nftables backend refuses before all rules.
    RefusedFirst,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the datacenter"),
            Self::Host => f.write_str("the node"),
            Self::Guest(vmid) => write!(f, "guest {vmid}"),
            Self::Vnet => f.write_str("the vnet"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(list, position) => write!(f, "rule {position} of {list}"),
            Self::Group { group, position } => {
                write!(f, "rule {position} of security group {group}")
            }
            Self::GroupLine(list, position) => write!(f, "rule {position} of {list}"),
            Self::Policy {
                of,
                policy,
                default,
            } => {
                let default = if *default { " (the default)" } else { "" };
                write!(f, "the policy {policy} of {of}{default}")
            }
            Self::Builtin(builtin) => builtin.fmt(f),
            Self::Unknown(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "connection tracking: it starts no connection and belongs to none",
            Self::Loopback => "traffic of a node with itself passes",
            Self::NeighbourDiscovery => "the option ndp",
            Self::Blacklist => "the set blacklist",
            Self::Smurfs => "the option nosmurfs",
            Self::TcpFlags => "the option tcpflags",
            Self::Igmp => "IGMP passes nodes",
            Self::Management => "the set management, which includes local_network",
            Self::LocalNetwork => "local_network, into which nodes may open management ports",
            Self::Corosync => "the cluster network's own ports",
            Self::BeforePolicy => "what Proxmox VE does before any policy but ACCEPT",
            Self::Dhcp => "the option dhcp",
            Self::MacFilter => "the option macfilter",
            Self::IpFilter => "the IP filter",
            Self::RouterAdvertisement => "the option radv",
            Self::PassesFirst => "what the nftables backend lets pass before all rules",
            Self::RefusedFirst => "what the nftables backend refuses before all rules",
        })
    }
}

/// When a step is taken: every given part must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// The protocol.
    pub protocol: Option<u8>,
    /// Destination ports, or kinds of ICMP.
    pub ports: Option<Arc<Ranges>>,
    /// Source ports.
    pub source_ports: Option<Arc<Ranges>>,
    /// The source.
    pub source: Option<Arc<Ranges>>,
    /// The destination.
    pub dest: Option<Arc<Ranges>>,
    /// Whether the packet carries the mark by which Proxmox VE remembers that something accepted it.
    pub mark: Option<bool>,
    /// The node's interface.
    pub iface: Option<Arc<str>>,
    /// The sender's MAC address is not this one.
    pub not_mac: Option<u64>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// The packet has passed this hook.
    Accept,
    /// It vanishes.
    Drop,
    /// It is answered with an error.
    Reject,
    /// This chain ends for it.
    Return,
    /// It goes through a chain, and then on here.
    Jump(Arc<Chain>),
    /// It goes through a chain instead of the rest of this one.
    Goto(Arc<Chain>),
    /// It gets the mark, and this chain ends for it.
    MarkAndReturn,
    /// It loses the mark.
    Unmark,
    /// Nobody can say.
    Unknown,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When it is taken.
    pub when: When,
    /// What it does.
    pub then: Then,
    /// Where it comes from.
    pub origin: Origin,
}

/// Steps in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Chain {
    /// Adds a step.
    pub fn push(&mut self, when: When, then: Then, origin: Origin) {
        self.steps.push(Step { when, then, origin });
    }
}

/// The first packet of something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its version of IP.
    pub family: Family,
    /// Its protocol.
    pub protocol: u8,
    /// Its source.
    pub source: u128,
    /// Its destination.
    pub dest: u128,
    /// Destination port; for ICMP `type × 256 + code`; 0 for protocols without ports.
    pub port: u16,
    /// Source port; 0 for protocols without ports.
    pub source_port: u16,
    /// The MAC address it claims to come from, if that is not the sender's own.
    pub mac: Option<u64>,
}

/// An interface of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iface<'a> {
    /// This one.
    Named(&'a str),
    /// Nobody knows which.
    Unknown,
}

/// Whether the parts of a condition hold that are the same for all packets of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// They hold.
    Yes,
    /// They do not.
    No,
    /// Nobody can say.
    Unknown,
}

/// What is the same for all packets of a way through a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The node's interface it comes in or goes out by; `None` where none of the node's is looked at.
    pub iface: Option<Iface<'a>>,
    /// The sender's MAC address.
    pub mac: Option<u64>,
}

impl When {
    /// Whether the parts that are the same for all packets of a way hold.
    #[must_use]
    pub fn fits(&self, context: Context<'_>) -> Fit {
        if self.not_mac.is_some_and(|mac| context.mac == Some(mac)) {
            return Fit::No;
        }
        match (self.iface.as_deref(), context.iface) {
            (None, _) => Fit::Yes,
            (Some(_), Some(Iface::Unknown)) => Fit::Unknown,
            (Some(wanted), Some(Iface::Named(name))) if wanted == name => Fit::Yes,
            (Some(_), _) => Fit::No,
        }
    }

    fn matches(&self, packet: &Packet, mark: bool) -> bool {
        let within = |set: &Option<Arc<Ranges>>, value: u128| {
            set.as_ref().is_none_or(|set| set.contains(value))
        };
        self.mark.is_none_or(|wanted| wanted == mark)
            && self.protocol.is_none_or(|wanted| wanted == packet.protocol)
            && within(&self.ports, u128::from(packet.port))
            && within(&self.source_ports, u128::from(packet.source_port))
            && within(&self.source, packet.source)
            && within(&self.dest, packet.dest)
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It arrives.
    Accept,
    /// It vanishes.
    Drop,
    /// It is answered with an error.
    Reject,
    /// Nobody can say.
    Unknown,
}

/// How a packet left a chain.
pub(super) enum Left {
    /// At its end, or by returning.
    Fell,
    /// With a decision.
    Decided(Outcome, Origin),
}

/// A packet on its way through a hook.
pub(super) struct Walk<'a> {
    pub(super) packet: &'a Packet,
    pub(super) context: Context<'a>,
    /// The mark, and what set it.
    pub(super) mark: Option<Origin>,
    /// What let the packet leave a chain early.
    pub(super) returned: Option<Origin>,
}

impl Walk<'_> {
    /// Takes the packet through a chain.
    pub(super) fn through(&mut self, chain: &Chain) -> Left {
        for step in &chain.steps {
            let fits = step.when.fits(self.context);
            if fits == Fit::No || !step.when.matches(self.packet, self.mark.is_some()) {
                continue;
            }
            if fits == Fit::Unknown {
                return Left::Decided(Outcome::Unknown, unknown_interface(&step.origin));
            }
            match &step.then {
                Then::Accept => return self.accepted(step),
                Then::Drop => return Left::Decided(Outcome::Drop, step.origin.clone()),
                Then::Reject => return Left::Decided(Outcome::Reject, step.origin.clone()),
                Then::Unknown => return Left::Decided(Outcome::Unknown, step.origin.clone()),
                Then::Return => {
                    self.returned = Some(self.reason(step));
                    return Left::Fell;
                }
                Then::Jump(inner) => {
                    self.returned = None;
                    if let Left::Decided(outcome, origin) = self.through(inner) {
                        return Left::Decided(outcome, named(outcome, origin, step));
                    }
                }
                Then::Goto(inner) => {
                    let left = self.through(inner);
                    return match left {
                        Left::Decided(outcome, origin) => {
                            Left::Decided(outcome, named(outcome, origin, step))
                        }
                        Left::Fell => Left::Fell,
                    };
                }
                Then::MarkAndReturn => {
                    self.mark = Some(step.origin.clone());
                    self.returned = Some(step.origin.clone());
                    return Left::Fell;
                }
                Then::Unmark => self.mark = None,
            }
        }
        Left::Fell
    }

    /// What decided, if a step acts on the mark: what set the mark.
    fn reason(&self, step: &Step) -> Origin {
        match (&step.when.mark, &self.mark) {
            (Some(true), Some(origin)) => origin.clone(),
            _ => step.origin.clone(),
        }
    }

    fn accepted(&mut self, step: &Step) -> Left {
        Left::Decided(Outcome::Accept, self.reason(step))
    }
}

/// That a rule is bound to an interface, and nobody knows by which one the packet comes.
fn unknown_interface(origin: &Origin) -> Origin {
    Origin::Unknown(Arc::from(format!(
        "{origin} is bound to an interface, and by which one this comes is not known"
    )))
}

/// A chain that answers for a rule (Proxmox VE rejects in one of its own) is named by the rule.
fn named(outcome: Outcome, origin: Origin, step: &Step) -> Origin {
    match (&origin, &step.origin, outcome) {
        (
            Origin::Builtin(Builtin::BeforePolicy),
            Origin::Rule(..) | Origin::Group { .. } | Origin::Builtin(Builtin::RefusedFirst),
            _,
        ) => step.origin.clone(),
        (
            Origin::Builtin(Builtin::BeforePolicy),
            Origin::Policy { .. },
            Outcome::Drop | Outcome::Reject,
        ) => step.origin.clone(),
        _ => origin,
    }
}
