//! FW05: what a step takes away although rules and sets name it, switched on or off. Proxmox VE does not look, and what names nothing does
//! nothing.

use std::collections::BTreeMap;

use super::super::model::{Duration, StepId};
use super::super::words::{clean, few};
use super::Raw;
use super::actions::raw;
use crate::health::{Category, Entity};
use crate::ids::{GuestKind, Vmid};
use crate::proxmox::firewall::reference;
use crate::world::firewall::{FirewallPart, Place, Scope};
use crate::world::{FirewallAction, Section, World};

/// What a step of a firewall does to what names its object.
pub(super) fn impacts(step: StepId, action: &FirewallAction, before: &World) -> Vec<Raw> {
    if action.removes().is_none() {
        return Vec::new();
    }
    let (part, of) = (action.part(), action.site().place());
    let mut found: BTreeMap<Entity, Vec<String>> = BTreeMap::new();
    let mut unread = Vec::new();
    for place in places(&of, before) {
        if told_by_reach(&of, &place, before) {
            continue;
        }
        match before.firewalls.scope(&place) {
            Ok(scope) => {
                let users = users(scope, &place, &part, &of);
                let told = users.into_iter().map(|user| told(&user, &place, &part));
                let of_it = found.entry(entity(&place, before));
                of_it.or_default().extend(told);
            }
            Err(why) => unread.push(format!("{place}: {why}")),
        }
    }
    found.retain(|_, users| !users.is_empty());
    let mut all: Vec<Raw> = found
        .into_iter()
        .map(|(entity, causes)| dangling(step, entity, causes))
        .collect();
    if !unread.is_empty() {
        all.push(raw(
            step,
            Entity::Controller,
            Category::Unknown,
            ("works", "nobody can say what names it"),
            format!("what names {part} could not be read: {}", few(&unread)),
            Duration::Permanent,
            "FW05",
        ));
    }
    all
}

/// Whether what becomes of everybody's reach says it already: of the datacenter's, where a firewall can have an effect.
fn told_by_reach(of: &Place, place: &Place, world: &World) -> bool {
    let firewalls = &world.firewalls;
    let counts = match place {
        Place::Cluster | Place::Node(_) => true,
        Place::Vnet(_) => false,
        Place::Guest(vmid) => {
            let guest = world.guests.get(vmid);
            guest.is_some_and(|guest| firewalls.concerns(guest))
        }
    };
    *of == Place::Cluster && firewalls.may_be_on() && counts
}

/// Where something of a place can be named: of the datacenter everywhere, of a guest only in its own firewall.
fn places(of: &Place, world: &World) -> Vec<Place> {
    if let Place::Guest(_) = of {
        return vec![of.clone()];
    }
    let nodes = world.nodes.keys().cloned().map(Place::Node);
    let guests = world.guests.keys().copied().map(Place::Guest);
    let vnets = world.firewalls.vnets.iter().flat_map(|vnets| vnets.keys());
    std::iter::once(Place::Cluster)
        .chain(nodes)
        .chain(guests)
        .chain(vnets.cloned().map(Place::Vnet))
        .collect()
}

fn dangling(step: StepId, entity: Entity, causes: Vec<String>) -> Raw {
    let mut impact = raw(
        step,
        entity,
        Category::Dangling,
        ("works", "names something that is not there"),
        String::new(),
        Duration::Permanent,
        "FW05",
    );
    impact.causes = causes;
    impact.notes.push(
        "Proxmox VE leaves a rule that names nothing out, in silence, as if it were not there"
            .to_owned(),
    );
    impact
}

fn entity(place: &Place, world: &World) -> Entity {
    match place {
        Place::Cluster | Place::Vnet(_) => Entity::Controller,
        Place::Node(node) => Entity::Node(node.clone()),
        Place::Guest(vmid) => guest_entity(*vmid, world),
    }
}

fn guest_entity(vmid: Vmid, world: &World) -> Entity {
    let kind = world.guests.get(&vmid).map(|guest| guest.kind);
    Entity::Guest(kind.unwrap_or(GuestKind::Qemu), vmid)
}

fn told(user: &str, place: &Place, part: &FirewallPart) -> String {
    let at = match place {
        Place::Cluster => "the datacenter".to_owned(),
        Place::Node(node) => format!("node {node}"),
        Place::Guest(vmid) => format!("guest {vmid}"),
        Place::Vnet(vnet) => format!("vnet {vnet}"),
    };
    clean(&format!("{user} of {at} names {part}"))
}

/// What in a firewall names a part of this or of the datacenter's. A guest with one of its own of that name means its own.
fn users(scope: &Scope, place: &Place, part: &FirewallPart, of: &Place) -> Vec<String> {
    let hidden = place != of && scope.state(part).is_some();
    let other = match of {
        Place::Guest(_) => "dc",
        Place::Cluster | Place::Node(_) | Place::Vnet(_) => "guest",
    };
    let means = |text: &str, name: &str, any_case: bool| {
        reference(text).is_some_and(|(said, named)| {
            let same = named == name || (any_case && named.eq_ignore_ascii_case(name));
            same && said != Some(other) && !(said.is_none() && hidden)
        })
    };
    let names = |text: &str| match part {
        FirewallPart::Alias(name) => means(text, name, true),
        FirewallPart::Set(name) => text
            .strip_prefix('+')
            .is_some_and(|text| means(text, name, false)),
        FirewallPart::Group(_) | FirewallPart::Rules | FirewallPart::Options => false,
    };
    let calls = |fields: &Section| match part {
        FirewallPart::Group(name) => {
            let calls = fields.get("type").is_some_and(|kind| kind == "group");
            let called = fields.get("action");
            calls && called.is_some_and(|called| called.eq_ignore_ascii_case(name))
        }
        _ => false,
    };
    let rule = |rule: &crate::world::firewall::Rule| {
        let mut fields = ["source", "dest"].iter();
        calls(&rule.fields)
            || fields.any(|field| rule.fields.get(*field).is_some_and(|text| names(text)))
    };
    let rules = scope.rules.iter().enumerate().filter(|(_, r)| rule(r));
    let mut all: Vec<String> = rules.map(|(at, _)| format!("rule {at}")).collect();
    for (group, rules) in &scope.groups {
        let rules = rules.rules.iter().enumerate().filter(|(_, r)| rule(r));
        all.extend(rules.map(|(at, _)| format!("rule {at} of the security group {group}")));
    }
    let sets = scope.ipsets.iter().filter(|(_, set)| {
        let mut entries = set.entries.iter();
        entries.any(|entry| names(&entry.cidr))
    });
    all.extend(sets.map(|(name, _)| format!("the set {name}")));
    all
}
