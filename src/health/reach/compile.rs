//! From a configuration to the chains of each node, in the order in which Proxmox VE's iptables backend puts them, with everything it
//! leaves out, and with what goes wrong there when a rule of a security group cannot be compiled.

mod groups;
pub(super) mod guest;
mod host;
mod lists;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::address::{Address, Family, Network};
use super::chain::{Builtin, Chain, Origin, Then, When};
use super::model::{Backend, Cluster, GuestKind, Host, Interface, Known, Model, Node};
use super::objects::{Element, Objects, What};
use super::standard::{Standard, broadcasts};
use groups::Groups;

/// The compiled firewalls of every node.
#[derive(Debug)]
pub struct Compiled {
    nodes: BTreeMap<String, [NodeRules; 2]>,
    /// Each node's interfaces with their addresses.
    pub(super) interfaces: BTreeMap<String, Vec<Interface>>,
    /// Where each guest's interfaces are, and their MAC addresses.
    pub(super) nics: BTreeMap<(u32, String), Place>,
}

/// Where a guest's interface is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: GuestKind,
    pub(super) node: String,
    pub(super) mac: Option<u64>,
    /// The bridge or vnet it is on.
    pub(super) bridge: String,
    /// Fixed addresses, as far as they are known.
    pub(super) addresses: Vec<Address>,
}

/// The rules of one node for one version of IP: a chain for each hook a packet can pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeRules {
    /// To the node.
    pub(super) host_in: Chain,
    /// From the node.
    pub(super) host_out: Chain,
    /// Between guests and the world outside. The iptables backend has none of its own there.
    pub(super) forward: Chain,
    /// On the vnets that have a firewall, by name.
    pub(super) vnets: BTreeMap<String, VnetRules>,
    /// Into and out of each guest's interface.
    pub(super) nics: BTreeMap<(u32, String), NicRules>,
}

/// The rules on a vnet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VnetRules {
    /// For what is surely bridged on it.
    pub(super) bridged: Chain,
    /// For what is bridged on it or routed into it: what they drop is unknown.
    pub(super) perhaps: Chain,
    /// Whether they are also for what comes to the node by it, and leaves it.
    pub(super) at_node: bool,
}

/// The rules at a guest's interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NicRules {
    pub(super) inward: Chain,
    pub(super) outward: Chain,
}

impl Compiled {
    /// Compiles a whole configuration.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let nodes = model
            .nodes
            .iter()
            .map(|(name, node)| {
                let rules = Family::BOTH.map(|family| compile_node(model, name, node, family));
                (name.clone(), rules)
            })
            .collect();
        let nics = model
            .guests
            .iter()
            .flat_map(|(vmid, guest)| {
                guest.nics.iter().map(|(key, nic)| {
                    let place = Place {
                        kind: guest.kind,
                        node: guest.node.clone(),
                        mac: nic.mac,
                        bridge: nic.bridge.clone(),
                        addresses: nic.addresses.clone(),
                    };
                    ((*vmid, key.clone()), place)
                })
            })
            .collect();
        let interfaces = model.nodes.iter();
        Self {
            nodes,
            interfaces: interfaces
                .map(|(name, node)| (name.clone(), node.interfaces.clone()))
                .collect(),
            nics,
        }
    }

    /// Whether it is not known at all what a node lets in.
    #[must_use]
    pub fn is_unknown(&self, name: &str) -> bool {
        let nothing_known = |rules: &NodeRules| {
            let first = rules.host_in.steps.first();
            first.is_some_and(|step| step.when == When::default() && step.then == Then::Unknown)
        };
        self.nodes
            .get(name)
            .is_none_or(|both| both.iter().any(nothing_known))
    }

    /// The rules of a node.
    pub(super) fn node(&self, name: &str, family: Family) -> Option<&NodeRules> {
        let [v4, v6] = self.nodes.get(name)?;
        Some(match family {
            Family::V4 => v4,
            Family::V6 => v6,
        })
    }
}

/// A chain of which nothing is known.
pub(super) fn unknown(why: &str) -> Chain {
    let mut chain = Chain::default();
    chain.push(
        When::default(),
        Then::Unknown,
        Origin::Unknown(Arc::from(why)),
    );
    chain
}

/// What compiling one node for one version of IP needs everywhere.
struct Site<'a> {
    family: Family,
    name: &'a str,
    cluster: &'a Cluster,
    host: Result<&'a Host, &'a str>,
    model: &'a Model,
    standard: Standard,
    /// The datacenter's aliases with `local_network`, which is always there when rules are compiled.
    shared: Objects,
    sets: lists::Sets,
}

fn compile_node(model: &Model, name: &str, node: &Node, family: Family) -> NodeRules {
    let cluster = match &model.cluster {
        Known::Read(cluster) => cluster,
        Known::Unread(why) => {
            return everywhere(model, name, &format!("the datacenter's firewall: {why}"));
        }
    };
    if !cluster.enable {
        return NodeRules {
            nics: empty_nics(model, name),
            ..NodeRules::default()
        };
    }
    let host = match &node.firewall {
        Known::Read(host) => Ok(host),
        Known::Unread(why) => Err(why.as_str()),
    };
    if let Ok(host) = host
        && host.backend() == Backend::Nftables
    {
        return super::nftables::compile(&super::nftables::Place {
            model,
            name,
            node,
            cluster,
            host,
            family,
        });
    }
    let shared = with_local_network(cluster, node);
    let sets = lists::Sets::new(&shared, None, &[], family);
    let site = Site {
        family,
        name,
        cluster,
        host,
        model,
        standard: Standard::new(family, &broadcasts(node)),
        shared,
        sets,
    };
    let mut groups = Groups::default();
    let (host_in, host_out) = site.host_chains(&mut groups);
    NodeRules {
        host_in,
        host_out,
        forward: Chain::default(),
        vnets: BTreeMap::new(),
        nics: site.guests(&mut groups),
    }
}

