//! What of a world the firewalls' evaluation is of. What was not read stays unread in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::reach;
use super::reach::read::{self, ScopeText};
use super::reach::{
    Address, Guest, GuestKind, Interface, Known, Model, Network, Node, Objects, RuleText,
};
use crate::ids;
use crate::world::firewall::{NodeScope, Rule, Scope, Seen, filtered};
use crate::world::{self, Part, Section, World};

/// As which settings of guests count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Those in force.
    Now,
    /// Those in force once every guest has been stopped and started.
    NextStart,
}

/// The firewalls of a world, and the interfaces they filter.
///
/// # Errors
/// The datacenter's firewall may be on and a guest's configuration was not read: nobody knows which interfaces it has.
pub fn reach_model(world: &World, moment: Moment) -> Result<Model, String> {
    reach_model_of(world, moment, None)
}

/// The same with some of the guests only (all if that is `None`): what others have is an address outside.
///
/// # Errors
/// As [`reach_model`], of these guests.
pub fn reach_model_of(
    world: &World,
    moment: Moment,
    only: Option<&BTreeSet<ids::Vmid>>,
) -> Result<Model, String> {
    let firewalls = &world.firewalls;
    let cluster = firewalls
        .cluster
        .as_ref()
        .map(|scope| texts(scope).cluster());
    let nothing = Objects::default();
    let shared = cluster
        .as_ref()
        .map_or(&nothing, |cluster| &cluster.objects);
    let nodes = world.nodes.iter().map(|(name, node)| {
        let scope = firewalls.node(name);
        (name.to_string(), self::node(node, scope, shared))
    });
    let nodes = nodes.collect();
    let mut guests = BTreeMap::new();
    let asked = |vmid: &ids::Vmid| only.is_none_or(|only| only.contains(vmid));
    for guest in world.guests.values().filter(|guest| asked(&guest.vmid)) {
        if let (true, Some(why)) = (
            firewalls.may_be_on(),
            world.unreadable(&Part::GuestConfig(guest.vmid)),
        ) {
            return Err(format!("the interfaces of {}: {why}", guest.entity()));
        }
        guests.insert(guest.vmid.get(), self::guest(world, guest, moment, shared));
    }
    Ok(Model {
        nodes,
        guests,
        vnets: vnets(world, shared),
        corosync: corosync(world),
        cluster: match cluster {
            Ok(cluster) => Known::Read(cluster),
            Err(why) => Known::Unread(why.clone()),
        },
    })
}

/// Why a node that filters with nftables keeps the rules that it had instead of those of this world; `None` where it takes them, with the
/// other backend, and where what would say it was not read.
#[must_use]
pub fn reach_refusal(world: &World, node: &ids::NodeName) -> Option<String> {
    let firewall = world.firewalls.node(node)?.firewall.as_ref().ok()?;
    let nftables = firewall.options.get("nftables");
    if nftables.is_none_or(|value| value == "0") || !world.firewalls.may_be_on() {
        return None;
    }
    let here = world.guests.values().filter(|guest| guest.node == *node);
    let here = here.map(|guest| guest.vmid).collect();
    let model = reach_model_of(world, Moment::NextStart, Some(&here)).ok()?;
    reach::refusal(&model, node.as_str())
}

fn known<T>(read: Result<T, String>) -> Known<T> {
    match read {
        Ok(read) => Known::Read(read),
        Err(why) => Known::Unread(why),
    }
}

fn rules(rules: &[Rule]) -> Vec<RuleText> {
    let text = |rule: &Rule| RuleText::of_fields(&rule.fields, &rule.errors);
    rules.iter().map(text).collect()
}

fn texts(scope: &Scope) -> ScopeText {
    let aliases = scope.aliases.iter();
    let sets = scope.ipsets.iter().map(|(name, set)| {
        // What Proxmox VE finds wrong with an element, it leaves out.
        let elements = set.entries.iter().filter(|entry| entry.errors.is_empty());
        let elements = elements.map(|entry| (entry.cidr.clone(), entry.nomatch));
        (name.clone(), elements.collect())
    });
    let faulty = scope.ipsets.iter().flat_map(|(name, set)| {
        let entries = set.entries.iter().filter(|entry| !entry.errors.is_empty());
        entries.map(|entry| (name.clone(), (entry.cidr.clone(), entry.nomatch)))
    });
    let groups = scope.groups.iter();
    ScopeText {
        faulty: faulty.collect(),
        options: scope.options.clone(),
        aliases: aliases
            .map(|(name, alias)| (name.clone(), alias.cidr.clone()))
            .collect(),
        sets: sets.collect(),
        rules: rules(&scope.rules),
        groups: groups
            .map(|(name, group)| (name.clone(), rules(&group.rules)))
            .collect(),
    }
}

