//! The firewall's configuration of a cluster at its four places, raw as Proxmox VE keeps it.
//!
//! It is several calls a guest, so a guest's is read only where it can have an effect: while the datacenter's firewall is on, and of
//! guests with an interface that has `firewall=1`. A vnet's is read while the datacenter's is on too. What is not read is unknown, not
//! empty.

mod part;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::model::{Guest, Section};
use super::shared::Shared;
use super::views;
use crate::ids::{NodeName, Vmid, VnetName};

pub use part::FirewallPart;

/// What the datacenter's `enable` is here while its firewall is on for a minute only. Proxmox VE keeps a UNIX time for it, which is another
/// one for every trial, and says 0 once the minute is over.
pub const ON_TRIAL: &str = "2";

/// Something that was read, or why it was not.
pub type Seen<T> = Result<T, String>;

/// Where a firewall is configured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// The datacenter, with what else the firewalls of all nodes depend on: the cluster network.
    Cluster,
    /// A node.
    Node(NodeName),
    /// A guest.
    Guest(Vmid),
    /// A vnet of SDN. Only nodes whose firewall is made with nftables filter by it.
    Vnet(VnetName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the firewall of the datacenter"),
            Self::Node(node) => write!(f, "the firewall of node {node}"),
            Self::Guest(vmid) => write!(f, "the firewall of guest {vmid}"),
            Self::Vnet(vnet) => write!(f, "the firewall of vnet {vnet}"),
        }
    }
}

/// Every firewall's configuration in a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Firewalls {
    /// The datacenter's.
    pub cluster: Seen<Arc<Scope>>,
    /// The cluster network; without members on a node that is no cluster.
    pub corosync: Seen<Arc<Corosync>>,
    /// The nodes', and what of a node's network the firewall depends on.
    pub nodes: Shared<NodeName, Arc<NodeScope>>,
    /// The guests', as far as they were asked for; see [`Firewalls::guest`].
    pub guests: Shared<Vmid, Seen<Arc<Scope>>>,
    /// The vnets that run, with their firewalls; see [`Firewalls::vnet`].
    pub vnets: Seen<Shared<VnetName, Arc<VnetScope>>>,
    /// Proxmox VE's digests of the parts that a step read again right before it writes them. Nothing else keeps any.
    pub digests: BTreeMap<(Place, FirewallPart), String>,
}

/// Why something was not read that nobody wanted read.
pub(in crate::world) const NEVER: &str = "it was never asked for";

impl Default for Firewalls {
    /// Nothing was read.
    fn default() -> Self {
        Self {
            cluster: Err(NEVER.to_owned()),
            corosync: Err(NEVER.to_owned()),
            nodes: Shared::default(),
            guests: Shared::default(),
            vnets: Err(NEVER.to_owned()),
            digests: BTreeMap::new(),
        }
    }
}

impl Firewalls {
    /// A guest's configuration.
    ///
    /// # Errors
    /// Why it was not read.
    pub fn guest(&self, vmid: Vmid) -> Result<&Arc<Scope>, &str> {
        match self.guests.get(&vmid) {
            Some(read) => read.as_ref().map_err(String::as_str),
            None => Err(
                "it was not asked for, since the datacenter's firewall is off or none of the guest's interfaces has `firewall=1`",
            ),
        }
    }

    /// A node's configuration and addresses; `None` if they were not read.
    pub fn node(&self, node: &NodeName) -> Option<&NodeScope> {
        self.nodes.get(node).map(|scope| &**scope)
    }

    /// A vnet's configuration.
    ///
    /// # Errors
    /// Why it was not read; that there is no such vnet among those that run is one reason.
    pub fn vnet(&self, name: &VnetName) -> Result<&Arc<Scope>, &str> {
        let vnets = self.vnets.as_ref().map_err(String::as_str)?;
        match vnets.get(name) {
            Some(vnet) => vnet.firewall.as_ref().map_err(String::as_str),
            None => Err("no vnet of this name runs"),
        }
    }

    /// A place's own configuration, whether or not what else decides there was read too.
    ///
    /// # Errors
    /// Why it was not read.
    pub fn scope(&self, place: &Place) -> Result<&Arc<Scope>, &str> {
        match place {
            Place::Cluster => self.cluster.as_ref().map_err(String::as_str),
            Place::Node(name) => match self.node(name).map(|node| &node.firewall) {
                Some(read) => read.as_ref().map_err(String::as_str),
                None => Err("it was not asked for, since the datacenter's firewall is off"),
            },
            Place::Guest(vmid) => self.guest(*vmid),
            Place::Vnet(name) => self.vnet(name),
        }
    }

