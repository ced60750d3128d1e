//! Whose reach a plan may change: whoever has other rules, or rules that name something that means something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::Raw;
use super::told::Told;
use super::{Touched, same_option};
use crate::health;
use crate::ids::{NodeName, Vmid};
use crate::world::firewall::{Rule, Scope, filtered};
use crate::world::{Guest, World, views};

/// Options of the datacenter that only nodes' own rules heed.
const OF_NODES: &[&str] = &["policy_in", "policy_out", "log_ratelimit"];

/// The nodes and guests to look at.
pub(super) struct Concerned {
    pub(super) nodes: BTreeSet<NodeName>,
    pub(super) guests: BTreeSet<Vmid>,
}

/// The guests that are there before and after, and whose interfaces or node changed.
pub(super) fn moved<'a>(before: &'a World, after: &'a World) -> impl Iterator<Item = Vmid> + 'a {
    let guests = after.guests.iter();
    guests.filter_map(|(vmid, is)| {
        let was = before.guests.get(vmid)?;
        differs(was, is).then_some(*vmid)
    })
}

fn differs(was: &Arc<Guest>, is: &Arc<Guest>) -> bool {
    if Arc::ptr_eq(was, is) {
        return false;
    }
    let nics = |guest: &Guest| views::nics(&guest.config.next_start());
    was.node != is.node || nics(was) != nics(is)
}

impl Concerned {
    /// Everybody whose reach may be another at the end or on the way.
    pub(super) fn new(start: &World, end: &World, touched: &Touched) -> Self {
        let there = |name: &&NodeName| start.nodes.contains_key(*name);
        let mut nodes: BTreeSet<NodeName> = touched.nodes.keys().filter(there).cloned().collect();
        if !touched.cluster.is_empty() {
            nodes.extend(end.nodes.keys().filter(there).cloned());
        }
        let mut guests: BTreeSet<Vmid> = touched.guests.keys().copied().collect();
        let ways = touched.states.iter().map(|(_, world)| world);
        let mut last = None;
        for world in ways.chain([end]) {
            let cluster = &world.firewalls.cluster;
            let meant = match (&start.firewalls.cluster, cluster) {
                _ if last == Some(cluster) => Meant::nothing(),
                (Ok(one), Ok(other)) => Meant::new(one, other),
                (one, other) if one == other => Meant::nothing(),
                _ => Meant::Everything,
            };
            last = Some(cluster);
            let heeds = |vmid: &Vmid| {
                let scope = world.firewalls.guest(*vmid).ok();
                meant.by(scope.map(|scope| &**scope))
            };
            let guests_of = world.guests.values().filter(|guest| {
                let before = start.guests.get(&guest.vmid);
                before.is_some_and(|before| filtered(before) || filtered(guest))
                    && (nodes_differ(start, world, guest) || heeds(&guest.vmid))
            });
            guests.extend(guests_of.map(|guest| guest.vmid));
        }
        guests.retain(|vmid| start.guests.contains_key(vmid) && end.guests.contains_key(vmid));
        Self { nodes, guests }
    }

    /// Takes out whose reach nobody can know, and tells them. Guests of such a node are told with it, unless a step touches them.
    pub(super) fn unknown(&mut self, told: &Told<'_>) -> Vec<Raw> {
        let mut all = Vec::new();
        let worlds = [told.start, told.end].map(|world| Refusing::new(world, self));
        // A node that takes its rules again, or takes them no more, filters otherwise as a whole.
        let [start, end] = &worlds;
        let nodes = start.why.keys().chain(end.why.keys());
        let turned: Vec<NodeName> = nodes
            .filter(|name| start.why.contains_key(*name) != end.why.contains_key(*name))
            .filter(|name| told.start.nodes.contains_key(*name))
            .cloned()
            .collect();
        self.nodes.extend(turned);
        let mut lost: Vec<(NodeName, String)> = Vec::new();
        self.nodes.retain(|name| {
            let Some(why) = worlds.iter().find_map(|world| world.unread_node(name)) else {
                return true;
            };
            lost.push((name.clone(), why));
            false
        });
        let mut along: Vec<(NodeName, Vmid)> = Vec::new();
        self.guests.retain(|vmid| {
            let unread = worlds.iter().find_map(|world| world.unread_guest(*vmid));
            let Some(why) = unread else { return true };
            let node = told.end.guests.get(vmid).map(|guest| guest.node.clone());
            let node = node.filter(|node| lost.iter().any(|(lost, _)| lost == node));
            match node.filter(|_| !told.touched.guests.contains_key(vmid)) {
                Some(node) => along.push((node, *vmid)),
                None => all.extend(told.unknown_guest(*vmid, &why)),
            }
            false
        });
        for (name, why) in lost {
            let guests = along.iter().filter(|(node, _)| *node == name);
            let guests: Vec<Vmid> = guests.map(|(_, vmid)| *vmid).collect();
            all.push(told.unknown_node(&name, &why, &guests));
        }
        all
    }
}

fn nodes_differ(start: &World, end: &World, guest: &Guest) -> bool {
    let (was, is) = (&start.firewalls.nodes, &end.firewalls.nodes);
    !was.is(is) && was.get(&guest.node) != is.get(&guest.node)
}

/// What of the datacenter's configuration means something else to guests.
enum Meant {
    /// All of it may.
    Everything,
    /// Aliases, sets and groups of these names, in lower case.
    Names(BTreeSet<String>),
}

