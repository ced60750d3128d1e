//! Aliases and sets of firewalls among the resources.

use super::{Live, Resource, ResourceKind, plain};
use crate::plan::{Ownership, rule_words};
use crate::world::action::firewall::{object_of, of_object};
use crate::world::firewall::{FirewallPart, Place, Rule, Scope};
use crate::world::{Section, World};

/// The firewalls that were read, by place: the datacenter's, then the nodes', the guests' and the vnets'.
pub(in crate::service) fn scopes(world: &World) -> impl Iterator<Item = (Place, &Scope)> {
    let cluster = world.firewalls.cluster.as_ref().ok();
    let cluster = cluster.map(|scope| (Place::Cluster, &**scope));
    let guests = world.firewalls.guests.iter();
    let guests =
        guests.filter_map(|(vmid, read)| Some((Place::Guest(*vmid), &**read.as_ref().ok()?)));
    let nodes = world.firewalls.nodes.iter();
    let nodes = nodes.filter_map(|(name, node)| {
        let scope = node.firewall.as_ref().ok()?;
        Some((Place::Node(name.clone()), &**scope))
    });
    let vnets = world.firewalls.vnets.iter().flatten();
    let vnets = vnets.filter_map(|(name, vnet)| {
        let scope = vnet.firewall.as_ref().ok()?;
        Some((Place::Vnet(name.clone()), &**scope))
    });
    cluster.into_iter().chain(nodes).chain(guests).chain(vnets)
}

/// The parts of a firewall that are objects.
pub(in crate::service) fn parts(scope: &Scope) -> impl Iterator<Item = FirewallPart> {
    let aliases = scope.aliases.keys().cloned().map(FirewallPart::Alias);
    let sets = scope.ipsets.keys().cloned().map(FirewallPart::Set);
    let groups = scope.groups.keys().cloned().map(FirewallPart::Group);
    let whole = !scope.rules.is_empty() || !scope.options.is_empty();
    let whole = whole.then_some(FirewallPart::Rules);
    aliases.chain(sets).chain(groups).chain(whole)
}

/// A rule in a few words.
fn words(rule: &Rule) -> String {
    rule_words(&rule.fields)
}

pub(super) fn lines(world: &World, ownership: &Ownership) -> Vec<(String, Resource)> {
    let mut lines = Vec::new();
    for (place, scope) in scopes(world) {
        for part in parts(scope) {
            let kind = match part {
                FirewallPart::Alias(_) => ResourceKind::Alias,
                FirewallPart::Set(_) => ResourceKind::IpSet,
                FirewallPart::Group(_) => ResourceKind::SecurityGroup,
                FirewallPart::Rules | FirewallPart::Options => ResourceKind::Firewall,
            };
            let id = object_of(&place, &part);
            let line = plain(ownership, kind, id.clone(), "enabled");
            lines.push((format!("5/{id}"), line));
        }
    }
    lines
}

/// A part's settings and what is in it, as far as it is there.
pub(in crate::service) fn facts(world: &World, object: &str) -> Option<(Section, Vec<String>)> {
    let (place, part) = of_object(object)?;
    let scope = world.firewalls.scope(&place).ok()?;
    let mut settings = Section::new();
    let mut put = |key: &str, value: Option<&String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            settings.insert(key.to_owned(), value.clone());
        }
    };
    let members = match &part {
        FirewallPart::Alias(name) => {
            let alias = scope.alias(name)?;
            put("cidr", Some(&alias.cidr));
            put("comment", alias.comment.as_ref());
            Vec::new()
        }
        FirewallPart::Set(name) => {
            let set = scope.ipsets.get(name)?;
            put("comment", set.comment.as_ref());
            let entries = set.entries.iter();
            entries
                .map(|entry| {
                    let mark = if entry.nomatch { "!" } else { "" };
                    format!("{mark}{}", entry.cidr)
                })
                .collect()
        }
        FirewallPart::Group(name) => {
            let group = scope.group(name)?;
            put("comment", group.comment.as_ref());
            group.rules.iter().map(words).collect()
        }
        FirewallPart::Rules | FirewallPart::Options => {
            for (key, value) in &scope.options {
                put(key, Some(value));
            }
            scope.rules.iter().map(words).collect()
        }
    };
    Some((settings, members))
}

pub(super) fn live(world: &World, object: &str) -> Option<Live> {
    let (settings, members) = facts(world, object)?;
    Some(Live::Firewall(settings, members))
}