    /// The same, to be changed; the digests of it are no longer known.
    pub(in crate::world) fn scope_mut(&mut self, place: &Place) -> Option<&mut Scope> {
        self.digests.retain(|(of, _), _| of != place);
        let scope = match place {
            Place::Cluster => self.cluster.as_mut().ok(),
            Place::Node(name) => {
                let node = self.nodes.get_mut(name).map(Arc::make_mut);
                node.and_then(|node| node.firewall.as_mut().ok())
            }
            Place::Guest(vmid) => {
                let read = self.guests.get_mut(vmid);
                read.and_then(|read| read.as_mut().ok())
            }
            Place::Vnet(name) => {
                let vnets = self.vnets.as_mut().ok();
                let vnet = vnets.and_then(|vnets| vnets.get_mut(name));
                vnet.and_then(|vnet| Arc::make_mut(vnet).firewall.as_mut().ok())
            }
        };
        scope.map(Arc::make_mut)
    }

    /// A place's configuration, if it was read with all that belongs to it (a node's addresses, the cluster network).
    pub(in crate::world) fn known(&self, place: &Place) -> Option<&Arc<Scope>> {
        match place {
            Place::Cluster => self.cluster.as_ref().ok().filter(|_| self.corosync.is_ok()),
            Place::Node(name) => {
                let node = self.node(name).filter(|node| node.addresses.is_ok())?;
                node.firewall.as_ref().ok()
            }
            Place::Guest(vmid) => self.guest(*vmid).ok(),
            Place::Vnet(name) => self.vnet(name).ok(),
        }
    }

    /// Changes a place's configuration; whether it was known.
    pub(in crate::world) fn change(&mut self, place: &Place, by: impl FnOnce(&mut Scope)) -> bool {
        if self.known(place).is_none() {
            return false;
        }
        self.scope_mut(place).map(by).is_some()
    }

    /// Whether the datacenter's firewall is on, and with it any other; also where nobody knows. [`ON_TRIAL`]: for a minute.
    pub fn may_be_on(&self) -> bool {
        let cluster = self.cluster.as_ref();
        cluster.map_or(true, |cluster| cluster.may_be_on())
    }

    /// Whether the datacenter's firewall is on trial; `None` if nobody knows.
    pub fn on_trial(&self) -> Option<bool> {
        let cluster = self.cluster.as_ref().ok()?;
        Some(
            cluster
                .options
                .get("enable")
                .is_some_and(|value| value == ON_TRIAL),
        )
    }

    /// Whether a guest's own configuration can have an effect, and so is read.
    pub fn concerns(&self, guest: &Guest) -> bool {
        self.may_be_on() && filtered(guest)
    }
}

/// Whether an interface of a guest has `firewall=1`, now or at its next start.
pub fn filtered(guest: &Guest) -> bool {
    let has = |section: &Section| views::nics(section).iter().any(|nic| nic.firewall);
    let config = &guest.config;
    has(&config.current) || (!config.pending.is_empty() && has(&config.next_start()))
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

impl Scope {
    /// Whether the datacenter's firewall is on, if this is that.
    pub(in crate::world) fn may_be_on(&self) -> bool {
        let enable = self.options.get("enable");
        enable.is_some_and(|value| value != "0")
    }
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
    pub firewall: Seen<Arc<Scope>>,
    /// Its own addresses, as its network is configured.
    pub addresses: Seen<Vec<NodeAddress>>,
}

/// A vnet's firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VnetScope {
    /// The zone it is in.
    pub zone: String,
    /// The firewall's configuration.
    pub firewall: Seen<Arc<Scope>>,
}

/// An address of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeAddress {
    /// The interface it is on (`vmbr0`).
    pub interface: String,
    /// The address with its network (`10.0.0.11/24`).
    pub cidr: String,
}

/// The cluster network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corosync {
    /// Its transport, if it is said (`knet` otherwise).
    pub transport: Option<String>,
    /// The addresses of every member, by the number of the link.
    pub members: BTreeMap<NodeName, BTreeMap<u32, String>>,
}
