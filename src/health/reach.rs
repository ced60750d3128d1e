//! Who can reach whom: the effective firewall rules of every node and every guest's interface, exactly. Two ways in, one set of compiled
//! chains: [`Compiled::verdict`] takes one packet and names the rule that decides; [`Compiled::function`] takes all packets of a way at
//! once, and [`Change`] says what two configurations decide differently.
//!
//! The facts are those of Proxmox VE's two backends: iptables (pve-firewall 6.0) as its own code and a kernel answered, and nftables
//! (proxmox-firewall) as its source says and a kernel answered; how they differ stands in the module `nftables`. What is not known is an
//! outcome of its own, [`Outcome::Unknown`], and never an accident.

mod address;
mod ask;
mod chain;
mod change;
mod compile;
mod judge;
mod macros;
mod model;
mod names;
mod nftables;
mod objects;
mod ranges;
pub mod read;
mod rule;
mod space;
mod standard;
mod uses;
mod way;
mod words;

pub use address::{Address, Family, Network, written};
pub use ask::{Part, Service, Who, target};
pub use chain::{
    Builtin, Chain, Context, Fit, Iface, List, Origin, Outcome, Packet, Step, Then, When,
};
pub use change::{Asked, Cell, Change, Reach, Spaces, changes, opened_between, shut_between};
pub use compile::{Compiled, NodeRules};
pub use judge::{Effect, Judged, Keepers, judge, judge_between, less_managed};
pub use macros::names as macros;
pub use model::{
    Backend, Cluster, Corosync, Guest, GuestFirewall, GuestKind, Host, Interface, Known, Link,
    Model, Nic, Node, VnetFirewall,
};
pub use names::{icmp as icmp_type, protocol, protocol_name};
pub use nftables::refusal;
pub use objects::{Element, Objects, What, is_name};
pub use ranges::Ranges;
pub use rule::{
    Action, Entry, Environment, Kind, Lowered, Peer, Read, Rule, RuleText, Scope, Traffic,
};
pub use space::{Function, Space};
pub use uses::{Named, Use};
pub use way::{End, Verdict, Way};
pub use words::Verb;
