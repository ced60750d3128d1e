//! What the evaluation is of: every firewall configuration of a cluster as typed values. What could not be read is never empty.

use std::collections::BTreeMap;

use super::address::{Address, Network};
use super::objects::Objects;
use super::rule::{Action, Entry};

/// Something that was read, or that could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// It was read.
    Read(T),
    /// It could not be read; why.
    Unread(String),
}

/// The program that turns a node's configuration into rules of its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `pve-firewall`, with iptables and ipset.
    Iptables,
    /// `proxmox-firewall`, with nftables (the node's option `nftables`).
    Nftables,
}

/// Every firewall configuration of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The datacenter's.
    pub cluster: Known<Cluster>,
    /// The nodes, by name.
    pub nodes: BTreeMap<String, Node>,
    /// The guests, by VMID.
    pub guests: BTreeMap<u32, Guest>,
    /// The vnets that run, by name. Only the nftables backend has rules for them.
    pub vnets: Known<BTreeMap<String, Known<VnetFirewall>>>,
    /// Addresses in the cluster network, link by link; `None` for a node that is no cluster.
    pub corosync: Known<Option<Corosync>>,
}

/// The datacenter's firewall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Whether any firewall is on. Unset is off.
    pub enable: bool,
    /// Whether a change is being confirmed: the switch is then a time, which the nftables backend cannot read.
    pub confirming: bool,
    /// What becomes of packets to nodes that no rule matches. Unset is `DROP`.
    pub policy_in: Option<Action>,
    /// What becomes of packets from nodes. Unset is `ACCEPT`.
    pub policy_out: Option<Action>,
    /// What becomes of packets nodes route. Unset is `ACCEPT`. The iptables backend does not use it.
    pub policy_forward: Option<Action>,
    /// Aliases and sets.
    pub objects: Objects,
    /// Security groups by name (in lower case), their rules in order.
    pub groups: BTreeMap<String, Vec<Entry>>,
    /// Rules for every node, in order.
    pub rules: Vec<Entry>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its firewall's configuration.
    pub firewall: Known<Host>,
    /// Its interfaces that have addresses, in the order in which people would name them.
    pub interfaces: Vec<Interface>,
    /// The network of its address in the cluster: what `local_network` means if there is no alias of that name. `None`: not known.
    pub local_network: Option<Network>,
}

impl Node {
    /// Its own addresses with their networks. They say which addresses are broadcast addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Network> + '_ {
        let all = self.interfaces.iter().map(|interface| &interface.addresses);
        all.flatten().copied()
    }
}

/// An interface of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name (`vmbr0`); `None` if only the addresses are known.
    pub name: Option<String>,
    /// Its addresses with their networks.
    pub addresses: Vec<Network>,
}

/// A node's firewall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Whether its rules are on. Unset is on.
    pub enable: Option<bool>,
    /// Whether neighbour discovery passes. Unset is on.
    pub ndp: Option<bool>,
    /// Whether packets with a broadcast address as sender are dropped. Unset is on.
    pub nosmurfs: Option<bool>,
    /// Whether TCP packets with impossible flags are dropped. Unset is off. Of first packets it stops those from port 0.
    pub tcpflags: bool,
    /// Whether packets that belong to no connection and start none may be forwarded. Unset is no.
    pub allow_invalid: bool,
    /// Which backend is chosen.
    pub nftables: bool,
    /// Whether floods of first packets are limited. Unset is off. The iptables backend drops only what is too much.
    pub synflood: bool,
    /// Connection tracking's helpers (`ftp,tftp`), if some are chosen.
    pub helpers: Option<String>,
    /// Its rules, in order.
    pub rules: Vec<Entry>,
}

impl Host {
    /// The backend that compiles this configuration.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        if self.nftables {
            Backend::Nftables
        } else {
            Backend::Iptables
        }
    }
}

/// The kind of a guest, which decides the order in which Proxmox VE compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GuestKind {
    /// A virtual machine.
    Vm,
    /// A container.
    Ct,
}

/// A guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Which kind.
    pub kind: GuestKind,
    /// The node it is on.
    pub node: String,
    /// Its network interfaces by key (`net0`).
    pub nics: BTreeMap<String, Nic>,
    /// Its firewall; `None` if it has no file.
    pub firewall: Known<Option<GuestFirewall>>,
}

/// A guest's network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nic {
    /// Whether `firewall=1`: only then anything filters here.
    pub firewall: bool,
    /// Its MAC address as a number.
    pub mac: Option<u64>,
    /// The bridge it is on.
    pub bridge: String,
    /// Fixed addresses in a container's configuration.
    pub addresses: Vec<Address>,
    /// Whether the nftables backend can read it: it knows few models of network cards, and a MAC address must stand there.
    pub readable: bool,
}

/// A guest's firewall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestFirewall {
    /// Whether it is on. Unset is off.
    pub enable: bool,
    /// Whether DHCP passes before everything. Unset is on, whatever the documentation says.
    pub dhcp: Option<bool>,
    /// Whether neighbour discovery passes. Unset is on.
    pub ndp: Option<bool>,
    /// Whether it may send router advertisements. Unset is no.
    pub radv: bool,
    /// Whether packets with a foreign MAC address are dropped. Unset is on.
    pub macfilter: Option<bool>,
    /// Whether packets with a foreign source address are dropped. Unset is off, unless a set `ipfilter-netN` exists.
    pub ipfilter: bool,
    /// Whether accepted packets are handed to an intrusion prevention system, which then decides.
    pub ips: bool,
    /// What becomes of packets to it that no rule matches. Unset is `DROP`.
    pub policy_in: Option<Action>,
    /// What becomes of packets from it. Unset is `ACCEPT`.
    pub policy_out: Option<Action>,
    /// Aliases and sets.
    pub objects: Objects,
    /// Its rules, in order.
    pub rules: Vec<Entry>,
}

/// The firewall of a vnet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VnetFirewall {
    /// Whether it is on. Unset is off.
    pub enable: bool,
    /// What becomes of packets that no rule matches. Unset is `ACCEPT`.
    pub policy_forward: Option<Action>,
    /// Its rules, in order. All are forward rules.
    pub rules: Vec<Entry>,
}

/// The cluster network's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corosync {
    /// Whether its transport is `udp`, which uses multicast.
    pub multicast: bool,
    /// Every node's address on every link.
    pub links: Vec<Link>,
}

/// A node's address on one link of the cluster network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The node.
    pub node: String,
    /// The link's number.
    pub number: u32,
    /// The node's address there.
    pub address: Address,
}
