//! The firewall's configuration of a cluster at its three places, raw as Proxmox VE keeps it. It is read when it is asked for
//! ([`observe_firewalls`](super::observe_firewalls)): it is several calls a guest, and nothing else of a world depends on it yet.

use std::collections::BTreeMap;

use super::model::Section;
use crate::ids::{NodeName, Vmid};

/// Something that was read, or why it was not.
pub type Seen<T> = Result<T, String>;

/// Every firewall's configuration in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewalls {
    /// The datacenter's.
    pub cluster: Seen<Scope>,
    /// The nodes', and what of a node's network the firewall depends on.
    pub nodes: BTreeMap<NodeName, NodeScope>,
    /// The guests'.
    pub guests: BTreeMap<Vmid, Seen<Scope>>,
    /// The cluster network; without members on a node that is no cluster.
    pub corosync: Seen<Corosync>,
}

/// A firewall's configuration at one place: a file `*.fw`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The options that are set, without those that are not: their defaults differ from place to place.
    pub options: Section,
    /// The rules in their order.
    pub rules: Vec<Rule>,
    /// The aliases by name.
    pub aliases: BTreeMap<String, Alias>,
    /// The sets by name.
    pub ipsets: BTreeMap<String, IpSet>,
    /// The security groups by name; only the datacenter has some.
    pub groups: BTreeMap<String, Group>,
}

/// A rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its fields under Proxmox VE's names (`type`, `action`, `enable`, `source`, `dport`, `comment`, …), without its position.
    pub fields: Section,
    /// What Proxmox VE finds wrong with it, by field. It ignores such a rule.
    pub errors: Section,
}

/// A named address or network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alias {
    /// The address, network or range.
    pub cidr: String,
    /// The comment.
    pub comment: Option<String>,
}

/// A named set of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpSet {
    /// What is in it, in Proxmox VE's order.
    pub entries: Vec<SetEntry>,
    /// The comment.
    pub comment: Option<String>,
}

/// An entry of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetEntry {
    /// The address, network, or name of an alias.
    pub cidr: String,
    /// Whether it is left out of what else is in the set.
    pub nomatch: bool,
    /// The comment.
    pub comment: Option<String>,
    /// What Proxmox VE finds wrong with it, by field. It ignores such an entry.
    pub errors: Section,
}

/// A security group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its rules in their order.
    pub rules: Vec<Rule>,
    /// The comment.
    pub comment: Option<String>,
}

/// A node's firewall, and its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeScope {
    /// The firewall's configuration.
    pub firewall: Seen<Scope>,
    /// Its own addresses with their networks (`10.0.0.11/24`), as configured.
    pub addresses: Seen<Vec<String>>,
}

/// The cluster network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corosync {
    /// Its transport, if it is said (`knet` otherwise).
    pub transport: Option<String>,
    /// The addresses of every member, by the number of the link.
    pub members: BTreeMap<NodeName, BTreeMap<u32, String>>,
}