/// The datacenter's objects with `local_network` as an alias and in the set `management`, as they are when rules are compiled.
pub(super) fn with_local_network(cluster: &Cluster, node: &Node) -> Objects {
    let mut shared = cluster.objects.clone();
    let name = "local_network";
    let network = shared.aliases.get(name).copied().or(node.local_network);
    let management = shared.sets.entry("management".to_owned()).or_default();
    if let Some(network) = network {
        management.push(Element {
            what: What::Network(network),
            nomatch: false,
        });
        shared.aliases.insert(name.to_owned(), network);
    }
    shared
}

/// The interfaces of the guests of a node.
pub(super) fn nics_of<'a>(
    model: &'a Model,
    node: &'a str,
) -> impl Iterator<Item = (u32, &'a String, &'a super::model::Nic)> {
    let here = model
        .guests
        .iter()
        .filter(move |(_, guest)| guest.node == node);
    here.flat_map(|(vmid, guest)| guest.nics.iter().map(|(key, nic)| (*vmid, key, nic)))
}

fn empty_nics(model: &Model, node: &str) -> BTreeMap<(u32, String), NicRules> {
    nics_of(model, node)
        .map(|(vmid, key, _)| ((vmid, key.clone()), NicRules::default()))
        .collect()
}

/// Rules of which nothing is known, at every hook of a node.
pub(super) fn everywhere(model: &Model, node: &str, why: &str) -> NodeRules {
    let nic = NicRules {
        inward: unknown(why),
        outward: unknown(why),
    };
    NodeRules {
        host_in: unknown(why),
        host_out: unknown(why),
        forward: Chain::default(),
        vnets: BTreeMap::new(),
        nics: nics_of(model, node)
            .map(|(vmid, key, _)| ((vmid, key.clone()), nic.clone()))
            .collect(),
    }
}

impl Site<'_> {
    /// What packets meet before rules, into nodes and into guests: the blacklist, and senders that cannot be.
    fn input_filters(&self, chain: &mut Chain) {
        if self.cluster.objects.sets.contains_key("blacklist") {
            let origin = Origin::Builtin(Builtin::Blacklist);
            match self.sets.get("blacklist") {
                Some(Ok(addresses)) => {
                    let when = When {
                        source: Some(addresses.clone()),
                        ..When::default()
                    };
                    chain.push(when, Then::Drop, origin);
                }
                Some(Err(why)) => chain.push(
                    When::default(),
                    Then::Unknown,
                    Origin::Unknown(Arc::from(why.as_str())),
                ),
                None => {}
            }
        }
        if self.family == Family::V4 {
            let smurfs = Then::Jump(self.standard.smurfs.clone());
            match self.host {
                Ok(host) if host.nosmurfs == Some(false) => {}
                // The filter is on unless the node says no; what cannot have a sender's address is not asked about.
                _ => chain.push(When::default(), smurfs, Origin::Builtin(Builtin::Smurfs)),
            }
        }
        self.tcp_flags(chain);
    }

    /// The check of TCP's flags, which a first packet fails only by its source port.
    fn tcp_flags(&self, chain: &mut Chain) {
        let when = When {
            protocol: Some(super::names::TCP),
            source_ports: Some(Arc::new(super::ranges::Ranges::one(0))),
            ..When::default()
        };
        match self.host {
            Ok(host) if host.tcpflags => {
                chain.push(when, Then::Drop, Origin::Builtin(Builtin::TcpFlags));
            }
            Ok(_) => {}
            Err(why) => chain.push(when, Then::Unknown, Origin::Unknown(Arc::from(why))),
        }
    }

    /// Neighbour discovery, in one direction.
    fn neighbour_discovery(&self, chain: &mut Chain, advertises: bool, then: &Then) {
        let mut kinds = vec![133_u8, 135, 136];
        if advertises {
            kinds.push(134);
        }
        let kinds: super::ranges::Ranges = kinds
            .into_iter()
            .map(|kind| (u128::from(kind) << 8, (u128::from(kind) << 8) | 0xff))
            .collect();
        let when = When {
            protocol: Some(super::names::ICMPV6),
            ports: Some(Arc::new(kinds)),
            ..When::default()
        };
        chain.push(
            when,
            then.clone(),
            Origin::Builtin(Builtin::NeighbourDiscovery),
        );
    }

    /// The guests of this node in the order in which they are compiled: machines, then containers, each by VMID as text.
    fn order(&self) -> Vec<u32> {
        let mut order: Vec<(GuestKind, String, u32)> = self
            .model
            .guests
            .iter()
            .filter(|(_, guest)| guest.node == self.name)
            .map(|(vmid, guest)| (guest.kind, vmid.to_string(), *vmid))
            .collect();
        order.sort();
        order.into_iter().map(|(_, _, vmid)| vmid).collect()
    }
}

/// A network as an element of a set.
fn element(network: Network, nomatch: bool) -> Element {
    Element {
        what: What::Network(network),
        nomatch,
    }
}