fn vnets(
    world: &World,
    shared: &Objects,
) -> Known<BTreeMap<String, Known<super::reach::VnetFirewall>>> {
    let vnets = match &world.firewalls.vnets {
        Ok(vnets) => vnets,
        Err(why) => return Known::Unread(why.clone()),
    };
    let vnet = |name: &ids::VnetName| {
        let firewall = world.firewalls.vnet(name);
        known(
            firewall
                .map(|scope| texts(scope).vnet(shared))
                .map_err(str::to_owned),
        )
    };
    let all = vnets.keys().map(|name| (name.to_string(), vnet(name)));
    Known::Read(all.collect())
}

fn node(node: &world::Node, scope: Option<&NodeScope>, shared: &Objects) -> Node {
    let unread = || Known::Unread("the firewall of the node was not asked for".to_owned());
    let interfaces = scope.map(interfaces).unwrap_or_default();
    let own = node.ip.as_deref().and_then(Address::parse);
    let networks = interfaces.iter().flat_map(|at| &at.addresses);
    Node {
        firewall: scope.map_or_else(unread, |scope| {
            known(
                scope
                    .firewall
                    .clone()
                    .map(|scope| texts(&scope).host(shared)),
            )
        }),
        local_network: own.and_then(|own| read::local_network(own, networks)),
        interfaces,
    }
}

/// The interfaces with their addresses; none where they were not read, so that what depends on them is unknown.
fn interfaces(scope: &NodeScope) -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for at in scope.addresses.iter().flatten() {
        let Some(network) = Network::parse(&at.cidr) else {
            continue;
        };
        let name = Some(at.interface.clone());
        match interfaces.iter_mut().find(|known| known.name == name) {
            Some(known) => known.addresses.push(network),
            None => interfaces.push(Interface {
                name,
                addresses: vec![network],
            }),
        }
    }
    interfaces
}

fn guest(world: &World, guest: &world::Guest, moment: Moment, shared: &Objects) -> Guest {
    let kind = match guest.kind {
        ids::GuestKind::Qemu => GuestKind::Vm,
        ids::GuestKind::Lxc => GuestKind::Ct,
    };
    let next;
    let section: &Section = match moment {
        Moment::Now => &guest.config.current,
        Moment::NextStart => {
            next = guest.config.next_start();
            &next
        }
    };
    let nics = section.iter().filter(|(key, _)| is_nic(key));
    let read: Seen<Option<_>> = match world.firewalls.guest(guest.vmid) {
        // Nothing is filtered where no interface asks for it, and a file without anything in it is none.
        _ if !filtered(guest) => Ok(None),
        Ok(scope) if **scope == Scope::default() => Ok(None),
        Ok(scope) => Ok(Some(texts(scope).guest(shared))),
        Err(why) => Err(why.to_owned()),
    };
    Guest {
        kind,
        node: guest.node.to_string(),
        nics: nics
            .map(|(key, value)| (key.clone(), read::nic(kind, value)))
            .collect(),
        firewall: known(read),
    }
}

fn is_nic(key: &str) -> bool {
    let number = key.strip_prefix("net");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn corosync(world: &World) -> Known<Option<super::reach::Corosync>> {
    let corosync: &Arc<_> = match &world.firewalls.corosync {
        Ok(corosync) => corosync,
        Err(why) => return Known::Unread(why.clone()),
    };
    if corosync.members.is_empty() {
        return Known::Read(None);
    }
    let members = corosync.members.iter().flat_map(|(node, links)| {
        let links = links.iter();
        links.map(move |(number, address)| (node.as_str(), *number, address.as_str()))
    });
    known(read::corosync(corosync.transport.as_deref(), members).map(Some))
}