impl Meant {
    fn nothing() -> Self {
        Self::Names(BTreeSet::new())
    }

    fn new(was: &Scope, is: &Scope) -> Self {
        let differ = |key: &&String| {
            !OF_NODES.contains(&key.as_str()) && !same_option(key, &was.options, &is.options)
        };
        let mut options = was.options.keys().chain(is.options.keys());
        if options.any(|key| differ(&key))
            || was.ipsets.get("blacklist") != is.ipsets.get("blacklist")
        {
            return Self::Everything;
        }
        let mut names = BTreeSet::new();
        let mut put = |name: &String| names.insert(name.to_ascii_lowercase());
        for name in was.aliases.keys().chain(is.aliases.keys()) {
            if was.aliases.get(name) != is.aliases.get(name) {
                put(name);
            }
        }
        for name in was.ipsets.keys().chain(is.ipsets.keys()) {
            if was.ipsets.get(name) != is.ipsets.get(name) {
                put(name);
            }
        }
        for name in was.groups.keys().chain(is.groups.keys()) {
            if was.groups.get(name) != is.groups.get(name) {
                put(name);
            }
        }
        // What names an alias that means something else does so, too; and what names that: a set in a rule of a group.
        loop {
            let before = names.len();
            for scope in [was, is] {
                for (name, set) in &scope.ipsets {
                    if set.entries.iter().any(|entry| named(&entry.cidr, &names)) {
                        if name == "blacklist" {
                            return Self::Everything;
                        }
                        names.insert(name.to_ascii_lowercase());
                    }
                }
                for (name, group) in &scope.groups {
                    if group.rules.iter().any(|rule| names_of(rule, &names)) {
                        names.insert(name.to_ascii_lowercase());
                    }
                }
            }
            if names.len() == before {
                return Self::Names(names);
            }
        }
    }

    /// Whether a guest's firewall heeds any of it; one that is not known does.
    fn by(&self, scope: Option<&Scope>) -> bool {
        let names = match self {
            Self::Everything => return true,
            Self::Names(names) if names.is_empty() => return false,
            Self::Names(names) => names,
        };
        scope.is_none_or(|scope| {
            let mut entries = scope.ipsets.values().flat_map(|set| &set.entries);
            scope.rules.iter().any(|rule| names_of(rule, names))
                || entries.any(|entry| named(&entry.cidr, names))
        })
    }
}

fn named(text: &str, names: &BTreeSet<String>) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    let text = text.strip_prefix("dc/").unwrap_or(text);
    names.contains(&text.to_ascii_lowercase())
}

fn names_of(rule: &Rule, names: &BTreeSet<String>) -> bool {
    let field = |key: &str| rule.fields.get(key).is_some_and(|text| named(text, names));
    let group = rule.fields.get("type").is_some_and(|kind| kind == "group");
    field("source") || field("dest") || (group && field("action"))
}

/// Why nobody knows the rules of the datacenter.
fn unread_cluster(world: &World) -> Option<String> {
    let why = world.firewalls.cluster.as_ref().err();
    why.map(|why| format!("the datacenter's firewall was not read: {why}"))
}

/// A world, with the nodes in it that do not take their rules.
struct Refusing<'a> {
    world: &'a World,
    why: BTreeMap<NodeName, String>,
}

impl<'a> Refusing<'a> {
    /// Looks at the nodes concerned, and at those of guests concerned.
    fn new(world: &'a World, concerned: &Concerned) -> Self {
        let guests = concerned.guests.iter();
        let of_guests = guests.filter_map(|vmid| world.guests.get(vmid));
        let nodes = of_guests.map(|guest| &guest.node).chain(&concerned.nodes);
        let nodes: BTreeSet<&NodeName> = nodes.collect();
        let why = nodes.into_iter().filter_map(|name| {
            let why = health::reach_refusal(world, name)?;
            Some((name.clone(), why))
        });
        Self {
            world,
            why: why.collect(),
        }
    }

    /// Why nobody knows the rules at a node.
    fn unread_rules(&self, name: &NodeName) -> Option<String> {
        match self.world.firewalls.node(name).map(|node| &node.firewall) {
            Some(Ok(_)) => self.why.get(name).cloned(),
            Some(Err(why)) => Some(format!("the firewall of node {name} was not read: {why}")),
            None => Some(format!("the firewall of node {name} was not read")),
        }
    }

    /// Why nobody knows who reaches a node.
    fn unread_node(&self, name: &NodeName) -> Option<String> {
        let world = self.world;
        unread_cluster(world).or_else(|| {
            if !world.firewalls.may_be_on() {
                return None;
            }
            self.unread_rules(name).or_else(|| {
                let addresses = &world.firewalls.node(name)?.addresses;
                let why = addresses.as_ref().err()?;
                Some(format!("the addresses of node {name} were not read: {why}"))
            })
        })
    }

    /// Why nobody knows who reaches a guest.
    fn unread_guest(&self, vmid: Vmid) -> Option<String> {
        let world = self.world;
        unread_cluster(world).or_else(|| {
            let guest = world.guests.get(&vmid)?;
            if !world.firewalls.concerns(guest) {
                return None;
            }
            if let Err(why) = world.firewalls.guest(vmid) {
                return Some(format!("the guest's firewall is not known: {why}"));
            }
            // Unknown before and after would be no difference.
            self.unread_rules(&guest.node)
        })
    }
}
